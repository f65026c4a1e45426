"""The G-stage of one VM: real Sv39x4 tables in the emulated memory. Pages come one guest page fault at a time, or in ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol

from rvhv.cpu import pte as p

if TYPE_CHECKING:
    from rvhv.machine.memory import FrameAllocator, Memory

PAGE = 4096
PAGE_SHIFT = 12
LEVELS = 3
ROOT_FRAMES = 4  # norm:hgatp_mode_x4: the root is 16 KiB, at a 16 KiB boundary

# norm:H_vm_gpatrans: U is checked as though in U-mode; A and D are set so that no access needs an update.
FLAGS = p.V | p.U | p.A | p.D
RIGHTS = {"r": p.R, "x": p.X, "rw": p.R | p.W, "rx": p.R | p.X, "rwx": p.R | p.W | p.X}  # without R and X it were no leaf
LEAF = FLAGS | RIGHTS["rwx"]

Fencer = Callable[[int | None], None]  # HFENCE.GVMA of the VM's VMID: for the page of a gpa, or (None) for all


class GStage(Protocol):
    """What the hypervisor needs of a G-stage; labs put their own here (`Hypervisor(gstage=...)`).

    gpas, spas and sizes are multiples of 4096 unless said otherwise; `rights` is a key of `RIGHTS`.
    """

    root: int  # spa of the root table

    def map(self, gpa: int) -> int:
        """Give the guest page of `gpa` (any gpa) a frame if it has none; the frame's spa. Raises OutOfFrames."""

    def frame(self, gpa: int) -> int | None:
        """The spa of the frame behind the guest page of `gpa` (any gpa), or None."""

    def map_range(self, gpa: int, spa: int, size: int, rights: str) -> None:
        """Map a range that has no page yet to frames that are the G-stage's from now on, by leaves as large as fit."""

    def unmap(self, gpa: int, size: int) -> None:
        """Take every page of the range away from the guest and give their frames back."""

    def protect(self, gpa: int, size: int, rights: str) -> None:
        """Change the rights of every page of the range that is mapped."""

    def release(self) -> None:
        """Give every frame back."""


def vpn(gpa: int, level: int) -> int:
    """The index into the table of `level`; the root's has two bits more (norm:hgatp_mode_sv39x4)."""
    return gpa >> PAGE_SHIFT + 9 * level & (0x7FF if level == LEVELS - 1 else 0x1FF)


def block(level: int) -> int:
    """Bytes that a leaf of `level` maps: 4 KiB, 2 MiB, 1 GiB."""
    return PAGE << 9 * level


def pte_of(spa: int, flags: int) -> int:
    return spa >> PAGE_SHIFT << p.PPN_SHIFT | flags


class Sv39x4:
    """Tables and frames of one VM. Every frame is taken from `frames`, or came with `map_range`, and goes back there."""

    def __init__(self, memory: Memory, frames: FrameAllocator, hfence_gvma: Fencer) -> None:
        self.memory = memory
        self.frames = frames
        self.hfence_gvma = hfence_gvma
        self.root = frames.alloc(ROOT_FRAMES, align=ROOT_FRAMES)
        self.tables: list[int] = []
        self.leaves: list[dict[int, int]] = [{} for _ in range(LEVELS)]  # of each level: gpa / its block -> spa

    def map(self, gpa: int) -> int:
        spa = self.frame(gpa)
        if spa is None:
            slot = self._slot(gpa, 0)
            spa = self.frames.alloc()
            self.memory.write_u64(slot, pte_of(spa, LEAF))
            self.leaves[0][gpa >> PAGE_SHIFT] = spa
        return spa

    def frame(self, gpa: int) -> int | None:
        for level, leaves in enumerate(self.leaves):
            if (spa := leaves.get(gpa // block(level))) is not None:
                return spa + gpa % block(level) // PAGE * PAGE
        return None

    def map_range(self, gpa: int, spa: int, size: int, rights: str) -> None:
        end = gpa + size
        while gpa < end:
            level = max(n for n in range(LEVELS) if (gpa | spa) % block(n) == 0 and gpa + block(n) <= end)
            slot = self._slot(gpa, level)
            while self.memory.read_u64(slot) & p.V:  # a table of pages that were there once
                level -= 1
                slot = self._slot(gpa, level)
            self.memory.write_u64(slot, pte_of(spa, FLAGS | RIGHTS[rights]))
            self.leaves[level][gpa // block(level)] = spa
            gpa, spa = gpa + block(level), spa + block(level)

    def unmap(self, gpa: int, size: int) -> None:
        for at, level in list(self._cut(gpa, size)):
            self.memory.write_u64(self._slot(at, level), 0)
            self.hfence_gvma(at)  # and only then may its frames become another's
            self.frames.free(self.leaves[level].pop(at // block(level)), block(level) // PAGE)

    def protect(self, gpa: int, size: int, rights: str) -> None:
        for at, level in list(self._cut(gpa, size)):
            spa = self.leaves[level][at // block(level)]
            self.memory.write_u64(self._slot(at, level), pte_of(spa, FLAGS | RIGHTS[rights]))
            self.hfence_gvma(at)

    def release(self) -> None:
        for level, leaves in enumerate(self.leaves):
            for spa in leaves.values():
                self.frames.free(spa, block(level) // PAGE)
            leaves.clear()
        for spa in self.tables:
            self.frames.free(spa)
        self.tables.clear()
        self.frames.free(self.root, ROOT_FRAMES)

    def _slot(self, gpa: int, level: int) -> int:
        """The spa of the PTE of `gpa` in the table of `level`; tables on the way are made."""
        table = self.root
        for above in range(LEVELS - 1, level, -1):
            slot = table + 8 * vpn(gpa, above)
            pte = self.memory.read_u64(slot)
            if pte & p.V:
                table = p.target(pte)
            else:
                table = self.frames.alloc()
                self.tables.append(table)
                self.memory.write_u64(slot, pte_of(table, p.V))
        return table + 8 * vpn(gpa, level)

    def _cut(self, gpa: int, size: int) -> Iterator[tuple[int, int]]:
        """(gpa, level) of each leaf of the range, after superpages that reach out of it were split."""
        at, end = gpa, gpa + size
        while at < end:
            level = next((n for n, leaves in enumerate(self.leaves) if at // block(n) in leaves), None)
            if level is None:
                at += PAGE
                continue
            start = at // block(level) * block(level)
            if start < gpa or start + block(level) > end:
                self._split(start, level)
            else:
                yield start, level
                at = start + block(level)

    def _split(self, gpa: int, level: int) -> None:
        """Put a table of 512 smaller leaves in the place of a superpage, with the same rights."""
        slot = self._slot(gpa, level)
        flags = self.memory.read_u64(slot) & (1 << p.PPN_SHIFT) - 1
        spa, part = self.leaves[level].pop(gpa // block(level)), block(level - 1)
        table = self.frames.alloc()
        self.tables.append(table)
        for offset in range(0, block(level), part):
            self.memory.write_u64(table + 8 * (offset // part), pte_of(spa + offset, flags))
            self.leaves[level - 1][(gpa + offset) // part] = spa + offset
        self.memory.write_u64(slot, pte_of(table, p.V))
        self.hfence_gvma(gpa)
