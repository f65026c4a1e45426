"""CSR accesses in regions against the interpreter: every CSR, form and mode, with interrupts that are ready or not."""

from __future__ import annotations

import random

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import M_INTERRUPTS, S_INTERRUPTS, VS_INTERRUPTS
from rvhv.cpu.state import SLOT
from rvhv.isa.render.asm import Assembler
from rvhv.isa.rows import Csr
from rvhv.jit.csrs import STATUS, is_inline
from tests.diff.states import SCALE, rng_for, value
from tests.diff.twins import FS_DIRTY, RAM_START, Twins

SIZE = 0x4000
CODE, VECTOR = RAM_START + 0x1000, RAM_START + 0x2000
MODES = [(0, 0), (1, 0), (3, 0), (0, 1), (1, 1)]  # prv, v
FORMS = [ISA.insns[name] for name in ("csrrw", "csrrs", "csrrc", "csrrwi", "csrrsi", "csrrci")]
MASK64 = (1 << 64) - 1
NOP = (0x13).to_bytes(4, "little")
ENABLED = 1 << 1 | 1 << 3  # SIE, MIE
INTERRUPTS = M_INTERRUPTS | S_INTERRUPTS | VS_INTERRUPTS
ALONE = [csr for csr in ISA.csrs.values() if not csr.name.startswith(("mhpm", "hpm", "pmpaddr")) or csr.number & 0xF == 3]


def access(rng: random.Random, csr: Csr) -> bytes:
    """One instruction; rd and rs1 may be x0."""
    insn = rng.choice(FORMS)
    word = insn.encoding.match | csr.number << 20 | rng.choice((0, 5, 6)) << 7
    word |= rng.choice((0, 5, 7, *((1, 2, 8, 10, 31) if insn.name.endswith("i") else ()))) << 15
    return word.to_bytes(4, "little")


def scene(twins: Twins, rng: random.Random, csr: Csr) -> None:
    """A state before the instructions at CODE, in any mode; what traps goes to VECTOR, and stays there."""
    twins.reset()
    prv, v = rng.choice(MODES)
    for name in ("medeleg", "hedeleg", "sscratch", "vsscratch", "sepc", "vsepc", "scause", "vscause", "mcause", "htval"):
        twins.write_csr(name, value(rng))
    for name in ("mcounteren", "scounteren", "hcounteren", "mstateen0", "hstateen0", "menvcfg", "henvcfg"):
        twins.write_csr(name, rng.choice((0, (1 << 64) - 1)))
    for name in ("mtvec", "stvec", "vstvec"):
        twins.write_csr(name, VECTOR)
    twins.write_csr("mideleg", rng.choice((0, INTERRUPTS)))
    twins.write_csr("hideleg", rng.choice((0, VS_INTERRUPTS)))
    if rng.random() < 0.4:
        twins.write_csr("mie", rng.choice((INTERRUPTS, value(rng))))
        twins.write_csr("mip", rng.choice((0, INTERRUPTS, value(rng))))
        twins.write_csr("hvip", rng.choice((0, VS_INTERRUPTS)))
    status = rng.choice((0, FS_DIRTY)) | rng.choice((0, 1 << 1, 1 << 5, 1 << 8, ENABLED, 1 << 18))
    twins.write_csr("mstatus", status | rng.choice((0, 1 << 20, 3 << 11)))
    twins.write_csr("vsstatus", rng.choice((0, FS_DIRTY)) | rng.choice((0, 1 << 1, 1 << 5, 1 << 8)))
    twins.write_csr("hstatus", rng.choice((0, 1 << 20 | 1 << 21 | 1 << 22)))
    near = twins.plain.read_csr(csr.name) ^ rng.choice((0, 1 << 1, 1 << 3, 1 << 5, 1 << 8, 1 << 18, 3 << 13))
    for register in (5, 6, 7):
        twins.set(f"x{register}", rng.choice((near, 1 << 1, ENABLED, ~ENABLED & (1 << 64) - 1, value(rng))))
    twins.set("prv", prv)
    twins.set("v", v)
    twins.set("pc", CODE)


def try_csr(csr: Csr, scenes: int) -> int:
    """How many steps regions made."""
    rng = rng_for("tiers", "csrs", csr.name)
    twins = Twins(SIZE)
    twins.write(VECTOR, (0x6F).to_bytes(4, "little"))  # j .
    for _ in range(4):
        code = NOP + b"".join(access(rng, csr) for _ in range(3)) + (0x6F).to_bytes(4, "little")
        twins.write(CODE, code)
        twins.translate(CODE, [0])
        for _ in range(scenes):
            scene(twins, rng, csr)
            for _ in range(rng.choice((1, 3))):
                assert len(set(twins.run(rng.choice((1, 3, 6))))) == 1
                mode = twins.plain.state[SLOT["prv"]], twins.plain.state[SLOT["v"]]
                twins.check(f"{csr.name} {code.hex()} now in mode {mode}")
    return twins.region_steps


@pytest.mark.parametrize("group", [ALONE[i::8] for i in range(8)], ids=lambda group: group[0].name)
def test_every_csr(group: list[Csr]) -> None:
    for csr in group:
        try_csr(csr, int(8 * SCALE))


@pytest.mark.parametrize("name", sorted(STATUS | {"sscratch", "sepc"}))
def test_what_is_inline(name: str) -> None:
    """More of what matters most; and regions do some of it themselves."""
    csr = ISA.csrs[name]
    assert is_inline(csr, True) and is_inline(csr, False)
    assert try_csr(csr, int(100 * SCALE)) > 100


LEAF, USER = 0xCF, 1 << 4  # V, R, W, X, A, D; U
ROOT = RAM_START + 0x3000
WITH_SUM = """
    li t0, 0x40000
loop:
    csrs sstatus, t0
    ld t2, 0(t1)
    csrc sstatus, t0
    addi t3, t3, 1
    blt t3, t4, loop
    ld t2, 0(t1)
"""


def test_what_changes_translation_is_not_inline() -> None:
    """With SUM a supervisor reads a user's page (the same memory, at address 0); without it that faults."""
    twins = Twins(SIZE)
    gigapage = RAM_START >> 12 << 10 | LEAF
    twins.write(ROOT, (gigapage | USER).to_bytes(8, "little"))
    twins.write(ROOT + 8 * (RAM_START >> 30), gigapage.to_bytes(8, "little"))
    twins.write(CODE, Assembler(ISA).program(WITH_SUM, CODE))
    twins.write(VECTOR, (0x6F).to_bytes(4, "little"))
    for name, v in (("satp", 8 << 60 | ROOT >> 12), ("medeleg", MASK64), ("stvec", VECTOR)):
        twins.write_csr(name, v)
    for name, v in (("prv", 1), ("pc", CODE), ("x6", 0), ("x29", 50)):
        twins.set(name, v)
    twins.translate(CODE, [0])
    while twins.plain.state[SLOT["pc"]] != VECTOR:
        twins.run(1 + twins.plain.state[SLOT["steps"]] % 37)
        twins.check("SUM")
    assert (twins.plain.state[SLOT["x28"]], twins.plain.read_csr("scause")) == (50, 13)
    assert twins.region_steps > 50
