"""Trap entry and return with V, virtual-instruction exceptions, WARL rules and aliases of the H CSRs."""

from __future__ import annotations

import pytest

from tests.hext.bare import CODE, HANDLER, Bare

SPV, SPVP, GVA, HU, VTVM, VTW, VTSR = 1 << 7, 1 << 8, 1 << 6, 1 << 9, 1 << 20, 1 << 21, 1 << 22
ILLEGAL, VIRTUAL = 2, 22
U, S, M = 0, 1, 3


@pytest.fixture
def bare() -> Bare:
    return Bare()


@pytest.mark.parametrize("prv", [U, S])
def test_trap_to_hs_mode_writes_hstatus(bare: Bare, prv: int) -> None:
    """norm: SPV = V, SPVP = the guest's privilege, GVA for a guest virtual address, sstatus.SPP likewise."""
    bare["medeleg"] = 1 << 8 | 1 << 10
    bare["stvec"] = HANDLER
    bare.mode(prv, 1)
    bare["mcause"] = 99
    bare.load("ecall")
    bare.hart.run(1)
    assert (bare["prv"], bare["v"], bare["pc"]) == (S, 0, HANDLER)
    assert bare["scause"] == (10 if prv == S else 8)
    assert bare["sepc"] == CODE
    assert bool(bare["hstatus"] & SPV) and bool(bare["hstatus"] & SPVP) == (prv == S)
    assert not bare["hstatus"] & GVA
    assert bare["sstatus"] >> 8 & 1 == prv


def test_trap_from_hs_leaves_spvp(bare: Bare) -> None:
    """norm: SPVP is only written when V was 1."""
    bare["medeleg"] = 1 << 3
    bare["hstatus"] = SPVP
    bare.mode(S)
    bare.load("ebreak")
    bare.hart.run(1)
    assert bare["hstatus"] & (SPV | SPVP) == SPVP


def test_delegation_to_vs_mode(bare: Bare) -> None:
    bare["medeleg"] = bare["hedeleg"] = 1 << 8
    bare["vstvec"] = HANDLER
    bare["vsstatus"] = 2  # SIE
    bare.mode(U, 1)
    bare.load("ecall")
    bare.hart.run(1)
    assert (bare["prv"], bare["v"], bare["pc"], bare["vscause"], bare["vsepc"]) == (S, 1, HANDLER, 8, CODE)
    assert bare["vsstatus"] & 0x122 == 0x20  # SPIE = SIE, SIE = 0, SPP = U
    assert bare["scause"] == 0


def test_sret_returns_to_the_guest(bare: Bare) -> None:
    bare["hstatus"], bare["sstatus"], bare["sepc"] = SPV, 1 << 8, 0x8000_2000
    bare.mode(S)
    bare.one("sret")
    assert (bare["prv"], bare["v"], bare["pc"]) == (S, 1, 0x8000_2000)
    assert not bare["hstatus"] & SPV


def test_mret_to_the_guest(bare: Bare) -> None:
    bare["mstatus"], bare["mepc"] = 1 << 39 | 1 << 11, 0x8000_2000
    bare.one("mret")
    assert (bare["prv"], bare["v"], bare["pc"]) == (S, 1, 0x8000_2000)
    assert bare["mstatus"] >> 39 & 1 == 0


@pytest.mark.parametrize(
    "text, prv, hstatus, cause",
    [
        ("wfi", S, VTW, VIRTUAL),
        ("wfi", U, 0, VIRTUAL),
        ("sret", S, VTSR, VIRTUAL),
        ("sret", U, 0, VIRTUAL),
        ("mret", S, 0, ILLEGAL),
        ("sfence.vma x0, x0", S, VTVM, VIRTUAL),
        ("sfence.vma x0, x0", S, 0, None),
        ("sfence.vma x0, x0", U, 0, VIRTUAL),
        ("csrr a0, satp", S, VTVM, VIRTUAL),
        ("csrr a0, satp", S, 0, None),
        ("csrr a0, satp", U, 0, VIRTUAL),
        ("csrr a0, sscratch", U, 0, VIRTUAL),
        ("csrr a0, sscratch", S, 0, None),
        ("csrr a0, hstatus", S, 0, VIRTUAL),
        ("csrr a0, hstatus", U, 0, VIRTUAL),
        ("csrr a0, vsstatus", S, 0, VIRTUAL),
        ("csrr a0, mstatus", S, 0, ILLEGAL),
        ("csrr a0, time", S, 0, ILLEGAL),  # mcounteren is 0: M-mode refuses first
        ("csrw time, a0", S, 0, ILLEGAL),
        ("hfence.vvma x0, x0", S, 0, VIRTUAL),
        ("hfence.gvma x0, x0", U, 0, VIRTUAL),
        ("hlv.d a0, (a1)", S, 0, VIRTUAL),
        ("hsv.d a0, (a1)", U, HU, VIRTUAL),
        (".word 0xffffffff", S, 0, ILLEGAL),
    ],
)
def test_virtual_or_illegal_in_a_guest(bare: Bare, text: str, prv: int, hstatus: int, cause: int | None) -> None:
    """norm: a virtual instruction is what HS-mode could do and the guest may not; the trap value is the instruction."""
    bare["hstatus"] = hstatus
    bare.mode(prv, 1)
    assert bare.one(text) == cause
    if cause is not None:
        assert bare["mtval"] == int.from_bytes(bare.memory.read(CODE, 4), "little")


