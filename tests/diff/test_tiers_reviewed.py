"""Where regions once differed from the interpreter, found by reading."""

from __future__ import annotations

import pytest

from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT, Exit
from rvhv.hart import Hart
from tests.diff.twins import Twins

CODE = 0x8000_1000
FCVT_D_W = 0xD2050053  # fcvt.d.w f0, a0, rm 0


@pytest.mark.parametrize("rm", [5, 6])
def test_a_reserved_rounding_mode_traps(rm: int) -> None:
    twins = Twins(0x8000)
    twins.write(CODE, (FCVT_D_W | rm << 12).to_bytes(4, "little"))
    twins.translate(CODE, [0])
    twins.set("prv", 3)
    twins.set("pc", CODE)
    twins.set("mtvec", CODE + 64)
    twins.run(1)
    twins.check(f"rm {rm}")
    assert twins.fast.state[SLOT["mcause"]] == 2


LOOP = bytes.fromhex("9305f5ff2e85edfd")  # addi a1, a0, -1; mv a0, a1; bnez a1, -4


@pytest.mark.parametrize("other", ["interp", "tlb_bits", "log"])
def test_a_hart_that_is_not_served_runs_no_region(other: str) -> None:
    memory = Memory(1 << 16)
    memory.write(memory.base, LOOP)
    first = Hart(memory, tier="jit")
    first.state[SLOT["x10"]] = 100_000
    first.run(50_000)
    tier, bits, records = {"interp": ("interp", 8, 0), "tlb_bits": ("jit", 4, 0), "log": ("jit", 8, 4096)}[other]
    second = Hart(memory, hartid=1, tier=tier, tlb_bits=bits, log_records=records)
    second.state[SLOT["x10"]] = 100_000
    assert second.run(20_000) in (Exit.BUDGET, Exit.TRACE_FULL)
    assert second.engine is None and second.state[SLOT["region_steps"]] == 0
    made = first.state[SLOT["region_steps"]]
    first.run(20_000)
    assert first.state[SLOT["region_steps"]] == made
