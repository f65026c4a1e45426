"""The VM on the hart just after it trapped: what the trap says, and what can be done with its guest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from rvhv.hv import fetch, mmio
from rvhv.hv import registers as r

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

# the access behind a guest-page fault, as `VCPU.walk` names it
ACCESS = {r.FETCH_GUEST_PAGE: "fetch", r.LOAD_GUEST_PAGE: "load", r.STORE_GUEST_PAGE: "store"}


def trap_of(vm: VM) -> mmio.Trap:
    state = vm.hart.state
    return mmio.Trap(state[r.SCAUSE], state[r.SEPC], state[r.STVAL], state[r.HTVAL], state[r.HTINST])


def refusal(vm: VM, trap: mmio.Trap) -> str:
    """Why the G-stage refused the access of the guest-page fault just taken, as a phrase that names the PTE and its bit."""
    implicit = trap.htinst in mmio.PSEUDO
    access = ("store" if trap.htinst == mmio.PSEUDO_STORE else "load") if implicit else ACCESS[trap.scause]
    walk = vm.vcpu.walk_gpa(mmio.faulting_gpa(trap), access, implicit=implicit)
    return walk.refused or "nothing: the tables allow it"


class TrappedGuest:
    """`rvhv.hv.mmio.Guest` of a VM, and who calls its SBI."""

    NOT_STATE: ClassVar = ("x",)  # the hart's own words

    def __init__(self, vm: VM) -> None:
        self._vm = vm
        self.resume = vm.vcpu.resume
        self.x = vm.hart.state[r.X0 : r.X0 + 32]

    def fetch(self, gva: int) -> int | None:
        return fetch.half(self._vm, gva)

    def __getattr__(self, name: str) -> Any:
        """What an SBI call asks for, the VM has or does."""
        return getattr(self._vm, name)

    def inject(self, cause: int, tval: int) -> None:
        self._vm.vcpu.interrupts.exception(cause, tval)
