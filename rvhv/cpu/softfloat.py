"""IEEE 754 arithmetic on bit patterns, in integers alone: the meaning of the floating-point instructions.

Every function is generic over its format, which is the fmt field of RISC-V's encodings (S, D or H), and over the rounding mode. A
result is a pair (bits, flags). What an operation computes goes through one `round_pack`, as a significand of 64 bits whose lowest
bit is sticky: 64 bits hold any format's precision, a guard bit and more, so that rounding once is rounding the exact value.
"""

from __future__ import annotations

from rvhv.cpu.njit import clz, jit, mulhu, udiv
from rvhv.cpu.slots import U64

U0, U1, U2, U3, U8, U11, U63, U64_ = (U64(n) for n in (0, 1, 2, 3, 8, 11, 63, 64))
BYTE = U64(0xFF)
TOP_BIT = U64(1 << 63)
BELOW_TOP = U64((1 << 63) - 1)

S, D, H = U64(0), U64(1), U64(2)
FRACTION_BITS = U64(23 | 52 << 8 | 10 << 16)
EXPONENT_BITS = U64(8 | 11 << 8 | 5 << 16)
RNE, RTZ, RDN, RUP, RMM = (U64(n) for n in range(5))
NX, UF, OF, DZ, NV = (U64(1 << n) for n in range(5))

ZERO_EXPONENT = U64(1 << 16)  # an unpacked exponent of 0; the offset keeps every exponent unsigned


@jit
def fraction_bits(fmt):  # type: ignore[no-untyped-def]
    return (FRACTION_BITS >> (fmt << U3)) & BYTE


@jit
def exponent_bits(fmt):  # type: ignore[no-untyped-def]
    return (EXPONENT_BITS >> (fmt << U3)) & BYTE


@jit
def bias(fmt):  # type: ignore[no-untyped-def]
    return (U1 << (exponent_bits(fmt) - U1)) - U1


@jit
def sign_bit(fmt):  # type: ignore[no-untyped-def]
    return U1 << (exponent_bits(fmt) + fraction_bits(fmt))


@jit
def infinity(fmt):  # type: ignore[no-untyped-def]
    return ((U1 << exponent_bits(fmt)) - U1) << fraction_bits(fmt)


@jit
def canonical_nan(fmt):  # type: ignore[no-untyped-def]
    """norm: every NaN result is the quiet NaN with no other bit set."""
    return infinity(fmt) | quiet_bit(fmt)


@jit
def quiet_bit(fmt):  # type: ignore[no-untyped-def]
    return U1 << (fraction_bits(fmt) - U1)


@jit
def magnitude(bits, fmt):  # type: ignore[no-untyped-def]
    """The bits without the sign: they order as the numbers do."""
    return bits & (sign_bit(fmt) - U1)


@jit
def is_nan(bits, fmt):  # type: ignore[no-untyped-def]
    return magnitude(bits, fmt) > infinity(fmt)


@jit
def is_signaling(bits, fmt):  # type: ignore[no-untyped-def]
    return is_nan(bits, fmt) and bits & quiet_bit(fmt) == U0


@jit
def signaling_flags(a, b, fmt):  # type: ignore[no-untyped-def]
    return NV if is_signaling(a, fmt) or is_signaling(b, fmt) else U0


@jit
def sign_of(bits, fmt):  # type: ignore[no-untyped-def]
    return U1 if bits & sign_bit(fmt) != U0 else U0


@jit
def signed_bits(sign, bits, fmt):  # type: ignore[no-untyped-def]
    return bits | (sign_bit(fmt) if sign != U0 else U0)


