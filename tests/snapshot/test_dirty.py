"""Which frames were stored to: by any instruction, by walks, by Python and devices; in both tiers and for several harts alike."""

from __future__ import annotations

import pytest

from rvhv import Hypervisor
from rvhv.core.memory import PAGE, Memory
from tests.diff.states import SCALE, rng_for
from tests.diff.worlds import World
from tests.hext.bare import BASE, CODE, Bare

DATA = BASE + 0x8000
ROOT, MIDDLE, LEAF = BASE + 0x10000, BASE + 0x11000, BASE + 0x12000


def changed(memory: Memory, before: bytes) -> set[int]:
    now = memory.read(memory.base, memory.size)
    return {memory.base + at for at in range(0, len(now), PAGE) if now[at : at + PAGE] != before[at : at + PAGE]}


def dirty_after(text: str, **registers: int) -> list[int]:
    """The frames that one instruction marks."""
    bare = Bare()
    bare.allow()
    bare.load(text)
    bare["x5"] = DATA
    for name, value in registers.items():
        bare[name] = value
    bare.memory.track()
    bare.hart.run(text.count("\n") + 1)
    return bare.memory.take_dirty()


@pytest.mark.parametrize(
    "text",
    [
        "sd x6, 0(x5)", "sb x6, 7(x5)", "sw x6, 1(x5)", "fsd f1, 8(x5)", "amoadd.d x7, x6, (x5)", "amocas.q x12, x10, (x5)",
        "lr.d x7, (x5)\nsc.d x7, x6, (x5)", "cbo.zero (x5)", "hsv.d x6, (x5)", "c.sw x8, 0(x9)",
    ],
)  # fmt: skip
def test_a_store_of_any_kind_marks_its_frame(text: str) -> None:
    assert dirty_after(text, x9=DATA, mstatus=3 << 13) == [DATA]


@pytest.mark.parametrize("text", ["ld x6, 0(x5)", "lr.d x7, (x5)", "sc.d x7, x6, (x5)", "nop", "cbo.clean (x5)", "ld x6, -4(x5)"])
def test_what_stores_nothing_marks_nothing(text: str) -> None:
    assert dirty_after(text) == []


def test_a_store_across_two_frames_marks_both() -> None:
    assert dirty_after("sd x6, -4(x5)") == [DATA - PAGE, DATA]


def test_a_walk_that_sets_a_and_d_marks_the_table() -> None:
    bare = Bare()
    bare.allow()
    bare.memory.write_u64(ROOT + 8 * (BASE >> 30), MIDDLE >> 2 | 1)
    bare.memory.write_u64(MIDDLE, LEAF >> 2 | 1)
    for page in range(32):
        bare.memory.write_u64(LEAF + 8 * page, (BASE + PAGE * page) >> 2 | 0xCF)
    bare.memory.write_u64(LEAF + 8 * (DATA - BASE >> 12), DATA >> 2 | 0x0F)  # neither A nor D
    bare["satp"] = 8 << 60 | ROOT >> 12
    bare.load("ld x6, 0(x5)\nsd x6, 0(x5)\nsd x6, 0(x5)")
    bare["x5"] = DATA
    bare.mode(1)
    bare.memory.track()
    bare.hart.run(1)
    assert bare.memory.take_dirty() == [LEAF]  # A
    bare.hart.run(1)
    assert set(bare.memory.take_dirty()) == {LEAF, DATA}  # D
    bare.hart.run(1)
    assert bare.memory.take_dirty() == [DATA]


def test_python_and_devices_mark_too_and_each_look_begins_anew() -> None:
    bare = Bare()
    memory = bare.memory
    memory.track()
    memory.write(DATA + PAGE - 2, b"four")
    memory.write_u64(BASE, 0)  # what was there already
    assert memory.take_dirty() == [DATA, DATA + PAGE, BASE]
    assert memory.take_dirty() == []
    bare.load("sd x6, 0(x5)\nsd x6, 8(x5)\nsd x6, 16(x5)")
    bare["x5"] = DATA
    memory.take_dirty()
    for _ in range(3):
        bare.hart.run(1)
        assert memory.take_dirty() == [DATA]
    memory.untrack()
    bare["pc"] = CODE
    bare.hart.run(3)
    memory.track()
    assert memory.take_dirty() == []


@pytest.mark.parametrize("n", range(int(16 * SCALE)))
def test_random_worlds(n: int) -> None:
    """Both tiers note the same frames, every frame that changed among them, and go on as they would have; one or two harts."""
    rng = rng_for("snapshot", "dirty", n)
    world = World(rng, floats=n % 3 == 0, harts=1 + n % 2)
    twins = world.twins
    world.translate()
    for memory in twins.memories:
        memory.track()
    noted = 0
    for i in range(60):
        before = [memory.read(memory.base, memory.size) for memory in twins.memories]
        for run in range(rng.choice((1, 1, 3))):
            twins.run_through(rng.choice((1, 2, 3, 17, 100, 3000)), run % (1 + n % 2))
        if rng.random() < 0.3:
            world.disturb()
        twins.check(f"world {n}, run {i}, {world.what}")
        dirty = [set(memory.take_dirty()) for memory in twins.memories]
        assert dirty[0] == dirty[1], f"{[sorted(map(hex, d)) for d in dirty]} {world.what}"
        assert changed(twins.memories[0], before[0]) <= dirty[0]
        noted += len(dirty[0])
    assert noted


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_a_run_is_the_same_with_and_without(tier: str) -> None:
    hashes = []
    for looks in (False, True):
        with Hypervisor("64M", tier=tier, seed=1) as hv:
            for name in ("hello", "tasks"):
                hv.create(name, memory="16M")
            if looks:
                hv.memory.track()
            while not hv.finished:
                before = hv.memory.read(hv.memory.base, hv.memory.size) if looks else b""
                hv.run(500_000)
                if looks:
                    assert changed(hv.memory, before) <= set(hv.memory.take_dirty())
            hashes.append((hv.trace_hash(), hv.steps))
    assert hashes[0] == hashes[1]
