"""The measured programs, as assembly: they are assembled from rvhv's own rows when they are needed."""

from __future__ import annotations

from rvhv.core.registry import ISA
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

# xorshift, a sum, a table of 256 words that is read and written, a branch that goes both ways
LOOP = """
    li   s0, {rounds}
    la   s1, table
    li   s2, 88172645463325252
    li   s3, 0
loop:
    slli t0, s2, 13
    xor  s2, s2, t0
    srli t0, s2, 7
    xor  s2, s2, t0
    slli t0, s2, 17
    xor  s2, s2, t0
    andi t1, s2, 2040
    add  t1, t1, s1
    ld   t2, 0(t1)
    add  t2, t2, s2
    sd   t2, 0(t1)
    andi t3, s2, 1
    beqz t3, even
    add  s3, s3, t2
    j    next
even:
    sub  s3, s3, t2
next:
    addi s0, s0, -1
    bnez s0, loop
"""
LOOP_INSTRUCTIONS = 16.5  # a round, on average: the two ways of the branch differ by one

# a gigapage maps the guest's RAM to itself: Sv39 over the hypervisor's Sv39x4
PAGING = """
    la   t0, root
    li   t1, {leaf}
    sd   t1, {slot}(t0)
    srli t0, t0, 12
    li   t1, 8
    slli t1, t1, 60
    or   t0, t0, t1
    csrw satp, t0
"""
DATA = """
    .balign 4096
root:
    .zero 4096
table:
    .zero 4096
"""
SHUTDOWN = """
    li   a7, 0x53525354
    li   a6, 0
    li   a0, 0
    li   a1, 0
    ecall
"""
SBI_CALLS = """
    li   s0, {rounds}
    li   a1, 0
calls:
    li   a7, {eid}
    li   a6, 0
    li   a0, {a0}
    ecall
    addi s0, s0, -1
    bnez s0, calls
"""
QEMU_END = """
    li   t0, 0x100000
    li   t1, 0x5555
    sw   t1, 0(t0)
end: j end
"""
PTE_VRWX_AD = 0xCF


def assemble(source: str, base: int) -> bytes:
    return Assembler(ISA).program(source, base)


def guest(name: str, body: str) -> Image:
    """A program as an image for a VM."""
    base = BOARD.image_base
    code = assemble(body + DATA, base)
    return Image(name, base, (Segment(base, code, len(code)),))


def paged_loop(rounds: int) -> Image:
    """The integer loop in VS-mode with both stages on."""
    leaf = (BOARD.ram_base >> 30 << 28) | PTE_VRWX_AD
    slot = 8 * (BOARD.ram_base >> 30)
    return guest("loop", PAGING.format(leaf=leaf, slot=slot) + LOOP.format(rounds=rounds) + SHUTDOWN)


def sbi_calls(rounds: int, eid: int, a0: int) -> Image:
    """`rounds` SBI calls of function 0 with this first argument; the second one is 0."""
    return guest("calls", SBI_CALLS.format(rounds=rounds, eid=eid, a0=a0) + SHUTDOWN)


def bare_loop(rounds: int, base: int) -> bytes:
    """The integer loop in M-mode, ended by QEMU's finisher."""
    return assemble(LOOP.format(rounds=rounds) + QEMU_END + DATA, base)
