"""The host's breakpoints and watchpoints: the entries of `rvhv.cpu.stops` as Python makes and removes them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar

from rvhv.cpu.state import (
    SLOT,
    STOP_ATP,
    STOP_BY_ATP,
    STOP_BY_HGATP,
    STOP_ENTRIES,
    STOP_FLAGS,
    STOP_GUEST_PHYSICAL,
    STOP_HGATP,
    STOP_HIGH,
    STOP_HOST_PHYSICAL,
    STOP_LOW,
    STOP_MODES_SHIFT,
    STOP_WORDS,
    STOPS_BASE,
    TRIGGERS,
)
from rvhv.errors import ConfigError

MASK64 = (1 << 64) - 1
MOST_STOPS = STOP_ENTRIES - TRIGGERS


class Access(IntFlag):
    """What an instruction is about to do; an AMO reads and writes."""

    READ = 1
    WRITE = 2
    EXECUTE = 4


class Space(IntEnum):
    """What the addresses of a watchpoint are. Guest physical ones match accesses made with V=1 (HLV and HSV too)."""

    VIRTUAL = 0
    GUEST_PHYSICAL = STOP_GUEST_PHYSICAL
    HOST_PHYSICAL = STOP_HOST_PHYSICAL


class Modes(IntFlag):
    """Modes that a stop is for: bit prv + 4 * v."""

    U, S, M = 1 << 0, 1 << 1, 1 << 3
    VU, VS = 1 << 4, 1 << 5
    ALL = U | S | M | VU | VS


@dataclass(frozen=True)
class Bound:
    """Who a stop is for. `hgatp`: the guest under this root; `atp`: the address space with this satp (vsatp where V=1), which
    M-mode is never in."""

    modes: Modes = Modes.ALL
    hgatp: int | None = None
    atp: int | None = None


ANYONE = Bound()


@dataclass(frozen=True)
class Stop:
    """Why `run` returned Exit.STOP: the instruction at `pc` is about to do `access` at `address`, where it begins (on its page,
    where the space is a physical one). `number` is what `add_breakpoint` or `add_watchpoint` gave."""

    number: int
    access: Access
    address: int
    pc: int


@dataclass(frozen=True)
class _Entry:
    number: int
    access: Access
    space: Space
    low: int
    high: int
    bound: Bound

    def words(self) -> list[int]:
        flags = self.access | self.space | self.bound.modes << STOP_MODES_SHIFT
        words = [0] * STOP_WORDS
        if self.bound.hgatp is not None:
            flags |= STOP_BY_HGATP
            words[STOP_HGATP] = self.bound.hgatp
        if self.bound.atp is not None:
            flags |= STOP_BY_ATP
            words[STOP_ATP] = self.bound.atp
        words[STOP_FLAGS], words[STOP_LOW], words[STOP_HIGH] = flags, self.low, self.high
        return words


class Stops:
    """The breakpoints and watchpoints of one hart, or of all harts of a machine.

    The hart stops before the instruction executes: no step is counted, and the next run begins with that instruction. What the
    guest does, and when, is the same with and without them. What Python and devices do to memory stops nothing.
    """

    NOT_STATE: ClassVar = ("*",)  # the debugger's

    def __init__(self) -> None:
        self._states: list[memoryview[int]] = []
        self._watchpoints: list[_Entry] = []
        self._breakpoints: list[_Entry] = []
        self._numbers = 0

    def attach(self, state: memoryview[int]) -> None:
        """A hart's state that these stops are for."""
        self._states.append(state)
        self._write(state)

    def add_breakpoint(self, address: int, bound: Bound = ANYONE) -> int:
        """Stop before the instruction at this virtual address; its number. Raises ConfigError."""
        if address % 2:
            raise ConfigError(f"a breakpoint at {address:#x}: no instruction begins at an odd address")
        return self._add(self._breakpoints, Access.EXECUTE, Space.VIRTUAL, address, 1, bound)

    def add_watchpoint(
        self,
        address: int,
        length: int = 1,
        access: Access = Access.WRITE,
        *,
        space: Space = Space.VIRTUAL,
        bound: Bound = ANYONE,
    ) -> int:
        """Stop before an instruction that reads or writes one of these bytes; its number. Raises ConfigError."""
        if not access or access & Access.EXECUTE:
            raise ConfigError("a watchpoint is for reading, writing or both")
        if length < 1:
            raise ConfigError(f"a watchpoint of {length} bytes is too short: give at least 1")
        return self._add(self._watchpoints, access, space, address, length, bound)

    def remove(self, number: int) -> None:
        """Raises ConfigError for a number that nothing has."""
        for entries in (self._watchpoints, self._breakpoints):
            for entry in entries:
                if entry.number == number:
                    entries.remove(entry)
                    self._changed()
                    return
        raise ConfigError(f"there is no breakpoint or watchpoint {number}")

    def clear(self) -> None:
        """Remove all of them."""
        self._watchpoints.clear()
        self._breakpoints.clear()
        self._changed()

    def __len__(self) -> int:
        return len(self._watchpoints) + len(self._breakpoints)

    def last(self, state: memoryview[int]) -> Stop:
        """What the hart of this state stopped for, after Exit.STOP and before a change to these stops."""
        entry = (self._watchpoints + self._breakpoints)[state[SLOT["stop_entry"]] - TRIGGERS]
        access = Access(state[SLOT["stop_kind"]])
        return Stop(entry.number, access, state[SLOT["stop_address"]], state[SLOT["stop_pc"]])

    def _add(self, entries: list[_Entry], access: Access, space: Space, low: int, length: int, bound: Bound) -> int:
        high = low + length - 1
        if low < 0 or high > MASK64:
            raise ConfigError(f"{length} bytes at {low:#x} are not addresses of 64 bits")
        if len(self) == MOST_STOPS:
            raise ConfigError(f"there are {MOST_STOPS} breakpoints and watchpoints, and there can be no more: remove some")
        self._numbers += 1
        entries.append(_Entry(self._numbers, access, space, low, high, bound))
        self._changed()
        return self._numbers

    def _changed(self) -> None:
        for state in self._states:
            self._write(state)

    def _write(self, state: memoryview[int]) -> None:
        """Put the entries behind those of the triggers; they take effect when the hart runs."""
        at = STOPS_BASE + TRIGGERS * STOP_WORDS
        for entry in self._watchpoints + self._breakpoints:
            for i, word in enumerate(entry.words()):
                state[at + i] = word
            at += STOP_WORDS
        state[SLOT["stops_watches"]] = TRIGGERS + len(self._watchpoints)
        state[SLOT["stops_end"]] = TRIGGERS + len(self)
        state[SLOT["stops_epoch"]] += 1
