"""LLVM assembly as text: the builder that `RowBuilder` and the translator write with.

It has the methods of `llvmlite.ir.IRBuilder` that they use. llvmlite makes an object of each instruction and its operands first,
which takes ten times as long, and more than compiling the result does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from llvmlite import ir

I1, I64 = ir.IntType(1), ir.IntType(64)
NAMES: dict[Any, str] = {}  # of types
COUNTS = {"ctlz": True, "cttz": True, "ctpop": False, "bswap": False, "bitreverse": False}


def type_name(type_: ir.Type) -> str:
    name = NAMES.get(type_)
    if name is None:
        name = NAMES[type_] = "ptr" if isinstance(type_, ir.PointerType) else str(type_)
    return name


class Value:
    """A result or an argument."""

    __slots__ = ("name", "type")

    def __init__(self, name: str, type_: ir.Type) -> None:
        self.name, self.type = name, type_


Operand = "Value | ir.Constant"


def ref(value: Any) -> str:
    """How an instruction names a value."""
    if isinstance(value, Value):
        return value.name
    constant = value.constant
    return str(int(constant)) if isinstance(constant, int) else str(value.get_reference())


class Block:
    """A basic block: its lines as they are written."""

    __slots__ = ("lines", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: list[str] = []


class Weighted:
    """A conditional branch, to which weights can be given."""

    def __init__(self, function: Function, block: Block) -> None:
        self._function, self._block = function, block

    def set_weights(self, weights: Sequence[int]) -> None:
        self._block.lines[-1] += f", !prof !{self._function.weights(tuple(weights))}"


class Switch:
    """A switch, to which cases can be added until the function is printed."""

    def __init__(self, builder: Builder, value: Any, default: Block) -> None:
        self._block, self._at = builder.block, len(builder.block.lines)
        self._head = f"switch i64 {ref(value)}, label %{default.name} ["
        self._cases = ""
        builder.block.lines.append(self._head + "]")

    def add_case(self, value: Any, block: Block) -> None:
        self._cases += f" i64 {ref(value)}, label %{block.name}"
        self._block.lines[self._at] = f"{self._head}{self._cases} ]"


class Phi(Value):
    """A phi, to which values can be added until the function is printed."""

    __slots__ = ("_at", "_block", "_incoming")

    def __init__(self, name: str, type_: ir.Type, block: Block) -> None:
        super().__init__(name, type_)
        self._block, self._at, self._incoming = block, len(block.lines), list[str]()
        block.lines.append("")

    def add_incoming(self, value: Any, block: Block) -> None:
        self._incoming.append(f"[ {ref(value)}, %{block.name} ]")
        self._block.lines[self._at] = f"{self.name} = phi {type_name(self.type)} {', '.join(self._incoming)}"


class Function:
    """A module with one function, what it declares, and functions of its own that it calls."""

    def __init__(
        self, name: str, type_: ir.FunctionType, arguments: Sequence[str], convention: str, *, of: Function | None = None
    ) -> None:
        """`of`: the function that calls this one; nobody else sees it, and its code stands once."""
        self.name, self.type, self.convention = name, type_, convention
        self.args = [Value(f"%{n}", t) for n, t in zip(arguments, type_.args, strict=True)]
        self._blocks: list[Block] = []
        self._declared: dict[str, str] = {} if of is None else of._declared
        self._weights: dict[tuple[int, ...], int] = {} if of is None else of._weights
        self._own: list[Function] = []
        self._made_for: dict[Block, list[int]] = {}  # lines of the source for a block's lines, where that is noted
        self._is_own, self._prefix = of is not None, "b" if of is None else name
        if of is not None:
            of._own.append(self)
        self.temporaries = 0

    def append_basic_block(self, name: str = "") -> Block:
        block = Block(f"{name or self._prefix}.{len(self._blocks)}")
        self._blocks.append(block)
        return block

    def weights(self, weights: tuple[int, ...]) -> int:
        """The number of the metadata that says so."""
        return self._weights.setdefault(weights, len(self._weights))

    def locate(self, line: int) -> None:
        """What was written since the last call was made for a line of the source, 1 and up: debug information will say so. There
        is none without a call; else one has to be the last thing done to the function."""
        for block in self._blocks:
            noted = self._made_for.setdefault(block, [])
            noted += [line] * (len(block.lines) - len(noted))

    def declare(self, name: str, result: ir.Type, arguments: Iterable[ir.Type]) -> None:
        self._declared[name] = f"declare {type_name(result)} @{name}({', '.join(map(type_name, arguments))})"

    def _defined(self) -> list[str]:
        arguments = ", ".join(f"{type_name(a.type)} {a.name}" for a in self.args)
        linkage, attributes = ("internal", "noinline cold") if self._is_own else ("", "")
        result = type_name(self.type.return_type)
        scope = f"!dbg !{len(self._weights)} " if self._made_for else ""
        lines = [f"define {linkage} {self.convention} {result} @{self.name}({arguments}) {attributes} {scope}{{"]
        for block in self._blocks:
            lines.append(f"{block.name}:")
            lines += self._located(block) if self._made_for else block.lines
        return [*lines, "}"]

    def _located(self, block: Block) -> Iterable[str]:
        for line, source in zip(block.lines, self._made_for[block], strict=True):
            yield f"{line}, !dbg !DILocation(line: {source}, scope: !{len(self._weights)})"

    def _debug_information(self) -> list[str]:
        """The metadata, numbered behind the weights."""
        scope, unit, file, version = (len(self._weights) + i for i in range(4))
        return [
            f'!{scope} = distinct !DISubprogram(name: "{self.name}", file: !{file}, unit: !{unit}, spFlags: DISPFlagDefinition)',
            f"!{unit} = distinct !DICompileUnit(language: DW_LANG_C, file: !{file}, emissionKind: LineTablesOnly)",
            f'!{file} = !DIFile(filename: "page", directory: "")',
            f'!{version} = !{{i32 2, !"Debug Info Version", i32 3}}',
            f"!llvm.dbg.cu = !{{!{unit}}}",
            f"!llvm.module.flags = !{{!{version}}}",
        ]

    def __str__(self) -> str:
        lines = [*self._declared.values(), *self._defined()]
        for function in self._own:
            lines += function._defined()
        for weights, number in self._weights.items():
            lines.append(f'!{number} = !{{!"branch_weights", {", ".join(f"i32 {w}" for w in weights)}}}')
        return "\n".join([*lines, *self._debug_information()] if self._made_for else lines)


def _binary(op: str) -> Any:
    def method(self: Builder, left: Any, right: Any) -> Value:
        return self.emit(left.type, f"{op} {type_name(left.type)} {ref(left)}, {ref(right)}")

    return method


def _cast(op: str) -> Any:
    def method(self: Builder, value: Any, type_: ir.Type) -> Any:
        if value.type is type_:
            return value
        return self.emit(type_, f"{op} {type_name(value.type)} {ref(value)} to {type_name(type_)}")

    return method


def _count(op: str, flag: bool) -> Any:
    def method(self: Builder, value: Any, at_zero: Any = None) -> Value:
        name = f"llvm.{op}.{type_name(value.type)}"
        self.function.declare(name, value.type, [value.type, I1] if flag else [value.type])
        more = f", i1 {ref(at_zero)}" if flag else ""
        return self.emit(value.type, f"call {type_name(value.type)} @{name}({type_name(value.type)} {ref(value)}{more})")

    return method


class Builder:
    """Writes at the end of a block."""

    def __init__(self, function: Function, block: Block) -> None:
        self.function, self.block = function, block

    def position_at_end(self, block: Block) -> None:
        self.block = block

    def emit(self, type_: ir.Type, text: str) -> Value:
        self.function.temporaries += 1
        name = f"%t{self.function.temporaries}"
        self.block.lines.append(f"{name} = {text}")
        return Value(name, type_)

    add, sub, mul, and_, or_, xor = (_binary(op) for op in ("add", "sub", "mul", "and", "or", "xor"))
    shl, lshr, ashr, udiv, urem, sdiv, srem = (_binary(op) for op in ("shl", "lshr", "ashr", "udiv", "urem", "sdiv", "srem"))
    fadd, fsub, fmul, fdiv = (_binary(op) for op in ("fadd", "fsub", "fmul", "fdiv"))
    trunc, zext, sext, bitcast = (_cast(op) for op in ("trunc", "zext", "sext", "bitcast"))
    sitofp, uitofp, fptosi, fptoui, inttoptr = (_cast(op) for op in ("sitofp", "uitofp", "fptosi", "fptoui", "inttoptr"))
    fptrunc, fpext = (_cast(op) for op in ("fptrunc", "fpext"))
    ctlz, cttz, ctpop, bswap, bitreverse = (_count(op, flag) for op, flag in COUNTS.items())

    def not_(self, value: Any) -> Value:
        return self.emit(value.type, f"xor {type_name(value.type)} {ref(value)}, -1")

    def fneg(self, value: Any) -> Value:
        return self.emit(value.type, f"fneg {type_name(value.type)} {ref(value)}")

    def extract_element(self, vector: Any, index: int) -> Value:
        return self.emit(vector.type.element, f"extractelement {type_name(vector.type)} {ref(vector)}, i32 {index}")

    def insert_element(self, vector: Any, value: Any, index: int) -> Value:
        given = f"{type_name(vector.type)} {ref(vector)}, {type_name(value.type)} {ref(value)}"
        return self.emit(vector.type, f"insertelement {given}, i32 {index}")

    def select(self, condition: Any, yes: Any, no: Any) -> Value:
        name = type_name(yes.type)
        return self.emit(yes.type, f"select i1 {ref(condition)}, {name} {ref(yes)}, {name} {ref(no)}")

    def icmp_unsigned(self, symbol: str, left: Any, right: Any) -> Value:
        return self._compare({"==": "eq", "!=": "ne", "<": "ult", "<=": "ule", ">": "ugt", ">=": "uge"}[symbol], left, right)

    def icmp_signed(self, symbol: str, left: Any, right: Any) -> Value:
        return self._compare({"==": "eq", "!=": "ne", "<": "slt", "<=": "sle", ">": "sgt", ">=": "sge"}[symbol], left, right)

    def _compare(self, predicate: str, left: Any, right: Any) -> Value:
        return self.emit(I1, f"icmp {predicate} {type_name(left.type)} {ref(left)}, {ref(right)}")

    def fcmp_ordered(self, symbol: str, left: Any, right: Any) -> Value:
        predicate = {"==": "oeq", "<": "olt", "<=": "ole", "ord": "ord"}[symbol]
        return self.emit(I1, f"fcmp {predicate} {type_name(left.type)} {ref(left)}, {ref(right)}")

    def alloca(self, type_: ir.Type, name: str = "") -> Value:
        return self.emit(ir.PointerType(), f"alloca {type_name(type_)}, align 8")

    def load(self, pointer: Any, typ: ir.Type, align: int = 8) -> Value:
        return self.emit(typ, f"load {type_name(typ)}, ptr {ref(pointer)}, align {align}")

    def store(self, value: Any, pointer: Any, align: int = 8) -> None:
        self.block.lines.append(f"store {type_name(value.type)} {ref(value)}, ptr {ref(pointer)}, align {align}")

    def gep(self, pointer: Any, indices: Sequence[Any], source_etype: ir.Type) -> Value:
        at = ", ".join(f"{type_name(i.type)} {ref(i)}" for i in indices)
        return self.emit(pointer.type, f"getelementptr {type_name(source_etype)}, ptr {ref(pointer)}, {at}")

    def phi(self, type_: ir.Type) -> Phi:
        self.function.temporaries += 1
        return Phi(f"%t{self.function.temporaries}", type_, self.block)

    def call(self, target: Any, type_: ir.FunctionType, args: Sequence[Any], convention: str = "", tail: str = "") -> Value:
        """`target`: a pointer, or the name of what is declared."""
        name = f"@{target}" if isinstance(target, str) else ref(target)
        given = ", ".join(f"{type_name(a.type)} {ref(a)}" for a in args)
        return self.emit(type_.return_type, f"{tail} call {convention} {type_name(type_.return_type)} {name}({given})")

    def branch(self, block: Block) -> None:
        self.block.lines.append(f"br label %{block.name}")

    def cbranch(self, condition: Any, yes: Block, no: Block) -> Weighted:
        self.block.lines.append(f"br i1 {ref(condition)}, label %{yes.name}, label %{no.name}")
        return Weighted(self.function, self.block)

    def switch(self, value: Any, default: Block) -> Switch:
        return Switch(self, value, default)

    def ret(self, value: Any) -> None:
        self.block.lines.append(f"ret {type_name(value.type)} {ref(value)}")
