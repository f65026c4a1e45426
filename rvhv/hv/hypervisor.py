"""The hypervisor: VMs on one hart. Python is the HS-mode software, and this is its main loop."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TypeVar

from rvhv.cpu.state import ARCH_BYTES, Exit
from rvhv.errors import ConfigError, InternalError
from rvhv.hart import Hart
from rvhv.hv import exits
from rvhv.hv import registers as r
from rvhv.hv.exits import VmExit
from rvhv.hv.gstage import GStage, Sv39x4
from rvhv.hv.guests import find_image
from rvhv.hv.handlers import HANDLERS, Handler, unexpected
from rvhv.hv.scheduler import SLICE_STEPS, RoundRobin, Scheduler
from rvhv.hv.setup import host_guests
from rvhv.hv.sizes import memory_size, show_size
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.trace import Trace
from rvhv.hv.vcpu import NEVER, Clock
from rvhv.hv.vm import VM
from rvhv.machine.disk import DiskImage
from rvhv.machine.image import Image
from rvhv.machine.memory import FrameAllocator, Memory, OutOfFrames

EXIT_COST = 1000  # steps that an exit to the hypervisor costs its VM, in its slice and on its clock
CHUNK = 20_000_000  # steps at most in one call of the hart, which Ctrl-C cannot interrupt
LEAST_MEMORY = 1 << 20
FOREVER = 1 << 64
BUDGET, HS, TRACE_FULL = Exit.BUDGET.value, Exit.HS.value, Exit.TRACE_FULL.value  # plain ints: they are compared often

ExitType = TypeVar("ExitType", bound=VmExit)


class Hypervisor:
    """Hosts VMs side by side on an emulated machine of `memory` bytes.

    `clock` "machine": guests see the machine's time; "vm": each sees its own, and cannot feel its neighbours.
    `scheduler` replaces round robin with slices of `slice_steps`; `gstage` makes a VM's G-stage from a Memory and a
    FrameAllocator; `hart` is for tests. Raises ConfigError.
    """

    def __init__(
        self,
        memory: str | int = "256M",
        *,
        slice_steps: int = SLICE_STEPS,
        clock: str = "machine",
        seed: int = 0,
        scheduler: Scheduler | None = None,
        gstage: Callable[[Memory, FrameAllocator], GStage] = Sv39x4,
        hart: Callable[[Memory], Hart] = Hart,
    ) -> None:
        if slice_steps < 1:
            raise ConfigError(f"a slice of {slice_steps} steps is too short: give at least 1")
        if clock not in list(Clock):
            raise ConfigError(f"clock {clock!r} does not exist: choose machine or vm")
        self.clock = Clock(clock)
        self.seed = seed
        self.memory_size = memory_size("the machine's memory", memory, LEAST_MEMORY)
        try:
            self.memory = Memory(self.memory_size)
        except MemoryError:
            raise ConfigError(f"the machine's memory: this computer has no {show_size(self.memory_size)}") from None
        self.frames = FrameAllocator(self.memory, self.memory.base, self.memory.base + self.memory_size)
        self.hart = hart(self.memory)
        self.scheduler = RoundRobin(slice_steps) if scheduler is None else scheduler
        self.vms: list[VM] = []
        self.on_console: Callable[[VM, bytes], None] | None = None
        self.on_idle: Callable[[], bool] | None = None  # all wait for a device: True when it fed one
        self.host_seconds = 0.0
        self._make_gstage = gstage
        self._trace = Trace()
        self._handlers = dict(HANDLERS)
        self._current: VM | None = None
        self._slice_end = 0  # of the current VM, on the hart's step counter
        host_guests(self.hart)
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
    ) -> VM:
        """A new VM; without `image`, of the built-in guest of its name. It runs when `run` or `exits` is called.

        When the machine has no frames left for it, the VM comes stopped, with that reason. Raises ConfigError,
        ImageError, DeviceError.
        """
        if not name:
            raise ConfigError("a VM without a name: give it one")
        if any(vm.name == name for vm in self.vms):
            raise ConfigError(f"there is a VM {name!r} already: give this one another name")
        size = memory_size(f"memory of {name}", memory, LEAST_MEMORY)
        if size > self.memory_size:
            raise ConfigError(
                f"memory of {name}: {show_size(size)} is more than the machine's {show_size(self.memory_size)}"
            )
        found = find_image(name if image is None else image)
        vm = VM(self, len(self.vms) + 1, name, size, found, disk)
        self.vms.append(vm)
        self._trace.add_vm(vm.number, name)
        if self._current is not None:
            self._current.vcpu.leave()
        try:
            vm.power_on(self._make_gstage, self._reset)
        except (OutOfFrames, GuestStopped) as cause:
            self._stop(vm, cause)
        if self._current is not None:
            self._current.vcpu.enter()
        return vm

    # running

    def run(self, max_steps: int | None = None) -> int:
        """Run until every VM has stopped, or for exactly `max_steps` steps of the hart; the steps made.

        However a run is chopped into calls, schedule, console output and trace hash are the same.
        """
        start = self.steps
        stop = FOREVER if max_steps is None else start + max_steps
        while self.steps < stop and self._advance(stop):
            pass
        return self.steps - start

    def exits(self) -> Iterator[VmExit]:
        """Run, and yield each exit after it was handled, until every VM has stopped."""
        alive = True
        while alive:
            seen: list[VmExit] = []
            alive = self._advance(FOREVER, seen)
            yield from seen

    def on(self, kind: type[ExitType], handler: Callable[[ExitType], bool | None]) -> None:
        """Let `handler` take the place of the built-in handling of exits of a kind.

        It does everything that is to be done, `exit.advance()` included where the instruction was emulated. Returning
        False has the built-in handling done after all.
        """
        for cause in kind.CAUSES:
            self._handlers[cause] = _replaced(self._handlers.get(cause, unexpected), kind, handler)

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
        """Stop everything and close the disk images. May be called twice."""
        self.stop_all("the hypervisor was closed")

    def __enter__(self) -> Hypervisor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # what a run amounts to

    @property
    def steps(self) -> int:
        """Steps the hart has made."""
        return self.hart.state[r.STEPS]

    @property
    def trace(self) -> Trace:
        if self._current is not None:
            self._drain(self._current)
        return self._trace

    def trace_hash(self) -> str:
        """SHA-256 over every exit of every VM so far, 64 hex digits: the same for the same run anywhere."""
        return self.trace.hexdigest()

    @property
    def virtual_ns(self) -> int:
        """Virtual time: the machine's clock, or with a clock a VM, the latest of them."""
        if self.clock is Clock.MACHINE:
            return self.hart.state[r.CLOCK]
        return max((vm.virtual_ns for vm in self.vms), default=0)

    # the main loop

    def _advance(self, stop: int, seen: list[VmExit] | None = None) -> bool:
        """Go on with the current slice, or begin one; until it ends, the step counter reaches `stop`, or (with `seen`)
        an exit was handled. False when every VM has stopped."""
        began = time.perf_counter()
        vm = self._current or self._begin_slice()
        if vm is not None:
            try:
                self._run_slice(vm, min(stop, self.steps + CHUNK), seen)
            except (GuestStopped, OutOfFrames) as cause:
                self._stop(vm, cause)
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
        end = self._slice_end
        try:
            while (budget := (end if end < stop else stop) - state[r.STEPS]) > 0:
                code = run(budget)
                if code == HS:
                    end -= EXIT_COST
                    state[r.CLOCK] += EXIT_COST
                    if seen is not None:
                        seen.append(exits.build(vm))
                    handlers.get(state[r.SCAUSE], unexpected)(vm)
                    sret()
                    if vcpu.gives_way or seen is not None:
                        break
                elif code == TRACE_FULL:
                    self._drain(vm)
                elif code != BUDGET:
                    _unusual(vm, code)
        finally:
            self._slice_end = end

    def _drain(self, vm: VM) -> None:
        """Take the ring's records, all of them the current VM's."""
        if records := self.hart.drain_trace():
            self._trace.append(vm.number, records)

    def _begin_slice(self) -> VM | None:
        """Put the VM that the scheduler picks on the hart; None when every VM has stopped."""
        state = self.hart.state
        while alive := [vm for vm in self.vms if vm.stopped is None]:
            clock = state[r.CLOCK]
            if ready := [vm for vm in alive if vm.vcpu.awake(clock)]:
                vm, steps = self.scheduler.pick(ready)
                if vm not in ready or steps < 1:
                    raise ConfigError("the scheduler picked a VM that is not ready, or a slice of less than one step")
                vm.vcpu.enter()
                self._current = vm
                self._slice_end = state[r.STEPS] + max(1, steps - vm.overrun)
                return vm
            deadline = min(vm.vcpu.deadline for vm in alive)
            if deadline < NEVER:
                state[r.CLOCK] = deadline  # nobody has anything to do before
            elif self.on_idle is None or not self.on_idle():
                self.stop_all("asleep with no deadline and nothing that could wake it")
        return None

    def _end_slice(self, vm: VM) -> None:
        """The current VM leaves the hart; a lone one too: it goes through the same with and without neighbours."""
        vm.overrun = max(0, self.steps - self._slice_end)
        self._take_off(vm)

    def _take_off(self, vm: VM) -> None:
        self._drain(vm)
        vm.vcpu.leave()
        self._current = None

    def _stop(self, vm: VM, cause: GuestStopped | OutOfFrames) -> None:
        if isinstance(cause, OutOfFrames):
            cause = GuestStopped(f"out of host frames: all of the machine's {show_size(self.memory_size)} are in use")
        if vm is self._current:
            self._take_off(vm)
        vm.finish(cause)
        self.hart.flush()  # the frames of its tables are free now; a real hypervisor needs hfence.gvma here


def _replaced(builtin: Handler, kind: type[ExitType], handler: Callable[[ExitType], bool | None]) -> Handler:
    def handle(vm: VM) -> None:
        exit_ = exits.build(vm)
        if not isinstance(exit_, kind) or handler(exit_) is False:
            builtin(vm)

    return handle


def _unusual(vm: VM, code: int) -> None:
    """The hart stopped for something other than a trap to the hypervisor."""
    state = vm.hart.state
    if code == Exit.TRAP_LOOP:
        at_vector = state[r.PC] == state[r.VSTVEC] & ~3
        cause = state[r.VSCAUSE if at_vector else r.SCAUSE]  # of the last trap, to VS-mode or to us
        raise GuestStopped(f"trap loop at pc {state[r.PC]:#x}, cause {cause:#x} ({r.cause_text(cause)})")
    raise InternalError(f"the hart returned {Exit(code).name} while it ran a guest")
