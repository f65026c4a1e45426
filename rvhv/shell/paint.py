"""Views as text: styles become colours, or nothing where there are none."""

from __future__ import annotations

from collections.abc import Iterable

from rvhv.cli.plain import printable
from rvhv.debug.view import Line, Style

_END = "\x1b[0m"
SGR: dict[Style, str] = {  # by the sixteen colours that every terminal has, so that its theme counts
    "": "",
    "title": "1",
    "key": "1",
    "address": "36",
    "symbol": "33",
    "register": "34",
    "mnemonic": "32",
    "number": "36",
    "changed": "1;33",
    "good": "32",
    "bad": "1;31",
    "warn": "33",
    "dim": "2",
    "vm1": "36",
    "vm2": "33",
    "vm3": "35",
    "vm4": "32",
    "vm5": "34",
    "vm6": "31",
}


def paint(line: Line, color: bool) -> str:
    """One line, harmless for a terminal whatever guests put into it."""
    pieces = ((SGR[style], printable(text)) for style, text in line)
    return "".join(f"\x1b[{code}m{text}{_END}" if color and code else text for code, text in pieces).rstrip()


def painted(lines: Iterable[Line], color: bool) -> list[str]:
    return [paint(line, color) for line in lines]
