"""Assembly syntax: the operand strings of the rows, and the pseudo-instructions; one source for both directions.

A syntax string holds placeholders and literal text: `rd rs1 rs2`, `frd frs1 frs2 frs3` (registers), `target` (pc + imm),
`upper` (imm >> 12), `csr` (a CSR's name), `fence` (two sets of i, o, r, w), `rm` and `exact_rm` (a rounding mode, last; left
out where it is dyn or rne), any other field of the encoding (decimal), and `sp` as itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache

from rvhv.isa.rows import FLOAT_OPERANDS, REGISTER_OPERANDS

REGISTERS = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2", "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7", "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip
FLOAT_REGISTERS = (
    "ft0", "ft1", "ft2", "ft3", "ft4", "ft5", "ft6", "ft7", "fs0", "fs1", "fa0", "fa1", "fa2", "fa3", "fa4", "fa5",
    "fa6", "fa7", "fs2", "fs3", "fs4", "fs5", "fs6", "fs7", "fs8", "fs9", "fs10", "fs11", "ft8", "ft9", "ft10", "ft11",
)  # fmt: skip
FLOAT_REGISTER_NUMBER = {name: n for n, name in enumerate(FLOAT_REGISTERS)} | {f"f{n}": n for n in range(32)}
REGISTER_NUMBER = {name: n for n, name in enumerate(REGISTERS)} | {f"x{n}": n for n in range(32)} | {"fp": 8}
AQRL_SUFFIX = ("", ".rl", ".aq", ".aqrl")
FENCE_SET = ((8, "i"), (4, "o"), (2, "r"), (1, "w"))
LITERAL_REGISTERS = frozenset({"sp"})

# the field of the encoding that a placeholder stands for, where it is not its own name
PLACEHOLDER_FIELD = {"target": "imm", "upper": "imm", "exact_rm": "rm"}
ROUNDING_MODES = {"rne": 0, "rtz": 1, "rdn": 2, "rup": 3, "rmm": 4, "dyn": 7}
ROUNDING_DEFAULT = {"rm": ROUNDING_MODES["dyn"], "exact_rm": ROUNDING_MODES["rne"]}


@cache
def tokens(syntax: str) -> tuple[tuple[bool, str], ...]:
    """(is a placeholder, text) in order; `fence` becomes its two sets."""
    found: list[tuple[bool, str]] = []
    for text in re.findall(r"\w+|[^\w\s]", syntax):
        if text == "fence":
            found += [(True, "pred"), (False, ","), (True, "succ")]
        else:
            found.append((text[0].isalpha() and text not in LITERAL_REGISTERS, text))
    return tuple(found)


def shown_fields(syntax: str) -> Iterator[str]:
    """The encoding's fields that the operands name."""
    for placeholder, text in tokens(syntax):
        if placeholder:
            yield PLACEHOLDER_FIELD.get(text, text)


def is_register(placeholder: str) -> bool:
    return placeholder in REGISTER_OPERANDS or placeholder in FLOAT_OPERANDS


@dataclass(frozen=True)
class Pseudo:
    """Another name for the instruction (or compressed encoding) `base` with some fields fixed.

    A fixed `csr` may be a name. `same` maps a field to another one that it equals.
    `printed`: the disassembler uses it, as objdump does. Where several match, the first one in `PSEUDO` is meant.
    """

    name: str
    syntax: str
    base: str
    fixed: Mapping[str, int | str]
    printed: bool = True
    same: Mapping[str, str] = field(default_factory=dict)


