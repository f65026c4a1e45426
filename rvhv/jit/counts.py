"""What the machine has counted of translated regions, beside the predecoded code: how often each was entered, and where they were
left. What is counted of a page is lost when its predecoded code is given up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu.state import (
    CODE_HITS,
    CODE_LEFT,
    CODE_SEEN,
    CODE_STRIDE,
    FRAME_CODE,
    FRAME_WORDS,
)
from rvhv.jit.engine import Engine
from rvhv.jit.job import Result

HALFWORDS = PAGE // 2


@dataclass(frozen=True, slots=True)
class CodePage:
    """A frame that code was executed from. `address`: virtual, where a region in it was last left, and `vm` its trace_vm then;
    None and 0 when none was."""

    frame: int
    address: int | None
    vm: int


@dataclass(frozen=True, slots=True)
class RegionCount:
    """A region that is installed. `entered`: how often regions were at its entries, by the interpreter and by other regions."""

    page: CodePage
    entered: int
    region: Result


@dataclass(frozen=True, slots=True)
class LeftCount:
    """How often the interpreter went on at an offset of a page when a region was left."""

    page: CodePage
    offset: int
    times: int
    data: bytes  # what is there now: 4 bytes, or 2 at the end of the page


def region_counts(memory: Memory) -> list[RegionCount]:
    """Of every region that can be entered."""
    engine, code = memory.engine, memory.code.view
    if not isinstance(engine, Engine):
        return []
    found = []
    for base, page in _counted(memory):
        for region in engine.live(page.frame):
            hits = sum(code[CODE_HITS + base + at // 2] for at in region.entries)
            found.append(RegionCount(page, hits, region))
    return found


def left_counts(memory: Memory) -> list[LeftCount]:
    """Of every place where a region was left."""
    code = memory.code.view
    found = []
    for base, page in _counted(memory):
        start = CODE_LEFT + base
        for i, times in enumerate(code[start : start + HALFWORDS].tolist()):
            if times:
                spa = memory.base + page.frame * PAGE + 2 * i
                found.append(LeftCount(page, 2 * i, times, memory.read(spa, min(4, PAGE - 2 * i))))
    return found


def _counted(memory: Memory) -> Iterator[tuple[int, CodePage]]:
    """Where the words of a page of predecoded code begin, and which it is, for those with counts."""
    code = memory.code.view
    decoded = memory.frames.view[FRAME_CODE : memory.size // PAGE * FRAME_WORDS : FRAME_WORDS].tolist()
    for frame, number in enumerate(decoded):
        base = (number - 1) * CODE_STRIDE
        if number and (seen := code[base + CODE_SEEN]):
            yield base, CodePage(frame, seen & -PAGE if seen > 1 else None, (seen & PAGE - 1) >> 1)
