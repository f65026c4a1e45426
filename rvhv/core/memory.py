"""Emulated physical memory: RAM, what was derived from each frame of it, and predecoded code, as flat buffers.

The buffers are anonymous maps, so that a large RAM costs only what is touched, and importing this costs no numpy.
"""

from __future__ import annotations

import ctypes
import mmap
from array import array
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

from rvhv.cpu.state import (
    CODE_WORDS,
    FLAG_CLEAN,
    FRAME_FLAGS,
    FRAME_WORDS,
    SHARED_DIRTY,
    SHARED_GENERATION,
    SHARED_WORDS,
)
from rvhv.errors import ConfigError, InternalError

PAGE = 4096
RAM_BASE = 0x8000_0000
# a process that is forked has a copy (Python's default is memory that both change)
PRIVATE: dict[str, int] = {"flags": mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS} if hasattr(mmap, "MAP_PRIVATE") else {}


class MemoryRangeError(InternalError):
    """An access outside RAM: callers translate and check first."""


class Buffer:
    """`length` zeroed bytes: a memoryview (format "B" or "Q") and their address, for compiled code."""

    def __init__(self, length: int, form: Literal["B", "Q"]) -> None:
        try:
            self._map = mmap.mmap(-1, max(length, PAGE), **PRIVATE)
        except (OSError, OverflowError, ValueError) as error:
            raise MemoryError(f"cannot map {length} bytes") from error
        if hasattr(mmap, "MADV_HUGEPAGE") and length >= 1 << 22:
            try:
                self._map.madvise(mmap.MADV_HUGEPAGE)
            except OSError:
                pass  # a kernel without huge pages: slower, nothing else
        self.items = length if form == "B" else length // 8
        self.view: memoryview[int] = memoryview(self._map)[:length].cast(form)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))


class Memory:
    """RAM of `size` bytes at `base`, read and written by spa. Writes drop what was derived from the bytes they change."""

    NOT_STATE: ClassVar = ("*",)  # its pages are remembered as pages

    def __init__(self, size: int, base: int = RAM_BASE) -> None:
        if size <= 0 or size % PAGE or base % PAGE:
            raise ConfigError(f"a memory of {size} bytes at {base:#x} is not made of whole {PAGE}-byte pages")
        self.base, self.size = base, size
        self.ram = Buffer(size, "B")
        self.frames = Buffer((size // PAGE * (FRAME_WORDS + 1) + SHARED_WORDS) * 8, "Q")
        self.code = Buffer(CODE_WORDS * 8, "Q")
        self._bytes = self.ram.view
        self._flags = self.frames.view
        self.engine: object = None  # its translator, which the harts share
        self.forget: list[Callable[[int, int], None]] = []  # each hart's (spa, length)
        self.tracked = False  # it is known which frames were stored to

    def _offset(self, spa: int, length: int) -> int:
        offset = spa - self.base
        if offset < 0 or length < 0 or offset + length > self.size:
            raise MemoryRangeError(f"{length} bytes at {spa:#x} are not in RAM ({self.base:#x} to {self.base + self.size:#x})")
        return offset

    def read(self, spa: int, n: int) -> bytes:
        offset = self._offset(spa, n)
        return bytes(self._bytes[offset : offset + n])

    def write(self, spa: int, data: bytes) -> None:
        offset = self._offset(spa, len(data))
        if not data:
            return
        first, last = offset // PAGE, (offset + len(data) - 1) // PAGE
        flags = self._flags[first * FRAME_WORDS : last * FRAME_WORDS + 1]
        if flags[0] if first == last else any(flags[::FRAME_WORDS]):
            for forget in self.forget:
                forget(spa, len(data))
        self._bytes[offset : offset + len(data)] = data

    def read_u64(self, spa: int) -> int:
        offset = self._offset(spa, 8)
        return int.from_bytes(self._bytes[offset : offset + 8], "little")

    def write_u64(self, spa: int, value: int) -> None:
        self.write(spa, value.to_bytes(8, "little"))

    # which frames change: off, it costs nothing; on, the first store to each frame after a look at it takes the slow path

    def track(self) -> None:
        """From now on `take_dirty` says which frames were stored to, by whomever. The harts are there already."""
        if not self.forget:
            raise InternalError("a memory without harts cannot note what is stored")
        self.tracked = True
        self._flags[FRAME_FLAGS : self._shared : FRAME_WORDS] = array("Q", [flags | FLAG_CLEAN for flags in self._every()])
        self._clean(())

    def untrack(self) -> None:
        """Stop that."""
        self.tracked = False
        self._flags[FRAME_FLAGS : self._shared : FRAME_WORDS] = array("Q", [flags & ~FLAG_CLEAN for flags in self._every()])
        self._flags[self._shared + SHARED_DIRTY] = 0

    def _every(self) -> memoryview[int]:
        """The flags of each frame."""
        return self._flags[FRAME_FLAGS : self._shared : FRAME_WORDS]

    def take_dirty(self) -> list[int]:
        """The spa of each frame that was stored to since `track` or the last call, in the order of the first stores. A frame
        that got the bytes it had counts too."""
        count = self._flags[self._shared + SHARED_DIRTY]
        if not count:
            return []
        first = self._shared + SHARED_WORDS
        dirty = [self.base + frame * PAGE for frame in self._flags[first : first + count]]
        self._clean(dirty)
        return dirty

    @property
    def _shared(self) -> int:
        return self.size // PAGE * FRAME_WORDS

    def _clean(self, spas: Iterable[int]) -> None:
        """The next store to each of these frames is to be noted. No hart may keep write permission from before."""
        flags, base = self._flags, self.base
        for spa in spas:
            flags[(spa - base) // PAGE * FRAME_WORDS + FRAME_FLAGS] |= FLAG_CLEAN
        flags[self._shared + SHARED_DIRTY] = 0
        flags[self._shared + SHARED_GENERATION] += 1
