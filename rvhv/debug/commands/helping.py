"""What `help` says: the groups, one command, or what a word is found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.commands.table import GROUPS, TABLE, Command, find
from rvhv.debug.view import Line, View
from rvhv.errors import DebugError

_NAMES = 24  # columns of a command's names


def about(text: str) -> View:
    """The help for what a person asked."""
    if not text:
        return Overview()
    try:
        return Page(find(text))
    except DebugError as error:
        found = matches(text)
        if not found:
            raise DebugError(f"no command's help speaks of {text[:40]!r}; help lists them all") from error
        return Found(text, tuple(found))


def matches(text: str) -> list[Command]:
    """The commands that say all of its words."""
    words = text.lower().split()
    return [row for row in TABLE.values() if all(word in said(row) for word in words)]


def said(row: Command) -> str:
    examples = (part for example in row.examples for part in example)
    return " ".join((row.name, *row.short, row.summary, row.usage, *examples, row.details)).lower()


def summary(row: Command) -> Line:
    names = ", ".join((row.name, *row.short))
    return [("", "  "), ("mnemonic", names.ljust(_NAMES)), ("", f" {row.summary}")]


class Overview:
    """All commands in their groups."""

    def lines(self) -> list[Line]:
        lines: list[Line] = []
        for group, title in GROUPS.items():
            if rows := [row for row in TABLE.values() if row.group == group]:
                lines += [[("title", title)], *map(summary, rows), []]
        return [*lines, [("dim", "help COMMAND has examples, help WORD searches; a clear beginning of a name is enough")]]

    def json(self) -> Any:
        return [Page(row).json() for row in TABLE.values()]


@dataclass(frozen=True)
class Page:
    """One command."""

    row: Command

    def lines(self) -> list[Line]:
        row = self.row
        lines: list[Line] = [[("title", row.name), ("", f": {row.summary}")], [("key", "usage: "), ("", row.usage)]]
        if row.short:
            lines.append([("key", "or: "), ("", ", ".join(row.short))])
        width = max(len(line) for line, _ in row.examples)
        for line, what in row.examples:
            lines.append([("", "  "), ("mnemonic", line.ljust(width)), ("", f"  {what}")])
        if row.details:
            lines += [[("", line)] for line in wrapped(row.details)]
        return lines

    def json(self) -> Any:
        row = self.row
        examples = [{"command": line, "what": what} for line, what in row.examples]
        names = {"name": row.name, "short": list(row.short), "group": row.group}
        return {**names, "summary": row.summary, "usage": row.usage, "examples": examples, "details": row.details}


@dataclass(frozen=True)
class Found:
    """Commands whose help speaks of something."""

    text: str
    rows: tuple[Command, ...]

    def lines(self) -> list[Line]:
        return [[("title", f"about {self.text}")], *map(summary, self.rows)]

    def json(self) -> Any:
        return [Page(row).json() for row in self.rows]


def wrapped(text: str) -> list[str]:
    """A paragraph in lines that a terminal shows whole."""
    import textwrap

    return textwrap.wrap(text, 98)
