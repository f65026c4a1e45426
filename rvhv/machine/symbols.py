"""Addresses in words: the nearest symbol before them."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping

FURTHEST = 1 << 16  # bytes behind a symbol that may still be its


class Symbols:
    """Names of addresses, from symbol -> value (`Image.symbols`)."""

    def __init__(self, symbols: Mapping[str, int]) -> None:
        self.values = {name: value for name, value in symbols.items() if not name.startswith(".L")}
        self._sorted = sorted((value, name) for name, value in self.values.items())

    def place(self, address: int) -> str:
        """`main+0x8 (0x80200160)`; the bare number where no symbol is near."""
        nearest = self.nearest(address)
        if nearest is None:
            return f"{address:#x}"
        value, name = nearest
        return f"{name}+{address - value:#x} ({address:#x})" if address > value else f"{name} ({address:#x})"

    def nearest(self, address: int) -> tuple[int, str] | None:
        """Value and name of the symbol that an address belongs to; None where none is near."""
        at = bisect_right(self._sorted, (address + 1,)) - 1
        if at < 0 or address - self._sorted[at][0] > FURTHEST:
            return None
        return self._sorted[at]
