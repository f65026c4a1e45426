"""What a command of the debugger answers with: facts with two faces, styled lines for people and plain data for programs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Style = Literal[
    "", "title", "key", "address", "symbol", "register", "mnemonic", "number", "changed", "good", "bad", "warn", "dim",
    "vm1", "vm2", "vm3", "vm4", "vm5", "vm6",
]  # fmt: skip
Line = list[tuple[Style, str]]  # pieces of one line; the shell gives styles their colours


class View(Protocol):
    """Every answer is one. Neither face has side effects; both may be asked for any number of times."""

    def lines(self) -> list[Line]:
        """For people: lines without line ends. Texts are wrapped to 100 columns, or as `look.table.as_wide_as` says."""

    def json(self) -> Any:
        """For programs: dicts, lists, strings, numbers, None. Addresses and register values are strings such as "0x80200000"."""


@dataclass(frozen=True)
class Text:
    """Some lines of one style, with nothing more to say to programs than the same text."""

    text: str
    style: Style = ""

    def lines(self) -> list[Line]:
        return [[(self.style, line)] for line in self.text.splitlines()]

    def json(self) -> Any:
        return {"text": self.text}


def vm_style(number: int) -> Style:
    """The colour of a VM or hart, numbered from 1."""
    styles: tuple[Style, ...] = ("vm1", "vm2", "vm3", "vm4", "vm5", "vm6")
    return styles[(number - 1) % len(styles)]


def plain(lines: Iterable[Line]) -> str:
    """The text without its styles, lines joined."""
    return "\n".join("".join(text for _, text in line) for line in lines)
