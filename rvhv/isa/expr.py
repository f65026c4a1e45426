"""Expressions over 64-bit values: what the semantics of a row is written in.

Every node is an unsigned 64-bit value; a truth value is 0 or 1. A row's semantics is a Python function run once on
symbolic operands; the tree it returns is rendered by `rvhv.isa.render`. What each operation means is defined once, as a
Python big-int function in `OPS`; the oracle evaluates with it and the other renderers are compared with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Union

XLEN = 64
MASK64 = (1 << 64) - 1


def signed(value: int, bits: int = 64) -> int:
    """The two's complement reading of the low `bits` bits of `value`."""
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _sext(bits: int) -> Callable[[int], int]:
    return lambda a: signed(a, bits) & MASK64


def _trunc_div(a: int, b: int) -> int:
    quotient = abs(a) // abs(b)
    return quotient if (a < 0) == (b < 0) else -quotient


def _carryless_product(a: int, b: int) -> int:
    """The 127-bit product of two polynomials over GF(2)."""
    product = 0
    while b:
        product ^= a * (b & -b)
        b &= b - 1
    return product


OPS: dict[str, Callable[..., int]] = {
    "add": lambda a, b: (a + b) & MASK64,
    "sub": lambda a, b: (a - b) & MASK64,
    "mul": lambda a, b: (a * b) & MASK64,
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "shl": lambda a, b: (a << b) & MASK64,
    "shr": lambda a, b: a >> b,
    "sar": lambda a, b: (signed(a) >> b) & MASK64,
    "eq": lambda a, b: int(a == b),
    "ne": lambda a, b: int(a != b),
    "ltu": lambda a, b: int(a < b),
    "geu": lambda a, b: int(a >= b),
    "lts": lambda a, b: int(signed(a) < signed(b)),
    "ges": lambda a, b: int(signed(a) >= signed(b)),
    "select": lambda c, t, f: t if c else f,
    "mulhu": lambda a, b: (a * b) >> 64,
    "mulh": lambda a, b: ((signed(a) * signed(b)) >> 64) & MASK64,
    "mulhsu": lambda a, b: ((signed(a) * b) >> 64) & MASK64,
    "udiv": lambda a, b: a // b,
    "urem": lambda a, b: a % b,
    "sdiv": lambda a, b: _trunc_div(signed(a), signed(b)) & MASK64,
    "srem": lambda a, b: (signed(a) - signed(b) * _trunc_div(signed(a), signed(b))) & MASK64,
    "sext8": _sext(8),
    "sext16": _sext(16),
    "sext32": _sext(32),
    "zext8": lambda a: a & 0xFF,
    "zext16": lambda a: a & 0xFFFF,
    "zext32": lambda a: a & 0xFFFF_FFFF,
    "clz": lambda a: 64 - a.bit_length(),
    "ctz": lambda a: (a & -a).bit_length() - 1 if a else 64,
    "cpop": lambda a: a.bit_count(),
    "bswap": lambda a: int.from_bytes(a.to_bytes(8, "little"), "big"),
    "brev": lambda a: int(f"{a:064b}"[::-1], 2),
    "clmul": lambda a, b: _carryless_product(a, b) & MASK64,
}

Operand = Union["E", int]


@dataclass(frozen=True)
class E:
    """A node: `op` is a key of `OPS`, or "leaf" (args: its name) or "const" (args: its value)."""

    op: str
    args: tuple[E | str | int, ...] = ()

    @cached_property
    def _hash(self) -> int:
        return hash((self.op, self.args))

    def __hash__(self) -> int:
        return self._hash

    @property
    def kids(self) -> tuple[E, ...]:
        """The operands that are nodes (none for a leaf or a constant)."""
        return tuple(a for a in self.args if isinstance(a, E))

    def __add__(self, o: Operand) -> E:
        return node("add", self, o)

    def __sub__(self, o: Operand) -> E:
        return node("sub", self, o)

    def __mul__(self, o: Operand) -> E:
        return node("mul", self, o)

    def __and__(self, o: Operand) -> E:
        return node("and", self, o)

    def __or__(self, o: Operand) -> E:
        return node("or", self, o)

    def __xor__(self, o: Operand) -> E:
        return node("xor", self, o)

    def __lshift__(self, o: Operand) -> E:
        return node("shl", self, o)

    def __rshift__(self, o: Operand) -> E:
        return node("shr", self, o)

    def __invert__(self) -> E:
        return node("xor", self, MASK64)

    def __bool__(self) -> bool:
        raise TypeError("a symbolic value has no truth value: write select(c, a, b), not `if`")

    def walk(self) -> Iterator[E]:
        """Every node of the tree, operands before their users."""
        for kid in self.kids:
            yield from kid.walk()
        yield self


def const(value: int) -> E:
    return E("const", (value & MASK64,))


def leaf(name: str) -> E:
    return E("leaf", (name,))


def lift(value: Operand) -> E:
    return value if isinstance(value, E) else const(value)


def node(op: str, *args: Operand) -> E:
    """A node whose constant operands are folded: what is known when the row is written costs nothing at run time."""
    nodes = tuple(lift(a) for a in args)
    if all(n.op == "const" for n in nodes):
        values = [n.args[0] for n in nodes]
        return const(OPS[op](*values))
    return E(op, nodes)


def _op(name: str) -> Callable[..., E]:
    def make(*args: Operand) -> E:
        return node(name, *args)

    make.__name__ = name
    return make


sar, eq, ne, ltu, geu, lts, ges = (_op(n) for n in ("sar", "eq", "ne", "ltu", "geu", "lts", "ges"))
select = _op("select")
mulhu, mulh, mulhsu = _op("mulhu"), _op("mulh"), _op("mulhsu")
sext8, sext16, sext32 = _op("sext8"), _op("sext16"), _op("sext32")
zext8, zext16, zext32 = _op("zext8"), _op("zext16"), _op("zext32")
clz, ctz, cpop, bswap, brev = (_op(n) for n in ("clz", "ctz", "cpop", "bswap", "brev"))
clmul = _op("clmul")

INT64_MIN = 1 << 63


def _guarded(y: E) -> E:
    return select(eq(y, 0), 1, y)


def _overflows(x: E, y: E) -> E:
    return eq(x, INT64_MIN) & eq(y, MASK64)


def divu(x: E, y: E) -> E:
    """Unsigned quotient; all ones when y is 0 (M extension: division by zero sets all bits)."""
    return select(eq(y, 0), MASK64, node("udiv", x, _guarded(y)))


def remu(x: E, y: E) -> E:
    """Unsigned remainder; x when y is 0."""
    return select(eq(y, 0), x, node("urem", x, _guarded(y)))


def div(x: E, y: E) -> E:
    """Signed quotient towards zero; -1 when y is 0; x when it overflows (most negative by -1)."""
    safe = select(eq(y, 0) | _overflows(x, y), 1, y)
    return select(eq(y, 0), MASK64, node("sdiv", x, safe))


def rem(x: E, y: E) -> E:
    """Signed remainder with the sign of x; x when y is 0; 0 when the division overflows."""
    safe = select(eq(y, 0) | _overflows(x, y), 1, y)
    return select(eq(y, 0), x, node("srem", x, safe))


def evaluate(expr: E, env: Callable[[str], int]) -> int:
    """The value of `expr` with each leaf read through `env`: the definition the renderers are compared with."""
    if expr.op == "const":
        value = expr.args[0]
        assert isinstance(value, int)
        return value
    if expr.op == "leaf":
        return env(str(expr.args[0]))
    return OPS[expr.op](*(evaluate(kid, env) for kid in expr.kids))