@pytest.mark.parametrize(
    "mcounteren, hcounteren, scounteren, prv, cause",
    [(0, 2, 2, S, ILLEGAL), (2, 0, 2, S, VIRTUAL), (2, 2, 0, S, None), (2, 2, 0, U, VIRTUAL), (2, 2, 2, U, None)],
)
def test_time_in_a_guest(bare: Bare, mcounteren: int, hcounteren: int, scounteren: int, prv: int, cause: int | None) -> None:
    bare["mcounteren"], bare["hcounteren"], bare["scounteren"] = mcounteren, hcounteren, scounteren
    bare["htimedelta"], bare["clock"] = 1000, 12_300
    bare.mode(prv, 1)
    assert bare.one("csrr a0, time") == cause
    if cause is None:
        assert bare["x10"] == 1123


@pytest.mark.parametrize("text", ["hlv.d a0, (a1)", "sret", "wfi", "hfence.vvma x0, x0", "csrr a0, hstatus", "csrr a0, sscratch"])
def test_user_mode_outside_a_guest(bare: Bare, text: str) -> None:
    bare.mode(U)
    assert bare.one(text) == ILLEGAL


def test_hu_lets_user_mode_use_hlv(bare: Bare) -> None:
    bare["hstatus"] = HU
    bare["x11"] = CODE
    bare.mode(U)
    assert bare.one("hlv.wu a0, (a1)") is None
    assert bare["x10"] == int.from_bytes(bare.memory.read(CODE, 4), "little")


def test_supervisor_names_reach_vs_copies(bare: Bare) -> None:
    """norm: with V = 1 the s* CSRs stand for the vs* ones; the real s* ones stay as they were."""
    pairs = ("sscratch", "sepc", "scause", "stval", "stvec")
    for i, name in enumerate(pairs):
        bare.mode(S, 1)
        bare["x10"] = 0x100 * (i + 1)
        assert bare.one(f"csrw {name}, a0") is None
        bare.mode(M)
        assert bare["v" + name] == 0x100 * (i + 1)
        assert bare[name] == 0


def test_vs_interrupt_views(bare: Bare) -> None:
    """norm: hvip drives hip and vsip; a VS interrupt's bit is one lower in vsip and vsie."""
    bare["hideleg"] = 0x444
    bare["hvip"] = 0x444
    bare["hie"] = 0x444
    assert bare["vsip"] == bare["vsie"] == 0x222
    assert bare["hip"] == bare["mip"] & 0x1444 == 0x444
    bare["hideleg"] = 0x040
    assert bare["vsip"] == bare["vsie"] == 0x020


def test_vs_timer_interrupt_is_taken_at_its_own_step(bare: Bare) -> None:
    """norm: VSTIP when time + htimedelta >= vstimecmp; in VS-mode it is supervisor timer interrupt 5."""
    bare["menvcfg"] = bare["henvcfg"] = 1 << 63
    bare["hideleg"] = bare["hie"] = 0x444
    bare["vstvec"] = HANDLER
    bare["vstimecmp"] = 3
    bare["vsstatus"] = 2
    bare.mode(S, 1)
    bare.load("loop: j loop")
    bare.hart.run(300)
    assert bare["pc"] == CODE
    bare.hart.run(1)
    assert (bare["pc"], bare["vscause"], bare["clock"]) == (HANDLER, 1 << 63 | 5, 301)


