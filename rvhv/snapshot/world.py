"""What history asks of a machine, whichever of the two kinds it is: a Hypervisor with its VMs, or the bare Machine."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Any

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu.state import ARCH_WORDS
from rvhv.errors import SnapshotError
from rvhv.hart import Hart
from rvhv.hv.gstage import Sv39x4
from rvhv.hv.hypervisor import Hypervisor
from rvhv.machine.disk import DiskImage
from rvhv.machine.virt import Machine
from rvhv.virtio.block import Block
from rvhv.virtio.mmio import VirtioMmio

FAR = 1 << 40  # steps: of a run without a limit, again and again


class Why(StrEnum):
    """Why a run ended."""

    BUDGET = "budget"  # all the steps that were asked for
    STOPPED = "stopped"  # a breakpoint or watchpoint: `stopped_at` of the machine
    INTERRUPTED = "interrupted"
    WAITING = "waiting"  # nothing goes on before somebody types
    FINISHED = "finished"


class World:
    """`root` is where the walk over its objects begins. (steps, phase) is a moment: what happens without a step, raises the
    phase."""

    root: Any
    memory: Memory

    @property
    def steps(self) -> int:
        return int(self.root.steps)

    @property
    def phase(self) -> int:
        raise NotImplementedError

    @property
    def finished(self) -> bool:
        raise NotImplementedError

    def written(self) -> Iterable[int] | None:
        """The frames that were ever written, if that is known: it is where somebody called `Memory.track` before they were."""
        return self.memory.take_dirty() if self.memory.tracked else None

    @property
    def takes_input(self) -> bool:
        """Whether what is typed while it runs may get there at once: it is at an exact point."""
        return False

    @property
    def harts(self) -> list[Hart]:
        raise NotImplementedError

    def disks(self) -> list[DiskImage]:
        raise NotImplementedError

    def contexts(self) -> list[tuple[str, memoryview[int]]]:
        """Every guest hart: its name and architectural words."""
        raise NotImplementedError

    def drain(self) -> None:
        """Hash the trace records that wait."""
        raise NotImplementedError

    def take_feeds(self, take: Callable[[Callable[[], None], str], None] | None) -> None:
        """Have `take(apply, text)` called instead of what is typed getting there; None: no more."""
        raise NotImplementedError

    def run(self, steps: int | None, until: float | None) -> Why | None:
        """Run so many steps exactly, or until the host's clock is `until`: None then, or when it goes on for another reason."""
        raise NotImplementedError

    def interrupt(self) -> None:
        self.root.interrupt()

    @contextmanager
    def quiet(self, *, all_callbacks: bool) -> Iterator[None]:
        """Run without anybody hearing of it; the user's callbacks for other things are kept unless `all_callbacks`."""
        raise NotImplementedError

    def pass_stops(self) -> None:
        """The instructions that come next pass breakpoints once."""
        for hart in self.harts:
            hart.pass_stops()


