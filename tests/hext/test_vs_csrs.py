"""ISA manual, H extension, "vsstatus" to "vsatp": the VS copies' own rules; and "hgatp"."""

from __future__ import annotations

import pytest

from tests.hext.bare import CODE, ILLEGAL, MASK64, VIRTUAL, Bare
from tests.hext.rules import rule
from tests.hext.tables import DATA, GVA, TwoStage, V

FS, FS_DIRTY, SD = 1 << 13, 3 << 13, 1 << 63
PPN, VMID, ASID = (1 << 44) - 1, (1 << 14) - 1 << 44, (1 << 16) - 1 << 44
SUPPORTED = (0, 8, 9, 10)


@rule("norm:vsstatus_sz_acc_op", "norm:vsstatus_ube", "norm:vsstatus_uxl_op", "norm:vsstatus_sd_xs_op")
def test_vsstatus(bare: Bare) -> None:
    """SIE, SPIE, SPP, FS, SUM, MXR; UXL is 2; SD says that FS is Dirty; UBE is VSBE, which is zero; no VS, no XS."""
    bare["vsstatus"] = MASK64
    assert bare["vsstatus"] == SD | 2 << 32 | 0xC6122
    for fs in range(4):
        bare["mstatus"] = (3 - fs) << 13
        bare["vsstatus"] = fs << 13
        assert bare["vsstatus"] >> 63 == (fs == 3), "of vsstatus.FS alone"
        assert bare["mstatus"] >> 63 == (fs == 0)


@rule("norm:vsstatus_fs_op", "norm:H_illegalinst_xstatus_fs_vs")
@pytest.mark.parametrize("mode", ["VS", "VU", "HS", "U", "M"])
@pytest.mark.parametrize("text", ["fadd.s fa0, fa1, fa2", "csrr a0, fcsr", "csrw frm, x0", "fsw fa0, 0(a1)", "c.fld fa0, 0(a1)"])
def test_floating_point_is_off_if_either_says_so(bare: Bare, text: str, mode: str) -> None:
    """Always an illegal instruction, never a virtual one."""
    bare["x11"] = CODE + 0x100
    for fs in range(4):
        for vs in range(4):
            bare["mstatus"], bare["vsstatus"] = fs << 13, vs << 13
            off = fs == 0 or (mode[0] == "V" and vs == 0)
            assert bare.csr(mode, text) == (ILLEGAL if off else None), (fs, vs)


@rule("norm:vsstatus_fs_op")
@pytest.mark.parametrize("text", ["fmv.w.x fa0, a0", "csrw fcsr, a0", "fld fa0, 0(a1)"])
@pytest.mark.parametrize("mode", ["VS", "VU", "HS"])
def test_floating_point_makes_both_dirty(bare: Bare, text: str, mode: str) -> None:
    bare["x11"] = CODE + 0x100
    bare["mstatus"] = bare["vsstatus"] = FS
    assert bare.csr(mode, text) is None
    assert bare["mstatus"] & FS_DIRTY == FS_DIRTY
    assert bare["vsstatus"] & FS_DIRTY == (FS_DIRTY if mode[0] == "V" else FS)


@rule("norm:vsatp_mode_unsupported_v0", "norm:vsatp_mode_unsupported_v1", "norm:vsatp_sz_acc_op")
@pytest.mark.parametrize("mode", range(16))
def test_vsatp_with_any_mode(bare: Bare, mode: int) -> None:
    """An unsupported MODE: the whole write is ignored, from V=0 as from V=1."""
    value = mode << 60 | 0x1234 << 44 | 0x5_6789
    for by in ("HS", "VS"):
        bare["vsatp"] = 0
        bare["x10"] = value
        bare.csr(by, "csrw vsatp, a0" if by == "HS" else "csrw satp, a0")
        assert bare["vsatp"] == (value if mode in SUPPORTED else 0)


@rule("norm:vstvec_img", "norm:vstvec_sz_acc_op")
def test_vstvec(bare: Bare) -> None:
    """BASE and MODE; a reserved MODE stays as it was."""
    for mode in range(4):
        for before in (0, 1):
            bare["vstvec"] = before
            bare["vstvec"] = MASK64 & ~3 | mode
            assert bare["vstvec"] == MASK64 & ~3 | (mode if mode < 2 else before)


@rule("norm:vsatp_sz_acc_op")
def test_vsatp_has_all_asid_bits(bare: Bare) -> None:
    bare["vsatp"] = 8 << 60 | ASID | PPN
    assert bare["vsatp"] == 8 << 60 | ASID | PPN