@pytest.mark.parametrize(
    "name, written, read",
    [
        ("hedeleg", (1 << 64) - 1, 0xB1FF),
        ("hideleg", (1 << 64) - 1, 0x444),
        ("hvip", (1 << 64) - 1, 0x444),
        ("hgatp", 11 << 60 | 7, 4),  # a reserved mode: it stays as it was; the two low bits of PPN are zero
        ("hgatp", 10 << 60 | 7, 10 << 60 | 4),
        ("hgatp", 8 << 60 | (1 << 60) - 1, 8 << 60 | ((1 << 14) - 1) << 44 | ((1 << 44) - 4)),
        ("vsatp", 11 << 60 | 5, 0),
        ("vsatp", 9 << 60 | 5, 9 << 60 | 5),
        ("hcounteren", (1 << 64) - 1, 7),
        ("henvcfg", (1 << 64) - 1, 0xF1),  # menvcfg.STCE is 0
        ("vsstatus", (1 << 64) - 1, 1 << 63 | 2 << 32 | 0xC6122),  # SD, because FS is Dirty
        ("hgeie", 2, 0),
        ("medeleg", (1 << 64) - 1, 0xF0B7FF),
        ("mideleg", 0, 0x444),
    ],
)
def test_warl(bare: Bare, name: str, written: int, read: int) -> None:
    bare[name] = written
    assert bare[name] == read


def test_external_line_does_not_stick_in_mip(bare: Bare) -> None:
    """norm: a read-modify-write of mip sets SEIP from software's own bit, not from the line's."""
    bare["irq_lines"] = 1 << 9
    bare["x10"] = 1 << 5
    assert bare.one("csrrs a1, mip, a0") is None
    assert bare["x11"] >> 9 & 1 == 1
    bare["irq_lines"] = 0
    assert bare["mip"] & 1 << 9 == 0


def test_m_mode_interrupt_goes_before_all(bare: Bare) -> None:
    """norm: an M-level interrupt, then HS, then VS."""
    bare["mie"] = (1 << 64) - 1
    bare["mideleg"] = 1 << 1
    bare["hideleg"] = 0x444
    bare["hvip"] = 0x444
    bare["mip"] = 1 << 1
    bare["irq_lines"] = 1 << 3
    bare["vstvec"] = bare["stvec"] = HANDLER
    bare["vsstatus"] = 2
    taken = []
    for line in (1 << 3, 0, 0):
        bare["irq_lines"] = line
        if not line and taken[-1] != "M":
            bare["mip"] = 0
        bare.mode(S, 1)
        bare.load("nop")
        before = (bare["mcause"], bare["scause"], bare["vscause"])
        bare.hart.run(1)
        after = (bare["mcause"], bare["scause"], bare["vscause"])
        taken.append("M" if after[0] != before[0] else "HS" if after[1] != before[1] else "VS")
    assert taken == ["M", "HS", "VS"]
    assert bare["vscause"] == 1 << 63 | 9


@pytest.mark.parametrize("text", ["ebreak", "c.ebreak"])
@pytest.mark.parametrize("prv", [U, S])
def test_gva_of_a_breakpoint(bare: Bare, text: str, prv: int) -> None:
    """norm: a breakpoint writes a guest virtual address to the trap value, so GVA is set, in hstatus and mstatus alike."""
    bare.mode(prv, 1)
    assert bare.one(text) == 3
    assert bare["mstatus"] >> 38 & 1 == 1
    assert bare["mtval"] == CODE
    bare["medeleg"], bare["stvec"] = 1 << 3, HANDLER
    bare.mode(prv, 1)
    bare.one(text)
    assert bare["hstatus"] & GVA


def test_gva_of_a_misaligned_atomic_on_behalf_of_a_guest(bare: Bare) -> None:
    bare["mstatus"] = 1 << 39 | 1 << 17 | 1 << 11  # MPV, MPRV, MPP = S
    bare["x11"] = CODE + 2
    assert bare.one("lr.w a0, (a1)") == 4
    assert bare["mstatus"] >> 38 & 1 == 1


@pytest.mark.parametrize(
    "text, prv, stce, tm, cause",
    [
        ("csrr a0, stimecmp", U, 0, 2, ILLEGAL),
        ("csrr a0, vstimecmp", S, 0, 2, ILLEGAL),
        ("csrr a0, stimecmp", S, 1, 0, ILLEGAL),
        ("csrr a0, vstimecmp", S, 1, 2, VIRTUAL),
        ("csrr a0, stimecmp", U, 1, 2, VIRTUAL),
    ],
)
def test_only_what_hs_mode_could_do_is_virtual(bare: Bare, text: str, prv: int, stce: int, tm: int, cause: int) -> None:
    """norm: an access that HS-mode may not make either is an illegal instruction in a guest."""
    bare["menvcfg"] = bare["henvcfg"] = stce << 63
    bare["mcounteren"] = tm
    bare["hcounteren"] = 2
    bare.mode(prv, 1)
    assert bare.one(text) == cause
