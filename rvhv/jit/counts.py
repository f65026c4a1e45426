"""What the machine has counted of translated regions, beside the predecoded code: how often each was entered, and where they were
left. What is counted of a page is lost when its predecoded code is given up.
"""

from __future__ import annotations

from collections import Counter
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
class LeftAt:
    """Where the interpreter went on when a region was left: an offset into a page, and 4 bytes of it, or 2 at the end."""

    page: CodePage
    offset: int
    data: bytes


def entered(memory: Memory) -> dict[tuple[CodePage, Result], Counter[int]]:
    """Of each region that is installed, how often one was entered at each entry, by the interpreter or by another region."""
    engine, code = memory.engine, memory.code.view
    if not isinstance(engine, Engine):
        return {}
    found: dict[tuple[CodePage, Result], Counter[int]] = {}
    for base, page in _counted(memory):
        for at, region in engine.live(page.frame).items():
            found.setdefault((page, region), Counter())[at] = code[CODE_HITS + base + at // 2]
    return found


def left_at(memory: Memory) -> dict[LeftAt, int]:
    """How often the interpreter went on at each place when a region was left."""
    code = memory.code.view
    found = {}
    for base, page in _counted(memory):
        start = CODE_LEFT + base
        for i, times in enumerate(code[start : start + HALFWORDS].tolist()):
            if times:
                spa = memory.base + page.frame * PAGE + 2 * i
                found[LeftAt(page, 2 * i, memory.read(spa, min(4, PAGE - 2 * i)))] = times
    return found


def _counted(memory: Memory) -> Iterator[tuple[int, CodePage]]:
    """Where the words of a page of predecoded code begin, and which it is, for those with counts."""
    code = memory.code.view
    decoded = memory.frames.view[FRAME_CODE : memory.size // PAGE * FRAME_WORDS : FRAME_WORDS].tolist()
    for frame, number in enumerate(decoded):
        base = (number - 1) * CODE_STRIDE
        if number and (seen := code[base + CODE_SEEN]):
            yield base, CodePage(frame, seen & -PAGE if seen > 1 else None, (seen & PAGE - 1) >> 1)
