"""Conversions between the formats, and between them and integers (IEEE 754; what does not fit saturates as RISC-V says).

The integer types are numbered as in the encodings' rs2 field: 0 w, 1 wu, 2 l, 3 lu.
"""

from __future__ import annotations

from rvhv.cpu.njit import clz, jit
from rvhv.cpu.slots import I64, U64
from rvhv.cpu.softfloat import (
    NV,
    NX,
    RDN,
    RMM,
    RNE,
    RUP,
    TOP_BIT,
    U0,
    U1,
    U2,
    U63,
    U64_,
    ZERO_EXPONENT,
    canonical_nan,
    infinity,
    is_nan,
    magnitude,
    round_pack,
    sign_of,
    signaling_flags,
    signed_bits,
    unpack,
)

I32_ = I64(32)
LOW32 = U64(0xFFFF_FFFF)
ALL_ONES = U64((1 << 64) - 1)
SIGN32 = U64(1 << 31)


@jit
def sign_extend_word(x):  # type: ignore[no-untyped-def]
    return U64(I64(x << U64(32)) >> I32_)


@jit
def largest(kind):  # type: ignore[no-untyped-def]
    """The magnitudes of the integer type's largest and smallest values."""
    top = TOP_BIT if kind >= U2 else SIGN32
    if kind & U1 != U0:
        return (top << U1) - U1, U0
    return top - U1, top


@jit
def to_integer(a, kind, fmt, rm):  # type: ignore[no-untyped-def]
    """(the integer as an X register holds it, flags). norm: a NaN and what is too large give the largest value, what is too
    small the smallest one; both are invalid and not inexact. Words are sign-extended, unsigned ones too."""
    high, low = largest(kind)
    sign = U0 if is_nan(a, fmt) else sign_of(a, fmt)
    limit = low if sign != U0 else high
    invalid = magnitude(a, fmt) >= infinity(fmt)
    whole, rest = U0, U0
    if not invalid:
        exponent, significand = unpack(a, fmt)
        if exponent > ZERO_EXPONENT + U63:
            invalid = True
        else:
            # whole: bits before the point; rest: the first 64 behind it, the last of them sticky
            behind = ZERO_EXPONENT + U63 - exponent
            if behind == U0:
                whole = significand
            elif behind < U64_:
                whole, rest = significand >> behind, significand << (U64_ - behind)
            elif behind == U64_:
                rest = significand
            elif significand != U0:
                rest = U1
            if rm == RNE:
                up = rest > TOP_BIT or (rest == TOP_BIT and whole & U1 != U0)
            elif rm == RMM:
                up = rest >= TOP_BIT
            else:
                up = rest != U0 and rm == (RDN if sign != U0 else RUP)
            if up:
                whole += U1
            invalid = whole > limit
    if invalid:
        whole, rest = limit, U0
    value = U0 - whole if sign != U0 else whole
    if kind < U2:
        value = sign_extend_word(value)
    flags = NX if rest != U0 else U0
    return value, NV if invalid else flags


@jit
def from_integer(x, kind, fmt, rm):  # type: ignore[no-untyped-def]
    if kind < U2:
        x = sign_extend_word(x) if kind == U0 else x & LOW32
    sign = U0
    if kind & U1 == U0 and x & TOP_BIT != U0:
        sign = U1
        x = U0 - x
    if x == U0:
        return U0, U0
    n = clz(x)
    return round_pack(sign, ZERO_EXPONENT + U63 - n, x << n, fmt, rm)


@jit
def convert(a, source, fmt, rm):  # type: ignore[no-untyped-def]
    """From format `source` to `fmt`."""
    if is_nan(a, source):
        return canonical_nan(fmt), signaling_flags(a, a, source)
    sign = sign_of(a, source)
    if magnitude(a, source) == infinity(source):
        return signed_bits(sign, infinity(fmt), fmt), U0
    exponent, significand = unpack(a, source)
    if significand == U0:
        return signed_bits(sign, U0, fmt), U0
    return round_pack(sign, exponent, significand, fmt, rm)
