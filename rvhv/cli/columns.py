"""Columns of code side by side, as wide as the output: a line that is too long for its column folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

INDENT, HANG = 2, 4  # of a line; of what is folded off it
NARROWEST = 40  # the output counts as at least so wide
# where a line is cut, best first, and how much of that stays on it: between parts of a list, at a comment, at a comma, in between
BREAKS = (("], ", 2), ("  ;", 0), (", ", 1), (" ", 0))
MOST = 0.9  # of a column's lines

Style = dict[str, Any]  # for `click.style`
Spans = list[tuple[str, Style]]  # a line
Row = Sequence[Sequence[str]]  # for each column the lines of its cell


@dataclass(frozen=True, eq=False)
class Column:
    """Between `least` and `most` characters wide."""

    title: str
    least: int
    most: int
    style: Style = field(default_factory=dict)


def fold(line: str, width: int) -> list[str]:
    """A line as lines of at most `width` characters, of which all but the first have more indent."""
    found, indent = [], min(len(line) - len(line.lstrip()) + HANG, width // 2)
    while len(line) > width:
        start = len(line) - len(line.lstrip()) + 1
        cuts = [line.rfind(end, start, width + len(end) - kept) + kept for end, kept in BREAKS]
        cut = next((cut for cut in cuts if cut > width // 2), cuts[-1] if cuts[-1] > 0 else width)
        found.append(line[:cut].rstrip())
        line = " " * indent + line[cut:].lstrip()
    return [*found, line]


class Table:
    """Rows under each other in an output of so many columns; where there is no room for columns beside each other, the cells of a
    row stand below each other, those behind the first with their column's title."""

    def __init__(self, columns: Sequence[Column], rows: Sequence[Row], room: int, bar: str = "|") -> None:
        self.columns, self.room, self.bar = columns, max(room, NARROWEST), f" {bar} "
        self.widths = self._widths(rows)

    def _widths(self, rows: Sequence[Row]) -> list[int] | None:
        """Every column as wide as it must be; then what is left goes to most lines of the first, to most lines, and to all."""
        count = len(self.columns)
        lengths = [sorted(len(line) for row in rows for line in row[i]) or [0] for i in range(count)]
        widths = [column.least for column in self.columns]
        left = self.room - INDENT - len(self.bar) * (count - 1) - sum(widths)
        if left < 0:
            return None
        for share, growing in ((MOST, 1), (MOST, count), (1.0, count)):
            more = [0] * count
            for i, (column, found) in enumerate(zip(self.columns[:growing], lengths, strict=False)):
                more[i] = max(0, min(column.most, found[int(share * (len(found) - 1))]) - widths[i])
            part = min(1.0, left / max(1, sum(more)))
            grown = [int(part * m) for m in more]
            widths = [width + m for width, m in zip(widths, grown, strict=True)]
            left -= sum(grown)
        return widths

    def heading(self) -> list[Spans]:
        if self.widths is None:
            return []
        return self._beside([[column.title] for column in self.columns], [{"dim": True}] * len(self.columns))

    def lines(self, row: Row) -> list[Spans]:
        if self.widths is None:
            return self._below(row)
        return self._beside(row, [column.style for column in self.columns])

    def _beside(self, row: Row, styles: Sequence[Style]) -> list[Spans]:
        assert self.widths is not None
        cells = [[f for line in cell for f in fold(line, width)] for cell, width in zip(row, self.widths, strict=True)]
        lines = []
        for n in range(max(map(len, cells))):
            spans: Spans = [(" " * INDENT, {})]
            for i, (cell, width) in enumerate(zip(cells, self.widths, strict=True)):
                text = cell[n] if n < len(cell) else ""
                last = i == len(cells) - 1
                spans += [(text if last else text.ljust(width), styles[i])] + ([] if last else [(self.bar, {"dim": True})])
            lines.append(spans)
        return lines

    def _below(self, row: Row) -> list[Spans]:
        first, *others = self.columns
        lines: list[Spans] = [
            [(" " * INDENT, {}), (text, first.style)] for line in row[0] for text in fold(line, self.room - INDENT)
        ]
        margin = 2 * INDENT + max(len(column.title) for column in others) + 2 if others else 0
        for column, cell in zip(others, row[1:], strict=True):
            texts = [text for line in cell for text in fold(line, self.room - margin)]
            for n, text in enumerate(texts):
                title = f"{'' if n else ' ' * 2 * INDENT + column.title:<{margin}}"
                lines.append([(title, {"dim": True}), (text, column.style)])
        return lines
