"""SBI Timer Extension."""

from __future__ import annotations

from rvhv.cpu.state import Call
from rvhv.sbi.table import SUCCESS, Extension, SbiRet, Supervisor

EXTENSION = Extension(0x5449_4D45, "TIME")
function = EXTENSION.function


@function(0, Call.SET_TIMER)
def set_timer(caller: Supervisor, stime_value: int, a1: int, a2: int) -> SbiRet:
    caller.set_timer(stime_value)
    return SUCCESS, 0
