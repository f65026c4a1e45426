"""The floating-point unit of a hart: registers that box narrow formats, fcsr, mstatus.FS, and where the host's FPU stands in.

Both tiers call the `fp_*` functions: an operation on register images, its rounding mode resolved; flags are accrued in fcsr.

The meaning is soft-float. The host computes in its place only in round-to-nearest-even and only where bits and flags are sure to
be the same. Its result is then IEEE 754's by definition, and what remains is to know the flags:
 - NV, DZ, OF: the operands are numbers and the result is finite (an overflow would give an infinity in this mode).
 - UF: the result is at least twice the smallest normal number. That is a condition on the result, one binade further in than it
   seems to need, because a product may round up to the smallest normal number and still be tiny.
 - NX: it is sticky. When it is set already, which it is soon in programs that round at all, nothing needs to be known. Otherwise
   the host stands in only for sums and products shown to be exact; all others go the soft way, which sets NX. Products are shown
   exact in integers: their residual, as an error-free transformation computes it, may underflow to zero though the product is
   normal and inexact.
No operand that matters and no result is subnormal: a host that some library made flush subnormals to zero gives the same bits.
"""

from __future__ import annotations

from rvhv.cpu.njit import (
    HOST_FMA,
    ctz,
    host_add32,
    host_add64,
    host_div32,
    host_div64,
    host_fma32,
    host_fma64,
    host_from_int64,
    host_mul32,
    host_mul64,
    host_sqrt32,
    host_sqrt64,
    host_sub32,
    host_sub64,
    jit,
)
from rvhv.cpu.slots import FCSR, MSTATUS, U64, VSSTATUS, V
from rvhv.cpu.softfloat import NX, RNE, U0, U1, D, S, add, canonical_nan, div, fma, mul, sign_bit, sqrt
from rvhv.cpu.softfloat_compare import classify, eq, le, lt, maximum, minimum
from rvhv.cpu.softfloat_convert import convert, from_integer, sign_extend_word, to_integer

U2, U5, U7, U8, U23, U32, U52 = (U64(n) for n in (2, 5, 7, 8, 23, 32, 52))
LOW32 = U64(0xFFFF_FFFF)
BOX32 = U64(0xFFFF_FFFF_0000_0000)
BOX16 = U64(0xFFFF_FFFF_FFFF_0000)
LOW16 = U64(0xFFFF)
FS = U64(3 << 13)  # mstatus.FS and vsstatus.FS; 0 is Off, 3 is Dirty
DYN = U7
NO_MODE = U8
E64, E32 = U64(0x7FF), U64(0xFF)
HIDDEN64, HIDDEN32 = U64(1 << 52), U64(1 << 23)


@jit
def float_is_off(st):  # type: ignore[no-untyped-def]
    """norm: with V=1 both mstatus.FS and vsstatus.FS count."""
    return st[MSTATUS] & FS == U0 or (st[V] != U0 and st[VSSTATUS] & FS == U0)


@jit
def float_mode(st, rm):  # type: ignore[no-untyped-def]
    """The rounding mode 0 to 4 of an instruction whose rm field is `rm`; more than that: the instruction is illegal."""
    if rm == DYN:
        rm = (st[FCSR] >> U5) & U7
    return NO_MODE if float_is_off(st) else rm


@jit
def float_dirty(st):  # type: ignore[no-untyped-def]
    """F registers or fcsr were written. norm: with V=1 both fields become Dirty."""
    st[MSTATUS] |= FS
    if st[V] != U0:
        st[VSSTATUS] |= FS


@jit
def unbox(image, fmt):  # type: ignore[no-untyped-def]
    """norm: a register that does not hold a boxed number of the format reads as the canonical NaN."""
    if fmt == D:
        return image
    box, low = (BOX32, LOW32) if fmt == S else (BOX16, LOW16)
    return image & low if image & box == box else canonical_nan(fmt)


@jit
def boxed(bits, fmt):  # type: ignore[no-untyped-def]
    if fmt == D:
        return bits
    return bits | (BOX32 if fmt == S else BOX16)


@jit
def accrue(st, flags):  # type: ignore[no-untyped-def]
    if flags != U0:
        st[FCSR] |= flags
        float_dirty(st)


