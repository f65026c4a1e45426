"""The G-stage of one VM: real Sv39x4 tables in the emulated memory, filled one 4 KiB frame per guest page fault."""

from __future__ import annotations

from typing import Protocol

from rvhv.machine.memory import FrameAllocator, Memory

PAGE = 4096
PAGE_SHIFT = 12
MODE_SV39X4 = 8  # hgatp.MODE
LEVELS = 3
ROOT_FRAMES = 4  # norm:hgatp_mode_x4: the root is 16 KiB, at a 16 KiB boundary
GPA_BITS = 41

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << bit for bit in range(8))
PTE_PPN_SHIFT = 10
PTE_PPN_MASK = (1 << 44) - 1
# norm:H_vm_gpatrans: U is checked as though in U-mode; A and D are set so that no access needs an update.
LEAF = PTE_V | PTE_R | PTE_W | PTE_X | PTE_U | PTE_A | PTE_D

READ, WRITE, EXECUTE = "load", "store", "instruction fetch"


class GStage(Protocol):
    """What the hypervisor needs of a G-stage; labs put their own here (`Hypervisor(gstage=...)`)."""

    root: int  # spa of the root table

    def map(self, gpa: int) -> int:
        """Give the guest page of `gpa` a frame if it has none; the frame's spa. Raises OutOfFrames."""

    def frame(self, gpa: int) -> int | None:
        """The spa of the frame behind the guest page of `gpa`, or None."""

    def refusal(self, gpa: int, access: str) -> str | None:
        """Why the tables refuse `access` at `gpa`, as a phrase that names the bit; None when they allow it."""

    def release(self) -> None:
        """Give every frame back."""


def vpn(gpa: int, level: int) -> int:
    """The index into the table of `level`; the root's has two bits more (norm:hgatp_mode_sv39x4)."""
    return gpa >> PAGE_SHIFT + 9 * level & (0x7FF if level == LEVELS - 1 else 0x1FF)


def hgatp(root: int, vmid: int) -> int:
    return MODE_SV39X4 << 60 | (vmid & 0x3FFF) << 44 | root >> PAGE_SHIFT


class Sv39x4:
    """Tables and frames of one VM. Every frame is taken from `frames` and given back by `release`."""

    def __init__(self, memory: Memory, frames: FrameAllocator) -> None:
        self.memory = memory
        self.frames = frames
        self.root = frames.alloc(ROOT_FRAMES, align=ROOT_FRAMES)
        self.tables: list[int] = []
        self.pages: dict[int, int] = {}  # guest page number -> spa

    def map(self, gpa: int) -> int:
        page = gpa >> PAGE_SHIFT
        spa = self.pages.get(page)
        if spa is None:
            pte_spa = self._leaf_slot(gpa)
            spa = self.frames.alloc()
            self.memory.write_u64(pte_spa, spa >> PAGE_SHIFT << PTE_PPN_SHIFT | LEAF)
            self.pages[page] = spa
        return spa

    def frame(self, gpa: int) -> int | None:
        return self.pages.get(gpa >> PAGE_SHIFT)

    def _leaf_slot(self, gpa: int) -> int:
        """The spa of the last-level PTE of `gpa`; tables on the way are made."""
        table = self.root
        for level in range(LEVELS - 1, 0, -1):
            slot = table + 8 * vpn(gpa, level)
            pte = self.memory.read_u64(slot)
            if pte & PTE_V:
                table = (pte >> PTE_PPN_SHIFT & PTE_PPN_MASK) << PAGE_SHIFT
            else:
                table = self.frames.alloc()
                self.tables.append(table)
                self.memory.write_u64(slot, table >> PAGE_SHIFT << PTE_PPN_SHIFT | PTE_V)
        return table + 8 * vpn(gpa, 0)

    def refusal(self, gpa: int, access: str) -> str | None:
        return refusal(self.memory, self.root, gpa, access)

    def release(self) -> None:
        for spa in (*self.pages.values(), *self.tables):
            self.frames.free(spa)
        self.frames.free(self.root, ROOT_FRAMES)
        self.pages.clear()
        self.tables.clear()


def refusal(memory: Memory, root: int, gpa: int, access: str) -> str | None:
    """Walk the Sv39x4 tables at `root` for `gpa`; a phrase naming what refuses `access`, None when it is allowed."""
    if gpa >> GPA_BITS:
        return f"bits 63:{GPA_BITS} of the guest physical address are not all zero"
    table = root
    for level in range(LEVELS - 1, -1, -1):
        slot = table + 8 * vpn(gpa, level)
        if not memory.base <= slot <= memory.base + memory.size - 8:
            return f"the level {level + 1} PTE points to a table outside the machine's memory"
        pte = memory.read_u64(slot)
        if not pte & PTE_V:
            return f"V=0 in its level {level} PTE"
        if pte & PTE_W and not pte & PTE_R:
            return f"W=1 with R=0 is reserved (level {level} PTE {pte:#x})"
        if pte & (PTE_R | PTE_X):
            return _leaf_refusal(pte, level, access)
        if pte & (PTE_U | PTE_A | PTE_D):
            return f"U, A or D is set in a PTE that is no leaf (level {level} PTE {pte:#x})"
        table = (pte >> PTE_PPN_SHIFT & PTE_PPN_MASK) << PAGE_SHIFT
    return "its level 0 PTE is no leaf (R=0 and X=0)"


def _leaf_refusal(pte: int, level: int, access: str) -> str | None:
    missing = ""
    if not pte & PTE_U:
        missing = "U=0: the G-stage checks every access as though from U-mode"
    elif access == READ and not pte & PTE_R:
        missing = "R=0"
    elif access == WRITE and not pte & PTE_W:
        missing = "W=0"
    elif access == EXECUTE and not pte & PTE_X:
        missing = "X=0"
    elif (pte >> PTE_PPN_SHIFT) & ((1 << 9 * level) - 1):
        missing = "the superpage is misaligned"
    elif not pte & PTE_A:
        missing = "A=0 and the hart does not set it (ADUE=0)"
    elif access == WRITE and not pte & PTE_D:
        missing = "D=0 and the hart does not set it (ADUE=0)"
    return f"{missing} (level {level} PTE {pte:#x})" if missing else None
