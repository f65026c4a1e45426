"""The history as views: what it holds, its bookmarks, what changed since one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.look.memory import owner
from rvhv.debug.look.table import cell, columns, hexadecimal
from rvhv.debug.target import Target
from rvhv.debug.view import Line, vm_style
from rvhv.errors import DebugError
from rvhv.isa.render.syntax import FLOAT_REGISTERS, REGISTERS
from rvhv.snapshot.difference import Difference, Word
from rvhv.snapshot.history import History

MOST_PAGES = 40
MOST_RANGES = 6
COUNTERS = {"vm_steps": "its steps", "trap_steps": "its traps"}


@dataclass(frozen=True)
class Bookmarks:
    """Names and steps."""

    marks: tuple[tuple[str, int], ...]
    now: int

    @classmethod
    def of(cls, history: History) -> Bookmarks:
        marks = ((mark.name, mark.moment.steps) for mark in history.bookmarks.values())
        return cls(tuple(sorted(marks, key=lambda mark: mark[1])), history.now.steps)

    def lines(self) -> list[Line]:
        if not self.marks:
            return [[("dim", "no bookmarks: bookmark NAME names this moment")]]
        return columns(
            [cell(name, "key"), cell(f"step {steps:,}"), cell(_distance(steps - self.now), "dim")] for name, steps in self.marks
        )

    def json(self) -> Any:
        return [{"name": name, "steps": steps} for name, steps in self.marks]


def _distance(steps: int) -> str:
    return "now" if steps == 0 else f"{steps:,} ahead" if steps > 0 else f"{-steps:,} ago"


@dataclass(frozen=True)
class Held:
    """What a history holds; sizes in bytes."""

    begins: int
    now: int
    furthest: int
    snapshots: int
    size: int
    limit: int
    seconds: float
    inputs: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, history: History) -> Held:
        inputs = tuple((event.moment.steps, event.text) for event in history.events)
        return cls(
            history.begins, history.now.steps, history.furthest, len(history.snapshots), history.size, history.limit,
            history.recording_seconds, inputs,
        )  # fmt: skip

    def lines(self) -> list[Line]:
        past = "" if self.now == self.furthest else f", in the past: it was seen to step {self.furthest:,}"
        lines: list[Line] = [
            [("key", "from "), ("", f"step {self.begins:,}"), ("key", " to "), ("", f"step {self.now:,}{past}")],
            [("key", "snapshots "), ("", f"{self.snapshots}, {self.size / 2**20:.1f} of {self.limit / 2**20:.0f} MiB")],
        ]
        lines += [[("key", "input "), ("", f"at step {steps:,}: {text}")] for steps, text in self.inputs]
        return lines

    def json(self) -> Any:
        return {
            "begins": self.begins,
            "now": self.now,
            "furthest": self.furthest,
            "snapshots": self.snapshots,
            "bytes": self.size,
            "limit": self.limit,
            "inputs": [{"steps": steps, "what": text} for steps, text in self.inputs],
        }


@dataclass(frozen=True)
class Changes:
    """A difference between two moments, with whose the pages are."""

    difference: Difference
    harts: tuple[tuple[str, int, tuple[Word, ...]], ...]  # by context: name, number, words
    pages: tuple[tuple[int, str, tuple[tuple[int, int], ...]], ...]  # by page: spa, whose, (offset, length) each

    @classmethod
    def of(cls, target: Target, difference: Difference) -> Changes:
        contexts = dict(zip(difference.harts, target.contexts, strict=False))
        harts = tuple((contexts[n].name, contexts[n].number, words) for n, words in difference.harts.items())
        return cls(difference, harts, tuple((p.spa, _whose(target, p.spa), p.ranges) for p in difference.pages))

    def lines(self) -> list[Line]:
        found = self.difference
        lines: list[Line] = [[("title", f"from step {found.then:,} to step {found.now:,}")]]
        for name, number, words in self.harts:
            lines.append([(vm_style(number), name), ("", "" if words else ": the same")])
            rows = [
                [cell(_shown(w.name), "register"), cell(f"{w.then:#x}"), cell("->", "dim"), cell(f"{w.now:#x}", "changed")]
                for w in words
            ]
            lines += columns(rows, indent=2)
        lines.append([("title", f"{len(self.pages)} pages of memory" if len(self.pages) != 1 else "1 page of memory")])
        for spa, whose, ranges in self.pages[:MOST_PAGES]:
            shown = ", ".join(f"+{at:#x}:{length}" for at, length in ranges[:MOST_RANGES])
            more = f" and {len(ranges) - MOST_RANGES} more" if len(ranges) > MOST_RANGES else ""
            lines.append([("", "  "), ("address", f"h:{spa:#x}"), ("", f"  {whose}  "), ("dim", f"{shown}{more}")])
        if len(self.pages) > MOST_PAGES:
            lines.append([("dim", f"  and {len(self.pages) - MOST_PAGES:,} pages more")])
        return lines

    def json(self) -> Any:
        return {
            "then": self.difference.then,
            "now": self.difference.now,
            "harts": {
                name: {_shown(w.name): {"then": f"{w.then:#x}", "now": f"{w.now:#x}"} for w in words}
                for name, _, words in self.harts
            },
            "pages": [
                {"spa": hexadecimal(spa), "use": whose, "ranges": [list(pair) for pair in ranges]}
                for spa, whose, ranges in self.pages
            ],
        }


def _shown(name: str) -> str:
    """A register's ABI name, or what a CSR is called."""
    if name in COUNTERS:
        return COUNTERS[name]
    kind, number = name[:1], name[1:]
    if kind in "xf" and number.isdecimal():
        return (REGISTERS if kind == "x" else FLOAT_REGISTERS)[int(number)]
    return name


def _whose(target: Target, spa: int) -> str:
    try:
        found = owner(target, spa)
    except DebugError:
        return ""
    return found.use if found.gpa is None else f"{found.use}, g:{found.gpa:#x}"
