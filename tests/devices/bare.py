"""Small programs on the bare machine, assembled from the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.render.asm import Assembler
from rvhv.machine.bus import BusFault
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine

RAM = 0x8000_0000
RAM_SIZE = 4 << 20
DEVICE = 0x5000_0000  # where a test puts a device of its own
UART, FINISHER = 0x1000_0000, 0x10_0000
POWER_OFF = """
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
    j .
"""


@cache
def assembler() -> Assembler:
    return Assembler(ISA)


def assembled(source: str, base: int = RAM, **symbols: int) -> bytes:
    return assembler().program(halting(source), base, symbols)


def halting(source: str) -> str:
    """`j .` stands for an endless loop."""
    first, *rest = source.split("j .\n")
    return first + "".join(f"halt_{i}: j halt_{i}\n{part}" for i, part in enumerate(rest))


@dataclass
class Recorder:
    """A device that gives answers and remembers what it was asked."""

    base: int = DEVICE
    size: int = 0x1000
    name: str = "recorder"
    answer: Callable[[int, int], int] = lambda offset, size: 0
    refuses: set[int] = field(default_factory=set)
    seen: list[tuple[str, int, int, int]] = field(default_factory=list)

    def load(self, offset: int, size: int) -> int:
        self.seen.append(("load", offset, size, 0))
        if offset in self.refuses:
            raise BusFault("refused")
        return self.answer(offset, size)

    def store(self, offset: int, size: int, value: int) -> None:
        self.seen.append(("store", offset, size, value))
        if offset in self.refuses:
            raise BusFault("refused")


class Bare:
    """A machine with a program at the start of RAM; every hart begins there, with its number in a0."""

    def __init__(self, source: str, *, harts: int = 1, quantum: int | None = None, **symbols: int) -> None:
        self.printed = bytearray()
        self.machine = Machine(Memory(RAM_SIZE), harts=harts, on_output=self.printed.extend, quantum=quantum)
        self.machine.memory.write(RAM, assembled(source, **symbols))
        for hart in self.machine.harts:
            hart.state[SLOT["pc"]] = RAM
            hart.state[SLOT["x10"]] = hart.state[SLOT["mhartid"]]
        self.device = Recorder()
        self.machine.bus.attach(self.device)

    def run(self, steps: int = 1_000_000, *, chops: list[int] | None = None) -> Bare:
        """At most `steps` steps, in calls of these lengths (the last one again and again)."""
        machine = self.machine
        chops = list(chops or [steps])
        end = machine.steps + steps
        while machine.end is None and machine.steps < end:
            n = chops.pop(0) if len(chops) > 1 else chops[0]
            if not machine.run(min(n, end - machine.steps)):
                break
        return self

    @property
    def reason(self) -> str | None:
        return self.machine.end.reason if self.machine.end is not None else None

    def x(self, n: int, hart: int = 0) -> int:
        return self.machine.harts[hart].state[SLOT[f"x{n}"]]

    def slot(self, name: str, hart: int = 0) -> int:
        return self.machine.harts[hart].state[SLOT[name]]
