"""SBI IPI Extension: software interrupts to other harts."""

from __future__ import annotations

from rvhv.cpu.state import Call
from rvhv.sbi.harts import Machine, selected
from rvhv.sbi.table import ERR_INVALID_PARAM, SUCCESS, Extension, SbiRet

EXTENSION = Extension(0x73_5049, "IPI")


@EXTENSION.function(0, Call.SEND_IPI)
def send_ipi(caller: Machine, hart_mask: int, hart_mask_base: int, a2: int) -> SbiRet:
    harts = selected(caller, hart_mask, hart_mask_base)
    if harts is None:
        return ERR_INVALID_PARAM, 0
    for hart in harts:
        caller.send_ipi(hart)
    return SUCCESS, 0
