"""The bytes that a context would execute."""

from __future__ import annotations

from rvhv.debug.target import Context

_HALF, _PAGE = 2, 0x1000


def fetch(context: Context, pc: int) -> int | None:
    """The word at a virtual address, 16 or 32 bits of it; None where it cannot be fetched. Changes nothing."""
    low = _half(context, pc)
    if low is None or low & 3 != 3:
        return low
    high = _half(context, pc + _HALF)
    return None if high is None else high << 16 | low


def _half(context: Context, address: int) -> int | None:
    memory = context.target.memory
    spa = context.walk(address, "fetch", size=_HALF).spa
    if spa is None or not memory.base <= spa <= memory.base + memory.size - _HALF:
        return None
    return int.from_bytes(memory.read(spa, _HALF), "little")
