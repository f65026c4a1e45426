"""Physical memory of a machine and who owns which frame of it."""

from __future__ import annotations

import heapq

from rvhv.core.memory import PAGE, Memory, MemoryRangeError
from rvhv.errors import ConfigError, InternalError, RvhvError

__all__ = ["PAGE", "FrameAllocator", "Memory", "MemoryRangeError", "OutOfFrames"]

ZERO_PAGE = bytes(PAGE)


class OutOfFrames(RvhvError):
    """No free frame, or no run of free frames of the length and alignment asked for."""


class FrameAllocator:
    """4 KiB frames of a Memory from `start` to `end` (spa); always the lowest that fits, so that runs repeat."""

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        if start % PAGE or end % PAGE or not memory.base <= start <= end <= memory.base + memory.size:
            raise ConfigError(f"frames from {start:#x} to {end:#x} are not in memory")
        self.memory = memory
        self._next = start  # frames from here on were never given out
        self._end = end
        self._freed: list[int] = []  # a heap
        self._free_set: set[int] = set()

    @property
    def available(self) -> int:
        """Frames left."""
        return (self._end - self._next) // PAGE + len(self._freed)

    @property
    def end_of_used(self) -> int:
        """Frames from this spa on were never given out."""
        return self._next

    def alloc(self, count: int = 1, align: int = 1) -> int:
        """The spa of `count` zeroed frames in a row, aligned to `align` frames. Raises OutOfFrames."""
        spa = self._lowest_freed(count, align) if self._freed else None
        if spa is None:
            step = align * PAGE
            spa = (self._next + step - 1) // step * step
            if spa + count * PAGE > self._end:
                raise OutOfFrames(f"{count} frame{'s' * (count > 1)} of memory asked for, {self.available} left")
            for skipped in range(self._next, spa, PAGE):
                heapq.heappush(self._freed, skipped)
                self._free_set.add(skipped)
            self._next = spa + count * PAGE
            return spa  # never used: zero already
        self.memory.write(spa, ZERO_PAGE * count)
        return spa

    def _lowest_freed(self, count: int, align: int) -> int | None:
        if count == 1 and align == 1:
            spa = heapq.heappop(self._freed)
            self._free_set.remove(spa)
            return spa
        begin, end = None, 0  # of the run of free frames that is looked at, from an aligned one on
        for spa in sorted(self._free_set):
            if spa != end or begin is None:
                begin = None if spa % (align * PAGE) else spa
            end = spa + PAGE
            if begin is not None and end - begin == count * PAGE:
                self._free_set.difference_update(range(begin, end, PAGE))
                self._freed = sorted(self._free_set)  # a sorted list is a heap
                return begin
        return None

    def is_free(self, spa: int) -> bool:
        """Whether the frame of `spa` was given out and given back: its bytes are still those of its last owner."""
        return spa // PAGE * PAGE in self._free_set

    def free(self, spa: int, count: int = 1) -> None:
        """Give frames back. Raises InternalError for a frame that is free already."""
        for frame in range(spa, spa + count * PAGE, PAGE):
            if frame in self._free_set or frame >= self._next:
                raise InternalError(f"frame {frame:#x} was freed twice")
            heapq.heappush(self._freed, frame)
            self._free_set.add(frame)
