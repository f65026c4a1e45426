"""ISA manual, H extension, "Trap Cause Codes": which refused instruction is a virtual one, which an illegal one."""

from __future__ import annotations

from itertools import product

import pytest

from rvhv.core.registry import ISA
from tests.hext.bare import BASE, ILLEGAL, MASK64, MODES, VIRTUAL, Bare
from tests.hext.rules import rule

CAUSES = {
    0: "instruction_address_misaligned",
    1: "instruction_access_fault",
    2: "illegal_instruction",
    3: "breakpoint",
    4: "load_address_misaligned",
    5: "load_access_fault",
    6: "store_address_misaligned",
    7: "store_access_fault",
    8: "ecall_u",
    9: "ecall_s",
    10: "ecall_vs",
    11: "ecall_m",
    12: "instruction_page_fault",
    13: "load_page_fault",
    15: "store_page_fault",
    20: "instruction_guest_page_fault",
    21: "load_guest_page_fault",
    22: "virtual_instruction",
    23: "store_guest_page_fault",
}
INTERRUPTS = {1, 2, 3, 5, 6, 7, 9, 10, 11, 12}


@rule("norm:H_cause")
def test_cause_codes() -> None:
    assert {c.code: c.name for c in ISA.causes.values() if not c.interrupt} == CAUSES
    assert {c.code for c in ISA.causes.values() if c.interrupt} == INTERRUPTS


# what is refused to VS-mode and VU-mode, with all enables set: (instruction, in VS, in VU)
CASES = [
    ("hfence.vvma x0, x0", VIRTUAL, VIRTUAL),
    ("hfence.gvma a0, a1", VIRTUAL, VIRTUAL),
    ("hinval.vvma x0, x0", VIRTUAL, VIRTUAL),
    ("hlv.d a0, (a1)", VIRTUAL, VIRTUAL),
    ("hlvx.wu a0, (a1)", VIRTUAL, VIRTUAL),
    ("hsv.b a0, (a1)", VIRTUAL, VIRTUAL),
    ("sret", None, VIRTUAL),
    ("sfence.vma x0, x0", None, VIRTUAL),
    ("sinval.vma x0, x0", None, VIRTUAL),
    ("sfence.w.inval", None, VIRTUAL),
    ("sfence.inval.ir", None, VIRTUAL),
    ("wfi", None, VIRTUAL),
    ("csrr a0, sscratch", None, VIRTUAL),
    ("csrw sepc, a0", None, VIRTUAL),
    ("csrr a0, satp", None, VIRTUAL),
    ("csrr a0, hstatus", VIRTUAL, VIRTUAL),
    ("csrr a0, hgeip", VIRTUAL, VIRTUAL),
    ("csrw hgeip, a0", ILLEGAL, ILLEGAL),
    ("csrr a0, vsatp", VIRTUAL, VIRTUAL),
    ("mret", ILLEGAL, ILLEGAL),
    ("csrr a0, mstatus", ILLEGAL, ILLEGAL),
    ("csrr a0, mhartid", ILLEGAL, ILLEGAL),
    ("csrw mvendorid, a0", ILLEGAL, ILLEGAL),
    ("csrw time, a0", ILLEGAL, ILLEGAL),
    ("csrr a0, 0x5c0", ILLEGAL, ILLEGAL),
    (".word 0xffffffff", ILLEGAL, ILLEGAL),
]


@rule(
    "norm:H_cause_virtual_instruction",
    "norm:H_virtinst_vu_vs_hinst",
    "norm:H_virtinst_vu_sret_sfence",
    "norm:H_virtinst_xtval",
    "norm:H_virtinst_vu_nonhigh_supervisor_allowedhs_tvm0",
    "norm:H_virtinst_vu_vs_nonhigh_allowedhs_tvm0",
    "norm:hfence-vvma_hfence-gvma_exceptions",
)
@pytest.mark.parametrize(("text", "vs", "vu"), CASES, ids=[c[0] for c in CASES])
@pytest.mark.parametrize("tsr_tvm", [0, 1 << 20 | 1 << 22])
def test_what_a_guest_is_refused(bare: Bare, text: str, vs: int | None, vu: int | None, tsr_tvm: int) -> None:
    """HS-qualified: HS-mode could do it with TSR and TVM clear, so these two do not matter. mtval is the instruction."""
    bare.allow()
    bare["mstatus"], bare["hcounteren"], bare["hstateen0"] = tsr_tvm, MASK64, MASK64
    for mode, expected in (("VS", vs), ("VU", vu)):
        assert bare.csr(mode, text) == expected
        if expected is not None:
            assert (bare["mtval"], bare.field("mstatus", "GVA")) == (bare.word(), 0)


