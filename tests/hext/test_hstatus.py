"""ISA manual, H extension, "Hypervisor Status (hstatus) Register"."""

from __future__ import annotations

import pytest

from tests.hext.bare import BASE, CODE, HS_HANDLER, ILLEGAL, MASK64, VIRTUAL, Bare
from tests.hext.rules import rule

GVA, SPV, SPVP, HU, VTVM, VTW, VTSR = (1 << n for n in (6, 7, 8, 9, 20, 21, 22))
VGEIN = 63 << 12
TVM, TW, TSR = VTVM, VTW, VTSR  # mstatus has them in the same places
SIE, SPP = 1 << 1, 1 << 8


@rule("norm:hstatus_sz_acc_op", "norm:hstatus_vsbe_op")
def test_fields(bare: Bare) -> None:
    """What is written is there; VSBE (always little-endian), HUPMM and what is undefined are zero."""
    bare["hstatus"] = MASK64 & ~VGEIN
    assert bare["hstatus"] == 2 << 32 | VTSR | VTW | VTVM | HU | SPVP | SPV | GVA
    bare["hstatus"] = 0
    assert bare["hstatus"] == 2 << 32


@rule("norm:hstatus_vtsr_op", "norm:H_virtinst_vs_sret_vtsr1", "norm:mstatus_modes")
@pytest.mark.parametrize("mode", ["VS", "VU", "HS", "M"])
def test_vtsr(bare: Bare, mode: str) -> None:
    """SRET is a virtual instruction in VS-mode; TSR is for HS-mode alone, as VTSR is for VS-mode alone."""
    bare["vsepc"] = bare["sepc"] = CODE
    for vtsr in (0, VTSR):
        for tsr in (0, TSR):
            bare["hstatus"], bare["mstatus"] = vtsr, tsr
            expected = {"VS": VIRTUAL if vtsr else None, "VU": VIRTUAL, "HS": ILLEGAL if tsr else None, "M": None}[mode]
            bare.enter(mode)
            assert bare.one("sret") == expected, (vtsr, tsr)


@rule(
    "norm:hstatus_vtw_op",
    "norm:vtw_virtinstr",
    "norm:H_virtinst_wfi_vtw1_tw0",
    "norm:H_virtinst_vu_wfi_tw0",
    "norm:mstatus_modes",
)
@pytest.mark.parametrize("mode", ["VS", "VU", "HS", "U", "M"])
def test_vtw(bare: Bare, mode: str) -> None:
    """The time limit is zero: WFI traps at once wherever it may, even while a masked interrupt pends."""
    for vtw in (0, VTW):
        for tw in (0, TW):
            for pending in (0, 4):
                bare["hstatus"], bare["mstatus"] = vtw, tw
                bare["hideleg"], bare["hvip"], bare["hie"] = 0x444, pending, 4
                expected = {"VS": VIRTUAL if vtw else None, "VU": VIRTUAL, "HS": None, "U": ILLEGAL, "M": None}[mode]
                if tw and mode != "M":
                    expected = ILLEGAL
                if pending and mode == "VU":
                    continue  # the interrupt is taken instead
                bare.enter(mode)
                assert bare.one("wfi") == expected, (vtw, tw, pending)


@rule("norm:hstatus_vtvm_op", "norm:H_virtinst_vs_sfence_sinval_satp_vtvm1", "norm:mstatus_modes")
@pytest.mark.parametrize("text", ["sfence.vma x0, x0", "sinval.vma x0, x0", "csrr a0, satp", "csrw satp, x0", "csrw satp, a0"])
def test_vtvm(bare: Bare, text: str) -> None:
    for vtvm in (0, VTVM):
        for tvm in (0, TVM):
            bare["hstatus"], bare["mstatus"] = vtvm, tvm
            assert bare.csr("VS", text) == (VIRTUAL if vtvm else None)
            assert bare.csr("VU", text) == VIRTUAL
            assert bare.csr("HS", text) == (ILLEGAL if tvm else None)


@rule("norm:hstatus_vgein_op")
def test_vgein_holds_zero_to_geilen(bare: Bare) -> None:
    """0 to 8; a number of no line leaves what was there (WLRL)."""
    for n in range(64):
        bare["hstatus"] = 3 << 12
        bare["hstatus"] = n << 12
        assert bare.field("hstatus", "VGEIN") == (n if n <= 8 else 3)


@rule("norm:hstatus_hu_op", "norm:hlsv_mode", "norm:hlsv_illegalinst", "norm:hlsv_virtinst", "norm:H_virtinst_vu_vs_hinst")
@pytest.mark.parametrize(
    "text", ["hlv.b a0, (a1)", "hlvx.hu a0, (a1)", "hsv.d a0, (a1)", "hfence.vvma x0, x0", "hinval.gvma x0, x0"]
)
def test_hu(bare: Bare, text: str) -> None:
    """HU opens HLV, HLVX and HSV to U-mode, but no fence; a guest has none of them."""
    bare["x11"] = BASE + 0x8000
    for hu in (0, HU):
        bare["hstatus"] = hu
        opened = hu and "fence" not in text and "inval" not in text
        expected = {"M": None, "HS": None, "U": None if opened else ILLEGAL, "VS": VIRTUAL, "VU": VIRTUAL}
        for mode, cause in expected.items():
            assert bare.csr(mode, text) == cause, (mode, hu)


