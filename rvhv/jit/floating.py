"""Floating-point operations inline: where the host's FPU gives the same bits and the same flags, as `rvhv.cpu.floating` explains.

A result that may be rounded is taken when NX is set already, frm rounds to nearest even, and the result shows that nothing else
was raised: finite (so the operands were numbers, and nothing overflowed) and a binade above the subnormals (so nothing
underflowed); a sum that small is exact. What is never rounded, a comparison or a minimum, is taken when its operands are numbers.
Single-precision operands must be boxed. No subnormal number is flushed to zero: `rvhv.cpu.host_float`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rvhv.isa.effects import Float
from rvhv.isa.render.llvm import I1, I64
from rvhv.isa.render.syntax import ROUNDING_MODES

if TYPE_CHECKING:
    from rvhv.jit.translate import Translator

NX, FRM = 1, 7 << 5
RNE, RTZ, DYN = ROUNDING_MODES["rne"], ROUNDING_MODES["rtz"], ROUNDING_MODES["dyn"]
I32, DOUBLE, FLOAT = ir.IntType(32), ir.DoubleType(), ir.FloatType()
LANES, WORDS = ir.VectorType(FLOAT, 2), ir.VectorType(I32, 2)  # a boxed number and its box
BOX = (1 << 32) - 1


@dataclass(frozen=True)
class Format:
    """A format of the host: LLVM's type and name of it, an integer of its size, the widths of significand and exponent."""

    type: Any
    name: str
    bits: Any
    fraction: int
    exponent: int

    @property
    def sign(self) -> int:
        return 1 << (self.fraction + self.exponent)

    @property
    def infinity(self) -> int:
        return ((1 << self.exponent) - 1) << self.fraction

    def const(self, value: int) -> ir.Constant:
        return ir.Constant(self.bits, value)


FORMATS = {"d": Format(DOUBLE, "f64", I64, 52, 11), "s": Format(FLOAT, "f32", I32, 23, 8)}
LEAST = 2  # biased exponent of results that show all, of sums 0
SUMS = frozenset({"add", "sub"})
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARE = {"eq": "==", "lt": "<", "le": "<="}
# which operands of a fused multiply-add are negated before it
FUSED = {"madd": (False, False), "msub": (False, True), "nmsub": (True, False), "nmadd": (True, True)}
INTEGER_BITS = {"w": 32, "l": 64}

Inlined = tuple["ir.Value | None", ir.Value]


def inline(t: Translator) -> Inlined | None:
    """(condition, result) of the current instruction: the result counts where the condition, if any, holds; it is a DOUBLE for an
    F register, as that holds it, or an I64. None: not inline."""
    effect = next(e for e in t.step.insn.effects if isinstance(e, Float))
    fmt = FORMATS.get(effect.fmt)
    if fmt is None:
        return None
    inlined = _Operation(t, effect.op, effect.fmt, fmt).result(t.step.fields.get("rm", RNE))
    if inlined is None:
        return None
    condition, value = inlined
    return condition, _image(t, value)


def _image(t: Translator, value: ir.Value) -> ir.Value:
    """A number as an F register holds it."""
    if value.type is not FLOAT:
        return value
    b = t.builder
    box = ir.Constant(WORDS, [ir.Constant(I32, BOX)] * 2)
    return b.bitcast(b.insert_element(b.bitcast(box, LANES), value, 0), DOUBLE)


