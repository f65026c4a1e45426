"""ISA manual, H extension, "Two-Stage Address Translation", "Guest Physical Address Translation", rule by rule; the comparison
with a walker over random tables is in test_two_stage.py."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import ASSEMBLER, BASE, CODE, MASK64, Bare
from tests.hext.rules import rule
from tests.hext.tables import ALL, DATA, GLOBAL, GVA, PAGE, USER, USER_ALL, A, D, R, Tables, TwoStage, V, W, X

G_MODES = {8: 41, 9: 50, 10: 59}  # Sv39x4, Sv48x4, Sv57x4: bits of a guest physical address
VS_MODES = {8: 39, 9: 48, 10: 57}
ADUE, PBMTE = 1 << 61, 1 << 62
PBMT, NAPOT = 61, 1 << 63
ATTEMPTS = {"hlv.d a0, (a1)": (13, 21), "hsv.d a0, (a1)": (15, 23), "hlvx.wu a0, (a1)": (13, 21)}


def attempt(bare: Bare, gva: int, text: str = "hlv.d a0, (a1)") -> int | None:
    bare["x11"] = gva
    return bare.csr("HS", text)


@rule("norm:H_vm_twostage")
@pytest.mark.parametrize("vs_mode", [0, *VS_MODES])
@pytest.mark.parametrize("g_mode", [0, *G_MODES])
def test_every_pair_of_modes(bare: Bare, vs_mode: int, g_mode: int) -> None:
    """gva -> gpa -> spa; either stage may be Bare. By VS-mode itself, fetch, load and store."""
    bare.memory.write_u64(DATA, 5)
    vs = Tables(bare, vs_mode, BASE + 0x20000) if vs_mode else None
    gva_code, gva_data = (0x10_0000, 0x20_0000) if vs else (CODE, DATA)
    offset = 0x30_0000_0000 if g_mode else 0  # where guest physical memory is
    if vs:
        for page in (CODE, DATA):
            vs.map({CODE: gva_code, DATA: gva_data}[page], page + offset, ALL)
    if g_mode:
        g = Tables(bare, g_mode, BASE + 0x10000, wide=True)
        if vs:
            for page in range(BASE, DATA + PAGE, PAGE):
                g.map(page + offset, page)
            for page in range(BASE + 0x20000, BASE + 0x30000, PAGE):
                g.map(page, page)
        else:
            for page in (CODE, DATA):
                g.map(page, page)
        bare["hgatp"] = g.atp
    if vs:
        bare["vsatp"] = vs.atp
    bare.enter("VS")
    bare["x11"], bare["mcause"] = gva_data, 99
    bare.memory.write(CODE, ASSEMBLER.program("ld a0, 0(a1)\naddi a0, a0, 1\nsd a0, 8(a1)", 0))
    bare["pc"] = gva_code
    bare.hart.run(3)
    assert bare["mcause"] == 99
    assert (bare["pc"], bare["x10"], bare.memory.read_u64(DATA + 8)) == (gva_code + 12, 6, 6)


@rule("norm:hgatp_mode_sv39x4", "norm:hgatp_mode_sv48x4", "norm:hgatp_mode_sv57x4", "norm:hgatp_mode_x4", "norm:H_vm_gpatrans")
@pytest.mark.parametrize(("mode", "bits"), G_MODES.items())
def test_the_width_of_a_guest_physical_address(bare: Bare, mode: int, bits: int) -> None:
    """Two bits more than the first stage's; a bit above them is a guest-page fault, also where sign extension would fit."""
    g = Tables(bare, mode, BASE + 0x10000, wide=True)
    bare["hgatp"] = g.atp
    top = (1 << bits) - PAGE
    g.map(top, DATA)
    g.map(1 << bits - 1, DATA)
    assert attempt(bare, top) is None
    assert attempt(bare, 1 << bits - 1) is None
    for wrong in [top | 1 << b for b in range(bits, 64)] + [MASK64 & -PAGE, 1 << bits]:
        assert attempt(bare, wrong) == 21
        assert bare["mtval2"] == wrong >> 2


