"""ISA manual, H extension, "Trap Entry" and "Trap Return"; mstatus.MPV and GVA."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import BASE, CODE, HANDLER, MASK64, VS_HANDLER, Bare
from tests.hext.rules import rule
from tests.hext.tables import TwoStage

SIE, MIE, SPIE, MPIE, SPP, MPRV = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 1 << 17
MPV, GVA = 1 << 39, 1 << 38


@rule("norm:mstatus_mpv_op", "norm:H_trap_m_csrwrites", "norm:mstatus_gva_op")
@pytest.mark.parametrize("mode", ["U", "HS", "M", "VU", "VS"])
@pytest.mark.parametrize("enabled", [0, 1])
def test_a_trap_into_m_mode(bare: Bare, mode: str, enabled: int) -> None:
    """Table "Value of mstatus fields MPV and MPP": the mode that was left; V becomes 0; hstatus and vsstatus stay."""
    bare["mstatus"] = enabled * MIE | (MPIE, 0)[enabled] | GVA | MPV | SIE | SPP
    bare["hstatus"], bare["vsstatus"] = 1 << 7 | 1 << 6, SIE | SPP
    before = bare["hstatus"], bare["vsstatus"]
    bare["mtval2"] = bare["mtinst"] = 5
    bare.enter(mode)
    bare.load("ecall")
    bare.hart.run(1)
    mpv, mpp = {"U": (0, 0), "HS": (0, 1), "M": (0, 3), "VU": (1, 0), "VS": (1, 1)}[mode]
    assert (bare.field("mstatus", "MPV"), bare.field("mstatus", "MPP")) == (mpv, mpp)
    assert (bare["prv"], bare["v"], bare["pc"], bare["mepc"]) == (3, 0, HANDLER, CODE)
    assert [bare.field("mstatus", f) for f in ("MIE", "MPIE", "GVA", "SIE", "SPP")] == [0, enabled, 0, 1, 1]
    assert (bare["mtval"], bare["mtval2"], bare["mtinst"]) == (0, 0, 0)
    assert (bare["hstatus"], bare["vsstatus"]) == before


@rule("norm:H_trap_vs_csrwrites", "norm:H_trap_deleg")
@pytest.mark.parametrize("mode", ["VU", "VS"])
@pytest.mark.parametrize("enabled", [0, 1])
def test_a_trap_into_vs_mode(bare: Bare, mode: str, enabled: int) -> None:
    """vsstatus.SPP is the mode, V stays 1, and nothing of HS- or M-mode is written."""
    bare.delegate()
    bare["hedeleg"] = MASK64
    bare["vsstatus"] = enabled * SIE
    bare["hstatus"], bare["mstatus"] = 1 << 6, SIE | MPIE
    names = "hstatus mstatus scause sepc stval htval htinst mcause mepc mtval mtval2 mtinst sstatus".split()
    before = {n: bare[n] for n in names}
    bare.enter(mode)
    bare.load("ebreak")
    bare.hart.run(1)
    assert (bare["prv"], bare["v"], bare["pc"], bare["vsepc"], bare["vscause"], bare["vstval"]) == (
        1,
        1,
        VS_HANDLER,
        CODE,
        3,
        CODE,
    )
    assert [bare.field("vsstatus", f) for f in ("SPP", "SIE", "SPIE")] == [int(mode == "VS"), 0, enabled]
    assert {n: bare[n] for n in names} == before


@rule("norm:mret_h", "norm:mstatus_mpv_op")
@pytest.mark.parametrize("mpp", [0, 1, 3])
def test_mret(bare: Bare, mpp: int) -> None:
    """MPV says whether it is a guest, unless MPP = 3; then MPV = 0, MPP = U, MIE = MPIE, MPIE = 1, and MPRV ends below M-mode."""
    for mpv, mpie in product((0, 1), repeat=2):
        bare.enter("M")
        bare["mstatus"] = mpv * MPV | mpp << 11 | mpie * MPIE | (1 - mpie) * MIE | MPRV | GVA
        bare["hstatus"], bare["mepc"] = 1 << 7, BASE + 0x2000
        if mpp != 3:
            bare["mstatus"] = bare["mstatus"] & ~MPRV
        bare.one("mret")
        assert (bare["prv"], bare["v"], bare["pc"]) == (mpp, mpv if mpp != 3 else 0, BASE + 0x2000)
        assert [bare.field("mstatus", f) for f in ("MPV", "MPP", "MIE", "MPIE", "GVA")] == [0, 0, mpie, 1, 1]
        assert bare.field("mstatus", "MPRV") == int(mpp == 3)
        assert bare.field("hstatus", "SPV") == 1


@rule("norm:mret_h")
@pytest.mark.parametrize("mode", ["HS", "U", "VS", "VU"])
def test_mret_is_illegal_below_m_mode(bare: Bare, mode: str) -> None:
    assert bare.csr(mode, "mret") == 2


@rule("norm:sret_h", "norm:sret_v1")
@pytest.mark.parametrize("spp", [0, 1])
@pytest.mark.parametrize("spie", [0, 1])
def test_sret_in_vs_mode(bare: Bare, spp: int, spie: int) -> None:
    """Back to VU- or VS-mode by vsstatus alone: hstatus.SPV and the HS-level sstatus stay."""
    bare["vsstatus"] = spp * SPP | spie * SPIE | (1 - spie) * SIE
    bare["mstatus"], bare["hstatus"] = SPP | SPIE, 1 << 7
    bare["vsepc"], bare["sepc"] = BASE + 0x2000, BASE + 0x3000
    before = bare["mstatus"], bare["hstatus"]
    bare.enter("VS")
    bare.one("sret")
    assert (bare["prv"], bare["v"], bare["pc"]) == (spp, 1, BASE + 0x2000)
    assert [bare.field("vsstatus", f) for f in ("SPP", "SIE", "SPIE")] == [0, spie, 1]
    assert (bare["mstatus"], bare["hstatus"]) == before


@rule("norm:H_trap_m_csrwrites", "norm:mstatus_gva_op")
def test_gva_goes_when_the_next_trap_has_no_guest_address(bare: Bare) -> None:
    """First a fault under MPRV with MPV, then one of M-mode's own."""
    TwoStage(bare)
    bare["x11"] = 0x7000_0000
    bare["mstatus"] = MPV | MPRV | 1 << 11
    assert bare.one("sd a0, 0(a1)") == 15
    assert bare.field("mstatus", "GVA") == 1
    bare["mstatus"] = bare["mstatus"] & ~MPRV
    assert bare.one("ld a0, 0(zero)") == 5
    assert bare.field("mstatus", "GVA") == 0


