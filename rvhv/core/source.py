"""The interpreter as numba source, generated from the rows.

One function holds the hot rows inline; each other row is a branch of a family function. Everything not made from rows
(translation, traps, decoding) is imported from the hand-written njit modules. No tier-specific semantics is written
here: only where operands live.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from rvhv.cpu.csrs import COUNTED
from rvhv.cpu.predecode import RD_SHIFT, RS1_SHIFT, RS2_SHIFT, op_numbers, placement
from rvhv.cpu.state import DATA_WORDS
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
from rvhv.isa.expr import E
from rvhv.isa.render.numba_src import condition_source, expr_source
from rvhv.isa.rows import FLOAT_OPERANDS, REGISTER_OPERANDS, Csr, Insn, Registry

HEADER = '''"""Generated from the rows by rvhv.core.source; do not edit."""
import numpy as np

from rvhv.core.access import (
    amo_begin, amocas_q, fetch_cross, fetch_marked, load_reserved, load_slow, store_conditional, store_slow,
)
from rvhv.core.cache_blocks import cache_block
from rvhv.core.privileged import (
    csr_exists, csr_is_plain, csr_is_stored, csr_reach, csr_row, csr_word, ebreak, ecall, fence_i, hfence_gvma, hfence_vvma,
    hypervisor_access, illegal, mret, note_csr, sfence_inval, sfence_vma, sret, stored_read, stored_write, virtual_instruction,
    wfi, wrs_nto,
)
from rvhv.cpu.bits import clmul
from rvhv.cpu.clock import pending_now
from rvhv.cpu.decode import decode_at, decode_word
from rvhv.cpu.floating import (
    float_dirty, float_mode, fp_add, fp_class, fp_convert, fp_div, fp_eq, fp_from_integer, fp_le, fp_lt, fp_madd, fp_max, fp_min,
    fp_msub, fp_mul, fp_nmadd, fp_nmsub, fp_sgnj, fp_sgnjn, fp_sgnjx, fp_sqrt, fp_sub, fp_to_integer,
)
from rvhv.cpu.frames import store_phys
from rvhv.cpu.njit import (
    brev, bswap, clz, cpop, ctz, jit, ld8, ld16, ld32, ld64, mulh, mulhsu, mulhu, sdiv, srem, st8, st16, st32, st64, udiv, urem,
)
from rvhv.cpu.regions import enter_region
from rvhv.cpu.slots import (
    CODE_FRAME, F0, FAULT_CROSS, FAULT_MMIO, FAULT_NONE, FAULT_REFRESH, FAULT_STOP, FAULT_STORED, FAULT_TRAP, FAULT_WATCH,
    EXEC_PC, FAULT_WFI, LEFT, PC, RAW, RAW_PACKED, STOPS_CSRS, STOPS_TRAPS, TLB_DATA, TLB_FETCH, TLB_MASK, VALUE, WALK_SPA,
)

U64, I64, I32, I16, I8 = np.uint64, np.int64, np.int32, np.int16, np.int8
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
'''

ACCESS = {1: "8", 2: "16", 4: "32", 8: "64"}
VIA = {"data": 0, "hlv": 1, "hlvx": 2, "hsv": 3}
PENDING = "pending"
INTEGER_TYPES = ("w", "wu", "l", "lu")  # as encodings number them
DATA_SHIFT = DATA_WORDS.bit_length() - 1
# the word of a row whose case others share: the case, and the numbers in which they differ
CASE_MASK = 0xFF
NUMBER_SHIFT = {"fmt": 8, "kind": 12}
# the interpreter keeps no pc: it follows from the index of the predecoded word
INLINE_PC = "(pva + ((ci - base) << U64(1)))"
INLINE_NPC = "(pva + ((ci - base + ((w >> U64(14)) & U64(3))) << U64(1)))"
# a family function gets pc and npc, and reads the registers once for all its rows
FAMILY_REGISTERS = {"rs1": RS1_SHIFT, "rs2": RS2_SHIFT}
FLOAT_REGISTERS = {"frs1": RS1_SHIFT, "frs2": RS2_SHIFT}  # of the family that has them
INLINE_LEAVES = {"pc": INLINE_PC, "npc": INLINE_NPC}
FAMILY_LEAVES = {name: name for name in ("pc", "npc", *FAMILY_REGISTERS, *FLOAT_REGISTERS)}


def u(value: int) -> str:
    return f"U64({value:#x})"


def _register(shift: int, width: int = 5) -> str:
    return f"(w >> {u(shift)}) & {u((1 << width) - 1)}"


ACCESSES = (Load, Store, Amo, LoadReserved, StoreConditional)
# after a store on the slow path: it may have changed the PTE of this very page
STORED = ["if fault == FAULT_NONE:", "    fault = FAULT_STORED"]


class Leaves:
    """How a row's leaves are written in the generated code; `known` are those that the function they are used in has at
    hand."""

    def __init__(self, insn: Insn, known: Mapping[str, str]) -> None:
        self.places = placement(insn)
        self.known = known

    def __call__(self, name: str) -> str:
        if name in self.known:
            return self.known[name]
        if name == "rd_index":  # x_sink's low five bits are zero
            return f"({_register(RD_SHIFT)})"
        if name == "rd_value":
            return f"st[{_register(RD_SHIFT)}]"
        if name in ("rs1_index", "rs2_index"):
            return f"({_register(self.places[name[:3]].shift)})"
        if name not in self.places:
            return name  # a temporary
        place = self.places[name]
        if name in REGISTER_OPERANDS:
            return f"st[{_register(place.shift)}]"
        if name in FLOAT_OPERANDS:
            return f"st[F0 + ({_register(place.shift)})]"
        if place.signed:
            return f"U64(I64(w) >> I64({place.shift}))"
        return f"({_register(place.shift, place.width)})"


def extended(value: str, size: int, signed: bool) -> str:
    if not signed:
        return value
    return f"U64(I64(I{8 * size}({value})))"


class RowWriter:
    """Writes one row's body. `inline`: inside the interpreter loop, where jumps set ci; otherwise in a family function."""

    def __init__(self, insn: Insn, inline: bool) -> None:
        self.insn = insn
        self.inline = inline
        self.leaves = Leaves(insn, INLINE_LEAVES if inline else FAMILY_LEAVES)
        self.lines: list[str] = []
        self.depth = 0
        # variables that stand for a number of this row: rows that are alike but for theirs share a case
        self.numbers: dict[str, int] = {}

    def emit(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def expr(self, e: E) -> str:
        return expr_source(e, self.leaves)

    def write(self) -> list[str]:
        if not self.inline and any(isinstance(e, ACCESSES) or (isinstance(e, Call) and e.memory) for e in self.insn.effects):
            self.emit("st[PC] = pc")  # the slow paths of memory say in the log where they were taken
        for effect in self.insn.effects:
            self.effect(effect)
        if self.insn.result is not None:
            if "frd" in self.insn.encoding.by_name:
                self.emit(f"st[F0 + ({_register(RD_SHIFT)})] = {self.expr(self.insn.result)}")
                self.emit("float_dirty(st)")
            else:
                self.emit(f"st[{_register(RD_SHIFT, 6)}] = {self.expr(self.insn.result)}")
        self.finish()
        if not self.inline and any(isinstance(e, Store | Amo | StoreConditional | Call) for e in self.insn.effects):
            self.depth = 0
            self.lines += STORED
        return self.lines or ["pass"]

    def finish(self) -> None:
        last = self.insn.effects[-1] if self.insn.effects else None
        if isinstance(last, Jump):
            self.transfer()

    def when_done(self) -> None:
        """What follows belongs to the case that nothing faulted."""
        self.emit("if fault == FAULT_NONE or fault == FAULT_WATCH:" if self._may_watch else "if fault == FAULT_NONE:")
        self.depth += 1

    _may_watch = False

    def effect(self, effect: object) -> None:
        match effect:
            case Load():
                self.load(effect)
            case Store():
                self.store(effect)
            case Amo():
                self.amo(effect)
            case LoadReserved(temp=temp, addr=addr, size=size):
                self.emit(f"fault = load_reserved(st, ram, fr, code, {self.expr(addr)}, {u(size)})")
                self.when_done()
                self.emit(f"{temp} = {extended('st[VALUE]', size, size < 8)}")
            case StoreConditional(temp=temp, addr=addr, value=value, size=size):
                self.emit(
                    f"fault = store_conditional(st, ram, fr, code, {self.expr(addr)}, {self.expr(value)}, {u(size)})"
                )
                self._may_watch = True
                self.when_done()
                self.emit(f"{temp} = st[VALUE]")
            case CsrAccess():
                self.csr(effect)
            case Branch(cond=cond, target=target):
                self.emit(f"if {condition_source(cond, self.leaves)}:")
                self.depth += 1
                self.emit(f"target = {self.expr(target)}")
                self.transfer()
                self.depth -= 1
            case Jump(target=target):
                self.emit(f"target = {self.expr(target)}")
            case Call(helper=helper, args=args, memory=memory):
                more = "".join(f", {self.expr(a)}" for a in args)
                self.emit(f"fault = {helper}(st{', ram, fr, code' if memory else ', pc, npc'}{more})")
            case UseFloat(temp=temp, rm=rm):
                self.emit(f"{temp} = float_mode(st, {self.expr(rm)})")
                self.emit(f"if {temp} > U64(4):")
                self.emit("    fault = illegal(st)")
                self.emit("else:")
                self.depth += 1
            case Float():
                self.emit(f"{effect.temp} = {self.float_call(effect)}")
            case _:
                raise TypeError(effect)

    def float_call(self, effect: Float) -> str:
        name, _, kind = effect.op.partition(".")
        args = [self.expr(a) for a in effect.args]
        self.numbers["fmt"] = FLOAT_FORMATS.index(effect.fmt)
        if kind:
            args.append("kind")
            self.numbers["kind"] = (FLOAT_FORMATS if kind in FLOAT_FORMATS else INTEGER_TYPES).index(kind)
            name = "convert" if kind in FLOAT_FORMATS else f"{name}_integer"
        return f"fp_{name}(st, fmt, {self.expr(effect.mode)}, {', '.join(args)})"

    def transfer(self) -> None:
        """Control goes to `target`: inside the page at once, else through the code after the dispatch."""
        self.emit("left -= U64(1)")
        self.emit("ahead = target - pva")
        self.emit("if ahead < U64(4096):")
        self.emit("    ci = base + (ahead >> U64(1))")
        self.emit("    continue")
        self.emit("fault = FAULT_CROSS")

    def load(self, effect: Load) -> None:
        via = VIA[effect.via]
        self.emit(f"va = {self.expr(effect.addr)}")
        if self.inline and via == 0:
            tag = (1 << 64) - 4096 | (effect.size - 1)
            self.emit(f"ix = tlb + (((va >> U64(12)) & tmask) << U64({DATA_SHIFT}))")
            self.emit(f"if st[ix] == va & {u(tag)}:")
            self.emit(f"    {effect.temp} = ld{ACCESS[effect.size]}(ram, va + st[ix + U64(2)])")
            self.emit("else:")
            self.emit(f"    st[PC] = {INLINE_PC}")
            self.emit(f"    fault = load_slow(st, ram, fr, code, va, {u(effect.size)}, {u(via)})")
            self.emit(f"    {effect.temp} = st[VALUE]")
        else:
            if via:
                self.emit("fault = hypervisor_access(st)")
                self.when_done()
            self.emit(f"fault = load_slow(st, ram, fr, code, va, {u(effect.size)}, {u(via)})")
            self.emit(f"{effect.temp} = st[VALUE]")
        self.when_done()
        if effect.signed:
            self.emit(f"{effect.temp} = {extended(effect.temp, effect.size, True)}")

    def store(self, effect: Store) -> None:
        via = VIA[effect.via]
        self.emit(f"va = {self.expr(effect.addr)}")
        value = self.expr(effect.value)
        slow = f"fault = store_slow(st, ram, fr, code, va, {value}, {u(effect.size)}, {u(via)})"
        if self.inline and via == 0:
            tag = (1 << 64) - 4096 | (effect.size - 1)
            self.emit(f"ix = tlb + (((va >> U64(12)) & tmask) << U64({DATA_SHIFT}))")
            self.emit(f"if st[ix + U64(1)] == va & {u(tag)}:")
            self.emit(f"    st{ACCESS[effect.size]}(ram, va + st[ix + U64(2)], {value})")
            self.emit("else:")
            for line in (f"st[PC] = {INLINE_PC}", slow, *STORED):
                self.emit(f"    {line}")
        else:
            if via:
                self.emit("fault = hypervisor_access(st)")
                self.when_done()
            self.emit(slow)

    def amo(self, effect: Amo) -> None:
        self.emit(f"fault = amo_begin(st, ram, fr, code, {self.expr(effect.addr)}, {u(effect.size)})")
        self.when_done()
        self.emit(f"{effect.temp} = {extended('st[VALUE]', effect.size, effect.size < 8)}")
        self.emit(f"fault = store_phys(st, ram, fr, code, st[WALK_SPA], {self.expr(effect.update)}, {u(effect.size)})")

    def csr(self, effect: CsrAccess) -> None:
        self.emit(f"number = {self.expr(effect.csr)}")
        self.emit(f"writes = {self.expr(effect.writes)}")
        self.emit("word = csr_word(tab, number)")
        self.emit("fault = csr_exists(st, word, writes)")
        self.emit("if fault == FAULT_NONE:")
        self.emit("    fault = csr_guard(st, (word & U64(0xffff)) - U64(1))")
        self.emit("if fault == FAULT_NONE:")
        self.emit("    fault = csr_reach(st, word)")
        self.when_done()
        self.emit("row = csr_row(st, word)")
        self.emit(f"{effect.temp} = U64(0)")
        self.emit(f"if {condition_source(effect.reads, self.leaves)}:")
        self.emit(f"    {effect.temp} = csr_read(st, tab, row)")
        self.emit("if writes != U64(0):")
        self.emit(f"    seen = {effect.temp}")
        self.emit(f"    {effect.temp} = csr_modify(st, row, seen)")
        self.emit(f"    csr_write(st, tab, row, {self.expr(effect.update)})")
        self.emit(f"    {effect.temp} = seen")
        self.emit("    if not csr_is_plain(word) or st[STOPS_CSRS] != st[STOPS_TRAPS]:")
        self.emit("        note_csr(st, pc, number)")
        self.emit("        st[PC] = npc")
        self.emit("        fault = FAULT_REFRESH")


def _csr_leaf(name: str) -> str:
    if name == "value":
        return "value"
    if name == PENDING:
        return "pending_now(st)"
    return f"({expr_source(COUNTED[name], _csr_leaf)})" if name in COUNTED else f"st[{name.upper()}]"


def _dispatch(lines: list[str], cases: Iterable[tuple[str, list[str]]], indent: str) -> None:
    """An if-chain on one value, which LLVM turns into a jump table."""
    word = "if"
    for condition, body in cases:
        lines.append(f"{indent}{word} {condition}:")
        lines += [f"{indent}    {line}" for line in body]
        word = "elif"


def csr_slots(isa: Registry) -> list[str]:
    """Slot constants that the CSR functions mention."""
    names = {str(n.args[0]) for e in COUNTED.values() for n in e.walk() if n.op == "leaf"}
    for csr in isa.csrs.values():
        if csr.storage is not None and not csr.guards:
            continue
        own = (csr.read,) if csr.modify is None else (csr.read, csr.modify)
        for e in (*own, *(w for _, w in csr.writes), *(g for g, _ in csr.guards)):
            names |= {str(n.args[0]) for n in e.walk() if n.op == "leaf"}
        names |= {slot for slot, _ in csr.writes}
    return sorted(n.upper() for n in names - {"value", PENDING, *COUNTED})


def csr_functions(isa: Registry) -> list[str]:
    """csr_guard, csr_modify, csr_read and csr_write over the index of the CSR's row."""
    rows = list(enumerate(isa.csrs.values()))

    def guard(csr: Csr) -> list[str]:
        body = []
        for condition, kind in csr.guards:
            body.append(f"if {condition_source(condition, _csr_leaf)}:")
            body.append(f"    return {'illegal' if kind == 'illegal' else 'virtual_instruction'}(st)")
        return body

    def write(csr: Csr) -> list[str]:
        values = [f"w{i} = {expr_source(e, _csr_leaf)}" for i, (_, e) in enumerate(csr.writes)]
        return values + [f"st[{slot.upper()}] = w{i}" for i, (slot, _) in enumerate(csr.writes)]

    lines = ["", "", "@jit", "def csr_guard(st, row):"]
    alike: dict[tuple[str, ...], list[int]] = {}  # rows with the same guards share a branch
    for i, c in rows:
        if c.guards:
            alike.setdefault(tuple(guard(c)), []).append(i)
    _dispatch(lines, ((_is_one_of("row", numbers), list(body)) for body, numbers in alike.items()), "    ")
    rows = [(i, c) for i, c in rows if c.storage is None]
    modified = [(f"row == U64({i})", [f"return {expr_source(c.modify, _csr_leaf)}"]) for i, c in rows if c.modify is not None]
    lines += ["    return FAULT_NONE", "", "", "@jit", "def csr_modify(st, row, seen):"]
    _dispatch(lines, modified, "    ")
    lines += ["    return seen", "", "", "@jit", "def csr_read(st, tab, row):"]
    lines += ["    if csr_is_stored(tab, row):", "        return stored_read(st, tab, row)"]
    _dispatch(lines, ((f"row == U64({i})", [f"return {expr_source(c.read, _csr_leaf)}"]) for i, c in rows), "    ")
    lines += ["    return U64(0)", "", "", "@jit", "def csr_write(st, tab, row, value):"]
    lines += ["    if csr_is_stored(tab, row):", "        stored_write(st, tab, row, value)", "        return"]
    _dispatch(lines, ((f"row == U64({i})", write(c)) for i, c in rows if c.writes), "    ")
    return lines


def family_function(isa: Registry, name: str, insns: list[Insn]) -> list[str]:
    """The function of a family; rows that are the same but for their numbers share a case of it."""
    ops = op_numbers(isa)
    writers = [RowWriter(insn, False) for insn in insns]
    bodies = [tuple(writer.write()) for writer in writers]
    cases = list(dict.fromkeys(bodies))
    words = [0] * (ops[insns[-1].name] - ops[insns[0].name] + 1)
    for insn, writer, body in zip(insns, writers, bodies, strict=True):
        numbers = sum(n << NUMBER_SHIFT[number] for number, n in writer.numbers.items())
        words[ops[insn.name] - ops[insns[0].name]] = cases.index(body) | numbers
    shared = len(cases) < len(bodies)
    lines = ["", ""]
    if shared:
        lines += [f"ROWS_{name} = np.array({words}, np.uint64)", "", ""]
    lines += ["@jit", f"def exec_{name}(st, ram, fr, code, tab, w, op, pc, npc):", "    fault = FAULT_NONE"]
    if name == "system":
        lines.append("    st[EXEC_PC] = pc")
    lines += [f"    {register} = st[{_register(shift)}]" for register, shift in FAMILY_REGISTERS.items()]
    if name == "float":
        lines += [f"    {register} = st[F0 + ({_register(shift)})]" for register, shift in FLOAT_REGISTERS.items()]
    if shared:
        lines += [f"    row = ROWS_{name}[op - {u(ops[insns[0].name])}]", f"    case = row & {u(CASE_MASK)}"]
        lines += [f"    {number} = (row >> {u(shift)}) & U64(15)" for number, shift in NUMBER_SHIFT.items()]
        _dispatch(lines, ((f"case == U64({n})", list(body)) for n, body in enumerate(cases)), "    ")
    else:
        _dispatch(lines, ((f"op == U64({ops[i.name]})", list(body)) for i, body in zip(insns, bodies, strict=True)), "    ")
    lines.append("    return fault")
    return lines


INTERPRETER = '''

@jit
def interpret(st, ram, fr, code, tab):
    """Run from the slot pc until something needs the run loop; slot left counts the steps that remain. Returns a FAULT code."""
    left = st[LEFT]
    tlb = st[TLB_DATA]
    fetch = st[TLB_FETCH]
    tmask = st[TLB_MASK]
    target = st[PC]
    pva = target & PAGE
    base = U64(0)
    ci = U64(0)
    w = U64(0)
    fault = FAULT_CROSS
    entering = True
    while True:
        if entering or fault == FAULT_CROSS:
            # a page's code: the fetch entry says where its predecoded words start
            entering = False
            ix = fetch + (((target >> U64(12)) & tmask) << U64(1))
            pva = target & PAGE
            if st[ix] != pva:
                st[PC] = target
                st[LEFT] = left
                return FAULT_CROSS
            base = st[ix + U64(1)]
            ci = base + ((target & U64(4095)) >> U64(1))
            fault = FAULT_NONE
        if left == U64(0):
            st[PC] = pva + ((ci - base) << U64(1))
            st[LEFT] = left
            return FAULT_NONE
        w = code[ci]
        op = w & U64(0x3fff)
        if op < U64({first_op}):
            st[PC] = pva + ((ci - base) << U64(1))
            if op == U64(0):
                w = decode_at(st, ram, fr, code, tab, base, ci)
                op = w & U64(0x3fff)
            if op == U64(1):
                target = st[PC]
                fault = FAULT_CROSS
                continue
            if op == U64(4):
                fault, w = fetch_marked(st, ram, tab, base, code, pva + ((ci - base) << U64(1)))
                if fault != FAULT_NONE:
                    st[PC] = pva + ((ci - base) << U64(1))
                    st[LEFT] = left
                    return fault
                op = w & U64(0x3fff)
            if op == U64(5):
                more = enter_region(st, code, ci, pva + ((ci - base) << U64(1)), left)
                if more != left:
                    left = more
                    target = st[PC]
                    fault = FAULT_CROSS
                    continue
                w = decode_word(ram, tab, code[base + CODE_FRAME], (ci - base) << U64(1))
                op = w & U64(0x3fff)
            if op == U64(2):
                fault, insn, w = fetch_cross(st, ram, fr, tab, base, code, st[PC])
                if fault != FAULT_NONE:
                    st[LEFT] = left
                    return fault
                st[RAW] = insn
                op = w & U64(0x3fff)
'''

INTERPRETER_END = '''
        if fault == FAULT_NONE:
            ci += (w >> U64(14)) & U64(3)
            left -= U64(1)
            continue
        if fault == FAULT_CROSS:
            continue
        if fault == FAULT_STORED:
            # a stored PTE may map this page: the fetch entry is looked up again, and misses if it was dropped
            left -= U64(1)
            target = pva + ((ci - base + ((w >> U64(14)) & U64(3))) << U64(1))
            fault = FAULT_CROSS
            continue
        if fault == FAULT_TRAP or fault == FAULT_MMIO or fault == FAULT_STOP:
            st[PC] = pva + ((ci - base) << U64(1))
            st[RAW_PACKED] = w
            if ci - base < U64(2047) or (w >> U64(14)) & U64(3) == U64(1):
                at = (code[base + CODE_FRAME] << U64(12)) + ((ci - base) << U64(1))
                st[RAW] = ld16(ram, at) if (w >> U64(14)) & U64(3) == U64(1) else ld32(ram, at)
        else:
            left -= U64(1)
            if fault == FAULT_WATCH:
                st[PC] = pva + ((ci - base + ((w >> U64(14)) & U64(3))) << U64(1))
        st[LEFT] = left
        return fault
'''


FAMILY = {"A": "atomic", "Zacas": "atomic"} | dict.fromkeys(("Zba", "Zbb", "Zbc", "Zbs", "Zbkb", "Zbkx", "Zicond"), "bitmanip")


def families(isa: Registry) -> dict[str, list[Insn]]:
    """The rows that are not inline, by family function."""
    groups: dict[str, list[Insn]] = {}
    for insn in isa.insns.values():
        if not insn.hot and not insn.idle:
            groups.setdefault("float" if insn.uses_float else FAMILY.get(insn.extension, "system"), []).append(insn)
    return groups


ASSISTED = ("float", "system")  # the families that translated regions call


def assist_function(groups: dict[str, list[Insn]], ops: Mapping[str, int]) -> list[str]:
    """assist_row: one predecoded instruction of a family, on the state; FAULT_NONE (0) when it is done."""
    lines = ["", "", "@jit", "def assist_row(st, ram, fr, code, tab, w, pc, npc):", "    op = w & U64(0x3fff)"]
    for name in ASSISTED:
        lines.append(f"    if {_is_one_of('op', [ops[i.name] for i in groups[name]])}:")
        if name == "system":  # what writes a CSR that is watched ends the chunk
            lines += ["        if st[STOPS_CSRS] != st[STOPS_TRAPS]:", "            return FAULT_STOP"]
        lines.append(f"        fault = exec_{name}(st, ram, fr, code, tab, w, op, pc, npc)")
        lines.append("        return FAULT_NONE if fault == FAULT_STORED else fault")
    return [*lines, "    return FAULT_TRAP"]


def interpreter_source(isa: Registry) -> str:
    """The whole generated module."""
    ops = op_numbers(isa)
    lines = csr_functions(isa)
    groups = families(isa)
    for name, insns in groups.items():
        lines += family_function(isa, name, insns)
    lines += assist_function(groups, ops)
    lines.append(INTERPRETER.replace("{first_op}", str(min(ops.values()))).rstrip())
    cases = [
        (f"op == U64({ops[i.name]})", [f"# {i.name}", *RowWriter(i, True).write()])
        for i in isa.insns.values()
        if i.hot and not i.idle
    ]
    for name, insns in groups.items():
        body = [
            "st[LEFT] = left",
            f"fault = exec_{name}(st, ram, fr, code, tab, w, op, {INLINE_PC}, {INLINE_NPC})",
        ]
        cases.append((_is_one_of("op", [ops[i.name] for i in insns]), body))
    if idle := [ops[i.name] for i in isa.insns.values() if i.idle]:
        cases.append((_is_one_of("op", idle), ["pass"]))
    cases.append(("op == U64(3)", ["fault = illegal(st)"]))
    _dispatch(lines, cases, "        ")
    lines.append(INTERPRETER_END)
    head = [HEADER, f"from rvhv.cpu.slots import {', '.join(csr_slots(isa))}"]
    return "\n".join(head + _name_constants("\n".join(lines))) + "\n"


def _name_constants(source: str) -> list[str]:
    """`U64(5)` in a function is a call that numba types and compiles each time; as a constant of the module it is free."""
    values: set[int] = set()

    def name(m: re.Match[str]) -> str:
        value = int(m[1], 0)
        values.add(value)
        return f"C_{value:x}"

    named = re.sub(r"\bU64\((0x[0-9a-f]+|\d+)\)", name, source)
    return [*(f"C_{v:x} = {u(v)}" for v in sorted(values)), named]


def _is_one_of(name: str, numbers: list[int]) -> str:
    return " or ".join(f"{name} == U64({a})" if a == b else f"U64({a}) <= {name} <= U64({b})" for a, b in _ranges(numbers))


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers."""
    runs: list[tuple[int, int]] = []
    for n in sorted(numbers):
        if runs and runs[-1][1] == n - 1:
            runs[-1] = (runs[-1][0], n)
        else:
            runs.append((n, n))
    return runs

