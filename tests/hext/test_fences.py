"""ISA manual, H extension, "Hypervisor Memory-Management Fence Instructions", "Memory-Management Fences"; Svinval.

No cache is state here, so what a fence would order is in order without it; what remains is who may execute one, and that
translations follow their tables.
"""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import ILLEGAL, MASK64, VIRTUAL, Bare
from tests.hext.rules import rule
from tests.hext.tables import ALL, DATA, GVA, TwoStage

TVM, VTVM = 1 << 20, 1 << 20
VVMA = ("hfence.vvma x0, x0", "hfence.vvma a0, a1", "hinval.vvma x0, x0", "hinval.vvma a0, a1")
GVMA = ("hfence.gvma x0, x0", "hfence.gvma a0, a1", "hinval.gvma x0, x0", "hinval.gvma a0, a1")
SVMA = ("sfence.vma x0, x0", "sfence.vma a0, a1", "sinval.vma a0, a1")
INVAL = ("sfence.w.inval", "sfence.inval.ir")


def refusal(text: str, mode: str, tvm: bool, vtvm: bool) -> int | None:
    if mode == "M":
        return None
    hypervisor = text in VVMA + GVMA
    if mode[0] == "V":
        return VIRTUAL if hypervisor or mode == "VU" or (vtvm and text in SVMA) else None
    return ILLEGAL if mode == "U" or (tvm and text in GVMA + SVMA) else None


@rule(
    "norm:hfence-vvma_mode",
    "norm:hfence-vvma_tvm",
    "norm:hfence-gvma_op",
    "norm:hfence-vvma_hfence-gvma_exceptions",
    "norm:mstatus_tvm_hs",
    "norm:hstatus_vtvm_op",
    "norm:H_virtinst_vu_sret_sfence",
)
@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
@pytest.mark.parametrize("text", VVMA + GVMA + SVMA + INVAL)
def test_who_may_fence(bare: Bare, text: str, mode: str) -> None:
    for tvm, vtvm in product((False, True), repeat=2):
        bare["mstatus"], bare["hstatus"] = TVM * tvm, VTVM * vtvm
        assert bare.csr(mode, text) == refusal(text, mode, tvm, vtvm), (tvm, vtvm)


@rule("norm:hfence-vvma_asid", "norm:hfence-gvma_vmid", "norm:hfence-vvma_limits")
@pytest.mark.parametrize("text", ["hfence.vvma a0, a1", "hfence.gvma a0, a1", "sfence.vma a0, a1", "hinval.gvma a0, a1"])
def test_any_operands_are_taken(bare: Bare, text: str) -> None:
    """Reserved bits of an ASID, VMID or address are ignored."""
    for a0, a1 in product((0, 1, MASK64, 1 << 63, 1 << 14, 1 << 16), repeat=2):
        bare["x10"], bare["x11"] = a0, a1
        assert bare.csr("HS", text) is None


@rule(
    "norm:hfence-vvma_hfence-gvma_op",
    "norm:hfence-gvma_mode",
    "norm:sfence_vma_v0",
    "norm:sfence_vma_v1",
    "norm:hfence-vvma_mode",
    "norm:hfence-gvma_op",
)
@pytest.mark.parametrize("fence", ["hfence.vvma x0, x0", "hfence.gvma x0, x0", "nop"])
@pytest.mark.parametrize("stage", ["vs", "g"])
def test_translations_follow_their_tables(bare: Bare, stage: str, fence: str) -> None:
    """Mapped, taken away, mapped elsewhere: after any fence, and (more than the rule asks for) without one."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    bare.memory.write_u64(DATA, 1)
    bare.memory.write_u64(DATA - 4096, 2)
    bare["x11"] = GVA
    place, cause = (guest.vs.entry(GVA), 13) if stage == "vs" else (guest.g.entry(DATA), 21)
    flags = ALL if stage == "vs" else ALL | 0x10

    def access() -> int | None:
        assert bare.csr("HS", fence) is None
        return bare.csr("HS", "hlv.d a0, (a1)")

    assert access() is None and bare["x10"] == 1
    guest.vs.put(place, 0)
    assert access() == cause
    guest.vs.put(place, DATA - 4096 >> 2 | flags)
    assert access() is None and bare["x10"] == 2


@rule("norm:hfence-gvma_mode")
def test_a_change_of_mode(bare: Bare) -> None:
    """hgatp.MODE to Bare and back, under the same VMID."""
    guest = TwoStage(bare)
    guest.g.map(DATA, DATA - 4096)
    bare.memory.write_u64(DATA, 1)
    bare.memory.write_u64(DATA - 4096, 2)
    bare["x11"] = GVA
    for atp, value in ((guest.g.atp, 2), (0, 1), (guest.g.atp, 2)):
        bare["hgatp"] = atp
        assert bare.csr("HS", "hlv.d a0, (a1)") is None
        assert bare["x10"] == value


@rule("norm:hfence-vvma_limits", "norm:sfence_vma_v1")
def test_one_vms_translations_are_not_anothers(bare: Bare) -> None:
    """Two VMs with different tables and equal gva, vsatp and ASID; VMIDs equal or not."""
    guest = TwoStage(bare)
    bare.memory.write_u64(DATA, 1)
    bare.memory.write_u64(DATA - 4096, 2)
    from tests.hext.bare import BASE
    from tests.hext.tables import Tables

    other = Tables(bare, 8, BASE + 0x30000, wide=True)
    for page in range(BASE, DATA, 4096):
        other.map(page, page)
    other.map(DATA, DATA - 4096)
    bare["x11"] = GVA
    for vmid in (0, 5):
        for _ in range(2):
            bare["hgatp"] = guest.g.atp
            assert bare.csr("HS", "hlv.d a0, (a1)") is None and bare["x10"] == 1
            bare["hgatp"] = other.atp | vmid << 44
            assert bare.csr("HS", "hlv.d a0, (a1)") is None and bare["x10"] == 2
