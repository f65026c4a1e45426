"""ISA manual, H extension, "Hypervisor Virtual-Machine Load and Store Instructions"; mstatus.MPRV with MPV."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import BASE, MASK64, Bare
from tests.hext.rules import rule
from tests.hext.tables import ALL, DATA, GVA, PAGE, USER, USER_ALL, A, D, R, TwoStage, V, W, X

SUM, MXR = 1 << 18, 1 << 19
SPVP = 1 << 8
MPRV, MPV = 1 << 17, 1 << 39
PATTERN = 0x8091_A2B3_C4D5_E6F7
LOADS = {
    "hlv.b": (1, True),
    "hlv.bu": (1, False),
    "hlv.h": (2, True),
    "hlv.hu": (2, False),
    "hlv.w": (4, True),
    "hlv.wu": (4, False),
    "hlv.d": (8, False),
    "hlvx.hu": (2, False),
    "hlvx.wu": (4, False),
}
STORES = {"hsv.b": 1, "hsv.h": 2, "hsv.w": 4, "hsv.d": 8}


@pytest.fixture
def guest(bare: Bare) -> TwoStage:
    made = TwoStage(bare)
    bare.memory.write_u64(DATA, PATTERN)
    bare["x11"] = GVA
    return made


@rule("norm:hlsv_op", "norm:hlsv_u_op", "norm:hlsv_trans")
@pytest.mark.parametrize("name", LOADS)
def test_loads(guest: TwoStage, name: str) -> None:
    bare = guest.bare
    size, signed = LOADS[name]
    for offset in range(0, 8, size):
        bare["x11"] = GVA + offset
        assert bare.csr("HS", f"{name} a0, (a1)") is None
        value = PATTERN >> 8 * offset & (1 << 8 * size) - 1
        if signed and value >> 8 * size - 1:
            value |= MASK64 << 8 * size & MASK64
        assert bare["x10"] == value


@rule("norm:hlsv_op")
@pytest.mark.parametrize("name", STORES)
def test_stores(guest: TwoStage, name: str) -> None:
    bare, size = guest.bare, STORES[name]
    bare["x11"], bare["x12"] = GVA + 8, 0x1122_3344_5566_7788
    assert bare.csr("HS", f"{name} a2, (a1)") is None
    assert bare.memory.read(DATA + 8, 8) == (0x1122_3344_5566_7788).to_bytes(8, "little")[:size].ljust(8, b"\0")


@rule("norm:hlsv_op")
@pytest.mark.parametrize("offset", range(1, 8))
def test_misaligned(guest: TwoStage, offset: int) -> None:
    """Also across a page, whose second half is mapped elsewhere."""
    bare = guest.bare
    assert guest.vs is not None
    guest.vs.map(GVA + PAGE, BASE + 0x3000, ALL)
    for start in (GVA + offset, GVA + PAGE - offset):
        bare["x11"], bare["x12"] = start, PATTERN
        assert bare.csr("HS", "hsv.d a2, (a1)") is None
        assert bare.csr("HS", "hlv.d a0, (a1)") is None
        assert bare["x10"] == PATTERN
    raw = PATTERN.to_bytes(8, "little")
    assert bare.memory.read(DATA + PAGE - offset, offset) + bare.memory.read(BASE + 0x3000, 8 - offset) == raw


@rule("norm:hlsv_priv", "norm:hlsv_trans", "norm:hstatus_spvp_op", "norm:mstatus_mprv_hlsv")
@pytest.mark.parametrize("mode", ["HS", "M", "U"])
def test_spvp_is_the_privilege(guest: TwoStage, mode: str) -> None:
    """User pages by SPVP and vsstatus.SUM; sstatus.SUM, MPRV and MPP do not matter."""
    bare = guest.bare
    assert guest.vs is not None
    for user, spvp, vs_sum, hs_sum, mprv in product((0, 1), repeat=5):
        guest.vs.map(GVA, DATA, USER_ALL if user else ALL)
        bare["hstatus"], bare["vsstatus"] = spvp << 8 | 1 << 9, vs_sum * SUM
        bare["mstatus"] = hs_sum * SUM | (mprv * MPRV if mode == "M" else 0)
        allowed = (vs_sum if user else True) if spvp else user
        for text, cause in (("hlv.d a0, (a1)", 13), ("hsv.d a0, (a1)", 15)):
            assert bare.csr(mode, text) == (None if allowed else cause), (user, spvp, vs_sum, hs_sum)


@rule("norm:hlsv_sstatus_mxr", "norm:hlsv_vsstatus_mxr", "norm:vsstatus_mxr_vm", "norm:sstatus_mxr_vm", "norm:hlsv_u_op")
@pytest.mark.parametrize("text", ["hlv.w a0, (a1)", "hlvx.wu a0, (a1)", "hsv.w a0, (a1)"])
def test_mxr(guest: TwoStage, text: str) -> None:
    """sstatus.MXR in both stages, vsstatus.MXR in the first; HLVX needs X in both, and no R, whatever MXR says."""
    bare = guest.bare
    assert guest.vs is not None
    kinds = {"X": V | X | A | D, "R": V | R | A | D, "RX": V | R | X | A | D, "RW": V | R | W | A | D}
    for (vs_kind, vs_flags), (g_kind, g_flags) in product(kinds.items(), repeat=2):
        for hs_mxr, vs_mxr in product((0, 1), repeat=2):
            guest.vs.map(GVA, DATA, vs_flags)
            guest.g.map(DATA, DATA, g_flags | USER)
            bare["mstatus"], bare["vsstatus"] = hs_mxr * MXR, vs_mxr * MXR
            if text.startswith("hlvx"):
                vs_ok, g_ok = "X" in vs_kind, "X" in g_kind
            elif text.startswith("hsv"):
                vs_ok, g_ok = "W" in vs_kind, "W" in g_kind
            else:
                vs_ok = "R" in vs_kind or bool(hs_mxr or vs_mxr)
                g_ok = "R" in g_kind or bool(hs_mxr)
            page_fault, guest_fault = (15, 23) if text.startswith("hsv") else (13, 21)
            expected = None if vs_ok and g_ok else guest_fault if vs_ok else page_fault
            assert bare.csr("HS", text) == expected, (vs_kind, g_kind, hs_mxr, vs_mxr)


@rule("norm:hlsv_u_op", "norm:H_pmp")
@pytest.mark.parametrize("pmp", range(8))
def test_hlvx_needs_x_and_r_of_pmp(bare: Bare, pmp: int) -> None:
    """Execute-only memory is not readable by HLVX, nor is memory that may only be read; the fault is a load's."""
    bare.memory.write_u64(DATA, PATTERN)
    bare["pmpaddr0"] = DATA >> 2 | 0x1FF  # NAPOT, one page
    bare["pmpaddr1"] = MASK64
    if pmp & 3 != 2:  # W without R is reserved
        bare["pmpcfg0"] = (0x18 | 7) << 8 | 0x18 | pmp
        bare["x11"] = DATA
        for text, needed, cause in (("hlv.w a0, (a1)", 1, 5), ("hlvx.wu a0, (a1)", 5, 5), ("hsv.w a0, (a1)", 2, 7)):
            assert bare.csr("HS", text) == (None if pmp & needed == needed else cause), text


