"""C: 16-bit encodings of base instructions (Unprivileged ISA, "C" Extension).

`where` keeps reserved encodings illegal; HINTs expand to base instructions that do nothing.
"""

from __future__ import annotations

from rvhv.isa.rows import Registry

Fields = dict[str, int]


def _rd_not_0(f: Fields) -> bool:
    return f["rd"] != 0


def _rs1_not_0(f: Fields) -> bool:
    return f["rs1"] != 0


def _imm_not_0(f: Fields) -> bool:
    return f["imm"] != 0


def _uimm_not_0(f: Fields) -> bool:
    return f["uimm"] != 0


def _is_ntl(f: Fields) -> bool:
    """c.add of x2 to x5 to x0 is a c.ntl hint."""
    return f["rd"] == 0 and 2 <= f["rs2"] <= 5


def add_rows(isa: Registry) -> None:
    c = isa.c
    # quadrant 0
    c("c.addi4spn", "000 uimm[5:4|9:6|2|3] rd' 00", "rd, sp, uimm", "addi", _uimm_not_0, rd="rd", rs1=2, imm="uimm")
    c("c.fld", "001 uimm[5:3] rs1' uimm[7:6] frd' 00", "frd, uimm(rs1)", "fld", frd="frd", rs1="rs1", imm="uimm")
    c("c.lw", "010 uimm[5:3] rs1' uimm[2|6] rd' 00", "rd, uimm(rs1)", "lw", rd="rd", rs1="rs1", imm="uimm")
    c("c.ld", "011 uimm[5:3] rs1' uimm[7:6] rd' 00", "rd, uimm(rs1)", "ld", rd="rd", rs1="rs1", imm="uimm")
    c("c.fsd", "101 uimm[5:3] rs1' uimm[7:6] frs2' 00", "frs2, uimm(rs1)", "fsd", frs2="frs2", rs1="rs1", imm="uimm")
    c("c.sw", "110 uimm[5:3] rs1' uimm[2|6] rs2' 00", "rs2, uimm(rs1)", "sw", rs2="rs2", rs1="rs1", imm="uimm")
    c("c.sd", "111 uimm[5:3] rs1' uimm[7:6] rs2' 00", "rs2, uimm(rs1)", "sd", rs2="rs2", rs1="rs1", imm="uimm")
    # quadrant 1
    c("c.addi", "000 imm[5] rd imm[4:0] 01", "rd, imm", "addi", rd="rd", rs1="rd", imm="imm")
    c("c.addiw", "001 imm[5] rd imm[4:0] 01", "rd, imm", "addiw", _rd_not_0, rd="rd", rs1="rd", imm="imm")
    c("c.li", "010 imm[5] rd imm[4:0] 01", "rd, imm", "addi", rd="rd", rs1=0, imm="imm")
    c("c.addi16sp", "011 imm[9] 00010 imm[4|6|8:7|5] 01", "sp, imm", "addi", _imm_not_0, rd=2, rs1=2, imm="imm")
    c("c.lui", "011 imm[17] rd imm[16:12] 01", "rd, upper", "lui",
      lambda f: f["imm"] != 0 and f["rd"] != 2, rd="rd", imm="imm")  # fmt: skip
    c("c.srli", "100 uimm[5] 00 rd' uimm[4:0] 01", "rd, uimm", "srli", rd="rd", rs1="rd", shamt="uimm")
    c("c.srai", "100 uimm[5] 01 rd' uimm[4:0] 01", "rd, uimm", "srai", rd="rd", rs1="rd", shamt="uimm")
    c("c.andi", "100 imm[5] 10 rd' imm[4:0] 01", "rd, imm", "andi", rd="rd", rs1="rd", imm="imm")
    arithmetic = (("sub", 0, "00"), ("xor", 0, "01"), ("or", 0, "10"), ("and", 0, "11"), ("subw", 1, "00"), ("addw", 1, "01"))
    for name, high, low in arithmetic:
        c(f"c.{name}", f"100 {high} 11 rd' {low} rs2' 01", "rd, rs2", name, rd="rd", rs1="rd", rs2="rs2")
    c("c.j", "101 imm[11|4|9:8|10|6|7|3:1|5] 01", "target", "jal", rd=0, imm="imm")
    c("c.beqz", "110 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "rs1, target", "beq", rs1="rs1", rs2=0, imm="imm")
    c("c.bnez", "111 imm[8|4:3] rs1' imm[7:6|2:1|5] 01", "rs1, target", "bne", rs1="rs1", rs2=0, imm="imm")
    # quadrant 2
    c("c.slli", "000 uimm[5] rd uimm[4:0] 10", "rd, uimm", "slli", rd="rd", rs1="rd", shamt="uimm")
    c("c.fldsp", "001 uimm[5] frd uimm[4:3|8:6] 10", "frd, uimm(sp)", "fld", frd="frd", rs1=2, imm="uimm")
    c("c.lwsp", "010 uimm[5] rd uimm[4:2|7:6] 10", "rd, uimm(sp)", "lw", _rd_not_0, rd="rd", rs1=2, imm="uimm")
    c("c.ldsp", "011 uimm[5] rd uimm[4:3|8:6] 10", "rd, uimm(sp)", "ld", _rd_not_0, rd="rd", rs1=2, imm="uimm")
    c("c.jr", "100 0 rs1 00000 10", "rs1", "jalr", _rs1_not_0, rd=0, rs1="rs1", imm=0)
    c("c.mv", "100 0 rd rs2 10", "rd, rs2", "add", lambda f: f["rs2"] != 0, rd="rd", rs1=0, rs2="rs2")
    c("c.ebreak", "100 1 00000 00000 10", "", "ebreak")
    c("c.jalr", "100 1 rs1 00000 10", "rs1", "jalr", _rs1_not_0, rd=1, rs1="rs1", imm=0)
    c("c.add", "100 1 rd rs2 10", "rd, rs2", "add",
      lambda f: f["rs2"] != 0 and not _is_ntl(f), rd="rd", rs1="rd", rs2="rs2")  # fmt: skip
    c("c.fsdsp", "101 uimm[5:3|8:6] frs2 10", "frs2, uimm(sp)", "fsd", frs2="frs2", rs1=2, imm="uimm")
    c("c.swsp", "110 uimm[5:2|7:6] rs2 10", "rs2, uimm(sp)", "sw", rs2="rs2", rs1=2, imm="uimm")
    c("c.sdsp", "111 uimm[5:3|8:6] rs2 10", "rs2, uimm(sp)", "sd", rs2="rs2", rs1=2, imm="uimm")
