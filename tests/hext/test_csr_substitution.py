"""ISA manual, H extension, "Hypervisor and Virtual Supervisor CSRs": who reaches which registers, and what V=1 makes of the
supervisor's names."""

from __future__ import annotations

import pytest

from rvhv.core.registry import ISA
from tests.hext.bare import HS_HANDLER, ILLEGAL, MASK64, VIRTUAL, Bare
from tests.hext.rules import rule

HYPERVISOR = [c.name for c in ISA.csrs.values() if c.privilege == 2 and not c.name.startswith("vs")]
VS = sorted({c.vs for c in ISA.csrs.values() if c.vs})
ALIGNED = {"sscratch": 8, "sepc": 2, "scause": 1, "stval": 8, "stvec": 4}


@rule("norm:H_mtval_nrz")
def test_mtval_holds_values(bare: Bare) -> None:
    bare["mtval"] = MASK64
    assert bare["mtval"] == MASK64


@rule("norm:H_vm_supported")
@pytest.mark.parametrize("name", ["satp", "vsatp", "hgatp"])
def test_sv39_is_there(bare: Bare, name: str) -> None:
    bare[name] = 8 << 60
    assert bare[name] == 8 << 60


@rule("norm:misa_h_op")
def test_misa_says_h(bare: Bare) -> None:
    """H is always on: misa is constant here."""
    assert bare["misa"] >> 7 & 1
    bare["misa"] = 0
    assert bare["misa"] >> 7 & 1


def test_the_chapter_names_no_other_registers() -> None:
    listed = "hstatus hedeleg hideleg hvip hip hie hgeip hgeie henvcfg hcounteren htimedelta htval htinst hgatp".split()
    assert set(listed) <= set(HYPERVISOR)
    assert set(HYPERVISOR) - set(listed) == {f"hstateen{n}" for n in range(4)} | {n for n in HYPERVISOR if n == "hcontext"}


@rule("norm:H_csrs_hs_not_vs", "norm:H_virtinst_vu_vs_nonhigh_allowedhs_tvm0")
@pytest.mark.parametrize("name", HYPERVISOR)
def test_hypervisor_csrs(bare: Bare, name: str) -> None:
    """HS- and M-mode have them; for a guest the access is a virtual instruction, for U-mode an illegal one. A write of one
    that is read-only HS-mode may not do either."""
    bare.allow()
    read, write = f"csrr a0, {name}", f"csrw {name}, a0"
    refused = ILLEGAL if ISA.csrs[name].read_only else None
    for mode in ("HS", "M"):
        assert bare.csr(mode, read) is None
        assert bare.csr(mode, write) == refused
    for mode in ("VS", "VU"):
        assert bare.csr(mode, read) == VIRTUAL
        assert bare.csr(mode, write) == (refused or VIRTUAL)
    assert bare.csr("U", read) == bare.csr("U", write) == ILLEGAL


@rule("norm:H_vscsrs_acc_vs", "norm:H_vscsrs_acc_u", "norm:H_vscsrs_acc_m_hs", "norm:H_virtinst_vu_vs_nonhigh_allowedhs_tvm0")
@pytest.mark.parametrize("name", VS)
def test_vs_csrs_by_their_own_numbers(bare: Bare, name: str) -> None:
    bare.allow()
    bare["henvcfg"] = bare["hcounteren"] = MASK64
    for text in (f"csrr a0, {name}", f"csrw {name}, a0"):
        assert [bare.csr(mode, text) for mode in ("M", "HS", "U", "VS", "VU")] == [None, None, ILLEGAL, VIRTUAL, VIRTUAL]


