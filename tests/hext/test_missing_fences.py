"""The checker of missing fences: every fence, every kind of change, both stages (Privileged ISA, "Supervisor Memory-Management
Fence Instruction", "Hypervisor Memory-Management Fence Instructions", "Svinval")."""

from __future__ import annotations

import pytest

from rvhv.boot.firmware import BuiltIn
from rvhv.cpu.state import ARCH_BYTES, SLOT, Fence
from rvhv.fences.hart import CheckedHart
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from tests.hext.fenced import (
    ASID,
    FIRST,
    GPA,
    HS,
    RWX,
    SECOND,
    SV39,
    VA,
    VMID,
    VS,
    A,
    D,
    Fenced,
    G,
    M,
    R,
    U,
    V,
    pte,
)

OTHER_VA = VA + 0x1000
ALL = (1 << 64) - 1
SET_OPERANDS = f"li a3, {VA:#x}\nli a4, {ASID}\nli a5, {OTHER_VA:#x}\nli a6, {ASID + 1}\nli a7, {VMID}\nli t0, {GPA >> 2:#x}"
SINVAL = "sfence.w.inval\n{}\nsfence.inval.ir"

# the fence between the change of a leaf and the use, and whether it is the one
OF_LEAF = [
    ("", False),
    ("sfence.vma x0, x0", True),
    ("sfence.vma a3, x0", True),
    ("sfence.vma x0, a4", True),
    ("sfence.vma a3, a4", True),
    ("sfence.vma a5, x0", False),
    ("sfence.vma x0, a6", False),
    ("sfence.vma a3, a6", False),
    (SINVAL.format("sinval.vma a3, a4"), True),
    (SINVAL.format("sinval.vma x0, x0"), True),
    (SINVAL.format("sinval.vma a5, x0"), False),
    ("sinval.vma x0, x0\nsfence.inval.ir", False),  # stores are not ordered before it
    ("sfence.w.inval\nsinval.vma x0, x0", False),  # it is not ordered before the use
    ("hfence.vvma x0, x0\nhfence.gvma x0, x0", False),
    ("fence.i", False),
]  # fmt: skip


@pytest.mark.parametrize("fence, right", OF_LEAF)
def test_fences_of_a_leaf(fence: str, right: bool) -> None:
    t = Fenced()
    t.load(HS)
    store = t.store(HS, t.s.leaf, pte(SECOND))
    t.run(HS, f"{SET_OPERANDS}\n{fence}")
    use = t.load(HS)
    assert t.x("x11") == 2  # no cache is state
    if right:
        assert not t.reports
        return
    (report,) = t.reports
    assert (report.store_pc, report.use_pc, report.va, report.stage, report.level) == (store, use, VA, "S", 0)
    assert (report.old, report.new, report.spa) == (pte(FIRST), pte(SECOND), t.s.leaf)
    assert report.fence == f"sfence.vma with rs1 = {VA:#x} or x0, rs2 = ASID {ASID} or x0"


@pytest.mark.parametrize("mode", [HS, VS])
@pytest.mark.parametrize(
    "fence, right",
    [
        ("", False),
        ("sfence.vma a3, a4", False),
        ("sfence.vma a3, x0", False),
        ("sfence.vma x0, a4", True),
        ("sfence.vma x0, x0", True),
    ],
)
def test_fences_of_a_pointer(mode: tuple[int, int], fence: str, right: bool) -> None:
    """norm:sfence_vma_va_all_asid: with an address only leaf PTEs are ordered."""
    t = Fenced()
    tables = t.s if mode == HS else t.vs
    t.load(mode)
    other = FIRST + 0x8000
    t.store(mode, other, pte(SECOND))
    t.run(mode, "sfence.vma x0, x0")
    t.load(mode)
    t.store(mode, tables.mid, pte(other, V))
    t.run(mode, f"{SET_OPERANDS}\n{fence}")
    t.load(mode)
    assert t.x("x11") == 2
    assert [(r.level, r.old, r.new) for r in t.reports] == ([] if right else [(1, pte(tables.leaf, V), pte(other, V))])
    if not right:
        assert "rs1 = x0, rs2" in t.reports[0].fence


