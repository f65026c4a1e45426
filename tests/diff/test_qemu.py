"""Every row that only computes, against QEMU: one bare program executes thousands of cases and sends the results to the UART.

QEMU 7.2 and later know these extensions; Unicorn is made of an older one. Without qemu-system-riscv64 the test is skipped.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from rvhv.core.registry import ISA
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.oracle import compile_row, operand_leaves
from rvhv.isa.rows import Insn
from tests.diff.states import SCALE, SEED, random_word, rng_for, value

QEMU = "qemu-system-riscv64"
EXTENSIONS = {"I": None, "M": None, **{name: name.lower() for name in ("Zba", "Zbb", "Zbc", "Zbs", "Zbkb", "Zbkx")}}
CPU = ",".join(["rv64", *(f"{option}=true" for option in EXTENSIONS.values() if option)])
ROWS = [i for i in ISA.insn_list if not i.effects and i.result is not None and i.extension in EXTENSIONS and i.name != "auipc"]
CASES = int(60 * SCALE)
RAM, INPUTS, OUTPUTS = 0x8000_0000, 0x8100_0000, 0x8200_0000
RD, RS1, RS2 = 10, 11, 12
PROLOGUE = f"li s0, {INPUTS}; li s1, {OUTPUTS}"
CASE = "ld a1, 0(s0); ld a2, 8(s0); .word WORD; sd a0, 0(s1); addi s0, s0, 16; addi s1, s1, 8"
EPILOGUE = f"""
        li a0, {OUTPUTS}
        li a1, 0x10000000               # a 16550 UART: the results, byte by byte
send:   lbu a2, 5(a1)
        andi a2, a2, 0x20               # until there is room
        beqz a2, send
        lbu a2, 0(a0)
        sb a2, 0(a1)
        addi a0, a0, 1
        bne a0, s1, send
        li a0, 0x100000                 # the finisher: power off
        li a1, 0x5555
        sw a1, 0(a0)
wait:   j wait
"""


def cases(insn: Insn) -> list[tuple[int, int, int]]:
    """(word, rs1, rs2); rd is a0, the operands a1 and a2, and rs2 is rs1 now and then."""
    rng = rng_for("qemu", insn.name)
    made = []
    while len(made) < CASES:
        word = random_word(insn.encoding, rng, rd=RD, rs1=RS1, rs2=rng.choice((RS1, RS2, RS2, RS2, RS2)))
        decoded = ISA.decode(word)
        if decoded is not None and decoded[0] is insn:
            made.append((word, value(rng), value(rng)))
    return made


def expected(insn: Insn, word: int, rs1: int, rs2: int) -> int:
    registers = {RS1: rs1, RS2: rs2}
    leaves = operand_leaves(insn, insn.encoding.extract(word), lambda n: registers.get(n, 0), lambda n: 0)
    result, _ = compile_row(insn)(None, leaves)  # type: ignore[arg-type]
    assert result is not None
    return result


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """What QEMU computed, by row."""
    if shutil.which(QEMU) is None:
        pytest.skip(f"{QEMU} is not installed: nothing was compared with it")
    folder: Path = tmp_path_factory.mktemp("qemu")
    assembler, lines, inputs = Assembler(ISA), [PROLOGUE], bytearray()
    for insn in ROWS:
        for word, rs1, rs2 in cases(insn):
            lines.append(CASE.replace("WORD", hex(word)))
            inputs += rs1.to_bytes(8, "little") + rs2.to_bytes(8, "little")
    (folder / "code").write_bytes(assembler.program("\n".join([*lines, EPILOGUE]), RAM))
    (folder / "inputs").write_bytes(inputs)
    command = [QEMU, "-machine", "virt", "-cpu", CPU, "-m", "64M", "-bios", "none", "-display", "none", "-monitor", "none"]
    command += ["-serial", f"file:{folder / 'results'}"]
    for name, address in (("code", RAM), ("inputs", INPUTS)):
        command += ["-device", f"loader,file={folder / name},addr={address:#x},force-raw=on"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    data = (folder / "results").read_bytes()
    assert len(data) == 8 * CASES * len(ROWS)
    values = [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
    return {insn.name: values[CASES * n : CASES * (n + 1)] for n, insn in enumerate(ROWS)}


@pytest.mark.parametrize("insn", ROWS, ids=lambda insn: insn.name)
def test_row(insn: Insn, results: dict[str, list[int]]) -> None:
    disassembler = Disassembler(ISA, pseudo=False)
    for (word, rs1, rs2), got in zip(cases(insn), results[insn.name], strict=True):
        if insn.name == "ctzw" and rs1 & 0xFFFF_FFFF == 0:
            continue  # norm: 32; QEMU 7.2 counts on
        want = expected(insn, word, rs1, rs2)
        assert got == want, f"{disassembler.text(word)}, a1 = {rs1:#x}, a2 = {rs2:#x}: QEMU {got:#x}, RVHV_DIFF_SEED={SEED}"
