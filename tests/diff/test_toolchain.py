"""The disassembler against the pinned C toolchain: its assembler is given our text of a sweep of encodings, in one run.

The toolchain is the one of guests/requirements.txt, in this Python or in the one that the variable RVHV_TOOLCHAIN names.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from rvhv.core.registry import ISA
from rvhv.isa.effects import CsrAccess
from rvhv.isa.encoding import Field
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.syntax import shown_fields
from tests.diff.states import SCALE, SEED, Row, random_word, rng_for, rows

PYTHON = os.environ.get("RVHV_TOOLCHAIN", sys.executable)
BASE = frozenset({"I", "System"})  # what needs no name there; other extensions' names are in lower case
COMMAND = ["-m", "ziglang", "cc", "-target", "riscv64-freestanding-none", "-c"]
RANDOM_WORDS = int(20 * SCALE)
# the toolchain swaps operands where that makes them compressible
COMMUTATIVE = frozenset({"add", "addw", "and", "or", "xor", "beq", "bne"})
OWN, OBJDUMPS = Disassembler(ISA, pseudo=False), Disassembler(ISA)
# words without a text: reserved rounding modes, fields that must be zero, hints
DATA = re.compile(r"\.(half|word) ")


def edges(field: Field) -> Iterator[int]:
    """The values of a field with no bit, every bit, one bit."""
    raws = {0, field.settable, *(1 << n & field.settable for n in range(field.bits))}
    for raw in sorted(raws):
        yield field.bias + (raw - (1 << field.bits) if field.signed and raw >> field.bits - 1 else raw)


def means(row: Row, word: int) -> bool:
    decoded = ISA.decode(word)
    return decoded is not None and decoded[0] is row.insn and decoded[2] is row.compressed


def words(row: Row, rng: random.Random) -> list[int]:
    """Words of this row: each field's edges among random others, every CSR that has a name, and random ones."""
    fixed = [{field.name: value} for field in row.encoding.fields for value in edges(field)]
    if any(isinstance(e, CsrAccess) for e in row.insn.effects):
        fixed += [{"csr": number} for number in ISA.csr_by_number]
    fixed += [{}] * RANDOM_WORDS
    # a field that no text shows is zero, but for its own edges and some random words
    hidden = set(row.encoding.by_name) - set(shown_fields((row.compressed or row.insn).syntax)) - {"aqrl"}
    zero = dict.fromkeys(hidden, 0)
    made = [random_word(row.encoding, rng, **(zero | fields)) for fields in fixed]
    made += [random_word(row.encoding, rng) for _ in range(RANDOM_WORDS)] if hidden else []
    return [word for word in made if means(row, word)]


ROWS = rows(ISA)
WORDS = {row.name: words(row, rng_for("toolchain", row.name)) for row in ROWS}


def features() -> str:
    names = {insn.extension for insn in ISA.insn_list} | {"C"}
    return "+".join(["generic_rv64", *sorted(name.lower() for name in names - BASE)])


def assembled(statements: list[str], folder: Path) -> list[int]:
    """The word that each statement, one a line, is assembled to."""
    source, made = folder / "sweep.s", folder / "sweep.o"
    source.write_text("\n".join([".option norelax", *statements, ""]))
    environment = os.environ | {"ZIG_LOCAL_CACHE_DIR": str(folder / "cache"), "ZIG_GLOBAL_CACHE_DIR": str(folder / "cache")}
    command = [PYTHON, *COMMAND, f"-mcpu={features()}", str(source), "-o", str(made)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[:4000]
    with made.open("rb") as file:
        text = ELFFile(file).get_section_by_name(".text").data()
    found, at = [], 0
    while at < len(text):
        length = 2 if text[at] & 3 != 3 else 4
        found.append(int.from_bytes(text[at : at + length], "little"))
        at += length
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if subprocess.run([PYTHON, "-c", "import ziglang"], capture_output=True).returncode:
        pytest.skip("the C toolchain of guests/requirements.txt is not installed: the disassembler was not compared with it")
    return tmp_path_factory.mktemp("toolchain")


def sweep() -> Iterator[tuple[Row, int]]:
    for row in ROWS:
        for word in WORDS[row.name]:
            yield row, word


def wrong(row: Row, word: int, text: str, got: int) -> str:
    return f"{row.name}: {word:#x} is {text!r}, which is assembled to {got:#x}; RVHV_DIFF_SEED={SEED}"


def test_every_row_is_swept() -> None:
    """Every row has words, and most of them have a text of the row's own."""
    for row in ROWS:
        texts = [OWN.text(word) for word in WORDS[row.name]]
        named = [text for text in texts if not DATA.match(text)]
        assert len(named) > len(texts) // 3, row.name


def test_own_names_assemble_to_the_same_word(folder: Path) -> None:
    pairs = list(sweep())
    texts = [OWN.text(word) for _, word in pairs]
    statements = [f".option {'rvc' if row.compressed else 'norvc'}\n{text}" for (row, _), text in zip(pairs, texts, strict=True)]
    for (row, word), text, got in zip(pairs, texts, assembled(statements, folder), strict=True):
        assert got == word, wrong(row, word, text, got)


def meaning(word: int) -> tuple[str, dict[str, int]] | None:
    """The row and fields of a word, made one where the toolchain exchanges words that do the same: `mv` and `li` are written
    as several rows, and operands are swapped."""
    decoded = ISA.decode(word)
    if decoded is None:
        return None
    name, fields = decoded[0].name, dict(decoded[1])
    if name in COMMUTATIVE:
        fields["rs1"], fields["rs2"] = sorted((fields["rs1"], fields["rs2"]))
    if name == "add" and fields["rs1"] == 0:
        return "addi", {"rd": fields["rd"], "rs1": fields["rs2"], "imm": 0}
    if name == "addiw" and fields["rs1"] == 0:
        return "addi", fields
    return name, fields


@pytest.mark.parametrize("option", ["norvc", "rvc"])
def test_usual_names_mean_the_same_instruction(option: str, folder: Path) -> None:
    """objdump's names say what a word does: with `rvc` the toolchain chooses encodings of its own, which decode to the same."""
    pairs = list(sweep())
    texts = [OBJDUMPS.text(word) for _, word in pairs]
    for (row, word), text, got in zip(pairs, texts, assembled([f".option {option}", *texts], folder), strict=True):
        assert meaning(got) == meaning(word), wrong(row, word, text, got)
