"""ISA manual, H extension, "htval", "htinst", "mtval2", "mtinst", "Guest-Page Faults", "Transformed Instruction or
Pseudoinstruction": what a trap says about itself, for every kind of access, in HS-mode and in M-mode."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from tests.hext.bare import ASSEMBLER, BASE, CODE, MASK64, Bare
from tests.hext.rules import rule
from tests.hext.tables import ALL, DATA, GVA, PAGE, USER_ALL, TwoStage, V, W

READ, WRITE = 0x3000, 0x3020
ADUE = 1 << 61


@dataclass(frozen=True)
class Trap:
    cause: int
    tval: int
    gpa: int  # of htval or mtval2, shifted back
    tinst: int
    gva: int
    epc: int


def trap(bare: Bare, text: str, to: str, mode: str = "VS", at: int = CODE) -> Trap:
    """The trap that one instruction takes to HS- or M-mode; the registers of the other are not written."""
    bare.enter("M")
    if to == "HS":
        bare.delegate()
    else:
        bare["medeleg"] = 0
    mine, other = (("htval", "htinst"), ("mtval2", "mtinst")) if to == "HS" else (("mtval2", "mtinst"), ("htval", "htinst"))
    for name in mine + other:
        bare[name] = 0xBAD
    bare.enter(mode)
    bare.load(text, at)
    bare.hart.run(1)
    assert [bare[name] for name in other] == [0xBAD] * 2
    letter = "s" if to == "HS" else "m"
    status = "hstatus" if to == "HS" else "mstatus"
    got = Trap(
        bare[letter + "cause"],
        bare[letter + "tval"],
        bare[mine[0]] << 2,
        bare[mine[1]],
        bare.field(status, "GVA"),
        bare[letter + "epc"],
    )
    bare.enter("M")
    return got


@rule(
    "norm:htval_sz_acc_op",
    "norm:htval_val",
    "norm:htinst_sz_acc_op",
    "norm:htinst_val",
    "norm:mtval2_sz_acc_op",
    "norm:mtval2_val",
    "norm:mtinst_sz_acc_op",
    "norm:mtinst_val",
)
@pytest.mark.parametrize("name", ["htval", "htinst", "mtval2", "mtinst"])
def test_they_hold_any_value(bare: Bare, name: str) -> None:
    for value in (MASK64, 0, 0x1234_5678_9ABC_DEF0):
        bare[name] = value
        assert bare[name] == value


@dataclass(frozen=True)
class Access:
    """An instruction that accesses (a1): its cause, and htinst when the access itself faults (None: the word without rs1)."""

    text: str
    cause: int
    tinst: str | None = None  # assembly of the transformed form
    bit1: int = 1


def load(text: str, as_: str | None = None) -> Access:
    return Access(text, 21, as_, 1 if as_ is None or not text.startswith("c.") else 0)


def store(text: str, as_: str | None = None) -> Access:
    return Access(text, 23, as_, 1 if as_ is None or not text.startswith("c.") else 0)


ACCESSES = [
    *(load(f"{n} a0, 8(a1)", f"{n} a0, 0(x0)") for n in ("lb", "lbu", "lh", "lhu", "lw", "lwu", "ld")),
    *(load(f"{n} fa0, 8(a1)", f"{n} fa0, 0(x0)") for n in ("flh", "flw", "fld")),
    load("ld x0, 8(a1)", "ld x0, 0(x0)"),
    *(store(f"{n} a0, -8(a1)", f"{n} a0, 0(x0)") for n in ("sb", "sh", "sw", "sd")),
    *(store(f"{n} fa0, -8(a1)", f"{n} fa0, 0(x0)") for n in ("fsh", "fsw", "fsd")),
    load("c.lw a0, 4(a1)", "lw a0, 0(x0)"),
    load("c.ld a0, 8(a1)", "ld a0, 0(x0)"),
    load("c.fld fa0, 8(a1)", "fld fa0, 0(x0)"),
    load("c.lwsp a0, 4(sp)", "lw a0, 0(x0)"),
    load("c.ldsp a0, 8(sp)", "ld a0, 0(x0)"),
    load("c.fldsp fa0, 8(sp)", "fld fa0, 0(x0)"),
    store("c.sw a0, 4(a1)", "sw a0, 0(x0)"),
    store("c.sd a0, 8(a1)", "sd a0, 0(x0)"),
    store("c.fsd fa0, 8(a1)", "fsd fa0, 0(x0)"),
    store("c.swsp a0, 4(sp)", "sw a0, 0(x0)"),
    store("c.sdsp a0, 8(sp)", "sd a0, 0(x0)"),
    store("c.fsdsp fa0, 8(sp)", "fsd fa0, 0(x0)"),
    load("lr.w a0, (a1)"),
    load("lr.d.aqrl a0, (a1)"),
    store("sc.w a0, a2, (a1)"),
    store("sc.d.rl a0, a2, (a1)"),
    *(store(f"{n}.{w} a0, a2, (a1)") for n in ("amoadd", "amoswap", "amomaxu", "amocas") for w in "wd"),
    store("amocas.q a0, a2, (a1)"),
]
FROM_HS = [
    *(load(f"{n} a0, (a1)") for n in ("hlv.b", "hlv.bu", "hlv.h", "hlv.hu", "hlvx.hu", "hlv.w", "hlv.wu", "hlvx.wu", "hlv.d")),
    *(store(f"{n} a0, (a1)") for n in ("hsv.b", "hsv.h", "hsv.w", "hsv.d")),
]


def transformed(bare: Bare, access: Access) -> int:
    if access.tinst is None:
        return bare.word() & ~(31 << 15)
    return ASSEMBLER.assemble(access.tinst) & ~(0 if access.bit1 else 2)


def address_of(bare: Bare, access: Access) -> int:
    """x11 or sp plus the immediate."""
    inside = access.text.rpartition("(")[0].rpartition(",")[2].strip()
    return bare["x11"] + int(inside or "0")


def prepare(bare: Bare) -> TwoStage:
    guest = TwoStage(bare)
    bare["mstatus"] = bare["vsstatus"] = 3 << 13
    bare["x11"] = bare["x2"] = GVA + 0x100
    return guest


def ids(accesses: list[Access]) -> list[str]:
    return [a.text for a in accesses]


@rule(
    "norm:htval_trapval",
    "norm:mtval2_trapval",
    "norm:H_trap_xtinst",
    "norm:H_trap_xtinst_exception_list",
    "norm:H_trap_xtinst_val",
    "norm:H_trap_xtinst_exception_lead-in",
    "norm:H_guest_page_fault",
    "norm:mtval2_htval_virtaddr",
    "norm:H_tinst_addr_offset",
    "norm:hstatus_gva_op",
    "norm:mstatus_gva_op",
)
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize("access", ACCESSES + FROM_HS, ids=ids(ACCESSES + FROM_HS))
def test_the_access_itself_faults_in_the_g_stage(bare: Bare, access: Access, to: str) -> None:
    guest = prepare(bare)
    guest.g.map(DATA, DATA, 0)
    got = trap(bare, access.text, to, "HS" if access in FROM_HS else "VS")
    at = address_of(bare, access)
    assert got == Trap(access.cause, at, at - GVA + DATA & ~3, transformed(bare, access), 1, CODE)


@rule("norm:H_trap_xtinst_val", "norm:htval_trapval")
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize("access", ACCESSES + FROM_HS, ids=ids(ACCESSES + FROM_HS))
def test_a_page_fault_says_no_more(bare: Bare, access: Access, to: str) -> None:
    """Of the first stage: its causes are 8 lower; htval and htinst are zero (the manual would allow an instruction)."""
    guest = prepare(bare)
    assert guest.vs is not None
    guest.vs.map(GVA, DATA, 0)
    got = trap(bare, access.text, to, "HS" if access in FROM_HS else "VS")
    assert got == Trap(access.cause - 8, address_of(bare, access), 0, 0, 1, CODE)


@rule(
    "norm:H_trap_xtinst_guestpage",
    "norm:mtval2_trapval_vstrans",
    "norm:htval_trapval",
    "norm:H_vm_gpapriv",
    "norm:H_vm_gstagetrans",
)
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("access", ACCESSES + FROM_HS, ids=ids(ACCESSES + FROM_HS))
def test_a_table_of_the_vs_stage_cannot_be_read(bare: Bare, access: Access, level: int, to: str) -> None:
    """The cause is the original access's, the address the PTE's, htinst the pseudoinstruction of a read."""
    guest = prepare(bare)
    assert guest.vs is not None
    pte = guest.vs.entry(GVA, level)
    guest.g.map(pte & -PAGE, pte & -PAGE, 0)
    got = trap(bare, access.text, to, "HS" if access in FROM_HS else "VS")
    at = address_of(bare, access)
    if access not in FROM_HS and level == 2:  # the root is the fetch's too
        assert got == Trap(20, CODE, guest.vs.entry(CODE, 2), READ, 1, CODE)
    else:
        assert got == Trap(access.cause, at, pte, READ, 1, CODE)


@rule("norm:H_trap_xtinst_guestpage", "norm:H_trap_xtinst_guestpage_rw", "norm:H_vm_gpapriv", "norm:henvcfg_adue_op")
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize("access", ACCESSES + FROM_HS, ids=ids(ACCESSES + FROM_HS))
def test_a_and_d_cannot_be_written(bare: Bare, access: Access, to: str) -> None:
    """With ADUE, and a G-stage that maps the table read-only: the pseudoinstruction of a write, the original cause."""
    guest = prepare(bare)
    assert guest.vs is not None
    bare["menvcfg"] = bare["henvcfg"] = ADUE
    page = guest.vs.entry(GVA) & -PAGE
    clear = 0x40 if access.cause == 21 else 0x80
    pte = guest.vs.map(GVA, DATA, ALL & ~clear)
    guest.g.map(page, page, USER_ALL & ~W)
    before = bare.memory.read_u64(pte)
    got = trap(bare, access.text, to, "HS" if access in FROM_HS else "VS")
    assert got == Trap(access.cause, address_of(bare, access), pte, WRITE, 1, CODE)
    assert bare.memory.read_u64(pte) == before


@rule("norm:H_guest_page_fault", "norm:H_trap_xtinst_val", "norm:htval_trapval", "norm:mtval2_trapval_other", "norm:H_straddle")
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize("stage", ["g", "vs", "table"])
@pytest.mark.parametrize("half", [0, 1])
def test_fetches(bare: Bare, to: str, stage: str, half: int) -> None:
    """Of an instruction that straddles two pages: stval and htval are of the half that is not there, sepc of the instruction."""
    guest = prepare(bare)
    assert guest.vs is not None
    first, second = 0x4000_0000 + PAGE * 511, 0x4000_0000 + PAGE * 512
    guest.vs.map(first, BASE + 0x4000, ALL)
    guest.vs.map(second, BASE + 0x5000, ALL)
    bare.memory.write(BASE + 0x4FFE, ASSEMBLER.program("addi a0, a0, 1", 0)[:2])
    bare.memory.write(BASE + 0x5000, ASSEMBLER.program("addi a0, a0, 1", 0)[2:])
    bad = second if half else first
    table = guest.vs.entry(bad)
    if stage == "g":
        target = BASE + (0x5000 if half else 0x4000)
        guest.g.map(target, target, USER_ALL & ~8)
    elif stage == "vs":
        guest.vs.put(table, 0)
    else:
        guest.g.map(table & -PAGE, table & -PAGE, 0)
    if to == "HS":
        bare.delegate()
    bare.enter("VS")
    bare["pc"] = first + PAGE - 2
    bare.hart.run(1)
    letter, names = ("s", ("htval", "htinst")) if to == "HS" else ("m", ("mtval2", "mtinst"))
    tval = second if half else first + PAGE - 2
    gpa = {"g": BASE + (0x5000 if half else 0x4FFE), "vs": 0, "table": table}[stage]
    cause = 12 if stage == "vs" else 20
    assert (bare[letter + "cause"], bare[letter + "tval"], bare[letter + "epc"]) == (cause, tval, first + PAGE - 2)
    assert [bare[n] for n in names] == [gpa >> 2, READ if stage == "table" else 0]
    assert bare.field("hstatus" if to == "HS" else "mstatus", "GVA") == 1


@rule(
    "norm:H_straddle", "norm:H_tinst_addr_offset", "norm:mtval2_trapval_other", "norm:htval_trapval", "norm:mtval2_htval_virtaddr"
)
@pytest.mark.parametrize(
    "text", ["ld a0, 0(a1)", "sw a0, 0(a1)", "c.ld a0, 0(a1)", "fld fa0, 0(a1)", "hlv.d a0, (a1)", "hsv.h a0, (a1)"]
)
@pytest.mark.parametrize("stage", ["g", "vs", "table"])
def test_an_access_that_straddles_two_pages(bare: Bare, text: str, stage: str) -> None:
    """stval is the page boundary, and htinst's offset field its distance from the access's first byte. Nothing was stored."""
    guest = prepare(bare)
    assert guest.vs is not None
    edge = 0x4000_0000 + PAGE * 512
    guest.vs.map(edge - PAGE, DATA, ALL)
    guest.vs.map(edge, BASE + 0x5000, ALL)
    size = {"d": 8, "w": 4, "h": 2}[text.split()[0][-1]]
    store_cause = text.startswith(("sw", "hsv"))
    table = guest.vs.entry(edge)
    if stage == "g":
        guest.g.map(BASE + 0x5000, BASE + 0x5000, 0)
    elif stage == "vs":
        guest.vs.put(table, 0)
    else:
        guest.g.map(table & -PAGE, table & -PAGE, 0)
    for inside in range(1, size):
        bare["x11"], bare["x10"] = edge - inside, MASK64
        memory = bare.memory.read(DATA, PAGE)
        got = trap(bare, text, "M", "HS" if text.startswith("h") else "VS")
        cause = (15 if store_cause else 13) if stage == "vs" else (23 if store_cause else 21)
        gpa = {"g": BASE + 0x5000, "vs": 0, "table": table}[stage]
        word = {"ld": "ld a0, 0(x0)", "sw": "sw a0, 0(x0)", "c.ld": "ld a0, 0(x0)", "fld": "fld fa0, 0(x0)"}.get(
            text.split()[0], ""
        )
        plain = ASSEMBLER.assemble(word) & ~(2 if text.startswith("c.") else 0) if word else bare.word() & ~(31 << 15)
        tinst = {"g": plain | inside << 15, "vs": 0, "table": READ}[stage]
        assert got == Trap(cause, edge, gpa, tinst, 1, CODE), inside
        assert bare.memory.read(DATA, PAGE) == memory


@rule(
    "norm:htval_trapval",
    "norm:mtval2_trapval",
    "norm:H_trap_xtinst_val",
    "norm:H_cause_virtual_instruction",
    "norm:H_virtinst_xtval",
)
@pytest.mark.parametrize("to", ["HS", "M"])
@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("ecall", 10),
        ("ebreak", 3),
        (".word 0xffffffff", 2),
        ("csrr a0, hstatus", 22),
        ("lr.w a0, (a2)", 4),
        ("sc.w a0, a0, (a2)", 6),
        ("lb a0, 0(a3)", 5),
        ("sb a0, 0(a3)", 7),
    ],
)
def test_other_traps_write_zero(bare: Bare, text: str, cause: int, to: str) -> None:
    """htval and htinst; the trap value of an illegal or virtual instruction is the instruction."""
    guest = prepare(bare)
    assert guest.vs is not None
    guest.vs.map(GVA + PAGE, 1 << 40, ALL)
    guest.g.map(1 << 40, 1 << 40, USER_ALL)  # no memory there
    bare["x12"], bare["x13"] = GVA + 2, GVA + PAGE
    got = trap(bare, text, to)
    tval = {10: 0, 3: CODE, 2: 0xFFFF_FFFF, 22: bare.word(), 4: GVA + 2, 6: GVA + 2, 5: GVA + PAGE, 7: GVA + PAGE}[cause]
    assert got == Trap(cause, tval, 0, 0, int(cause not in (2, 10, 22)), CODE)


@rule("norm:H_trap_xtinst_interrupt", "norm:htval_trapval", "norm:mtval2_trapval")
@pytest.mark.parametrize("to", ["HS", "M"])
def test_an_interrupt_writes_zero(bare: Bare, to: str) -> None:
    bare["mip"], bare["mie"] = 2, 2
    bare["mideleg"] = 2 if to == "HS" else 0
    names = ("htval", "htinst") if to == "HS" else ("mtval2", "mtinst")
    for name in names:
        bare[name] = 5
    bare.enter("VS")
    bare.load("nop")
    bare.hart.run(1)
    assert bare["scause" if to == "HS" else "mcause"] >> 63
    assert [bare[name] for name in names] == [0, 0]


@rule("norm:htval_trapval", "norm:mtval2_trapval_vstrans")
def test_the_low_bits_of_the_address_are_stvals(bare: Bare) -> None:
    """htval << 2 lacks them; of an implicit access they are zero."""
    guest = prepare(bare)
    guest.g.map(DATA, DATA, 0)
    for low in range(4):
        bare["x11"] = GVA + 0x20 + low
        got = trap(bare, "lb a0, 0(a1)", "HS")
        assert (got.gpa | got.tval & 3) == DATA + 0x20 + low


@rule("norm:htval_trapval", "norm:H_guest_page_fault")
@pytest.mark.parametrize("vs_mode", [0, 8, 9, 10])
@pytest.mark.parametrize("g_mode", [8, 9, 10])
def test_addresses_in_every_mode(bare: Bare, vs_mode: int, g_mode: int) -> None:
    """Random addresses as wide as the modes are: htval is whole."""
    rng = random.Random(vs_mode * 16 + g_mode)
    guest = TwoStage(bare, vs_mode, g_mode)
    g_bits = {8: 41, 9: 50, 10: 59}[g_mode]
    for _ in range(30):
        gpa = rng.randrange(1 << min(g_bits, 56)) & -8
        gva = gpa
        if guest.vs is not None:
            gva = 0x2000_0000 | gpa & PAGE - 1
            guest.vs.map(gva, gpa & -PAGE & (1 << 56) - 1, ALL)
        bare["x11"] = gva
        got = trap(bare, "hlv.d a0, (a1)", "HS", "HS")
        if got.cause != 21:
            assert BASE <= gpa < BASE + (1 << 20)  # the identity map
            continue
        assert (got.tval, got.gpa) == (gva, gpa)


@rule("norm:H_trap_xtinst_guestpage")
def test_no_pseudoinstruction_where_the_vs_stage_is_bare(bare: Bare) -> None:
    guest = TwoStage(bare, 0)
    guest.g.map(DATA, DATA, V)
    bare["x11"] = DATA
    got = trap(bare, "ld a0, 0(a1)", "HS")
    assert got.tinst == ASSEMBLER.assemble("ld a0, 0(x0)")


@rule("norm:mtval2_trapval", "norm:mstatus_gva_op", "norm:mstatus_mprv_hypervisor")
@pytest.mark.parametrize("text", ["ld a0, 0(a1)", "sd a0, 0(a1)"])
@pytest.mark.parametrize("mpp", [0, 1])
def test_m_modes_own_access_under_mprv(bare: Bare, text: str, mpp: int) -> None:
    """It faults as the guest's would, in M-mode: MPV is the mode that was left, which is M-mode's own V."""
    guest = TwoStage(bare, user=mpp == 0)
    guest.g.map(DATA, DATA, 0)
    bare["x11"] = GVA
    bare["mstatus"] = 1 << 39 | 1 << 17 | mpp << 11
    cause = bare.one(text)
    assert (cause, bare["mtval"], bare["mtval2"] << 2) == (21 if text[0] == "l" else 23, GVA, DATA)
    assert bare["mtinst"] == bare.word() & (0x0000_7FFF if text[0] == "l" else 0x01F0_707F)
    assert [bare.field("mstatus", f) for f in ("GVA", "MPV", "MPP")] == [1, 0, 3]


@rule("norm:hstatus_hu_op", "norm:hstatus_gva_op", "norm:hstatus_spvp_op", "norm:H_trap_hs_csrwrites")
@pytest.mark.parametrize("spvp", [0, 1])
def test_a_fault_of_hlv_in_u_mode(bare: Bare, spvp: int) -> None:
    """SPV and SPP are U-mode's, GVA is set, and SPVP stays as the hypervisor's user part needs it for the next one."""
    guest = TwoStage(bare, user=not spvp)
    guest.g.map(DATA, DATA, 0)
    bare["hstatus"] = spvp << 8 | 1 << 9
    bare["x11"] = GVA
    got = trap(bare, "hlv.w a0, (a1)", "HS", "U")
    assert got == Trap(21, GVA, DATA, bare.word() & ~(31 << 15), 1, CODE)
    assert [bare.field("hstatus", f) for f in ("SPV", "SPVP", "GVA")] == [0, spvp, 1]
    assert bare.field("mstatus", "SPP") == 0
