"""The transformed instruction that htinst and mtinst hold (Privileged ISA, "Transformed Instruction or Pseudoinstruction").

rs1 is replaced by the offset of the faulting part, immediates are cleared, and bit 1 is cleared when the instruction
was compressed.
"""

from __future__ import annotations

from rvhv.cpu.decode import HALFWORDS_SHIFT, OP_MASK, RD_SHIFT, RS2_SHIFT, TABLE_MATCH
from rvhv.cpu.njit import jit
from rvhv.cpu.slots import U64

U0, U1, U2, U3, U5, U7, U15, U20 = (U64(n) for n in (0, 1, 2, 3, 5, 7, 15, 20))
U31 = U64(31)
OPCODE = U64(0x7F)
OPCODE_LOAD, OPCODE_STORE = U64(0x03), U64(0x23)
FLOAT_OPCODE = U64(0x04)  # the bit by which LOAD-FP and STORE-FP differ from them
LOAD_KEEPS = U64(0x0000_7FFF)  # rd, funct3, opcode
STORE_KEEPS = U64(0x01F0_707F)  # rs2, funct3, opcode
RS1_FIELD = U64(31 << 15)
COMPRESSED_BIT = U64(2)


@jit
def transformed(tab, raw, packed, offset):  # type: ignore[no-untyped-def]
    """htinst for the load, store or atomic `raw` (predecoded as `packed`)."""
    place = offset << U15
    if (packed >> HALFWORDS_SHIFT) & U3 == U1:
        match = tab[TABLE_MATCH + (packed & OP_MASK)]
        rd = (packed >> RD_SHIFT) & U31  # x_sink is 32: x0 again
        rs2 = (packed >> RS2_SHIFT) & U31
        if match & OPCODE & ~FLOAT_OPCODE == OPCODE_STORE:
            return ((match | (rs2 << U20)) & STORE_KEEPS & ~COMPRESSED_BIT) | place
        return ((match | (rd << U7)) & LOAD_KEEPS & ~COMPRESSED_BIT) | place
    opcode = raw & OPCODE & ~FLOAT_OPCODE
    if opcode == OPCODE_LOAD:
        return (raw & LOAD_KEEPS) | place
    if opcode == OPCODE_STORE:
        return (raw & STORE_KEEPS) | place
    return (raw & ~RS1_FIELD) | place
