"""Predecoding in njit code, driven by the tables of `rvhv.cpu.predecode`: a new row needs no new code here."""

from __future__ import annotations

from rvhv.cpu import predecode as _p
from rvhv.cpu.frames import note_code
from rvhv.cpu.log import log
from rvhv.cpu.njit import jit, ld16
from rvhv.cpu.slots import CODE_FRAME, I64, LOG_DECODE, PC, RAM_BASE, U64

U0, U1, U2, U3, U4, U8, U12, U16, U31, U32, U63 = (U64(n) for n in (0, 1, 2, 3, 4, 8, 12, 16, 31, 32, 63))
BYTE = U64(0xFF)
OPCODE5 = U64(31)
LOW32 = U64(0xFFFF_FFFF)
LAST_HALFWORD = U64(4094)

OP_MASK = U64(_p.OP_MASK)
HALFWORDS_SHIFT, RD_SHIFT, RS1_SHIFT, RS2_SHIFT = (
    U64(n) for n in (_p.HALFWORDS_SHIFT, _p.RD_SHIFT, _p.RS1_SHIFT, _p.RS2_SHIFT)
)
TABLE_MATCH, TABLE_OPCODES, TABLE_ROWS, ROW_WORDS, ROW_SLICES = (
    U64(n) for n in (_p.TABLE_MATCH, _p.TABLE_OPCODES, _p.TABLE_ROWS, _p.ROW_WORDS, _p.ROW_SLICES)
)
HAS_RD, HAS_RS1, HAS_RS2 = U64(_p.HAS_RD), U64(_p.HAS_RS1), U64(_p.HAS_RS2)
OP_CROSS = U64(_p.Special.CROSS)
ILLEGAL_LONG = U64(_p.Special.ILLEGAL | 2 << _p.HALFWORDS_SHIFT)
X_SINK_RD = U64(32 << _p.RD_SHIFT)
INSN_RD, INSN_RS1, INSN_RS2 = U64(7), U64(15), U64(20)


@jit
def decode_long(tab, insn):  # type: ignore[no-untyped-def]
    """The predecoded word of a 32-bit instruction."""
    group = tab[TABLE_OPCODES + ((insn >> U2) & OPCODE5)]
    at = TABLE_ROWS + (group & LOW32) * ROW_WORDS
    end = at + (group >> U32) * ROW_WORDS
    while at < end:
        if insn & tab[at + U1] == tab[at]:
            word = tab[at + U2]
            shape = tab[at + U3]
            if shape & HAS_RD != U0:
                rd = (insn >> INSN_RD) & U31
                word |= (rd << RD_SHIFT) if rd != U0 else X_SINK_RD
            if shape & HAS_RS1 != U0:
                word |= ((insn >> INSN_RS1) & U31) << RS1_SHIFT
            if shape & HAS_RS2 != U0:
                word |= ((insn >> INSN_RS2) & U31) << RS2_SHIFT
            imm = U0
            i = U0
            count = (shape >> U8) & BYTE
            while i < count:
                s = tab[at + ROW_SLICES + i]
                part = (insn >> (s & U63)) & ((U1 << ((s >> U16) & U63)) - U1)
                imm |= part << ((s >> U8) & U63)
                i += U1
            sign = (shape >> U16) & U63
            if sign != U0:
                gap = U63 - sign
                imm = U64(I64(imm << gap) >> I64(gap))
            return word | (imm << U32)
        at += ROW_WORDS
    return ILLEGAL_LONG


@jit
def decode_word(ram, tab, frame, offset):  # type: ignore[no-untyped-def]
    """The predecoded word of the instruction at `offset` of a frame; it may be OP_CROSS."""
    first = ld16(ram, (frame << U12) + offset)
    if first & U3 != U3:
        return tab[first]
    if offset == LAST_HALFWORD:
        return OP_CROSS
    return decode_long(tab, first | (ld16(ram, (frame << U12) + offset + U2) << U16))


@jit
def decode_at(st, ram, fr, code, tab, base, at):  # type: ignore[no-untyped-def]
    """Predecode the instruction of slot `at` of the page at `base`; the slot and the result may be OP_CROSS."""
    frame = code[base + CODE_FRAME]
    offset = (at - base) << U1
    word = decode_word(ram, tab, frame, offset)
    size = U4 if (word >> HALFWORDS_SHIFT) & U3 == U2 else U2
    note_code(st, fr, frame, offset, size)
    log(st, LOG_DECODE, st[PC], st[RAM_BASE] + (frame << U12) + offset, size, U0, U0, U0, U0)
    code[at] = word
    return word