@rule("norm:hstatus_spv_op", "norm:hstatus_spvp_op", "norm:H_trap_hs_csrwrites")
@pytest.mark.parametrize("mode", ["U", "HS", "VU", "VS"])
@pytest.mark.parametrize("before", [0, SPV | SPVP | GVA])
def test_a_trap_into_hs_mode(bare: Bare, mode: str, before: int) -> None:
    """Table "Value of hstatus field SPV and sstatus field SPP": SPVP follows SPP when V was 1 and else stays."""
    bare.delegate()
    bare["hstatus"], bare["mstatus"] = before, SIE if mode[0] == "V" else SIE | SPP
    bare["htval"] = bare["htinst"] = 77
    bare["hvip"] = 0
    bare.enter(mode)
    bare.load("ecall")
    bare.hart.run(1)
    nominal = int(mode in ("HS", "VS"))
    if mode == "HS":
        assert bare["scause"] == 9
    assert (bare["prv"], bare["v"], bare["pc"], bare["sepc"]) == (1, 0, HS_HANDLER, CODE)
    assert bare.field("mstatus", "SPP") == nominal
    assert (bare.field("mstatus", "SPIE"), bare.field("mstatus", "SIE")) == (1, 0)
    assert bare.field("hstatus", "SPV") == int(mode[0] == "V")
    assert bare.field("hstatus", "SPVP") == (nominal if mode[0] == "V" else int(before != 0))
    assert (bare.field("hstatus", "GVA"), bare["htval"], bare["htinst"], bare["stval"]) == (0, 0, 0, 0)


@rule("norm:hstatus_spv_sret", "norm:sret_h", "norm:sret_v0")
@pytest.mark.parametrize("spv", [0, 1])
@pytest.mark.parametrize("spp", [0, 1])
@pytest.mark.parametrize("mode", ["HS", "M"])
def test_sret_goes_where_spv_and_spp_say(bare: Bare, spv: int, spp: int, mode: str) -> None:
    bare["hstatus"] = SPV * spv | SPVP | GVA
    bare["mstatus"] = spp << 8 | 1 << 5 | 1 << 17  # SPIE, MPRV
    bare["vsstatus"] = 0
    bare["sepc"] = BASE + 0x2000
    bare.enter(mode)
    bare.one("sret")
    assert (bare["prv"], bare["v"], bare["pc"]) == (spp, spv, BASE + 0x2000)
    assert bare["hstatus"] & (SPV | SPVP | GVA) == SPVP | GVA
    assert [bare.field("mstatus", f) for f in ("SPP", "SIE", "SPIE", "MPRV")] == [0, 1, 1, 0]
    assert bare["vsstatus"] == 2 << 32


# a trap of each kind, and whether its trap value is an address of the guest
GVA_CASES = [
    ("ebreak", 3, True),
    ("c.ebreak", 3, True),
    ("lr.w a0, (a1)", 4, True),
    ("amoadd.w a0, a0, (a1)", 6, True),
    ("lb a0, 0(zero)", 5, True),
    ("sb a0, 0(zero)", 7, True),
    ("ecall", 10, False),
    (".word 0xffffffff", 2, False),
    ("csrr a0, hstatus", 22, False),
]


@rule("norm:hstatus_gva_op", "norm:mstatus_gva_op")
@pytest.mark.parametrize(("text", "cause", "is_gva"), GVA_CASES, ids=[c[0] for c in GVA_CASES])
@pytest.mark.parametrize("to", ["M", "HS"])
def test_gva_says_that_the_trap_value_is_a_guest_address(bare: Bare, text: str, cause: int, is_gva: bool, to: str) -> None:
    bare["x11"] = CODE + 2
    for mode in ("VS", "HS"):
        if to == "HS":
            bare.delegate()
        bare["hstatus"], bare["mstatus"] = 0 if is_gva else GVA, 0 if is_gva else 1 << 38
        bare.enter(mode)
        if mode == "HS" and cause in (10, 22):
            continue
        bare.one(text)
        status, name = ("hstatus", "scause") if to == "HS" else ("mstatus", "mcause")
        assert bare[name] == cause
        assert bare.field(status, "GVA") == int(is_gva and mode == "VS"), mode


@rule("norm:hstatus_gva_op", "norm:hstatus_spvp_op")
def test_a_fault_of_hlv_has_gva_without_spv(bare: Bare) -> None:
    """norm's note: there GVA is not redundant with SPV."""
    bare.delegate()
    bare["hstatus"] = SPVP
    bare["x11"] = 0
    bare.enter("HS")
    bare.one("hlv.w a0, (a1)")
    assert (bare["scause"], bare["stval"]) == (5, 0)
    assert bare["hstatus"] & (GVA | SPV | SPVP) == GVA | SPVP


@rule("norm:hstatus_gva_op")
def test_an_interrupt_clears_gva(bare: Bare) -> None:
    bare.delegate()
    bare["hstatus"], bare["htval"], bare["htinst"] = GVA, 5, 5
    bare["hie"] = bare["hvip"] = 4
    bare.enter("VS")
    bare.load("nop")
    bare.hart.run(1)
    assert bare["scause"] == 1 << 63 | 2
    assert (bare.field("hstatus", "GVA"), bare["htval"], bare["htinst"]) == (0, 0, 0)
