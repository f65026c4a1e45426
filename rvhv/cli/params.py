"""What the command line's values look like: sizes, step counts, seeds, and options that take NAME=VALUE."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, TypeVar

import click

from rvhv.errors import ConfigError

Value = TypeVar("Value")

_NUMBER = re.compile(r"(0x[0-9a-f]+|[0-9][0-9_]*)([kmgt]?)(i?b)?", re.IGNORECASE)
_POWER = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_LARGEST = 1 << 63


def parse_size(text: str) -> int:
    """Bytes in `64K`, `32M`, `1G`, `4096` or `0x1000`. Raises ValueError with a sentence that says what is wrong."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size; write 64K, 32M or 1G")
    return _in_range(text, int(match[1], 0 if "x" in match[1].lower() else 10) << 10 * _POWER[match[2].lower()])


def parse_count(text: str) -> int:
    """A count like `1000`, `1_000`, `50M` (millions) or `0x10`. Raises ValueError like `parse_size`."""
    match = _NUMBER.fullmatch(text.strip())
    if match is None or match[3]:
        raise ValueError(f"{text!r} is not a number; write 1000, 20K (thousand) or 50M (million)")
    return _in_range(text, int(match[1], 0 if "x" in match[1].lower() else 10) * 1000 ** _POWER[match[2].lower()])


def _in_range(text: str, value: int) -> int:
    if value == 0:
        raise ValueError(f"{text!r} is zero, and it has to be at least 1")
    if value >= _LARGEST:
        raise ValueError(f"{text!r} is too large")
    return value


class Parsed(click.ParamType[int]):
    """A click type around one of the parsers above."""

    def __init__(self, name: str, parse: Callable[[str], int]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return self._parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


SIZE = Parsed("size", parse_size)
STEPS = Parsed("steps", parse_count)


class Seed(click.ParamType[int]):
    """Any integer from 0 to 2^64-1, decimal or 0x hex."""

    name = "seed"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            seed = int(value, 0)
        except ValueError:
            self.fail(f"{value!r} is not a number; write 1234 or 0x4d2", param, ctx)
        if not 0 <= seed < 1 << 64:
            self.fail(f"{value!r} is outside 0 ... 2^64-1", param, ctx)
        return seed


SEED = Seed()


def for_each_vm(
    option: str, values: Sequence[str], names: Sequence[str], parse: Callable[[str], Value], default: Value
) -> dict[str, Value]:
    """What a repeatable option gives each VM: NAME=VALUE for one, a bare VALUE for all that are not named.

    Raises ConfigError for a VM that is not there, a VM named twice, two bare values, or a value `parse` refuses.
    """
    bare: list[Value] = []
    named: dict[str, Value] = {}
    for text in values:
        name, equals, value = text.partition("=")
        if not equals or PurePath(name).name != name:  # `./a=b.raw` is a file, not a VM called `./a`
            bare.append(_parsed(option, text, parse))
        elif name not in names:
            raise ConfigError(f"{option} {text}: no VM is called {name!r}; {suggestion(name, names)}")
        elif name in named:
            raise ConfigError(f"{option} is given twice for {name!r}; give it once")
        else:
            named[name] = _parsed(option, value, parse)
    if len(bare) > 1:
        raise ConfigError(f"{option} is given {len(bare)} times without a name; write {option} NAME=VALUE")
    rest = bare[0] if bare else default
    return {name: named.get(name, rest) for name in names}


def _parsed(option: str, text: str, parse: Callable[[str], Value]) -> Value:
    try:
        return parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` where one is near, else what there is."""
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"


def vm_names(guests: Sequence[str]) -> list[str]:
    """A name for each guest argument: the file's stem; the second `tasks` is `tasks-2`."""
    stems = [PurePath(guest).stem or guest for guest in guests]
    names: list[str] = []
    for stem in stems:
        name, n = stem, 1
        while name in names or (n > 1 and name in stems):
            n += 1
            name = f"{stem}-{n}"
        names.append(name)
    return names
