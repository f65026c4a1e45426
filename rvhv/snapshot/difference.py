"""What differs between two moments of a machine, as data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from rvhv.core.memory import Memory
from rvhv.cpu.state import ARCH_NAMES


@dataclass(frozen=True)
class Word:
    """A register or CSR of a guest hart, by its name in `rvhv.cpu.state.SLOT`."""

    name: str
    then: int
    now: int


@dataclass(frozen=True)
class Page:
    """A frame of the machine's memory whose bytes differ: `ranges` of (offset, length), at least 8 equal bytes apart."""

    spa: int
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Difference:
    """`then` and `now` in steps; `harts` by the name of their context. Contexts that were not there then have no entry."""

    then: int
    now: int
    harts: dict[str, tuple[Word, ...]]
    pages: tuple[Page, ...]


def compare(
    then: int,
    now: int,
    harts_then: Iterable[tuple[str, memoryview[int]]],
    harts_now: Mapping[str, bytes],
    memory_then: Memory,
    pages_now: Mapping[int, bytes],
) -> Difference:
    """`pages_now`: every frame that may differ."""
    harts = {}
    for name, words in harts_then:
        if name in harts_now:
            later = memoryview(harts_now[name]).cast("Q")
            changed = (Word(n, a, b) for n, a, b in zip(ARCH_NAMES, words, later, strict=True) if a != b)
            harts[name] = tuple(word for word in changed if word.name != "x_sink")
    pages = []
    for spa, page in sorted(pages_now.items()):
        if ranges := _ranges(memory_then.read(spa, len(page)), page):
            pages.append(Page(spa, ranges))
    return Difference(then, now, harts, tuple(pages))


def _ranges(one: bytes, other: bytes) -> tuple[tuple[int, int], ...]:
    if one == other:
        return ()
    ranges: list[list[int]] = []
    for at in (i for i in range(len(one)) if one[i] != other[i]):
        if ranges and at - ranges[-1][1] < 8:
            ranges[-1][1] = at + 1
        else:
            ranges.append([at, at + 1])
    return tuple((start, end - start) for start, end in ranges)