@jit
def finish(st, result, fmt):  # type: ignore[no-untyped-def]
    bits, flags = result
    accrue(st, flags)
    return boxed(bits, fmt)


# -- where the host stands in


@jit
def are_boxed32(a, b):  # type: ignore[no-untyped-def]
    return a & b & BOX32 == BOX32


@jit
def in_middle64(x, low, high):  # type: ignore[no-untyped-def]
    """Whether the biased exponent is from `low` to `high`."""
    return ((x >> U52) & E64) - low <= high - low


@jit
def in_middle32(x, low, high):  # type: ignore[no-untyped-def]
    return ((x >> U23) & E32) - low <= high - low


@jit
def is_safe64(result):  # type: ignore[no-untyped-def]
    """Finite and a binade or more above the subnormals: no overflow and no underflow happened."""
    return in_middle64(result, U64(2), U64(2045))


@jit
def is_safe32(result):  # type: ignore[no-untyped-def]
    return in_middle32(result, U64(2), U64(253))


@jit
def sum_is_exact64(a, b, total):  # type: ignore[no-untyped-def]
    """Knuth's two-sum: its error term is exact unless something overflows or is flushed, which the caller has seen to."""
    b_part = host_sub64(total, a)
    a_part = host_sub64(total, b_part)
    error = host_add64(host_sub64(a, a_part), host_sub64(b, b_part))
    return error << U1 == U0


@jit
def sum_is_exact32(a, b, total):  # type: ignore[no-untyped-def]
    b_part = host_sub32(total, a)
    a_part = host_sub32(total, b_part)
    error = host_add32(host_sub32(a, a_part), host_sub32(b, b_part))
    return error << U1 == U0 or error << U1 == U1 << U32


@jit
def product_is_exact64(a, b):  # type: ignore[no-untyped-def]
    """The significands without their trailing zeros are so short that their product fits. Sufficient, not necessary."""
    return ctz(a | HIDDEN64) + ctz(b | HIDDEN64) > U52


@jit
def product_is_exact32(a, b):  # type: ignore[no-untyped-def]
    return ctz(a | HIDDEN32) + ctz(b | HIDDEN32) > U23


@jit
def rounds_unseen(st):  # type: ignore[no-untyped-def]
    """NX is set already."""
    return st[FCSR] & NX != U0


