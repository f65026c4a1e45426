"""The oracle's floating point: exact numbers first, one rounding at the end.

Finite numbers become `Fraction`s, an operation is exact (a square root: exact to its sticky bit), and `round_to` makes the
format's bits and the flags. Written from IEEE 754 and the F extension's text, not from the njit code that is compared with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isqrt

RNE, RTZ, RDN, RUP, RMM = range(5)
NX, UF, OF, DZ, NV = (1 << n for n in range(5))


@dataclass(frozen=True)
class Format:
    """An interchange format of IEEE 754."""

    exponent_bits: int
    fraction_bits: int

    @cached_property
    def width(self) -> int:
        return 1 + self.exponent_bits + self.fraction_bits

    @cached_property
    def emax(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @cached_property
    def emin(self) -> int:
        return 1 - self.emax

    @cached_property
    def sign(self) -> int:
        return 1 << (self.width - 1)

    @cached_property
    def infinity(self) -> int:
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    @cached_property
    def nan(self) -> int:
        return self.infinity | 1 << (self.fraction_bits - 1)

    @cached_property
    def largest(self) -> Fraction:
        return Fraction(2) ** self.emax * (2 - Fraction(1, 1 << self.fraction_bits))


FORMATS = {"h": Format(5, 10), "s": Format(8, 23), "d": Format(11, 52)}
INTEGERS = {"w": (32, True), "wu": (32, False), "l": (64, True), "lu": (64, False)}


@dataclass(frozen=True)
class Datum:
    """A decoded operand: `kind` is "finite", "inf", "qnan" or "snan"; `negative` counts for zeros and infinities too."""

    kind: str
    negative: bool
    value: Fraction = Fraction(0)

    @property
    def nan(self) -> bool:
        return self.kind in ("qnan", "snan")

    @property
    def inf(self) -> bool:
        return self.kind == "inf"

    @property
    def zero(self) -> bool:
        return self.kind == "finite" and self.value == 0


def decode(bits: int, f: Format) -> Datum:
    negative = bool(bits & f.sign)
    field = (bits & f.infinity) >> f.fraction_bits
    fraction = bits & ((1 << f.fraction_bits) - 1)
    if field == f.infinity >> f.fraction_bits:
        if fraction == 0:
            return Datum("inf", negative)
        return Datum("qnan" if bits & (1 << (f.fraction_bits - 1)) else "snan", negative)
    if field == 0:
        value = Fraction(fraction) * Fraction(2) ** (f.emin - f.fraction_bits)
    else:
        value = Fraction(fraction + (1 << f.fraction_bits)) * Fraction(2) ** (field - f.emax - f.fraction_bits)
    return Datum("finite", negative, -value if negative else value)


def round_integer(x: Fraction, rm: int) -> int:
    """The integer that `x` rounds to."""
    floor = x.numerator // x.denominator
    rest = x - floor
    if rest == 0:
        return floor
    match rm:
        case 0:
            return floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and floor % 2 == 1))
        case 1:
            return floor if x >= 0 else floor + 1
        case 2:
            return floor
        case 3:
            return floor + 1
    return floor + (rest > Fraction(1, 2) or (rest == Fraction(1, 2) and x > 0))


def exponent_of(x: Fraction) -> int:
    """The e with 2**e <= |x| < 2**(e+1)."""
    x = abs(x)
    e = x.numerator.bit_length() - x.denominator.bit_length()
    return e if x >= Fraction(2) ** e else e - 1


def round_to(x: Fraction, f: Format, rm: int, zero_negative: bool = False) -> tuple[int, int]:
    """(bits, flags) of the exact number `x` in format `f`; `zero_negative` is the sign of an exact zero."""
    if x == 0:
        return (f.sign if zero_negative else 0), 0
    sign = f.sign if x < 0 else 0

    def grid(e: int) -> Fraction:
        """x rounded with the precision of numbers of exponent e."""
        unit = Fraction(2) ** (e - f.fraction_bits)
        return round_integer(x / unit, rm) * unit

    unbounded = grid(exponent_of(x))
    if abs(unbounded) > f.largest:
        away = rm in (RNE, RMM) or rm == (RDN if x < 0 else RUP)
        return sign | (f.infinity if away else f.infinity - 1), OF | NX
    rounded = unbounded if exponent_of(x) >= f.emin else grid(f.emin)
    flags = NX if rounded != x else 0
    if flags and abs(unbounded) < Fraction(2) ** f.emin:
        flags |= UF  # tiny after rounding as if the exponent were unbounded
    if rounded == 0:
        return sign, flags
    e = max(exponent_of(rounded), f.emin)
    significand = abs(rounded) / Fraction(2) ** (e - f.fraction_bits)
    assert significand.denominator == 1
    field = e + f.emax if int(significand) >> f.fraction_bits else 0
    return sign | field << f.fraction_bits | int(significand) & ((1 << f.fraction_bits) - 1), flags


def _nan(f: Format, *operands: Datum) -> tuple[int, int]:
    return f.nan, NV if any(o.kind == "snan" for o in operands) else 0


def _sum(a: Datum, b: Datum, f: Format, rm: int) -> tuple[int, int]:
    """a + b of operands that may be exact products."""
    if a.nan or b.nan:
        return _nan(f, a, b)
    if a.inf and b.inf and a.negative != b.negative:
        return f.nan, NV
    if a.inf or b.inf:
        return f.infinity | (f.sign if (a if a.inf else b).negative else 0), 0
    negative_zero = a.negative if a.zero and b.zero and a.negative == b.negative else rm == RDN
    return round_to(a.value + b.value, f, rm, negative_zero)


def _add(f: Format, rm: int, a: int, b: int) -> tuple[int, int]:
    return _sum(decode(a, f), decode(b, f), f, rm)


def _mul(f: Format, rm: int, a: int, b: int) -> tuple[int, int]:
    x, y = decode(a, f), decode(b, f)
    negative = x.negative != y.negative
    if x.nan or y.nan:
        return _nan(f, x, y)
    if (x.inf and y.zero) or (x.zero and y.inf):
        return f.nan, NV
    if x.inf or y.inf:
        return f.infinity | (f.sign if negative else 0), 0
    return round_to(x.value * y.value, f, rm, negative)


def _div(f: Format, rm: int, a: int, b: int) -> tuple[int, int]:
    x, y = decode(a, f), decode(b, f)
    negative = x.negative != y.negative
    sign = f.sign if negative else 0
    if x.nan or y.nan:
        return _nan(f, x, y)
    if (x.inf and y.inf) or (x.zero and y.zero):
        return f.nan, NV
    if x.inf:
        return f.infinity | sign, 0
    if y.inf:
        return sign, 0
    if y.zero:
        return f.infinity | sign, DZ
    return round_to(x.value / y.value, f, rm, negative)


def _sqrt(f: Format, rm: int, a: int) -> tuple[int, int]:
    x = decode(a, f)
    if x.nan:
        return _nan(f, x)
    if x.zero:
        return a, 0
    if x.negative:
        return f.nan, NV
    if x.inf:
        return a, 0
    # the root to 80 bits and, if more follow, one bit more: on the same side of every number and midpoint as the root itself
    shift = 80 - exponent_of(x.value) // 2
    scaled = x.value * Fraction(4) ** shift
    whole = scaled.numerator // scaled.denominator
    root = isqrt(whole)
    exact = root * root == scaled
    return round_to((Fraction(root) + (0 if exact else Fraction(1, 2))) / Fraction(2) ** shift, f, rm)


def _fma(f: Format, rm: int, a: int, b: int, c: int) -> tuple[int, int]:
    x, y, z = decode(a, f), decode(b, f), decode(c, f)
    negative = x.negative != y.negative
    if (x.inf and y.zero) or (x.zero and y.inf):
        return f.nan, NV  # even when the addend is a quiet NaN
    if x.nan or y.nan or z.nan:
        return _nan(f, x, y, z)
    product = Datum("inf", negative) if x.inf or y.inf else Datum("finite", negative, x.value * y.value)
    return _sum(product, z, f, rm)


def _compare(f: Format, a: int, b: int, signaling: bool, test: str) -> tuple[int, int]:
    x, y = decode(a, f), decode(b, f)
    if x.nan or y.nan:
        return 0, NV if signaling else _nan(f, x, y)[1]
    left, right = (o.value if not o.inf else f.largest * (-2 if o.negative else 2) for o in (x, y))
    return int({"eq": left == right, "lt": left < right, "le": left <= right}[test]), 0


def _pick(f: Format, a: int, b: int, smaller: bool) -> tuple[int, int]:
    x, y = decode(a, f), decode(b, f)
    flags = _nan(f, x, y)[1]
    if x.nan or y.nan:
        return (f.nan if x.nan and y.nan else b if x.nan else a), flags
    if x.zero and y.zero:
        return (a if x.negative == smaller else b), flags
    less = _compare(f, a, b, True, "lt")[0]
    return (a if bool(less) == smaller else b), flags


def _class(f: Format, a: int) -> int:
    x = decode(a, f)
    if x.nan:
        return 1 << (8 if x.kind == "snan" else 9)
    if x.inf:
        place = 0
    elif x.zero:
        place = 3
    else:
        place = 2 if abs(x.value) < Fraction(2) ** f.emin else 1
    return 1 << (place if x.negative else 7 - place)


def _to_integer(f: Format, rm: int, a: int, kind: str) -> tuple[int, int]:
    bits, signed = INTEGERS[kind]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    x = decode(a, f)
    flags = 0
    if x.nan or (x.inf and not x.negative):
        value, flags = high, NV
    elif x.inf:
        value, flags = low, NV
    else:
        value = round_integer(x.value, rm)
        if not low <= value <= high:
            value, flags = (low if value < low else high), NV
        elif value != x.value:
            flags = NX
    if bits == 32:  # words are sign-extended, unsigned ones too
        value = (value & 0xFFFF_FFFF) - (1 << 32 if value & (1 << 31) else 0)
    return value & ((1 << 64) - 1), flags


def _from_integer(f: Format, rm: int, x: int, kind: str) -> tuple[int, int]:
    bits, signed = INTEGERS[kind]
    x &= (1 << bits) - 1
    if signed and x >> (bits - 1):
        x -= 1 << bits
    return round_to(Fraction(x), f, rm)


def _convert(f: Format, rm: int, a: int, source: str) -> tuple[int, int]:
    x = decode(a, FORMATS[source])
    if x.nan:
        return _nan(f, x)
    if x.inf:
        return f.infinity | (f.sign if x.negative else 0), 0
    return round_to(x.value, f, rm, x.negative)


def compute(op: str, fmt: str, rm: int, *args: int) -> tuple[int, int]:
    """(result, flags) of an operation of `rvhv.isa.effects.FLOAT_OPS` on operands of their formats' own width (no boxes)."""
    f = FORMATS[fmt]
    name, _, other = op.partition(".")
    match name:
        case "add":
            return _add(f, rm, *args)
        case "sub":
            return _add(f, rm, args[0], args[1] ^ f.sign)
        case "mul":
            return _mul(f, rm, *args)
        case "div":
            return _div(f, rm, *args)
        case "sqrt":
            return _sqrt(f, rm, *args)
        case "madd" | "msub" | "nmsub" | "nmadd":
            a, b, c = args
            return _fma(f, rm, a ^ f.sign if name[0] == "n" else a, b, c ^ f.sign if name in ("msub", "nmadd") else c)
        case "sgnj" | "sgnjn" | "sgnjx":
            a, b = args
            sign = {"sgnj": b, "sgnjn": ~b, "sgnjx": a ^ b}[name]
            return a & ~f.sign | sign & f.sign, 0
        case "eq" | "lt" | "le":
            return _compare(f, args[0], args[1], name != "eq", name)
        case "min" | "max":
            return _pick(f, args[0], args[1], name == "min")
        case "class":
            return _class(f, *args), 0
        case "to":
            return _to_integer(f, rm, args[0], other)
        case "from" if other in INTEGERS:
            return _from_integer(f, rm, args[0], other)
        case "from":
            return _convert(f, rm, args[0], other)
    raise KeyError(op)


def gives_number(op: str) -> bool:
    """Whether the result is a number; otherwise an integer."""
    return op not in ("eq", "lt", "le", "class") and not op.startswith("to.")


def compute_registers(op: str, fmt: str, rm: int, *args: int) -> tuple[int, int]:
    """The same on F registers; an integer operand or result is an X register's."""
    other = op.partition(".")[2]
    if other not in INTEGERS or op.startswith("to."):
        source = other if other in FORMATS else fmt
        args = tuple(unbox(a, source) for a in args)
    result, flags = compute(op, fmt, rm, *args)
    return box(result, fmt) if gives_number(op) else result, flags


def box(bits: int, fmt: str) -> int:
    """The F register that holds `bits`: a narrow format is boxed in ones."""
    return bits | ((1 << 64) - 1) >> FORMATS[fmt].width << FORMATS[fmt].width


def unbox(register: int, fmt: str) -> int:
    """The number in an F register; what is not boxed reads as the canonical NaN."""
    f = FORMATS[fmt]
    bits = register & ((1 << f.width) - 1)
    return bits if register == box(bits, fmt) else f.nan