@rule("norm:hgatp_mode_x4", "norm:hgatp_ppn_op")
@pytest.mark.parametrize("mode", G_MODES)
def test_the_root_has_2048_entries(bare: Bare, mode: int) -> None:
    """16 KiB: a gigantic page in the last entry."""
    g = Tables(bare, mode, BASE + 0x10000, wide=True)
    level = mode - 6
    size = PAGE << 9 * level
    assert g.entry(2047 * size, level) == g.root + 8 * 2047
    g.map(2047 * size, DATA & -size, USER_ALL, level)
    bare["hgatp"] = g.atp | 3  # the two low bits of PPN are not there
    bare.memory.write_u64(DATA, 9)
    assert attempt(bare, 2047 * size + DATA % size) is None
    assert bare["x10"] == 9


@rule("norm:hgatp_mode_bare", "norm:hgatp_mode_bare_trans")
@pytest.mark.parametrize("gpa", [DATA, 1 << 41, 1 << 63, MASK64 & -8])
def test_bare(bare: Bare, gpa: int) -> None:
    """gpa = spa, of any width; what is not memory is an access fault."""
    bare["hgatp"] = 0
    assert attempt(bare, gpa) == (None if gpa == DATA else 5)
    assert bare.csr("HS", "hsv.d a0, (a1)") == (None if gpa == DATA else 7)


@rule("norm:H_vm_gpatrans", "norm:H_vm_gpapriv")
@pytest.mark.parametrize("text", ATTEMPTS)
@pytest.mark.parametrize("spvp", [0, 1])
def test_every_combination_of_g_stage_leaf_bits(bare: Bare, text: str, spvp: int) -> None:
    """V, R, W, X, U, A, D of the leaf: U always, whatever the privilege; A, and D for a store; the W-without-R encoding is
    reserved. A VS-stage fault would be another cause: none is raised."""
    guest = TwoStage(bare, 0)
    bare["hstatus"] = spvp << 8
    for flags in range(256):
        if flags & GLOBAL:
            continue
        guest.g.map(DATA, DATA, flags)
        leaf = bool(flags & (R | X))
        sound = flags & V and leaf and not (flags & W and not flags & R) and flags & USER and flags & A
        right = {"hlv": R, "hsv": W, "hlvx": X}[text.split(".")[0]]
        allowed = sound and flags & right and (right != W or flags & D)
        assert attempt(bare, DATA, text) == (None if allowed else ATTEMPTS[text][1]), bin(flags)


@rule("norm:H_vm_gpa_g")
@pytest.mark.parametrize("level", [0, 1])
def test_the_g_bit_is_ignored(bare: Bare, level: int) -> None:
    guest = TwoStage(bare, 0)
    if level:
        pte = guest.g.entry(DATA, 1)
        guest.g.put(pte, bare.memory.read_u64(pte) | GLOBAL)
    else:
        guest.g.map(DATA, DATA, USER_ALL | GLOBAL)
    assert attempt(bare, DATA) is None


