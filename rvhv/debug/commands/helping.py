"""What `help` says: the groups, one command, or what a word is found in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.commands.table import GROUPS, TABLE, Command, find
from rvhv.debug.look.table import Cell, cell, columns, paragraph
from rvhv.debug.view import Line, View
from rvhv.errors import DebugError


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


def summary(row: Command) -> list[Cell]:
    return [cell("  " + ", ".join((row.name, *row.short)), "mnemonic"), cell(row.summary)]


class Overview:
    """All commands in their groups."""

    def lines(self) -> list[Line]:
        rows: list[list[Cell]] = []
        for group, title in GROUPS.items():
            if found := [row for row in TABLE.values() if row.group == group]:
                rows += [[cell(title, "title")], *map(summary, found), []]
        more = "help COMMAND has examples, help WORD searches; a clear beginning of a name is enough"
        return [*columns(rows, wrap=True), *paragraph(more, "dim")]

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
        lines += columns(([cell(line, "mnemonic"), cell(what)] for line, what in row.examples), indent=2, wrap=True)
        return [*lines, *paragraph(row.details)]

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
        return [[("title", f"about {self.text}")], *columns(map(summary, self.rows), wrap=True)]

    def json(self) -> Any:
        return [Page(row).json() for row in self.rows]