@pytest.mark.parametrize(
    "fence, right", [("sfence.vma x0, a4", False), ("sfence.vma a3, a4", False), ("sfence.vma a3, x0", True)]
)
def test_global_pages_need_a_fence_of_all_asids(fence: str, right: bool) -> None:
    t = Fenced()
    t.memory.write_u64(t.s.leaf, pte(FIRST, RWX | G))
    t.load(HS)
    t.store(HS, t.s.leaf, pte(SECOND, RWX | G))
    t.run(HS, f"{SET_OPERANDS}\n{fence}")
    t.load(HS)
    assert [r.fence.split(", ")[1] for r in t.reports] == ([] if right else ["rs2 = x0"])
    if not right:
        assert t.reports[0].narrow is not None and "does not cover it" in t.reports[0].sentence()


# the change, the access after it, whether it is reported: as a matter of course, and with spurious=True
CHANGES = [
    (pte(FIRST), pte(SECOND), "load", True, True),
    (pte(FIRST), 0, "load", True, True),
    (pte(FIRST), pte(FIRST, V | R | A | D), "load", False, False),  # it reads the same
    (pte(FIRST), pte(FIRST, V | R | A | D), "store", True, True),
    (pte(FIRST), pte(FIRST, RWX | U), "load", True, True),
    (pte(FIRST, V | R | A | D), pte(FIRST), "store", False, True),  # more than before: lazily
    (0, pte(FIRST), "load", False, True),
    (pte(FIRST, RWX & ~A), pte(FIRST), "load", False, True),
    (pte(FIRST), pte(FIRST, RWX & ~A), "load", False, False),
    (pte(FIRST), pte(FIRST, RWX & ~D), "store", True, True),
    (pte(FIRST), pte(FIRST, RWX) | 1 << 54, "load", True, True),  # reserved: a fault
]


@pytest.mark.parametrize("spurious", [False, True])
@pytest.mark.parametrize("old, new, access, stale, listed", CHANGES)
def test_what_a_change_must_be_to_matter(old: int, new: int, access: str, stale: bool, listed: bool, spurious: bool) -> None:
    t = Fenced(spurious=spurious)
    t.memory.write_u64(t.s.leaf, old)
    t.load(HS)
    t.store(HS, t.s.leaf, new)
    t.load(HS) if access == "load" else t.store(HS)
    assert len(t.reports) == (listed if spurious else stale)
    if spurious and listed and not stale:
        assert t.reports[0].spurious and "may fault though it need not" in t.reports[0].sentence()


def test_a_cleared_dirty_bit_matters_to_hardware_that_sets_it() -> None:
    """Svadu: a hart that has D=1 cached does not set it in memory."""
    t = Fenced()
    t["menvcfg"] = 1 << 61
    t.memory.write_u64(t.s.leaf, pte(FIRST, RWX & ~A & ~D))
    t.store(HS)
    assert t.memory.read_u64(t.s.leaf) == pte(FIRST) and not t.reports  # what the hart sets itself needs no fence
    t.store(HS, t.s.leaf, pte(FIRST, RWX & ~D))
    t.load(HS)
    assert not t.reports
    t.store(HS)
    (report,) = t.reports
    assert (report.old, report.new) == (pte(FIRST), pte(FIRST, RWX & ~D))


def test_memory_types_matter() -> None:
    t = Fenced()
    t["menvcfg"] = 1 << 62
    t.load(HS)
    t.store(HS, t.s.leaf, pte(FIRST) | 2 << 61)
    t.load(HS)
    assert len(t.reports) == 1


