"""A VM's console: what it printed, and what was typed to it."""

from __future__ import annotations

from collections.abc import Callable

TRANSCRIPT_BYTES = 1 << 20


class Console:
    """Everything a VM prints, by SBI call or virtio device, goes through `write`; `feed` is the keyboard."""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._transcript = bytearray()
        self._typed = bytearray()

    def write(self, data: bytes) -> None:
        self._transcript += data
        if len(self._transcript) > 2 * TRANSCRIPT_BYTES:
            del self._transcript[:-TRANSCRIPT_BYTES]
        self._on_output(data)

    @property
    def transcript(self) -> bytes:
        """The last of what was printed: at least 1 MiB if there was as much."""
        return bytes(self._transcript)

    def feed(self, data: bytes) -> None:
        self._typed += data

    def read(self, n: int) -> bytes:
        """At most `n` of the bytes typed and not yet read."""
        data = bytes(self._typed[:n])
        del self._typed[:n]
        return data
