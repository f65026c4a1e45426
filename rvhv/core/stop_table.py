"""What the host stops a run for: the entries of `rvhv.cpu.stops` as Python makes and removes them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from typing import ClassVar

from rvhv.core.registry import ISA
from rvhv.cpu.state import (
    CSR_SEES_FCSR,
    CSR_SEES_FS,
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
    STOP_INTO_SHIFT,
    STOP_LOW,
    STOP_MODES_SHIFT,
    STOP_WORDS,
    STOPS_BASE,
    TRIGGERS,
)
from rvhv.errors import ConfigError

MASK64 = (1 << 64) - 1
MOST_STOPS = STOP_ENTRIES - TRIGGERS
INTERRUPT = 1 << 63  # in a trap's cause
CODES = 64  # that a catch can name
BY_THEMSELVES = frozenset({"pending", "time", "cycle", "instret"})  # what changes without an instruction that says so
FS_AND_SD = 3 << 13 | 1 << 63  # of a status register: floating-point instructions change them
STATUS_SLOTS = frozenset({"mstatus", "vsstatus"})


class Access(IntFlag):
    """What an instruction is about to do; an AMO reads and writes."""

    NONE = 0  # of a Stop that is about something else
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
class TrapStop(Stop):
    """A trap was taken that `add_trap_catch` asked for: `pc` is where it was taken at, and the hart is about to execute the first
    instruction of its handler. `address` is not used."""

    cause: int  # as the cause registers have it: bit 63 for an interrupt


@dataclass(frozen=True)
class CsrStop(Stop):
    """A CSR that `add_csr_watch` asked for was changed, by the instruction at `pc` or by the trap taken there, and that is over.
    `address` is the CSR's number."""

    csr: str
    old: int
    new: int