@rule("norm:H_vm_gpapriv", "norm:H_vm_gstagetrans")
@pytest.mark.parametrize("flags", [V | R | USER | A, V | R | W | X | USER | A | D, V | X | USER | A, V | R | A, V | R | USER, 0])
@pytest.mark.parametrize("text", ATTEMPTS)
@pytest.mark.parametrize("hs_mxr", [0, 1])
def test_vs_stage_tables_are_read_as_a_load(bare: Bare, flags: int, text: str, hs_mxr: int) -> None:
    """R, U and A of the page that holds them, whatever the access is; MXR makes none readable; D is not needed."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    table = guest.vs.entry(GVA) & -PAGE
    guest.g.map(table, table, flags)
    bare["mstatus"] = hs_mxr << 19
    allowed = flags & (R | USER | A) == R | USER | A
    assert attempt(bare, GVA, text) == (None if allowed else ATTEMPTS[text][1])


@rule("norm:henvcfg_adue_op", "norm:H_vm_gpapriv")
@pytest.mark.parametrize("text", ATTEMPTS)
def test_a_and_d(bare: Bare, text: str) -> None:
    """Each stage by its own bit (menvcfg.ADUE for the G-stage, henvcfg.ADUE for the VS-stage, zero while menvcfg's is): set
    by the hardware, or a fault of that stage. The update of a VS-stage PTE sets D in the G-stage."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    store = text.startswith("hsv")
    needed = A | D if store else A
    for m, h, vs_bits, g_bits in product((0, 1), (0, 1), (0, A, A | D), (0, A, A | D)):
        bare["menvcfg"] = ADUE
        bare["henvcfg"] = h * ADUE
        bare["menvcfg"] = m * ADUE
        rwx = V | R | W | X
        vs_pte = guest.vs.map(GVA, DATA, rwx | vs_bits)
        table = guest.g.map(vs_pte & -PAGE, vs_pte & -PAGE, rwx | USER | A)
        g_pte = guest.g.map(DATA, DATA, rwx | USER | g_bits)
        cause = attempt(bare, GVA, text)
        vs_ok = vs_bits & needed == needed or bool(m and h)
        g_ok = g_bits & needed == needed or bool(m)
        page_fault, guest_fault = ATTEMPTS[text]
        assert cause == (None if vs_ok and g_ok else guest_fault if vs_ok else page_fault), (m, h, vs_bits, g_bits)
        vs_updated = vs_ok and vs_bits & needed != needed
        assert bare.memory.read_u64(vs_pte) & (A | D) == vs_bits | (needed if vs_updated else 0)
        assert bare.memory.read_u64(table) & (A | D) == (A | D if vs_updated else A)
        if cause is None:
            assert bare.memory.read_u64(g_pte) & (A | D) == g_bits | needed


@rule("norm:henvcfg_pbmte_op")
@pytest.mark.parametrize("stage", ["vs", "g"])
def test_memory_types(bare: Bare, stage: str) -> None:
    """Svpbmt by menvcfg.PBMTE in the G-stage, by henvcfg.PBMTE in the VS-stage; else, and type 3, a reserved encoding."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    for m, h, kind in product((0, 1), (0, 1), range(4)):
        bare["menvcfg"] = PBMTE
        bare["henvcfg"] = h * PBMTE
        bare["menvcfg"] = m * PBMTE
        place = guest.vs.entry(GVA) if stage == "vs" else guest.g.entry(DATA)
        guest.vs.put(place, DATA >> 2 | (ALL if stage == "vs" else USER_ALL) | kind << PBMT)
        on = m and (h or stage == "g")
        allowed = kind == 0 or (on and kind != 3)
        assert attempt(bare, GVA) == (None if allowed else 13 if stage == "vs" else 21), (m, h, kind)


@rule("norm:hgatp_mode_x4", "norm:H_vm_gpatrans")
@pytest.mark.parametrize("stage", ["vs", "g"])
def test_napot_pages(bare: Bare, stage: str) -> None:
    """Svnapot in both stages: 64 KiB and nothing else, at level 0 alone."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    user = 0 if stage == "vs" else USER
    tables, address = (guest.vs, GVA) if stage == "vs" else (guest.g, DATA)
    cause = 13 if stage == "vs" else 21
    bare.memory.write_u64(DATA + 0x5000, 7)
    guest.g.map(DATA + 0x5000, DATA + 0x5000)
    for low in range(16):
        place = tables.map(address, DATA | low << 12, ALL | user | NAPOT)
        assert attempt(bare, GVA) == (None if low == 8 else cause), low
        assert bare.memory.read_u64(place) >> 63
    if stage == "vs":
        tables.map(GVA + 0x5000 - (GVA & 0xFFFF), DATA | 8 << 12, ALL | NAPOT)
        assert attempt(bare, GVA & ~0xFFFF | 0x5000) is None
        assert bare["x10"] == 7


@rule("norm:hgatp_mode_x4", "norm:H_vm_gpatrans")
@pytest.mark.parametrize("mode", G_MODES)
def test_superpages(bare: Bare, mode: int) -> None:
    """A leaf at any level; a misaligned one, and a pointer at level 0, are guest-page faults."""
    bare.memory.write_u64(DATA, 3)
    for level in range(mode - 5):
        g = Tables(bare, mode, BASE + 0x10000, wide=True)
        bare["hgatp"] = g.atp
        size = PAGE << 9 * level
        gpa = 5 * size
        place = g.map(gpa, DATA & -size, USER_ALL, level)
        assert attempt(bare, gpa + DATA % size) is None
        assert bare["x10"] == 3
        for bit in range(9 * level):
            g.put(place, (DATA & -size) >> 2 | USER_ALL | 1 << 10 + bit)
            assert attempt(bare, gpa + DATA % size) == 21
        if level == 0:
            g.put(place, DATA >> 2 | V)
            assert attempt(bare, gpa) == 21
        for frame in range(BASE + 0x10000, BASE + 0x20000, PAGE):
            bare.memory.write(frame, bytes(PAGE))


@rule("norm:hgatp_mode_x4")
@pytest.mark.parametrize("bit", [*range(54, 61), 61, 62, 63, 4, 6, 7])
@pytest.mark.parametrize("stage", ["vs", "g"])
def test_reserved_bits_of_pointers_and_leaves(bare: Bare, bit: int, stage: str) -> None:
    """In a pointer A, D, U, N and PBMT too."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    tables, address, cause = (guest.vs, GVA, 13) if stage == "vs" else (guest.g, DATA, 21)
    for level in (0, 1):
        place = tables.entry(address, level)
        sound = bare.memory.read_u64(place)
        if level == 0 and bit < 54:
            continue
        tables.put(place, sound | 1 << bit)
        bare.enter("HS")
        assert attempt(bare, GVA) == cause or (level == 1 and stage == "g")
        tables.put(place, sound)
    assert attempt(bare, GVA) is None


@rule("norm:H_pmp")
@pytest.mark.parametrize("what", ["data", "vs table", "g table"])
def test_pmp_applies_to_guests(bare: Bare, what: str) -> None:
    """To what a guest accesses (with its privilege) and to both stages' tables: an access fault of the original kind."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    page = {"data": DATA, "vs table": guest.vs.entry(GVA) & -PAGE, "g table": guest.g.entry(DATA) & -PAGE}[what]
    bare["pmpaddr0"] = page >> 2 | 0x1FF
    bare["pmpaddr1"] = MASK64
    bare["pmpcfg0"] = (0x18 | 7) << 8 | 0x18
    for text, cause in (("hlv.d a0, (a1)", 5), ("hsv.d a0, (a1)", 7), ("hlvx.wu a0, (a1)", 5)):
        assert attempt(bare, GVA, text) == cause
        assert (bare["mtval"], bare["mtval2"], bare["mtinst"]) == (GVA, 0, 0)
    bare["pmpcfg0"] = (0x18 | 7) << 8 | 0x18 | 1
    assert attempt(bare, GVA) is None
    assert attempt(bare, GVA, "hsv.d a0, (a1)") == (7 if what == "data" else None)


@rule("norm:H_pmp")
def test_a_table_outside_memory_is_an_access_fault(bare: Bare) -> None:
    """Wherever it is met; for a fetch its own kind."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    for place, far in ((guest.vs.entry(GVA, 1), 1 << 40), (guest.g.entry(DATA, 1), 1 << 50)):
        sound = bare.memory.read_u64(place)
        guest.g.map(1 << 40, 1 << 40)
        guest.g.put(place, far >> 2 | V)
        assert attempt(bare, GVA) == 5
        assert attempt(bare, GVA, "hsv.d a0, (a1)") == 7
        guest.g.put(place, sound)
    bare["hgatp"] = 8 << 60 | 1 << 30
    bare.enter("VS")
    assert bare.one("nop") == 1
