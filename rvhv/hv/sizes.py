"""Sizes as people write them: 64K, 32M, 1G."""

from __future__ import annotations

from operator import index
from typing import Any

from rvhv.errors import ConfigError

UNITS = {"": 1, "B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
PAGE = 4096


class MemoryShort(ConfigError):
    """This computer has not that much."""


def parse_size(text: str | int) -> int:
    """Bytes. Raises ConfigError for what is no size."""
    if not isinstance(text, str):
        return whole("a size", text)
    word = text.strip().upper().removesuffix("IB")
    unit = word[-1:] if word[-1:] in UNITS else ""
    digits = word.removesuffix(unit)
    if not (digits.isascii() and digits.isdigit()):
        raise ConfigError(f"{text!r} is not a size: write a number with K, M or G, such as 32M")
    return int(digits) * UNITS[unit]


def whole(what: str, value: Any) -> int:
    """`value` when it is an integer. Raises ConfigError."""
    try:
        return index(value)
    except TypeError:
        raise ConfigError(f"{what} is a whole number, not {value!r}") from None


def show_size(n: int) -> str:
    """A size in the largest unit that leaves it whole."""
    unit, size = max(((u, s) for u, s in UNITS.items() if n % s == 0 and u != "B"), key=lambda item: item[1])
    return f"{n // size}{unit}" if n else "0"


def memory_size(what: str, size: str | int, least: int, why: str = "") -> int:
    """A size of memory in whole pages, at least `least` bytes (`why` says what for). Raises ConfigError."""
    n = parse_size(size)
    if n < least:
        raise ConfigError(f"{what}: {show_size(n)} is too small{why}, give it at least {show_size(least)}")
    if n % PAGE:
        raise ConfigError(f"{what}: {show_size(n)} is not a whole number of 4 KiB pages")
    return n