@jit
def fp_add(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    # operands so far above the subnormals that not even an ulp of the smaller is one (every term of the two-sum is a multiple of
    # it), and so far below the largest number that the sum is finite: it is 0 or normal. Opposite numbers give +0 in this mode
    if rm == RNE:
        if fmt == D:
            if in_middle64(a, U64(64), U64(2045)) and in_middle64(b, U64(64), U64(2045)):
                total = host_add64(a, b)
                if rounds_unseen(st) or sum_is_exact64(a, b, total):
                    return total
        elif fmt == S and are_boxed32(a, b):
            if in_middle32(a, U64(32), U64(253)) and in_middle32(b, U64(32), U64(253)):
                total = host_add32(a, b)
                if rounds_unseen(st) or sum_is_exact32(a, b, total):
                    return total | BOX32
    return finish(st, add(unbox(a, fmt), unbox(b, fmt), fmt, rm), fmt)


@jit
def fp_sub(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return fp_add(st, fmt, rm, a, b ^ sign_bit(fmt))  # what is not boxed stays so


@jit
def fp_mul(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    if rm == RNE:
        if fmt == D:
            product = host_mul64(a, b)
            if is_safe64(product) and (rounds_unseen(st) or product_is_exact64(a, b)):
                return product
        elif fmt == S and are_boxed32(a, b):
            product = host_mul32(a, b)
            if is_safe32(product) and (rounds_unseen(st) or product_is_exact32(a, b)):
                return product | BOX32
    return finish(st, mul(unbox(a, fmt), unbox(b, fmt), fmt, rm), fmt)


@jit
def fp_div(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    if rm == RNE and rounds_unseen(st):
        if fmt == D:
            quotient = host_div64(a, b)
            if is_safe64(quotient):
                return quotient
        elif fmt == S and are_boxed32(a, b):
            quotient = host_div32(a, b)
            if is_safe32(quotient):
                return quotient | BOX32
    return finish(st, div(unbox(a, fmt), unbox(b, fmt), fmt, rm), fmt)


@jit
def fp_sqrt(st, fmt, rm, a):  # type: ignore[no-untyped-def]
    if rm == RNE and rounds_unseen(st):
        if fmt == D:
            root = host_sqrt64(a)
            if is_safe64(root):
                return root
        elif fmt == S and are_boxed32(a, a):
            root = host_sqrt32(a)
            if is_safe32(root):
                return root | BOX32
    return finish(st, sqrt(unbox(a, fmt), fmt, rm), fmt)


@jit
def fp_madd(st, fmt, rm, a, b, c):  # type: ignore[no-untyped-def]
    # the operands must be normal too: a subnormal one flushed to zero would still change a normal result
    if HOST_FMA and rm == RNE and rounds_unseen(st):
        if fmt == D:
            if in_middle64(a, U1, U64(2046)) and in_middle64(b, U1, U64(2046)) and in_middle64(c, U1, U64(2046)):
                result = host_fma64(a, b, c)
                if is_safe64(result):
                    return result
        elif fmt == S and are_boxed32(a & b, c):
            if in_middle32(a, U1, U64(254)) and in_middle32(b, U1, U64(254)) and in_middle32(c, U1, U64(254)):
                result = host_fma32(a, b, c)
                if is_safe32(result):
                    return result | BOX32
    return finish(st, fma(unbox(a, fmt), unbox(b, fmt), unbox(c, fmt), fmt, rm), fmt)


@jit
def fp_msub(st, fmt, rm, a, b, c):  # type: ignore[no-untyped-def]
    return fp_madd(st, fmt, rm, a, b, c ^ sign_bit(fmt))


@jit
def fp_nmsub(st, fmt, rm, a, b, c):  # type: ignore[no-untyped-def]
    """norm: the product is negated, before the one rounding."""
    return fp_madd(st, fmt, rm, a ^ sign_bit(fmt), b, c)


@jit
def fp_nmadd(st, fmt, rm, a, b, c):  # type: ignore[no-untyped-def]
    return fp_madd(st, fmt, rm, a ^ sign_bit(fmt), b, c ^ sign_bit(fmt))


# -- what is quick enough in integers


@jit
def fp_sgnj(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    sign = sign_bit(fmt)
    return boxed((unbox(a, fmt) & ~sign) | (unbox(b, fmt) & sign), fmt)


@jit
def fp_sgnjn(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return fp_sgnj(st, fmt, rm, a, boxed(unbox(b, fmt) ^ sign_bit(fmt), fmt))


@jit
def fp_sgnjx(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return boxed(unbox(a, fmt) ^ (unbox(b, fmt) & sign_bit(fmt)), fmt)


@jit
def fp_min(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return finish(st, minimum(unbox(a, fmt), unbox(b, fmt), fmt), fmt)


@jit
def fp_max(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return finish(st, maximum(unbox(a, fmt), unbox(b, fmt), fmt), fmt)


@jit
def fp_eq(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return finish(st, eq(unbox(a, fmt), unbox(b, fmt), fmt), D)


@jit
def fp_lt(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return finish(st, lt(unbox(a, fmt), unbox(b, fmt), fmt), D)


@jit
def fp_le(st, fmt, rm, a, b):  # type: ignore[no-untyped-def]
    return finish(st, le(unbox(a, fmt), unbox(b, fmt), fmt), D)


@jit
def fp_class(st, fmt, rm, a):  # type: ignore[no-untyped-def]
    return classify(unbox(a, fmt), fmt)


@jit
def fp_to_integer(st, fmt, rm, a, kind):  # type: ignore[no-untyped-def]
    return finish(st, to_integer(unbox(a, fmt), kind, fmt, rm), D)


@jit
def fp_from_integer(st, fmt, rm, x, kind):  # type: ignore[no-untyped-def]
    if fmt == D and kind < U2:  # a double holds every word
        return host_from_int64(sign_extend_word(x) if kind == U0 else x & LOW32)
    return finish(st, from_integer(x, kind, fmt, rm), fmt)


@jit
def fp_convert(st, fmt, rm, a, source):  # type: ignore[no-untyped-def]
    return finish(st, convert(unbox(a, source), source, fmt, rm), fmt)
