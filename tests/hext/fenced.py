"""A checked hart with tables for one stage or two, and snippets of code that use and change them.

satp, vsatp and hgatp each map a gigabyte of RAM to itself with one superpage; one more page (VA of satp and vsatp, GPA of hgatp)
goes through tables of three levels.
"""

from __future__ import annotations

from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT, Fence
from rvhv.fences.checker import FenceChecker
from rvhv.fences.hart import CheckedHart
from rvhv.fences.report import Missing
from tests.hext.bare import ASSEMBLER, BASE, Bare

VA = 0x4000_0000  # of satp and vsatp
GPA = 0xC000_0000  # of hgatp; what VA's last PTE of vsatp names at first
FIRST, SECOND = BASE + 0x60000, BASE + 0x61000  # where pages are
V, R, W, X, U, G, A, D = (1 << n for n in range(8))
RWX = V | R | W | X | A | D
SV39 = 8 << 60
ASID, VMID = 3, 2
M, HS, VS = (3, 0), (1, 0), (1, 1)


def pte(address: int, flags: int = RWX) -> int:
    return address >> 2 | flags


class Tables:
    """Three levels with one path to the page `at`; `leaf`, `mid`, `top`: where the PTEs on it are."""

    def __init__(self, bare: Bare, base: int, at: int, target: int, flags: int) -> None:
        self.root = base
        middle, last = base + 0x4000, base + 0x5000
        self.top, self.mid, self.leaf = base + 8 * (at >> 30), middle, last
        write = bare.memory.write_u64
        write(base + 8 * (BASE >> 30), pte(BASE, flags))
        write(self.top, pte(middle, V))
        write(self.mid, pte(last, V))
        write(self.leaf, pte(target, flags))


class Fenced(Bare):
    """See above. Snippets are executed one after another, each at addresses of its own."""

    def __init__(self, *, spurious: bool = False) -> None:
        made: list[FenceChecker] = []

        def hart(memory: Memory, tlb_bits: int) -> CheckedHart:
            made.append(FenceChecker(memory, spurious=spurious))
            return CheckedHart(memory, made[0], tlb_bits=tlb_bits)

        super().__init__(hart=hart)
        self.checker = made[0]
        self.s = Tables(self, BASE + 0x10000, VA, FIRST, RWX)
        self.vs = Tables(self, BASE + 0x20000, VA, GPA, RWX)
        self.g = Tables(self, BASE + 0x30000, GPA, FIRST, RWX | U)
        self.memory.write_u64(FIRST, 1)
        self.memory.write_u64(SECOND, 2)
        self["satp"] = SV39 | ASID << 44 | self.s.root >> 12
        self["vsatp"] = SV39 | ASID << 44 | self.vs.root >> 12
        self["hgatp"] = SV39 | VMID << 44 | self.g.root >> 12
        self._next = BASE + 0x1000
        self.cause: int | None = None

    def run(self, mode: tuple[int, int], text: str) -> int:
        """Execute a snippet in a mode, up to its end or a trap (its cause is in `cause`); where it began."""
        code = ASSEMBLER.program(text, self._next)
        at, self._next = self._next, self._next + len(code) + 16
        self.memory.write(at, code)
        self.hart.fence(Fence.FENCE_I)
        self.mode(*mode)
        self["mcause"] = 99
        self["pc"] = at
        for _ in range(200):
            if self["pc"] == at + len(code) or self["mcause"] != 99:
                break
            self.hart.run(1)
        self.cause = None if self["mcause"] == 99 else self["mcause"]
        return at

    def x(self, name: str) -> int:
        return self.state[SLOT[name]]

    def load(self, mode: tuple[int, int], address: int = VA) -> int:  # type: ignore[override]
        """Where the load is."""
        at = self.run(mode, f"li a0, {address:#x}")
        return self.run(mode, "ld a1, (a0)") if at else 0

    def store(self, mode: tuple[int, int], address: int = VA, value: int = 7) -> int:
        """Where the store is."""
        self.run(mode, f"li a0, {address:#x}\nli a2, {value:#x}")
        return self.run(mode, "sd a2, (a0)")

    @property
    def reports(self) -> list[Missing]:
        return self.checker.reports