def test_splitting_a_superpage_into_the_same_pages_is_no_matter() -> None:
    t = Fenced()
    t.memory.write_u64(t.s.mid, pte(0x8000_0000))
    t.load(HS, VA + 0x60000)
    t.store(HS, t.s.leaf + 8 * 0x60, pte(FIRST))
    t.store(HS, t.s.mid, pte(t.s.leaf, V))
    t.load(HS, VA + 0x60000)
    assert not t.reports
    t.store(HS, t.s.leaf + 8 * 0x60, pte(SECOND))
    t.load(HS, VA + 0x60000)
    assert {(r.level, r.old) for r in t.reports} & {(1, pte(0x8000_0000)), (0, pte(FIRST))}


@pytest.mark.parametrize("fence", ["", "sfence.vma x0, a4", "sfence.vma x0, x0", "sfence.vma a3, x0"])
def test_an_asid_that_gets_another_root(fence: str) -> None:
    t = Fenced()
    vs_root = t.vs.root
    t.memory.write_u64(t.vs.leaf, pte(SECOND))
    t.load(HS)
    csrw = t.run(HS, f"{SET_OPERANDS}\nli a0, {SV39 | ASID << 44 | vs_root >> 12:#x}\nmv a1, a0") and t.run(HS, "csrw satp, a0")
    t.run(HS, fence)
    use = t.load(HS)
    assert t.x("x11") == 2
    if "x0, " in fence:
        assert not t.reports
        return
    assert {(r.store_pc, r.use_pc, r.level) for r in t.reports} == {(csrw, use, None)}
    assert "changed satp" in t.reports[0].sentence()
    assert t.reports[0].fence == f"sfence.vma with rs1 = x0, rs2 = ASID {ASID} or x0"


def test_another_asid_is_another_space() -> None:
    t = Fenced()
    t.memory.write_u64(t.vs.leaf, pte(SECOND))
    t.load(HS)
    t.run(HS, f"li a0, {SV39 | ASID + 1 << 44 | t.vs.root >> 12:#x}\ncsrw satp, a0")
    t.load(HS)
    assert t.x("x11") == 2 and not t.reports


# who changes the VS-stage, who fences how, whether it is right
OF_VS_STAGE = [
    (VS, VS, "", False),
    (VS, VS, "sfence.vma x0, x0", True),
    (VS, VS, "sfence.vma a3, a4", True),
    (VS, VS, "sfence.vma a5, a4", False),
    (VS, VS, SINVAL.format("sinval.vma a3, x0"), True),
    (VS, HS, "sfence.vma x0, x0", False),  # HS-mode's is for satp
    (HS, HS, "hfence.vvma x0, x0", True),
    (HS, HS, "hfence.vvma a3, a4", True),
    (HS, HS, "hfence.vvma a3, a6", False),
    (HS, HS, SINVAL.format("hinval.vvma a3, a4"), True),
    (HS, HS, "hinval.vvma a3, a4", False),
    (HS, HS, "hfence.gvma x0, x0", False),
    (HS, HS, f"csrr s0, hgatp\nli s1, {1 << 44:#x}\nadd s1, s0, s1\ncsrw hgatp, s1\nhfence.vvma x0, x0\ncsrw hgatp, s0", False),
]


@pytest.mark.parametrize("changer, fencer, fence, right", OF_VS_STAGE)
def test_fences_of_the_vs_stage(changer: tuple[int, int], fencer: tuple[int, int], fence: str, right: bool) -> None:
    """norm: hfence.vvma and VS-mode's sfence.vma are for the VMID in hgatp."""
    t = Fenced()
    t["menvcfg"] = 0
    t.load(VS)
    assert t.x("x11") == 1
    store = t.store(changer, t.vs.leaf, pte(SECOND))
    t.run(fencer, f"{SET_OPERANDS}\n{fence}")
    use = t.load(VS)
    assert t.x("x11") == 2 and t.cause is None
    expected = [] if right else [(store, use, "VS", 0, pte(GPA), pte(SECOND))]
    assert [(r.store_pc, r.use_pc, r.stage, r.level, r.old, r.new) for r in t.reports] == expected
    if not right:
        assert t.reports[0].fence.startswith("sfence.vma" if changer == VS else "hfence.vvma")


