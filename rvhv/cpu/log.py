"""The log: records of what a checker of fences must know, appended by njit code and read by Python.

`rvhv.cpu.state` has their layout. Without room for it nothing is logged, and that test is all it costs. Whoever makes room
empties it in time: a record that finds it full is lost.
"""

from __future__ import annotations

from rvhv.cpu.njit import jit
from rvhv.cpu.slots import LOG_END, LOG_HEAD, LOG_WORDS, U64

U1, U2, U3, U4, U5, U6, U7 = (U64(n) for n in range(1, 8))


@jit
def log(st, kind, pc, a, b, c, d, e, f):  # type: ignore[no-untyped-def]
    """Append a record."""
    at = st[LOG_HEAD]
    if at != st[LOG_END]:
        st[at], st[at + U1], st[at + U2], st[at + U3] = kind, pc, a, b
        st[at + U4], st[at + U5], st[at + U6], st[at + U7] = c, d, e, f
        st[LOG_HEAD] = at + LOG_WORDS
