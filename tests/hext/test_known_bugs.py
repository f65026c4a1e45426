"""Bugs that Spike and QEMU once had in the H extension, each with the test that would catch it here.

Spike is riscv-software-src/riscv-isa-sim: commits that fixed a bug, and its issues and pull requests by number. QEMU is
gitlab.com/qemu-project/qemu: issues by number, commits by hash. Bugs that no test of the chapter's sections would catch have
theirs below.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.hext.bare import ASSEMBLER, Bare
from tests.hext.tables import ALL, DATA, GVA, PAGE, USER_ALL, A, D, TwoStage, V, X

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Bug:
    who: str
    reference: str
    what: str
    test: str


def spike(reference: str, what: str, test: str) -> Bug:
    return Bug("Spike", reference, what, test)


def qemu(reference: str, what: str, test: str) -> Bug:
    return Bug("QEMU", reference, what, test)


BUGS = [
    # hstatus and mstatus
    spike("fbb5a762", "hstatus.HU the wrong way round", "test_hstatus.py::test_hu"),
    spike("619b5f9d, #667", "SPVP written by traps from HS- and U-mode", "test_hstatus.py::test_a_trap_into_hs_mode"),
    spike("1212919c, #664", "VSXL writable", "test_csr_substitution.py::test_everything_is_64_bits_wide"),
    spike(
        "457f628a",
        "GVA set by V alone, not by what the trap writes to tval",
        "test_hstatus.py::test_gva_says_that_the_trap_value_is_a_guest_address",
    ),
    spike("e6aa0a1c", "GVA clear after a breakpoint", "test_hstatus.py::test_gva_says_that_the_trap_value_is_a_guest_address"),
    spike(
        "54bff740", "GVA clear after a misaligned access", "test_hstatus.py::test_gva_says_that_the_trap_value_is_a_guest_address"
    ),
    spike(
        "#1328",
        "GVA stays set after an access under MPRV",
        "test_trap_entry.py::test_gva_goes_when_the_next_trap_has_no_guest_address",
    ),
    spike("9ac9ff2c", "TW and VTW mixed up", "test_hstatus.py::test_vtw"),
    spike("4a2b38ff", "WFI in VU-mode with TW=1 a virtual instruction", "test_hstatus.py::test_vtw"),
    spike("c6a55858", "TVM had effect with V=1, and none on hgatp and HFENCE.GVMA", "test_fences.py::test_who_may_fence"),
    spike("8966775a", "MPP could be 2", "test_known_bugs.py::test_mpp_is_never_2"),
    # virtual or illegal
    spike("77024fa1, #551", "HLV and HSV with V=1 an illegal instruction", "test_hstatus.py::test_hu"),
    spike("348fc0c9, #551", "HFENCE with V=1 an illegal instruction", "test_fences.py::test_who_may_fence"),
    spike("ac46e18f", "WFI, SRET and SFENCE in a guest illegal", "test_virtual_instructions.py::test_what_a_guest_is_refused"),
    spike("46300119", "a write of a read-only CSR a virtual instruction", "test_csr_substitution.py::test_hypervisor_csrs"),
    spike(
        "24b962de, #951, #1466",
        "a write of a counter a virtual instruction",
        "test_counters.py::test_a_write_of_a_counter_is_illegal_in_a_guest_too",
    ),
    spike("2e8c8cfb, #788", "reads of counters: the order of the enables", "test_counters.py::test_who_may_read_a_counter"),
    spike(
        "73831180, #1061",
        "stimecmp in a guest that mcounteren or menvcfg refuses: virtual instead of illegal",
        "test_counters.py::test_who_may_access_the_timer_comparisons",
    ),
    spike(
        "6e6885fe",
        "vstimecmp in HS-mode without menvcfg.STCE allowed",
        "test_counters.py::test_who_may_access_the_timer_comparisons",
    ),
    spike("a7de776d", "senvcfg in VU-mode that mstateen refuses: virtual instead of illegal", "test_stateen.py::test_envcfg"),
    spike(
        "3482790b", "HINVAL.VVMA and HINVAL.GVMA had each other's encodings", "test_known_bugs.py::test_encodings_of_the_fences"
    ),
    # CSRs
    spike("323a93e3, #669", "bits of hedeleg not writable or not zero", "test_delegation.py::test_hedeleg"),
    spike("08463028", "hardware errors not delegable", "test_delegation.py::test_hedeleg"),
    spike(
        "b6735376",
        "hgatp: an unsupported MODE made the whole write ignored; PPN's low bits writable",
        "test_vs_csrs.py::test_hgatp_with_any_mode",
    ),
    spike("4df0c944", "hgatp.PPN not written", "test_vs_csrs.py::test_hgatp_with_any_mode"),
    spike("ce170a71", "vsatp and satp: an unsupported MODE kept", "test_vs_csrs.py::test_vsatp_with_any_mode"),
    spike("d0d923eb", "a write of htval went elsewhere", "test_trap_values.py::test_they_hold_any_value"),
    spike("e7e18801", "henvcfg.CBIE could be 2", "test_henvcfg.py::test_cbie_of_two_is_reserved"),
    spike(
        "a101bfeb",
        "henvcfg remembered writes of what menvcfg withheld",
        "test_henvcfg.py::test_what_menvcfg_does_not_have_is_read_only_zero",
    ),
    spike(
        "fbb46455, #659; 6d5a351a, #671",
        "vsstatus.UXL zero, or writable",
        "test_csr_substitution.py::test_everything_is_64_bits_wide",
    ),
    spike("0cd5a8bf, #665; 8be5c086, #568", "vsstatus.SD not from vsstatus.FS", "test_vs_csrs.py::test_vsstatus"),
    spike(
        "b167bbd4, #646",
        "floating point on with vsstatus.FS off",
        "test_vs_csrs.py::test_floating_point_is_off_if_either_says_so",
    ),
    spike(
        "853320fc, #661; 142a3bba", "only one of the two FS made Dirty", "test_vs_csrs.py::test_floating_point_makes_both_dirty"
    ),
    # interrupts
    spike(
        "2aed3d24",
        "VS-level interrupts that are not delegated not taken in HS-mode",
        "test_interrupts.py::test_when_a_vs_level_interrupt_is_taken",
    ),
    spike(
        "da5866ea, #707",
        "in VS-mode interrupts for HS-mode masked by SIE",
        "test_interrupts.py::test_when_a_vs_level_interrupt_is_taken",
    ),
    spike(
        "#1340, #1345",
        "vectored VS-level interrupts at 4 * 10 instead of 4 * 9",
        "test_delegation.py::test_where_a_vs_level_interrupt_goes",
    ),
    spike(
        "#2014, #2033", "an interrupt for HS-mode delivered to VS-mode", "test_interrupts.py::test_priorities_over_three_modes"
    ),
    spike("20a73541", "hvip showed the guest external line and the timer", "test_interrupts.py::test_a_guest_external_line"),
    spike("928743b1", "VSTIP compared without STCE", "test_counters.py::test_vstip_is_a_comparison"),
    qemu("9d5451e0", "vsip and vsie masked by mideleg and not shifted", "test_interrupts.py::test_vsip_and_vsie"),
    qemu("#1617", "a VS external interrupt taken in M-mode", "test_delegation.py::test_m_mode_never_takes_them"),
    qemu(
        "#1708",
        "an illegal instruction delegated to VS-mode got cause 1: its code lowered like an interrupt's",
        "test_delegation.py::test_where_an_exception_goes",
    ),
    # translation
    spike(
        "22e97db4",
        "a guest physical address wider than 41 bits translated",
        "test_g_stage.py::test_the_width_of_a_guest_physical_address",
    ),
    spike("9cfc3e7f; 20efc828, #792", "sstatus.SUM instead of vsstatus.SUM; MXR of the wrong stage", "test_hlv_hsv.py::test_mxr"),
    spike("e749bb09", "MXR made VS-stage tables readable", "test_g_stage.py::test_vs_stage_tables_are_read_as_a_load"),
    spike("4deb3750", "HLVX content with read permission", "test_hlv_hsv.py::test_mxr"),
    spike(
        "10b97370, #1557; 229b1594",
        "HLVX: PMP's execute or read permission not asked for",
        "test_hlv_hsv.py::test_hlvx_needs_x_and_r_of_pmp",
    ),
    spike("009fc7d7, #744", "HLVX.WU extended wrongly", "test_hlv_hsv.py::test_loads"),
    spike("d61dcecc", "a misaligned HLV accessed as the current mode", "test_hlv_hsv.py::test_misaligned"),
    spike("43ecb342", "a misaligned HSV accessed as the current mode", "test_hlv_hsv.py::test_misaligned"),
    spike("be5d4caa", "HLV and HSV not with SPVP", "test_hlv_hsv.py::test_spvp_is_the_privilege"),
    spike(
        "ae9888e5",
        "setting A and D of a VS-stage PTE: no write permission asked of the G-stage, D not set in it",
        "test_g_stage.py::test_a_and_d",
    ),
    spike("8cabd4a2", "A and D set by the hardware without ADUE", "test_g_stage.py::test_a_and_d"),
    spike(
        "0bbf0d64",
        "A and D set in a PTE whose NAPOT encoding is reserved",
        "test_known_bugs.py::test_a_reserved_pte_is_not_updated",
    ),
    spike(
        "ee2f64b3",
        "translations kept when vsstatus.SUM or MXR changes",
        "test_known_bugs.py::test_sum_and_mxr_take_effect_at_once",
    ),
    qemu("#3494", "memory type 3 of Svpbmt accepted", "test_g_stage.py::test_memory_types"),
    # what a trap says
    spike(
        "f62660ab, #663",
        "a guest-page fault of an AMO reported as a load's",
        "test_trap_values.py::test_the_access_itself_faults_in_the_g_stage",
    ),
    spike(
        "#873",
        "an AMO translated as a load first: a guest-page fault where it is a store page fault",
        "test_known_bugs.py::test_an_amo_is_a_store_from_the_first_stage_on",
    ),
    spike(
        "fd410c6f",
        "the pseudoinstruction of a read for a failed update of A and D",
        "test_trap_values.py::test_a_and_d_cannot_be_written",
    ),
    qemu(
        "#3426", "a failed update of A and D in a VS-stage PTE misreported", "test_trap_values.py::test_a_and_d_cannot_be_written"
    ),
    qemu(
        "#1155",
        "tval of a fetch far from epc: the start of a page that was not fetched from",
        "test_trap_values.py::test_fetches",
    ),
]


@pytest.mark.parametrize("bug", BUGS, ids=lambda b: f"{b.who} {b.reference}")
def test_the_test_that_would_catch_it_exists(bug: Bug) -> None:
    file, _, name = bug.test.partition("::")
    functions = {n.name for n in ast.walk(ast.parse((FOLDER / file).read_text("utf-8"))) if isinstance(n, ast.FunctionDef)}
    assert name in functions
    assert bug.what


def test_mpp_is_never_2(bare: Bare) -> None:
    for before in (0, 1, 3):
        bare["mstatus"] = before << 11
        bare["mstatus"] = 2 << 11
        assert bare.field("mstatus", "MPP") == before


@pytest.mark.parametrize(
    ("text", "word"),
    [("hfence.vvma x0, x0", 0x2200_0073), ("hfence.gvma x0, x0", 0x6200_0073), ("hinval.vvma x0, x0", 0x2600_0073),
     ("hinval.gvma x0, x0", 0x6600_0073)],
)  # fmt: skip
def test_encodings_of_the_fences(text: str, word: int) -> None:
    assert ASSEMBLER.assemble(text) == word


@pytest.mark.parametrize("stage", ["vs", "g"])
def test_a_reserved_pte_is_not_updated(bare: Bare, stage: str) -> None:
    guest = TwoStage(bare)
    assert guest.vs is not None
    bare["menvcfg"] = bare["henvcfg"] = 1 << 61
    place = guest.vs.entry(GVA) if stage == "vs" else guest.g.entry(DATA)
    flags = (ALL if stage == "vs" else USER_ALL) & ~(A | D)
    for bad in (1 << 63 | 1 << 10, 1 << 61, 1 << 54):
        pte = DATA >> 2 | flags | bad
        guest.vs.put(place, pte)
        bare["x11"] = GVA
        assert bare.csr("HS", "hsv.d a0, (a1)") == (15 if stage == "vs" else 23)
        assert bare.memory.read_u64(place) == pte


def test_sum_and_mxr_take_effect_at_once(bare: Bare) -> None:
    """In VS-mode, with a warm TLB, from one instruction to the next."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    guest.vs.map(GVA, DATA, USER_ALL)
    guest.vs.map(GVA + PAGE, DATA, V | X | A)
    for address, bit in ((GVA, 18), (GVA + PAGE, 19)):
        bare["x11"], bare["x12"] = address, 1 << bit
        for _ in range(3):
            for switch, cause in (("csrs", None), ("csrc", 13)):
                bare.enter("VS")
                bare["mcause"] = 99
                bare.load(f"{switch} sstatus, a2\nld a0, 0(a1)")
                bare.hart.run(2)
                assert bare["mcause"] == (cause or 99)


def test_an_amo_is_a_store_from_the_first_stage_on(bare: Bare) -> None:
    """The VS-stage forbids writing, the G-stage all: the store page fault comes first."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    guest.vs.map(GVA, DATA, ALL & ~4)
    guest.g.map(DATA, DATA, USER_ALL & ~16)
    bare["x11"] = GVA
    assert bare.csr("VS", "amoadd.d a0, a0, (a1)") == 15
    assert bare.csr("VS", "ld a0, 0(a1)") == 21
