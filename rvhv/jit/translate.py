"""A region as LLVM IR: i64 region(state*, linear*, tlb*, pc, left), all of it made from the rows.

It is entered at one of its entries with pc there, runs at most `left` steps, and returns the steps that are left; the slot pc is
where the interpreter goes on. It returns early where it cannot do an instruction, with nothing of it done.

Registers are written through to the state at each definition, and only loads become SSA values: every exit is precise for free.
A block counts its steps at its start, and what leaves in its middle gives the rest back. Blocks that close a cycle, and entries,
check that the steps are enough for every path to the next check.

A region ends in a dispatch: the page of pc is looked up in the fetch entries of the TLB, as the interpreter does it, and the
region that can be entered there is called as a tail (`musttail`, in a convention that saves no register): a jump. So there are no
links to be broken: what a store or a mapping changes, the entry of the TLB or of the page's table changes.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from llvmlite import ir

from rvhv.core.memory import PAGE
from rvhv.core.ops import Assist
from rvhv.core.registry import ISA
from rvhv.cpu.state import (
    CODE_ENTRIES,
    CODE_HITS,
    DATA_WORDS,
    FETCH_WORDS,
    LEAST_ENTRY,
    NO_RESERVATION,
    SLOT,
    STOP_TAG,
    TLB_ADDEND,
    TLB_LINEAR_R,
    TLB_LINEAR_W,
    TLB_R,
    TLB_W,
    TLB_W_BESIDE,
    Leaving,
)
from rvhv.errors import InternalError
from rvhv.isa.effects import UseFloat
from rvhv.isa.expr import MASK64
from rvhv.isa.render.llvm import I1, I8, I64, PTR, RowBuilder, Value, lift
from rvhv.jit import csrs, floating
from rvhv.jit.form import Block, Kind, Region, Step
from rvhv.jit.ir import Builder, Function
from rvhv.jit.liveness import live_at_starts, variables

CONVENTION = "" if sys.platform == "win32" else "preserve_nonecc"
ASSIST_CONVENTION = "" if sys.platform == "win32" else "preserve_mostcc"
FUNCTION = ir.FunctionType(I64, [PTR, PTR, PTR, I64, I64])
ASSIST = ir.FunctionType(I64, [PTR, I64, I64, I64, I64])
# functions of a region's own
ROW = ir.FunctionType(I1, [PTR, PTR, I64, I64, I64, I64])
MISSED_LOAD = ir.FunctionType(PTR, [PTR, PTR, I64, I64])
MISSED_STORE = ir.FunctionType(PTR, [PTR, PTR, I64, I64, I64])
LIKELY, UNLIKELY = [4000, 1], [1, 4000]
FS = 3 << 13
PAGE_BITS = 12
WHY_SHIFT = 32  # above the steps behind
DOUBLE = ir.DoubleType()
NULL = ir.Constant(PTR, None)


def name_of(offset: int) -> str:
    return f"at_{offset:03x}"


class Translator:
    """Builds one function. Also the sink of `RowBuilder` for the instruction being built."""

    def __init__(self, region: Region, tlb_bits: int, name: str, host_fma: bool) -> None:
        self.region, self.host_fma = region, host_fma
        self.tlb_mask = (1 << tlb_bits) - 1
        self.function = Function(name, FUNCTION, ("state", "linear", "tlb", "pc", "left"), CONVENTION)
        self.state, self.linear, self.tlb, self.pc, self.left_in = self.function.args
        self.entry = self.function.append_basic_block("entry")
        self.builder = Builder(self.function, self.entry)
        self.blocks = {at: self.function.append_basic_block(name_of(at)) for at in region.blocks}
        self.dispatch = self.function.append_basic_block("dispatch")
        self.route = self.function.append_basic_block("route")  # jumps through a register that are no returns
        self.leave = self.function.append_basic_block("leave")
        leave = Builder(self.function, self.leave)
        self._entered: dict[int, Any] = {}
        self._leave_phis = [leave.phi(I64) for _ in range(2)]
        self.live, self.variables = live_at_starts(region), variables(region)
        self.registers: dict[str, Any] = {}  # those with a variable in the current block
        self._all_registers: dict[str, Any] = {}
        self._own: dict[str, Function] = {}
        self.step: Step
        self.left: ir.Value  # after the whole block
        self.behind = 0  # steps of the block from the current instruction on
        self._float_checked = False

    # -- the function

    def build(self) -> Function:
        b = self.builder
        self.left_var = b.alloca(I64, name="left")
        self.next_pc = b.alloca(I64, name="next_pc")
        self.page = b.and_(self.pc, ir.Constant(I64, -PAGE))
        b.store(self.left_in, self.left_var)
        for register in sorted(frozenset[str]().union(*self.variables.values())):
            self._all_registers[register] = b.alloca(DOUBLE if register[0] == "f" else I64)
        self.float_used = any(self._uses_float(s) for block in self.region.blocks.values() for s in block.steps)
        if self.float_used:
            self._float_entry()
        where = b.and_(self.pc, ir.Constant(I64, PAGE - 1))
        entries = self.region.entries
        switch = b.switch(where, self._enter(entries[0]))
        for at in entries[1:]:
            switch.add_case(ir.Constant(I64, at), self._enter(at))
        for at, block in self.region.blocks.items():
            self.builder = Builder(self.function, self.blocks[at])
            self.registers = {r: self._all_registers[r] for r in self.variables[at]}
            self._block(at, block)
        self.builder = Builder(self.function, self.dispatch)
        self._dispatch()
        self.builder = Builder(self.function, self.route)
        self._switch(self.builder.load(self.next_pc, typ=I64), self.region.entries)
        self.builder = Builder(self.function, self.leave)
        place, left = self._leave_phis
        b = self.builder
        self.store_slot("pc", b.add(self.page, b.and_(place, self.const(PAGE - 1))))
        self.store_slot("leaving", b.lshr(place, self.const(WHY_SHIFT)))
        behind = b.and_(b.lshr(place, self.const(PAGE_BITS)), self.const((1 << WHY_SHIFT - PAGE_BITS) - 1))
        b.ret(b.add(left, behind))
        return self.function

    def _enter(self, at: int) -> Any:
        """A block that loads the registers the code at an offset needs."""
        if at not in self._entered:
            self._entered[at] = block = self.function.append_basic_block(f"enter_{at:03x}")
            b = Builder(self.function, block)
            self._load_variables(b, self.variables[at] & self.live[at])
            b.branch(self.blocks[at])
        return self._entered[at]

    def _load_variables(self, b: Builder, registers: Iterable[str]) -> None:
        for register in sorted(registers):
            value = b.load(self._slot(register, b), typ=DOUBLE if register[0] == "f" else I64)
            b.store(value, self._all_registers[register])

    @staticmethod
    def _uses_float(step: Step) -> bool:
        return any(isinstance(e, UseFloat) for e in step.insn.effects)

    def _float_entry(self) -> None:
        """Whether floating point is on, with nothing to be noted when it is used; and whether rounding is what the host does."""
        b = self.builder
        on = b.and_(self.load_slot("mstatus"), b.or_(self.load_slot("vsstatus"), b.sub(self.load_slot("v"), self.const(1))))
        self.float_on = b.icmp_unsigned("==", b.and_(on, self.const(FS)), self.const(FS))
        self.rounds_var = b.alloca(I1, name="rounds")
        self.refresh_rounding()

    def refresh_rounding(self) -> None:
        """NX is set already and frm is round-to-nearest-even."""
        b = self.builder
        modes = b.and_(self.load_slot("fcsr"), self.const(floating.NX | floating.FRM))
        b.store(b.icmp_unsigned("==", modes, self.const(floating.NX)), self.rounds_var)

    def _block(self, at: int, block: Block) -> None:
        b = self.builder
        count = len(block.steps) - (block.last.kind is Kind.LEAVE)
        left = b.load(self.left_var, typ=I64)
        if block.head:
            enough = self.function.append_basic_block()
            self._leaving(Leaving.BUDGET, at, left, 0)
            b.cbranch(b.icmp_unsigned(">=", left, self.const(block.need)), enough, self.leave).set_weights(LIKELY)
            b.position_at_end(enough)
        self.left = b.sub(left, self.const(count))
        b.store(self.left, self.left_var)
        self._float_checked = False
        for i, step in enumerate(block.steps):
            self.step, self.behind = step, count - i
            self._step(step)
        if not block.last.kind.ends:
            self.go(block.last.next)

    def _step(self, step: Step) -> None:
        match step.kind:
            case Kind.NOTHING:
                pass
            case Kind.LEAVE:
                self._leaving(Leaving.INSTRUCTION, step.offset, self.left, 0)
                self.builder.branch(self.leave)
            case Kind.ASSIST:
                self.assist_row()
                self.reload_destination()
                if self.float_used:
                    self.refresh_rounding()
            case Kind.FLOAT:
                self._float(step)
            case _:
                RowBuilder(self.builder, self).emit(step.insn)

    def _leaving(self, why: Leaving, offset: int, left: ir.Value, behind: int) -> None:
        """The current block is about to branch to the one that leaves: the interpreter goes on at `offset`, with so many steps
        left and those behind it."""
        place = self.const(why << WHY_SHIFT | behind << PAGE_BITS | offset)
        for phi, value in zip(self._leave_phis, (place, left), strict=True):
            phi.add_incoming(value, self.builder.block)

    def require(self, condition: ir.Value, weights: list[int] = LIKELY) -> None:
        """Go on if it holds, else leave."""
        fine = self.function.append_basic_block()
        self._leaving(Leaving.REFUSED, self.step.offset, self.left, self.behind)
        self.builder.cbranch(condition, fine, self.leave).set_weights(weights)
        self.builder.position_at_end(fine)

    def split(self, condition: ir.Value, usual: Callable[[], ir.Value], seldom: Callable[[], ir.Value]) -> ir.Value:
        """One value out of two ways to get it."""
        yes, no, join = (self.function.append_basic_block() for _ in range(3))
        self.builder.cbranch(condition, yes, no).set_weights(LIKELY)
        arms = []
        for block, make in ((yes, usual), (no, seldom)):
            self.builder.position_at_end(block)
            value = make()
            arms.append((value, self.builder.block))
            self.builder.branch(join)
        self.builder.position_at_end(join)
        phi = self.builder.phi(arms[0][0].type)
        for value, block in arms:
            phi.add_incoming(value, block)
        return phi

    def go(self, offset: int) -> None:
        """Control goes to an offset that is known."""
        if offset in self.blocks:
            self._load_variables(self.builder, self.variables[offset] & self.live[offset] - self.registers.keys())
            self.builder.branch(self.blocks[offset])
        else:
            self.go_to(self.builder.add(self.page, self.const(offset)))

    def go_to(self, target: ir.Value) -> None:
        self.builder.store(target, self.next_pc)
        self.builder.branch(self.dispatch)

    def _dispatch(self) -> None:
        b, const = self.builder, self.const
        pc = b.load(self.next_pc, typ=I64)
        left = b.load(self.left_var, typ=I64)
        found, enter, out = (self.function.append_basic_block(n) for n in ("found", "go_on", "out"))
        index = b.and_(b.lshr(pc, const(12)), const(self.tlb_mask))
        words = b.add(b.mul(index, const(FETCH_WORDS)), const((self.tlb_mask + 1) * DATA_WORDS))
        fetch = b.gep(self.tlb, [words], source_etype=I64)
        page = b.load(fetch, typ=I64)
        why = Builder(self.function, out).phi(I64)
        why.add_incoming(const(Leaving.PAGE), b.block)
        b.cbranch(b.icmp_unsigned("==", page, b.and_(pc, const(-PAGE))), found, out).set_weights(LIKELY)
        b.position_at_end(found)
        base = b.load(b.gep(fetch, [const(1)], source_etype=I64), typ=I64)
        code = b.inttoptr(self.load_slot("code_address"), PTR)
        at = b.add(b.add(base, const(CODE_ENTRIES)), b.lshr(b.and_(pc, const(PAGE - 1)), const(1)))
        entry = b.load(b.gep(code, [at], source_etype=I64), typ=I64)
        why.add_incoming(const(Leaving.UNTRANSLATED), b.block)
        b.cbranch(b.icmp_unsigned(">=", entry, const(LEAST_ENTRY)), enter, out).set_weights(LIKELY)
        b.position_at_end(enter)
        hits = b.gep(code, [b.add(at, const(CODE_HITS - CODE_ENTRIES))], source_etype=I64)
        b.store(b.add(b.load(hits, typ=I64), const(1)), hits)
        arguments = [self.state, self.linear, self.tlb, pc, left]
        b.ret(b.call(b.inttoptr(entry, PTR), FUNCTION, arguments, CONVENTION, "musttail"))
        b.position_at_end(out)
        self.store_slot("pc", pc)
        self.store_slot("leaving", why)
        b.ret(left)

    # -- the state

    @staticmethod
    def const(value: int) -> ir.Constant:
        return ir.Constant(I64, value & MASK64)

    def _slot(self, name: str, builder: ir.IRBuilder | None = None) -> ir.Value:
        return (builder or self.builder).gep(self.state, [self.const(SLOT[name])], source_etype=I64)

    def load_slot(self, name: str) -> ir.Value:
        return self.builder.load(self._slot(name), typ=I64)

    def store_slot(self, name: str, value: ir.Value) -> None:
        self.builder.store(value, self._slot(name))

    def assist(self, what: Assist, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
        """Have the machine do it; whether it did."""
        door = self.builder.inttoptr(self.load_slot("assist"), PTR)
        context = self.builder.inttoptr(self.load_slot("context_address"), PTR)
        answer = self.builder.call(door, ASSIST, [context, self.const(what), a, b, c], ASSIST_CONVENTION)
        return self.builder.icmp_unsigned("==", answer, self.const(0))

    def assist_row(self) -> None:
        """Have the machine do the current instruction on the state, or leave."""
        b, step = self.builder, self.step
        pc = b.add(self.page, self.const(step.offset))
        given = [self.const(step.word), pc, b.add(pc, self.const(step.length)), self.steps_left()]
        self.require(self._call("do_row", ROW, self._do_row, given))

    def _do_row(self, word: ir.Value, pc: ir.Value, npc: ir.Value, left: ir.Value) -> None:
        self.store_slot("left", left)
        self.builder.ret(self.assist(Assist.ROW, word, pc, npc))

    def _call(self, name: str, type_: ir.FunctionType, body: Callable[..., None], args: Sequence[ir.Value]) -> ir.Value:
        """Call a function of the region's own, which `body` writes when it is called for the first time: what is seldom done, and
        would take long to compile wherever it may have to be."""
        if name not in self._own:
            names = ("state", "tlb", *(f"a{i}" for i in range(len(args))))
            self._own[name] = function = Function(name, type_, names, ASSIST_CONVENTION, of=self.function)
            kept = self.function, self.builder, self.state, self.tlb
            self.function, self.state, self.tlb = function, *function.args[:2]
            self.builder = Builder(function, function.append_basic_block())
            body(*function.args[2:])
            self.function, self.builder, self.state, self.tlb = kept
        return self.builder.call(name, type_, [self.state, self.tlb, *args], ASSIST_CONVENTION)

    def steps_left(self) -> ir.Value:
        """Before the current instruction."""
        return self.builder.add(self.left, self.const(self.behind))

    def reload_destination(self) -> None:
        for field, file in (("rd", "x"), ("frd", "f")):
            register = f"{file}{self.step.fields.get(field, 0)}"
            if field in self.step.insn.encoding.by_name and register in self.registers:
                value = self.builder.load(self._slot(register), typ=DOUBLE if file == "f" else I64)
                self.builder.store(value, self.registers[register])

    def read(self, register: str) -> ir.Value:
        """A register, from its variable if it has one."""
        where = self.registers.get(register) or self._slot(register)
        return self.builder.load(where, typ=DOUBLE if register[0] == "f" else I64)

    def write(self, register: str, value: ir.Value) -> None:
        self.builder.store(value, self._slot(register))
        if register in self.registers:
            self.builder.store(value, self.registers[register])

    def double(self, field: str) -> ir.Value:
        """An F register as a number."""
        return self.read(f"f{self.step.fields[field]}")

    # -- the sink

    def operand(self, name: str) -> Value:
        step = self.step
        match name:
            case "pc":
                return self.builder.add(self.page, self.const(step.offset))
            case "npc":
                return self.builder.add(self.page, self.const(step.next))
            case "rs1" | "rs2" | "rd_value":
                n = step.fields["rd" if name == "rd_value" else name]
                return self.read(f"x{n}") if n else 0
            case "frs1" | "frs2" | "frs3":
                return self.builder.bitcast(self.double(name), I64)
            case "rd_index" | "rs1_index" | "rs2_index":
                return step.fields[name.removesuffix("_index")]
        return step.fields[name] & MASK64

    def write_rd(self, value: Value) -> None:
        register = f"x{self.step.fields['rd']}"
        if register != "x0":
            self.write(register, lift(value))

    def write_frd(self, value: Value) -> None:
        self.write(f"f{self.step.fields['frd']}", self.builder.bitcast(lift(value), DOUBLE))

    def use_float(self, rm: Value) -> Value:
        if not self._float_checked:
            self.require(self.float_on)
            self._float_checked = True
        return 0  # only `_float` would need it

    def _float(self, step: Step) -> None:
        self.use_float(0)
        inlined = floating.inline(self)

        def soft() -> ir.Value:
            self.assist_row()
            self.refresh_rounding()
            return self.builder.load(self._slot(destination), typ=type_)

        destination = f"f{step.fields['frd']}" if "frd" in step.fields else f"x{step.fields['rd']}"
        type_ = DOUBLE if destination[0] == "f" else I64
        if destination == "x0" or inlined is None:
            self.assist_row()
            self.refresh_rounding()
            self.reload_destination()
            return
        condition, value = inlined
        result = value if condition is None else self.split(condition, lambda: value, soft)
        self.write(destination, result)

    def float_op(self, op: str, fmt: str, mode: Value, args: tuple[Value, ...]) -> Value:
        raise InternalError(f"a floating-point operation {op} that is not alone in its row")

    def _entry(self, addr: ir.Value, low: ir.Value) -> tuple[ir.Value, ir.Value]:
        """The TLB entry of an access of `low` + 1 bytes, and its tag when it hits: the page, of an access that is aligned."""
        b = self.builder
        shift = 12 - (DATA_WORDS * 8).bit_length() + 1
        index = b.and_(b.lshr(addr, self.const(shift)), self.const(self.tlb_mask << (12 - shift)))
        kept = self.const(-PAGE | low.constant) if isinstance(low, ir.Constant) else b.or_(low, self.const(-PAGE))
        return b.gep(self.tlb, [index], source_etype=I8), b.and_(addr, kept)

    def _hits(self, entry: ir.Value, tag: int, wanted: ir.Value) -> ir.Value:
        known = self.builder.load(self.builder.gep(entry, [self.const(8 * tag)], source_etype=I8), typ=I64)
        return self.builder.icmp_unsigned("==", known, wanted)

    def _passes(self, addr: ir.Value) -> ir.Value:
        """Whether nothing stops an aligned access in the line that it is to, on a page on which something may."""
        b = self.builder
        line = b.and_(b.lshr(addr, self.const(6)), self.const(63))
        return b.not_(b.trunc(b.lshr(self.load_slot("stop_lines"), line), I1))

    def _linear(self, addr: ir.Value) -> ir.Value:
        """Where an access is that has the bank's linear addend."""
        return self.builder.gep(self.linear, [addr], source_etype=I8)

    def _offset(self, addr: ir.Value, entry: ir.Value) -> ir.Value:
        """The offset into RAM of an access, by the addend of its entry."""
        addend = self.builder.load(self.builder.gep(entry, [self.const(8 * TLB_ADDEND)], source_etype=I8), typ=I64)
        return self.builder.add(addr, addend)

    def _ram(self, offset: ir.Value) -> ir.Value:
        ram = self.builder.inttoptr(self.load_slot("ram_address"), PTR)
        return self.builder.gep(ram, [offset], source_etype=I8)

    def _extend(self, value: ir.Value, size: int, signed: bool) -> ir.Value:
        if size == 8:
            return value
        return (self.builder.sext if signed else self.builder.zext)(value, I64)

    def load(self, addr: Value, size: int, signed: bool, via: str) -> Value:
        va, narrow, low = lift(addr), ir.IntType(8 * size), self.const(size - 1)
        entry, wanted = self._entry(va, low)

        def load_at(where: ir.Value) -> ir.Value:
            return self._extend(self.builder.load(where, typ=narrow, align=1), size, signed)

        def linear() -> ir.Value:
            return load_at(self._linear(va))

        def other() -> ir.Value:
            return self.split(self._hits(entry, TLB_R, wanted), by_addend, seldom)

        def by_addend() -> ir.Value:
            return load_at(self._ram(self._offset(va, entry)))

        def seldom() -> ir.Value:
            where = self._call("missed_load", MISSED_LOAD, self._missed_load, [va, low])
            self.require(self._is_some(where))
            return load_at(where)

        return self.split(self._hits(entry, TLB_LINEAR_R, wanted), linear, other)

    def _missed_load(self, va: ir.Value, low: ir.Value) -> None:
        """Where to load from, or null."""
        b = self.builder
        entry, wanted = self._entry(va, low)
        self._beside(entry, TLB_R, wanted, va)
        fine = self.assist(Assist.LOAD, va, b.add(low, self.const(1)), self.const(0))
        self.builder.ret(self.builder.select(fine, self._slot("value"), NULL))

    def _beside(self, entry: ir.Value, tag: int, wanted: ir.Value, va: ir.Value) -> None:
        """Return where an access goes to a page on which something may stop, if it is to a line on which nothing does."""
        b = self.builder
        fine = b.and_(self._hits(entry, tag, b.or_(wanted, self.const(STOP_TAG))), self._passes(va))
        beside, ask = self.function.append_basic_block(), self.function.append_basic_block()
        b.cbranch(fine, beside, ask).set_weights(LIKELY)
        b.position_at_end(beside)
        b.ret(self._ram(self._offset(va, entry)))
        b.position_at_end(ask)

    def _is_some(self, pointer: ir.Value) -> ir.Value:
        return self.builder.icmp_unsigned("!=", pointer, NULL)

    def store(self, addr: Value, value: Value, size: int, via: str) -> None:
        b, va, stored, narrow, low = self.builder, lift(addr), lift(value), ir.IntType(8 * size), self.const(size - 1)
        entry, wanted = self._entry(va, low)
        linear, other, by_addend, seldom, join = (self.function.append_basic_block() for _ in range(5))
        small = b.trunc(stored, narrow) if size < 8 else stored
        b.cbranch(self._hits(entry, TLB_LINEAR_W, wanted), linear, other).set_weights(LIKELY)
        b.position_at_end(linear)
        b.store(small, self._linear(va), align=1)
        b.branch(join)
        b.position_at_end(other)
        b.cbranch(self._hits(entry, TLB_W, wanted), by_addend, seldom).set_weights(LIKELY)
        b.position_at_end(by_addend)
        b.store(small, self._ram(self._offset(va, entry)), align=1)
        b.branch(join)
        b.position_at_end(seldom)
        where = self._call("missed_store", MISSED_STORE, self._missed_store, [va, low, stored])
        self.require(self._is_some(where))
        b.store(small, where, align=1)
        b.branch(join)
        b.position_at_end(join)

    def _missed_store(self, va: ir.Value, low: ir.Value, value: ir.Value) -> None:
        """Where to store to, or null: what the machine has stored may be stored once more, where it does not matter."""
        entry, wanted = self._entry(va, low)
        self._beside(entry, TLB_W_BESIDE, wanted, va)
        fine = self.assist(Assist.STORE, va, value, self.builder.add(low, self.const(1)))
        self.builder.ret(self.builder.select(fine, self._slot("value"), NULL))

    def _atomic(self, addr: ir.Value, size: int, tag: int) -> ir.Value:
        """Where in RAM an aligned atomic access goes; leaves where that is not known."""
        entry, wanted = self._entry(addr, self.const(size - 1))
        self.require(self._hits(entry, tag, wanted))
        return self._offset(addr, entry)

    def amo(self, addr: Value, size: int, update: Callable[[Value], Value]) -> Value:
        narrow = ir.IntType(8 * size)
        where = self._ram(self._atomic(lift(addr), size, TLB_W))
        old = self._extend(self.builder.load(where, typ=narrow, align=1), size, True)
        new = lift(update(old))
        self.builder.store(self.builder.trunc(new, narrow) if size < 8 else new, where, align=1)
        return old

    def lr(self, addr: Value, size: int) -> Value:
        offset = self._atomic(lift(addr), size, TLB_R)
        self.store_slot("reservation", self.builder.add(offset, self.load_slot("ram_base")))
        self.store_slot("reservation_size", self.const(size))
        value = self.builder.load(self._ram(offset), typ=ir.IntType(8 * size), align=1)
        return self._extend(value, size, True)

    def sc(self, addr: Value, value: Value, size: int) -> Value:
        b, stored = self.builder, lift(value)
        offset = self._atomic(lift(addr), size, TLB_W)
        same = b.icmp_unsigned("==", self.load_slot("reservation"), b.add(offset, self.load_slot("ram_base")))
        held = b.and_(same, b.icmp_unsigned("==", self.load_slot("reservation_size"), self.const(size)))
        self.store_slot("reservation", self.const(NO_RESERVATION))
        store, join = self.function.append_basic_block(), self.function.append_basic_block()
        b.cbranch(held, store, join)
        b.position_at_end(store)
        b.store(b.trunc(stored, ir.IntType(8 * size)) if size < 8 else stored, self._ram(offset), align=1)
        b.branch(join)
        b.position_at_end(join)
        return b.zext(b.not_(held), I64)

    def csr(self, csr: Value, update: Callable[[Value], Value], reads: Value, writes: Value) -> Value:
        assert isinstance(csr, int) and isinstance(reads, int) and isinstance(writes, int)
        return csrs.access(self, ISA.csr_by_number[csr], update, bool(writes))

    def call(self, helper: str, args: tuple[Value, ...]) -> None:
        raise InternalError(f"{helper} is the interpreter's")

    def branch(self, cond: Value, target: Value) -> None:
        if isinstance(cond, int):
            self.go(self.step.target if cond else self.step.next)
            return
        taken, other = self.function.append_basic_block(), self.function.append_basic_block()
        self.builder.cbranch(cond, taken, other)
        self.builder.position_at_end(taken)
        self.go(self.step.target)
        self.builder.position_at_end(other)
        self.go(self.step.next)

    def jump(self, target: Value) -> None:
        if self.step.kind is Kind.JUMP:
            self.go(self.step.target)
            return
        if not self._returns():
            self.builder.store(lift(target), self.next_pc)
            self.builder.branch(self.route)
            return
        if not self.region.returns:
            self.go_to(lift(target))
            return
        self._switch(lift(target), self.region.returns)

    def _switch(self, target: ir.Value, known: Sequence[int]) -> None:
        """To a block of this region, if the target is one of these, else out."""
        out = self.function.append_basic_block()
        switch = self.builder.switch(self.builder.sub(target, self.page), out)
        for at in known:
            switch.add_case(self.const(at), self._enter(at))
        self.builder.position_at_end(out)
        self.go_to(target)

    def _returns(self) -> bool:
        """Whether a jump through a register is a return, by the hints of the specification."""
        return self.step.fields["rd"] == 0 and self.step.fields["rs1"] in (1, 5)


def translate(region: Region, tlb_bits: int, name: str = "region", *, host_fma: bool = False) -> str:
    """The LLVM assembly of a region for TLB banks of 2**tlb_bits entries; `host_fma`: the host has a fused multiply-add."""
    return str(Translator(region, tlb_bits, name, host_fma).build())
