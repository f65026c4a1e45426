"""A long hunt for a difference between the tiers: `python -m tests.diff.soak --instructions 10G --seed 1`.

Random worlds (`tests.diff.worlds`) and random programs in an endless loop, each run for millions of steps in random budgets, with
what disturbs them now and then, until so many instructions have been made by each tier. The first difference ends it; the same seed
and `--first` see it again.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.render.asm import Assembler
from tests.diff.programs import ProgramMaker
from tests.diff.states import rows
from tests.diff.twins import Twins
from tests.diff.worlds import CODE, DATA, SIZE, World, frame

UNITS = {"K": 10**3, "M": 10**6, "G": 10**9}
MOST_BUDGET = 22  # its logarithm to base 2, in steps
CSRS = tuple(ISA.csrs[n].number for n in ("sscratch", "sepc", "mscratch", "cycle", "instret", "time", "fcsr", "misa"))


def endless_program(rng: random.Random, maker: ProgramMaker) -> Twins:
    """A random program that begins again where it ends, and after each trap."""
    twins = Twins(SIZE, tlb_bits=rng.choice((0, 3, 8)), sample=rng.choice((64, 1000)))
    start = frame(CODE) + 2 * rng.randrange(0x700)
    program = maker.make(rng, frame(DATA) + 4096, rng.randrange(40, 200), CSRS)
    back = Assembler(ISA).assemble(f"j {start}", start + len(program.code))
    twins.write(start, program.code + back.to_bytes(4, "little"))
    twins.write(frame(DATA), rng.randbytes(2 * 4096))
    twins.registers(rng, program.x)
    twins.set("mtvec", start & ~3)
    if start & 2:
        twins.write(start - 2, b"\x01\x00")
    twins.set("pc", start)
    return twins


def budget(rng: random.Random) -> int:
    return int(2 ** rng.uniform(0, MOST_BUDGET))


def soak_world(rng: random.Random, steps: int) -> tuple[int, int]:
    """Steps made, and of these in regions."""
    world = World(rng, floats=rng.random() < 0.5, harts=rng.choice((1, 1, 2)))
    twins = world.twins
    world.translate()
    made = run = 0
    while made < steps:
        number = run % (len(twins.harts) // 2)
        count = budget(rng)
        twins.run_through(count, number)
        twins.check(f"run {run}, {world.what}")
        if rng.random() < 0.5:
            world.disturb()
        made, run = made + count, run + 1
    return made, twins.region_steps


def soak_program(rng: random.Random, steps: int, maker: ProgramMaker) -> tuple[int, int]:
    twins = endless_program(rng, maker)
    made = 0
    while made < steps:
        count = budget(rng)
        twins.run_through(count)
        twins.check("program")
        if rng.random() < 0.1:
            twins.flush()
        made += count
    return made, twins.region_steps


def soak(instructions: int, seed: int, first: int, say: Callable[[str], None]) -> int:
    """Steps made by each tier. Fails as a test does."""
    maker = ProgramMaker(ISA, [row for row in rows(ISA) if row.plain or row.insn.extension == "Zicsr"])
    made = inside = 0
    number = first
    while made < instructions:
        rng = random.Random(f"soak {seed} {number}")
        each = min(instructions, 40_000_000)
        try:
            steps, regions = soak_program(rng, each, maker) if number % 2 else soak_world(rng, each)
        except pytest.fail.Exception as failure:
            say(f"guest {number} of seed {seed} (--first {number}): {failure}")
            raise
        made, inside, number = made + steps, inside + regions, number + 1
        say(f"{made:,} steps in each tier, {inside / made:.0%} in regions; guest {number}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--instructions", default="100M", help="by each tier: 1000, 50M, 10G")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first guest")
    options = parser.parse_args()
    text = options.instructions
    count = int(float(text[:-1]) * UNITS[text[-1]]) if text[-1] in UNITS else int(text)
    began = time.monotonic()
    last = 0.0

    def say(line: str) -> None:
        nonlocal last
        if time.monotonic() - last > 5 or "--first" in line:
            last = time.monotonic()
            sys.stderr.write(line + "\n")

    try:
        made = soak(count, options.seed, options.first, say)
    except pytest.fail.Exception:
        sys.exit(1)
    sys.stderr.write(f"no difference in {made:,} steps of each tier, seed {options.seed}, {time.monotonic() - began:.0f} s\n")


if __name__ == "__main__":
    main()
