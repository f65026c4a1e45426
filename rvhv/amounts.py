"""Amounts as people write them: 1000, 1_000, 20K, 5M, 0x10."""

from __future__ import annotations

import re

_AMOUNT = re.compile(r"(0x[0-9a-f]+|[0-9](?:_?[0-9])*)([kmg]?)", re.IGNORECASE)
_THOUSANDS = {"": 0, "k": 1, "m": 2, "g": 3}
LONGEST = 40  # characters


def amount(text: str) -> int | None:
    """A number, decimal with K, M or G for thousands, or hexadecimal; None when it is none."""
    match = _AMOUNT.fullmatch(text.strip())
    if match is None or len(text) > LONGEST:
        return None
    value: int = int(match[1], 16 if "x" in match[1].lower() else 10) * 1000 ** _THOUSANDS[match[2].lower()]
    return value