@rule("norm:hlsv_mode")
def test_one_stage_may_be_bare(bare: Bare) -> None:
    bare.memory.write_u64(DATA, PATTERN)
    bare["x11"] = DATA
    assert bare.csr("HS", "hlv.d a0, (a1)") is None
    assert bare["x10"] == PATTERN


@rule("norm:mstatus_mprv_hypervisor")
def test_mprv(guest: TwoStage) -> None:
    """Table "Effect of MPRV": MPV and MPP are the mode of M-mode's loads and stores; MPP = 3 makes MPV meaningless."""
    bare = guest.bare
    assert guest.vs is not None
    bare.memory.write_u64(BASE + 0x8000, 1)  # by physical address
    guest.vs.map(BASE + 0x8000, DATA, ALL)
    bare.memory.write_u64(DATA, 2)
    bare["x11"] = BASE + 0x8000
    for mprv, mpv, mpp, user in product((0, 1), (0, 1), (0, 1, 3), (0, 1)):
        guest.vs.map(BASE + 0x8000, DATA, USER_ALL if user else ALL)
        bare.enter("M")
        bare["mstatus"] = mprv * MPRV | mpv * MPV | mpp << 11
        cause = bare.one("ld a0, 0(a1)")
        if mprv and mpv and mpp != 3:
            assert cause == (None if user == (mpp == 0) else 13)
            if cause is None:
                assert bare["x10"] == 2
            else:
                assert bare.field("mstatus", "GVA") == 1
        else:
            assert cause is None
            assert bare["x10"] == 1


@rule("norm:mstatus_mprv_hypervisor")
def test_mprv_with_sum_and_mxr(guest: TwoStage) -> None:
    """As VS-mode: vsstatus.SUM instead of sstatus.SUM; MXR as for HLV. Fetches are not affected."""
    bare = guest.bare
    assert guest.vs is not None
    base = MPRV | MPV | 1 << 11
    guest.vs.map(GVA, DATA, USER_ALL)
    for hs_sum, vs_sum in product((0, 1), repeat=2):
        bare.enter("M")
        bare["mstatus"], bare["vsstatus"] = base | hs_sum * SUM, vs_sum * SUM
        assert bare.one("ld a0, 0(a1)") == (None if vs_sum else 13)
    guest.vs.map(GVA, DATA, V | X | A)
    for hs_mxr, vs_mxr, g_read in product((0, 1), repeat=3):
        guest.g.map(DATA, DATA, V | X | A | D | USER | (R if g_read else 0))
        bare.enter("M")
        bare["mstatus"], bare["vsstatus"] = base | hs_mxr * MXR, vs_mxr * MXR
        expected = None if hs_mxr or (vs_mxr and g_read) else 21 if vs_mxr else 13
        assert bare.one("ld a0, 0(a1)") == expected


@rule("norm:hlsv_virtinst", "norm:hlsv_illegalinst")
def test_who_is_told_before_what_the_access_would_do(bare: Bare) -> None:
    """A refused instruction does not translate: the address may be anything."""
    bare["x11"] = 1 << 63
    assert bare.csr("VS", "hlv.d a0, (a1)") == 22
    assert bare.csr("U", "hlv.d a0, (a1)") == 2
    assert bare.csr("HS", "hlv.d a0, (a1)") == 5


@rule("norm:hlsv_trans")
def test_the_reservation_is_not_touched_by_a_guest_load(guest: TwoStage) -> None:
    bare = guest.bare
    bare.enter("HS")
    bare["x13"] = BASE + 0x8000
    bare.load("lr.d a0, (a3)\nhlv.d a0, (a1)\nsc.d a0, a0, (a3)")
    bare.hart.run(3)
    assert bare["x10"] == 0