OF_G_STAGE = [
    ("", False),
    ("hfence.gvma x0, x0", True),
    ("hfence.gvma t0, x0", True),
    ("hfence.gvma t0, a7", True),
    ("hfence.gvma x0, a7", True),
    ("slli t0, t0, 2\nhfence.gvma t0, x0", False),  # norm: rs1 is the address shifted right by two
    ("hfence.gvma x0, a6", False),
    ("hfence.vvma x0, x0", False),
    ("sfence.vma x0, x0", False),
    (SINVAL.format("hinval.gvma t0, a7"), True),
    ("hinval.gvma t0, a7", False),
]


@pytest.mark.parametrize("fence, right", OF_G_STAGE)
def test_fences_of_the_g_stage(fence: str, right: bool) -> None:
    t = Fenced()
    t.load(VS)
    store = t.store(HS, t.g.leaf, pte(SECOND, RWX | U))
    t.run(HS, f"{SET_OPERANDS}\n{fence}")
    use = t.load(VS)
    assert t.x("x11") == 2
    found = [(r.store_pc, r.use_pc, r.va, r.address, r.stage, r.level) for r in t.reports]
    assert found == ([] if right else [(store, use, VA, GPA, "G", 0)])
    if not right:
        assert t.reports[0].fence == f"hfence.gvma with rs1 = {GPA >> 2:#x} (gpa >> 2) or x0, rs2 = VMID {VMID} or x0"


def test_a_table_of_the_guest_that_moves_is_the_g_stage_s_matter() -> None:
    """The G-stage of VS-stage tables: an implicit access is a use."""
    t = Fenced()
    moved = GPA + 0x1000
    t.memory.write_u64(t.g.leaf + 8, pte(t.vs.leaf, RWX | U))
    t.memory.write_u64(t.vs.mid, pte(moved, V))
    t.load(VS)
    other = FIRST + 0x9000
    t.memory.write_u64(other, pte(SECOND))
    t.store(HS, t.g.leaf + 8, pte(other, RWX | U))
    t.load(VS)
    assert t.x("x11") == 2
    assert [(r.stage, r.address) for r in t.reports] == [("G", moved)]


@pytest.mark.parametrize("fenced", [False, True])
def test_python_as_the_hypervisor(fenced: bool) -> None:
    """Its edits are changes like others, and so are its fences."""
    t = Fenced()
    t.load(VS)
    t.memory.write_u64(t.g.leaf, pte(SECOND, RWX | U))
    if fenced:
        t.hart.fence(Fence.HFENCE_GVMA, GPA, space=VMID)
    t.load(VS)
    assert [(r.store_pc, r.stage) for r in t.reports] == ([] if fenced else [(None, "G")])
    if not fenced:
        assert "the hypervisor, firmware or a device changed" in t.reports[0].sentence()


@pytest.mark.parametrize("kind, right", [(Fence.HFENCE_VVMA, True), (Fence.SFENCE_VMA, False), (Fence.HFENCE_GVMA, False)])
def test_python_fences_a_stage(kind: Fence, right: bool) -> None:
    t = Fenced()
    t.load(VS)
    t.memory.write_u64(t.vs.leaf, pte(SECOND))
    t.hart.fence(kind)
    t.load(VS)
    assert len(t.reports) == (not right)


def test_looking_is_no_use() -> None:
    t = Fenced()
    t.mode(*HS)
    assert t.hart.find(VA, 1) == FIRST
    t.store(HS, t.s.leaf, pte(SECOND))
    t.load(HS)
    assert t.x("x11") == 2 and not t.reports


def test_hlv_uses_the_guests_translations() -> None:
    t = Fenced()
    t["hstatus"] = 1 << 8
    t.run(HS, f"li a0, {VA:#x}\nhlv.d a1, (a0)")
    t.store(HS, t.vs.leaf, pte(SECOND))
    t.run(HS, "hlv.d a1, (a0)" if t.run(HS, f"li a0, {VA:#x}") else "")
    assert t.x("x11") == 2 and [r.stage for r in t.reports] == ["VS"]


