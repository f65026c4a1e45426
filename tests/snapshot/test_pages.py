"""Versions of pages: each snapshot stays exact, whatever others are forgotten and in whatever order; what is held is counted."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.core.memory import PAGE, Memory
from rvhv.snapshot.pages import ENTRY_BYTES, Pages

FRAMES = 6
SIZE = FRAMES * PAGE


def written(rng: random.Random, memory: Memory) -> set[int]:
    """Write some frames; often what they held, zeros, or what another holds."""
    spas = set()
    for _ in range(rng.randrange(5)):
        spa = memory.base + PAGE * rng.randrange(FRAMES)
        memory.write(spa, rng.choice((bytes(PAGE), b"a" * PAGE, rng.randbytes(PAGE), memory.read(memory.base, PAGE))))
        spas.add(spa)
    return spas


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 32), st.lists(st.sampled_from("aaaamrc"), max_size=25))
def test_every_snapshot_that_is_left_is_exact(seed: int, operations: list[str]) -> None:
    rng = random.Random(seed)
    memory = Memory(SIZE)
    written(rng, memory)
    pages = Pages(memory)
    pages.begin(0)
    model = {0: memory.read(memory.base, SIZE)}
    head, newest, since = 0, 0, set[int]()
    for operation in operations:
        if operation == "a":
            since |= written(rng, memory)
            number = newest + 1
            pages.add(number, since | pages.between(head, newest))
            model[number] = memory.read(memory.base, SIZE)
            head, newest, since = number, number, set()
        elif operation == "m" and len(model) > 1:
            numbers = sorted(model)
            i = rng.randrange(len(numbers) - 1)
            if numbers[i] != head:
                pages.merge(numbers[i], numbers[i + 1])
                del model[numbers[i]]
        elif operation == "r":
            since |= written(rng, memory)
            target = rng.choice(sorted(model))
            pages.write_back(target, since | pages.between(head, target))
            assert memory.read(memory.base, SIZE) == model[target]
            head, since = target, set()
        elif operation == "c":
            pages.cut(head)
            model = {number: kept for number, kept in model.items() if number <= head}
            newest = max(model)
        for number, kept in model.items():
            assert b"".join(pages.at(number, memory.base + at) for at in range(0, SIZE, PAGE)) == kept
    while len(model) > 1:
        numbers = sorted(model)
        pages.merge(numbers[0], numbers[1])
        del model[numbers[0]]
    distinct = {kept[at : at + PAGE] for kept in model.values() for at in range(0, SIZE, PAGE)}
    assert len(distinct - {bytes(PAGE)}) <= len(pages._kept) <= FRAMES + 1


def test_equal_pages_are_held_once() -> None:
    memory = Memory(64 * PAGE)
    for i in range(32):
        memory.write(memory.base + i * PAGE, b"same" * 1024)
    pages = Pages(memory)
    pages.begin(0)
    assert 0 < pages.size < 4 * PAGE + 32 * 400
    before = pages.size
    pages.add(1, range(memory.base, memory.base + 64 * PAGE, PAGE))  # nothing changed
    assert pages.size == before + 64 * ENTRY_BYTES  # but that they were stored to
    before = pages.size
    for i in range(32):
        memory.write(memory.base + i * PAGE, bytes([i + 1]) * PAGE)
    pages.add(2, [memory.base + i * PAGE for i in range(32)])
    assert pages.size >= before + 32 * PAGE
    pages.cut(1)
    assert pages.size == before


def test_what_was_stored_to_is_known_whatever_is_forgotten() -> None:
    memory = Memory(SIZE)
    first, second, third = (memory.base + i * PAGE for i in range(3))
    pages = Pages(memory)
    pages.begin(0)
    before = pages.size
    pages.add(1, [first])  # with what was there
    memory.write(second, b"x")
    pages.add(2, [second, first])
    pages.add(3, [])

    def stored(one: int, other: int) -> list[int]:
        return [spa for spa in (first, second, third) if pages.stored_to(one, other, [spa])]

    assert (stored(0, 1), stored(1, 2), stored(2, 3), stored(0, 3)) == ([first], [first, second], [], [first, second])
    pages.merge(1, 2)
    assert (stored(0, 2), stored(2, 3)) == ([first, second], [])
    pages.merge(2, 3)
    assert stored(0, 3) == [first, second]
    pages.cut(0)
    assert stored(0, 3) == [] and pages.size == before
