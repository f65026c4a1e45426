"""Floating point in regions against the interpreter: every row, from operands that belong together, most of them such that the
host's FPU stands in."""

from __future__ import annotations

from itertools import product

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.oracle_float import FORMATS, box
from tests.diff.floats import edges, float_registers, register, source_format, with_rounding
from tests.diff.states import SCALE, Row, random_case, rng_for, rows
from tests.diff.twins import FS_DIRTY, NX, RAM_START, Twins

SIZE = 0x8000
CODE = range(RAM_START + 0x1000, RAM_START + 0x3000)
DATA = range(RAM_START + 0x5000, RAM_START + SIZE)
DIS = Disassembler(ISA, pseudo=False)
ROWS = [row for row in rows(ISA) if row.insn.uses_float and not row.touches_memory]
WORDS, STATES = 6, 60


@pytest.mark.parametrize("batch", [ROWS[i::16] for i in range(16)], ids=lambda batch: batch[0].name)
def test_rows(batch: list[Row]) -> None:
    rng = rng_for("tiers-floats", batch[0].name)
    for row in batch:
        twins = Twins(SIZE)
        words = [with_rounding(row, random_case(row, ISA, rng, DATA, CODE).word, rng) for _ in range(WORDS)]
        twins.write(CODE.start, b"".join(word.to_bytes(row.length, "little") for word in words))
        assert twins.translate(CODE.start, [i * row.length for i in range(WORDS)]) == WORDS
        for i, word in enumerate(words):
            for n in range(int(STATES * SCALE)):
                twins.registers(rng)
                for number, image in enumerate(float_registers(row, word, rng)):
                    twins.set(f"f{number}", image)
                twins.set("fcsr", rng.choice((NX, NX, NX, NX, 0, NX | rng.randrange(8) << 5)))
                twins.set("mstatus", FS_DIRTY)
                twins.set("prv", 3)
                twins.set("pc", CODE.start + i * row.length)
                twins.run(1)
                twins.check(f"{DIS.text(word)} ({word:#x}) {n}")
                twins.set("medeleg", 0)
    assert twins.region_steps


EDGE_ROWS = [row for row in ROWS if row.name.partition(".")[0] in ("fmin", "fmax", "feq", "flt", "fle", "fsgnjx", "fadd", "fmul")]


@pytest.mark.parametrize("row", EDGE_ROWS, ids=lambda row: row.name)
def test_edges_with_each_other(row: Row) -> None:
    """Zeros of both signs, subnormals, infinities and NaNs, every pair of them."""
    fmt = source_format(row)
    assert fmt is not None
    rng = rng_for("tiers-edges", row.name)
    twins = Twins(SIZE)
    fields = {"frs1": 1, "frs2": 2, "rm": 0, "rd": 3, "frd": 3}
    word = row.encoding.build({name: fields[name] for name in row.encoding.by_name})
    twins.write(CODE.start, word.to_bytes(row.length, "little"))
    assert twins.translate(CODE.start, [0])
    for a, b in product(edges(FORMATS[fmt]), repeat=2):
        twins.set("f1", box(a, fmt))
        twins.set("f2", box(b, fmt) if rng.random() < 0.95 else register(rng))
        twins.set("fcsr", NX)
        twins.set("pc", CODE.start)
        twins.run(1)
        twins.check(f"{DIS.text(word)} {a:#x} {b:#x}")
    assert twins.fast.state[SLOT["region_steps"]]
