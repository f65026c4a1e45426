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
HS_HANDLER, VS_HANDLER = BASE + 0x200, BASE + 0x300
MASK64 = (1 << 64) - 1

U, S, M = 0, 1, 3
MODES = {"U": (U, 0), "HS": (S, 0), "M": (M, 0), "VU": (U, 1), "VS": (S, 1)}
ILLEGAL, VIRTUAL = 2, 22
INTERRUPT = 1 << 63
NO_TRAP = 99  # no cause


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

    def field(self, csr: str, name: str) -> int:
        """A field of a CSR, by the names of its row."""
        field = next(f for f in ISA.csrs[csr].fields if f.name == name)
        return (self[csr] & field.mask) >> field.lo

    def word(self, at: int = CODE) -> int:
        """The four bytes of an instruction."""
        return int.from_bytes(self.memory.read(at, 4), "little")

    def load(self, text: str, at: int = CODE) -> None:
        """Assemble at `at` and go there."""
        self.memory.write(at, ASSEMBLER.program(text, at))
        self["pc"] = at

    def one(self, text: str, at: int = CODE) -> int | None:
        """Execute one instruction; the cause when it trapped to M-mode."""
        self.load(text, at)
        self["mcause"] = NO_TRAP
        self.hart.run(1)
        return None if self["mcause"] == NO_TRAP else self["mcause"]

    def mode(self, prv: int, v: int = 0) -> None:
        self["prv"], self["v"] = prv, v

    def enter(self, mode: str) -> None:
        """The same by name: U, HS, M, VU or VS."""
        self.mode(*MODES[mode])

    def csr(self, mode: str, text: str) -> int | None:
        """One CSR instruction in a mode, with all that M-mode may withhold granted; its cause, and the mode is left."""
        self.enter(mode)
        cause = self.one(text)
        self.enter("M")
        return cause

    def allow(self) -> None:
        """M-mode withholds nothing: counters, stimecmp, what mstateen controls."""
        self["mcounteren"] = MASK64
        self["menvcfg"] = MASK64
        for n in range(4):
            self[f"mstateen{n}"] = MASK64

    def guest_lines(self, lines: int) -> None:
        """The level of the guest external interrupt lines: what an interrupt controller would drive hgeip with."""
        self.state[SLOT["hgeip"]] = lines

    def delegate(self) -> None:
        """Every trap that may go to HS-mode does, and HS-mode has a handler."""
        self["medeleg"] = self["mideleg"] = MASK64
        self["stvec"], self["vstvec"] = HS_HANDLER, VS_HANDLER


def bits_set(value: int) -> set[int]:
    return {n for n in range(64) if value >> n & 1}
