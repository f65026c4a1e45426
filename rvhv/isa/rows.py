"""Rows: one instruction, one compressed expansion, one CSR, one trap cause each; and the registry that collects them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property

from rvhv.isa.effects import Branch, Call, Effect, Jump, Recorder
from rvhv.isa.encoding import Encoding, parse_encoding
from rvhv.isa.expr import MASK64, E, const, leaf, lift

Semantics = Callable[..., "E | None"]
REGISTER_OPERANDS = frozenset({"rd", "rs1", "rs2"})
FLOAT_OPERANDS = frozenset({"frd", "frs1", "frs2", "frs3"})
DESTINATIONS = ("rd", "frd")
# besides the operands: rd_value is what rd holds before the instruction
CONTEXT_LEAVES = frozenset({"pc", "npc", "rd_index", "rs1_index", "rs2_index", "rd_value"})


@dataclass(frozen=True)
class Insn:
    """An instruction. `syntax` is its assembly operands, e.g. "rd, imm(rs1)"; `result` is what rd or frd gets (None: nothing).
    `overrides` names the instruction of which this one is a special case: its words mean this one instead."""

    name: str
    extension: str
    encoding: Encoding
    syntax: str
    effects: tuple[Effect, ...]
    result: E | None
    hot: bool = True  # inline in the interpreter; otherwise in a family function of its extension
    privileged: bool = False
    overrides: str | None = None

    @cached_property
    def jumps(self) -> bool:
        return any(isinstance(e, Branch | Jump) for e in self.effects)

    @cached_property
    def idle(self) -> bool:
        """It does nothing at all: a hint or a fence."""
        return not self.effects and self.result is None

    @cached_property
    def uses_float(self) -> bool:
        return not FLOAT_OPERANDS.isdisjoint(self.encoding.by_name)

    @cached_property
    def calls(self) -> bool:
        return any(isinstance(e, Call) for e in self.effects)

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Compressed:
    """A 16-bit encoding of a base instruction. `operands` maps the base's fields to a field of this encoding or a number;
    `where` refuses the field values that mean something else (reserved encodings, other instructions)."""

    name: str
    encoding: Encoding
    syntax: str
    base: str
    operands: dict[str, str | int]
    where: Callable[[dict[str, int]], bool] = field(default=lambda f: True)

    def expand(self, fields: dict[str, int]) -> dict[str, int]:
        """The base instruction's fields for this encoding's."""
        return {k: fields[v] if isinstance(v, str) else v for k, v in self.operands.items()}

    def __hash__(self) -> int:
        return hash(self.name)


@dataclass(frozen=True)
class Cause:
    """A trap cause. `tval` says what the trap value holds: "zero", "pc", "gva" (the address that faulted), "insn"."""

    code: int
    name: str
    text: str
    interrupt: bool = False
    tval: str = "zero"
    guest_page_fault: bool = False


@dataclass(frozen=True)
class CsrField:
    """Bits hi..lo of a CSR. `warl(new, old)` gives the legal value that a write leaves; `fixed` is a read-only constant."""

    name: str
    hi: int
    lo: int
    warl: Callable[[E, E], E] | None = None
    fixed: int | None = None

    @property
    def mask(self) -> int:
        return ((1 << (self.hi - self.lo + 1)) - 1) << self.lo


def bits(
    name: str, hi: int, lo: int | None = None, *, warl: Callable[[E, E], E] | None = None, fixed: int | None = None
) -> CsrField:
    return CsrField(name, hi, hi if lo is None else lo, warl, fixed)


@dataclass(frozen=True)
class Storage:
    """A CSR that needs no expression: reads are the slot's value or-ed with `fixed`, writes change the bits of `mask`.
    Without a slot it is a constant."""

    slot: str | None
    fixed: int
    mask: int


@dataclass(frozen=True)
class Csr:
    """A CSR. `read` and `writes` are over leaves named by slots of the hart's state, `value` (what is written) and
    the computed `pending`, `time`, `cycle`, `instret`. `vs` names the CSR that V=1 reaches under this number. `guards` are
    (condition, kind) pairs checked in order before an access: kind "illegal" or "virtual". `plain`: a write changes neither
    address translation nor which interrupts are pending and enabled. `modify` is what a read-modify-write starts from
    where that is not what it reads."""

    name: str
    number: int
    read: E
    writes: tuple[tuple[str, E], ...]
    fields: tuple[CsrField, ...] = ()
    vs: str | None = None
    guards: tuple[tuple[E, str], ...] = ()
    plain: bool = False
    storage: Storage | None = None
    modify: E | None = None

    @property
    def read_only(self) -> bool:
        return self.number >> 10 == 3

    @property
    def privilege(self) -> int:
        """Lowest privilege by number: 0 U, 1 S, 2 HS, 3 M."""
        return self.number >> 8 & 3

    def __hash__(self) -> int:
        return self.number


def write_fields(fields: Iterable[CsrField], value: E, old: E, only: Iterable[str] | None = None) -> E:
    """The register after `value` was written: each field by its rule, fields outside `only` and undefined bits unchanged."""
    chosen = [f for f in fields if only is None or f.name in set(only)]
    plain = sum(f.mask for f in chosen if f.warl is None and f.fixed is None)
    result = (old & (~plain & MASK64)) | (value & plain) if plain != MASK64 else value
    for f in chosen:
        if f.warl is not None:
            width = f.mask >> f.lo
            legal = f.warl((value >> f.lo) & width, (old >> f.lo) & width)
            result = (result & (~f.mask & MASK64)) | ((legal & width) << f.lo)
    return result


def most_specific_first(insns: Iterable[Insn]) -> list[Insn]:
    """The order in which a word is compared with rows: one that overrides another has more fixed bits."""
    return sorted(insns, key=lambda i: -i.encoding.mask.bit_count())


class Registry:
    """The rows of an ISA, in the order in which they were written."""

    def __init__(self) -> None:
        self.insns: dict[str, Insn] = {}
        self.compressed: dict[str, Compressed] = {}
        self.csrs: dict[str, Csr] = {}
        self.causes: dict[str, Cause] = {}

    def insn(
        self,
        extension: str,
        name: str,
        encoding: str,
        syntax: str,
        semantics: Semantics,
        *,
        hot: bool = True,
        privileged: bool = False,
        overrides: str | None = None,
    ) -> None:
        """Add an instruction; `semantics` is called once with leaves for the operands it names (and `m`, the recorder)."""
        parsed = parse_encoding(encoding)
        recorder = Recorder()
        if not FLOAT_OPERANDS.isdisjoint(parsed.by_name):
            recorder.use_float(leaf("rm") if "rm" in parsed.by_name else const(0))
        arguments: dict[str, object] = {}
        for parameter, declared in inspect.signature(semantics).parameters.items():
            if declared.default is not inspect.Parameter.empty:
                continue  # bound by the row itself
            if parameter == "m":
                arguments[parameter] = recorder
            elif parameter in CONTEXT_LEAVES or parameter in parsed.by_name:
                arguments[parameter] = leaf(parameter)
            else:
                raise ValueError(f"{name}: its encoding has no operand {parameter!r}")
        result = semantics(**arguments)
        if name in self.insns:
            raise ValueError(f"{name}: described twice")
        self.insns[name] = Insn(
            name,
            extension,
            parsed,
            syntax,
            tuple(recorder.effects),
            None if result is None else lift(result),
            hot,
            privileged,
            overrides,
        )

    def c(
        self,
        name: str,
        encoding: str,
        syntax: str,
        base: str,
        where: Callable[[dict[str, int]], bool] = lambda f: True,
        **operands: str | int,
    ) -> None:
        """Add a compressed encoding of the base instruction `base`."""
        if name in self.compressed:
            raise ValueError(f"{name}: described twice")
        self.compressed[name] = Compressed(name, parse_encoding(encoding), syntax, base, operands, where)

    def csr(
        self,
        name: str,
        number: int,
        *fields: CsrField,
        read: E | None = None,
        writes: tuple[tuple[str, E], ...] | None = None,
        vs: str | None = None,
        guards: tuple[tuple[E, str], ...] = (),
        plain: bool = False,
        modify: E | None = None,
    ) -> None:
        """Add a CSR; without `read` and `writes` it is stored in the slot of its own name and written field by field."""
        slot = leaf(name)
        storage = None
        if read is None and writes is None and all(f.warl is None for f in fields):
            mask = sum(f.mask for f in fields if f.fixed is None) if fields else MASK64
            storage = Storage(name, sum(f.fixed << f.lo for f in fields if f.fixed), 0 if number >> 10 == 3 else mask)
        if read is None:
            fixed = sum(f.fixed << f.lo for f in fields if f.fixed)
            read = slot | fixed if fixed else slot
        if writes is None:
            written = write_fields(fields, leaf("value"), slot) if fields else leaf("value")
            writes = () if number >> 10 == 3 else ((name, written),)
        if name in self.csrs:
            raise ValueError(f"CSR {name}: described twice")
        self.csrs[name] = Csr(name, number, read, writes, fields, vs, guards, plain, storage, modify)

    def constant(
        self, name: str, number: int, value: int = 0, *fields: CsrField, guards: tuple[tuple[E, str], ...] = ()
    ) -> None:
        """A CSR that reads as a constant and ignores writes."""
        self.csrs[name] = Csr(name, number, const(value), (), fields, guards=guards, plain=True, storage=Storage(None, value, 0))

    def cause(self, code: int, name: str, text: str, **more: object) -> None:
        self.causes[name] = Cause(code, name, text, **more)  # type: ignore[arg-type]

    @cached_property
    def csr_by_number(self) -> dict[int, Csr]:
        return {c.number: c for c in self.csrs.values()}

    @cached_property
    def insn_list(self) -> tuple[Insn, ...]:
        return tuple(self.insns.values())

    def decode(self, word: int) -> tuple[Insn, dict[str, int], Compressed | None] | None:
        """The instruction at the low end of `word` with its fields by name, or None when it is illegal."""
        if word & 3 != 3:
            half = word & 0xFFFF
            for row in self._compressed_by_quadrant[half & 3, half >> 13]:
                if half & row.encoding.mask == row.encoding.match:
                    fields = row.encoding.extract(half)
                    if row.where(fields):
                        return self.insns[row.base], row.expand(fields), row
            return None
        word &= 0xFFFF_FFFF
        for insn in self._by_opcode.get(word & 0x7F, ()):
            if word & insn.encoding.mask == insn.encoding.match:
                return insn, insn.encoding.extract(word), None
        return None

    @cached_property
    def _by_opcode(self) -> dict[int, list[Insn]]:
        table: dict[int, list[Insn]] = {}
        for insn in self.insns.values():
            table.setdefault(insn.encoding.match & 0x7F, []).append(insn)
        return {opcode: most_specific_first(rows) for opcode, rows in table.items()}

    @cached_property
    def _compressed_by_quadrant(self) -> dict[tuple[int, int], list[Compressed]]:
        return {
            (q, f): [r for r in self.compressed.values() if r.encoding.match & 3 == q and r.encoding.match >> 13 == f]
            for q in range(3)
            for f in range(8)
        }
