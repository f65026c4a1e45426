"""Entering a guest, and the world switch: what of the hart is a guest's, and what `sret` goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rvhv.hv.cpu import Registers

MODE_SV39X4 = 8  # hgatp.MODE
PAGE_SHIFT = 12
NEVER = (1 << 64) - 1
A0, A1 = 10, 11
# What VS-mode sees of a CSR of S-mode is the one of the same name with a v; scounteren, senvcfg and fcsr have no such twin.
GUEST_CSRS = (
    *"vsstatus vstvec vsscratch vsepc vscause vstval vsatp vstimecmp".split(),
    *"hie hvip htimedelta".split(),
    *"scounteren senvcfg fcsr".split(),
)
ENTRY_CSRS = ("hgatp", "hstatus", "sstatus", "sepc")  # what `sret` goes by


def hgatp(root: int, vmid: int) -> int:
    return MODE_SV39X4 << 60 | (vmid & 0x3FFF) << 44 | root >> PAGE_SHIFT


class Guest(Protocol):
    """A guest's hart. `root` is the spa of its G-stage's root table, `entry` and `device_tree` are gpas."""

    @property
    def vmid(self) -> int: ...
    @property
    def root(self) -> int: ...
    @property
    def entry(self) -> int: ...
    @property
    def device_tree(self) -> int: ...
    @property
    def hart_id(self) -> int: ...


class WorldSwitch(Protocol):
    """Between its methods the hypervisor runs `sret` and the guest, whose trap brings the hart back to HS-mode."""

    def start(self, guest: Guest) -> None:
        """The next `sret` is the guest's first entry; whatever is in the registers belongs to others."""

    def save(self, guest: Guest) -> None:
        """It has trapped, and another guest comes next."""

    def restore(self, guest: Guest) -> None:
        """The next `sret` goes on where it was saved."""


class World:
    """All guests of a hart. (Without another one a hypervisor only starts its guests by it, and switches with one block copy.)"""

    def __init__(self, cpu: Registers) -> None:
        self.cpu = cpu
        self.saved: dict[int, tuple[list[int], list[int], list[int]]] = {}  # by VMID: x, f, CSRs

    def start(self, guest: Guest) -> None:
        cpu = self.cpu
        for csr in GUEST_CSRS:
            cpu.write_csr(csr, NEVER if csr == "vstimecmp" else 0)
        for n in range(1, 32):
            cpu.x[n] = 0
        for n in range(32):
            cpu.f[n] = 0
        cpu.x[A0], cpu.x[A1] = guest.hart_id, guest.device_tree
        cpu.write_csr("hgatp", hgatp(guest.root, guest.vmid))
        # its WFI traps; its satp, sret and sfence.vma do not
        cpu.write_csr("hstatus", cpu.mask("hstatus", "SPV") | cpu.mask("hstatus", "VTW"))
        cpu.write_csr("sstatus", cpu.read_csr("sstatus") | cpu.mask("sstatus", "SPP"))
        cpu.write_csr("sepc", guest.entry)

    def save(self, guest: Guest) -> None:
        cpu = self.cpu
        csrs = [cpu.read_csr(csr) for csr in (*GUEST_CSRS, *ENTRY_CSRS)]
        self.saved[guest.vmid] = [cpu.x[n] for n in range(32)], [cpu.f[n] for n in range(32)], csrs

    def restore(self, guest: Guest) -> None:
        cpu = self.cpu
        x, f, csrs = self.saved[guest.vmid]
        for n in range(1, 32):
            cpu.x[n] = x[n]
        for n in range(32):
            cpu.f[n] = f[n]
        for csr, value in zip((*GUEST_CSRS, *ENTRY_CSRS), csrs, strict=True):
            cpu.write_csr(csr, value)
