"""A VM's console: what it printed, and what was typed to it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

TRANSCRIPT_BYTES = 1 << 20
PART_BYTES = 1 << 14  # parts that are full do not change any more, so that many moments can share them


class Console:
    """Everything a VM prints, by SBI call or virtio device, goes through `write`; `feed` is the keyboard."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._parts: deque[bytes] = deque(maxlen=2 * TRANSCRIPT_BYTES // PART_BYTES)
        self._last = bytearray()
        self._typed = bytearray()

    def write(self, data: bytes) -> None:
        self._last += data
        if len(self._last) >= PART_BYTES:
            self._parts.append(bytes(self._last))
            self._last.clear()
        self._on_output(data)

    @property
    def transcript(self) -> bytes:
        """The last of what was printed: at least 1 MiB if there was as much."""
        return b"".join((*self._parts, self._last))

    def feed(self, data: bytes) -> None:
        self._typed += data

    def read(self, n: int) -> bytes:
        """At most `n` of the bytes typed and not yet read."""
        data = bytes(self._typed[:n])
        del self._typed[:n]
        return data