@rule("norm:H_trap_deleg")
def test_an_lr_reservation_does_not_survive_a_trap_or_a_return(bare: Bare) -> None:
    bare["x11"] = BASE + 0x8000
    for text in ("ecall", "sret"):
        bare.delegate()
        bare["hedeleg"], bare["vsepc"] = MASK64, CODE
        bare.enter("VU" if text == "ecall" else "VS")
        bare.load(f"lr.d a0, (a1)\n{text}")
        bare.hart.run(2)
        assert bare["reservation"] == MASK64


@rule("norm:H_exception_priority")
def test_priorities_of_exceptions(bare: Bare) -> None:
    """What an instruction could raise several of: the fetch goes first, then the instruction itself, then its access; a
    misaligned atomic before its translation (which the manual leaves open), of two stages the first that refuses."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    edge = 0x1234_5000
    bare["x11"] = edge + 1
    bare.enter("VS")
    guest.vs.map(edge, 0x8004_0000, 0)
    assert bare.one("amoadd.d a0, a0, (a1)") == 6, "misaligned, not page fault"
    bare.enter("VS")
    assert bare.one("hlv.d a0, (a1)") == 22, "virtual instruction, not page fault"
    bare.enter("VS")
    assert bare.one("fld fa0, 0(a1)") == 2, "illegal because FS is off, not page fault"
    bare.enter("VS")
    assert bare.one("ld a0, 0(a1)") == 13
    guest.vs.map(edge, 1 << 40, 0xC7)
    bare.enter("VS")
    assert bare.one("ld a0, 0(a1)") == 21, "the G-stage does not map it: before the access fault that it would be"
    guest.g.map(1 << 40, 1 << 40)
    bare.enter("VS")
    assert bare.one("ld a0, 0(a1)") == 5
    guest.g.map(CODE, CODE, 0)
    bare.enter("VS")
    assert bare.one(".word 0xffffffff") == 20, "the fetch before the instruction"


@rule("norm:H_exception_priority", "norm:H_trap_xtinst_guestpage")
def test_of_two_bad_tables_the_walk_meets_the_upper_first(bare: Bare) -> None:
    guest = TwoStage(bare)
    assert guest.vs is not None
    bare["x11"] = 0x1234_5000
    upper, lower = guest.vs.entry(bare["x11"], 1), guest.vs.entry(bare["x11"], 0)
    guest.g.map(lower & -4096, lower & -4096, 0)
    bare.enter("HS")
    assert bare.one("hlv.d a0, (a1)") == 21
    assert bare["mtval2"] << 2 == lower
    guest.vs.put(upper, 0)
    bare.enter("HS")
    assert bare.one("hlv.d a0, (a1)") == 13, "the invalid pointer is met before the table that it no longer names"
