"""Bit manipulation: Zba, Zbb, Zbc, Zbs, Zbkb, Zbkx (Unprivileged ISA, "B" and "Zb*"), and Zicond's conditional moves to zero."""

from __future__ import annotations

from functools import reduce
from operator import or_

from rvhv.isa.expr import (
    E,
    brev,
    bswap,
    clmul,
    clz,
    const,
    cpop,
    ctz,
    eq,
    lts,
    ltu,
    ne,
    select,
    sext8,
    sext16,
    sext32,
    zext8,
    zext16,
    zext32,
)
from rvhv.isa.rows import Registry

LOW_BIT_OF_BYTES = 0x0101_0101_0101_0101
HIGH_BIT_OF_BYTES = LOW_BIT_OF_BYTES << 7
# what compilers emit most: these stay in the interpreter's loop
INLINE = frozenset("sh1add sh2add sh3add add.uw andn min minu max maxu sext.b sext.h zext.h czero.eqz czero.nez".split())
OP, OP_32, OP_IMM, OP_IMM_32 = "0110011", "0111011", "0010011", "0011011"


def orc_b(x: E) -> E:
    """All ones in each byte that is not zero: adding 0x7f to its low seven bits carries into bit 7 unless they are zero."""
    low_seven = HIGH_BIT_OF_BYTES - LOW_BIT_OF_BYTES
    nonzero = (((x & low_seven) + low_seven) | x) & HIGH_BIT_OF_BYTES
    return (nonzero >> 7) * 0xFF


def clmul_reversed(x: E, y: E) -> E:
    """Bits 126..63 of the carry-less product: the product of reversed operands is the reversed product."""
    return brev(clmul(brev(x), brev(y)))


def lane_shift(index: E, lane: int, bits: int) -> E:
    """The shift that brings the lane of `bits` bits named by lane `lane` of `index` to the bottom."""
    first, scale = lane * bits, bits.bit_length() - 1
    moved = index >> (first - scale) if first >= scale else index << (scale - first)
    return moved & (64 - bits)


def xperm4(table: E, index: E) -> E:
    return reduce(or_, (((table >> lane_shift(index, i, 4)) & 0xF) << 4 * i for i in range(16)))


def xperm8(table: E, index: E) -> E:
    """An index past the last byte gives zero."""

    def lane(i: int) -> E:
        inside = ltu(zext8(index >> 8 * i), 8)
        return select(inside, zext8(table >> lane_shift(index, i, 8)), 0) << 8 * i

    return reduce(or_, (lane(i) for i in range(8)))


def minus(x: E) -> E:
    return const(0) - x


def rotate_right(x: E, amount: E) -> E:
    return (x >> (amount & 63)) | (x << (minus(amount) & 63))


def rotate_right_word(x: E, amount: E) -> E:
    return sext32((zext32(x) >> (amount & 31)) | (x << (minus(amount) & 31)))


def one_at(position: E) -> E:
    return const(1) << (position & 63)


