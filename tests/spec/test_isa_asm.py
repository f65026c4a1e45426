"""The assembler and the disassembler: text that is known, and every row there and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.core.registry import ISA
from rvhv.isa.expr import MASK64
from rvhv.isa.render.asm import AsmError, Assembler
from rvhv.isa.render.disasm import Disassembler
from rvhv.isa.render.oracle import OracleMachine
from rvhv.isa.rows import Compressed, Insn

ASM = Assembler(ISA)
PLAIN = Disassembler(ISA, pseudo=False)
PSEUDO = Disassembler(ISA)
ROWS: list[Insn | Compressed] = [*ISA.insns.values(), *ISA.compressed.values()]
PCS = (None, 0x8000_0000, 0xFFFF_FFFF_FFFF_F000)

# word, text with pseudo-instructions, text without: as GNU objdump prints them, but for spaces, decimal shift amounts and
# mnemonics that end in i
KNOWN = [
    (0x00000013, "nop", "addi zero, zero, 0"),
    (0xFFC58513, "addi a0, a1, -4", "addi a0, a1, -4"),
    (0xFFF00513, "li a0, -1", "addi a0, zero, -1"),
    (0x00058513, "mv a0, a1", "addi a0, a1, 0"),
    (0x00812503, "lw a0, 8(sp)", "lw a0, 8(sp)"),
    (0xFE113C23, "sd ra, -8(sp)", "sd ra, -8(sp)"),
    (0x12345537, "lui a0, 0x12345", "lui a0, 0x12345"),
    (0xFFFFF517, "auipc a0, 0xfffff", "auipc a0, 0xfffff"),
    (0x00008067, "ret", "jalr zero, 0(ra)"),
    (0x00850067, "jr 8(a0)", "jalr zero, 8(a0)"),
    (0x000500E7, "jalr a0", "jalr ra, 0(a0)"),
    (0x03F51513, "slli a0, a0, 63", "slli a0, a0, 63"),
    (0x0330000F, "fence rw, rw", "fence rw, rw"),
    (0x0FF0000F, "fence", "fence iorw, iorw"),
    (0x0100000F, "pause", "pause"),
    (0x8330000F, "fence.tso", "fence.tso"),
    (0x0000100F, "fence.i", "fence.i"),
    (0x00000073, "ecall", "ecall"),
    (0x34059573, "csrrw a0, mscratch, a1", "csrrw a0, mscratch, a1"),
    (0x300022F3, "csrr t0, mstatus", "csrrs t0, mstatus, zero"),
    (0x30045073, "csrwi mstatus, 8", "csrrwi zero, mstatus, 8"),
    (0x7C002573, "csrr a0, 0x7c0", "csrrs a0, 0x7c0, zero"),
    (0xC0002573, "rdcycle a0", "csrrs a0, cycle, zero"),
    (0x04B6252F, "amoadd.w.aq a0, a1, (a2)", "amoadd.w.aq a0, a1, (a2)"),
    (0x1605B52F, "lr.d.aqrl a0, (a1)", "lr.d.aqrl a0, (a1)"),
    (0x12000073, "sfence.vma", "sfence.vma zero, zero"),
    (0x6005C573, "hlv.b a0, (a1)", "hlv.b a0, (a1)"),
    (0x20C5E533, "sh3add a0, a1, a2", "sh3add a0, a1, a2"),
    (0x0805853B, "zext.w a0, a1", "add.uw a0, a1, zero"),
    (0x0A85951B, "slli.uw a0, a1, 40", "slli.uw a0, a1, 40"),
    (0x0805C53B, "zext.h a0, a1", "zext.h a0, a1"),
    (0x08C5C53B, "packw a0, a1, a2", "packw a0, a1, a2"),
    (0x63F5D513, "rori a0, a1, 63", "rori a0, a1, 63"),
    (0x2875D513, "orc.b a0, a1", "orc.b a0, a1"),
    (0x6B85D513, "rev8 a0, a1", "rev8 a0, a1"),
    (0x6875D513, "brev8 a0, a1", "brev8 a0, a1"),
    (0x0EC5F533, "czero.nez a0, a1, a2", "czero.nez a0, a1, a2"),
    (0x2EC5C52F, "amocas.q.aqrl a0, a2, (a1)", "amocas.q.aqrl a0, a2, (a1)"),
    (0x0040A00F, "cbo.zero (ra)", "cbo.zero (ra)"),
    (0xFE356013, "prefetch.w -32(a0)", "prefetch.w -32(a0)"),
    (0x00500033, "ntl.all", "ntl.all"),
    (0x900A, "ntl.p1", "c.ntl.p1"),
    (0x00D00073, "wrs.nto", "wrs.nto"),
    (0x16B50073, "sinval.vma a0, a1", "sinval.vma a0, a1"),
    (0x18000073, "sfence.w.inval", "sfence.w.inval"),
    (0x66B50073, "hinval.gvma a0, a1", "hinval.gvma a0, a1"),
    (0x02C5F553, "fadd.d fa0, fa1, fa2", "fadd.d fa0, fa1, fa2"),
    (0x00C58553, "fadd.s fa0, fa1, fa2, rne", "fadd.s fa0, fa1, fa2, rne"),
    (0x68C5F543, "fmadd.s fa0, fa1, fa2, fa3", "fmadd.s fa0, fa1, fa2, fa3"),
    (0xC2059553, "fcvt.w.d a0, fa1, rtz", "fcvt.w.d a0, fa1, rtz"),
    (0xD2058553, "fcvt.d.w fa0, a1", "fcvt.d.w fa0, a1"),
    (0xD205F553, "fcvt.d.w fa0, a1, dyn", "fcvt.d.w fa0, a1, dyn"),
    (0x42058553, "fcvt.d.s fa0, fa1", "fcvt.d.s fa0, fa1"),
    (0x4015F553, "fcvt.s.d fa0, fa1", "fcvt.s.d fa0, fa1"),
    (0x22B58553, "fmv.d fa0, fa1", "fsgnj.d fa0, fa1, fa1"),
    (0x20B5A553, "fabs.s fa0, fa1", "fsgnjx.s fa0, fa1, fa1"),
    (0xF0058553, "fmv.w.x fa0, a1", "fmv.w.x fa0, a1"),
    (0x0085B507, "fld fa0, 8(a1)", "fld fa0, 8(a1)"),
    (0x00A5A427, "fsw fa0, 8(a1)", "fsw fa0, 8(a1)"),
    (0x00302573, "frcsr a0", "csrrs a0, fcsr, zero"),
    (0x00159073, "fsflags a1", "csrrw zero, fflags, a1"),
    (0x02C5D553, ".word 0x02c5d553", ".word 0x02c5d553"),
    (0x2108, "fld fa0, 0(a0)", "c.fld fa0, 0(a0)"),
    (0xA02A, "fsd fa0, 0(sp)", "c.fsdsp fa0, 0(sp)"),
    (0x4501, "li a0, 0", "c.li a0, 0"),
    (0x0505, "addi a0, a0, 1", "c.addi a0, 1"),
    (0x0001, "nop", "c.addi zero, 0"),
    (0x717D, "addi sp, sp, -16", "c.addi16sp sp, -16"),
    (0x8082, "ret", "c.jr ra"),
    (0x852E, "mv a0, a1", "c.mv a0, a1"),
    (0x4522, "lw a0, 8(sp)", "c.lwsp a0, 8(sp)"),
    (0x757D, "lui a0, 0xfffff", "c.lui a0, 0xfffff"),
    (0x0000, ".half 0x0000", ".half 0x0000"),
    (0xFFFFFFFF, ".word 0xffffffff", ".word 0xffffffff"),
]


@pytest.mark.parametrize(("word", "pseudo", "plain"), KNOWN, ids=[k[1] for k in KNOWN])
def test_known_text(word: int, pseudo: str, plain: str) -> None:
    assert PSEUDO.text(word) == pseudo
    assert PLAIN.text(word) == plain
    assert ASM.assemble(plain) == word
    if word & 3 == 3:  # a pseudo-instruction never means a compressed encoding
        assert ASM.assemble(pseudo) == word


def test_targets_are_addresses_when_the_pc_is_known() -> None:
    word = ASM.assemble("beq a0, a1, 16")
    assert PSEUDO.text(word) == "beq a0, a1, 16"
    assert PSEUDO.text(word, 0x8000_0000) == "beq a0, a1, 0x80000010"
    assert ASM.assemble("beq a0, a1, 0x80000010", 0x8000_0000) == word
    assert PSEUDO.text(ASM.assemble("j -4"), 0) == "j 0xfffffffffffffffc", "addresses wrap"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@settings(max_examples=15, deadline=None)
@given(raw=st.integers(0, (1 << 32) - 1), clear=st.integers(0, 63))
def test_round_trip(row: Insn | Compressed, raw: int, clear: int) -> None:
    """Assembling the disassembly gives the word again, with and without a pc; `clear` zeroes some fields."""
    for i, field in enumerate(row.encoding.fields):
        if clear >> i & 1:
            raw &= ~field.insn_mask
    word = row.encoding.match | raw & ~row.encoding.mask & ((1 << 8 * row.encoding.length) - 1)
    for pc in PCS:
        assert ASM.assemble(PLAIN.text(word, pc), pc) == word
        if row.encoding.length == 4:
            assert ASM.assemble(PSEUDO.text(word, pc), pc) == word
        elif ISA.decode(word) is not None:
            _, fields, _ = ISA.decode(word)  # type: ignore[misc]
            expanded = ISA.decode(ASM.assemble(PSEUDO.text(word, pc), pc))
            assert expanded is not None
            if expanded[0].name == row.base:  # type: ignore[union-attr]
                assert expanded[1] == fields


def test_all_halfwords_round_trip() -> None:
    for half in range(0x10000):
        if half & 3 != 3:
            assert ASM.assemble(PLAIN.text(half)) == half


@given(st.one_of(st.integers(0, MASK64), st.integers(-(1 << 63), -1), st.integers(0, 63).map(lambda n: MASK64 << n)))
@settings(max_examples=300)
def test_li_loads_any_constant(value: int) -> None:
    machine = OracleMachine(ISA)
    code = ASM.program(f"li a0, {value}")
    machine.map(0x1000, code)
    machine.pc = 0x1000
    assert machine.run(20, until=(0x1000 + len(code),)) == []
    assert machine.x[10] == value & MASK64
    assert len(code) <= 8 * 4


PROGRAM = """
        .equ COUNT, 5