@rule("norm:H_cause_virtual_instruction")
@pytest.mark.parametrize("row", [c for c in ISA.csrs.values() if c.privilege == 1 and c.vs is None], ids=lambda c: c.name)
def test_what_m_mode_withholds_from_hs_mode_is_illegal_in_a_guest(bare: Bare, row: object) -> None:
    """Not HS-qualified: with mstateen clear, the state that it controls."""
    name = row.name  # type: ignore[attr-defined]
    withheld = name == "senvcfg" or name.startswith("sstateen")
    bare["hstateen0"] = 0
    for mode in ("VS", "VU"):
        expected = ILLEGAL if withheld else VIRTUAL if mode == "VU" else None
        if name == "scontext":
            continue
        assert bare.csr(mode, f"csrr a0, {name}") == expected


@rule("norm:H_virtinst_vu_nonhigh_supervisor_allowedhs_tvm0")
@pytest.mark.parametrize("row", [c for c in ISA.csrs.values() if c.privilege == 1], ids=lambda c: c.name)
def test_every_supervisor_csr_in_vu_mode(bare: Bare, row: object) -> None:
    bare.allow()
    name = row.name  # type: ignore[attr-defined]
    assert bare.csr("VU", f"csrr a0, {name}") == VIRTUAL
    assert bare.csr("U", f"csrr a0, {name}") == ILLEGAL
    assert bare.csr("VU", f"csrw {name}, a0") == VIRTUAL


@rule("norm:H_cause_virtual_instruction")
@pytest.mark.parametrize("row", [c for c in ISA.csrs.values() if c.privilege == 3], ids=lambda c: c.name)
def test_every_machine_csr_in_a_guest(bare: Bare, row: object) -> None:
    name = row.name  # type: ignore[attr-defined]
    assert [bare.csr(mode, f"csrr a0, {name}") for mode in ("VS", "VU", "HS", "U")] == [ILLEGAL] * 4


@rule("norm:H_cause_virtual_instruction")
@pytest.mark.parametrize("mode", ["VS", "VU", "HS", "U", "M"])
def test_numbers_that_no_csr_has(bare: Bare, mode: str) -> None:
    for number in (0x045, 0x106 | 0x80, 0x5A9, 0x60B, 0x6C0, 0x200 | 1, 0x7C0, 0x9FF, 0xA00, 0xC20, 0xE13, 0xFFF):
        if number not in ISA.csr_by_number:
            assert bare.csr(mode, f"csrr a0, {number}") == ILLEGAL, hex(number)


def wrs_refusal(mode: str, tw: bool, vtw: bool) -> int | None:
    """Unprivileged ISA, "Zawrs", with a time limit of zero and a stall that nothing ends."""
    if mode != "M" and tw:
        return ILLEGAL
    return VIRTUAL if mode[0] == "V" and vtw else None


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("tw", [False, True])
@pytest.mark.parametrize("vtw", [False, True])
def test_wrs_nto(bare: Bare, mode: str, tw: bool, vtw: bool) -> None:
    bare["mstatus"], bare["hstatus"] = tw << 21, vtw << 21
    for reserved, pending in product((False, True), repeat=2):
        bare.mode(*MODES[mode])
        bare["reservation"] = BASE if reserved else MASK64
        bare["mideleg"], bare["mie"], bare["mip"] = 2, 2 * pending, 2
        bare["vsstatus"] = 0
        expected = wrs_refusal(mode, tw, vtw) if reserved and not pending else None
        if pending and mode not in ("M", "HS"):
            continue  # the interrupt is taken before the instruction
        assert bare.one("wrs.nto") == expected, (reserved, pending)
    bare.mode(*MODES[mode])
    bare["mie"], bare["reservation"] = 0, BASE
    assert bare.one("wrs.sto") is None
