"""Random programs in lockstep with QEMU: pc, registers and CSRs are the same before every instruction.

RVHV_DIFF_SCALE multiplies the number of programs: RVHV_DIFF_SCALE=50 is an hour's hunt. Without QEMU 7.2 nothing runs.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from rvhv.core.registry import ISA
from rvhv.isa.render.disasm import Disassembler
from tests.diff.lockstep import NAMES, State, differences, missing, ours, theirs
from tests.diff.states import SCALE, SEED
from tests.diff.streams import RAM, USER, Stream, stream

PROGRAMS = int(30 * SCALE)
LIMIT = 1000  # instructions of a program
AGAIN = 3  # times that QEMU may log a state twice: when it stops before the instruction to look for events

MISSING = missing()
needs_qemu = pytest.mark.skipif(bool(MISSING), reason=MISSING)


def text(program: Stream, pc: int) -> str:
    """The instruction at pc of the program, for messages."""
    offset = (pc & ~USER if pc >= RAM + USER else pc) - RAM
    word = int.from_bytes(program.segments[RAM][offset : offset + 4], "little") if offset >= 0 else 0
    return Disassembler(ISA).text(word)


def compare(program: Stream, mine: list[State], folder: Path) -> str:
    """The first difference, with the instruction before it; "" when there is none."""
    at, again, last = 0, 0, None
    states = theirs(program, folder)
    try:
        for state in states:
            if names := differences(mine[at], state):
                if state == last and again < AGAIN:
                    again += 1
                    continue
                values = (f"{n} {mine[at][NAMES.index(n)]:#x}, QEMU {state[NAMES.index(n)]:#x}" for n in names)
                return f"{'; '.join(values)} after {text(program, mine[max(0, at - 1)][0])} (state {at})"
            at, again, last = at + 1, 0, state
            if at == len(mine):
                return ""
        return f"QEMU stopped {len(mine) - at} instructions before the end"
    finally:
        states.close()


@needs_qemu
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_program(seed: int, tmp_path: Path) -> None:
    program = stream(seed)
    mine = ours(program, LIMIT)
    difference = compare(program, mine, tmp_path)
    assert not difference, f"{difference}; program {seed}, RVHV_DIFF_SEED={SEED}"


@needs_qemu
def test_a_difference_is_found(tmp_path: Path) -> None:
    """One wrong bit anywhere is named."""
    program = stream(0)
    mine = ours(program, 50)
    wrong = list(mine[40])
    wrong[NAMES.index("x10")] ^= 1
    mine[40] = tuple(wrong)
    assert compare(program, mine, tmp_path).startswith("x10 ")


def test_programs_get_about() -> None:
    """The programs that CI compares reach every mode, and trap for every reason that they are made for."""
    causes: set[int] = set()
    modes: set[tuple[int, int]] = set()
    for seed in range(30):
        program = stream(seed)
        for state in ours(program, LIMIT):
            modes.add((state[NAMES.index("satp")] >> 60, state[NAMES.index("pc")] >> 30))
            causes |= {state[NAMES.index("mcause")], state[NAMES.index("scause")]} if state[0] < program.begin else set()
    assert {(0, 2), (8, 2), (9, 2), (10, 2), (8, 3)} <= modes
    assert {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15} <= causes
    assert {1 << 63 | n for n in (1, 3)} & causes
