"""M: integer multiplication and division (Unprivileged ISA, "M" Extension)."""

from __future__ import annotations

from rvhv.isa.expr import div, divu, mulh, mulhsu, mulhu, rem, remu, sext32, zext32
from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    def op(name, funct3, semantics):  # type: ignore[no-untyped-def]
        isa.insn("M", name, f"0000001 rs2 rs1 {funct3} rd 0110011", "rd, rs1, rs2", semantics)

    def op32(name, funct3, semantics):  # type: ignore[no-untyped-def]
        isa.insn("M", name, f"0000001 rs2 rs1 {funct3} rd 0111011", "rd, rs1, rs2", semantics)

    op("mul", "000", lambda rs1, rs2: rs1 * rs2)
    op("mulh", "001", lambda rs1, rs2: mulh(rs1, rs2))
    op("mulhsu", "010", lambda rs1, rs2: mulhsu(rs1, rs2))
    op("mulhu", "011", lambda rs1, rs2: mulhu(rs1, rs2))
    op("div", "100", lambda rs1, rs2: div(rs1, rs2))
    op("divu", "101", lambda rs1, rs2: divu(rs1, rs2))
    op("rem", "110", lambda rs1, rs2: rem(rs1, rs2))
    op("remu", "111", lambda rs1, rs2: remu(rs1, rs2))
    op32("mulw", "000", lambda rs1, rs2: sext32(rs1 * rs2))
    op32("divw", "100", lambda rs1, rs2: sext32(div(sext32(rs1), sext32(rs2))))
    op32("divuw", "101", lambda rs1, rs2: sext32(divu(zext32(rs1), zext32(rs2))))
    op32("remw", "110", lambda rs1, rs2: sext32(rem(sext32(rs1), sext32(rs2))))
    op32("remuw", "111", lambda rs1, rs2: sext32(remu(zext32(rs1), zext32(rs2))))
