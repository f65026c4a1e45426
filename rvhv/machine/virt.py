"""The bare machine: one to eight harts on the board of QEMU's `virt`.

The harts take turns on one host thread, a fixed quantum of steps each, in the order of their numbers; one that waits in WFI is
left out. All share one clock, which every step of any hart moves on by 1 ns: time never goes back between harts, and a machine
of n busy harts takes n times as long for the same work. When all wait, the clock jumps to the next deadline. An LR reservation
ends when its hart's turn does, so no store of another hart can come between an LR and an SC that succeeds. What a run does is
a function of its inputs.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

from rvhv.core.registry import ISA
from rvhv.core.stop_table import Stop, Stops
from rvhv.cpu.csrs import MEIP, MTIP, SEIP, STIP, VSTIP
from rvhv.cpu.state import NO_RESERVATION, SLOT, STEPS_PER_TICK, Exit
from rvhv.errors import ConfigError
from rvhv.fences.checker import FenceChecker
from rvhv.fences.hart import CheckedHart
from rvhv.hart import Hart
from rvhv.jit.engine import close_engine
from rvhv.machine import virt_board as board
from rvhv.machine.bus import Bus, BusFault, GuestMemoryFault
from rvhv.machine.clint import Clint
from rvhv.machine.events import Event, Events
from rvhv.machine.finisher import Finisher
from rvhv.machine.htif import Htif
from rvhv.machine.memory import Memory
from rvhv.machine.plic import Plic
from rvhv.machine.rtc import Rtc
from rvhv.machine.uart import Uart

QUANTUM = 10_000  # steps of a hart's turn
QUANTUM_ALONE = 1_000_000  # where there is no other hart
CHUNK = 1_000_000  # steps at most in one call of a hart, which nothing can interrupt: well under 0.2 s
JUMP_COST = 1000  # what an idle jump takes off the steps of one `run`, so that a machine that only waits returns too
MASK64 = (1 << 64) - 1
MOST_WARNINGS = 5  # about one machine's drivers

log = logging.getLogger(__name__)

STEPS, CLOCK, VM_STEPS, TRAP_STEPS = (SLOT[n] for n in ("steps", "clock", "vm_steps", "trap_steps"))
IRQ_LINES, MIE, RESERVATION, TRAPS_IN_A_ROW = (SLOT[n] for n in ("irq_lines", "mie", "reservation", "traps_in_a_row"))
CALLS = SLOT["calls"]
TRAP_CAUGHT = SLOT["trap_caught"]
MMIO_SPA, MMIO_SIZE, MMIO_WRITE, MMIO_VALUE = (SLOT[n] for n in ("mmio_spa", "mmio_size", "mmio_write", "mmio_value"))
BUDGET, MMIO = Exit.BUDGET.value, Exit.MMIO.value  # plain ints: they are compared often


@dataclass(frozen=True, slots=True)
class End:
    """How a machine ended. `code` is what the software told, 0 for fine; `reboot`: it wants to start again."""

    reason: str
    code: int = 0
    reboot: bool = False

    @property
    def failed(self) -> bool:
        return self.code != 0


class Firmware(Protocol):
    """M-mode in Python: what a machine calls when a hart with m_hook has trapped into M-mode."""

    def trap(self, hart: Hart) -> None: ...

    def started(self, hart: int) -> bool:
        """Whether a hart runs, as far as the firmware is concerned."""


class StepWatcher(Protocol):
    """Sees every step: a machine that has one runs them one by one, which is slow."""

    def before(self, number: int, hart: Hart) -> None: ...
    def after(self, number: int, hart: Hart) -> None: ...


class Ram:
    """RAM by address, as devices see it."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def covers(self, gpa: int, n: int = 1) -> bool:
        return self._memory.base <= gpa and gpa + n <= self._memory.base + self._memory.size

    def read(self, gpa: int, n: int) -> bytes:
        if not self.covers(gpa, n):
            raise GuestMemoryFault(gpa)
        return self._memory.read(gpa, n)

    def write(self, gpa: int, data: bytes) -> None:
        if not self.covers(gpa, len(data)):
            raise GuestMemoryFault(gpa)
        self._memory.write(gpa, data)