@rule(
    "norm:H_vscsrs_sub",
    "norm:H_vscsrs_v1",
    "norm:vstvec_sz_acc_op",
    "norm:vsscratch_sz_acc_op",
    "norm:vspec_sz_acc_op",
    "norm:vscause_sz_acc_op",
    "norm:vstval_sz_acc_op",
    "norm:vsepc_warl",
    "norm:vscause_wlrl",
    "norm:vstval_warl",
)
@pytest.mark.parametrize("name", ALIGNED)
def test_supervisor_names_reach_vs_copies(bare: Bare, name: str) -> None:
    """With V=1 sscratch is vsscratch; the HS one keeps its value. Both hold the same set of values."""
    for value in (0, 0x8000_0000_1234_5678 & -ALIGNED[name], MASK64 & -ALIGNED[name], 5):
        bare.enter("M")
        bare[name] = value
        legal = bare[name]
        bare[name] = 0x5550
        bare["x10"] = value
        assert bare.csr("VS", f"csrw {name}, a0") is None
        assert (bare["v" + name], bare[name]) == (legal, 0x5550)
        assert bare.csr("VS", f"csrr a1, {name}") is None
        assert bare["x11"] == legal
        assert bare.csr("HS", f"csrr a1, {name}") is None
        assert bare["x11"] == 0x5550


@rule("norm:H_vscsrs_sub", "norm:vsstatus_sz_acc_op")
@pytest.mark.parametrize("bit", [1, 5, 8, 18, 19])
def test_sstatus_is_vsstatus_in_a_guest(bare: Bare, bit: int) -> None:
    bare["x10"] = 1 << bit
    assert bare.csr("VS", "csrs sstatus, a0") is None
    assert bare["vsstatus"] >> bit & 1
    assert not bare["mstatus"] >> bit & 1
    bare["vsstatus"] = 0
    assert bare.csr("HS", "csrs sstatus, a0") is None
    assert bare["mstatus"] >> bit & 1
    assert not bare["vsstatus"] >> bit & 1


@rule("norm:H_vscsrs_sub", "norm:vsatp_sz_acc_op")
def test_satp_is_vsatp_in_a_guest(bare: Bare) -> None:
    bare.memory.write_u64(0x8002_0000 + 8 * 2, 0x8000_0000 >> 2 | 0xCF)  # a gigabyte, mapped to itself
    bare["x10"] = 8 << 60 | 0x80020
    assert bare.csr("VS", "csrw satp, a0") is None
    assert (bare["vsatp"], bare["satp"]) == (8 << 60 | 0x80020, 0)


@rule("norm:H_vscsrs_v0")
def test_vs_csrs_do_nothing_outside_a_guest(bare: Bare) -> None:
    """Nonsense in all of them; HS-mode runs and traps as ever."""
    bare.delegate()
    for name in VS:
        bare[name] = MASK64 >> 1
    bare["vsatp"] = 8 << 60 | 1
    bare.enter("HS")
    bare.load("nop; ebreak")
    bare.hart.run(1)
    bare.hart.run(1)
    assert (bare["pc"], bare["scause"], bare["v"]) == (HS_HANDLER, 3, 0)


@rule("norm:H_scsrs_nomatch")
@pytest.mark.parametrize("name", ["senvcfg", "scounteren"])
def test_registers_without_a_vs_copy(bare: Bare, name: str) -> None:
    """VS-mode reaches the supervisor's own register, VU-mode does not."""
    bare.allow()
    bare["hstateen0"] = MASK64
    bare["x10"] = 1
    assert bare.csr("VS", f"csrw {name}, a0") is None
    assert bare[name] == 1
    assert bare.csr("VU", f"csrr a1, {name}") == VIRTUAL


@rule("norm:hsxlen", "norm:vsxlen", "norm:hstatus_vsxl_op", "norm:hstatus_vsxl_64", "norm:vsxl_ro", "norm:vsstatus_uxl_op")
def test_everything_is_64_bits_wide(bare: Bare) -> None:
    """SXL, VSXL and both UXL read 2 whatever is written."""
    for value in (0, MASK64):
        for csr, field in (("mstatus", "SXL"), ("mstatus", "UXL"), ("hstatus", "VSXL"), ("vsstatus", "UXL"), ("sstatus", "UXL")):
            bare[csr] = value
            assert bare.field(csr, field) == 2
