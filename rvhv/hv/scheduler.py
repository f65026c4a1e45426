"""Who runs next, and for how many steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

SLICE_STEPS = 1_000_000
HEAVIEST = 1000  # the largest weight of a VM; the smallest is 1
SCALE = 1 << 32  # passes are whole numbers, which add up the same everywhere


class Scheduler(Protocol):
    """A policy. It is asked when a slice is used up or the VM on the hart gave way, and may keep state of its own."""

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        """One of `ready` (never empty, in order of creation) and the length of its slice in steps (1 or more)."""

    def ran(self, vm: VM, steps: int) -> None:
        """Told after each slice: the VM that was picked used so many steps of it; fewer than it got when it gave way."""


class RoundRobin:
    """Each ready VM in turn, all for the same number of steps."""

    def __init__(self, slice_steps: int = SLICE_STEPS) -> None:
        self.slice_steps = slice_steps
        self.last = 0  # number of the VM that ran last

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        vm = next((vm for vm in ready if vm.number > self.last), ready[0])
        self.last = vm.number
        return vm, self.slice_steps

    def ran(self, vm: VM, steps: int) -> None:
        """All turns are alike."""


class Weighted:
    """Stride scheduling (Waldspurger and Weihl, 1995): each VM's time is proportional to its weight.

    A VM's *pass* is the time that it used, divided by its weight: who is behind is next. Who was away is let in level with the
    others: time that was not used is not saved up. With equal weights it is round robin.
    """

    def __init__(self, slice_steps: int = SLICE_STEPS) -> None:
        self.slice_steps = slice_steps
        self.passes: dict[int, int] = {}  # by the VM's number, in steps * SCALE / weight, rounded down
        self.now = 0  # the pass of the VM that was picked last: of those that were ready nobody is behind it

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        for vm in ready:
            self.passes[vm.number] = max(self.now, self.passes.get(vm.number, 0))
        vm = min(ready, key=lambda vm: (self.passes[vm.number], vm.number))
        self.now = self.passes[vm.number]
        return vm, self.slice_steps

    def ran(self, vm: VM, steps: int) -> None:
        self.passes[vm.number] += steps * SCALE // vm.weight
