"""Small guests and bare machines of assembly, with symbols, under the debugger."""

from __future__ import annotations

from functools import cache

from rvhv import Hypervisor
from rvhv.core.registry import ISA
from rvhv.debug.target import MachineTarget, VmTarget
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, load_image
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from tests.elf_file import elf

BASE = BOARD.image_base
RAM = 0x8000_0000
POWER_OFF = "\nli a7, 0x53525354; li a6, 0; li a0, 0; li a1, 0; ecall\nhalt: j halt\n"
ROOM = 0x4000  # bytes of an image, so that there are pages for data and tables behind the code


@cache
def program(source: str, name: str = "guest", base: int = BASE) -> Image:
    made = Assembler(ISA).image(source, base)
    return load_image(elf({base: made.code.ljust(ROOM, b"\0")}, base, made.symbols), name)


def guests(*sources: str, tier: str | None = None, slice_steps: int = 1000) -> VmTarget:
    """A VM for each program, named a, b, c ..."""
    hv = Hypervisor("64M", tier=tier, slice_steps=slice_steps)
    for name, source in zip("abcdef", sources, strict=False):
        hv.create(name, program(source, name), memory="4M")
    return VmTarget(hv)


def machine(source: str, harts: int = 1, tier: str | None = None) -> MachineTarget:
    """Harts in M-mode at the first instruction, without firmware."""
    image = program(source, "bare", RAM)
    made = Machine(Memory(4 << 20), harts=harts, tier=tier, quantum=100)
    for segment in image.segments:
        made.memory.write(segment.addr, segment.data)
    return MachineTarget(made, [image])
