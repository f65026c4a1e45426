"""Exits to the hypervisor: how often and at what cost, and the last of them one by one. Of a bare machine: its traps."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any

from rvhv.core.registry import ISA
from rvhv.cpu.state import TRACE_WORDS
from rvhv.debug.look.code import disassembler, word_at
from rvhv.debug.look.meanings import cause_name
from rvhv.debug.look.places import symbol
from rvhv.debug.look.table import cell, hexadecimal, table
from rvhv.debug.target import Context, HartContext, Target, VmContext
from rvhv.debug.view import Line, vm_style
from rvhv.errors import DebugError
from rvhv.hv.hypervisor import EXIT_COST
from rvhv.hv.trace import ELSEWHERE, GUEST_PAGE_FAULTS, IN_RAM, KEPT, Moved, Record

VIRTUAL_INSTRUCTION = ISA.causes["virtual_instruction"].code


@dataclass(frozen=True)
class ExitRow:
    """Exits of one VM for one reason. `share`: of the machine's virtual time, 0 to 1; costs in steps an exit."""

    vm: int
    name: str
    cause: int
    reason: str
    count: int
    share: float
    least: int
    mean: float
    most: int


@dataclass(frozen=True)
class Exits:
    rows: tuple[ExitRow, ...]

    def lines(self) -> list[Line]:
        if not self.rows:
            return [[("dim", "no exits yet")]]
        body = [
            [
                cell(row.name, vm_style(row.vm)), cell(row.reason, "key"), cell(f"{row.count:,}"), cell(f"{row.share:.2%}"),
                cell(f"{row.least:,}"), cell(f"{row.mean:,.0f}"), cell(f"{row.most:,}"),
            ]
            for row in self.rows
        ]  # fmt: skip
        lines = table(("vm", "reason", "count", "time", "min", "mean", "max"), body, right=(2, 3, 4, 5, 6))
        return [*lines, [("dim", "time: share of virtual time; min, mean, max: steps that one exit was charged")]]

    def json(self) -> Any:
        return {
            "exits": [
                {
                    "vm": r.name, "cause": hexadecimal(r.cause), "reason": r.reason, "count": r.count, "share": round(r.share, 6),
                    "min": r.least, "mean": round(r.mean, 1), "max": r.most,
                }
                for r in self.rows
            ]
        }  # fmt: skip


def exits(target: Target) -> Exits:
    """The table by VM and reason, most frequent first. Raises DebugError of a bare machine."""
    hv = target.hv
    if hv is None:
        raise DebugError("there is no hypervisor here to exit to: exits --log lists the traps of the bare machine's harts")
    trace, total = hv.trace, max(1, hv.virtual_ns)
    rows = []
    for context in target.contexts:
        assert isinstance(context, VmContext)
        number = context.number
        for cause, count in trace.counts(number).items():
            parts: dict[str, _Part] = {"": _Part(count, [trace.moved(number, cause)])}
            if cause in GUEST_PAGE_FAULTS:
                parts = {}
                for page, some in trace.faults(number, cause).items():
                    part = parts.setdefault(_at_page(context, page), _Part(0, []))
                    part.count += some
                    part.moved.append(trace.moved(number, cause, page))
            rows += [_row(context, cause, what, part, total) for what, part in parts.items()]
    return Exits(tuple(sorted(rows, key=lambda row: (row.vm, -row.count, row.reason))))


@dataclass
class _Part:
    """Exits of one kind, and what they were charged for what devices moved."""

    count: int
    moved: list[Moved]


def _row(context: VmContext, cause: int, what: str, part: _Part, total: int) -> ExitRow:
    moved = [one for one in part.moved if one.exits]
    cost = part.count * EXIT_COST + sum(one.total for one in moved)
    all_moved = sum(one.exits for one in moved) == part.count
    least = EXIT_COST + (min((one.least for one in moved), default=0) if all_moved else 0)
    most = EXIT_COST + max((one.most for one in moved), default=0)
    reason = cause_name(cause) + (f": {what}" if what else "")
    return ExitRow(context.number, context.name, cause, reason, part.count, cost / total, least, cost / part.count, most)


