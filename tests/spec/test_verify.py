"""The verifier: the rows of the machine are sound, and each rule has a row that breaks it and is reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from rvhv.core.registry import ISA, compose
from rvhv.cpu.state import SLOT
from rvhv.isa.effects import Recorder
from rvhv.isa.encoding import Encoding, Field, Slice
from rvhv.isa.expr import E, const, div, divu, leaf, node, rem, remu, sar, select
from rvhv.isa.rows import Registry, bits
from rvhv.isa.verify import verify

R_TYPE = "0000000 rs2 rs1 000 rd 0110011"
I_TYPE = "imm[11:0] rs1 000 rd 0010011"
S_TYPE = "imm[11:5] rs2 rs1 000 imm[4:0] 0100011"
SLOTS = {"mstatus", "scratch", "prv"}


def problems(fill: Callable[[Registry], None]) -> list[str]:
    isa = Registry()
    fill(isa)
    return verify(isa, SLOTS)


def row(encoding: str, semantics: Callable[..., E | None]) -> Callable[[Registry], None]:
    return lambda isa: isa.insn("X", "bad", encoding, "", semantics)


def test_the_machine_is_sound() -> None:
    assert verify(ISA, set(SLOT)) == []


SOUND = {
    "masked shifts": lambda rs1, rs2: (rs1 << (rs2 & 63)) + (rs1 >> 63) + sar(rs1, rs2 & 31),
    "guarded divisions": lambda rs1, rs2: div(rs1, rs2) + rem(rs1, rs2) + divu(rs1, rs2) + remu(rs1, rs2),
    "a constant divisor": lambda rs1: node("udiv", rs1, 10) + node("sdiv", rs1, 10),
}


@pytest.mark.parametrize("name", SOUND)
def test_sound_rows_are_not_reported(name: str) -> None:
    assert problems(row(R_TYPE, SOUND[name])) == []


def two_stores(m: Recorder, rs1: E, rs2: E) -> None:
    m.store(rs1, rs2, 8)
    m.store(rs1 + 8, rs2, 8)


def store_and_amo(m: Recorder, rs1: E, rs2: E) -> E:
    m.store(rs1, rs2, 8)
    return m.amo(rs1, 8, lambda old: old + rs2)


def two_jumps(m: Recorder, rs1: E, rs2: E) -> None:
    m.jump(rs1)
    m.jump(rs2)


def store_after_jump(m: Recorder, rs1: E, rs2: E) -> None:
    m.jump(rs1)
    m.store(rs1, rs2, 8)


def one_temp_twice(m: Recorder, rs1: E) -> E:
    m.load(rs1, 8)
    m._temps = 0
    return m.load(rs1, 8)


def temp_before_its_load(m: Recorder, rs1: E) -> E:
    return m.load(rs1 + leaf("t0"), 8)


def update_of_another(m: Recorder, rs1: E) -> E:
    return m.amo(rs1, 8, lambda old: leaf("t7"))


def guarded_by_another(rs1: E, rs2: E) -> E:
    return node("udiv", rs1, select(node("eq", rs1, 0), 1, rs2))


BROKEN: dict[str, tuple[str, Callable[..., E | None], str]] = {
    "an unmasked shift": (R_TYPE, lambda rs1, rs2: rs1 << rs2, "shl by an amount that is not masked to 0..63"),
    "a mask that is too wide": (R_TYPE, lambda rs1, rs2: rs1 >> (rs2 & 127), "shr by an amount that is not masked"),
    "a shift by 64": (R_TYPE, lambda rs1, rs2: sar(rs1, 64), "sar by an amount that is not masked"),
    "a bare divisor": (R_TYPE, lambda rs1, rs2: node("udiv", rs1, rs2), "udiv by a divisor that is not guarded"),
    "zero guarded, overflow not": (
        R_TYPE, lambda rs1, rs2: node("sdiv", rs1, select(node("eq", rs2, 0), 1, rs2)), "sdiv by a divisor that is not guarded",
    ),
    "a guard of something else": (R_TYPE, guarded_by_another, "udiv by a divisor that is not guarded"),
    "a division by constant zero": (R_TYPE, lambda rs1, rs2: node("urem", rs1, 0), "urem by a divisor that is not guarded"),
    "an unknown operation": (R_TYPE, lambda rs1, rs2: E("nand", (rs1, rs2)), "unknown operation nand"),
    "an unknown leaf": (R_TYPE, lambda rs1, rs2: leaf("rs4"), "reads rs4, which is not an operand or defined before"),
    "rd as an input": (R_TYPE, lambda rs1, rs2: leaf("rd"), "reads rd, which is not an operand"),
    "a constant out of range": (R_TYPE, lambda rs1, rs2: E("const", (1 << 64,)), "is not a 64-bit value"),
    "a temporary read too early": (I_TYPE, temp_before_its_load, "reads t0, which is not an operand or defined before"),
    "an update over an unknown leaf": (I_TYPE, update_of_another, "reads t7, which is not an operand or defined before"),
    "two stores": (R_TYPE, two_stores, "writes one destination more than once"),
    "a store and an AMO": (R_TYPE, store_and_amo, "writes one destination more than once"),
    "two jumps": (R_TYPE, two_jumps, "writes one destination more than once"),
    "an effect behind a jump": (R_TYPE, store_after_jump, "a control transfer is not its last effect"),
    "a temporary defined twice": (I_TYPE, one_temp_twice, "t0 is defined twice"),
    "a result without rd": (S_TYPE, lambda rs1, rs2: rs1 + rs2, "has a result but no rd"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_row_is_reported(name: str) -> None:
    encoding, semantics, complaint = BROKEN[name]
    found = problems(row(encoding, semantics))
    assert any(p.startswith("bad: ") and complaint in p for p in found), found


def with_encoding(change: Callable[[Encoding], Encoding]) -> list[str]:
    def fill(isa: Registry) -> None:
        isa.insn("X", "bad", R_TYPE, "", lambda rs1, rs2: rs1 + rs2)
        isa.insns["bad"] = replace(isa.insns["bad"], encoding=change(isa.insns["bad"].encoding))

    return problems(fill)


def test_overlapping_fields_are_reported() -> None:
    extra = Field("rs3", (Slice(20, 0, 5),), signed=False)
    found = with_encoding(lambda e: replace(e, fields=(*e.fields, extra)))
    assert "bad: field rs3 overlaps other bits" in found


def test_undefined_bits_are_reported() -> None:
    assert "bad: its encoding leaves bits undefined" in with_encoding(lambda e: replace(e, fields=e.fields[:-1]))


def test_overlapping_encodings_are_reported() -> None:
    def fill(isa: Registry) -> None:
        isa.insn("X", "one", R_TYPE, "", lambda rs1, rs2: rs1)
        isa.insn("X", "two", "000000 shamt:6 rs1 000 rd 0110011", "", lambda rs1: rs1)

    assert problems(fill) == ["one and two: their encodings overlap"]


SPECIAL = "0000000 00000 rs1 000 rd 0110011"  # R_TYPE with rs2 = x0


@pytest.mark.parametrize(
    ("encoding", "overrides", "complaint"),
    [
        (SPECIAL, "one", None),
        (SPECIAL, None, "one and two: their encodings overlap"),
        (R_TYPE, "one", "two: is not a special case of one, which it overrides"),
        ("000000 shamt:6 rs1 000 00000 0110011", "one", "two: is not a special case of one, which it overrides"),
        ("0000000 00000 rs1 001 rd 0110011", "one", "two: is not a special case of one, which it overrides"),
        (SPECIAL, "three", "two: overrides three, which does not exist"),
    ],
)
def test_only_a_special_case_overrides(encoding: str, overrides: str | None, complaint: str | None) -> None:
    def fill(isa: Registry) -> None:
        isa.insn("X", "one", R_TYPE, "", lambda rs1, rs2: rs1)
        isa.insn("X", "two", encoding, "", lambda rs1: rs1, overrides=overrides)

    assert complaint in problems(fill) if complaint else problems(fill) == []


def compressed(isa: Registry) -> None:
    isa.insn("I", "addi", I_TYPE, "rd, rs1, imm", lambda rs1, imm: rs1 + imm)
    isa.c("c.one", "000 imm[5] rd imm[4:0] 01", "rd, imm", "addi", rd="rd", rs1="rd", imm="imm")


def test_overlapping_compressed_rows_are_reported() -> None:
    def fill(isa: Registry) -> None:
        compressed(isa)
        isa.c("c.two", "000 0 rd imm[4:0] 01", "rd, imm", "addi", lambda f: f["rd"] == 0, rd="rd", rs1=0, imm="imm")

    found = problems(fill)
    assert found[0] == "0x0001 matches c.one and c.two"
    assert len(found) == 32


def test_where_tells_compressed_rows_apart() -> None:
    def fill(isa: Registry) -> None:
        isa.insn("I", "addi", I_TYPE, "rd, rs1, imm", lambda rs1, imm: rs1 + imm)
        isa.c("c.one", "000 imm[5] rd imm[4:0] 01", "", "addi", lambda f: f["rd"] != 0, rd="rd", rs1="rd", imm="imm")
        isa.c("c.two", "000 imm[5] 00000 imm[4:0] 01", "", "addi", rd=0, rs1=0, imm="imm")

    assert problems(fill) == []


@pytest.mark.parametrize(
    ("operands", "base", "complaint"),
    [
        ({"rd": "rd", "rs1": "rd"}, "addi", "c.bad: operands ['rd', 'rs1'] are not those of addi"),
        ({"rd": "rd", "rs1": "rs2", "imm": "imm"}, "addi", "c.bad: its encoding has no field rs2"),
        ({"rd": "rd", "rs1": "rd", "imm": "imm"}, "subi", "c.bad: no base instruction subi"),
    ],
)
def test_a_bad_expansion_is_reported(operands: dict[str, str | int], base: str, complaint: str) -> None:
    def fill(isa: Registry) -> None:
        isa.insn("I", "addi", I_TYPE, "rd, rs1, imm", lambda rs1, imm: rs1 + imm)
        isa.c("c.bad", "000 imm[5] rd imm[4:0] 01", "rd, imm", base, **operands)

    assert complaint in problems(fill)


CSRS: dict[str, tuple[Callable[[Registry], None], str]] = {
    "a field on another": (
        lambda isa: isa.csr("scratch", 0x340, bits("A", 3, 0), bits("B", 3)), "scratch: field B overlaps another",
    ),
    "no slot": (lambda isa: isa.csr("nowhere", 0x340), "nowhere: writes nowhere, which is not a slot"),
    "a read of nothing": (
        lambda isa: isa.csr("scratch", 0x340, read=leaf("other")), "scratch: reads other, which is not an operand",
    ),
    "a slot twice": (
        lambda isa: isa.csr("scratch", 0x340, writes=(("scratch", leaf("value")), ("scratch", const(0)))),
        "scratch: writes one slot twice",
    ),
    "an unsound write": (
        lambda isa: isa.csr("scratch", 0x340, writes=(("scratch", leaf("value") << leaf("prv")),)),
        "scratch: shl by an amount that is not masked",
    ),
    "an unknown kind of guard": (
        lambda isa: isa.csr("scratch", 0x340, guards=((leaf("prv"), "fatal"),)), "scratch: guard of kind fatal",
    ),
    "an unsound guard": (
        lambda isa: isa.csr("scratch", 0x340, guards=((leaf("nothing"), "illegal"),)), "scratch: reads nothing",
    ),
    "an alias that is not there": (
        lambda isa: isa.csr("scratch", 0x340, vs="vscratch"), "scratch: its alias vscratch does not exist",
    ),
    "one number for two": (
        lambda isa: (isa.csr("scratch", 0x340), isa.csr("mstatus", 0x340))[0], "two CSRs share a number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CSRS)
def test_a_broken_csr_is_reported(name: str) -> None:
    fill, complaint = CSRS[name]
    assert any(complaint in p for p in problems(fill)), problems(fill)


def test_a_cause_code_is_used_once() -> None:
    def fill(isa: Registry) -> None:
        isa.cause(3, "one", "")
        isa.cause(3, "an_interrupt", "", interrupt=True)
        isa.cause(3, "two", "")

    assert problems(fill) == ["two: its code is taken"]


def test_a_registry_is_composed_anew() -> None:
    """Changing one composition does not change another: tests may break rows."""
    mine = compose()
    del mine.insns["add"]
    assert "add" in ISA.insns
