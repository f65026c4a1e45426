"""Lines of a view: columns that line up, and long texts in several lines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from rvhv.debug.view import Line, Style

_width = ContextVar("width", default=100)  # columns that long texts are wrapped to
NARROWEST = 30  # columns that a cell gets before it goes on below
Cell = tuple[Style, str]


def width() -> int:
    return _width.get()


@contextmanager
def as_wide_as(columns: int) -> Iterator[None]:
    """Lines that are laid out meanwhile are wrapped to so many columns."""
    before = _width.set(columns)
    try:
        yield
    finally:
        _width.reset(before)


def cell(text: object, style: Style = "") -> Cell:
    return style, str(text)


def columns(
    rows: Iterable[Sequence[Cell]], *, right: Iterable[int] = (), indent: int = 0, gap: int = 2, wrap: bool = False
) -> list[Line]:
    """Rows of cells as lines; `right`: the columns that line up at their right ends. A row may be shorter than others. What
    stands last in its row goes on below where the line would be too long, if it may `wrap`."""
    body = [list(row) for row in rows]
    count = max((len(row) for row in body), default=0)
    # what stands last in its row need not fit a column
    widths = [max((len(row[i][1]) for row in body if len(row) > i + 1 or i in right), default=0) for i in range(count)]
    aligned = set(right)
    lines: list[Line] = []
    for row in body:
        line: Line = [("", " " * indent)] if indent else []
        for i, (style, text) in enumerate(row):
            room = widths[i] - len(text)
            if wrap and i + 1 == len(row) and i not in aligned:
                more = _goes_on(line, cell(text, style))
                lines += more[:-1]
                line = more[-1]
                continue
            if i in aligned and room > 0:
                line.append(("", " " * room))
            if text:
                line.append((style, text))
            if i + 1 < len(row):
                line.append(("", " " * (gap + (0 if i in aligned else max(room, 0)))))
        while line and not line[-1][1].strip():
            line.pop()
        lines.append(line)
    return lines


def _goes_on(line: Line, last: Cell) -> list[Line]:
    """A line with its last cell, in as many lines as that takes."""
    at = length(line)
    style, text = last
    parts = textwrap.wrap(text, max(width() - at, NARROWEST), break_on_hyphens=False, break_long_words=False) or [""]
    return [[*line, (style, parts[0])], *([("", " " * at), (style, part)] for part in parts[1:])]


def header(*titles: str) -> list[Cell]:
    return [("title", title) for title in titles]


def paragraph(text: str, style: Style = "", *, indent: str = "", hanging: str | None = None) -> list[Line]:
    """A text in lines of at most `width()` columns."""
    wrapped = textwrap.wrap(
        text, width(), initial_indent=indent, subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False, break_long_words=False,
    )  # fmt: skip
    return [[(style, line)] for line in wrapped]


def flowing(first: Line, cells: Sequence[Line], *, indent: int) -> list[Line]:
    """`first`, and behind it as many cells a line as fit."""
    lines, line = [], list(first)
    used = length(line)
    for one in cells:
        if used + 1 + length(one) > width() and used > indent:
            lines.append(line)
            line, used = [("", " " * indent)], indent
        line = [*line, ("", " "), *one]
        used += 1 + length(one)
    return [*lines, line]


def length(line: Line) -> int:
    return sum(len(text) for _, text in line)


def table(title: Sequence[str], rows: Iterable[Sequence[Cell]], *, right: Iterable[int] = (), wrap: bool = False) -> list[Line]:
    """The same with a head."""
    return columns([header(*title), *rows], right=right, wrap=wrap)


def hexadecimal(value: int | None) -> str | None:
    """A number as views give it to programs."""
    return None if value is None else f"{value:#x}"
