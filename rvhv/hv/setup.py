"""How a hart is set up to host guests: what M-mode firmware and a hypervisor's start-up code would write, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv import registers as r
from rvhv.machine.isa_string import SUPERVISOR_ENVCFG

if TYPE_CHECKING:
    from rvhv.hart import Hart

# What a guest handles itself, as real hypervisors delegate it (norm:hedeleg_op).
GUEST_EXCEPTIONS = sum(
    1 << r.cause(name)
    for name in (
        "instruction_address_misaligned",
        "instruction_access_fault",
        "illegal_instruction",
        "breakpoint",
        "load_address_misaligned",
        "load_access_fault",
        "store_address_misaligned",
        "store_access_fault",
        "ecall_u",
        "instruction_page_fault",
        "load_page_fault",
        "store_page_fault",
    )
)
# What only the hypervisor can handle; the two together are everything, so that nothing reaches M-mode.
HYPERVISOR_EXCEPTIONS = sum(
    1 << code for code in (r.ECALL_VS, r.FETCH_GUEST_PAGE, r.LOAD_GUEST_PAGE, r.VIRTUAL_INSTRUCTION, r.STORE_GUEST_PAGE)
)
FS_INITIAL = r.field("sstatus", "FS") & -r.field("sstatus", "FS")
STATEENS = 4  # mstateen0 to mstateen3
COUNTERS = r.field("mcounteren", "CY") | r.field("mcounteren", "TM") | r.field("mcounteren", "IR")


def host_guests(hart: Hart) -> None:
    """From reset to HS-mode with everything delegated, traps ending in Python, and the guest's view open."""
    write = hart.write_csr
    # M-mode's part
    hart.open_pmp()
    write("medeleg", GUEST_EXCEPTIONS | HYPERVISOR_EXCEPTIONS)
    write("mideleg", r.S_INTERRUPTS | r.VS_INTERRUPTS | r.SGEIP)
    write("mcounteren", COUNTERS)
    write("menvcfg", SUPERVISOR_ENVCFG)
    for n in range(STATEENS):
        write(f"mstateen{n}", (1 << 64) - 1)
    # HS-mode's part
    write("hedeleg", GUEST_EXCEPTIONS)
    write("hideleg", r.VS_INTERRUPTS)
    write("hcounteren", COUNTERS)
    write("henvcfg", SUPERVISOR_ENVCFG)
    for n in range(STATEENS):  # the tree says smstateen, so sstateen0 to sstateen3 are there too; senvcfg is in a VCPU's block
        write(f"hstateen{n}", (1 << 64) - 1)
    # Floating point is on as far as it is ours to say. A guest's own switch, vsstatus.FS, stays Off as after reset: the SBI says
    # nothing about sstatus.FS, so a kernel that computes turns it on, and one that forgot learns it here as it would under
    # KVM, which starts its guests the same way.
    write("sstatus", hart.read_csr("sstatus") | FS_INITIAL)
    write("htimedelta", 0)
    write("vstimecmp", (1 << 64) - 1)  # no timer interrupt before the guest asks for one
    write("hstatus", hart.read_csr("hstatus") | r.VTW)  # a guest's wfi gives way instead of stalling the hart
    hart.state[r.HS_HOOK] = 1
