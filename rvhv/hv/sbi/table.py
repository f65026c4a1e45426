"""The table of SBI functions and the dispatch of an ecall from VS-mode (RISC-V SBI v3.0, "Binary Encoding")."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rvhv.hv import registers as r

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MASK64 = (1 << 64) - 1
SUCCESS = 0
ERR_FAILED = -1 & MASK64
ERR_NOT_SUPPORTED = -2 & MASK64
ERR_INVALID_PARAM = -3 & MASK64
ERROR_NAMES = {
    SUCCESS: "SBI_SUCCESS",
    ERR_FAILED: "SBI_ERR_FAILED",
    ERR_NOT_SUPPORTED: "SBI_ERR_NOT_SUPPORTED",
    ERR_INVALID_PARAM: "SBI_ERR_INVALID_PARAM",
}
LEGACY_END = 0x10  # EIDs below: no FID, nothing in a1

SbiRet = tuple[int, "int | None"]  # a0 and a1 (None: a1 is left alone)
Function = Callable[["VM", int, int, int], SbiRet]  # the VM, a0, a1, a2

EXTENSIONS: dict[int, dict[int, Function]] = {}  # EID -> FID -> function
LEGACY: dict[int, Function] = {}  # EID -> function
NAMES: dict[int, str] = {}  # EID -> extension's name


def extension(eid: int, name: str) -> Callable[[int], Callable[[Function], Function]]:
    """A decorator `@function(fid)` that enters functions of the extension `eid` into the table."""
    NAMES[eid] = name
    functions = EXTENSIONS.setdefault(eid, {})

    def function(fid: int) -> Callable[[Function], Function]:
        def enter(body: Function) -> Function:
            functions[fid] = body
            return body

        return enter

    return function


def legacy(eid: int, name: str) -> Callable[[Function], Function]:
    """A decorator that enters a legacy function."""
    NAMES[eid] = name

    def enter(body: Function) -> Function:
        LEGACY[eid] = body
        return body

    return enter


def call(vm: VM) -> None:
    """Serve the ecall that trapped: arguments in a0.., FID in a6, EID in a7; error in a0, value in a1."""
    state = vm.hart.state
    eid = state[r.A7]
    functions = EXTENSIONS.get(eid)
    function = LEGACY.get(eid) if functions is None else functions.get(state[r.A6])
    if function is not None:
        error, value = function(vm, state[r.A0], state[r.A1], state[r.A2])
    else:
        error, value = ERR_NOT_SUPPORTED, None if eid < LEGACY_END else 0
    state[r.A0] = error
    if value is not None:
        state[r.A1] = value


def describe(eid: int, fid: int) -> str:
    """The function's name, for people."""
    if eid in LEGACY:
        return f"{LEGACY[eid].__name__} (legacy)"
    function = EXTENSIONS.get(eid, {}).get(fid)
    if function is not None:
        return f"{function.__name__} ({NAMES[eid]})"
    if eid in NAMES:
        return f"function {fid:#x} of {NAMES[eid]}, which has none such"
    return f"function {fid:#x} of an unknown extension {eid:#x}"


def error_name(code: int) -> str:
    return ERROR_NAMES.get(code, f"{code:#x}")