def test_the_same_pair_counts() -> None:
    """One report for a pair of pcs, however often."""
    t = Fenced()
    t.load(HS)
    t.run(
        HS,
        f"li a0, {VA:#x}\nli a2, {t.s.leaf:#x}\nli a3, {pte(FIRST):#x}\nli a4, {pte(SECOND):#x}\nli a5, 3\n"
        "again:\nsd a4, (a2)\nld a1, (a0)\nsd a3, (a2)\nld a1, (a0)\naddi a5, a5, -1\nbnez a5, again",
    )
    assert len(t.reports) == 2 and t.checker.count == 6
    assert all(r.sentence().endswith("(3 times)") for r in t.reports)


@pytest.mark.parametrize("fence", ["", "fence.i", "sfence.vma x0, x0", "fence rw, rw"])
def test_code_needs_fence_i(fence: str) -> None:
    t = Fenced()
    buffer = FIRST
    t.run(M, f"li a0, {buffer:#x}\nli a1, 0x00008067\nli a2, 0x00108093\nsw a1, (a0)\nfence.i\njalr ra, (a0)")
    assert not t.reports
    at = t.run(M, f"sw a1, 4(a0)\nsw a1, (a0)\n{fence}\njalr ra, (a0)")
    found = [(r.kind, r.store_pc, r.use_pc, r.fence) for r in t.reports]
    assert found == ([] if fence == "fence.i" else [("code", at + 4, buffer, "fence.i")])


@pytest.mark.parametrize("remote", [False, True])
def test_a_fence_is_the_harts_own(remote: bool) -> None:
    """The other hart goes on with what it has cached, until it fences itself or is made to."""
    t = Fenced()
    other = CheckedHart(t.memory, t.checker, hartid=1)
    block = bytearray(ARCH_BYTES)

    def load_there() -> int:
        """The first hart's state goes to the other, which makes the load that comes next."""
        at = t.run(HS, f"li a0, {VA:#x}\nnop")
        t["pc"] = at = t.run(HS, "ld a1, (a0)")
        t.hart.save(block)
        other.restore(block)
        other.fence(Fence.FENCE_I)
        other.run(1)
        return at

    load_there()
    t.store(HS, t.s.leaf, pte(SECOND))
    t.run(HS, "sfence.vma x0, x0")
    if remote:
        other.fence(Fence.SFENCE_VMA, VA, space=ASID)
    use = load_there()
    assert [(r.hart, r.use_pc) for r in t.reports] == ([] if remote else [(1, use)])
    if not remote:
        assert "on hart 1" in t.reports[0].sentence()


@pytest.mark.parametrize("mask, size, where, harts", [(3, 4096, VA, (0, 1)), (3, ALL, None, (0, 1)), (1, ALL, None, (0,))])
def test_the_firmware_fences_other_harts(
    mask: int, size: int, where: int | None, harts: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SBI RFENCE: only the harts in the mask, only what the call says."""
    fences: list[tuple[int, Fence, int | None, int | None]] = []

    def fence(self: object, hart: int, kind: Fence, hgatp: int, at: int | None, size: int, space: int | None) -> None:
        fences.append((hart, kind, at, space))

    monkeypatch.setattr("rvhv.fences.checker.FenceChecker.fence", fence)
    machine = Machine(Memory(4 << 20), harts=2, check_fences=True)
    firmware = BuiltIn(machine)
    state = machine.harts[0].state
    call = {"mcause": 9, "x17": 0x5246_4E43, "x16": 2, "x10": mask, "x11": 0, "x12": VA, "x13": size, "x14": ASID}
    for name, value in call.items():
        state[SLOT[name]] = value
    firmware.trap(machine.harts[0])
    assert state[SLOT["x10"]] == 0
    assert fences == [(hart, Fence.SFENCE_VMA, where, ASID) for hart in harts]
