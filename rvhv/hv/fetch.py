"""Reading an instruction of a guest as HLVX would: VS-stage translation of its pc, then the VM's RAM."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.cpu.csrs import SV39, SV48, SV57
from rvhv.hv import registers as r
from rvhv.hv.gstage import PAGE_SHIFT, PTE_PPN_MASK, PTE_PPN_SHIFT, PTE_R, PTE_V, PTE_X

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MASK64 = (1 << 64) - 1
SATP_BARE = 0
LEVELS = {SV39: 3, SV48: 4, SV57: 5}
PTE_N, NAPOT_PAGES = 1 << 63, 16  # Svnapot: a leaf of level 0 for 64 KiB


def instruction(vm: VM, gva: int) -> int | None:
    """The 16- or 32-bit instruction at `gva` of the VM on the hart; None when it cannot be read."""
    low = _half(vm, gva)
    if low is None or low & 3 != 3:
        return low
    high = _half(vm, gva + 2)
    return None if high is None else high << 16 | low


def _half(vm: VM, gva: int) -> int | None:
    gpa = translate(vm, gva)
    if gpa is None or not vm.ram.covers(gpa, 2):
        return None
    return int.from_bytes(vm.ram.read(gpa, 2), "little")


def translate(vm: VM, gva: int) -> int | None:
    """The gpa of `gva` by the VS-stage tables, as for a fetch; None when they do not allow one."""
    vsatp = vm.hart.state[r.VSATP]
    mode = vsatp >> 60
    if mode == SATP_BARE:
        return gva
    levels = LEVELS[mode]  # vsatp holds no other
    sign = PAGE_SHIFT + 9 * levels - 1
    if gva >> sign not in (0, MASK64 >> sign):
        return None
    table = (vsatp & PTE_PPN_MASK) << PAGE_SHIFT
    for level in range(levels - 1, -1, -1):
        slot = table + 8 * (gva >> PAGE_SHIFT + 9 * level & 0x1FF)
        if not vm.ram.covers(slot, 8):
            return None
        pte = int.from_bytes(vm.ram.read(slot, 8), "little")
        if not pte & PTE_V:
            return None
        ppn = pte >> PTE_PPN_SHIFT & PTE_PPN_MASK
        if pte & (PTE_R | PTE_X):
            pages = 1 << 9 * level if level or not pte & PTE_N else NAPOT_PAGES
            offset = gva & (pages << PAGE_SHIFT) - 1
            return ((ppn & -pages) << PAGE_SHIFT | offset) if pte & PTE_X else None
        table = ppn << PAGE_SHIFT
    return None
