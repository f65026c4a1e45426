"""Guests of random instructions: whatever they do is data, all they held comes back, and chopping changes nothing."""

from __future__ import annotations

import random

import pytest

from rvhv.core.registry import ISA
from rvhv.hv import Hypervisor
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

INSTRUCTIONS = 1000
STEPS = 20_000
ECALL = 0x73
# a trap handler that steps over what trapped, so that the guest gets far
START = """
    j start
handler:
    csrw sscratch, t0
    csrr t0, sepc; addi t0, t0, 4; csrw sepc, t0
    csrr t0, sscratch
    sret
start:
    li t0, handler; csrw stvec, t0
"""


def pointer(draw: random.Random) -> int:
    """A number worth having in a register: near the edges of what there is, or anything."""
    return draw.choice(
        (
            BOARD.ram_base + 8 * draw.randrange(1 << 19),
            BOARD.image_base + 4 * draw.randrange(INSTRUCTIONS),
            BOARD.ram_base + (4 << 20) - draw.randrange(16),
            BOARD.virtio.first.base + draw.randrange(0x110),
            BOARD.plic.window.base + 0x20_0000 + draw.randrange(0x2000),
            draw.randrange(256),
            draw.getrandbits(64),
        )
    )


def image(draw: random.Random) -> Image:
    registers = "".join(f"li x{n}, {pointer(draw):#x}\n" for n in range(1, 32))
    code = bytearray(Assembler(ISA).program(START + registers, BOARD.image_base))
    rows, csrs = list(ISA.insns.values()), [csr.number for csr in ISA.csrs.values()]
    for _ in range(INSTRUCTIONS):
        kind = draw.random()
        if kind < 0.8:
            encoding = draw.choice(rows).encoding
            word = encoding.match | draw.getrandbits(32) & ~encoding.mask
            if word & 0x7F == ECALL and word >> 12 & 3:
                word = word & 0xF_FFFF | draw.choice(csrs) << 20
        else:
            word = draw.getrandbits(32) if kind < 0.95 else ECALL
        code += word.to_bytes(4, "little")
    return Image("random", BOARD.image_base, (Segment(BOARD.image_base, bytes(code), 2 * len(code)),), b"")


def outcome(seed: int, chopped: bool) -> tuple[object, ...]:
    draw = random.Random(seed)
    with Hypervisor("16M", clock=draw.choice(("machine", "vm")), slice_steps=5000) as hv:
        for name in "ab":
            hv.create(name, image(draw), memory="4M")
        left = STEPS
        while left and not hv.finished:
            left -= hv.run(max_steps=min(left, draw.choice((1, 17, 4000))) if chopped else left)
            if chopped and draw.random() < 0.2:
                hv.hart.flush()
        result = hv.trace_hash(), [(vm.reason, vm.steps, vm.instructions, vm.virtual_ns) for vm in hv.vms]
    assert hv.frames.available * 4096 == hv.memory_size
    return result


@pytest.mark.parametrize("seed", range(20))
def test_a_guest_can_only_hurt_itself(seed: int) -> None:
    assert outcome(seed, chopped=True) == outcome(seed, chopped=False)
