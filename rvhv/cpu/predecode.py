"""Predecoded instructions: one 64-bit word a halfword of code, and the tables they are made with. Pure Python;
nothing here needs numba.

    bits  0..13  op: number of the row (0: not decoded yet; see Special)
    bits 14..15  length in halfwords
    bits 16..21  rd slot: 0 to 31, x_sink for x0; of an F register the low five bits are its number
    bits 22..26  rs1 or frs1
    bits 27..31  rs2 or frs2
    bits 32..63  every other field of the encoding, low bits first; `imm` alone and signed where the row has one
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from rvhv.cpu.state import SLOT
from rvhv.isa.rows import DESTINATIONS, Csr, Insn, Registry, most_specific_first

OP_MASK = (1 << 14) - 1
HALFWORDS_SHIFT, RD_SHIFT, RS1_SHIFT, RS2_SHIFT, IMM_SHIFT = 14, 16, 22, 27, 32
REGISTER_SHIFT = {"rs1": RS1_SHIFT, "rs2": RS2_SHIFT, "frs1": RS1_SHIFT, "frs2": RS2_SHIFT}


class Special(IntEnum):
    """Op numbers that are no instruction."""

    UNDECODED = 0
    PAGE_END = 1  # the two marks after a page's last halfword
    CROSS = 2  # a four-byte instruction whose second half is on the next page: fetched anew each time
    ILLEGAL = 3
    STOP = 4  # execution may stop here: looked at, and decoded, each time
    REGION = 5  # a translated region can be entered here


FIRST_OP = len(Special)

# the table given to njit code: compressed words, then per-op and per-CSR tables, then the rows of 32-bit encodings
TABLE_COMPRESSED = 0
TABLE_MATCH = 0x10000  # + op: the match bits of its encoding
TABLE_CSR = TABLE_MATCH + 0x1000  # + number: see csr_word; 0 if there is no such CSR
TABLE_STORAGE = TABLE_CSR + 0x1000  # + 4 * row: 1 + slot (0: the row has expressions), fixed bits, write mask, unused
TABLE_OPCODES = TABLE_STORAGE + 0x1000  # + insn[6:2]: index of the first row | number of rows << 32
TABLE_ROWS = TABLE_OPCODES + 32
ROW_WORDS = 12  # match, mask, packed constants, register flags | slices << 8 | sign bit << 16, then slices
ROW_SLICES = 4
HAS_RD, HAS_RS1, HAS_RS2 = 1, 2, 4


@dataclass(frozen=True)
class Place:
    """Where a field sits in the predecoded word."""

    shift: int
    width: int
    signed: bool


def placement(insn: Insn) -> dict[str, Place]:
    """The place of every field of an instruction's encoding but rd and frd."""
    places = {}
    position = IMM_SHIFT
    for f in insn.encoding.fields:
        if f.name in REGISTER_SHIFT:
            places[f.name] = Place(REGISTER_SHIFT[f.name], 5, False)
        elif f.name not in DESTINATIONS:
            width = 32 if f.signed else f.bits
            places[f.name] = Place(position, width, f.signed)
            position += width
    assert position <= 64, f"{insn.name}: its fields do not fit a predecoded word"
    return places


def op_numbers(isa: Registry) -> dict[str, int]:
    return {name: FIRST_OP + i for i, name in enumerate(isa.insns)}


def destination(fields: dict[str, int]) -> int:
    """What the rd bits of a predecoded word hold."""
    return next((fields[name] for name in DESTINATIONS if name in fields), 0) or SLOT["x_sink"]


