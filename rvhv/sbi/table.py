"""SBI extensions as tables of functions, and the dispatch of a supervisor's ecall (RISC-V SBI v3.0, "Binary Encoding").

Whoever plays the SBI (the hypervisor for a VM, the built-in firmware for a bare machine) composes an `Sbi` of the extensions that
it offers; the functions know their caller by what `Supervisor` says only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rvhv.cpu.state import CALL_LEGACY, SLOT, Call
from rvhv.machine.bus import GuestMemory

A0, A1, A2, A6, A7 = (SLOT[f"x{n}"] for n in (10, 11, 12, 16, 17))
MASK64 = (1 << 64) - 1
SUCCESS = 0
ERR_FAILED = -1 & MASK64
ERR_NOT_SUPPORTED = -2 & MASK64
ERR_INVALID_PARAM = -3 & MASK64
ERR_INVALID_ADDRESS = -5 & MASK64
ERR_ALREADY_AVAILABLE = -6 & MASK64
ERROR_NAMES = {
    SUCCESS: "SBI_SUCCESS",
    ERR_FAILED: "SBI_ERR_FAILED",
    ERR_NOT_SUPPORTED: "SBI_ERR_NOT_SUPPORTED",
    ERR_INVALID_PARAM: "SBI_ERR_INVALID_PARAM",
    ERR_INVALID_ADDRESS: "SBI_ERR_INVALID_ADDRESS",
    ERR_ALREADY_AVAILABLE: "SBI_ERR_ALREADY_AVAILABLE",
}
LEGACY_END = 0x10  # EIDs below: no FID, nothing in a1


class Ram(GuestMemory, Protocol):
    """A supervisor's physical memory."""

    def covers(self, gpa: int, n: int = 1) -> bool:
        """Whether all `n` bytes at `gpa` are RAM."""


class Console(Protocol):
    """A supervisor's debug console."""

    def write(self, data: bytes) -> None: ...
    def read(self, n: int) -> bytes: ...


class Supervisor(Protocol):
    """Who called: its memory and console, and what is done for it."""

    @property
    def sbi(self) -> Sbi: ...
    @property
    def ram(self) -> Ram: ...
    @property
    def console(self) -> Console: ...
    def set_timer(self, stime_value: int) -> None:
        """The timer interrupt comes at this time (ticks); one that pends for an earlier time is gone."""

    def power_off(self, how: str, failed: bool, reboot: bool) -> None:
        """End its machine. May raise instead of returning."""


class Words(Protocol):
    """Registers by number, 64 bits each."""

    def __getitem__(self, number: int, /) -> int: ...
    def __setitem__(self, number: int, value: int, /) -> None: ...


SbiRet = tuple[int, "int | None"]  # a0 and a1 (None: a1 is left alone)
Function = Callable[[Any, int, int, int], SbiRet]  # the caller, a0, a1, a2


class Extension:
    """An extension: FID -> function, filled by the decorator `@EXTENSION.function(fid)`."""

    def __init__(self, eid: int, name: str) -> None:
        self.eid, self.name = eid, name
        self.functions: dict[int, Function] = {}
        self.calls: dict[int, Call] = {}  # what the machine can do of them without Python, with the same result

    def function(self, fid: int, call: Call = Call.NONE) -> Callable[[Function], Function]:
        def enter(body: Function) -> Function:
            self.functions[fid] = body
            if call is not Call.NONE:
                self.calls[fid] = call
            return body

        return enter


class Legacy(Extension):
    """A legacy function: an extension of its own, without a FID."""

    def __call__(self, body: Function, call: Call = Call.NONE) -> Legacy:
        self.function(0, call)(body)
        return self


class Sbi:
    """The extensions that one kind of supervisor is offered."""

    def __init__(self, extensions: Iterable[Extension]) -> None:
        self.extensions = {extension.eid: extension for extension in extensions}

    def __contains__(self, eid: int) -> bool:
        return eid in self.extensions

    @property
    def calls(self) -> list[tuple[int, int, int]]:
        """Those that `Hart.answer_calls` takes."""
        return [
            (extension.eid, fid, call | (CALL_LEGACY if extension.eid < LEGACY_END else 0))
            for extension in self.extensions.values()
            for fid, call in extension.calls.items()
        ]

    def call(self, caller: Supervisor, state: Words) -> None:
        """Serve the ecall that trapped: arguments in a0.., FID in a6, EID in a7; error in a0, value in a1.

        `state` may be a hart's, which begins with them.
        """
        eid = state[A7]
        function = None
        if (extension := self.extensions.get(eid)) is not None:
            function = extension.functions.get(0 if eid < LEGACY_END else state[A6])
        if function is not None:
            error, value = function(caller, state[A0], state[A1], state[A2])
        else:
            error, value = ERR_NOT_SUPPORTED, None if eid < LEGACY_END else 0
        state[A0] = error
        if value is not None:
            state[A1] = value

    def describe(self, eid: int, fid: int) -> str:
        """The function's name, for people."""
        extension = self.extensions.get(eid)
        if extension is None:
            return f"function {fid:#x} of an unknown extension {eid:#x}"
        if eid < LEGACY_END:
            return f"{extension.functions[0].__name__} (legacy)"
        function = extension.functions.get(fid)
        if function is None:
            return f"function {fid:#x} of {extension.name}, which has none such"
        return f"{function.__name__} ({extension.name})"


def error_name(code: int) -> str:
    return ERROR_NAMES.get(code, f"{code:#x}")
