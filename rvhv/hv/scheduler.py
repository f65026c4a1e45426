"""Who runs next, and for how many steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

SLICE_STEPS = 1_000_000


class Scheduler(Protocol):
    """A policy. It is asked when a slice is used up or the VM on the hart gave way, and may keep state of its own."""

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        """One of `ready` (never empty, in order of creation) and the length of its slice in steps (1 or more)."""


class RoundRobin:
    """Each ready VM in turn, all for the same number of steps."""

    def __init__(self, slice_steps: int = SLICE_STEPS) -> None:
        self.slice_steps = slice_steps
        self.last = 0  # number of the VM that ran last

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        vm = next((vm for vm in ready if vm.number > self.last), ready[0])
        self.last = vm.number
        return vm, self.slice_steps
