"""CSRs field by field, with the specification's names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from rvhv.core.registry import ISA
from rvhv.cpu.state import Prv
from rvhv.debug.look.meanings import ADDRESSES, TIMERS, delegated, meaning
from rvhv.debug.look.places import symbol
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.look.table import cell, columns, flowing, hexadecimal
from rvhv.debug.target import Context
from rvhv.debug.view import Line, Style
from rvhv.errors import DebugError
from rvhv.isa.expr import MASK64
from rvhv.isa.rows import Csr

# trap handling, translation and timers of one mode: what a person looks at first
USUAL = {
    "M": "mstatus mie mip mtvec mepc mcause mtval medeleg mideleg menvcfg mcounteren",
    "S": "sstatus sie sip stvec sepc scause stval satp sscratch stimecmp",
    "VS": "vsstatus vsie vsip vstvec vsepc vscause vstval vsatp vsscratch vstimecmp",
    "H": "hstatus hedeleg hideleg hie hip hvip hgatp htval htinst henvcfg hcounteren htimedelta",
}
GROUPS = ("m", "s", "vs", "h")
ADDRESS_FIELDS = ("BASE", "PC")  # shown as the addresses that they are, with the zeros below them
DULL = ("mhpm", "hpm")  # constants zero, 58 of them


@dataclass(frozen=True)
class Field:
    name: str
    hi: int
    lo: int
    value: int
    meaning: str
    changed: bool

    @property
    def place(self) -> str:
        return str(self.hi) if self.hi == self.lo else f"{self.hi}:{self.lo}"

    @property
    def number(self) -> str:
        if self.name in ADDRESS_FIELDS:
            return f"{self.value << self.lo:#x}"
        return f"{self.value:#x}" if self.hi - self.lo > 3 and self.name != "Code" else str(self.value)


@dataclass(frozen=True)
class CsrValue:
    """`before`: None where nobody knows, or it has not changed. `note`: what the number as a whole says."""

    name: str
    number: int
    value: int
    before: int | None
    fields: tuple[Field, ...]
    note: str
    handed_down: tuple[tuple[int, str], ...] = ()  # exceptions, of medeleg and hedeleg

    @property
    def style(self) -> Style:
        return "changed" if self.before is not None else "number" if self.value else "dim"

    def in_short(self, width: int) -> list[Line]:
        first: Line = [("register", f"{self.name:{width}}"), ("", " "), (self.style, f"{self.value:016x}")]
        cells: list[Line] = []
        if self.note:
            cells.append([("symbol", f" {self.note}")])
        for f in self.fields:
            if f.name == "PC" or f.name.startswith("pmp") and not f.value:
                continue  # the number itself; and nothing
            style: Style = "changed" if f.changed else "" if f.value else "dim"
            said = f"({f.meaning})" if f.meaning else ""
            cells.append([("key" if f.value else "dim", f"{f.name}="), (style, f"{f.number}{said}")])
        return flowing(first, cells, indent=width + 18)

    def at_length(self) -> list[Line]:
        head: Line = [
            ("register", self.name), ("dim", f" ({self.number:#x})"), ("", " = "), (self.style, f"{self.value:#018x}"),
        ]  # fmt: skip
        if self.note:
            head.append(("symbol", f"  {self.note}"))
        if self.before is not None:
            head.append(("dim", f"  was {self.before:#x}"))
        rows = [
            [cell(f.place, "dim"), cell(f.name, "key"), cell(f.number, "changed" if f.changed else "number"), cell(f.meaning)]
            for f in self.fields
        ]
        rows += [[cell(code, "dim"), cell(text, "key")] for code, text in self.handed_down]
        return [head, *columns(rows, right=(0, 2), indent=2)]

    def json(self) -> Any:
        return {
            "name": self.name,
            "number": hexadecimal(self.number),
            "value": hexadecimal(self.value),
            "before": hexadecimal(self.before),
            "note": self.note or None,
            "exceptions": [code for code, _ in self.handed_down] if self.handed_down else None,
            "fields": {
                f.name: {"bits": f.place, "value": f.value, "meaning": f.meaning or None, "changed": f.changed}
                for f in self.fields
            },
        }


@dataclass(frozen=True)
class Csrs:
    """Some CSRs of a context; one alone is shown at length."""

    context: str
    csrs: tuple[CsrValue, ...]

    def lines(self) -> list[Line]:
        if len(self.csrs) == 1:
            return self.csrs[0].at_length()
        width = max(len(one.name) for one in self.csrs)
        return [line for one in self.csrs for line in one.in_short(width)]

    def json(self) -> Any:
        return {"context": self.context, "csrs": [one.json() for one in self.csrs]}


def csrs(context: Context, pattern: str = "", before: Saved | None = None) -> Csrs:
    """The CSRs of a name, a pattern (`h*`, `*stateen?`), a group of GROUPS, several of these, or the usual ones ("").

    Raises DebugError where nothing matches.
    """
    now = save(context)
    found = tuple(value_of(context, ISA.csrs[name], now, before) for name in chosen(pattern, context.mode))
    return Csrs(context.name, found)


def chosen(pattern: str, mode: str) -> Sequence[str]:
    """The names that a pattern means, in the order of their rows. Raises DebugError."""
    wanted = pattern.lower().replace(",", " ").split()
    if not wanted:
        groups = {"M": ("M",), "S": ("S", "H"), "U": ("S",)}.get(mode, ("VS", "H"))
        return [name for group in groups for name in USUAL[group].split()]
    names: dict[str, None] = {}
    for word in wanted:
        names |= dict.fromkeys(_matching(word))
    return list(names)


def _matching(word: str) -> Iterable[str]:
    if word in ISA.csrs:
        return [word]
    if word in GROUPS:
        found = [name for name in ISA.csrs if _group(ISA.csrs[name]) == word and not name.startswith(DULL)]
    else:
        found = [name for name in ISA.csrs if fnmatchcase(name, word)]
    if not found:
        near = difflib.get_close_matches(word, ISA.csrs, 3)
        hint = f"did you mean {' or '.join(near)}?" if near else f"try csr h*, or a group: {', '.join(GROUPS)}"
        raise DebugError(f"no CSR is called {word}: {hint}")
    return found


def _group(row: Csr) -> str:
    if row.name.startswith("vs"):
        return "vs"
    return {Prv.U: "u", Prv.S: "s", 2: "h", Prv.M: "m"}[row.privilege]


def value_of(context: Context, row: Csr, now: Saved, before: Saved | None) -> CsrValue:
    value = now.csr(row.name)
    earlier = value if before is None else before.csr(row.name)
    fields = []
    for f in row.fields:
        number = (value & f.mask) >> f.lo
        changed = number != (earlier & f.mask) >> f.lo
        fields.append(Field(f.name, f.hi, f.lo, number, meaning(row.name, f, number, value), changed))
    note = _note(context, row, value, now)
    handed_down = tuple(delegated(row, value))
    return CsrValue(row.name, row.number, value, None if earlier == value else earlier, tuple(fields), note, handed_down)


def _note(context: Context, row: Csr, value: int, now: Saved) -> str:
    """What the whole number says."""
    if row.name in ADDRESSES:
        return symbol(context, value & ~3)
    if row.name in TIMERS:
        time = now.leaf("time") + (now["htimedelta"] if TIMERS[row.name] else 0) & MASK64
        if value == MASK64:
            return "never"
        return f"in {value - time:,} ticks" if value > time else f"{time - value:,} ticks ago"
    if row.name in ("htval", "mtval2") and value:
        return f"g:{value << 2:#x}"
    handed_down = " ".join(str(code) for code, _ in sorted(delegated(row, value)))
    return f"exceptions {handed_down}" if handed_down else ""


def names() -> list[str]:
    """Every CSR that there is, for completion."""
    return list(ISA.csrs)
