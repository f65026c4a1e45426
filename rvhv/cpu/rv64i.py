"""RV64I base integer instructions and Zifencei's fence.i (Unprivileged ISA, "RV32I", "RV64I")."""

from __future__ import annotations

from rvhv.isa.expr import MASK64, eq, ges, geu, lts, ltu, ne, sar, sext32, zext32
from rvhv.isa.rows import Registry

R = "rd, rs1, rs2"
I = "rd, rs1, imm"  # noqa: E741
SHIFT = "rd, rs1, shamt"
LOAD = "rd, imm(rs1)"
STORE = "rs2, imm(rs1)"
BRANCH = "rs1, rs2, target"


def add_rows(isa: Registry) -> None:
    def op(name, funct7, funct3, semantics):  # type: ignore[no-untyped-def]
        isa.insn("I", name, f"{funct7} rs2 rs1 {funct3} rd 0110011", R, semantics)

    def op32(name, funct7, funct3, semantics):  # type: ignore[no-untyped-def]
        isa.insn("I", name, f"{funct7} rs2 rs1 {funct3} rd 0111011", R, semantics)

    def imm(name, funct3, semantics):  # type: ignore[no-untyped-def]
        isa.insn("I", name, f"imm[11:0] rs1 {funct3} rd 0010011", I, semantics)

    def shift(name, encoding, semantics):  # type: ignore[no-untyped-def]
        isa.insn("I", name, encoding, SHIFT, semantics)

    def load(name, funct3, size, signed):  # type: ignore[no-untyped-def]
        isa.insn(
            "I", name, f"imm[11:0] rs1 {funct3} rd 0000011", LOAD,
            lambda m, rs1, imm: m.load(rs1 + imm, size, signed=signed),
        )  # fmt: skip

    def store(name, funct3, size):  # type: ignore[no-untyped-def]
        isa.insn(
            "I", name, f"imm[11:5] rs2 rs1 {funct3} imm[4:0] 0100011", STORE,
            lambda m, rs1, rs2, imm: m.store(rs1 + imm, rs2, size),
        )  # fmt: skip

    def branch(name, funct3, taken):  # type: ignore[no-untyped-def]
        isa.insn(
            "I", name, f"imm[12|10:5] rs2 rs1 {funct3} imm[4:1|11] 1100011", BRANCH,
            lambda m, rs1, rs2, pc, imm: m.branch(taken(rs1, rs2), pc + imm),
        )  # fmt: skip

    imm("addi", "000", lambda rs1, imm: rs1 + imm)
    imm("slti", "010", lambda rs1, imm: lts(rs1, imm))
    imm("sltiu", "011", lambda rs1, imm: ltu(rs1, imm))
    imm("xori", "100", lambda rs1, imm: rs1 ^ imm)
    imm("ori", "110", lambda rs1, imm: rs1 | imm)
    imm("andi", "111", lambda rs1, imm: rs1 & imm)
    shift("slli", "000000 shamt:6 rs1 001 rd 0010011", lambda rs1, shamt: rs1 << (shamt & 63))
    shift("srli", "000000 shamt:6 rs1 101 rd 0010011", lambda rs1, shamt: rs1 >> (shamt & 63))
    shift("srai", "010000 shamt:6 rs1 101 rd 0010011", lambda rs1, shamt: sar(rs1, shamt & 63))
    op("add", "0000000", "000", lambda rs1, rs2: rs1 + rs2)
    op("sub", "0100000", "000", lambda rs1, rs2: rs1 - rs2)
    op("sll", "0000000", "001", lambda rs1, rs2: rs1 << (rs2 & 63))
    op("slt", "0000000", "010", lambda rs1, rs2: lts(rs1, rs2))
    op("sltu", "0000000", "011", lambda rs1, rs2: ltu(rs1, rs2))
    op("xor", "0000000", "100", lambda rs1, rs2: rs1 ^ rs2)
    op("srl", "0000000", "101", lambda rs1, rs2: rs1 >> (rs2 & 63))
    op("sra", "0100000", "101", lambda rs1, rs2: sar(rs1, rs2 & 63))
    op("or", "0000000", "110", lambda rs1, rs2: rs1 | rs2)
    op("and", "0000000", "111", lambda rs1, rs2: rs1 & rs2)

    isa.insn("I", "addiw", "imm[11:0] rs1 000 rd 0011011", I, lambda rs1, imm: sext32(rs1 + imm))
    shift("slliw", "0000000 shamt:5 rs1 001 rd 0011011", lambda rs1, shamt: sext32(rs1 << (shamt & 31)))
    shift("srliw", "0000000 shamt:5 rs1 101 rd 0011011", lambda rs1, shamt: sext32(zext32(rs1) >> (shamt & 31)))
    shift("sraiw", "0100000 shamt:5 rs1 101 rd 0011011", lambda rs1, shamt: sar(sext32(rs1), shamt & 31))
    op32("addw", "0000000", "000", lambda rs1, rs2: sext32(rs1 + rs2))
    op32("subw", "0100000", "000", lambda rs1, rs2: sext32(rs1 - rs2))
    op32("sllw", "0000000", "001", lambda rs1, rs2: sext32(rs1 << (rs2 & 31)))
    op32("srlw", "0000000", "101", lambda rs1, rs2: sext32(zext32(rs1) >> (rs2 & 31)))
    op32("sraw", "0100000", "101", lambda rs1, rs2: sar(sext32(rs1), rs2 & 31))

    isa.insn("I", "lui", "imm[31:12] rd 0110111", "rd, upper", lambda imm: imm)
    isa.insn("I", "auipc", "imm[31:12] rd 0010111", "rd, upper", lambda pc, imm: pc + imm)

    load("lb", "000", 1, True)
    load("lh", "001", 2, True)
    load("lw", "010", 4, True)
    load("ld", "011", 8, False)
    load("lbu", "100", 1, False)
    load("lhu", "101", 2, False)
    load("lwu", "110", 4, False)
    store("sb", "000", 1)
    store("sh", "001", 2)
    store("sw", "010", 4)
    store("sd", "011", 8)

    branch("beq", "000", eq)
    branch("bne", "001", ne)
    branch("blt", "100", lts)
    branch("bge", "101", ges)
    branch("bltu", "110", ltu)
    branch("bgeu", "111", geu)

    def jal(m, pc, npc, imm):  # type: ignore[no-untyped-def]
        m.jump(pc + imm)
        return npc

    def jalr(m, rs1, npc, imm):  # type: ignore[no-untyped-def]
        m.jump((rs1 + imm) & (MASK64 - 1))
        return npc

    isa.insn("I", "jal", "imm[20|10:1|11|19:12] rd 1101111", "rd, target", jal)
    isa.insn("I", "jalr", "imm[11:0] rs1 000 rd 1100111", LOAD, jalr)

    # one host thread runs every hart: each access is already seen by all in order, so fences have nothing to do;
    # fence.i only says so in the log, because the store that changes code drops what was decoded from it
    isa.insn("I", "fence", "fm:4 pred:4 succ:4 rs1 000 rd 0001111", "fence", lambda: None, hot=False)
    isa.insn("Zifencei", "fence.i", "imm[11:0] rs1 001 rd 0001111", "", lambda m: m.call("fence_i"), hot=False)
    isa.insn("I", "ecall", "000000000000 00000 000 00000 1110011", "", lambda m: m.call("ecall"), hot=False)
    isa.insn("I", "ebreak", "000000000001 00000 000 00000 1110011", "", lambda m: m.call("ebreak"), hot=False)
