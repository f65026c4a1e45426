"""The machine that checks give to a part: what a part can do with it, and for how long."""

from __future__ import annotations

import random
import time

import pytest

from rvhv.grade.check import Lost
from rvhv.grade.probe import MOST_WORK, Probe
from rvhv.machine.memory import PAGE, FrameAllocator, Memory, OutOfFrames


def test_runs_of_frames_are_the_lowest_that_fit() -> None:
    """Against a search that tries every place."""
    rng = random.Random(5)
    for _ in range(200):
        memory = Memory(64 * PAGE)
        frames = FrameAllocator(memory, memory.base, memory.base + memory.size)
        frames.alloc(64)
        free = {memory.base + PAGE * n for n in range(64) if rng.random() < 0.7}
        for spa in sorted(free):
            frames.free(spa)
        count, align = rng.randrange(2, 7), rng.choice((1, 2, 4))
        places = (spa for spa in sorted(free) if spa % (align * PAGE) == 0)
        wanted = next((p for p in places if all(p + PAGE * n in free for n in range(count))), None)
        if wanted is None:
            with pytest.raises(OutOfFrames):
                frames.alloc(count, align)
        else:
            assert frames.alloc(count, align) == wanted
            assert frames.available == len(free) - count


def test_a_run_that_is_not_there_is_not_searched_for_long() -> None:
    """Half of a gigabyte in a row is free, and a part asks for a frame more."""
    memory = Memory(512 << 20)
    frames = FrameAllocator(memory, memory.base, memory.base + memory.size)
    half = memory.size // PAGE // 2
    spa = frames.alloc(2 * half)
    frames.free(spa, half)
    start = time.process_time()
    with pytest.raises(OutOfFrames):
        frames.alloc(half + 1)
    assert time.process_time() - start < 5  # tried at every place: an hour


@pytest.mark.usefixtures("compiled")
def test_who_only_allocates_is_stopped() -> None:
    probe = Probe(64 << 20, 1)
    count = 4000
    with pytest.raises(Lost, match="asked for more than"):
        for _ in range(MOST_WORK // count + 1):
            probe.frames.free(probe.frames.alloc(count), count)


@pytest.mark.usefixtures("compiled")
def test_any_number_of_accesses() -> None:
    """The hart's trace of its traps has room for some thousands."""
    probe = Probe(8 << 20, 1)
    probe.use(probe.frames.alloc(4, 4))
    causes = {probe.access("load", 0x8000_0000).cause for _ in range(20_000)}
    assert len(causes) == 1 and causes != {None}