def add_rows(isa: Registry) -> None:
    extension = ""

    def op(name, funct7, funct3, semantics, opcode=OP):  # type: ignore[no-untyped-def]
        isa.insn(extension, name, f"{funct7} rs2 rs1 {funct3} rd {opcode}", "rd, rs1, rs2", semantics, hot=name in INLINE)

    def op32(name, funct7, funct3, semantics):  # type: ignore[no-untyped-def]
        op(name, funct7, funct3, semantics, OP_32)

    def unary(name, funct12, funct3, semantics, opcode=OP_IMM, **more):  # type: ignore[no-untyped-def]
        isa.insn(extension, name, f"{funct12} rs1 {funct3} rd {opcode}", "rd, rs1", semantics, hot=name in INLINE, **more)

    def shift(name, funct, funct3, semantics, opcode=OP_IMM):  # type: ignore[no-untyped-def]
        width = 12 - len(funct)
        isa.insn(
            extension, name, f"{funct} shamt:{width} rs1 {funct3} rd {opcode}", "rd, rs1, shamt", semantics, hot=name in INLINE
        )  # fmt: skip

    extension = "Zba"
    for n, funct3 in ((1, "010"), (2, "100"), (3, "110")):
        op(f"sh{n}add", "0010000", funct3, lambda rs1, rs2, n=n: (rs1 << n) + rs2)
        op32(f"sh{n}add.uw", "0010000", funct3, lambda rs1, rs2, n=n: (zext32(rs1) << n) + rs2)
    op32("add.uw", "0000100", "000", lambda rs1, rs2: zext32(rs1) + rs2)
    shift("slli.uw", "000010", "001", lambda rs1, shamt: zext32(rs1) << (shamt & 63), OP_IMM_32)

    extension = "Zbb"
    op("andn", "0100000", "111", lambda rs1, rs2: rs1 & ~rs2)
    op("orn", "0100000", "110", lambda rs1, rs2: rs1 | ~rs2)
    op("xnor", "0100000", "100", lambda rs1, rs2: ~(rs1 ^ rs2))
    unary("clz", "0110000 00000", "001", lambda rs1: clz(rs1))
    unary("ctz", "0110000 00001", "001", lambda rs1: ctz(rs1))
    unary("cpop", "0110000 00010", "001", lambda rs1: cpop(rs1))
    unary("clzw", "0110000 00000", "001", lambda rs1: clz(zext32(rs1)) - 32, OP_IMM_32)
    unary("ctzw", "0110000 00001", "001", lambda rs1: ctz(rs1 | (1 << 32)), OP_IMM_32)
    unary("cpopw", "0110000 00010", "001", lambda rs1: cpop(zext32(rs1)), OP_IMM_32)
    op("min", "0000101", "100", lambda rs1, rs2: select(lts(rs1, rs2), rs1, rs2))
    op("minu", "0000101", "101", lambda rs1, rs2: select(ltu(rs1, rs2), rs1, rs2))
    op("max", "0000101", "110", lambda rs1, rs2: select(lts(rs1, rs2), rs2, rs1))
    op("maxu", "0000101", "111", lambda rs1, rs2: select(ltu(rs1, rs2), rs2, rs1))
    unary("sext.b", "0110000 00100", "001", lambda rs1: sext8(rs1))
    unary("sext.h", "0110000 00101", "001", lambda rs1: sext16(rs1))
    unary("zext.h", "0000100 00000", "100", lambda rs1: zext16(rs1), OP_32, overrides="packw")
    op("rol", "0110000", "001", lambda rs1, rs2: rotate_right(rs1, minus(rs2)))
    op("ror", "0110000", "101", lambda rs1, rs2: rotate_right(rs1, rs2))
    shift("rori", "011000", "101", lambda rs1, shamt: rotate_right(rs1, shamt))
    op32("rolw", "0110000", "001", lambda rs1, rs2: rotate_right_word(rs1, minus(rs2)))
    op32("rorw", "0110000", "101", lambda rs1, rs2: rotate_right_word(rs1, rs2))
    shift("roriw", "0110000", "101", lambda rs1, shamt: rotate_right_word(rs1, shamt), OP_IMM_32)
    unary("orc.b", "0010100 00111", "101", lambda rs1: orc_b(rs1))
    unary("rev8", "0110101 11000", "101", lambda rs1: bswap(rs1))

    extension = "Zbc"
    op("clmul", "0000101", "001", lambda rs1, rs2: clmul(rs1, rs2))
    op("clmulr", "0000101", "010", lambda rs1, rs2: clmul_reversed(rs1, rs2))
    op("clmulh", "0000101", "011", lambda rs1, rs2: clmul_reversed(rs1, rs2) >> 1)

    extension = "Zbs"
    for name, funct6, funct3, semantics in (
        ("bclr", "010010", "001", lambda x, at: x & ~one_at(at)),
        ("bext", "010010", "101", lambda x, at: (x >> (at & 63)) & 1),
        ("binv", "011010", "001", lambda x, at: x ^ one_at(at)),
        ("bset", "001010", "001", lambda x, at: x | one_at(at)),
    ):
        op(name, funct6 + "0", funct3, lambda rs1, rs2, semantics=semantics: semantics(rs1, rs2))
        shift(name + "i", funct6, funct3, lambda rs1, shamt, semantics=semantics: semantics(rs1, shamt))

    extension = "Zbkb"
    op("pack", "0000100", "100", lambda rs1, rs2: zext32(rs1) | (rs2 << 32))
    op("packh", "0000100", "111", lambda rs1, rs2: zext8(rs1) | (zext8(rs2) << 8))
    op32("packw", "0000100", "100", lambda rs1, rs2: sext32(zext16(rs1) | (rs2 << 16)))
    unary("brev8", "0110100 00111", "101", lambda rs1: bswap(brev(rs1)))

    extension = "Zbkx"
    op("xperm4", "0010100", "010", lambda rs1, rs2: xperm4(rs1, rs2))
    op("xperm8", "0010100", "100", lambda rs1, rs2: xperm8(rs1, rs2))

    extension = "Zicond"
    op("czero.eqz", "0000111", "101", lambda rs1, rs2: select(eq(rs2, 0), 0, rs1))
    op("czero.nez", "0000111", "111", lambda rs1, rs2: select(ne(rs2, 0), 0, rs1))
