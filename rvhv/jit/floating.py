"""Floating-point operations inline: where the host's FPU gives the same bits and the same flags, as `rvhv.cpu.floating` explains.

A result is taken when NX is set already, frm rounds to nearest even, and the result shows that nothing else was raised: finite
(so the operands were numbers, and nothing overflowed) and a binade above the subnormals (so nothing underflowed).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite import ir

from rvhv.isa.effects import Float
from rvhv.isa.render.llvm import I1, I64
from rvhv.isa.render.syntax import ROUNDING_MODES

if TYPE_CHECKING:
    from rvhv.jit.translate import Translator

NX, FRM = 1, 7 << 5
RNE, RTZ, DYN = ROUNDING_MODES["rne"], ROUNDING_MODES["rtz"], ROUNDING_MODES["dyn"]
DOUBLE = ir.DoubleType()
LEAST, MOST = 2, 2045  # biased exponents of results that show all
LEAST_SUM = 64  # of sums: so far above the subnormals that one of them, flushed to zero or not, changes nothing
SIGN = 1 << 63
ARITHMETIC = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
COMPARE = {"eq": "==", "lt": "<", "le": "<="}
# which operands of a fused multiply-add are negated before it
FUSED = {"madd": (False, False), "msub": (False, True), "nmsub": (True, False), "nmadd": (True, True)}
TWO_TO_63, TWO_TO_31 = float(1 << 63), float(1 << 31)

Inlined = tuple["ir.Value | None", ir.Value]


def inline(t: Translator) -> Inlined | None:
    """(condition, result) of the current instruction: the result counts where the condition, if any, holds. None: not inline."""
    step = t.step
    effect = next(e for e in step.insn.effects if isinstance(e, Float))
    rm = step.fields.get("rm", RNE)
    match effect.op, effect.fmt:
        case ("add" | "sub" | "mul" | "div", "d") if rm in (RNE, DYN):
            result = getattr(t.builder, ARITHMETIC[effect.op])(t.double("frs1"), t.double("frs2"))
            return _rounded(t, result, LEAST_SUM if effect.op in ("add", "sub") else LEAST)
        case ("sqrt", "d") if rm in (RNE, DYN):
            return _rounded(t, _intrinsic(t, "llvm.sqrt.f64", [t.double("frs1")]))
        case ("madd" | "msub" | "nmsub" | "nmadd", "d") if rm in (RNE, DYN) and t.host_fma:
            return _fused(t, *FUSED[effect.op])
        case (("eq" | "lt" | "le"), "d"):
            a, b = t.double("frs1"), t.double("frs2")
            numbers = t.builder.fcmp_ordered("ord", a, b)
            return numbers, t.builder.zext(t.builder.fcmp_ordered(COMPARE[effect.op], a, b), I64)
        case ("sgnj" | "sgnjn" | "sgnjx", "d"):
            return None, _sign(t, effect.op)
        case ("from.w" | "from.wu", "d"):
            if rm > 4 and rm != DYN:
                return None  # reserved: it traps
            exact = None if rm <= 4 else t.builder.load(t.rounds_var, typ=I1)
            return exact, _from_word(t, effect.op == "from.w")
        case ("from.l", "d") if rm in (RNE, DYN):
            x = t.operand("rs1")
            value = t.builder.sitofp(t.const(x) if isinstance(x, int) else x, DOUBLE)
            return t.builder.load(t.rounds_var, typ=I1), value
        case (("to.w" | "to.l"), "d") if rm == RTZ:
            return _truncated(t, effect.op)
    return None


def _rounded(t: Translator, result: ir.Value, least: int = LEAST) -> Inlined:
    b = t.builder
    doubled = b.shl(b.bitcast(result, I64), t.const(1))  # without the sign
    low, high = least << 53, ((MOST + 1) << 53) - 1
    inside = b.icmp_unsigned("<=", b.sub(doubled, t.const(low)), t.const(high - low))
    return b.and_(inside, b.load(t.rounds_var, typ=I1)), result


def _fused(t: Translator, product: bool, addend: bool) -> Inlined:
    """The operands must be normal too: a subnormal one that the host flushes to zero would change a normal result."""
    b = t.builder
    x, y, z = (t.double(f"frs{i}") for i in (1, 2, 3))
    condition: Any = None
    for operand in (x, y, z):
        doubled = b.shl(b.bitcast(operand, I64), t.const(1))
        normal = b.icmp_unsigned("<=", b.sub(doubled, t.const(1 << 53)), t.const((2046 << 53) - 1))
        condition = normal if condition is None else b.and_(condition, normal)
    result = _intrinsic(t, "llvm.fma.f64", [b.fneg(x) if product else x, y, b.fneg(z) if addend else z])
    safe, value = _rounded(t, result)
    return b.and_(condition, safe), value


def _sign(t: Translator, op: str) -> ir.Value:
    b = t.builder
    x, y = (b.bitcast(t.double(f), I64) for f in ("frs1", "frs2"))
    if op == "sgnjx":
        return b.bitcast(b.xor(x, b.and_(y, t.const(SIGN))), DOUBLE)
    sign = b.and_(y if op == "sgnj" else b.not_(y), t.const(SIGN))
    return b.bitcast(b.or_(b.and_(x, t.const(~SIGN)), sign), DOUBLE)


def _from_word(t: Translator, signed: bool) -> ir.Value:
    """Exact: a double holds every word."""
    b = t.builder
    x = t.operand("rs1")
    word = b.trunc(t.const(x) if isinstance(x, int) else x, ir.IntType(32))
    return b.sitofp(word, DOUBLE) if signed else b.uitofp(word, DOUBLE)


def _truncated(t: Translator, op: str) -> Inlined:
    """Toward zero, when the number is in range; NX is set already, and frm has no part in it."""
    b = t.builder
    x = t.double("frs1")
    limit = TWO_TO_31 if op == "to.w" else TWO_TO_63
    size = _intrinsic(t, "llvm.fabs.f64", [x])
    in_range = b.fcmp_ordered("<", size, ir.Constant(DOUBLE, limit))
    safe = b.select(in_range, x, ir.Constant(DOUBLE, 0.0))
    return b.and_(in_range, b.load(t.rounds_var, typ=I1)), b.fptosi(safe, I64)


def _intrinsic(t: Translator, name: str, args: list[ir.Value]) -> ir.Value:
    t.function.declare(name, DOUBLE, [DOUBLE] * len(args))
    return t.builder.call(name, ir.FunctionType(DOUBLE, [DOUBLE] * len(args)), args)
