"""Every row three ways: the oracle, numba source and LLVM IR compute the same values and ask for the same effects.

Effects are recorded, not performed: what a load, an AMO or a CSR read gives back is drawn once and fed to all three.
"""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from numba import types

from rvhv.core.registry import ISA
from rvhv.cpu import njit as ops
from rvhv.cpu.bits import clmul
from rvhv.isa.effects import (
    FLOAT_FORMATS,
    Amo,
    Branch,
    Call,
    CsrAccess,
    Float,
    Jump,
    Load,
    LoadReserved,
    Store,
    StoreConditional,
    UseFloat,
)
from rvhv.isa.expr import MASK64, E, signed
from rvhv.isa.render.llvm import CALLS, I64, OP_NAMES, VIA, RowBuilder, build_row, lift, row_leaves
from rvhv.isa.render.numba_src import expr_source
from rvhv.isa.render.oracle import compile_row
from rvhv.isa.rows import CONTEXT_LEAVES, FLOAT_OPERANDS, REGISTER_OPERANDS, Insn, Registry
from tests.diff.states import EDGES, SCALE, SEED, rng_for, value

Log = list[tuple[object, ...]]
BATCH = 24  # rows in one njit function
HELPER_TARGET = 0x1234  # where a helper says control goes


def leaf_cases(insn: Insn) -> list[dict[str, int]]:
    """Edge operands crossed, then random ones; a field holds only what its encoding can."""
    rng = rng_for("renderers", insn.name)
    names = row_leaves(insn)
    fields = insn.encoding.by_name

    def draw(name: str) -> int:
        if name in REGISTER_OPERANDS | FLOAT_OPERANDS | {"rd_value", "pc", "npc"}:
            return value(rng)
        if name.endswith("_index"):
            return rng.choice((0, rng.randrange(32)))
        raw = rng.choice((0, fields[name].settable, rng.getrandbits(fields[name].bits) & fields[name].settable))
        if fields[name].signed and raw >> (fields[name].bits - 1):
            raw -= 1 << fields[name].bits
        return raw & MASK64

    cases = []
    if not insn.effects and {"rs1", "rs2"} <= set(names):
        edges = EDGES[::2] if SCALE <= 1 else EDGES
        cases = [{n: draw(n) for n in names} | {"rs1": a, "rs2": b} for a, b in itertools.product(edges, EDGES)]
    elif "rs1" in names:
        cases = [{n: draw(n) for n in names} | {"rs1": a} for a in EDGES]
    if {"rs1", "rs2"} <= set(names) and insn.effects:
        cases += [{n: draw(n) for n in names} | {"rs1": a, "rs2": a} for a in EDGES]
    return cases + [{n: draw(n) for n in names} for _ in range(int(40 * SCALE))]


ANSWERED = ("load", "amo_load", "lr", "sc", "csr_read", "use_float", "float_op")


@dataclass
class Recording:
    """A port that logs what it is asked for and answers from `answers`."""

    answers: list[int]
    log: Log = field(default_factory=list)

    def _answer(self) -> int:
        return self.answers[sum(entry[0] in ANSWERED for entry in self.log) - 1]

    def load(self, addr: int, size: int, signed: bool, via: str) -> int:
        self.log.append(("load", addr, size, int(signed), VIA.index(via)))
        return self._answer()

    def store(self, addr: int, stored: int, size: int, via: str) -> None:
        self.log.append(("store", addr, stored, size, VIA.index(via)))

    def amo(self, addr: int, size: int, update: Callable[[int], int]) -> int:
        self.log.append(("amo_load", addr, size))
        old = self._answer()
        self.log.append(("amo_store", addr, update(old), size))
        return old

    def lr(self, addr: int, size: int) -> int:
        self.log.append(("lr", addr, size))
        return self._answer()

    def sc(self, addr: int, stored: int, size: int) -> int:
        self.log.append(("sc", addr, stored, size))
        return self._answer()

    def csr(self, csr: int, update: Callable[[int], int], reads: int, writes: int) -> int:
        self.log.append(("csr_read", csr, reads))
        old = self._answer()
        self.log.append(("csr_write", csr, update(old), writes))
        return old

    def use_float(self, rm: int) -> int:
        self.log.append(("use_float", rm))
        return self._answer()

    def float_op(self, op: str, fmt: str, mode: int, args: tuple[int, ...]) -> int:
        self.log.append(("float_op", OP_NAMES.index(op), FLOAT_FORMATS.index(fmt), mode, *[*args, 0, 0][:3]))
        return self._answer()

    def call(self, helper: str, args: tuple[int, ...]) -> int | None:
        self.log.append((helper, *args))
        return HELPER_TARGET


