"""What a measurement gives."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[str, float], None]  # what is being done, and how much of everything (0 to 1) is behind us


@dataclass(frozen=True)
class Spread:
    """The median of samples, their least and their greatest."""

    median: float
    least: float
    greatest: float


def spread(samples: list[float]) -> Spread:
    return Spread(statistics.median(samples), min(samples), max(samples))


@dataclass(frozen=True)
class Figure:
    """One measured value in `unit`, and the target (None: none is set)."""

    name: str
    unit: str
    value: Spread
    target: str | None = None
    note: str = ""


def figure(name: str, unit: str, samples: list[float], target: str | None = None, note: str = "") -> Figure:
    return Figure(name, unit, spread(samples), target, note)
