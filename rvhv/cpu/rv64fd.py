"""F, D, Zfh and Zfhmin: floating point in single, double and half precision (Unprivileged ISA, chapters of the same names).

F registers are 64 bits; a narrower number is boxed: the bits above it are ones. `m.fp` takes and gives registers as they are.

The syntax `rm` is the rounding mode, left out where it is dyn; `exact_rm`, of conversions that need no rounding, where it is rne.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from rvhv.isa.expr import MASK64, E, sext16, sext32
from rvhv.isa.rows import Registry


@dataclass(frozen=True)
class Format:
    """A format as instructions have it: the fmt field and the width field of loads and stores."""

    letter: str
    memory: str  # its letter in loads, stores and moves
    bits: int
    fmt: str
    width: str
    extension: str
    minimal: str  # the extension of its loads, stores and moves

    @property
    def mask(self) -> int:
        return (1 << self.bits) - 1


SINGLE = Format("s", "w", 32, "00", "010", "F", "F")
DOUBLE = Format("d", "d", 64, "01", "011", "D", "D")
HALF = Format("h", "h", 16, "10", "001", "Zfh", "Zfhmin")
FORMATS = (SINGLE, DOUBLE, HALF)
INTEGERS = (("w", "00000"), ("wu", "00001"), ("l", "00010"), ("lu", "00011"))

OP = "1010011"
TWO = "frd, frs1, frs2"


def box(f: Format, value: E) -> E:
    return value if f.bits == 64 else value | (MASK64 ^ f.mask)


def add_rows(isa: Registry) -> None:
    """Operation by operation, each in every format: the interpreter has one case for rows that differ only in that."""
    _add_memory(isa)
    _add_arithmetic(isa)
    _add_moves(isa)
    _add_conversions(isa)


def _add_memory(isa: Registry) -> None:
    for f in FORMATS:
        size, hot = f.bits // 8, f.bits > 16
        isa.insn(
            f.minimal, f"fl{f.memory}", f"imm[11:0] rs1 {f.width} frd 0000111", "frd, imm(rs1)",
            lambda m, rs1, imm, f=f, size=size: box(f, m.load(rs1 + imm, size)), hot=hot,
        )  # fmt: skip
        isa.insn(
            f.minimal, f"fs{f.memory}", f"imm[11:5] frs2 rs1 {f.width} imm[4:0] 0100111", "frs2, imm(rs1)",
            lambda m, rs1, frs2, imm, size=size: m.store(rs1 + imm, frs2, size), hot=hot,
        )  # fmt: skip


def _add_arithmetic(isa: Registry) -> None:
    def rows(name, encoding, syntax, semantics):  # type: ignore[no-untyped-def]
        """One in each format, whose letter `semantics` is given."""
        for f in FORMATS:
            isa.insn(f.extension, f"{name}.{f.letter}", encoding.replace("fmt", f.fmt), syntax, semantics(f.letter), hot=False)

    def two(name, funct5, op):  # type: ignore[no-untyped-def]
        rows(name, f"{funct5} fmt frs2 frs1 rm:3 frd {OP}", TWO + ", rm", lambda x: lambda m, frs1, frs2: m.fp(op, x, frs1, frs2))

    def choice(name, funct5, funct3, op):  # type: ignore[no-untyped-def]
        rows(name, f"{funct5} fmt frs2 frs1 {funct3} frd {OP}", TWO, lambda x: lambda m, frs1, frs2: m.fp(op, x, frs1, frs2))

    def compare(name, funct3, op):  # type: ignore[no-untyped-def]
        encoding = f"10100 fmt frs2 frs1 {funct3} rd {OP}"
        rows(name, encoding, "rd, frs1, frs2", lambda x: lambda m, frs1, frs2: m.fp(op, x, frs1, frs2))

    def fused(name, opcode, op):  # type: ignore[no-untyped-def]
        rows(
            name, f"frs3 fmt frs2 frs1 rm:3 frd {opcode}", "frd, frs1, frs2, frs3, rm",
            lambda x: lambda m, frs1, frs2, frs3: m.fp(op, x, frs1, frs2, frs3),
        )  # fmt: skip

    two("fadd", "00000", "add")
    two("fsub", "00001", "sub")
    two("fmul", "00010", "mul")
    two("fdiv", "00011", "div")
    rows("fsqrt", f"01011 fmt 00000 frs1 rm:3 frd {OP}", "frd, frs1, rm", lambda x: lambda m, frs1: m.fp("sqrt", x, frs1))
    fused("fmadd", "1000011", "madd")
    fused("fmsub", "1000111", "msub")
    fused("fnmsub", "1001011", "nmsub")
    fused("fnmadd", "1001111", "nmadd")
    choice("fsgnj", "00100", "000", "sgnj")
    choice("fsgnjn", "00100", "001", "sgnjn")
    choice("fsgnjx", "00100", "010", "sgnjx")
    choice("fmin", "00101", "000", "min")
    choice("fmax", "00101", "001", "max")
    compare("fle", "000", "le")
    compare("flt", "001", "lt")
    compare("feq", "010", "eq")
    rows("fclass", f"11100 fmt 00000 frs1 001 rd {OP}", "rd, frs1", lambda x: lambda m, frs1: m.fp("class", x, frs1))


def _add_moves(isa: Registry) -> None:
    """They copy bits: no number is read."""
    extend = {16: sext16, 32: sext32, 64: lambda x: x}
    for f in FORMATS:
        isa.insn(
            f.minimal, f"fmv.x.{f.memory}", f"11100 {f.fmt} 00000 frs1 000 rd {OP}", "rd, frs1",
            lambda frs1, f=f: extend[f.bits](frs1), hot=False,
        )  # fmt: skip
        isa.insn(
            f.minimal, f"fmv.{f.memory}.x", f"11110 {f.fmt} 00000 rs1 000 frd {OP}", "frd, rs1",
            lambda rs1, f=f: box(f, rs1 & f.mask), hot=False,
        )  # fmt: skip


def _add_conversions(isa: Registry) -> None:
    for kind, number in INTEGERS:
        for f in FORMATS:
            isa.insn(
                f.extension, f"fcvt.{kind}.{f.letter}", f"11000 {f.fmt} {number} frs1 rm:3 rd {OP}", "rd, frs1, rm",
                lambda m, frs1, f=f, kind=kind: m.fp(f"to.{kind}", f.letter, frs1), hot=False,
            )  # fmt: skip
    for kind, number in INTEGERS:
        for f in FORMATS:
            rm = "exact_rm" if f.bits == 64 and kind in ("w", "wu") else "rm"
            isa.insn(
                f.extension, f"fcvt.{f.letter}.{kind}", f"11010 {f.fmt} {number} rs1 rm:3 frd {OP}", f"frd, rs1, {rm}",
                lambda m, rs1, f=f, kind=kind: m.fp(f"from.{kind}", f.letter, rs1), hot=False,
            )  # fmt: skip
    for to, source in permutations(FORMATS, 2):
        rm = "rm" if to.bits < source.bits else "exact_rm"
        isa.insn(
            "Zfhmin" if HALF in (to, source) else "D", f"fcvt.{to.letter}.{source.letter}",
            f"01000 {to.fmt} 000{source.fmt} frs1 rm:3 frd {OP}", f"frd, frs1, {rm}",
            lambda m, frs1, to=to, source=source: m.fp(f"from.{source.letter}", to.letter, frs1), hot=False,
        )  # fmt: skip
