"""What a lab's checks are written with: a check is a function over a bench, and loses its points by raising `Lost`."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from rvhv.grade.part import Offered


class Lost(Exception):
    """A check's points are lost. `show`: what to type into `rvhv debug`, which stands where the check failed."""

    def __init__(self, expected: str, happened: str, show: str = "") -> None:
        super().__init__(f"expected {expected}; {happened}")
        self.expected, self.happened, self.show = expected, happened, show


class AnyPart(Protocol):
    """The student's part: in a process of its own (`rvhv.grade.part.Part`), or here, to be debugged (`LocalPart`)."""

    def offer(self, offered: Offered) -> Offered: ...
    def make(self, *args: Any) -> None: ...
    def call(self, name: str, *args: Any) -> Any: ...
    def get(self, name: str) -> Any: ...


@dataclass
class Bench:
    """What a check has to work with: the part, not made yet, and chance. `target`: the hypervisor, or bench of a lab's own, that
    `rvhv debug` is to look at when the check fails; `look`: what it is asked when the part itself does."""

    part: AnyPart
    rng: random.Random
    target: object = None
    look: str = "why"


@dataclass(frozen=True)
class Check:
    """`name` is a word for command lines; `title` says what is right when it passes."""

    name: str
    title: str
    points: int
    function: Callable[[Bench], None]


class Checks(list[Check]):
    """A lab's, in order; filled by decorating."""

    def add(self, title: str, points: int) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
        def register(function: Callable[[Bench], None]) -> Callable[[Bench], None]:
            self.append(Check(function.__name__.replace("_", "-"), title, points, function))
            return function

        return register


def chance(seed: str, lab: str, check: str) -> random.Random:
    """The same numbers for the same seed, on every computer."""
    return random.Random(f"{seed}/{lab}/{check}")


def number(value: Any, what: str) -> int:
    """An answer that must be an address or another whole number of 64 bits. Raises Lost."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise Lost(f"{what} to be a whole number of 64 bits", f"it is {value!r:.60}")
    return value