class _Operation:
    """The current instruction. Conditions come up as operands are read, and count for the result together."""

    def __init__(self, t: Translator, op: str, letter: str, fmt: Format) -> None:
        self.t, self.b, self.op, self.letter, self.fmt = t, t.builder, op, letter, fmt
        self.conditions: list[ir.Value] = []

    def result(self, rm: int) -> Inlined | None:
        value = self._value(rm)
        if value is None:
            return None
        condition: ir.Value | None = None
        for one in self.conditions:
            condition = one if condition is None else self.b.and_(condition, one)
        return condition, value

    def _value(self, rm: int) -> ir.Value | None:
        op, nearest = self.op, rm in (RNE, DYN)
        match op:
            case "add" | "sub" | "mul" | "div" if nearest:
                return self._rounded(getattr(self.b, ARITHMETIC[op])(self._number(1), self._number(2)), op in SUMS)
            case "sqrt" if nearest:
                return self._rounded(self._intrinsic("sqrt", self._number(1)))
            case "madd" | "msub" | "nmsub" | "nmadd" if nearest and self.t.host_fma:
                return self._fused(*FUSED[op])
            case "eq" | "lt" | "le":
                a, b = self._ordered()
                return self.b.zext(self.b.fcmp_ordered(COMPARE[op], a, b), I64)
            case "min" | "max":
                return self._choice()
            case "sgnj" | "sgnjn" | "sgnjx":
                return self._sign()
            case "from.w" | "from.wu" | "from.l" | "from.lu":
                return self._from_integer(rm)
            case "to.w" | "to.wu" | "to.l" | "to.lu" if rm == RTZ:
                return self._truncated()
            case "from.d" if nearest and self.letter == "s":
                return self._rounded(self.b.fptrunc(self._number(1, FORMATS["d"]), FLOAT))
            case "from.s" if self.letter == "d" and (rm <= ROUNDING_MODES["rmm"] or rm == DYN):
                return self._widened(rm)
        return None

    # -- operands and conditions

    def _number(self, n: int, fmt: Format | None = None) -> ir.Value:
        """Operand frs`n`; a single-precision one must be boxed."""
        image = self.t.double(f"frs{n}")
        if (fmt or self.fmt).type is DOUBLE:
            return image
        lanes = self.b.bitcast(image, LANES)
        box = self.b.extract_element(self.b.bitcast(image, WORDS), 1)
        self.conditions.append(self.b.icmp_unsigned("==", box, ir.Constant(I32, BOX)))
        return self.b.extract_element(lanes, 0)

    def _ordered(self) -> tuple[ir.Value, ir.Value]:
        a, b = self._number(1), self._number(2)
        self.conditions.append(self.b.fcmp_ordered("ord", a, b))
        return a, b

    def _rounding_is_unseen(self) -> None:
        self.conditions.append(self.b.load(self.t.rounds_var, typ=I1))

    def _rounded(self, result: ir.Value, is_sum: bool = False) -> ir.Value:
        b, fmt = self.b, self.fmt
        size, infinity = b.shl(b.bitcast(result, fmt.bits), fmt.const(1)), fmt.infinity << 1  # without the sign
        if not is_sum:
            least = LEAST << (fmt.fraction + 1)
            size, infinity = b.sub(size, fmt.const(least)), infinity - least
        self.conditions.append(b.icmp_unsigned("<", size, fmt.const(infinity)))
        self._rounding_is_unseen()
        return result

    def _intrinsic(self, name: str, *args: ir.Value) -> ir.Value:
        full, type_ = f"llvm.{name}.{self.fmt.name}", self.fmt.type
        self.t.function.declare(full, type_, [type_] * len(args))
        return self.b.call(full, ir.FunctionType(type_, [type_] * len(args)), args)

    # -- operations

    def _fused(self, product: bool, addend: bool) -> ir.Value:
        b = self.b
        x, y, z = (self._number(n) for n in (1, 2, 3))
        return self._rounded(self._intrinsic("fma", b.fneg(x) if product else x, y, b.fneg(z) if addend else z))

    def _choice(self) -> ir.Value:
        """The smaller or greater number. norm: -0 is less than +0; other numbers that are equal have the same bits."""
        b, fmt = self.b, self.fmt
        one, two = self._ordered()
        x, y = b.bitcast(one, fmt.bits), b.bitcast(two, fmt.bits)
        first, last = (one, two) if self.op == "min" else (two, one)
        equal = (b.or_ if self.op == "min" else b.and_)(x, y)
        other = b.select(b.fcmp_ordered("==", one, two), equal, y)
        return b.bitcast(b.select(b.fcmp_ordered("<", first, last), x, other), fmt.type)

    def _sign(self) -> ir.Value:
        b, fmt = self.b, self.fmt
        x, y = (b.bitcast(self._number(n), fmt.bits) for n in (1, 2))
        if self.op == "sgnjx":
            return b.bitcast(b.xor(x, b.and_(y, fmt.const(fmt.sign))), fmt.type)
        sign = b.and_(y if self.op == "sgnj" else b.not_(y), fmt.const(fmt.sign))
        return b.bitcast(b.or_(b.and_(x, fmt.const(fmt.sign - 1)), sign), fmt.type)

    def _from_integer(self, rm: int) -> ir.Value | None:
        """Of words a double holds each: nothing is rounded, but a mode that is dynamic must be a legal one."""
        b, kind = self.b, self.op.removeprefix("from.")
        exact = kind[0] == "w" and self.letter == "d"
        if not (rm <= ROUNDING_MODES["rmm"] if exact else rm == RNE) and rm != DYN:
            return None
        if not exact or rm == DYN:
            self._rounding_is_unseen()
        operand = self.t.operand("rs1")
        x = b.trunc(self.t.const(operand) if isinstance(operand, int) else operand, ir.IntType(INTEGER_BITS[kind[0]]))
        return (b.uitofp if kind.endswith("u") else b.sitofp)(x, self.fmt.type)

    def _truncated(self) -> ir.Value:
        """Toward zero, when the number is in range; frm has no part in it."""
        b, fmt, kind = self.b, self.fmt, self.op.removeprefix("to.")
        bits, unsigned = INTEGER_BITS[kind[0]], kind.endswith("u")
        x = self._number(1)
        limit = ir.Constant(fmt.type, float(1 << (bits if unsigned else bits - 1)))
        zero = ir.Constant(fmt.type, 0.0)
        self._rounding_is_unseen()
        if unsigned:
            in_range = b.and_(b.fcmp_ordered("<=", zero, x), b.fcmp_ordered("<", x, limit))
        else:
            in_range = b.fcmp_ordered("<", self._intrinsic("fabs", x), limit)
        self.conditions.append(in_range)
        integer = (b.fptoui if unsigned else b.fptosi)(b.select(in_range, x, zero), ir.IntType(bits))
        return b.sext(integer, I64)

    def _widened(self, rm: int) -> ir.Value:
        """Every single-precision number is a double: nothing is rounded. The condition leaves out what is no number."""
        if rm == DYN:
            self._rounding_is_unseen()
        x = self._number(1, FORMATS["s"])
        self.conditions.append(self.b.fcmp_ordered("ord", x, x))
        return self.b.fpext(x, DOUBLE)