@jit
def unpack(bits, fmt):  # type: ignore[no-untyped-def]
    """(exponent, significand) of a finite number: significand / 2**63 * 2**(exponent - ZERO_EXPONENT).

    The significand has its top bit set; of a zero it is 0 and the exponent too."""
    width = fraction_bits(fmt)
    field = magnitude(bits, fmt) >> width
    fraction = (bits << (U63 - width)) & BELOW_TOP
    if field != U0:
        return ZERO_EXPONENT + field - bias(fmt), fraction | TOP_BIT
    if fraction == U0:
        return U0, U0
    n = clz(fraction)
    return ZERO_EXPONENT + U1 - bias(fmt) - n, fraction << n


@jit
def shift_right_sticky(x, n):  # type: ignore[no-untyped-def]
    """x >> n with every bit that falls out or-ed into the lowest one."""
    if n == U0:
        return x
    if n > U63:
        return U1 if x != U0 else U0
    return (x >> n) | (U1 if x << (U64_ - n) != U0 else U0)


@jit
def round_pack(sign, exponent, significand, fmt, rm):  # type: ignore[no-untyped-def]
    """Round to the format. `significand` has its top bit set and a sticky lowest bit."""
    width = fraction_bits(fmt)
    drop = U63 - width
    half = U1 << (drop - U1)
    rest = (half << U1) - U1
    if rm == RNE or rm == RMM:
        up = half
    elif rm == (RDN if sign != U0 else RUP):
        up = rest
    else:
        up = U0
    smallest = ZERO_EXPONENT + U1 - bias(fmt)  # the exponent of the smallest normal number
    if exponent < smallest:
        # norm: tininess is detected after rounding: a number just below the smallest normal one is not tiny if rounding
        # it to the format's precision, the exponent unbounded, carries into that
        tiny = exponent + U1 < smallest or significand + up >= significand
        significand = shift_right_sticky(significand, smallest - exponent)
        lost = significand & rest
        fraction = (significand + up) >> drop
        if rm == RNE and lost == half:
            fraction &= ~U1
        flags = U0
        if lost != U0:
            flags = (NX | UF) if tiny else NX
        return signed_bits(sign, fraction, fmt), flags  # a carry makes the smallest normal number by itself
    lost = significand & rest
    rounded = significand + up
    field = exponent - smallest
    if rounded < significand:  # a carry out of the top
        fraction = U1 << width
        field += U1
    else:
        fraction = rounded >> drop
        if rm == RNE and lost == half:
            fraction &= ~U1
    top = infinity(fmt)
    # the fraction's implicit bit adds the 1 that `field` is short of the biased exponent
    if field >= (top >> width) - U1:
        toward_zero = up == U0
        return signed_bits(sign, top - U1 if toward_zero else top, fmt), OF | NX
    return signed_bits(sign, (field << width) + fraction, fmt), NX if lost != U0 else U0


@jit
def exact_zero(sign_a, sign_b, fmt, rm):  # type: ignore[no-untyped-def]
    """The zero that a sum of opposite numbers, or of two zeros, is."""
    sign = sign_a
    if sign_a != sign_b:
        sign = U1 if rm == RDN else U0
    return signed_bits(sign, U0, fmt), U0


@jit
def add(a, b, fmt, rm):  # type: ignore[no-untyped-def]
    inf = infinity(fmt)
    if magnitude(a, fmt) >= inf or magnitude(b, fmt) >= inf:
        return add_special(a, b, fmt)
    if magnitude(a, fmt) < magnitude(b, fmt):
        a, b = b, a
    sign_a, sign_b = sign_of(a, fmt), sign_of(b, fmt)
    exponent, x = unpack(a, fmt)
    exponent_b, y = unpack(b, fmt)
    # one bit of room for the carry; what is lost of y in subtraction is sticky ten bits or more below the result's last bit
    x >>= U1
    y = shift_right_sticky(y >> U1, exponent - exponent_b)
    total = x + y if sign_a == sign_b else x - y
    if total == U0:
        return exact_zero(sign_a, sign_b, fmt, rm)
    n = clz(total)
    return round_pack(sign_a, exponent + U1 - n, total << n, fmt, rm)