def answers_for(insn: Insn, rng: random.Random, leaves: Mapping[str, int]) -> list[int]:
    """What each effect gives back; half of the time what rd holds, which compare-and-swap compares it with."""
    known = [leaves["rd_value"], signed(leaves["rd_value"], 32) & MASK64]
    return [rng.choice((value(rng), value(rng), *known)) for e in insn.effects if hasattr(e, "temp")]


def oracle_log(insn: Insn, row: Any, leaves: Mapping[str, int], answers: list[int]) -> Log:
    port = Recording(answers)
    result, target = row(port, leaves)
    return [*port.log, ("rd", result), ("next", leaves["npc"] if target is None else target)]


# -- LLVM


class Native:
    """All rows compiled as functions; the effects they call are logged through `port`."""

    def __init__(self, insns: list[Insn]) -> None:
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        self.module = ir.Module("rows")
        for insn in insns:
            build_row(self.module, insn)
        self._keep: list[object] = []
        self.port = Recording([])
        self._link()
        parsed = llvm.parse_assembly(str(self.module))
        parsed.verify()
        machine = llvm.Target.from_default_triple().create_target_machine(opt=0)
        self._engine = llvm.create_mcjit_compiler(parsed, machine)
        self._engine.finalize_object()

    def _link(self) -> None:
        for function in list(self.module.globals.values()):
            if not function.is_declaration:
                continue
            name = function.name
            returns = ctypes.c_uint64 if isinstance(function.function_type.return_type, ir.IntType) else None
            type_ = ctypes.CFUNCTYPE(returns, ctypes.c_void_p, *[ctypes.c_uint64] * (len(function.args) - 1))
            callback = type_(self._logger(name))
            self._keep.append(callback)
            llvm.add_symbol(name, ctypes.cast(callback, ctypes.c_void_p).value)

    def _logger(self, name: str) -> Callable[..., int | None]:
        short = name.removeprefix("effect_").removeprefix("helper_")
        answers = name.startswith("effect_") and isinstance(CALLS[short][0], ir.IntType)

        def log(_state: object, *args: int) -> int | None:
            self.port.log.append((short, *args))
            if answers:
                return self.port._answer()
            return HELPER_TARGET if name.startswith("helper_") else None

        return log

    def function(self, insn: Insn) -> Callable[[Mapping[str, int], list[int]], Log]:
        names = row_leaves(insn)
        type_ = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_uint64] * len(names))
        call = type_(self._engine.get_function_address(f"row_{insn.name}"))
        rd = ctypes.c_uint64()
        where = ctypes.addressof(rd)

        def run(leaves: Mapping[str, int], answers: list[int]) -> Log:
            self.port.answers, self.port.log = answers, []
            following = call(None, where, *(leaves[n] for n in names))
            return [*self.port.log, ("rd", None if insn.result is None else rd.value), ("next", following)]

        return run


@pytest.fixture(scope="module")
def native() -> Iterator[Native]:
    yield Native(list(ISA.insn_list))


@pytest.mark.parametrize("insn", ISA.insn_list, ids=lambda insn: insn.name)
def test_llvm_is_the_oracle(insn: Insn, native: Native) -> None:
    row, compiled = compile_row(insn), native.function(insn)
    rng = rng_for("answers", insn.name)
    for leaves in leaf_cases(insn):
        answers = answers_for(insn, rng, leaves)
        expected, got = oracle_log(insn, row, leaves, answers), compiled(leaves, answers)
        assert got == expected, f"LLVM != oracle: {insn.name} {leaves} answers {answers}; RVHV_DIFF_SEED={SEED}"


class KnownSink:
    """Some operands are known while building; rows without effects only."""

    def __init__(self, known: Mapping[str, int], unknown: Mapping[str, ir.Value]) -> None:
        self.known, self.unknown = known, unknown
        self.rd: ir.Value | int = 0

    def operand(self, name: str) -> ir.Value | int:
        return self.known[name] if name in self.known else self.unknown[name]

    def write_rd(self, result: ir.Value | int) -> None:
        self.rd = result


