"""What the hypervisor does for each trap: a sparse table by scause."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rvhv.hv import mmio
from rvhv.hv import registers as r
from rvhv.hv.exits import WFI
from rvhv.hv.registers import cause_text
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.trapped import refusal, trap_of

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

Handler = Callable[["VM"], None]


def ecall(vm: VM) -> None:
    vm.sbi.ecall(vm.hart.state[r.SEPC])


def guest_page_fault(vm: VM) -> None:
    """RAM: give the page a frame and retry. Elsewhere: a device, or an access fault for the guest."""
    trap = trap_of(vm)
    gpa = mmio.faulting_gpa(trap)
    if not vm.ram.covers(gpa):
        vm.mmio.emulate(trap)
        return
    if vm.gstage.frame(gpa) is not None:
        # ours never do this; a lab's may
        raise GuestStopped(f"guest-page fault at gpa {gpa:#x} although its page is mapped: {refusal(vm, trap)}")
    vm.gstage.map(gpa)


def virtual_instruction(vm: VM) -> None:
    """WFI of a guest's kernel waits; the rest, and a WFI in VU-mode, is illegal in a guest."""
    state = vm.hart.state
    if state[r.STVAL] == WFI and state[r.HSTATUS] & r.SPVP:
        vm.vcpu.step_over(4)
        vm.vcpu.wait()
    else:
        vm.vcpu.interrupts.exception(r.ILLEGAL, state[r.STVAL])  # stval holds its bits


def unexpected(vm: VM) -> None:
    state = vm.hart.state
    raise GuestStopped(
        f"a trap the hypervisor does not expect: {cause_text(state[r.SCAUSE])} "
        f"at pc {state[r.SEPC]:#x}, stval {state[r.STVAL]:#x}"
    )


HANDLERS: dict[int, Handler] = {
    r.ECALL_VS: ecall,
    r.FETCH_GUEST_PAGE: guest_page_fault,
    r.LOAD_GUEST_PAGE: guest_page_fault,
    r.STORE_GUEST_PAGE: guest_page_fault,
    r.VIRTUAL_INSTRUCTION: virtual_instruction,
}
