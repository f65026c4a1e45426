"""Exits as objects: built only when somebody looks (`Hypervisor.exits`, `Hypervisor.on`), each with its explanation."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from rvhv.core.registry import ISA
from rvhv.hv import fetch, mmio
from rvhv.hv import registers as r
from rvhv.hv.registers import cause_text
from rvhv.hv.sbi import GUEST_SBI
from rvhv.hv.trapped import ACCESS, refusal, trap_of
from rvhv.sbi import LEGACY_END, error_name

if TYPE_CHECKING:
    from rvhv.hv.stopped import GuestStopped
    from rvhv.hv.vm import VM
    from rvhv.isa.render.disasm import Disassembler

WFI = 0x1050_0073
ECALL = 0x0000_0073
GUEST_PAGE_FAULTS = {**ACCESS, r.FETCH_GUEST_PAGE: "instruction fetch"}


@dataclass
class VmExit:
    """A trap from a guest into HS-mode. `pc` is sepc, `tval` stval, `word` the instruction (None: not readable)."""

    CAUSES: ClassVar[tuple[int, ...]] = (
        r.ECALL_VS,
        *GUEST_PAGE_FAULTS,
        r.VIRTUAL_INSTRUCTION,
    )  # what it may be made of

    vm: VM
    cause: int
    pc: int
    tval: int
    word: int | None

    @classmethod
    def capture(cls, vm: VM) -> VmExit:
        state = vm.hart.state
        pc = state[r.SEPC]
        return cls(vm, state[r.SCAUSE], pc, state[r.STVAL], fetch.instruction(vm, pc))

    ended: GuestStopped | None = field(default=None, kw_only=True)  # how the VM stopped at this exit, if it did

    def settle(self) -> None:
        """Take what the handling left behind."""
        self.ended = self.vm.stopped

    def advance(self) -> None:
        """Step over the instruction; for handlers of `Hypervisor.on` that emulate it."""
        self.vm.vcpu.step_over(2 if self.word is not None and self.word & 3 != 3 else 4)

    def explain(self) -> str:
        """One plain sentence: what, where, why, by which rule."""
        what = f"{cause_text(self.cause)} (cause {self.cause:#x}), stval {self.tval:#x}"
        return f"{self.where()} trapped to the hypervisor: {what}."

    def where(self) -> str:
        """The VM, the instruction as text and its pc."""
        if self.word is None:
            return f"{self.vm.name}: the fetch at pc {self.pc:#x}"
        return f"{self.vm.name}: `{_disassembler().disassemble(self.word, self.pc)}` at pc {self.pc:#x}"


@dataclass
class SbiExit(VmExit):
    """An ecall from VS-mode: `args` are a0..a5; `error` and `value` are a0 and a1 after the call."""

    CAUSES = (r.ECALL_VS,)

    eid: int = 0
    fid: int = 0
    args: tuple[int, ...] = ()
    error: int = 0
    value: int = 0

    @classmethod
    def capture(cls, vm: VM) -> SbiExit:
        state = vm.hart.state
        args = tuple(state[r.A0 : r.A0 + 6])
        return cls(vm, r.ECALL_VS, state[r.SEPC], 0, ECALL, state[r.A7], state[r.A6], args)

    def settle(self) -> None:
        super().settle()
        state = self.vm.vcpu.state
        self.error, self.value = state[r.A0], state[r.A1]

    def explain(self) -> str:
        args = ", ".join(f"{a:#x}" for a in self.args[:3])
        if self.ended is not None:
            answer = f"stops the VM: {self.ended.reason}"
        elif self.eid < LEGACY_END:
            answer = f"answers {self.error:#x} in a0 alone"
        else:
            answer = f"answers {error_name(self.error)}, value {self.value:#x}"
        return (
            f"{self.where()} calls SBI {GUEST_SBI.describe(self.eid, self.fid)} with ({args}); an ecall from VS-mode "
            f"(cause {self.cause}) cannot be delegated to the guest (hedeleg bit 10 is read-only 0), so the hypervisor "
            f"{answer}."
        )


@dataclass
class GuestPageFaultExit(VmExit):
    """The G-stage refused an access to RAM; `refusal` names the PTE bit; `implicit`: a VS-stage walk made it."""

    CAUSES = tuple(GUEST_PAGE_FAULTS)

    gpa: int = 0
    implicit: bool = False
    refusal: str = ""

    @property
    def gva(self) -> int:
        return self.tval

    @classmethod
    def capture(cls, vm: VM) -> GuestPageFaultExit:
        trap = trap_of(vm)
        word = None if trap.scause == r.FETCH_GUEST_PAGE else fetch.instruction(vm, trap.sepc)
        implicit = trap.htinst in mmio.PSEUDO
        gpa = mmio.faulting_gpa(trap)
        return cls(vm, trap.scause, trap.sepc, trap.stval, word, gpa, implicit, refusal(vm, trap))

    def explain(self) -> str:
        if self.implicit:
            what = f"walking the VS-stage tables for gva {self.gva:#x} accessed the PTE at gpa {self.gpa:#x}"
        else:
            what = f"{GUEST_PAGE_FAULTS[self.cause]} at gva {self.gva:#x}, gpa {self.gpa:#x}"
        return (
            f"{self.where()}: {what}, which the G-stage refuses: {self.refusal}; a guest-page fault "
            f"(cause {self.cause}) always goes to the hypervisor, which {self._outcome()}."
        )

    def _outcome(self) -> str:
        if self.ended is not None:
            return f"stops the VM: {self.ended.reason}"
        return "gives the page a frame and lets the guest try again"


@dataclass
class MmioExit(GuestPageFaultExit):
    """An access to a gpa that is not RAM. `access` is None when the instruction is no plain load or store; `value` is
    what was stored or loaded; `device` None: nothing is there, and the guest gets an access fault."""

    access: mmio.Access | None = None
    device: str | None = None
    offset: int = 0
    value: int = 0

    @classmethod
    def capture(cls, vm: VM) -> MmioExit:
        fault = GuestPageFaultExit.capture(vm)
        access = mmio.decode_trapped(trap_of(vm), lambda gva: fetch.half(vm, gva))
        found = None if access is None else vm.bus.find(fault.gpa, access.size)
        device, offset = (None, 0) if found is None else (found[0].name, found[1])
        value = 0 if access is None else vm.hart.state[r.X0 + access.register] & (1 << 8 * access.size) - 1
        return cls(
            vm, fault.cause, fault.pc, fault.tval, fault.word, fault.gpa, fault.implicit, fault.refusal,
            access, device, offset, value,
        )  # fmt: skip

    def settle(self) -> None:
        super().settle()
        if self.access is not None and not self.access.store:
            self.value = self.vm.vcpu.x[self.access.register] & (1 << 8 * self.access.size) - 1

    def explain(self) -> str:
        if self.access is None or self.device is None:
            fault = mmio.ACCESS_FAULT[self.cause]
            outcome = f"no device takes that, and the guest gets cause {fault}, {cause_text(fault)}"
        else:
            where = f"({self.access.size} bytes) is done at offset {self.offset:#x} of {self.device}"
            store = self.access.store
            outcome = (
                f"the store of {self.value:#x} {where}" if store else f"the load {where} and gives {self.value:#x}"
            )
        return (
            f"{self.where()}: {GUEST_PAGE_FAULTS[self.cause]} at gva {self.gva:#x}, gpa {self.gpa:#x}, which is "
            f"not RAM, so the G-stage has no page for it ({self.refusal}) and a guest-page fault (cause {self.cause}) "
            f"goes to the hypervisor; {outcome}."
        )


@dataclass
class VirtualInstructionExit(VmExit):
    """An instruction legal in HS-mode and not where the guest tried it, which gets an illegal-instruction exception."""

    CAUSES = (r.VIRTUAL_INSTRUCTION,)

    def explain(self) -> str:
        return (
            f"{self.where()} is valid in HS-mode but not in a guest, so it raises a virtual-instruction exception "
            f"(cause {self.cause}); the hypervisor does not emulate it and gives the guest an illegal instruction "
            f"(cause {r.ILLEGAL})."
        )


@dataclass
class WfiExit(VirtualInstructionExit):
    """A WFI under hstatus.VTW=1: the VM gives way. `deadline` is the clock at which its timer wakes it, if it will."""

    asleep: bool = False
    deadline: int | None = None

    def settle(self) -> None:
        super().settle()
        vcpu = self.vm.vcpu
        self.asleep = vcpu.gives_way
        self.deadline = vcpu.deadline

    def explain(self) -> str:
        if not self.asleep:
            outcome = "an enabled interrupt is pending already, so it falls through"
        elif self.deadline is None:
            outcome = "the VM gives way until a device interrupts it"
        else:
            outcome = f"the VM gives way until its timer's deadline, {self.deadline} ns"
        return (
            f"{self.where()} with hstatus.VTW=1 raises a virtual-instruction exception (cause {self.cause}) instead of "
            f"stalling the hart; {outcome}."
        )


@cache
def _disassembler() -> Disassembler:
    from rvhv.isa.render.disasm import Disassembler  # only who looks pays for it

    return Disassembler(ISA)


def build(vm: VM) -> VmExit:
    """The exit that the trap just taken by the VM on the hart is."""
    state = vm.hart.state
    cause = state[r.SCAUSE]
    if cause == r.ECALL_VS:
        return SbiExit.capture(vm)
    if cause in GUEST_PAGE_FAULTS:
        return (GuestPageFaultExit if vm.ram.covers(mmio.faulting_gpa(trap_of(vm))) else MmioExit).capture(vm)
    if cause == r.VIRTUAL_INSTRUCTION:
        waits = state[r.STVAL] == WFI and state[r.HSTATUS] & r.SPVP
        return (WfiExit if waits else VirtualInstructionExit).capture(vm)
    return VmExit.capture(vm)
