"""Every user-level row against Unicorn: one instruction on random registers and memory, oracle and Unicorn side by side."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import unicorn
from unicorn import riscv_const as rc

from rvhv.core.registry import ISA
from rvhv.isa.expr import MASK64
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.oracle import OracleMachine
from tests.diff.programs import ProgramMaker
from tests.diff.states import SCALE, SEED, Row, random_case, random_word, rng_for, rows, value

CODE = range(0x4000_0000, 0x4040_0000)  # jal reaches a megabyte either way from its middle
DATA = range(0x8000_0000, 0x8000_2000)
C_NOP = b"\x01\x00"
CASES = int(40 * SCALE)
XREGS = [getattr(rc, f"UC_RISCV_REG_X{n}") for n in range(32)]
# Unicorn 2.1 is made of a QEMU that is older than these extensions: tests/diff/test_qemu.py and the definitions of
# tests/spec/test_bitmanip.py are their witnesses. Its hints and prefetches are the instructions that they override.
UNKNOWN = {"Zba", "Zbb", "Zbc", "Zbs", "Zbkb", "Zbkx", "Zicond", "Zacas", "Zawrs"}
PLAIN_ROWS = [row for row in rows(ISA) if row.plain and row.insn.extension not in UNKNOWN]
DIS = Disassembler(ISA, pseudo=False)


class Witness:
    """Unicorn in M-mode with one page of data and code that is all c.nop around the instruction under test."""

    def __init__(self) -> None:
        self.uc = unicorn.Uc(unicorn.UC_ARCH_RISCV, unicorn.UC_MODE_RISCV64)
        self.uc.mem_map(CODE.start, len(CODE))
        self.uc.mem_map(DATA.start, len(DATA))
        self.uc.mem_write(CODE.start, C_NOP * (len(CODE) // 2))
        self.next = CODE.start + len(CODE) // 2

    def place(self, code: bytes) -> int:
        """Put code at an address that no earlier code used; every other one is not a multiple of four."""
        pc = self.next
        self.next += (len(code) + 7) & ~3 | 2
        assert self.next < CODE.stop - (1 << 20), "more code than the witness has room for"
        self.uc.mem_write(pc, code)
        self.uc.ctl_remove_cache(pc - 4, pc + len(code))
        return pc

    def run(self, pc: int, count: int, x: tuple[int, ...], memory: bytes) -> tuple[list[int], int, bytes]:
        """Registers, pc and data after `count` instructions."""
        self.uc.mem_write(DATA.start, memory)
        self.uc.reg_write_batch(list(zip(XREGS[1:], x[1:], strict=True)))
        self.uc.emu_start(pc, MASK64, count=count)
        after = list(self.uc.reg_read_batch(XREGS))
        return after, self.uc.reg_read(rc.UC_RISCV_REG_PC), bytes(self.uc.mem_read(DATA.start, len(DATA)))


@pytest.fixture(scope="module")
def witness() -> Iterator[Witness]:
    yield Witness()


ORACLE = OracleMachine(ISA)


def oracle_run(pc: int, code: bytes, count: int, x: tuple[int, ...], memory: bytes) -> tuple[OracleMachine, bytes]:
    ORACLE.regions.clear()
    ORACLE.map(pc, code)
    data = ORACLE.map(DATA.start, memory)
    ORACLE.pc, ORACLE.x = pc, list(x)
    for _ in range(count):
        assert ORACLE.step() is None
    return ORACLE, bytes(data)


def check(witness: Witness, code: bytes, count: int, x: tuple[int, ...], memory: bytes, what: str, pc: int | None = None) -> None:
    pc = witness.place(code) if pc is None else pc
    got_x, got_pc, got_memory = witness.run(pc, count, x, memory)
    machine, data = oracle_run(pc, code, count, x, memory)
    differences = [f"x{n} {a:#x} != {b:#x}" for n, (a, b) in enumerate(zip(machine.x, got_x, strict=True)) if a != b]
    if machine.pc != got_pc:
        differences.append(f"pc {machine.pc:#x} != {got_pc:#x}")
    if data != got_memory:
        bad = [i for i, (a, b) in enumerate(zip(data, got_memory, strict=True)) if a != b]
        differences += [f"byte {DATA[i]:#x} {data[i]:#x} != {got_memory[i]:#x}" for i in bad[:8]]
    assert not differences, f"oracle != Unicorn: {'; '.join(differences)}\n  {what}"


def reproduce(test: str, name: str, text: str, x: tuple[int, ...]) -> str:
    command = f"RVHV_DIFF_SEED={SEED} pytest tests/diff/test_unicorn.py -k '{test} and {name}'"
    return f"{text} | {command} | x={[hex(v) for v in x]}"


@pytest.mark.parametrize("row", PLAIN_ROWS, ids=lambda row: row.name)
def test_row(row: Row, witness: Witness) -> None:
    rng = rng_for("unicorn", row.name)
    memory = rng.randbytes(len(DATA))
    for _ in range(CASES):
        case = random_case(row, ISA, rng, DATA, CODE)
        if row.name.startswith("sc."):
            continue  # a reservation is needed: test_lr_sc
        code = case.word.to_bytes(case.length, "little")
        check(witness, code, 1, case.x, memory, reproduce("row", row.name, DIS.text(case.word), case.x))


@pytest.mark.parametrize("width", [".w", ".d"])
def test_lr_sc(width: str, witness: Witness) -> None:
    """A reservation that holds, with every aq and rl; the word in memory is what was loaded, so both designs of SC agree."""
    rng = rng_for("lr_sc", width)
    assembler = Assembler(ISA)
    for n in range(32):
        order, address = ("", ".aq", ".rl", ".aqrl")[n % 4], rng.randrange(DATA.start, DATA.stop, 8)
        lines = [f"lr{width}{order} a0, (s1)", f"sc{width}{order} a1, a2, (s1)", f"sc{width} a3, a4, (s1)"]
        code = b"".join(assembler.program(line) for line in lines)
        x = [0, *(value(rng) for _ in range(31))]
        x[9] = address
        check(witness, code, 3, tuple(x), rng.randbytes(len(DATA)), reproduce("lr_sc", width[1:], "; ".join(lines), tuple(x)))


ZICSR_ROWS = [row for row in rows(ISA) if row.insn.extension == "Zicsr"]


@pytest.mark.parametrize("row", ZICSR_ROWS, ids=lambda row: row.name)
def test_zicsr(row: Row, witness: Witness) -> None:
    """The six CSR instructions on mscratch, which holds any value: written, accessed by the row, read back."""
    rng = rng_for("zicsr", row.name)
    mscratch = ISA.csrs["mscratch"].number
    around = [Assembler(ISA).program(line) for line in ("csrw mscratch, s2", "csrr s3, mscratch")]
    for _ in range(CASES):
        word = random_word(row.encoding, rng, csr=mscratch)
        x = (0, *(value(rng) for _ in range(31)))
        code = around[0] + word.to_bytes(4, "little") + around[1]
        check(witness, code, 3, x, bytes(len(DATA)), reproduce("zicsr", row.name, DIS.text(word), x))


MISALIGNED = [row for row in PLAIN_ROWS if row.must_align]


@pytest.mark.parametrize("row", MISALIGNED, ids=lambda row: row.name)
def test_misaligned_amo(row: Row) -> None:
    """Pinned divergence: Unicorn performs a misaligned AMO, LR or SC; rvhv raises address-misaligned, as hardware without
    Zam does (Unprivileged ISA, "A" Extension: an exception is generated for an address that is not naturally aligned)."""
    rng = rng_for("misaligned", row.name)
    word = random_word(row.encoding, rng, rs1=9)
    for offset in range(1, row.access_size):
        x = [0, *(value(rng) for _ in range(31))]
        x[9] = DATA.start + 64 + offset
        ORACLE.regions.clear()
        ORACLE.map(CODE.start, word.to_bytes(4, "little"))
        data = ORACLE.map(DATA.start, bytes(len(DATA)))
        ORACLE.pc, ORACLE.x = CODE.start, list(x)
        ORACLE.csrs = {"prv": 3, "v": 0}
        trap = ORACLE.step()
        expected = "load_address_misaligned" if row.name.startswith("lr.") else "store_address_misaligned"
        assert trap is not None and (trap.name, trap.tval) == (expected, x[9])
        assert ORACLE.x == x and not any(data)


# SC alone is left out of programs: without a reservation Unicorn compares the word, which may happen to be equal
MAKER = ProgramMaker(ISA, [row for row in PLAIN_ROWS if not row.name.startswith(("lr.", "sc."))])


@pytest.mark.parametrize("n", range(int(60 * SCALE)))
def test_program(n: int, witness: Witness) -> None:
    """Whole programs: branches, loops, indirect jumps, data shared between instructions."""
    rng = rng_for("program", n)
    memory = rng.randbytes(len(DATA))
    program = MAKER.make(rng, DATA.start + len(DATA) // 2)
    pc = witness.place(program.code)
    ORACLE.regions.clear()
    ORACLE.map(pc, program.code)
    ORACLE.map(DATA.start, memory)
    ORACLE.pc, ORACLE.x, before = pc, list(program.x), ORACLE.steps
    assert ORACLE.run(20000, until=(pc + len(program.code),)) == []
    assert ORACLE.pc == pc + len(program.code), "the program does not end"
    steps = ORACLE.steps - before
    check(witness, program.code, steps, program.x, memory, reproduce("program", str(n), program.code.hex(), program.x), pc)