def _at_page(context: VmContext, page: int) -> str:
    if page == IN_RAM:
        return "RAM, first touch"
    if page == ELSEWHERE:
        return "elsewhere"
    found = next((d for d in context.bus.devices if d.base < (page + 1) << 12 and page << 12 < d.base + d.size), None)
    return found.name if found is not None else "nothing there"


@dataclass(frozen=True)
class Entry:
    """One exit, or trap. `steps`: the context's own at that moment; `detail`: what the reason leaves open."""

    number: int
    name: str
    steps: int
    cause: int
    reason: str
    pc: int
    symbol: str
    gpa: int | None
    detail: str


@dataclass(frozen=True)
class ExitLog:
    """The last ones, oldest first."""

    entries: tuple[Entry, ...]

    def lines(self) -> list[Line]:
        if not self.entries:
            return [[("dim", "no exits yet")]]
        body = [
            [
                cell(f"{e.steps:,}"), cell(e.name, vm_style(e.number)), cell(f"{e.pc:#x}", "address"), cell(e.symbol, "symbol"),
                cell(e.reason + (f": {e.detail}" if e.detail else "")),
            ]
            for e in self.entries
        ]  # fmt: skip
        return table(("its steps", "who", "pc", "", "why"), body, right=(0,))

    def json(self) -> Any:
        return {
            "exits": [
                {
                    "name": e.name, "steps": e.steps, "cause": hexadecimal(e.cause), "reason": e.reason, "pc": hexadecimal(e.pc),
                    "symbol": e.symbol or None, "gpa": hexadecimal(e.gpa), "detail": e.detail or None,
                }
                for e in self.entries
            ]
        }  # fmt: skip


def log(target: Target, count: int = KEPT, context: Context | None = None) -> ExitLog:
    """The last `count` exits of a hypervisor (of a bare machine: traps), of one context or of all. Raises DebugError."""
    if count < 1:
        raise DebugError(f"the last {count} exits: ask for 1 to {KEPT}")
    by_number = {one.number: one for one in target.contexts}
    entries = []
    for record in records(target):
        who = by_number[record.vm]
        if context is None or who is context:
            entries.append((who, record))
    return ExitLog(tuple(_entry(who, record) for who, record in entries[-min(count, KEPT) :]))


def records(target: Target) -> list[Record]:
    """Oldest first; `vm` is the context's number."""
    if target.hv is not None:
        return target.hv.last_exits()
    found = []
    for context in target.contexts:
        assert isinstance(context, HartContext)
        found += trap_ring(context)
    return found


def trap_ring(context: HartContext) -> list[Record]:
    """What a bare hart has put into its trace ring since it was last emptied."""
    words = array("Q", context.hart.waiting_trace)
    starts = range(0, len(words), TRACE_WORDS)
    return [Record(context.number, *words[i + 1 : i + TRACE_WORDS]) for i in starts]


def _entry(who: Context, record: Record) -> Entry:
    gpa = record.gpa if record.cause in GUEST_PAGE_FAULTS else None
    return Entry(
        who.number, who.name, record.steps, record.cause, cause_name(record.cause), record.pc, symbol(who, record.pc), gpa,
        _detail(who, record),
    )  # fmt: skip


def _detail(who: Context, record: Record) -> str:
    if record.cause in GUEST_PAGE_FAULTS:
        return f"g:{record.gpa:#x}, {_behind(who, record.gpa)}"
    if record.cause == VIRTUAL_INSTRUCTION:
        try:
            return disassembler().disassemble(word_at(who, "v", record.pc), record.pc)
        except DebugError:
            return ""
    return ""


def _behind(who: Context, gpa: int) -> str:
    """What a guest physical address is for a VM; of a bare hart nobody knows."""
    found = who.bus.find(gpa, 1)
    if isinstance(who, VmContext) and found is not None:
        return f"{found[0].name} at {found[1]:#x}"
    if isinstance(who, VmContext) and who.vm.has_ram(gpa):
        return "RAM touched for the first time"
    return "no RAM and no device" if isinstance(who, VmContext) else "guest memory"