@jit
def add_special(a, b, fmt):  # type: ignore[no-untyped-def]
    """A sum with an infinity or a NaN."""
    if is_nan(a, fmt) or is_nan(b, fmt):
        return canonical_nan(fmt), signaling_flags(a, b, fmt)
    if magnitude(a, fmt) != infinity(fmt):
        return b, U0
    if magnitude(b, fmt) != infinity(fmt) or a == b:
        return a, U0
    return canonical_nan(fmt), NV


@jit
def mul(a, b, fmt, rm):  # type: ignore[no-untyped-def]
    inf = infinity(fmt)
    sign = sign_of(a ^ b, fmt)
    if magnitude(a, fmt) >= inf or magnitude(b, fmt) >= inf:
        if is_nan(a, fmt) or is_nan(b, fmt):
            return canonical_nan(fmt), signaling_flags(a, b, fmt)
        if magnitude(a, fmt) == U0 or magnitude(b, fmt) == U0:
            return canonical_nan(fmt), NV
        return signed_bits(sign, inf, fmt), U0
    exponent_a, x = unpack(a, fmt)
    exponent_b, y = unpack(b, fmt)
    if x == U0 or y == U0:
        return signed_bits(sign, U0, fmt), U0
    exponent = exponent_a + exponent_b - ZERO_EXPONENT
    high, low = mulhu(x, y), x * y
    if high & TOP_BIT != U0:
        exponent += U1
    else:
        high = (high << U1) | (low >> U63)
        low <<= U1
    if low != U0:
        high |= U1
    return round_pack(sign, exponent, high, fmt, rm)


@jit
def div(a, b, fmt, rm):  # type: ignore[no-untyped-def]
    inf = infinity(fmt)
    sign = sign_of(a ^ b, fmt)
    if is_nan(a, fmt) or is_nan(b, fmt):
        return canonical_nan(fmt), signaling_flags(a, b, fmt)
    if magnitude(a, fmt) == inf:
        if magnitude(b, fmt) == inf:
            return canonical_nan(fmt), NV
        return signed_bits(sign, inf, fmt), U0
    if magnitude(b, fmt) == inf:
        return signed_bits(sign, U0, fmt), U0
    exponent_a, x = unpack(a, fmt)
    exponent_b, y = unpack(b, fmt)
    if y == U0:
        if x == U0:
            return canonical_nan(fmt), NV
        return signed_bits(sign, inf, fmt), DZ
    if x == U0:
        return signed_bits(sign, U0, fmt), U0
    exponent = exponent_a + ZERO_EXPONENT - exponent_b
    # 53 bits each; a quotient in [1, 2), eleven bits at a time, so that the remainder never outgrows 64 bits
    x >>= U11
    y >>= U11
    if x < y:
        x <<= U1
        exponent -= U1
    quotient, rest = U1, x - y
    digits = U0
    while digits < U11 * U64(5):
        rest <<= U11
        digit = udiv(rest, y)
        rest -= digit * y
        quotient = (quotient << U11) | digit
        digits += U11
    significand = (quotient << U8) | (U1 if rest != U0 else U0)
    return round_pack(sign, exponent, significand, fmt, rm)


@jit
def sqrt(a, fmt, rm):  # type: ignore[no-untyped-def]
    if is_nan(a, fmt):
        return canonical_nan(fmt), signaling_flags(a, a, fmt)
    if magnitude(a, fmt) == U0:
        return a, U0
    if sign_of(a, fmt) != U0:
        return canonical_nan(fmt), NV
    if a == infinity(fmt):
        return a, U0
    exponent, x = unpack(a, fmt)
    odd = exponent & U1
    if odd == U0:
        x >>= U1
    # x is now a number in [1, 4) with two bits before the point: one digit of the root for each two bits of it
    root, rest = U0, U0
    count = fraction_bits(fmt) + U3
    i = U0
    while i < count:
        rest = (rest << U2) | (x >> U64(62))
        x <<= U2
        trial = (root << U2) | U1
        root <<= U1
        if rest >= trial:
            rest -= trial
            root |= U1
        i += U1
    significand = (root << (U64_ - count)) | (U1 if rest != U0 else U0)
    return round_pack(U0, (exponent - odd + ZERO_EXPONENT) >> U1, significand, fmt, rm)


