"""What is debugged: a hypervisor with its VMs, or a bare machine with its harts, behind one face."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from rvhv.core.stop_table import Bound, Modes, Stop, Stops
from rvhv.cpu.state import SLOT
from rvhv.hext.walks.context import guest_mode, name_of
from rvhv.machine.bus import Bus
from rvhv.machine.plic import Plic
from rvhv.machine.symbols import Symbols

if TYPE_CHECKING:
    from rvhv.core.memory import Memory
    from rvhv.hart import Hart
    from rvhv.hext.walks.address_map import AddressMap
    from rvhv.hext.walks.record import Walk
    from rvhv.hv.hypervisor import Hypervisor
    from rvhv.hv.vm import VM
    from rvhv.machine.image import Image
    from rvhv.machine.virt import Machine

STRIDE = 100_000_000  # steps of one call of a bare machine
PC, PRV, V, SEPC, VM_STEPS, TRAP_STEPS = (SLOT[n] for n in ("pc", "prv", "v", "sepc", "vm_steps", "trap_steps"))


class Ended(StrEnum):
    """Why a run came back."""

    BUDGET = "budget"  # the steps asked for were made
    STOP = "stop"  # a breakpoint or watchpoint of `Target.stops`
    INTERRUPTED = "interrupted"  # `interrupt`, or Ctrl-C
    WAITING = "waiting"  # everybody sleeps, and only input could wake them
    FINISHED = "finished"  # every VM has stopped, or the machine has ended


@dataclass(frozen=True)
class Halt:
    """A run came back: why, whose turn it was, and of STOP for what."""

    ended: Ended
    context: Context
    stop: Stop | None = None


class Context(ABC):
    """One guest hart: a VM's VCPU, or a hart of the bare machine. `number` counts from 1, in the order of creation."""

    def __init__(self, target: Target, number: int, name: str, hart: Hart, images: Sequence[Image]) -> None:
        self.target = target
        self.number = number
        self.name = name
        self.hart = hart
        self.images = list(images)  # what it started with, as far as that are ELFs

    @property
    @abstractmethod
    def state(self) -> memoryview[int]:
        """The architectural state, to be indexed with SLOT. Ask again after every run."""

    @property
    @abstractmethod
    def bound(self) -> Bound:
        """What keeps a breakpoint or watchpoint to it."""

    @property
    @abstractmethod
    def bus(self) -> Bus: ...

    @property
    @abstractmethod
    def plic(self) -> Plic: ...

    @property
    @abstractmethod
    def status(self) -> str:
        """In a word or a sentence: "running", "asleep", or why it is no more."""

    @property
    @abstractmethod
    def alive(self) -> bool: ...

    @abstractmethod
    def walk(self, address: int, access: str = "load", *, size: int | None = None) -> Walk:
        """Translating `address` as it would now, access by access; changes nothing."""

    @abstractmethod
    def map(self) -> AddressMap:
        """Its address space in ranges."""

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """Type on its console."""

    @cached_property
    def symbols(self) -> Symbols:
        return Symbols({name: value for image in self.images for name, value in image.symbols.items()})

    @property
    def x(self) -> memoryview[int]:
        """The integer registers x0 to x31."""
        return self.state[SLOT["x0"] : SLOT["x0"] + 32]

    @property
    def pc(self) -> int:
        return self.state[PC]

    @property
    def mode(self) -> str:
        """ "M", "S", "U", "VS" or "VU"."""
        return name_of(self.state[PRV], bool(self.state[V]))

    @property
    def steps(self) -> int:
        """Its own: instructions retired, traps and interrupts taken."""
        return self.state[VM_STEPS]

    @property
    def instructions(self) -> int:
        """Retired."""
        return self.state[VM_STEPS] - self.state[TRAP_STEPS]


class VmContext(Context):
    """A VM of a hypervisor."""

    def __init__(self, target: Target, vm: VM) -> None:
        super().__init__(target, vm.number, vm.name, vm.hart, [vm.image] if vm.image.elf else [])
        self.vm = vm

    @property
    def state(self) -> memoryview[int]:
        return self.vm.vcpu.state

    @property
    def pc(self) -> int:
        """Of the guest: where its last exit stopped the VM for good, that instruction's."""
        state = self.state
        return state[PC] if state[V] else state[SEPC]

    @property
    def mode(self) -> str:
        return guest_mode(self.state)

    @property
    def bound(self) -> Bound:
        return self.vm.bound

    @property
    def bus(self) -> Bus:
        return self.vm.bus

    @property
    def plic(self) -> Plic:
        return self.vm.plic

    @property
    def status(self) -> str:
        return self.vm.state if self.alive else self.vm.reason

    @property
    def alive(self) -> bool:
        return self.vm.stopped is None

    def walk(self, address: int, access: str = "load", *, size: int | None = None) -> Walk:
        return self.vm.vcpu.walk(address, access, size=size)

    def map(self) -> AddressMap:
        return self.vm.vcpu.map()

    def feed(self, data: bytes) -> None:
        self.vm.feed(data)


class HartContext(Context):
    """A hart of a bare machine. All share the machine's devices and images."""

    def __init__(self, target: MachineTarget, index: int) -> None:
        super().__init__(target, index + 1, f"hart{index}", target.machine.harts[index], target.images)
        self.machine = target.machine
        self.index = index

    @property
    def state(self) -> memoryview[int]:
        return self.hart.state

    @property
    def bound(self) -> Bound:
        return Bound(Modes.ALL)

    @property
    def bus(self) -> Bus:
        return self.machine.bus

    @property
    def plic(self) -> Plic:
        return self.machine.plic

    @property
    def status(self) -> str:
        if self.machine.end is not None:
            return self.machine.end.reason
        return self.machine.hart_state(self.index)

    @property
    def alive(self) -> bool:
        return self.machine.end is None

    def walk(self, address: int, access: str = "load", *, size: int | None = None) -> Walk:
        return self.hart.walk(address, access, size=size)

    def map(self) -> AddressMap:
        return self.hart.map()

    def feed(self, data: bytes) -> None:
        self.machine.feed(data)