start:  li t0, COUNT        # comments, and
        la t1, table        // other comments
loop:   ld t2, 0(t1); add a0, a0, t2
        addi t1, t1, 8
        addi t0, t0, -1
        bnez t0, loop
        j done
        .align 3
table:  .dword 1, 2, 3, 4, 0x10
end:    .word end - table, -1
        .byte 1, 2
        .asciz "hi\\n"
        .balign 4
done:   ret
"""


def test_a_program() -> None:
    image = ASM.image(PROGRAM, 0x8000_0000)
    machine = OracleMachine(ISA)
    machine.map(image.base, image.code)
    machine.pc = image.base
    assert machine.run(1000, until=(image.symbols["done"],)) == []
    assert machine.x[10] == 26
    assert image.symbols["table"] % 8 == 0
    data = image.code[image.symbols["end"] - image.base :]
    assert data[:4] == (40).to_bytes(4, "little") and data[4:8] == b"\xff" * 4
    assert data[8:14] == b"\x01\x02hi\n\0"
    assert ASM.program(PROGRAM, 0x8000_0000) == image.code


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("foo a0", "unknown instruction foo"),
        ("addi a0, a1", "addi a0, a1: wants the operands 'rd, rs1, imm'"),
        ("ecall a0", "ecall a0: takes no operands"),
        ("addi a0, a1, 2048", "imm = 2048 is outside -2048 to 2047"),
        ("lw a0, 8(zz)", "zz is not a register"),
        ("addi a0, b7, 1", "b7 is not a register"),
        ("c.lw a0, 1(a1)", "uimm = 1 is not a multiple of 4"),
        ("c.lw t0, 4(a1)", "rd = 5 is outside 8 to 15"),
        ("c.lwsp zero, 0(sp)", "a reserved encoding"),
        ("c.addi16sp sp, 0", "a reserved encoding"),
        ("lui a0, 0x100000", "not a 20-bit value"),
        ("beq a0, a1, nowhere", "nowhere is not a number or a label"),
        ("beq a0, a1, 4097", "imm = 4097 is"),
        ("csrr a0, nothing", "nothing is not a number or a label"),
        ("fadd.s fa0, fa1, a2", "a2 is not a floating-point register"),
        ("fadd.s fa0, fa1, fa2, up", "up is not a rounding mode"),
        ("fence rx, rw", "rx is not a set of i, o, r and w"),
        ("addi a0, a1, 1 2", "cannot read '1 2'"),
        ("li a0", "an operand is missing"),
        (".nothing 1", "unknown directive .nothing"),
        ("li a0, 0x123456789abcdef", "takes 8 instructions"),
    ],
)
def test_a_bad_line_is_one_line_of_complaint(line: str, complaint: str) -> None:
    with pytest.raises(AsmError) as caught:
        ASM.assemble(line)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bad_program_names_the_line() -> None:
    with pytest.raises(AsmError, match=r"^line 3: unknown instruction frob"):
        ASM.program("nop\nnop\nfrob a0\n")
    with pytest.raises(AsmError, match=r"^line 2: a is defined twice"):
        ASM.program("a: nop\na: nop")
