"""The legacy SBI calls; they return in a0 alone."""

from __future__ import annotations

from rvhv.cpu.state import Call, Fence
from rvhv.sbi.harts import Machine
from rvhv.sbi.table import ERR_FAILED, SUCCESS, Function, Legacy, SbiRet, Supervisor


def console_putchar(caller: Supervisor, ch: int, a1: int, a2: int) -> SbiRet:
    caller.console.write(bytes((ch & 0xFF,)))
    return SUCCESS, None


def console_getchar(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    data = caller.console.read(1)
    return (data[0] if data else ERR_FAILED), None


def set_timer(caller: Supervisor, stime_value: int, a1: int, a2: int) -> SbiRet:
    caller.set_timer(stime_value)
    return SUCCESS, None


def remote_fence(kind: Fence) -> Function:
    """A fence of everything on every hart, which the mask's harts are among."""

    def remote_fence(caller: Machine, hart_mask: int, a1: int, a2: int) -> SbiRet:
        caller.remote_fence(range(caller.hart_count), kind, None, False)
        return SUCCESS, None

    return remote_fence


def shutdown(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    caller.power_off("powered off", False, False)
    return SUCCESS, None


def fence(eid: int, kind: Fence) -> Legacy:
    return Legacy(eid, "remote fence")(remote_fence(kind), Call.FENCE)


# what old guests still print and read with
CONSOLE = (Legacy(0x01, "console putchar")(console_putchar), Legacy(0x02, "console getchar")(console_getchar))
TIMER = Legacy(0x00, "set timer")(set_timer, Call.SET_TIMER)
FENCES = (fence(0x05, Fence.FENCE_I), *(fence(eid, Fence.SFENCE_VMA) for eid in (0x06, 0x07)))
SHUTDOWN = Legacy(0x08, "shutdown")(shutdown)