class Target(ABC):
    """A machine under the debugger. Running it is exact: however a run is chopped into calls, it goes the same way."""

    hv: Hypervisor | None = None
    machine: Machine | None = None

    def __init__(self) -> None:
        self.on_output: Callable[[Context, bytes], None] | None = None  # of a bare machine: the context is its first hart

    @property
    @abstractmethod
    def contexts(self) -> Sequence[Context]: ...

    @property
    @abstractmethod
    def current(self) -> Context:
        """Who runs, or ran last; before the first step the first one."""

    @property
    @abstractmethod
    def memory(self) -> Memory: ...

    @property
    @abstractmethod
    def stops(self) -> Stops: ...

    @property
    @abstractmethod
    def steps(self) -> int:
        """Steps that the whole machine has made: the time by which everything here is told."""

    @property
    @abstractmethod
    def virtual_ns(self) -> int: ...

    @property
    @abstractmethod
    def finished(self) -> bool: ...

    @abstractmethod
    def run(self, steps: int | None = None) -> Halt:
        """Go on for exactly `steps` steps (None: without end), unless something else ends the run. In the main thread Ctrl-C
        interrupts it where nobody else takes care of SIGINT."""

    @abstractmethod
    def interrupt(self) -> None:
        """Have `run` come back at the next exact point. For signal handlers, callbacks and other threads."""

    @abstractmethod
    def close(self) -> None: ...


class VmTarget(Target):
    """A hypervisor and its VMs, as they are now."""

    def __init__(self, hv: Hypervisor) -> None:
        super().__init__()
        self.hv: Hypervisor = hv
        self._contexts = [VmContext(self, vm) for vm in hv.vms]
        self._idle = False
        hv.on_console = self._output
        hv.on_idle = self._wait

    def _output(self, vm: VM, data: bytes) -> None:
        if self.on_output is not None:
            self.on_output(self._contexts[vm.number - 1], data)

    def _wait(self) -> bool:
        """Rather than end VMs that nothing wakes, have `run` come back: they are there to be looked at, or typed to."""
        self._idle = True
        self.hv.interrupt()
        return False

    @property
    def contexts(self) -> Sequence[VmContext]:
        return self._contexts

    @property
    def current(self) -> VmContext:
        return self._contexts[self.hv.last_run.number - 1 if self.hv.last_run is not None else 0]

    @property
    def memory(self) -> Memory:
        return self.hv.memory

    @property
    def stops(self) -> Stops:
        return self.hv.stops

    @property
    def steps(self) -> int:
        return self.hv.steps

    @property
    def virtual_ns(self) -> int:
        return self.hv.virtual_ns

    @property
    def finished(self) -> bool:
        return self.hv.finished

    def run(self, steps: int | None = None) -> Halt:
        end = None if steps is None else self.hv.steps + steps
        self._idle = False
        try:
            self.hv.run(steps)
        except KeyboardInterrupt:
            return Halt(Ended.INTERRUPTED, self.current)
        if self._idle:
            return Halt(Ended.WAITING, self.current)
        if self.hv.stopped_at is not None:
            vm, stop = self.hv.stopped_at
            return Halt(Ended.STOP, self._contexts[vm.number - 1], stop)
        if self.hv.steps == end:
            return Halt(Ended.BUDGET, self.current)
        return Halt(Ended.FINISHED if self.hv.finished else Ended.INTERRUPTED, self.current)

    def interrupt(self) -> None:
        self.hv.interrupt()

    def close(self) -> None:
        self.hv.close()


class MachineTarget(Target):
    """A bare machine and its harts. `images`: the ELFs that it starts with."""

    def __init__(self, machine: Machine, images: Sequence[Image] = ()) -> None:
        super().__init__()
        self.machine: Machine = machine
        self.images = list(images)
        self._asked = False
        self._contexts = [HartContext(self, i) for i in range(len(machine.harts))]
        machine.on_output = self._output

    def _output(self, data: bytes) -> None:
        if self.on_output is not None:
            self.on_output(self._contexts[0], data)

    @property
    def contexts(self) -> Sequence[HartContext]:
        return self._contexts

    @property
    def current(self) -> HartContext:
        return self._contexts[self.machine.last_run if self.machine.steps else 0]

    @property
    def memory(self) -> Memory:
        return self.machine.memory

    @property
    def stops(self) -> Stops:
        return self.machine.stops

    @property
    def steps(self) -> int:
        return self.machine.steps

    @property
    def virtual_ns(self) -> int:
        return self.machine.clock

    @property
    def finished(self) -> bool:
        return self.machine.end is not None

    def run(self, steps: int | None = None) -> Halt:
        machine = self.machine
        end = None if steps is None else machine.steps + steps
        while machine.end is None and machine.steps != end:
            try:
                going = machine.run(STRIDE if end is None else end - machine.steps)
            except KeyboardInterrupt:
                self._asked = True
                going = True
            if machine.stopped_at is not None:
                index, stop = machine.stopped_at
                return Halt(Ended.STOP, self._contexts[index], stop)
            if self._asked:
                self._asked = False
                return Halt(Ended.INTERRUPTED, self.current)
            if not going and machine.end is None:
                return Halt(Ended.WAITING, self.current)
        return Halt(Ended.FINISHED if machine.end is not None else Ended.BUDGET, self.current)

    def interrupt(self) -> None:
        self._asked = True
        self.machine.interrupt()

    def close(self) -> None:
        self.machine.close()