@rule("norm:vsatp_v0", "norm:vsstatus_v0")
def test_vsatp_and_vsstatus_do_not_matter_while_v_is_0(bare: Bare) -> None:
    """But for HLV and HSV, and under MPRV with MPV."""
    guest = TwoStage(bare)
    bare["vsstatus"] = 0
    bare.memory.write_u64(DATA, 0x55)
    for address, mode in ((DATA, "HS"), (DATA, "M")):
        bare["x11"] = address
        assert bare.csr(mode, "ld a0, 0(a1)") is None
        assert bare["x10"] == 0x55
    bare["x11"] = GVA
    for mode in ("HS", "M"):
        assert bare.csr(mode, "hlv.d a0, (a1)") is None
        assert bare["x10"] == 0x55
    bare["mstatus"] = 1 << 39 | 1 << 17 | 1 << 11  # MPV, MPRV, MPP = S
    assert bare.one("ld a0, 0(a1)") is None
    bare.memory.write_u64(guest.vs.entry(GVA), 0)  # type: ignore[union-attr]
    assert bare.one("ld a0, 0(a1)") == 13


@rule("norm:vs_stage_speculative_a_bit")
def test_nothing_sets_a_bits_ahead_of_need(bare: Bare) -> None:
    """With ADUE: only the page that is accessed gets A, and not before it is."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    bare["menvcfg"] = bare["henvcfg"] = 1 << 61
    pte = guest.vs.map(GVA, DATA, V | 0xF & ~0x8)
    other = guest.vs.map(GVA + 4096, DATA, V | 0x7)
    bare.enter("VS")
    bare.one("nop")
    assert bare.memory.read_u64(pte) & 0xC0 == 0
    bare["x11"] = GVA
    bare.enter("VS")
    assert bare.one("ld a0, 0(a1)") is None
    assert bare.memory.read_u64(pte) & 0xC0 == 0x40
    assert bare.memory.read_u64(other) & 0xC0 == 0


@rule("norm:hgatp_sz_acc_op", "norm:hgatp_mode_sv", "norm:hgatp_mode_warl", "norm:hgatp_ppn_op", "norm:hgatp_mode_bare")
@pytest.mark.parametrize("mode", range(16))
def test_hgatp_with_any_mode(bare: Bare, mode: int) -> None:
    """WARL field by field: an unsupported MODE stays as it was, VMID and PPN are written; PPN's two low bits are zero."""
    for before in SUPPORTED:
        bare["hgatp"] = before << 60
        bare["hgatp"] = mode << 60 | 0x1ABC << 44 | 0xF_FFFF
        assert bare["hgatp"] == (mode if mode in SUPPORTED else before) << 60 | 0x1ABC << 44 | 0xF_FFFC


@rule("norm:hgatp_vmid", "norm:hgatp_vmid_lsbs")
def test_vmidlen_is_14(bare: Bare) -> None:
    bare["hgatp"] = MASK64 >> 4 | 8 << 60
    assert bare["hgatp"] == 8 << 60 | VMID | PPN & ~3


@rule("norm:hgatp_tvm_illegal", "norm:mstatus_tvm_hs", "norm:mstatus_modes")
@pytest.mark.parametrize("text", ["csrr a0, hgatp", "csrw hgatp, x0", "csrr a0, vsatp", "csrw vsatp, x0", "csrr a0, satp"])
def test_tvm_is_for_hs_mode(bare: Bare, text: str) -> None:
    """It takes hgatp and satp from HS-mode, not vsatp, nothing from M-mode; a guest's satp has VTVM."""
    for tvm in (0, 1):
        bare["mstatus"] = tvm << 20
        refused = tvm and "vsatp" not in text
        assert bare.csr("HS", text) == (ILLEGAL if refused else None)
        assert bare.csr("M", text) is None
        guest = None if " satp" in text or text.endswith(", satp") else VIRTUAL
        assert bare.csr("VS", text) == guest
        assert bare.csr("VU", text) == VIRTUAL


@rule("norm:hgatp_op_hfence_gvma")
def test_switching_hgatp_needs_no_fence_here(bare: Bare) -> None:
    """More than the rule asks for: no cache is state."""
    guest = TwoStage(bare)
    bare["x11"] = GVA
    assert bare.csr("HS", "hlv.d a0, (a1)") is None
    bare["hgatp"] = guest.g.mode << 60 | (DATA + 0x4000 & ~0x3FFF) >> 12
    assert bare.csr("HS", "hlv.d a0, (a1)") == 21
    bare["hgatp"] = guest.g.atp
    assert bare.csr("HS", "hlv.d a0, (a1)") is None