@jit
def shift_right_wide(high, low, n):  # type: ignore[no-untyped-def]
    """The same as `shift_right_sticky` for 128 bits."""
    if n == U0:
        return high, low
    if n < U64_:
        lost = low << (U64_ - n)
        low = (low >> n) | (high << (U64_ - n))
        high >>= n
    elif n < U64_ + U64_:
        n -= U64_
        lost = low
        if n != U0:
            lost |= high << (U64_ - n)
        low, high = high >> n, U0
    else:
        lost = high | low
        high, low = U0, U0
    return high, low | (U1 if lost != U0 else U0)


@jit
def fma(a, b, c, fmt, rm):  # type: ignore[no-untyped-def]
    """a * b + c, rounded once. The other three are this one with signs flipped."""
    inf = infinity(fmt)
    sign = sign_of(a ^ b, fmt)
    sign_c = sign_of(c, fmt)
    if magnitude(a, fmt) >= inf or magnitude(b, fmt) >= inf or magnitude(c, fmt) >= inf:
        return fma_special(a, b, c, fmt)
    exponent_a, x = unpack(a, fmt)
    exponent_b, y = unpack(b, fmt)
    other, high_c = unpack(c, fmt)
    # both addends as 128 bits with the first bit at 126; a product has 22 zeros at its low end, so nothing is lost here
    exponent, high, low = U0, U0, U0
    if x != U0 and y != U0:
        exponent = exponent_a + exponent_b - ZERO_EXPONENT
        high, low = mulhu(x, y), x * y
        if high & TOP_BIT != U0:
            exponent += U1
            low = (low >> U1) | (high << U63)
            high >>= U1
    high_c >>= U1
    low_c = U0
    flip = sign != sign_c
    if exponent < other or (exponent == other and high < high_c):
        exponent, other = other, exponent
        high, high_c = high_c, high
        low, low_c = low_c, low
        sign, sign_c = sign_c, sign
    high_c, low_c = shift_right_wide(high_c, low_c, exponent - other)
    if flip:
        borrow = U1 if low < low_c else U0
        low -= low_c
        high -= high_c + borrow
    else:
        low += low_c
        high += high_c + (U1 if low < low_c else U0)
    if high == U0:
        if low == U0:
            return exact_zero(sign, sign_c, fmt, rm)
        n = clz(low)
        return round_pack(sign, exponent + U1 - U64_ - n, low << n, fmt, rm)
    n = clz(high)
    if n != U0:
        high = (high << n) | (low >> (U64_ - n))
        low <<= n
    return round_pack(sign, exponent + U1 - n, high | (U1 if low != U0 else U0), fmt, rm)


@jit
def fma_special(a, b, c, fmt):  # type: ignore[no-untyped-def]
    """With an infinity or a NaN. norm: infinity times zero is invalid even when the addend is a quiet NaN."""
    inf = infinity(fmt)
    size_a, size_b = magnitude(a, fmt), magnitude(b, fmt)
    flags = signaling_flags(a, b, fmt) | signaling_flags(c, c, fmt)
    if (size_a == inf and size_b == U0) or (size_a == U0 and size_b == inf):
        return canonical_nan(fmt), flags | NV
    if is_nan(a, fmt) or is_nan(b, fmt) or is_nan(c, fmt):
        return canonical_nan(fmt), flags
    if size_a == inf or size_b == inf:
        return add_special(signed_bits(sign_of(a ^ b, fmt), inf, fmt), c, fmt)
    return c, U0