COMPUTING = [insn for insn in ISA.insn_list if not insn.effects and insn.result is not None]


def build_known(module: ir.Module, insn: Insn, known: Mapping[str, int], name: str) -> ir.Function:
    """The row as a function of the operands that are not known."""
    names = [n for n in row_leaves(insn) if n not in known]
    function = ir.Function(module, ir.FunctionType(I64, [I64] * len(names)), name)
    builder = ir.IRBuilder(function.append_basic_block())
    sink = KnownSink(known, dict(zip(names, function.args, strict=True)))
    RowBuilder(builder, sink).emit(insn)  # type: ignore[arg-type]
    builder.ret(lift(sink.rd))
    return function


def test_known_operands_fold() -> None:
    """Operands that are all known leave no instruction, and the value is the oracle's."""
    module = ir.Module("known")
    for insn in COMPUTING:
        row = compile_row(insn)
        for n, leaves in enumerate(leaf_cases(insn)[-20:]):
            function = build_known(module, insn, leaves, f"{insn.name}_{n}")
            (terminator,) = function.entry_basic_block.instructions
            assert isinstance(terminator.return_value, ir.Constant), insn.name
            assert terminator.return_value.constant == row(Recording([]), leaves)[0], (insn.name, leaves)


def test_partly_known_operands() -> None:
    """One operand known, as for x0 or an immediate of zero: the simplifications keep the value."""
    module, rng = ir.Module("partly"), rng_for("partly")
    built: list[tuple[Insn, dict[str, int], str]] = []
    for insn in COMPUTING:
        for operand in {"rs1", "rs2", "imm", "shamt"} & set(row_leaves(insn)):
            for n, v in enumerate((0, 1, MASK64) if operand != "shamt" else (0, 1, 31)):
                built.append((insn, {operand: v}, f"{insn.name}_{operand}_{n}"))
                build_known(module, *built[-1])
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    for insn, known, name in built:
        names = [n for n in row_leaves(insn) if n not in known]
        compiled = ctypes.CFUNCTYPE(ctypes.c_uint64, *[ctypes.c_uint64] * len(names))(engine.get_function_address(name))
        row = compile_row(insn)
        for leaves in rng.sample(leaf_cases(insn), 20):
            leaves |= known
            assert compiled(*(leaves[n] for n in names)) == row(Recording([]), leaves)[0], (name, leaves)


# -- numba: every expression of a row, in order, from leaves and answers


def expressions(insn: Insn) -> list[E]:
    found: list[E] = []
    for effect in insn.effects:
        match effect:
            case Load(addr=addr) | LoadReserved(addr=addr):
                found.append(addr)
            case Store(addr=addr, value=stored) | StoreConditional(addr=addr, value=stored):
                found += [addr, stored]
            case Amo(addr=addr, update=update):
                found += [addr, update]
            case CsrAccess(csr=csr, update=update, reads=reads, writes=writes):
                found += [csr, update, reads, writes]
            case Branch(cond=cond, target=target):
                found += [cond, target]
            case Jump(target=target):
                found.append(target)
            case Call(args=args):
                found += args
            case UseFloat(rm=rm):
                found.append(rm)
            case Float(mode=mode, args=args):
                found += [mode, *args]
    return found + ([] if insn.result is None else [insn.result])


def log_of(insn: Insn, values: list[int], leaves: Mapping[str, int]) -> Log:
    """The log that these values of the row's expressions mean."""
    take = iter(values)
    log: Log = []
    following = leaves["npc"]
    for effect in insn.effects:
        match effect:
            case Load(size=size, signed=signed, via=via):
                log.append(("load", next(take), size, int(signed), VIA.index(via)))
            case LoadReserved(size=size):
                log.append(("lr", next(take), size))
            case Store(size=size, via=via):
                log.append(("store", next(take), next(take), size, VIA.index(via)))
            case StoreConditional(size=size):
                log.append(("sc", next(take), next(take), size))
            case Amo(size=size):
                addr = next(take)
                log += [("amo_load", addr, size), ("amo_store", addr, next(take), size)]
            case CsrAccess():
                csr, new, reads, writes = (next(take) for _ in range(4))
                log += [("csr_read", csr, reads), ("csr_write", csr, new, writes)]
            case Branch():
                cond, target = next(take), next(take)
                following = target if cond else following
            case Jump():
                following = next(take)
            case Call(helper=helper, args=args):
                log.append((helper, *(next(take) for _ in args)))
                following = HELPER_TARGET
            case UseFloat():
                log.append(("use_float", next(take)))
            case Float(op=op, fmt=fmt, args=args):
                mode, *operands = (next(take) for _ in range(1 + len(args)))
                log.append(("float_op", OP_NAMES.index(op), FLOAT_FORMATS.index(fmt), mode, *[*operands, 0, 0][:3]))
    return [*log, ("rd", None if insn.result is None else next(take)), ("next", following)]


