"""What the command line's values look like: sizes, step counts, seeds, and options that take NAME=VALUE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from pathlib import PurePath
from typing import Any, TypeVar

import click

from rvhv.amounts import LONGEST, amount
from rvhv.errors import ConfigError

Value = TypeVar("Value")

_LARGEST = 1 << 63


def parse_size(text: str) -> int:
    """Bytes in `4M`, `32M` or `1G`. Raises ConfigError."""
    from rvhv.hv import sizes  # the API reads sizes too, so the rule is there; the import is late because it is not cheap

    size = sizes.parse_size(text) if len(text) < LONGEST else _LARGEST
    if not 0 < size < _LARGEST:
        raise ConfigError(f"{text!r} is no size that a memory can have: write 4M, 32M or 1G")
    return size


def parse_count(text: str) -> int:
    """A count like `1000`, `1_000`, `50M` (millions) or `0x10`. Raises ConfigError."""
    value = amount(text)
    if value is None:
        raise ConfigError(f"{text!r} is not a number: write 1000, 20K (thousand) or 50M (million)")
    if not 0 < value < _LARGEST:
        raise ConfigError(f"{text!r} is out of range: write a number from 1 to 9e18")
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
        except ConfigError as error:
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

    `parse` raises ConfigError for a value it refuses; so does a VM that is not there or named twice, or two bare values.
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
    except ConfigError as error:
        raise ConfigError(f"{option}: {error}") from None


def suggestion(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?` where one is near, else what there is."""
    known = list(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there is {', '.join(known)}"


def vm_names(guests: Sequence[str], taken: Sequence[str] = ()) -> list[str]:
    """A name for each guest argument: the file's stem; the second `tasks` is `tasks-2`. `taken` are others' names."""
    stems = [(PurePath(guest).stem or guest).encode("utf-8", "replace").decode() for guest in guests]
    names: list[str] = []
    for stem in stems:
        name, n = stem, 1
        while name in names or name in taken or (n > 1 and name in stems):
            n += 1
            name = f"{stem}-{n}"
        names.append(name)
    return names