@dataclass(frozen=True)
class _Entry:
    number: int
    access: Access
    space: int  # and other flags
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
    """The breakpoints, watchpoints and catches of one hart, or of all harts of a machine.

    For a breakpoint or watchpoint the hart stops before the instruction executes: no step is counted, and the next run begins
    with that instruction. For a trap or a CSR it stops behind what happened. What the guest does, and when, is the same with and
    without them. What Python and devices do to memory and CSRs stops nothing.
    """

    NOT_STATE: ClassVar = ("*",)  # the debugger's

    def __init__(self) -> None:
        self._states: list[memoryview[int]] = []
        self._watchpoints: list[_Entry] = []
        self._breakpoints: list[_Entry] = []
        self._traps: list[_Entry] = []
        self._csrs: list[_Entry] = []
        self._groups = self._watchpoints, self._breakpoints, self._traps, self._csrs  # in the order of the table
        self._numbers = 0

    def attach(self, state: memoryview[int]) -> None:
        """A hart's state that these stops are for."""
        self._states.append(state)
        self._write(state)

    def add_breakpoint(self, address: int, bound: Bound = ANYONE) -> int:
        """Stop before the instruction at this virtual address; its number. Raises ConfigError."""
        if address % 2:
            raise ConfigError(f"a breakpoint at {address:#x}: no instruction begins at an odd address")
        return self._add_range(self._breakpoints, Access.EXECUTE, Space.VIRTUAL, address, 1, bound)

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
        return self._add_range(self._watchpoints, access, space, address, length, bound)

    def add_trap_catch(self, causes: Iterable[int] | None = None, into: Modes = Modes.ALL, bound: Bound = ANYONE) -> int:
        """Stop when a trap of one of these causes (bit 63: an interrupt; None: any) was taken into one of the modes M, S and VS,
        before the first instruction of its handler. `bound`: who is trapped. A trap to a mode that Python plays is its exit, and
        stops nothing here. The number. Raises ConfigError."""
        exceptions = interrupts = MASK64
        if causes is not None:
            exceptions = interrupts = 0
            for cause in causes:
                code = cause & ~INTERRUPT
                if not 0 <= code < CODES:
                    raise ConfigError(f"a cause {cause:#x} does not exist")
                if cause & INTERRUPT:
                    interrupts |= 1 << code
                else:
                    exceptions |= 1 << code
        modes = sum(1 << STOP_INTO_SHIFT + i for i, mode in enumerate((Modes.M, Modes.S, Modes.VS)) if mode & into)
        return self._add(self._traps, Access.NONE, modes, exceptions, interrupts, bound)

    def add_csr_watch(self, name: str, mask: int = MASK64, bound: Bound = ANYONE) -> int:
        """Stop when an instruction or a trap has changed one of these bits of a CSR; the number. With V=1 an S register's name
        means that register still, not the VS one that the guest reaches by it. Raises ConfigError for a CSR that is not there, or
        that changes by itself."""
        csr = ISA.csrs.get(name)
        if csr is None:
            raise ConfigError(f"there is no CSR {name!r}")
        if BY_THEMSELVES & _leaves(name):
            raise ConfigError(f"{name} changes by itself, as time passes or lines rise: it cannot be watched")
        return self._add(self._csrs, Access.NONE, 0, csr.number, mask & MASK64, bound)

    def remove(self, number: int) -> None:
        """Raises ConfigError for a number that nothing has."""
        for entries in self._groups:
            for entry in entries:
                if entry.number == number:
                    entries.remove(entry)
                    self._changed()
                    return
        raise ConfigError(f"there is no breakpoint or watchpoint {number}")

    def clear(self) -> None:
        """Remove all of them."""
        for entries in self._groups:
            entries.clear()
        self._changed()

    def __len__(self) -> int:
        return sum(len(entries) for entries in self._groups)

    def last(self, state: memoryview[int]) -> Stop:
        """What the hart of this state stopped for, after Exit.STOP and before a change to these stops."""
        index = state[SLOT["stop_entry"]] - TRIGGERS
        entry = [entry for entries in self._groups for entry in entries][index]
        if entry in self._traps:
            cause = state[SLOT["stop_address"]]
            return TrapStop(entry.number, Access.NONE, 0, state[SLOT["exec_pc"]], cause)
        if entry in self._csrs:
            name = ISA.csr_by_number[entry.low].name
            old, new = state[SLOT["stop_old"]], state[SLOT["stop_new"]]
            return CsrStop(entry.number, Access.NONE, entry.low, state[SLOT["exec_pc"]], name, old, new)
        access = Access(state[SLOT["stop_kind"]])
        return Stop(entry.number, access, state[SLOT["stop_address"]], state[SLOT["stop_pc"]])

    def _add_range(self, entries: list[_Entry], access: Access, space: Space, low: int, length: int, bound: Bound) -> int:
        high = low + length - 1
        if low < 0 or high > MASK64:
            raise ConfigError(f"{length} bytes at {low:#x} are not addresses of 64 bits")
        return self._add(entries, access, space, low, high, bound)

    def _add(self, entries: list[_Entry], access: Access, space: int, low: int, high: int, bound: Bound) -> int:
        if len(self) == MOST_STOPS:
            raise ConfigError(f"there are {MOST_STOPS} breakpoints, watchpoints and catches, which is the most: remove some")
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
        end = TRIGGERS
        for entries, slot in zip(self._groups, ("stops_watches", "stops_end", "stops_traps", "stops_csrs"), strict=True):
            for entry in entries:
                for i, word in enumerate(entry.words()):
                    state[at + i] = word
                at += STOP_WORDS
            end += len(entries)
            state[SLOT[slot]] = end
        state[SLOT["csr_floats"]] = self._floats()
        state[SLOT["csrs_left"]] = 0
        state[SLOT["stops_epoch"]] += 1

    def _floats(self) -> int:
        """What of the watched CSRs floating-point instructions may change."""
        sees = 0
        for entry in self._csrs:
            leaves = _leaves(ISA.csr_by_number[entry.low].name)
            if "fcsr" in leaves:
                sees |= CSR_SEES_FCSR
            if STATUS_SLOTS & leaves and entry.high & FS_AND_SD:
                sees |= CSR_SEES_FS
        return sees


def _leaves(csr: str) -> set[str]:
    """The slots and computed values that a CSR's value is made of."""
    return {str(node.args[0]) for node in ISA.csrs[csr].read.walk() if node.op == "leaf"}
