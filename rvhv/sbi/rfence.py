"""SBI RFENCE Extension. No cache of the machine is state: the store that changed a table or code has dropped what was derived
from it in every hart. What is left is to look at the arguments, and to tell those who check fences."""

from __future__ import annotations

from rvhv.cpu.state import SLOT, Call, Fence
from rvhv.sbi.harts import Machine, selected
from rvhv.sbi.table import ERR_INVALID_PARAM, MASK64, SUCCESS, Extension, Function, SbiRet

A3, A4 = SLOT["x13"], SLOT["x14"]
EXTENSION = Extension(0x5246_4E43, "RFENCE")
WITHOUT_H = Extension(EXTENSION.eid, EXTENSION.name)  # of harts that have no H extension


def remote_fence(kind: Fence, one_space: bool) -> Function:
    """A function of the extension; `one_space`: its last argument is an ASID or VMID."""

    def remote_fence(caller: Machine, hart_mask: int, hart_mask_base: int, start_addr: int) -> SbiRet:
        harts = selected(caller, hart_mask, hart_mask_base)
        if harts is None:
            return ERR_INVALID_PARAM, 0
        caller.remote_fence(harts, kind, start_addr, one_space)
        return SUCCESS, 0

    return remote_fence


FUNCTIONS = (
    (Fence.FENCE_I, False),
    (Fence.SFENCE_VMA, False),
    (Fence.SFENCE_VMA, True),
    (Fence.HFENCE_GVMA, True),
    (Fence.HFENCE_GVMA, False),
    (Fence.HFENCE_VVMA, True),
    (Fence.HFENCE_VVMA, False),
)
OF_H = frozenset({Fence.HFENCE_GVMA, Fence.HFENCE_VVMA})
for fid, (fence, of_one_space) in enumerate(FUNCTIONS):
    for extension in (EXTENSION,) if fence in OF_H else (EXTENSION, WITHOUT_H):
        extension.function(fid, Call.FENCE)(remote_fence(fence, of_one_space))


def operands(state: memoryview[int], start_addr: int | None, one_space: bool) -> tuple[int | None, int, int | None]:
    """Of a call in `state`: where its fence starts (None: all addresses), its size, and the ASID or VMID (None: all)."""
    size = state[A3]
    if size == MASK64 or (start_addr == 0 and size == 0):
        start_addr = None  # SBI: the full address space
    return start_addr, size, state[A4] if one_space else None
