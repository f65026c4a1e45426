"""Text from outside (guests, file names) made harmless for a terminal: what acts on a terminal becomes visible."""

from __future__ import annotations

import re

_TAB = 0x09
# Characters that are no C0 or C1 control and still change how the rest of a line is shown: line and paragraph
# separators, zero-width ones, and the bidirectional controls, which could make a text read as a neighbour's.
_DECEIVERS = (
    0x00AD, 0x061C, 0x180E, *range(0x200B, 0x2010), *range(0x2028, 0x202F), *range(0x2060, 0x2070), 0xFEFF,
    *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080),
)  # fmt: skip
_VISIBLE = {
    **{c: chr(0x2400 + c) for c in range(0x20) if c != _TAB},  # U+2400: the control pictures
    0x7F: "\u2421",
    **{c: f"\\x{c:02x}" for c in range(0x80, 0xA0)},
    **{c: f"\\u{c:04x}" if c < 0x10000 else f"\\U{c:08x}" for c in _DECEIVERS},
}
_COLOURS = re.compile(r"\x1b\[[0-9;:]*m")  # SGR: says nothing but colour, so dropping it loses nothing


def printable(text: str) -> str:
    """One line of `text` that a terminal shows and never obeys; tabs become spaces, colours are dropped."""
    if text.isascii() and text.isprintable():
        return text
    return _COLOURS.sub("", text).translate(_VISIBLE).expandtabs(8)
