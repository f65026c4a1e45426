"""SBI Hart State Management Extension: harts start, stop and wait."""

from __future__ import annotations

from rvhv.sbi.harts import Machine
from rvhv.sbi.table import (
    ERR_ALREADY_AVAILABLE,
    ERR_INVALID_ADDRESS,
    ERR_INVALID_PARAM,
    ERR_NOT_SUPPORTED,
    SUCCESS,
    Extension,
    SbiRet,
)

STARTED, STOPPED = 0, 1
RETENTIVE_SUSPEND = 0  # the default type, which returns; the others are the platform's

EXTENSION = Extension(0x48_534D, "HSM")


@EXTENSION.function(0)
def hart_start(caller: Machine, hartid: int, start_addr: int, opaque: int) -> SbiRet:
    if hartid >= caller.hart_count:
        return ERR_INVALID_PARAM, 0
    if caller.is_started(hartid):
        return ERR_ALREADY_AVAILABLE, 0
    if start_addr & 1 or not caller.ram.covers(start_addr, 2):
        return ERR_INVALID_ADDRESS, 0
    caller.start(hartid, start_addr, opaque)
    return SUCCESS, 0


@EXTENSION.function(1)
def hart_stop(caller: Machine, a0: int, a1: int, a2: int) -> SbiRet:
    caller.stop()
    return SUCCESS, 0


@EXTENSION.function(2)
def hart_get_status(caller: Machine, hartid: int, a1: int, a2: int) -> SbiRet:
    if hartid >= caller.hart_count:
        return ERR_INVALID_PARAM, 0
    return SUCCESS, STARTED if caller.is_started(hartid) else STOPPED


@EXTENSION.function(3)
def hart_suspend(caller: Machine, suspend_type: int, resume_addr: int, opaque: int) -> SbiRet:
    if suspend_type & 0xFFFF_FFFF != RETENTIVE_SUSPEND:
        return ERR_NOT_SUPPORTED, 0
    caller.suspend()
    return SUCCESS, 0
