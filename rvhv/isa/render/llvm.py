"""Rows rendered to LLVM IR: values inline, effects through a sink.

`RowBuilder` emits one row into a block that is being built; what its operands are and what its effects do is the sink's business
(a translated region's, or `CallSink`'s, which makes each effect a call). Values known while building are Python ints, and
an operation on ints alone is folded, so that a register that is x0 or a target that depends on pc only costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol, TypeAlias

from llvmlite import ir

from rvhv.errors import InternalError
from rvhv.isa.effects import (
    FLOAT_FORMATS,
    FLOAT_OPS,
    Amo,
    Branch,
    Call,
    CsrAccess,
    Effect,
    Float,
    Jump,
    Load,
    LoadReserved,
    Store,
    StoreConditional,
    UseFloat,
)
from rvhv.isa.expr import MASK64, OPS, E, const
from rvhv.isa.rows import CONTEXT_LEAVES, DESTINATIONS, Insn

I1, I8, I16, I32, I64, I128 = (ir.IntType(n) for n in (1, 8, 16, 32, 64, 128))
PTR = ir.PointerType()

Value: TypeAlias = "ir.Value | int"

_BINARY = {
    "add": "add", "sub": "sub", "mul": "mul", "and": "and_", "or": "or_", "xor": "xor", "shl": "shl", "shr": "lshr",
    "sar": "ashr", "udiv": "udiv", "urem": "urem", "sdiv": "sdiv", "srem": "srem",
}  # fmt: skip
_COMPARE = {
    "eq": ("icmp_unsigned", "=="), "ne": ("icmp_unsigned", "!="), "ltu": ("icmp_unsigned", "<"), "geu": ("icmp_unsigned", ">="),
    "lts": ("icmp_signed", "<"), "ges": ("icmp_signed", ">="),
}  # fmt: skip
_SIGN_EXTEND = {"sext8": I8, "sext16": I16, "sext32": I32}
_ZERO_EXTEND = {"zext8": 0xFF, "zext16": 0xFFFF, "zext32": 0xFFFF_FFFF}
_HIGH = {"mulhu": ("zext", "zext"), "mulh": ("sext", "sext"), "mulhsu": ("sext", "zext")}
EVERY_FOURTH_BIT = 0x1111_1111_1111_1111
# operations that give back their left operand when the right one is zero
_RIGHT_ZERO = frozenset({"add", "sub", "or", "xor", "shl", "shr", "sar"})


class Sink(Protocol):
    """What a row's operands and effects become. Values that come in may be ints; what is not met by the effect (a fault) leaves
    the block, and the builder goes on behind it."""

    def operand(self, name: str) -> Value:
        """The value of an operand leaf (`rs1`, `imm`, `pc`, ...)."""

    def load(self, addr: Value, size: int, signed: bool, via: str) -> Value: ...
    def store(self, addr: Value, value: Value, size: int, via: str) -> None: ...
    def amo(self, addr: Value, size: int, update: Callable[[Value], Value]) -> Value: ...
    def lr(self, addr: Value, size: int) -> Value: ...
    def sc(self, addr: Value, value: Value, size: int) -> Value: ...
    def csr(self, csr: Value, update: Callable[[Value], Value], reads: Value, writes: Value) -> Value: ...
    def call(self, helper: str, args: tuple[Value, ...]) -> None: ...

    def use_float(self, rm: Value) -> Value:
        """The rounding mode; leaves the block when the instruction is illegal."""

    def float_op(self, op: str, fmt: str, mode: Value, args: tuple[Value, ...]) -> Value: ...

    def write_rd(self, value: Value) -> None:
        """Comes after every effect that can fail and before control moves."""

    def write_frd(self, value: Value) -> None:
        """The same for an F register; FS becomes Dirty."""

    def branch(self, cond: Value, target: Value) -> None:
        """`cond` is an i1, or an int when it is known."""

    def jump(self, target: Value) -> None: ...


def lift(value: Value) -> ir.Value:
    return ir.Constant(I64, value & MASK64) if isinstance(value, int) else value


class RowBuilder:
    """Emits rows at the position of `builder`. One for each instruction: what it has computed it does not compute again."""

    def __init__(self, builder: ir.IRBuilder, sink: Sink) -> None:
        self.builder = builder
        self.sink = sink
        self._values: dict[E, Value] = {}
        self._conditions: dict[E, Value] = {}

    def emit(self, insn: Insn) -> None:
        """The row's effects in their order, then rd, then the transfer of control."""
        transfer: Callable[[], None] | None = None
        for effect in insn.effects:
            match effect:
                case Branch(cond, target):
                    # read before rd is written: jalr's rd may be its rs1
                    c, t = self.condition(cond), self.value(target)
                    transfer = lambda c=c, t=t: self.sink.branch(c, t)  # noqa: E731
                case Jump(target):
                    t = self.value(target)
                    transfer = lambda t=t: self.sink.jump(t)  # noqa: E731
                case _:
                    self._effect(effect)
        if insn.result is not None:
            write = self.sink.write_frd if "frd" in insn.encoding.by_name else self.sink.write_rd
            write(self.value(insn.result))
        if transfer is not None:
            transfer()

    def _effect(self, effect: Effect) -> None:
        value, sink = self.value, self.sink
        match effect:
            case Load(temp, addr, size, signed, via):
                self._define(temp, sink.load(value(addr), size, signed, via))
            case Store(addr, stored, size, via):
                sink.store(value(addr), value(stored), size, via)
            case Amo(temp, addr, size, update):
                self._define(temp, sink.amo(value(addr), size, self._update(temp, update)))
            case LoadReserved(temp, addr, size):
                self._define(temp, sink.lr(value(addr), size))
            case StoreConditional(temp, addr, stored, size):
                self._define(temp, sink.sc(value(addr), value(stored), size))
            case CsrAccess(temp, csr, update, reads, writes):
                old = sink.csr(value(csr), self._update(temp, update), value(reads), value(writes))
                self._define(temp, old)
            case Call(helper, args):
                sink.call(helper, tuple(value(a) for a in args))
            case UseFloat(temp, rm):
                self._define(temp, sink.use_float(value(rm)))
            case Float(temp, op, fmt, mode, args):
                self._define(temp, sink.float_op(op, fmt, value(mode), tuple(value(a) for a in args)))
            case _:
                raise InternalError(f"no LLVM for {effect}")

    def _define(self, temp: str, value: Value) -> None:
        self._values[E("leaf", (temp,))] = value

    def _update(self, temp: str, update: E) -> Callable[[Value], Value]:
        """The new value as a function of the old one; the sink may ask for it in a block of its own, so nothing it computes is
        kept for later."""
        for kid in update.walk():
            if kid.op == "leaf" and kid.args[0] != temp:
                self.value(kid)

        def new(old: Value) -> Value:
            kept = dict(self._values), dict(self._conditions)
            self._define(temp, old)
            result = self.value(update)
            self._values, self._conditions = kept
            return result

        return new

    # -- values

    def value(self, e: E) -> Value:
        """The 64-bit value of `e`."""
        if e not in self._values:
            self._values[e] = self._make(e)
        return self._values[e]

    def _make(self, e: E) -> Value:
        if e.op == "const":
            return int(str(e.args[0]))
        if e.op == "leaf":
            return self.sink.operand(str(e.args[0]))
        if e.op == "select":
            return self._select(e)
        if _is_truth(e):
            truth = self.condition(e)
            return truth if isinstance(truth, int) else self.builder.zext(truth, I64)
        operands = [self.value(kid) for kid in e.kids]
        if all(isinstance(v, int) for v in operands):
            return OPS[e.op](*operands)
        if (known := _identity(e.op, operands)) is not None:
            return known
        return self._operation(e.op, [lift(v) for v in operands])

    def _operation(self, op: str, operands: list[ir.Value]) -> ir.Value:
        b = self.builder
        if op in _BINARY:
            return getattr(b, _BINARY[op])(*operands)
        if op in _SIGN_EXTEND:
            return b.sext(b.trunc(operands[0], _SIGN_EXTEND[op]), I64)
        if op in _ZERO_EXTEND:
            return b.and_(operands[0], ir.Constant(I64, _ZERO_EXTEND[op]))
        if op in _HIGH:
            left, right = (getattr(b, extend)(v, I128) for extend, v in zip(_HIGH[op], operands, strict=True))
            return b.trunc(b.lshr(b.mul(left, right), ir.Constant(I128, 64)), I64)
        match op:
            case "clz":
                return b.ctlz(operands[0], ir.Constant(I1, 0))
            case "ctz":
                return b.cttz(operands[0], ir.Constant(I1, 0))
            case "cpop":
                return b.ctpop(operands[0])
            case "bswap":
                return b.bswap(operands[0])
            case "brev":
                return b.bitreverse(operands[0])
            case "clmul":
                return self._carryless_product(*operands)
        raise InternalError(f"no LLVM for the operation {op}")

    def _carryless_product(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """Out of integer products of every fourth bit: the carries of up to fifteen ones stay in the three bits between."""
        b = self.builder
        masks = [ir.Constant(I64, EVERY_FOURTH_BIT << i) for i in range(4)]
        xs, ys = ([b.and_(v, mask) for mask in masks] for v in (x, y))
        result: ir.Value = ir.Constant(I64, 0)
        for i, mask in enumerate(masks):
            total = b.mul(xs[0], ys[i])
            for j in range(1, 4):
                total = b.xor(total, b.mul(xs[j], ys[(i - j) & 3]))
            result = b.or_(result, b.and_(total, mask))
        return result

    def _select(self, e: E) -> Value:
        cond = self.condition(e.kids[0])
        if isinstance(cond, int):
            return self.value(e.kids[1] if cond else e.kids[2])
        yes, no = self.value(e.kids[1]), self.value(e.kids[2])
        return self.builder.select(cond, lift(yes), lift(no))

    def condition(self, e: E) -> Value:
        """The truth of `e`: an i1, or an int when it is known."""
        if e not in self._conditions:
            self._conditions[e] = self._make_condition(e)
        return self._conditions[e]

    def _make_condition(self, e: E) -> Value:
        if e.op in _COMPARE:
            left, right = self.value(e.kids[0]), self.value(e.kids[1])
            if isinstance(left, int) and isinstance(right, int):
                return OPS[e.op](left, right)
            method, symbol = _COMPARE[e.op]
            return getattr(self.builder, method)(symbol, lift(left), lift(right))
        if e.op in ("and", "or") and _is_truth(e):
            left, right = self.condition(e.kids[0]), self.condition(e.kids[1])
            if isinstance(left, int) or isinstance(right, int):
                known, other = (left, right) if isinstance(left, int) else (right, left)
                return other if bool(known) == (e.op == "and") else known
            return getattr(self.builder, _BINARY[e.op])(left, right)
        value = self.value(e)
        if isinstance(value, int):
            return int(value != 0)
        return self.builder.icmp_unsigned("!=", value, ir.Constant(I64, 0))


def _is_truth(e: E) -> bool:
    """Whether `e` is made of comparisons, so that an i1 can hold it."""
    if e.op in _COMPARE:
        return True
    return e.op in ("and", "or") and all(_is_truth(kid) or kid in (const(0), const(1)) for kid in e.kids)


def _identity(op: str, operands: list[Value]) -> Value | None:
    """`x + 0` and the like."""
    left, right = (operands + [1])[:2]
    if op in _RIGHT_ZERO and isinstance(right, int) and right == 0:
        return left
    if op in ("add", "or", "xor") and isinstance(left, int) and left == 0:
        return right
    if op == "and" and any(isinstance(v, int) and v == 0 for v in (left, right)):
        return 0
    return None


# -- each effect a call: one function a row, for tests and for what a region does not inline

CALLS = {
    "load": (I64, (I64, I64, I64, I64)),  # addr, size, signed, via (index into VIA)
    "store": (ir.VoidType(), (I64, I64, I64, I64)),  # addr, value, size, via
    "amo_load": (I64, (I64, I64)),  # addr, size; amo_store follows
    "amo_store": (ir.VoidType(), (I64, I64, I64)),  # addr, value, size
    "lr": (I64, (I64, I64)),  # addr, size
    "sc": (I64, (I64, I64, I64)),  # addr, value, size
    "csr_read": (I64, (I64, I64)),  # number, whether it reads
    "csr_write": (ir.VoidType(), (I64, I64, I64)),  # number, value, whether it writes
    "use_float": (I64, (I64,)),  # rm; returns the rounding mode
    "float_op": (I64, (I64, I64, I64, I64, I64, I64)),  # op, format (their indices), mode, three operands
}
OP_NAMES = tuple(FLOAT_OPS)
VIA = ("data", "hlv", "hlvx", "hsv")


def _declare(module: ir.Module, name: str, result: ir.Type, arguments: Iterable[ir.Type]) -> ir.Function:
    found = module.globals.get(name)
    return found or ir.Function(module, ir.FunctionType(result, [PTR, *arguments]), name)


class CallSink:
    """A row as a function of its own: `i64 row_<name>(state, rd*, operand leaves...)` returns the next pc and stores rd's or
    frd's value through the pointer; effects call the functions of `CALLS`, and helpers `helper_<name>`, with `state` first."""

    def __init__(self, module: ir.Module, insn: Insn) -> None:
        self.leaves = row_leaves(insn)
        type_ = ir.FunctionType(I64, [PTR, PTR, *(I64 for _ in self.leaves)])
        self.function = ir.Function(module, type_, f"row_{insn.name}")
        self.builder = ir.IRBuilder(self.function.append_basic_block())
        self._state, self._rd, *values = self.function.args
        self._operands = dict(zip(self.leaves, values, strict=True))
        self._next: Value = self._operands["npc"]

    def _call(self, name: str, *args: Value) -> ir.Value:
        result, types = CALLS[name]
        function = _declare(self.builder.module, f"effect_{name}", result, types)
        return self.builder.call(function, [self._state, *(lift(a) for a in args)])

    def operand(self, name: str) -> Value:
        return self._operands[name]

    def load(self, addr: Value, size: int, signed: bool, via: str) -> Value:
        return self._call("load", addr, size, int(signed), VIA.index(via))

    def store(self, addr: Value, value: Value, size: int, via: str) -> None:
        self._call("store", addr, value, size, VIA.index(via))

    def amo(self, addr: Value, size: int, update: Callable[[Value], Value]) -> Value:
        old = self._call("amo_load", addr, size)
        self._call("amo_store", addr, update(old), size)
        return old

    def lr(self, addr: Value, size: int) -> Value:
        return self._call("lr", addr, size)

    def sc(self, addr: Value, value: Value, size: int) -> Value:
        return self._call("sc", addr, value, size)

    def csr(self, csr: Value, update: Callable[[Value], Value], reads: Value, writes: Value) -> Value:
        old = self._call("csr_read", csr, reads)
        self._call("csr_write", csr, update(old), writes)
        return old

    def call(self, helper: str, args: tuple[Value, ...]) -> None:
        function = _declare(self.builder.module, f"helper_{helper}", I64, [I64 for _ in args])
        self._next = self.builder.call(function, [self._state, *(lift(a) for a in args)])

    def use_float(self, rm: Value) -> Value:
        return self._call("use_float", rm)

    def float_op(self, op: str, fmt: str, mode: Value, args: tuple[Value, ...]) -> Value:
        operands = [*args, 0, 0][:3]
        return self._call("float_op", OP_NAMES.index(op), FLOAT_FORMATS.index(fmt), mode, *operands)

    def write_rd(self, value: Value) -> None:
        self.builder.store(lift(value), self._rd)

    write_frd = write_rd

    def branch(self, cond: Value, target: Value) -> None:
        i1 = ir.Constant(I1, cond) if isinstance(cond, int) else cond
        self._next = self.builder.select(i1, lift(target), lift(self._next))

    def jump(self, target: Value) -> None:
        self._next = target

    def finish(self) -> None:
        self.builder.ret(lift(self._next))


def row_leaves(insn: Insn) -> list[str]:
    """The operand leaves of a row's function, in the order of its arguments."""
    return [*(f.name for f in insn.encoding.fields if f.name not in DESTINATIONS), *sorted(CONTEXT_LEAVES)]


def build_row(module: ir.Module, insn: Insn) -> ir.Function:
    """Add the row's function to the module."""
    sink = CallSink(module, insn)
    RowBuilder(sink.builder, sink).emit(insn)
    sink.finish()
    return sink.function
