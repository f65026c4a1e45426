"""What a guest is given besides instructions to execute: timer and device interrupts, exceptions, and sleep until one is due."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rvhv.hv.cpu import Registers

NEVER = (1 << 64) - 1
MASK64 = (1 << 64) - 1


class VirtualInterrupts(Protocol):
    """Of one guest. All but `set_external`, `leave` and `awake` are called while the guest's registers are on the hart."""

    @property
    def deadline(self) -> int | None:
        """Of the last `wait`: the machine's time (ticks) at which the guest's timer ends it; None: it does not."""

    def enter(self) -> None:
        """The guest's registers are on the hart, and `sret` comes next."""

    def leave(self) -> None:
        """The guest's registers are about to leave the hart."""

    def set_timer(self, stime_value: int) -> None:
        """The guest wants an interrupt when its time (ticks) has come to `stime_value`, and none before."""

    def set_external(self, level: bool) -> None:
        """The line from the guest's interrupt controller has this level now. The guest may be on the hart, or not."""

    def wait(self) -> bool:
        """The guest executed WFI. Whether it has to give way, because nothing that it has enabled is pending."""

    def awake(self, time: int) -> bool:
        """It gave way. Whether it can go on at this time of the machine (ticks)."""

    def exception(self, cause: int, tval: int) -> None:
        """The instruction at sepc raises an exception in the guest."""


class Interrupts:
    """By the hypervisor extension's own means: vstimecmp, hvip, and a trap entry written by hand."""

    def __init__(self, cpu: Registers) -> None:
        self.cpu = cpu
        self.deadline: int | None = None
        self.external = False  # the line's level
        self._on_hart = False
        self._wakes_on_external = False
        self._vseip, self._vseie, self._vstie = cpu.mask("hvip", "VSEIP"), cpu.mask("hie", "VSEIE"), cpu.mask("hie", "VSTIE")
        self._enables = cpu.mask("hie", "VSSIE") | self._vstie | self._vseie
        self._sie, self._spie, self._spp = (cpu.mask("vsstatus", field) for field in ("SIE", "SPIE", "SPP"))
        self._spvp, self._base = cpu.mask("hstatus", "SPVP"), cpu.mask("vstvec", "BASE")

    # interrupts

    def enter(self) -> None:
        self._on_hart = True
        self._drive()

    def leave(self) -> None:
        self._on_hart = False

    def set_timer(self, stime_value: int) -> None:
        # VSTIP is the comparison itself, so a time in the future also clears it (norm:hip_vstip_clear)
        self.cpu.write_csr("vstimecmp", stime_value)

    def set_external(self, level: bool) -> None:
        self.external = level
        if self._on_hart:
            self._drive()

    def _drive(self) -> None:
        # vsip.SSIP is the guest's own and lives in hvip too: only VSEIP is ours
        hvip = self.cpu.read_csr("hvip")
        wanted = hvip | self._vseip if self.external else hvip & ~self._vseip
        if wanted != hvip:
            self.cpu.write_csr("hvip", wanted)

    # waiting

    def wait(self) -> bool:
        # whatever vsstatus.SIE says: WFI is about pending and enabled one by one (norm:wfi_unaffected_conditions)
        cpu = self.cpu
        enabled = cpu.read_csr("hie") & self._enables
        if cpu.read_csr("hip") & enabled:
            return False
        self._wakes_on_external = bool(enabled & self._vseie)
        self.deadline = self._timer() if enabled & self._vstie else None
        return True

    def _timer(self) -> int | None:
        """When the guest's time, which is the machine's and htimedelta, will have come to vstimecmp."""
        cpu = self.cpu
        vstimecmp, time = cpu.read_csr("vstimecmp"), cpu.read_csr("time")
        if vstimecmp == NEVER:
            return None
        return time + vstimecmp - (time + cpu.read_csr("htimedelta") & MASK64)

    def awake(self, time: int) -> bool:
        due = self.deadline is not None and self.deadline <= time
        return due or (self._wakes_on_external and self.external)

    # exceptions

    def exception(self, cause: int, tval: int) -> None:
        # what the hart does when it takes a trap to VS-mode (norm:H_trap_vs_csrwrites)
        cpu = self.cpu
        before = cpu.read_csr("vsstatus")
        vsstatus = before & ~(self._spp | self._spie | self._sie)
        if cpu.read_csr("hstatus") & self._spvp:
            vsstatus |= self._spp
        if before & self._sie:
            vsstatus |= self._spie
        cpu.write_csr("vsepc", cpu.read_csr("sepc"))
        cpu.write_csr("vscause", cause)
        cpu.write_csr("vstval", tval)
        cpu.write_csr("vsstatus", vsstatus)
        cpu.write_csr("sepc", cpu.read_csr("vstvec") & self._base)
        cpu.write_csr("sstatus", cpu.read_csr("sstatus") | self._spp)  # the handler runs in VS-mode, whoever trapped
