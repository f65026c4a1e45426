"""njit functions of bit manipulation: what the expressions of `rvhv.cpu.bitmanip` need and one line cannot hold."""

from __future__ import annotations

from rvhv.cpu.njit import jit
from rvhv.cpu.slots import U64

M0, M1, M2, M3 = (U64(0x1111_1111_1111_1111 << i) for i in range(4))


@jit
def clmul(x, y):  # type: ignore[no-untyped-def]
    """The low half of the carry-less product, out of integer products of every fourth bit: the carries of up to fifteen ones
    stay in the three bits between."""
    x0, x1, x2, x3 = x & M0, x & M1, x & M2, x & M3
    y0, y1, y2, y3 = y & M0, y & M1, y & M2, y & M3
    return (
        (((x0 * y0) ^ (x1 * y3) ^ (x2 * y2) ^ (x3 * y1)) & M0)
        | (((x0 * y1) ^ (x1 * y0) ^ (x2 * y3) ^ (x3 * y2)) & M1)
        | (((x0 * y2) ^ (x1 * y1) ^ (x2 * y0) ^ (x3 * y3)) & M2)
        | (((x0 * y3) ^ (x1 * y2) ^ (x2 * y1) ^ (x3 * y0)) & M3)
    )
