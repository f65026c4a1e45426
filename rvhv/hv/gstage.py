"""The G-stage of one VM: real Sv39x4 tables in the emulated memory, filled one 4 KiB frame per guest page fault."""

from __future__ import annotations

from typing import Protocol

from rvhv.cpu import pte as p
from rvhv.machine.memory import FrameAllocator, Memory

PAGE = 4096
PAGE_SHIFT = 12
MODE_SV39X4 = 8  # hgatp.MODE
LEVELS = 3
ROOT_FRAMES = 4  # norm:hgatp_mode_x4: the root is 16 KiB, at a 16 KiB boundary

# norm:H_vm_gpatrans: U is checked as though in U-mode; A and D are set so that no access needs an update.
LEAF = p.V | p.R | p.W | p.X | p.U | p.A | p.D


class GStage(Protocol):
    """What the hypervisor needs of a G-stage; labs put their own here (`Hypervisor(gstage=...)`)."""

    root: int  # spa of the root table

    def map(self, gpa: int) -> int:
        """Give the guest page of `gpa` a frame if it has none; the frame's spa. Raises OutOfFrames."""

    def frame(self, gpa: int) -> int | None:
        """The spa of the frame behind the guest page of `gpa`, or None."""

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
            self.memory.write_u64(pte_spa, spa >> PAGE_SHIFT << p.PPN_SHIFT | LEAF)
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
            if pte & p.V:
                table = p.target(pte)
            else:
                table = self.frames.alloc()
                self.tables.append(table)
                self.memory.write_u64(slot, table >> PAGE_SHIFT << p.PPN_SHIFT | p.V)
        return table + 8 * vpn(gpa, 0)

    def release(self) -> None:
        for spa in (*self.pages.values(), *self.tables):
            self.frames.free(spa)
        self.frames.free(self.root, ROOT_FRAMES)
        self.pages.clear()
        self.tables.clear()
