"""A bare hart with a small RAM, for tests: programs as assembly, CSRs by name, one instruction at a time."""

from __future__ import annotations

from collections.abc import Callable

from rvhv.core.memory import Memory
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.isa.render.asm import Assembler

BASE = 0x8000_0000
CODE = BASE + 0x1000
ASSEMBLER = Assembler(ISA)
HANDLER = BASE + 0x100  # where mtvec points


class Bare:
    """Memory, a hart in M-mode with traps to HANDLER, and short words for both."""

    def __init__(self, size: int = 1 << 20, *, tlb_bits: int = 4, hart: Callable[..., Hart] = Hart) -> None:
        self.memory = Memory(size)
        self.hart = hart(self.memory, tlb_bits=tlb_bits)
        self.state = self.hart.state
        self.hart.open_pmp()
        self["mtvec"] = HANDLER

    def __getitem__(self, name: str) -> int:
        return self.hart.read_csr(name) if name in ISA.csrs else self.state[SLOT[name]]

    def __setitem__(self, name: str, value: int) -> None:
        if name in ISA.csrs:
            self.hart.write_csr(name, value)
        else:
            self.state[SLOT[name]] = value

    def load(self, text: str, at: int = CODE) -> None:
        """Assemble at `at` and go there."""
        self.memory.write(at, ASSEMBLER.program(text, at))
        self["pc"] = at

    def one(self, text: str, at: int = CODE) -> int | None:
        """Execute one instruction; the cause when it trapped to M-mode."""
        self.load(text, at)
        self["mcause"] = 99
        self.hart.run(1)
        return None if self["mcause"] == 99 else self["mcause"]

    def mode(self, prv: int, v: int = 0) -> None:
        self["prv"], self["v"] = prv, v
