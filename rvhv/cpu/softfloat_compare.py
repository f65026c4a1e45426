"""Comparisons, minimum and maximum, and fclass (IEEE 754, as RISC-V has them)."""

from __future__ import annotations

from rvhv.cpu.njit import jit
from rvhv.cpu.slots import U64
from rvhv.cpu.softfloat import (
    NV,
    U0,
    U1,
    canonical_nan,
    fraction_bits,
    infinity,
    is_nan,
    magnitude,
    quiet_bit,
    sign_of,
    signaling_flags,
)

# bits of fclass's result
NEG_INF, NEG_NORMAL, NEG_SUBNORMAL, NEG_ZERO, POS_ZERO, POS_SUBNORMAL, POS_NORMAL, POS_INF, SNAN, QNAN = (
    U64(1 << n) for n in range(10)
)


@jit
def ordered_less(a, b, fmt):  # type: ignore[no-untyped-def]
    """a < b of two that are not NaN; -0 is less than +0, which only minimum and maximum ask for."""
    if sign_of(a, fmt) != sign_of(b, fmt):
        return sign_of(a, fmt) != U0
    if sign_of(a, fmt) != U0:
        return magnitude(b, fmt) < magnitude(a, fmt)
    return magnitude(a, fmt) < magnitude(b, fmt)


@jit
def both_zero(a, b, fmt):  # type: ignore[no-untyped-def]
    return magnitude(a | b, fmt) == U0


@jit
def eq(a, b, fmt):  # type: ignore[no-untyped-def]
    """norm: quiet: only a signaling NaN is invalid."""
    if is_nan(a, fmt) or is_nan(b, fmt):
        return U0, signaling_flags(a, b, fmt)
    return U1 if a == b or both_zero(a, b, fmt) else U0, U0


@jit
def lt(a, b, fmt):  # type: ignore[no-untyped-def]
    """norm: signaling: any NaN is invalid."""
    if is_nan(a, fmt) or is_nan(b, fmt):
        return U0, NV
    return U1 if ordered_less(a, b, fmt) and not both_zero(a, b, fmt) else U0, U0


@jit
def le(a, b, fmt):  # type: ignore[no-untyped-def]
    if is_nan(a, fmt) or is_nan(b, fmt):
        return U0, NV
    return U0 if ordered_less(b, a, fmt) and not both_zero(a, b, fmt) else U1, U0


@jit
def pick(a, b, take_a, fmt):  # type: ignore[no-untyped-def]
    """norm: minimumNumber and maximumNumber: of a number and a NaN, the number."""
    flags = signaling_flags(a, b, fmt)
    if is_nan(a, fmt):
        return canonical_nan(fmt) if is_nan(b, fmt) else b, flags
    if is_nan(b, fmt):
        return a, flags
    return a if take_a else b, flags


@jit
def minimum(a, b, fmt):  # type: ignore[no-untyped-def]
    return pick(a, b, ordered_less(a, b, fmt), fmt)


@jit
def maximum(a, b, fmt):  # type: ignore[no-untyped-def]
    return pick(a, b, ordered_less(b, a, fmt), fmt)


@jit
def classify(a, fmt):  # type: ignore[no-untyped-def]
    size = magnitude(a, fmt)
    inf = infinity(fmt)
    if size > inf:
        return SNAN if a & quiet_bit(fmt) == U0 else QNAN
    negative = sign_of(a, fmt) != U0
    if size == inf:
        return NEG_INF if negative else POS_INF
    if size == U0:
        return NEG_ZERO if negative else POS_ZERO
    if size >> fraction_bits(fmt) == U0:
        return NEG_SUBNORMAL if negative else POS_SUBNORMAL
    return NEG_NORMAL if negative else POS_NORMAL