class Machine:
    """The board over `memory`. `on_output(data)` gets what the UART (or HTIF) sends.

    The virtio-mmio slots are filled by `rvhv.virtio.slots`. With `realtime` the clock is the host's, where that is ahead. With
    `check_fences`, `fences.reports` has the accesses that a missing fence leaves to chance. `tier`: of its harts. Raises
    ConfigError for a number of harts that the board does not have.
    """

    # the user's and the host's; `rvhv.snapshot` sets the rest back
    NOT_STATE: ClassVar = ("on_output", "on_feed", "run_until", "interrupted", "stopped_at", "watcher", "_asked", "_start")

    def __init__(
        self,
        memory: Memory,
        *,
        harts: int = 1,
        on_output: Callable[[bytes], None] = lambda data: None,
        realtime: bool = False,
        quantum: int | None = None,
        check_fences: bool = False,
        tier: str | None = None,
    ) -> None:
        if not 1 <= harts <= board.MAX_HARTS:
            raise ConfigError(f"a machine has 1 to {board.MAX_HARTS} harts, not {harts}")
        self.memory = memory
        self.ram = Ram(memory)
        self.fences = FenceChecker(memory) if check_fences else None
        self.stops = Stops()  # breakpoints and watchpoints, of every hart
        self.stopped_at: tuple[int, Stop] | None = None  # the hart's number, when `run` returned for one of them
        self.harts = [self._new_hart(i, tier) for i in range(harts)]
        self.clock = 0  # steps; of the hart that runs, its slot `clock` is ahead
        self.steps = 0  # of all harts
        self.end: End | None = None
        self.firmware: Firmware | None = None
        self.htif: Htif | None = None
        self.watcher: StepWatcher | None = None
        self.on_output = on_output
        self.on_feed: Callable[[bytes], None] | None = None  # takes what is typed, and calls `typed` when it is time
        self.run_until: float | None = None  # the host's time.perf_counter() at which `run` returns, at an exact point
        self.interrupted = False  # when `run` returned because `interrupt` was called, or for a stop
        self._asked = False  # to leave `run` early
        # the run stopped for a trap of the last hart that the firmware has yet to see; whether events are due after it
        self._trapped = self._events_due = False
        self._events = Events()
        self._quantum = quantum or (QUANTUM if harts > 1 else QUANTUM_ALONE)
        self._current: Hart | None = None
        self._left = 0  # steps of the current turn
        self._last = harts - 1  # the hart whose turn was the last
        self._waiting = [False] * harts  # in WFI
        self._start = time.monotonic_ns() if realtime else None
        self._traces = [hashlib.sha256() for _ in self.harts]
        self._warnings = 0
        for i, hart in enumerate(self.harts):
            hart.state[SLOT["bus"]] = 1
            hart.state[SLOT["trace_vm"]] = i
        self._make_board()

    def _new_hart(self, number: int, tier: str | None) -> Hart:
        if self.fences is None:
            return Hart(self.memory, hartid=number, stops=self.stops, tier=tier)
        return CheckedHart(self.memory, self.fences, hartid=number, stops=self.stops)

    def _make_board(self) -> None:
        self.bus = Bus()
        self.plic = Plic(self._on_plic, base=board.PLIC.base, sources=board.PLIC_SOURCES, contexts=2 * len(self.harts))
        self.clint = Clint(self.harts, self)
        self.uart = Uart(self._printed, self.line(board.UART_SOURCE))
        self.rtc = Rtc(self, self.line(board.RTC_SOURCE))
        self.finisher = Finisher(lambda how, code: self.stop(End(how, code)), self.reboot)
        for device in (self.plic, self.clint, self.uart, self.rtc, self.finisher):
            self.bus.attach(device)

    # what devices and firmware ask for

    def line(self, source: int) -> Callable[[bool], None]:
        """What drives an interrupt source of the PLIC."""
        return lambda level: self.plic.set_level(source, level)

    def at(self, clock: int, event: Event) -> None:
        """Call `event` when the clock reaches `clock`."""
        self._events.add(clock, event)

    def stop(self, end: End) -> None:
        """End the run; the first reason counts."""
        self.end = self.end or end

    def reboot(self) -> None:
        self.stop(End("asked for a reboot", reboot=True))

    def warn(self, sentence: str) -> None:
        self._warnings += 1
        if self._warnings <= MOST_WARNINGS:
            log.warning("%s", sentence)

    def _printed(self, data: bytes) -> None:
        self.on_output(data)

    def _on_plic(self, context: int, level: bool) -> None:
        state = self.harts[context // 2].state
        line = SEIP if context & 1 else MEIP
        state[IRQ_LINES] = state[IRQ_LINES] | line if level else state[IRQ_LINES] & ~line

    # what a person does with it

    def feed(self, data: bytes) -> None:
        """Type on the console."""
        if self.on_feed is not None:
            self.on_feed(data)
        else:
            self.typed(data)

    def typed(self, data: bytes) -> None:
        """What was typed gets there."""
        self.end_reservations()
        self.uart.feed(data)
        if self.htif is not None:
            self.htif.typed()

    def suspend(self, hart: Hart) -> None:
        """The hart waits for an interrupt, as in WFI."""
        self._waiting[self.harts.index(hart)] = True

    def end_reservations(self) -> None:
        """A device may write to RAM."""
        for hart in self.harts:
            hart.state[RESERVATION] = NO_RESERVATION

    def close(self) -> None:
        """End what serves it outside this process: the translator. May be called twice."""
        close_engine(self.memory)

    def hart_state(self, number: int) -> str:
        """ "running", "asleep" (in a WFI) or "stopped" (its firmware has not started it)."""
        return "stopped" if not self._started(number) else "asleep" if self._waiting[number] else "running"

    @property
    def realtime(self) -> bool:
        """Whether its clock is the host's."""
        return self._start is not None

    @property
    def last_run(self) -> int:
        """The number of the hart that runs, or ran last."""
        return self._last

    @property
    def instructions(self) -> int:
        """Instructions that all harts together have retired."""
        return sum(hart.state[VM_STEPS] - hart.state[TRAP_STEPS] for hart in self.harts)

    @property
    def exit_counts(self) -> dict[str, int]:
        """Traps by hart are hashed, not kept; what is counted is traps taken."""
        return {"traps": sum(hart.state[TRAP_STEPS] for hart in self.harts)}

    def trace_hash(self) -> str:
        """SHA-256 over every trap of every hart, 64 hex digits: the same for the same run anywhere."""
        whole = hashlib.sha256()
        for i, hart in enumerate(self.harts):
            self._traces[i].update(hart.drain_trace())
            whole.update(self._traces[i].digest())
        return whole.hexdigest()

    # running

    def run(self, max_steps: int) -> bool:
        """Run at most `max_steps` steps. False when nothing can go on: the machine ended, or waits for the outside world.

        However a run is chopped into calls, it goes the same way. `interrupt` ends it early, and so does a stop (`stopped_at`).
        """
        self.stopped_at = None
        stop = self.steps + max_steps
        if self._trapped:
            self._trapped = False
            self._call_firmware(self.harts[self._last])
            self._after(self.harts[self._last], self._events_due)
        while self.end is None and self.steps < stop and not self._asked:
            if self._current is None and not self._next_turn():
                if not self._jump():
                    self.interrupted = False
                    return False
                stop -= JUMP_COST
                continue
            hart = self._current
            assert hart is not None
            self._run(hart, min(self._left, stop - self.steps, CHUNK))
            if self.run_until is not None and time.perf_counter() >= self.run_until:
                break
        self.interrupted, self._asked = self._asked, False
        return self.end is None

    def interrupt(self) -> None:
        """Have `run` return after the access or firmware call being handled, or within CHUNK steps; without a run, the next
        one. For signal handlers, callbacks and other threads; what the machine does does not depend on where that is."""
        self._asked = True

    def clear_interrupt(self) -> None:
        """Nobody wants the next run to end any more."""
        self._asked = False

    @property
    def now(self) -> int:
        """The clock; with real time, as the host's stands now."""
        self._follow_host()
        return self.clock

    @property
    def deadline(self) -> int | None:
        """The clock at which something happens by itself while every hart waits."""
        times = [self._deadline(hart) for i, hart in enumerate(self.harts) if self._waiting[i] and self._started(i)]
        return min((t for t in (*times, self._events.next) if t is not None), default=None)

    def _started(self, hart: int) -> bool:
        return self.firmware is None or self.firmware.started(hart)

    def _next_turn(self) -> bool:
        """Begin the turn of the next hart that has something to do."""
        self._follow_host()
        self._events.fire(self.clock)
        for i in range(1, len(self.harts) + 1):
            number = (self._last + i) % len(self.harts)
            hart = self.harts[number]
            if not self._started(number):
                continue
            hart.state[CLOCK] = self.clock
            if self._waiting[number]:
                if not hart.read_csr("mip") & hart.state[MIE]:
                    continue
                self._waiting[number] = False
            self._current, self._last, self._left = hart, number, self._quantum
            return True
        return False

    def _follow_host(self) -> None:
        if self._start is not None:
            self.clock = max(self.clock, time.monotonic_ns() - self._start)

    def _jump(self) -> bool:
        """All wait: go to the next deadline. False when there is none, or when it is the host's clock that has to get there."""
        deadline = self.deadline
        if deadline is None or self._start is not None:
            return False
        self.clock = max(self.clock, deadline)
        return True

    def _deadline(self, hart: Hart) -> int | None:
        """The clock at which a timer wakes a hart that waits."""
        state = hart.state
        enabled = state[MIE]
        times = []
        if enabled & MTIP:
            times.append(state[SLOT["mtimecmp"]])
        if state[SLOT["menvcfg"]] >> 63:
            if enabled & STIP:
                times.append(state[SLOT["stimecmp"]])
            if enabled & VSTIP and state[SLOT["henvcfg"]] >> 63:
                times.append((state[SLOT["vstimecmp"]] - state[SLOT["htimedelta"]]) & MASK64)
        clocks = [t * STEPS_PER_TICK for t in times]
        return min((c for c in clocks if c <= MASK64), default=None)

    def _run(self, hart: Hart, budget: int) -> None:
        """One call of the hart, and what follows from its exit."""
        upcoming = self._events.next
        if upcoming is not None:
            budget = min(budget, max(1, upcoming - self.clock))
        state = hart.state
        state[CLOCK] = self.clock
        before = state[STEPS]
        if self.watcher is not None:
            budget = 1
            state[CALLS] = 0  # the trap of a call is a step of its own
            self.watcher.before(self._last, hart)
        code = hart.run(budget)
        if code == MMIO:
            code = self._access(hart)
        self.clock = state[CLOCK]
        made = state[STEPS] - before
        if self.watcher is not None and made:
            self.watcher.after(self._last, hart)
        self.steps += made
        self._left -= made
        if code == Exit.M and state[TRAP_CAUGHT]:
            self._trapped, self._events_due = True, upcoming is not None
            self.stopped_at, self._asked = (self._last, hart.stop), True
            return
        if code != BUDGET:
            self._handle(hart, code)
        self._after(hart, upcoming is not None)

    def _after(self, hart: Hart, events: bool) -> None:
        """What follows when an exit was handled."""
        if events:
            self._events.fire(self.clock)
        if self._left <= 0 or self._waiting[self._last] or not self._started(self._last):
            self._end_turn(hart)

    def _call_firmware(self, hart: Hart) -> None:
        assert self.firmware is not None
        self.firmware.trap(hart)
        hart.state[CLOCK] = self.clock

    def _end_turn(self, hart: Hart) -> None:
        if len(self.harts) > 1:
            hart.state[RESERVATION] = NO_RESERVATION
        self._current = None

    def _access(self, hart: Hart) -> int:
        """Do the access that the hart waits for, once."""
        state = hart.state
        spa, size = state[MMIO_SPA], state[MMIO_SIZE]
        found = self.bus.find(spa, size)
        if found is None:
            return hart.fault_access()
        device, offset = found
        self.clock = state[CLOCK]
        try:
            if state[MMIO_WRITE]:
                state[RESERVATION] = NO_RESERVATION  # the device may write to RAM
                device.store(offset, size, state[MMIO_VALUE] & (1 << 8 * size) - 1)
                state[CLOCK] = self.clock
                return hart.complete_store()
            return hart.complete_load(device.load(offset, size))
        except BusFault:
            return hart.fault_access()

    def _handle(self, hart: Hart, code: int) -> None:
        if code == Exit.WFI:
            self._waiting[self._last] = True
        elif code == Exit.TRACE_FULL:
            self._traces[self._last].update(hart.drain_trace())
        elif code == Exit.M:
            self._call_firmware(hart)
        elif code == Exit.WATCH:
            if self.htif is not None:
                self.htif.look()
        elif code == Exit.STOP:
            self.stopped_at, self._asked = (self._last, hart.stop), True
        elif code == Exit.TRAP_LOOP and hart.state[SLOT["v"]]:
            hart.state[TRAPS_IN_A_ROW] = 0  # a guest's own: its hypervisor's timer ends it
        elif code == Exit.TRAP_LOOP:
            self.stop(End(f"trap loop at pc {hart.state[SLOT['pc']]:#x}, {last_cause(hart)}", 1))


def last_cause(hart: Hart) -> str:
    """The cause of the last trap into the mode that the hart is in."""
    state = hart.state
    slot = "mcause" if state[SLOT["prv"]] == 3 else "vscause" if state[SLOT["v"]] else "scause"
    return cause_text(state[SLOT[slot]])


def cause_text(cause: int) -> str:
    """What a trap's cause register says."""
    interrupt, code = bool(cause >> 63), cause & (1 << 63) - 1
    rows = (row for row in ISA.causes.values() if row.code == code and row.interrupt == interrupt)
    row = next(rows, None)
    return f"cause {cause:#x}" + (f" ({row.text})" if row else "")