@contextmanager
def _replaced(thing: Any, values: dict[str, Any]) -> Iterator[None]:
    before = {name: getattr(thing, name) for name in values}
    for name, value in values.items():
        setattr(thing, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(thing, name, value)


class HostedWorld(World):
    """A Hypervisor. A phase 1 is that every VM has stopped, which can happen without a step."""

    def __init__(self, hv: Hypervisor) -> None:
        if hv.fences is not None:
            raise SnapshotError("fences are checked, and what is known about them cannot go back in time: do not check them")
        self.root: Hypervisor = hv
        self.memory = hv.memory
        self._vms = len(hv.vms)

    @property
    def phase(self) -> int:
        return int(self.root.finished)

    @property
    def finished(self) -> bool:
        return self.root.finished

    def written(self) -> Iterable[int] | None:
        hv = self.root
        if all(isinstance(getattr(vm, "gstage", None), Sv39x4) for vm in hv.vms):
            return range(hv.memory.base, hv.frames.end_of_used, PAGE)  # ours write no others
        return super().written()

    @property
    def takes_input(self) -> bool:
        return self.root.between_slices

    @property
    def harts(self) -> list[Hart]:
        return [self.root.hart]

    def disks(self) -> list[DiskImage]:
        return [vm.disk for vm in self.root.vms if vm.disk is not None]

    def contexts(self) -> list[tuple[str, memoryview[int]]]:
        return [(vm.name, vm.vcpu.state[:ARCH_WORDS]) for vm in self.root.vms]

    def drain(self) -> None:
        _ = self.root.trace

    def take_feeds(self, take: Callable[[Callable[[], None], str], None] | None) -> None:
        def on_feed(vm: Any, data: bytes) -> None:
            assert take is not None
            take(lambda: vm.typed(data), f"typed on {vm.name}: {data!r}")

        self.root.on_feed = None if take is None else on_feed

    def run(self, steps: int | None, until: float | None) -> Why | None:
        hv = self.root
        if len(hv.vms) != self._vms:
            raise SnapshotError("a VM was created, which cannot be undone: close the history and begin another")
        hv.run_until = until
        end = None if steps is None else hv.steps + steps
        try:
            hv.run(steps)
        finally:
            hv.run_until = None
        if hv.stopped_at is not None:
            return Why.STOPPED
        if hv.interrupted:
            return Why.INTERRUPTED
        if hv.finished:
            return Why.FINISHED
        return Why.BUDGET if hv.steps == end else None

    @contextmanager
    def quiet(self, *, all_callbacks: bool) -> Iterator[None]:
        mute = {name: None for name in vars(self.root) if name.startswith("on_")} if all_callbacks else {}
        with _replaced(self.root, {**mute, "on_console": None, "on_idle": None, "on_feed": self.root.on_feed}):
            yield


class BareWorld(World):
    """A Machine. Its phase is its clock: when every hart waits, it jumps without a step."""

    def __init__(self, machine: Machine) -> None:
        if machine.realtime:
            raise SnapshotError("the machine's clock is the host's, which cannot go back in time: run it without real time")
        if machine.fences is not None:
            raise SnapshotError("fences are checked, and what is known about them cannot go back in time: do not check them")
        self.root: Machine = machine
        self.memory = machine.memory
        self._runs = False

    @property
    def phase(self) -> int:
        return self.root.clock

    @property
    def finished(self) -> bool:
        return self.root.end is not None

    @property
    def takes_input(self) -> bool:
        return not self._runs

    @property
    def harts(self) -> list[Hart]:
        return self.root.harts

    def disks(self) -> list[DiskImage]:
        devices = [d.device for d in self.root.bus.devices if isinstance(d, VirtioMmio)]
        return [d.disk for d in devices if isinstance(d, Block) and isinstance(d.disk, DiskImage)]

    def contexts(self) -> list[tuple[str, memoryview[int]]]:
        return [(f"hart {i}", hart.state[:ARCH_WORDS]) for i, hart in enumerate(self.root.harts)]

    def drain(self) -> None:
        self.root.trace_hash()

    def take_feeds(self, take: Callable[[Callable[[], None], str], None] | None) -> None:
        def on_feed(data: bytes) -> None:
            assert take is not None
            take(lambda: self.root.typed(data), f"typed: {data!r}")

        self.root.on_feed = None if take is None else on_feed

    def run(self, steps: int | None, until: float | None) -> Why | None:
        machine = self.root
        machine.run_until = until
        end = None if steps is None else machine.steps + steps
        self._runs = True
        try:
            goes_on = machine.run(FAR if steps is None else steps)
        finally:
            self._runs = False
            machine.run_until = None
        if machine.end is not None:
            return Why.FINISHED
        if machine.stopped_at is not None:
            return Why.STOPPED
        if machine.interrupted:
            return Why.INTERRUPTED
        if machine.steps == end:
            return Why.BUDGET
        return None if goes_on else Why.WAITING

    @contextmanager
    def quiet(self, *, all_callbacks: bool) -> Iterator[None]:
        mute = {name: None for name in vars(self.root) if name.startswith("on_")} if all_callbacks else {}
        kept = {"on_output": _nothing, "on_feed": self.root.on_feed, "watcher": None}
        with _replaced(self.root, {**mute, **kept}):
            yield


def _nothing(data: bytes) -> None:
    pass


def world_of(root: Hypervisor | Machine) -> World:
    """Raises SnapshotError for a machine that depends on more than its inputs."""
    return HostedWorld(root) if isinstance(root, Hypervisor) else BareWorld(root)