_READ: dict[str, int | str] = {"rs1": 0}
_SAME = {"frs2": "frs1"}
_FENCE: dict[str, int | str] = {"fm": 0, "rs1": 0, "rd": 0}
_FLOAT: tuple[Pseudo, ...] = (
    *(
        Pseudo(f"{name}.{fmt}", "frd, frs1", f"{base}.{fmt}", {}, same=_SAME)
        for fmt in "sdh"
        for name, base in (("fmv", "fsgnj"), ("fneg", "fsgnjn"), ("fabs", "fsgnjx"))
    ),
    *(
        Pseudo(f"{name}.{fmt}", "rd, frs2, frs1", f"{base}.{fmt}", {}, printed=False)
        for fmt in "sdh"
        for name, base in (("fgt", "flt"), ("fge", "fle"))
    ),
    *(
        pseudo
        for csr, short in (("fcsr", "csr"), ("frm", "rm"), ("fflags", "flags"))
        for pseudo in (
            Pseudo(f"fr{short}", "rd", "csrrs", {"rs1": 0, "csr": csr}),
            Pseudo(f"fs{short}", "rs1", "csrrw", {"rd": 0, "csr": csr}),
            Pseudo(f"fs{short}", "rd, rs1", "csrrw", {"csr": csr}),
            Pseudo(f"fs{short}i", "uimm", "csrrwi", {"rd": 0, "csr": csr}),
            Pseudo(f"fs{short}i", "rd, uimm", "csrrwi", {"csr": csr}),
        )
        if pseudo.name != "fscsri"
    ),
)
PSEUDO: tuple[Pseudo, ...] = (
    *_FLOAT,
    Pseudo("nop", "", "addi", {"rd": 0, "rs1": 0, "imm": 0}),
    Pseudo("li", "rd, imm", "addi", {"rs1": 0}),
    Pseudo("mv", "rd, rs1", "addi", {"imm": 0}),
    Pseudo("mv", "rd, rs2", "c.mv", {}),
    Pseudo("not", "rd, rs1", "xori", {"imm": -1}),
    Pseudo("neg", "rd, rs2", "sub", {"rs1": 0}),
    Pseudo("negw", "rd, rs2", "subw", {"rs1": 0}),
    Pseudo("sext.w", "rd, rs1", "addiw", {"imm": 0}),
    Pseudo("zext.w", "rd, rs1", "add.uw", {"rs2": 0}),
    Pseudo("zext.b", "rd, rs1", "andi", {"imm": 255}),
    Pseudo("seqz", "rd, rs1", "sltiu", {"imm": 1}),
    Pseudo("snez", "rd, rs2", "sltu", {"rs1": 0}),
    Pseudo("sltz", "rd, rs1", "slt", {"rs2": 0}),
    Pseudo("sgtz", "rd, rs2", "slt", {"rs1": 0}),
    Pseudo("beqz", "rs1, target", "beq", {"rs2": 0}),
    Pseudo("bnez", "rs1, target", "bne", {"rs2": 0}),
    Pseudo("blez", "rs2, target", "bge", {"rs1": 0}),
    Pseudo("bgez", "rs1, target", "bge", {"rs2": 0}),
    Pseudo("bltz", "rs1, target", "blt", {"rs2": 0}),
    Pseudo("bgtz", "rs2, target", "blt", {"rs1": 0}),
    Pseudo("bgt", "rs2, rs1, target", "blt", {}, printed=False),
    Pseudo("ble", "rs2, rs1, target", "bge", {}, printed=False),
    Pseudo("bgtu", "rs2, rs1, target", "bltu", {}, printed=False),
    Pseudo("bleu", "rs2, rs1, target", "bgeu", {}, printed=False),
    Pseudo("j", "target", "jal", {"rd": 0}),
    Pseudo("jal", "target", "jal", {"rd": 1}),
    Pseudo("ret", "", "jalr", {"rd": 0, "rs1": 1, "imm": 0}),
    Pseudo("jr", "rs1", "jalr", {"rd": 0, "imm": 0}),
    Pseudo("jr", "imm(rs1)", "jalr", {"rd": 0}),
    Pseudo("jalr", "rs1", "jalr", {"rd": 1, "imm": 0}),
    Pseudo("jalr", "imm(rs1)", "jalr", {"rd": 1}),
    Pseudo("jalr", "rd, rs1", "jalr", {"imm": 0}),
    Pseudo("jalr", "rd, rs1, imm", "jalr", {}, printed=False),
    Pseudo("unimp", "", "csrrw", {"rd": 0, "rs1": 0, "csr": "cycle"}),
    Pseudo("rdcycle", "rd", "csrrs", _READ | {"csr": "cycle"}),
    Pseudo("rdtime", "rd", "csrrs", _READ | {"csr": "time"}),
    Pseudo("rdinstret", "rd", "csrrs", _READ | {"csr": "instret"}),
    Pseudo("csrr", "rd, csr", "csrrs", _READ),
    Pseudo("csrw", "csr, rs1", "csrrw", {"rd": 0}),
    Pseudo("csrs", "csr, rs1", "csrrs", {"rd": 0}),
    Pseudo("csrc", "csr, rs1", "csrrc", {"rd": 0}),
    Pseudo("csrwi", "csr, uimm", "csrrwi", {"rd": 0}),
    Pseudo("csrsi", "csr, uimm", "csrrsi", {"rd": 0}),
    Pseudo("csrci", "csr, uimm", "csrrci", {"rd": 0}),
    Pseudo("fence", "", "fence", _FENCE | {"pred": 15, "succ": 15}),
    Pseudo("fence.tso", "", "fence", _FENCE | {"fm": 8, "pred": 3, "succ": 3}),
    Pseudo("sfence.vma", "", "sfence.vma", {"rs1": 0, "rs2": 0}),
    Pseudo("sfence.vma", "rs1", "sfence.vma", {"rs2": 0}),
    Pseudo("hfence.vvma", "", "hfence.vvma", {"rs1": 0, "rs2": 0}),
    Pseudo("hfence.vvma", "rs1", "hfence.vvma", {"rs2": 0}),
    Pseudo("hfence.gvma", "", "hfence.gvma", {"rs1": 0, "rs2": 0}),
    Pseudo("hfence.gvma", "rs1", "hfence.gvma", {"rs2": 0}),
    Pseudo("c.nop", "", "c.addi", {"rd": 0, "imm": 0}),
)
