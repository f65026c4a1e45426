"""The hypervisor: VMs on one hart. Python is the HS-mode software, and this is its main loop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import ClassVar, TypeVar

from rvhv.core.stop_table import Stop, Stops
from rvhv.cpu.state import ARCH_BYTES, Exit, Fence
from rvhv.errors import ConfigError, InternalError
from rvhv.fences.checker import FenceChecker
from rvhv.fences.hart import CheckedHart
from rvhv.hart import Hart
from rvhv.hv import exits
from rvhv.hv import registers as r
from rvhv.hv.cpu import Registers
from rvhv.hv.exits import VmExit
from rvhv.hv.gstage import Fencer, GStage, Sv39x4
from rvhv.hv.guests import find_image
from rvhv.hv.handlers import HANDLERS, Handler, unexpected
from rvhv.hv.interrupts import Interrupts, VirtualInterrupts
from rvhv.hv.mmio import Devices, Emulator, Guest, Mmio
from rvhv.hv.sbi import GUEST_SBI
from rvhv.hv.scheduler import HEAVIEST, SLICE_STEPS, RoundRobin, Scheduler
from rvhv.hv.setup import host_guests
from rvhv.hv.sizes import PAGE, MemoryShort, memory_size, show_size, whole
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.trace import Record, Trace
from rvhv.hv.vcpu import Clock, Worlds
from rvhv.hv.vm import VM
from rvhv.hv.world import WorldSwitch
from rvhv.jit.engine import chosen_tier, close_engine
from rvhv.machine.board import BOARD
from rvhv.machine.disk import DiskImage
from rvhv.machine.image import Image
from rvhv.machine.memory import FrameAllocator, Memory, OutOfFrames

EXIT_COST = 1000  # steps that an exit to the hypervisor costs its VM, in its slice and on its clock
CHUNK = 1_000_000  # steps at most in one call of the hart, which nothing can interrupt: well under 0.2 s
LEAST_MEMORY = 1 << 20
FOREVER = 1 << 64
MASK64 = (1 << 64) - 1
# plain ints: they are compared often
BUDGET, HS, TRACE_FULL, STOP = (code.value for code in (Exit.BUDGET, Exit.HS, Exit.TRACE_FULL, Exit.STOP))

ExitType = TypeVar("ExitType", bound=VmExit)


class Hypervisor:
    """Hosts VMs side by side on an emulated machine of `memory` bytes.

    `clock` "machine": guests see the machine's time; "vm": each sees its own, and cannot feel its neighbours.
    `scheduler` replaces round robin with slices of `slice_steps`; `gstage` makes a VM's G-stage from a Memory, a
    FrameAllocator and its HFENCE.GVMA; `world` makes what enters and switches guests from the hart's registers (None: see
    `World`), `interrupts` what gives a VM its interrupts and exceptions, `mmio` what emulates its accesses to devices; `tier` is
    "interp", "jit" or "auto" (None: RVHV_TIER's, or auto); `hart` is for tests, and has its own.
    With `check_fences`, `fences.reports` has the accesses that a missing fence leaves to chance
    (then `hart` and `tier` do not count). Raises ConfigError.
    """

    # the user's and the host's; `rvhv.snapshot` sets the rest back
    NOT_STATE: ClassVar = (
        *"on_console on_idle on_feed host_seconds run_until interrupted stopped_at _asked _pressed _foreign _raised".split(),
    )

    def __init__(
        self,
        memory: str | int = "256M",
        *,
        slice_steps: int = SLICE_STEPS,
        clock: str = "machine",
        seed: int = 0,
        scheduler: Scheduler | None = None,
        gstage: Callable[[Memory, FrameAllocator, Fencer], GStage] = Sv39x4,
        world: Callable[[Registers], WorldSwitch] | None = None,
        interrupts: Callable[[Registers], VirtualInterrupts] = Interrupts,
        mmio: Callable[[Guest, Devices], Emulator] = Mmio,
        hart: Callable[[Memory], Hart] | None = None,
        check_fences: bool = False,
        tier: str | None = None,
    ) -> None:
        if whole("slice_steps", slice_steps) < 1:
            raise ConfigError(f"a slice of {slice_steps} steps is too short: give at least 1")
        if clock not in list(Clock):
            raise ConfigError(f"clock {clock!r} does not exist: choose machine or vm")
        self.clock = Clock(clock)
        self.seed = seed
        self.memory_size = memory_size("the machine's memory", memory, LEAST_MEMORY)
        try:
            self.memory = Memory(self.memory_size)
        except MemoryError:
            raise MemoryShort(f"the machine's memory: this computer has no {show_size(self.memory_size)}") from None
        self.frames = FrameAllocator(self.memory, self.memory.base, self.memory.base + self.memory_size)
        self.fences = FenceChecker(self.memory) if check_fences else None
        chosen_tier(tier)  # or it does not exist, whoever makes the hart
        if self.fences is not None:
            self.hart: Hart = CheckedHart(self.memory, self.fences)
        else:
            self.hart = Hart(self.memory, tier=tier) if hart is None else hart(self.memory)
        self.worlds = Worlds(self.hart, world)
        self.scheduler = RoundRobin(slice_steps) if scheduler is None else scheduler
        self.vms: list[VM] = []
        self.stopped_at: tuple[VM, Stop] | None = None  # when `run` or `exits` returned for a breakpoint or watchpoint
        self.on_console: Callable[[VM, bytes], None] | None = None
        self.on_idle: Callable[[], bool] | None = None  # all wait for a device: True when it fed one
        # sees each exit when it was handled, for a VM that stopped at it too; `interrupt` there ends the run there
        self.on_exit: Callable[[VmExit], None] | None = None
        self.on_stop: Callable[[VM], None] | None = None  # sees each VM that is about to stop, when its memory is still there
        self.on_feed: Callable[[VM, bytes], None] | None = None  # takes what is typed, and calls VM.typed when it is time
        self.run_until: float | None = None  # the host's time.perf_counter() at which `run` returns, at an exact point
        self.interrupted = False  # when `run` returned because `interrupt` was called, or something raised
        self.host_seconds = 0.0
        self._asked = False  # to leave the main loop at the next exact point
        self._pressed = False  # Ctrl-C did
        self._foreign = False  # code of the user runs: handlers and callbacks
        self._raised: BaseException | None = None  # by `on_console`, while an exit was handled
        self._handled: VmExit | None = None  # what `on_exit` is about to see
        self._make_gstage = gstage
        self.make_interrupts = interrupts
        self.make_mmio = mmio
        self._trace = Trace()
        self._handlers = dict(HANDLERS)
        self._current: VM | None = None
        self.last_run: VM | None = None  # the VM that runs, or ran last
        self._slice = 0  # of the current VM: the steps that the scheduler gave it
        self._slice_end = 0  # and its end on the hart's step counter
        host_guests(self.hart)
        # SBI calls that need no Python do without it: the run is the same
        self.fast_calls = self.fences is None and interrupts is Interrupts
        self._calls = self.hart.answer_calls(GUEST_SBI.calls, cost=EXIT_COST)
        self._reset = bytearray(ARCH_BYTES)
        self.hart.save(self._reset)

    # VMs

    def create(
        self,
        name: str,
        image: Image | str | os.PathLike[str] | None = None,
        *,
        memory: str | int = "32M",
        disk: DiskImage | str | os.PathLike[str] | None = None,
        reserve: bool = False,
        weight: int = 1,
    ) -> VM:
        """A new VM; without `image`, of the built-in guest of its name. It runs when `run` or `exits` is called.

        With `reserve` it has all its RAM from the start, in superpages, and takes no guest-page fault for it. `weight`, 1 to
        HEAVIEST, is for schedulers that look at it.

        When the machine has no frames left for it, the VM comes stopped, with that reason. Raises ConfigError,
        ImageError, DeviceError.
        """
        if not name:
            raise ConfigError("a VM without a name: give it one")
        if any(vm.name == name for vm in self.vms):
            raise ConfigError(f"there is a VM {name!r} already: give this one another name")
        if not 1 <= whole("weight", weight) <= HEAVIEST:
            raise ConfigError(f"weight of {name}: {weight} is not from 1 to {HEAVIEST}")
        found = find_image(name if image is None else image)
        needed = max((s.end for s in found.segments), default=0) - BOARD.ram_base
        needed = (needed + PAGE - 1) // PAGE * PAGE
        if not LEAST_MEMORY < needed <= self.memory_size:
            needed = LEAST_MEMORY  # an image that fits nowhere gets an error of its own
        size = memory_size(f"memory of {name}", memory, needed, f" for {found.name}")
        if size > self.memory_size:
            raise ConfigError(
                f"memory of {name}: {show_size(size)} is more than the machine's {show_size(self.memory_size)}"
            )
        vm = VM(self, len(self.vms) + 1, name, size, found, disk, weight)
        self.vms.append(vm)
        self._trace.add_vm(vm.number, name)
        if self._current is not None:
            self._current.vcpu.leave()
        try:
            vm.power_on(self._make_gstage, self._reset, reserve)
        except (OutOfFrames, GuestStopped) as cause:
            self._stop(vm, cause)
        if self._current is not None:
            self._current.vcpu.enter()
        return vm

    # running

    def run(self, max_steps: int | None = None) -> int:
        """Run until every VM has stopped, or for exactly `max_steps` steps of the hart; the steps made.

        However a run is chopped into calls, schedule, console output and trace hash are the same. It ends early, at an
        exact point too, for `interrupt` and for Ctrl-C, which then raises KeyboardInterrupt. What `on_console` raises
        comes out when the exit it came in is complete. What a handler of `on` raises comes out at once, and the next
        run gives it the same exit again. Either way the next run goes on as if nothing had been. So it does after a
        breakpoint or watchpoint of `stops`, which ends the run too: see `stopped_at`. Raises ConfigError.
        """
        self.stopped_at = None
        start = self.steps
        stop = FOREVER if max_steps is None else start + whole("max_steps", max_steps)
        with self._ctrl_c():
            while self.steps < stop and not self._asked and self._advance(stop):
                if self.run_until is not None and time.perf_counter() >= self.run_until:
                    break
            self._leave()
        return self.steps - start

    def interrupt(self) -> None:
        """Have `run` (or `exits`) return at the next exact point: after the exit being handled, or within CHUNK steps.

        Where that is depends on the moment, and what the VMs do does not depend on where it is. For signal handlers,
        callbacks and other threads; between two runs it ends the next one at once.
        """
        self._asked = True

    def clear_interrupt(self) -> None:
        """Nobody wants the next run to end any more."""
        self._asked = False

    def exits(self) -> Iterator[VmExit]:
        """Run, and yield each exit after it was handled, until every VM has stopped. Interrupted as `run` is."""
        self.stopped_at = None
        alive = True
        while alive:
            seen: list[VmExit] = []
            with self._ctrl_c():
                alive = not self._asked and self._advance(FOREVER, seen)
                if self._asked and not seen:
                    alive = False
                    self._leave()
            yield from seen

    def on(self, kind: type[ExitType], handler: Callable[[ExitType], bool | None]) -> None:
        """Let `handler` take the place of the built-in handling of exits of a kind.

        It does everything that is to be done, `exit.advance()` included where the instruction was emulated. Returning
        False has the built-in handling done after all. What it raises leaves `run`, with the exit not handled: the next
        run calls it again.
        """
        for cause in kind.CAUSES:
            self._handlers[cause] = self._replaced(self._handlers.get(cause, unexpected), kind, handler)

    def _replaced(self, builtin: Handler, kind: type[ExitType], handler: Callable[[ExitType], bool | None]) -> Handler:
        def handle(vm: VM) -> None:
            exit_ = exits.build(vm)
            if not isinstance(exit_, kind):
                builtin(vm)
                return
            self._foreign = True
            try:
                done = handler(exit_) is not False
            finally:
                self._foreign = False
            if vm.stopped is not None:
                return  # the handler did that
            if not done:
                builtin(vm)
            else:
                vm.stayed_at = kind if vm.hart.state[r.SEPC] == exit_.pc else None

        return handle

    def _tell(self) -> None:
        """Give the exit that was handled to `on_exit`. What that raises waits until the exit is complete."""
        exit_, self._handled = self._handled, None
        if exit_ is None or self.on_exit is None:
            return
        exit_.settle()
        self._foreign = True
        try:
            self.on_exit(exit_)
        except BaseException as error:  # KeyboardInterrupt too
            self._raised, self._asked = error, True
        finally:
            self._foreign = False

    def show(self, vm: VM, data: bytes) -> None:
        """Give console output to `on_console`. What that raises waits until the exit is complete."""
        if self.on_console is None:
            return
        self._foreign = True
        try:
            self.on_console(vm, data)
        except BaseException as error:  # KeyboardInterrupt too
            self._raised, self._asked = error, True
        finally:
            self._foreign = False

    @property
    def between_slices(self) -> bool:
        """Whether no VM is on the hart."""
        return self._current is None

    @property
    def finished(self) -> bool:
        """Whether every VM has stopped."""
        return all(vm.stopped is not None for vm in self.vms)

    def stop_all(self, reason: str, *, failed: bool = True) -> None:
        """Stop the VMs that have not stopped yet."""
        for vm in self.vms:
            if vm.stopped is None:
                self._stop(vm, GuestStopped(reason, failed=failed))

    def close(self) -> None:
        """Stop everything, close the disk images and end the translator. May be called twice."""
        self.stop_all("the hypervisor was closed")
        close_engine(self.memory)

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what a run amounts to

    @property
    def stops(self) -> Stops:
        """Breakpoints and watchpoints; `VM.bound` keeps one to a VM."""
        return self.hart.stops

    @property
    def steps(self) -> int:
        """Steps the hart has made."""
        return self.hart.state[r.STEPS]

    @property
    def trace(self) -> Trace:
        if self._current is not None:
            self._drain(self._current)
        return self._trace

    def exits_of(self, vm: VM) -> int:
        """How many exits a VM has made."""
        waiting = self.hart.state[r.TRACE_HEAD] if vm is self._current else 0
        return self._trace.exits(vm.number) + waiting

    def last_exits(self) -> list[Record]:
        """The last exits of all VMs, oldest first."""
        return self._trace.recent(self.hart.waiting_trace)

    def trace_hash(self) -> str:
        """SHA-256 over every exit of every VM so far, 64 hex digits: the same for the same run anywhere."""
        return self.trace.hexdigest()

    @property
    def virtual_ns(self) -> int:
        """Virtual time: the machine's clock, or with a clock a VM, the latest of them."""
        if self.clock is Clock.MACHINE:
            return self.hart.state[r.CLOCK]
        return max((vm.virtual_ns for vm in self.vms), default=0)

    # being interrupted

    @contextmanager
    def _ctrl_c(self) -> Iterator[None]:
        """Where Python's own handler would raise KeyboardInterrupt between any two bytecodes, have it wait for an exact
        point; code of the user's is interrupted as ever."""
        main = threading.current_thread() is threading.main_thread()
        if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_ctrl_c(self, signum: int, frame: FrameType | None) -> None:
        if self._foreign:
            raise KeyboardInterrupt
        self._pressed = self._asked = True

    def _leave(self) -> None:
        """The run ends here; raises what it was interrupted by."""
        pressed, raised = self._pressed, self._raised
        self.interrupted = self._asked
        self._asked = self._pressed = False
        self._raised = None
        if raised is not None:
            raise raised
        if pressed:
            raise KeyboardInterrupt

    # the main loop

    def _advance(self, stop: int, seen: list[VmExit] | None = None) -> bool:
        """Go on with the current slice, or begin one; until it ends, the step counter reaches `stop`, or (with `seen`)
        an exit was handled. False when every VM has stopped, or all wait and were interrupted."""
        began = time.perf_counter()
        vm = self._current or self._begin_slice()
        if vm is not None:
            try:
                self._run_slice(vm, min(stop, self.steps + CHUNK), seen)
            except (GuestStopped, OutOfFrames) as cause:
                self._stop(vm, cause)
                self._tell()
            else:
                if vm.vcpu.gives_way or self._slice_end <= self.steps:
                    self._end_slice(vm)
            for exit_ in seen or ():
                exit_.settle()
        self.host_seconds += time.perf_counter() - began
        return vm is not None

    def _run_slice(self, vm: VM, stop: int, seen: list[VmExit] | None) -> None:
        """The hot path: an exit costs its handler and little more."""
        hart, vcpu, handlers = self.hart, vm.vcpu, self._handlers
        state, run, sret = hart.state, hart.run, hart.sret
        moved = vm.devices_memory
        told = self.on_exit is not None
        end = self._slice_end
        # whoever wants to see the calls gets them all
        fast = self.fast_calls and seen is None and self.on_exit is None and handlers[r.ECALL_VS] is HANDLERS[r.ECALL_VS]
        state[r.CALLS] = self._calls if fast else 0
        # The trap was taken and no sret followed: what handled it raised, and handles it again. It was charged for.
        again = not state[r.V]
        try:
            while again or (budget := (end if end < stop else stop) - state[r.STEPS]) > 0:
                if again:
                    code = HS
                elif fast:
                    state[r.SLICE_END] = end & MASK64
                    code = run(budget)
                    end -= (end - state[r.SLICE_END]) & MASK64  # what the calls cost that were answered on the way
                else:
                    code = run(budget)
                if code == HS:
                    if not again:
                        end -= EXIT_COST
                        state[r.CLOCK] += EXIT_COST
                    again = False
                    if seen is not None:
                        seen.append(exits.build(vm))
                    if told:
                        self._handled = exits.build(vm)
                    handlers.get(state[r.SCAUSE], unexpected)(vm)
                    if moved.cost:
                        self._trace.charge(vm.number, state[r.SCAUSE], state[r.HTVAL] >> 10, moved.cost)
                        end -= moved.cost
                        state[r.CLOCK] += moved.cost
                        moved.cost = 0
                    sret()
                    if told:
                        self._tell()
                    if vcpu.gives_way or self._asked or seen is not None:
                        break
                elif code == TRACE_FULL:
                    self._drain(vm)
                elif code == STOP:
                    self.stopped_at, self._asked = (vm, hart.stop), True
                    break
                elif code != BUDGET:
                    _unusual(vm, code)
        finally:
            self._slice_end = end

    def _drain(self, vm: VM) -> None:
        """Take the ring's records, all of them the current VM's."""
        if records := self.hart.drain_trace():
            self._trace.append(vm.number, records)
            self._trace.count_faults(vm.number, records, vm.ram_range)

    def _begin_slice(self) -> VM | None:
        """Put the VM that the scheduler picks on the hart; None when every VM has stopped, or all wait and were interrupted."""
        state = self.hart.state
        while alive := [vm for vm in self.vms if vm.stopped is None]:
            clock = state[r.CLOCK]
            if ready := [vm for vm in alive if vm.vcpu.awake(clock)]:
                vm, steps = self._pick(ready)
                vm.vcpu.enter()
                self._current = self.last_run = vm
                self._slice_end = state[r.STEPS] + steps
                return vm
            deadline = min((vm.vcpu.deadline for vm in alive if vm.vcpu.deadline is not None), default=None)
            if deadline is not None:
                if deadline <= clock:  # ours never do this; a lab's may
                    raise ConfigError("a VM that waits for its timer does not wake up when it is due")
                state[r.CLOCK] = deadline  # nobody has anything to do before
            elif self._asked or not self._fed():
                if self._asked:
                    return None  # interrupted while it waited
                for vm in alive:
                    self._stop(vm, GuestStopped(f"asleep with {vm.vcpu.sleeps_until} and nothing that could wake it"))
        return None

    def _fed(self) -> bool:
        """All wait for a device: whether `on_idle` fed one."""
        if self.on_idle is None:
            return False
        self._foreign = True
        try:
            return self.on_idle()
        finally:
            self._foreign = False

    def _pick(self, ready: list[VM]) -> tuple[VM, int]:
        """Whom the scheduler picks, and for how many steps after what it owes. Who owes a whole slice has its turn
        passed over instead; what all who are ready owe, nobody waits for."""
        common = min(vm.debt for vm in ready)
        for vm in ready:
            vm.debt -= common
        while True:
            vm, steps = self.scheduler.pick(ready)
            if vm not in ready or steps < 1:
                raise ConfigError("the scheduler picked a VM that is not ready, or a slice of less than one step")
            paid = min(steps, vm.debt)
            vm.debt -= paid
            if paid < steps:
                self._slice = steps
                return vm, steps - paid
            self.scheduler.ran(vm, steps)

    def _end_slice(self, vm: VM) -> None:
        """The current VM leaves the hart; a lone one too: it goes through the same with and without neighbours."""
        vm.debt += max(0, self.steps - self._slice_end)
        self._take_off(vm)

    def _take_off(self, vm: VM) -> None:
        self.scheduler.ran(vm, self._slice - max(0, self._slice_end - self.steps))
        self._drain(vm)
        vm.vcpu.leave()
        self._current = None

    def _stop(self, vm: VM, cause: GuestStopped | OutOfFrames) -> None:
        if isinstance(cause, OutOfFrames):
            cause = GuestStopped(f"out of host frames: all of the machine's {show_size(self.memory_size)} are in use")
        if vm is self._current:
            self._take_off(vm)
            vm.vcpu.gives_way = True  # should a handler have stopped it
        if self.on_stop is not None:
            self.on_stop(vm)
        vm.finish(cause)
        self.hart.fence(Fence.HFENCE_GVMA, space=vm.number)  # the frames of its tables are free now
        self.hart.flush()


def _unusual(vm: VM, code: int) -> None:
    """The hart stopped for something other than a trap to the hypervisor."""
    state = vm.hart.state
    if code == Exit.TRAP_LOOP:
        at_vector = state[r.PC] == state[r.VSTVEC] & ~3
        cause = state[r.VSCAUSE if at_vector else r.SCAUSE]  # of the last trap, to VS-mode or to us
        kind = None if at_vector else vm.stayed_at
        blame = f"; the handler of {kind.__name__} did not advance() over the instruction" if kind else ""
        raise GuestStopped(f"trap loop at pc {state[r.PC]:#x}, cause {cause:#x} ({r.cause_text(cause)}){blame}")
    raise InternalError(f"the hart returned {Exit(code).name} while it ran a guest")
