"""`--translated`: each run of a hart of tier jit begins in a region, where one can be entered.

Tests of single instructions never get hot. With this they go through the translator's code as well: what it does itself, and
where it leaves to the interpreter because it cannot. Regions are as long as the run, so that the budget is enough for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import pytest

from rvhv.core.memory import PAGE
from rvhv.cpu.state import SLOT, Answer
from rvhv.hart import Hart
from rvhv.jit.engine import Engine, Tier
from rvhv.jit.job import MOST_INSTRUCTIONS, Job, Result
from rvhv.jit.work import work

PC, MMIO_ANSWER, REGION_STEPS = (SLOT[name] for name in ("pc", "mmio_answer", "region_steps"))


@dataclass
class Count:
    """Runs of harts, and those of them that made steps in regions."""

    runs: int = 0
    translated: int = 0


@lru_cache(maxsize=4096)
def _translated(page: bytes, offset: int, tlb_bits: int, most: int) -> Result:
    return work(Job(0, 0, page, (offset,), tlb_bits, most=most))


def _prepare(hart: Hart, budget: int) -> None:
    """Have a region at pc."""
    made, state, memory = hart.engine, hart.state, hart.memory
    if not isinstance(made, Engine) or made.tier is not Tier.JIT or budget <= 0 or state[MMIO_ANSWER] != Answer.NONE:
        return
    spa = hart.walk(state[PC], "fetch").spa
    if spa is None or not memory.base <= spa < memory.base + memory.size:
        return
    page, offset = memory.read(spa & -PAGE, PAGE), spa % PAGE
    if budget == 1:  # one instruction is all that there is to see
        page = bytes(offset) + page[offset : offset + 4] + bytes(PAGE - offset - len(page[offset : offset + 4]))
    result = _translated(page, offset, made.tlb_bits, min(budget, MOST_INSTRUCTIONS))
    made._install(hart, replace(result, frame=(spa - memory.base) // PAGE))


def translate_each_run(monkeypatch: pytest.MonkeyPatch, count: Count) -> None:
    real = Hart.run

    def run(hart: Hart, budget: int) -> int:
        _prepare(hart, budget)
        before = hart.state[REGION_STEPS]
        code = real(hart, budget)
        count.runs += 1
        count.translated += hart.state[REGION_STEPS] != before
        return code

    monkeypatch.setattr(Hart, "run", run)
