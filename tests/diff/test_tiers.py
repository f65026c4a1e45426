"""Translated regions against the interpreter: the same registers, CSRs, memory, steps and exits, wherever a run is chopped."""

from __future__ import annotations

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.jit.form import PAGE, step_at
from tests.diff.programs import ProgramMaker
from tests.diff.states import SCALE, Row, random_case, rng_for, rows
from tests.diff.twins import FS_DIRTY, NX, RAM_START, Twins

SIZE = 0x8000
RAM = range(RAM_START, RAM_START + SIZE)
CODE = range(RAM.start + 0x1000, RAM.start + 0x3000)
DATA = range(RAM.start + 0x5000, RAM.stop)
DIS, ASM = Disassembler(ISA, pseudo=False), Assembler(ISA)


def offsets(page: bytes) -> list[int]:
    """Where the instructions of a page start, one behind the other."""
    found, at = [], 0
    while at < PAGE and (step := step_at(page, at)) is not None:
        found.append(at)
        at = step.next
    return found


ROWS = [row for row in rows(ISA) if not any(getattr(e, "via", "data") != "data" for e in row.insn.effects)]
BATCH = 24  # words in one region


@pytest.mark.parametrize("batch", [ROWS[i::20] for i in range(20)], ids=lambda batch: batch[0].name)
def test_rows(batch: list[Row]) -> None:
    """Every row, alone, from random states: any mode of rounding, floating point on and off."""
    rng = rng_for("tiers", batch[0].name)
    todo = [(row, random_case(row, ISA, rng, DATA, CODE)) for row in batch for _ in range(max(1, int(3 * SCALE)))]
    translated = 0
    for i in range(0, len(todo), BATCH):
        twins, cases = Twins(SIZE), todo[i : i + BATCH]
        page, places = bytearray(), list[int]()
        for _, case in cases:
            places.append(len(page))
            page += case.word.to_bytes(case.length, "little")
        twins.write(CODE.start, bytes(page))
        translated += twins.translate(CODE.start, places)
        for (row, case), at in zip(cases, places, strict=True):
            for n in range(int(12 * SCALE)):
                twins.registers(rng, case.x)
                if row.insn.uses_float:
                    twins.set("fcsr", rng.choice((0, NX, NX, NX, NX | rng.randrange(8) << 5)))
                    twins.set("mstatus", rng.choice((FS_DIRTY, FS_DIRTY, FS_DIRTY, 1 << 13, 0)))
                twins.write(DATA.start, rng.randbytes(64))
                address = rng.randrange(DATA.start, DATA.stop, 8)
                twins.set("reservation", rng.choice((case.x[10], address)))
                twins.set("reservation_size", rng.choice((4, 8)))
                twins.set("prv", 3)
                twins.set("pc", CODE.start + at)
                codes = twins.run(1)
                assert codes[0] == codes[1]
                twins.check(f"{DIS.text(case.word)} ({case.word:#x}) {n} x={[hex(v) for v in case.x]}")
                twins.set("medeleg", 0)
    assert translated


MAKER = ProgramMaker(ISA, [row for row in ROWS if row.plain or row.insn.extension == "Zicsr"])
CSRS = tuple(ISA.csrs[n].number for n in ("sscratch", "sepc", "mscratch", "cycle", "instret", "time", "fcsr", "sstatus", "misa"))


@pytest.mark.parametrize("n", range(int(40 * SCALE)))
def test_programs(n: int) -> None:
    """Loops, branches, calls and CSRs, entered anywhere, in any budgets."""
    rng = rng_for("tiers", "programs", n)
    twins = Twins(SIZE)
    program = MAKER.make(rng, DATA.start + len(DATA) // 2, 120, CSRS)
    start = CODE.start + 2 * rng.randrange(0x700)
    twins.write(start, program.code + b"\x01\x00" * 8)
    twins.write(DATA.start, rng.randbytes(len(DATA)))
    twins.set("mtvec", start + len(program.code) & ~3)
    twins.registers(rng, program.x)
    twins.set("pc", start)
    page = start & -PAGE
    first = start - page
    bytes_there = twins.memories[0].read(start, PAGE - first).ljust(PAGE, b"\0")
    inside = [first + at for at in offsets(bytes_there) if at < len(program.code)]
    twins.translate(page, [first] if n % 2 else rng.sample(inside, min(len(inside), 12)))
    for _ in range(300):
        twins.run(rng.choice((1, 2, 3, 7, 50, 200)))
        twins.check(f"program {n} at {start:#x}")
        if start + len(program.code) <= twins.plain.state[SLOT["pc"]]:
            break
