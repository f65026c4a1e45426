"""Counted time: ticks, counters and timer deadlines out of steps (1 step = 1 ns; 100 steps a tick)."""

from __future__ import annotations

from rvhv.cpu.njit import jit, udiv, urem
from rvhv.cpu.slots import (
    CHUNK,
    CLOCK,
    HENVCFG,
    HGEIE,
    HGEIP,
    HSTATUS,
    HTIMEDELTA,
    HVIP,
    IRQ_LINES,
    LEFT,
    MENVCFG,
    MIP,
    MTIMECMP,
    STEPS_PER_TICK,
    STIMECMP,
    U64,
    VSTIMECMP,
)

U0, U1, U63 = U64(0), U64(1), U64(63)
STIP, VSTIP, MTIP, SGEIP = U64(1 << 5), U64(1 << 6), U64(1 << 7), U64(1 << 12)
VGEIN_SHIFT, VGEIN, VSEIP_SHIFT = U64(12), U64(63), U64(10)
NEVER = U64(1 << 62)
FAR = U64(1 << 54)  # ticks whose steps would not fit


@jit
def steps_in_chunk(st):  # type: ignore[no-untyped-def]
    """Steps done since the slots `clock` and `vm_steps` were last brought up to date."""
    return st[CHUNK] - st[LEFT]


@jit
def clock_now(st):  # type: ignore[no-untyped-def]
    return st[CLOCK] + steps_in_chunk(st)


@jit
def time_now(st):  # type: ignore[no-untyped-def]
    return udiv(clock_now(st), STEPS_PER_TICK)


@jit
def pending_now(st):  # type: ignore[no-untyped-def]
    """mip as it reads: software's bits, the lines, hvip, the guests' lines, and what the comparisons of the machine timer and
    of Sstc say now.
    """
    now = time_now(st)
    pending = st[MIP] | st[IRQ_LINES] | st[HVIP]
    if now >= st[MTIMECMP]:
        pending |= MTIP
    guests = st[HGEIP]  # bit 0 is zero: VGEIN = 0 selects no line
    if guests != U0:
        pending |= ((guests >> ((st[HSTATUS] >> VGEIN_SHIFT) & VGEIN)) & U1) << VSEIP_SHIFT
        if guests & st[HGEIE] != U0:
            pending |= SGEIP
    if st[MENVCFG] >> U63 != U0:
        pending &= ~STIP
        if now >= st[STIMECMP]:
            pending |= STIP
        if st[HENVCFG] >> U63 != U0 and now + st[HTIMEDELTA] >= st[VSTIMECMP]:
            pending |= VSTIP
    return pending


@jit
def steps_until(st, time, compare):  # type: ignore[no-untyped-def]
    """Steps from now until a time (in ticks, any epoch) reaches `compare`; NEVER when it has, or will not for years."""
    if time >= compare:
        return NEVER
    ticks = compare - time
    if ticks >= FAR:
        return NEVER
    return ticks * STEPS_PER_TICK - urem(clock_now(st), STEPS_PER_TICK)


@jit
def steps_to_timer(st):  # type: ignore[no-untyped-def]
    """Steps until the next timer comparison changes, so that its interrupt is taken at its own step."""
    now = time_now(st)
    left = steps_until(st, now, st[MTIMECMP])
    if st[MENVCFG] >> U63 == U0:
        return left
    left = min(left, steps_until(st, now, st[STIMECMP]))
    if st[HENVCFG] >> U63 != U0:
        left = min(left, steps_until(st, now + st[HTIMEDELTA], st[VSTIMECMP]))
    return left