def pack(isa: Registry, insn: Insn, fields: dict[str, int], length: int) -> int:
    """The predecoded word of an instruction with these field values."""
    word = op_numbers(isa)[insn.name] | (length // 2) << HALFWORDS_SHIFT
    word |= destination(fields) << RD_SHIFT
    for name, place in placement(insn).items():
        word |= (fields[name] & ((1 << place.width) - 1)) << place.shift
    return word


def _compressed_words(isa: Registry) -> list[int]:
    ops = op_numbers(isa)
    words = [Special.ILLEGAL | 1 << HALFWORDS_SHIFT] * 0x10000
    places = {insn.name: placement(insn) for insn in isa.insns.values()}
    for row in isa.compressed.values():
        free = 0xFFFF & ~row.encoding.mask
        base = ops[row.base] | 1 << HALFWORDS_SHIFT
        mine = places[row.base]
        value = 0
        while True:
            fields = row.encoding.extract(row.encoding.match | value)
            if row.where(fields):
                expanded = row.expand(fields)
                word = base | destination(expanded) << RD_SHIFT
                for name, place in mine.items():
                    word |= (expanded[name] & ((1 << place.width) - 1)) << place.shift
                words[row.encoding.match | value] = word
            value = (value - free) & free  # the next combination of the free bits
            if value == 0:
                break
    return words


def build_tables(isa: Registry) -> list[int]:
    """Everything njit code needs to decode and to find CSRs, as one list of 64-bit words."""
    ops = op_numbers(isa)
    tables = _compressed_words(isa)
    matches = [0] * 0x1000
    for insn in isa.insns.values():
        matches[ops[insn.name]] = insn.encoding.match
    csrs = [0] * 0x1000
    for csr in isa.csrs.values():
        csrs[csr.number] = csr_word(isa, csr)
    storage = [0] * 0x1000
    for i, csr in enumerate(isa.csrs.values()):
        if csr.storage is not None:
            # x0's slot is always zero: a constant is stored there
            slot = SLOT[csr.storage.slot or "x0"]
            storage[4 * i : 4 * i + 3] = 1 + slot, csr.storage.fixed, csr.storage.mask
    opcodes, rows = [0] * 32, list[int]()
    for opcode in range(32):
        mine = most_specific_first(i for i in isa.insns.values() if i.encoding.match >> 2 & 31 == opcode)
        opcodes[opcode] = len(rows) // ROW_WORDS | len(mine) << 32
        for insn in mine:
            rows += _decode_row(insn, ops[insn.name])
    return tables + matches + csrs + storage + opcodes + rows


CSR_ROW_MASK = 0xFFFF  # 1 + index of the row
CSR_PRIVILEGE_SHIFT, CSR_READ_ONLY_SHIFT, CSR_PLAIN_SHIFT, CSR_VS_SHIFT = 16, 18, 19, 32


def csr_word(isa: Registry, csr: Csr) -> int:
    """What njit code must know of a CSR before it runs the row: its row, privilege, read-only, plain, and the row
    that V=1 reaches.
    """
    rows = {name: 1 + i for i, name in enumerate(isa.csrs)}
    vs = rows[csr.vs] if csr.vs else rows[csr.name]
    return (
        rows[csr.name]
        | csr.privilege << CSR_PRIVILEGE_SHIFT
        | csr.read_only << CSR_READ_ONLY_SHIFT
        | csr.plain << CSR_PLAIN_SHIFT
        | vs << CSR_VS_SHIFT
    )


def _decode_row(insn: Insn, op: int) -> list[int]:
    e = insn.encoding
    bits = {"rd": HAS_RD, "rs1": HAS_RS1, "rs2": HAS_RS2, "frd": HAS_RD, "frs1": HAS_RS1, "frs2": HAS_RS2}
    flags = sum(flag for name, flag in bits.items() if name in e.by_name)
    slices, sign = list[int](), 0
    for name, place in placement(insn).items():
        if name in REGISTER_SHIFT:
            continue
        field = e.by_name[name]
        if field.signed:
            sign = field.bits - 1
        slices += [s.insn_lo | (s.value_lo + place.shift - IMM_SHIFT) << 8 | s.width << 16 for s in field.slices]
    assert len(slices) <= ROW_WORDS - ROW_SLICES
    word = op | 2 << HALFWORDS_SHIFT | (0 if flags & HAS_RD else SLOT["x_sink"] << RD_SHIFT)
    row = [e.match, e.mask, word, flags | len(slices) << 8 | sign << 16, *slices]
    return row + [0] * (ROW_WORDS - len(row))
