"""Translated regions against the interpreter: the same registers, CSRs, memory, steps and exits, wherever a run is chopped."""

from __future__ import annotations

import random

import pytest

from rvhv.core.memory import Memory
from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_BYTES, ARCH_NAMES, SLOT, Exit
from rvhv.hart import RESET, Hart
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.jit.form import PAGE, step_at
from tests.diff.floats import register as float_register
from tests.diff.programs import ProgramMaker
from tests.diff.states import SCALE, SEED, Row, random_case, rng_for, rows, value

SIZE = 0x8000
RAM = range(0x8000_0000, 0x8000_0000 + SIZE)
CODE = range(RAM.start + 0x1000, RAM.start + 0x3000)
DATA = range(RAM.start + 0x5000, RAM.stop)
FS_DIRTY, NX = 3 << 13, 1
DIS, ASM = Disassembler(ISA, pseudo=False), Assembler(ISA)


class Twins:
    """Two harts with memories of their own: `plain` only interprets."""

    def __init__(self) -> None:
        self.memories = [Memory(SIZE, RAM.start) for _ in range(2)]
        tiers = zip(self.memories, ("interp", "jit"), strict=True)
        self.plain, self.fast = self.harts = [Hart(memory, tlb_bits=3, tier=tier) for memory, tier in tiers]
        self.fast.state[SLOT["sample"]] = 0  # only what a test asks for is translated
        self.reset()

    def reset(self) -> None:
        for hart in self.harts:
            for name in ARCH_NAMES:
                hart.state[SLOT[name]] = RESET.get(name, 0)
            hart.open_pmp()
        self.set("mstatus", FS_DIRTY)
        self.set("fcsr", NX)

    def set(self, name: str, v: int) -> None:
        for hart in self.harts:
            hart.state[SLOT[name]] = v

    def registers(self, rng: random.Random, x: tuple[int, ...] | None = None) -> None:
        for n in range(1, 32):
            self.set(f"x{n}", x[n] if x else value(rng))
        for n in range(32):
            self.set(f"f{n}", float_register(rng))

    def write(self, address: int, data: bytes) -> None:
        for memory in self.memories:
            memory.write(address, data)

    def translate(self, page: int, starts: list[int]) -> int:
        """How many instructions there were to translate."""
        assert self.fast.engine is not None
        loaded = self.fast.engine.translate(self.fast, page, starts)
        return loaded.result.instructions if loaded else 0

    def run(self, steps: int) -> tuple[int, int]:
        """Exits of both; full traces and trap loops are seen to."""
        codes = []
        for hart in self.harts:
            end = hart.state[SLOT["steps"]] + steps
            code = Exit.BUDGET.value
            while (left := end - hart.state[SLOT["steps"]]) > 0:
                code = hart.run(left)
                if code == Exit.TRACE_FULL:
                    hart.drain_trace()
                elif code == Exit.TRAP_LOOP:
                    hart.state[SLOT["traps_in_a_row"]] = 0
                elif code != Exit.BUDGET:
                    break
            codes.append(code)
        return codes[0], codes[1]

    def differences(self) -> list[str]:
        blocks = [bytearray(ARCH_BYTES) for _ in range(2)]
        for hart, block in zip(self.harts, blocks, strict=True):
            hart.save(block)
        words = [memoryview(b).cast("Q") for b in blocks]
        pairs = zip(ARCH_NAMES, *words, strict=True)
        found = [f"{name} {a:#x} != {b:#x}" for name, a, b in pairs if a != b and name != "x_sink"]
        if self.plain.state[SLOT["steps"]] != self.fast.state[SLOT["steps"]]:
            found.append("steps")
        if self.memories[0].read(RAM.start, SIZE) != self.memories[1].read(RAM.start, SIZE):
            found.append("memory")
        return found

    def check(self, what: str) -> None:
        if found := self.differences():
            pytest.fail(f"interpreter != region: {'; '.join(found)}\n  RVHV_DIFF_SEED={SEED} | {what}")


def offsets(page: bytes) -> list[int]:
    """Where the instructions of a page start, one behind the other."""
    found, at = [], 0
    while at < PAGE and (step := step_at(page, at)) is not None:
        found.append(at)
        at = step.next
    return found


ROWS = [row for row in rows(ISA) if not any(getattr(e, "via", "data") != "data" for e in row.insn.effects)]
BATCH = 24  # words in one region


@pytest.mark.parametrize("batch", [ROWS[i::20] for i in range(20)], ids=str)
def test_rows(batch: list[Row]) -> None:
    """Every row, alone, from random states: any mode of rounding, floating point on and off."""
    rng = rng_for("tiers", batch[0].name)
    todo = [(row, random_case(row, ISA, rng, DATA, CODE)) for row in batch for _ in range(max(1, int(3 * SCALE)))]
    translated = 0
    for i in range(0, len(todo), BATCH):
        twins, cases = Twins(), todo[i : i + BATCH]
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
    twins = Twins()
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