def inputs(insn: Insn) -> list[str]:
    return row_leaves(insn) + [e.temp for e in insn.effects if hasattr(e, "temp")]


NAMESPACE: dict[str, Any] = {
    **{name: getattr(np, long) for name, long in (("U64", "uint64"), ("I64", "int64"), ("I32", "int32"))},
    **{name: getattr(np, long) for name, long in (("I16", "int16"), ("I8", "int8"))},
    **{name: getattr(ops, name) for name in ("mulhu", "mulh", "mulhsu", "udiv", "urem", "sdiv", "srem")},
    **{name: getattr(ops, name) for name in ("clz", "ctz", "cpop", "bswap", "brev")},
    "clmul": clmul,
}


def numba_batch(insns: list[Insn]) -> Any:
    """One njit function over several rows: for each case, inputs in, every expression's value out."""
    lines = ["def batch(row, given, out):", "    for i in range(given.shape[0]):"]
    for k, insn in enumerate(insns):
        names = inputs(insn)
        lines.append(f"        {'if' if k == 0 else 'elif'} row == {k}:  # {insn.name}")
        for j, e in enumerate(expressions(insn)):
            source = expr_source(e, lambda name, names=names: f"given[i, {names.index(name)}]")  # type: ignore[misc]
            lines.append(f"            out[i, {j}] = {source}")
        lines.append("            pass")
    namespace = dict(NAMESPACE)
    exec("\n".join(lines), namespace)
    return ops.jit(namespace["batch"], _nrt=True, no_cpython_wrapper=False)  # called from Python


def check_types(compiled: Any) -> None:
    """No value became a float, as numba makes one of a uint64 and an int64; what is stored is a uint64."""
    compiled.compile((types.int64, types.uint64[:, ::1], types.uint64[:, ::1]))
    (overload,) = compiled.overloads.values()
    assert not [name for name, t in overload.type_annotation.typemap.items() if isinstance(t, types.Float)]


BATCHES = [ISA.insn_list[i : i + BATCH] for i in range(0, len(ISA.insn_list), BATCH)]


@pytest.mark.parametrize("batch", BATCHES, ids=lambda batch: f"{batch[0].name}-{batch[-1].name}")
def test_numba_is_the_oracle(batch: list[Insn]) -> None:
    compiled = numba_batch(list(batch))
    check_types(compiled)
    for k, insn in enumerate(batch):
        row, rng = compile_row(insn), rng_for("answers", insn.name)
        cases = [(leaves, answers_for(insn, rng, leaves)) for leaves in leaf_cases(insn)]
        names = row_leaves(insn)
        given = np.array([[leaves[n] for n in names] + answers for leaves, answers in cases], np.uint64)
        out = np.zeros((len(cases), 8), np.uint64)
        compiled(k, given, out)
        for (leaves, answers), values in zip(cases, out.tolist(), strict=True):
            expected, got = oracle_log(insn, row, leaves, answers), log_of(insn, values, leaves)
            assert got == expected, f"numba != oracle: {insn.name} {leaves} answers {answers}; RVHV_DIFF_SEED={SEED}"


def _with_one_row_broken() -> Insn:
    isa = Registry()
    isa.insn("I", "sub", "0100000 rs2 rs1 000 rd 0110011", "rd, rs1, rs2", lambda rs1, rs2: rs2 - rs1)
    return isa.insns["sub"]


def test_a_broken_row_is_seen(native: Native) -> None:
    """The comparison itself can fail: a row that subtracts the wrong way round differs from what was compiled."""
    wrong, leaves = compile_row(_with_one_row_broken()), {"rs1": 5, "rs2": 3} | dict.fromkeys(CONTEXT_LEAVES, 0)
    assert oracle_log(ISA.insns["sub"], wrong, leaves, []) != native.function(ISA.insns["sub"])(leaves, [])
