"""Encodings: the manual's notation parsed, every row built and taken apart again, no two rows for one word."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.core.registry import ISA
from rvhv.cpu.predecode import OP_MASK, ROW_WORDS, TABLE_ROWS, build_tables, op_numbers
from rvhv.isa.encoding import Encoding, parse_encoding
from rvhv.isa.render.asm import Assembler
from rvhv.isa.rows import Compressed, Insn

ROWS: list[Insn | Compressed] = [*ISA.insns.values(), *ISA.compressed.values()]
WORD = st.integers(0, (1 << 32) - 1)


def word_of(encoding: Encoding, raw: int) -> int:
    """`raw` with the fixed bits of the encoding put in."""
    return encoding.match | raw & ~encoding.mask & ((1 << 8 * encoding.length) - 1)


def test_an_encoding_says_where_each_bit_is() -> None:
    jal = parse_encoding("imm[20|10:1|11|19:12] rd 1101111")
    assert (jal.length, jal.match, jal.mask) == (4, 0x6F, 0x7F)
    assert jal.build({"rd": 1, "imm": -2}) == 0xFFFFF0EF
    assert jal.extract(0xFFFFF0EF) == {"rd": 1, "imm": -2}
    assert jal.build({"rd": 0, "imm": 0x800}) == 0x0010006F  # bit 11 sits in bit 20


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("imm[11:0] rs1 000 rd 001001", "31 bits, not 16 or 32"),
        ("0000000 rs2 rs1 000 rd 0110011 1", "33 bits, not 16 or 32"),
        ("imm[11:0] rs1 000 r?d 0010011", "cannot read 'r?d'"),
    ],
)
def test_a_bad_encoding_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint.replace("?", r"\?")):
        parse_encoding(text)


@pytest.mark.parametrize(
    ("name", "fields", "complaint"),
    [
        ("addi", {"rd": 1, "rs1": 1, "imm": 2048}, "imm = 2048 is outside -2048 to 2047"),
        ("addi", {"rd": 1, "rs1": 1, "imm": -2049}, "outside"),
        ("addi", {"rd": 32, "rs1": 1, "imm": 0}, "rd = 32 is outside 0 to 31"),
        ("slli", {"rd": 1, "rs1": 1, "shamt": 64}, "outside 0 to 63"),
        ("jal", {"rd": 1, "imm": 3}, "imm = 3 is not a multiple of 2"),
        ("lui", {"rd": 1, "imm": 0x800}, "not a multiple of 4096"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(name: str, fields: dict[str, int], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        ISA.insns[name].encoding.build(fields)


def test_three_bit_registers_are_x8_to_x15() -> None:
    encoding = ISA.compressed["c.lw"].encoding
    assert encoding.extract(encoding.build({"rd": 8, "rs1": 15, "uimm": 4})) == {"rd": 8, "rs1": 15, "uimm": 4}
    with pytest.raises(ValueError, match="rd = 7 is outside 8 to 15"):
        encoding.build({"rd": 7, "rs1": 8, "uimm": 0})


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@settings(max_examples=10, deadline=None)
@given(raw=WORD)
def test_round_trip(row: Insn | Compressed, raw: int) -> None:
    """Fields out of a word and back make the word."""
    word = word_of(row.encoding, raw)
    assert row.encoding.build(row.encoding.extract(word)) == word


@pytest.mark.parametrize("insn", ISA.insns.values(), ids=lambda row: row.name)
@settings(max_examples=10, deadline=None)
@given(raw=WORD)
def test_a_word_decodes_to_its_row(insn: Insn, raw: int) -> None:
    word = word_of(insn.encoding, raw)
    decoded = ISA.decode(word)
    assert decoded is not None and decoded[2] is None
    assert decoded[0] is insn or decoded[0].overrides == insn.name
    assert decoded[1] == decoded[0].encoding.extract(word)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("packw a0, a1, zero", "zext.h"),
        ("packw a0, a1, a2", "packw"),
        ("ori zero, a1, 32", "prefetch.i"),
        ("ori zero, a1, 33", "prefetch.r"),
        ("ori zero, a1, -29", "prefetch.w"),
        ("ori zero, a1, 2", "ori"),
        ("ori ra, a1, 33", "ori"),
        ("fence w, 0", "pause"),
        ("fence w, w", "fence"),
        ("add zero, zero, sp", "ntl.p1"),
        ("add zero, zero, t0", "ntl.all"),
        ("add zero, zero, t1", "add"),
        ("add zero, sp, sp", "add"),
    ],
)
def test_the_more_specific_row_is_meant(text: str, row: str) -> None:
    decoded = ISA.decode(Assembler(ISA).assemble(text))
    assert decoded is not None and decoded[0].name == row


def test_the_compiled_decoder_knows_the_order() -> None:
    """njit code takes the first row that matches: in its table a row comes before the one it overrides."""
    table = build_tables(ISA)
    places: dict[int, int] = {}
    for at in range(TABLE_ROWS, len(table), ROW_WORDS):
        places[table[at + 2] & OP_MASK] = at
    ops = op_numbers(ISA)
    for insn in ISA.insns.values():
        if insn.overrides:
            assert places[ops[insn.name]] < places[ops[insn.overrides]], insn.name


def test_no_word_has_two_rows() -> None:
    """But for rows that override others. The verifier proves it over match and mask; here by counting, on words that are near
    rows and on words at large."""
    rng = random.Random(7)
    words = [word_of(insn.encoding, rng.getrandbits(32)) for insn in ISA.insns.values() for _ in range(20)]
    words += [rng.getrandbits(30) << 2 | 3 for _ in range(4000)]
    for word in words:
        rows = [i for i in ISA.insns.values() if word & i.encoding.mask == i.encoding.match]
        overridden = {i.overrides for i in rows}
        matching = [i.name for i in rows if i.name not in overridden]
        assert len(matching) <= 1, f"{word:#010x} is {' and '.join(matching)}"
        decoded = ISA.decode(word)
        assert [decoded[0].name] == matching if decoded else matching == []


def test_every_halfword_has_one_row_or_none() -> None:
    """All 49,152 compressed words; how many are legal is known from the manual's tables for RV64GC."""
    legal = 0
    for half in range(0x10000):
        if half & 3 == 3:
            continue
        rows = [
            r.name
            for r in ISA.compressed.values()
            if half & r.encoding.mask == r.encoding.match and r.where(r.encoding.extract(half))
        ]
        assert len(rows) <= 1, f"{half:#06x} is {' and '.join(rows)}"
        decoded = ISA.decode(half)
        assert [decoded[2].name if decoded[2] else None] == rows if decoded else rows == []
        legal += len(rows)
    assert ISA.decode(0) is None, "all zeros is illegal by definition"
    reserved = {
        "c.addi4spn, and 000 of quadrant 0 without an immediate": 8,
        "quadrant 0, 100": 2048,
        "c.addiw x0": 64,
        "c.addi16sp and c.lui without an immediate": 1 + 31,
        "quadrant 1, 100 1 11 1x": 2 * 64,
        "c.lwsp and c.ldsp to x0": 2 * 64,
        "c.jr x0": 1,
    }
    assert legal == 3 * 0x4000 - sum(reserved.values())


def test_compressed_rows_expand_to_legal_fields() -> None:
    """Whatever a compressed encoding holds, its base instruction can hold too, and decodes to the same fields."""
    for half in range(0x10000):
        if half & 3 == 3 or (decoded := ISA.decode(half)) is None:
            continue
        insn, fields, _ = decoded
        again = ISA.decode(insn.encoding.build(fields))
        assert again is not None
        if again[0].overrides != insn.name:  # c.mv to x0 expands to an add that is a hint
            assert again[0] is insn and again[1] == fields, f"{half:#06x}"
