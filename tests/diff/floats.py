"""Random floating-point operands: the edges of the formats, halfway cases, and operands that belong together."""

from __future__ import annotations

import random

from rvhv.core.registry import ISA
from rvhv.isa.effects import FLOAT_FORMATS, Float
from rvhv.isa.expr import MASK64
from rvhv.isa.render.oracle_float import FORMATS, Format, box
from tests.diff.states import Row

RESERVED = (5, 6)  # modes of rounding


def edges(f: Format) -> list[int]:
    """Zeros, subnormals, the ends of the normal range, one and its neighbours, infinities and NaNs, of both signs."""
    top, one = 1 << f.fraction_bits, f.emax << f.fraction_bits
    positive = [
        0, 1, 2, top - 1, top, top + 1, 2 * top, one - 1, one, one + 1, one + top, f.infinity - 1, f.infinity - top, f.infinity,
        f.nan, f.infinity | 1, f.nan | 1, f.nan - 1,
    ]  # fmt: skip
    return [p | s for p in positive for s in (0, f.sign)]


def exponent(f: Format, rng: random.Random) -> int:
    """A biased exponent: any, or near a place where something changes."""
    if rng.random() < 0.3:
        return rng.randrange((1 << f.exponent_bits) - 1)
    near_one = (f.emax, f.emax + f.fraction_bits, f.emax + 31, f.emax + 63)
    centre = rng.choice((1, f.fraction_bits, f.emax // 2, *near_one, f.emax * 3 // 2, 2 * f.emax))
    return min(max(centre + rng.randint(-3, 3), 0), 2 * f.emax)


def fraction(f: Format, rng: random.Random) -> int:
    """Random, a few ones, or runs of ones and zeros, which are what rounds halfway."""
    kind, ones = rng.random(), (1 << f.fraction_bits) - 1
    if kind < 0.4:
        return rng.getrandbits(f.fraction_bits)
    if kind < 0.6:
        return (1 << rng.randrange(f.fraction_bits)) | rng.getrandbits(2)
    if kind < 0.9:
        run = (1 << rng.randrange(f.fraction_bits + 1)) - 1
        return run if rng.random() < 0.5 else ones ^ run
    return 0


def datum(fmt: str, rng: random.Random) -> int:
    """A number of the format."""
    f = FORMATS[fmt]
    if rng.random() < 0.12:
        return rng.choice(edges(f))
    return (f.sign if rng.random() < 0.5 else 0) | exponent(f, rng) << f.fraction_bits | fraction(f, rng)


def data(fmt: str, n: int, rng: random.Random) -> list[int]:
    """`n` operands, some of them near each other or nearly opposite."""
    f = FORMATS[fmt]
    found = [datum(fmt, rng) for _ in range(n)]
    if n > 1 and rng.random() < 0.3:
        i, j = rng.sample(range(n), 2)
        near = found[i] ^ rng.choice((0, f.sign))
        near += rng.choice((0, 0, 1, -1, 2, 1 << f.fraction_bits, -(1 << f.fraction_bits)))
        found[j] = near & (2 * f.sign - 1)
    if n == 3 and rng.random() < 0.2:  # an addend near the product
        found[2] = _times(found[0], found[1], f) ^ rng.choice((0, f.sign))
    return found


def _times(a: int, b: int, f: Format) -> int:
    """Roughly the product's bits: exponents added, the fraction of one."""
    e = (a & f.infinity) + (b & f.infinity) - (f.emax << f.fraction_bits)
    e = min(max(e, 0), f.infinity - (1 << f.fraction_bits)) & f.infinity
    return (a ^ b) & f.sign | e | (a ^ b) & ((1 << f.fraction_bits) - 1)


def register(rng: random.Random, fmt: str | None = None) -> int:
    """What an F register may hold: a boxed number, rarely a bad box."""
    fmt = fmt or rng.choice("dddsssh")
    image = box(datum(fmt, rng), fmt)
    if rng.random() < 0.06:
        image ^= 1 << rng.randrange(64)
    return image & MASK64


def source_format(row: Row) -> str | None:
    """The format of the F operands that are read as numbers."""
    for effect in row.insn.effects:
        if isinstance(effect, Float):
            other = effect.op.partition(".")[2]
            return other if other in FLOAT_FORMATS else effect.fmt
    return None


def float_registers(row: Row, word: int, rng: random.Random) -> list[int]:
    """Random registers; the operands of `word` belong together."""
    found = [register(rng) for _ in range(32)]
    fmt = source_format(row)
    fields = ISA.decode(word)[1]  # type: ignore[index]
    names = [n for n in ("frs1", "frs2", "frs3") if n in fields]
    if fmt is not None and rng.random() < 0.9:
        for name, number in zip(names, data(fmt, len(names), rng), strict=True):
            found[fields[name]] = box(number, fmt) if rng.random() < 0.97 else number
    return found


def with_rounding(row: Row, word: int, rng: random.Random) -> int:
    """The word with a mode that is mostly legal."""
    if "rm" not in row.encoding.by_name:
        return word
    return row.encoding.build(row.encoding.extract(word) | {"rm": rng.choice((0, 0, 1, 2, 3, 4, 7, 7, 7, rng.choice(RESERVED)))})
