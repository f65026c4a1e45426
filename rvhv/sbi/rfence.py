"""SBI RFENCE Extension. No cache of the machine is state: the store that changed a table or code has dropped what was derived
from it in every hart, so there is nothing left to do but to look at the arguments."""

from __future__ import annotations

from rvhv.sbi.harts import Machine, selected
from rvhv.sbi.table import ERR_INVALID_PARAM, SUCCESS, Extension, SbiRet

EXTENSION = Extension(0x5246_4E43, "RFENCE")


def remote_fence(caller: Machine, hart_mask: int, hart_mask_base: int, a2: int) -> SbiRet:
    return (SUCCESS if selected(caller, hart_mask, hart_mask_base) is not None else ERR_INVALID_PARAM), 0


# fence.i, sfence.vma, sfence.vma with an ASID, hfence.gvma with and without a VMID, hfence.vvma with and without an ASID
for fid in range(7):
    EXTENSION.function(fid)(remote_fence)
