"""What could make translated code differ from the interpreter: code and mappings that change under it, faults and interrupts in
its middle, other harts, stops. Random worlds, chopped at random; both tiers must stay the same to the step."""

from __future__ import annotations

import pytest

from tests.diff.states import SCALE, rng_for
from tests.diff.worlds import World

BUDGETS = (1, 2, 3, 5, 17, 100, 400, 3000, 10_000)


@pytest.mark.parametrize("n", range(int(40 * SCALE)))
def test_one_hart(n: int) -> None:
    rng = rng_for("tiers", "world", n)
    world = World(rng, floats=n % 3 == 0)
    world.translate()
    for i in range(80):
        world.twins.run_through(rng.choice(BUDGETS))
        world.twins.check(f"world {n}, run {i}, {world.what}")
        if rng.random() < 0.3:
            world.disturb()


@pytest.mark.parametrize("n", range(int(16 * SCALE)))
def test_two_harts(n: int) -> None:
    """Each patches the other's code, maps its pages and takes its reservations."""
    rng = rng_for("tiers", "two harts", n)
    world = World(rng, harts=2)
    world.translate()
    for i in range(60):
        world.twins.run_through(rng.choice(BUDGETS), i % 2)
        world.twins.check(f"world {n}, run {i}, {world.what}")
        if rng.random() < 0.2:
            world.disturb()


@pytest.mark.parametrize("n", range(int(16 * SCALE)))
def test_stops(n: int) -> None:
    """Breakpoints and watchpoints come and go while regions are installed: the same stops, and nothing else changes."""
    rng = rng_for("tiers", "stops", n)
    world = World(rng)
    world.translate()
    for i in range(40):
        world.twins.run_through(rng.choice(BUDGETS[:6]))
        world.twins.check(f"world {n}, run {i}, {world.what}")
        if rng.random() < 0.4:
            world.stop_somewhere()
        if rng.random() < 0.2:
            world.disturb()


def test_that_regions_run_in_the_worlds() -> None:
    """Else the rest shows nothing."""
    shares = []
    for n in range(12):
        world = World(rng_for("tiers", "share", n))
        world.translate()
        world.twins.run_through(50_000)
        shares.append(world.twins.region_steps / 50_000)
    assert sum(share > 0.1 for share in shares) > 5, shares
