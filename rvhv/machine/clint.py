"""The core-local interruptor (SiFive's CLINT; ACLINT's MSWI and MTIMER devices at the same addresses).

mtime is the machine's counted time. Each hart compares mtimecmp itself (its slot), so that its interrupt comes at its own step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from rvhv.cpu.csrs import MSIP
from rvhv.cpu.state import SLOT, STEPS_PER_TICK
from rvhv.hart import Hart
from rvhv.machine.bus import BusFault
from rvhv.machine.virt_board import CLINT

MSIP_BASE = 0x0  # one word a hart
MTIMECMP_BASE = 0x4000  # eight bytes a hart
MTIME = 0xBFF8
MASK64 = (1 << 64) - 1
IRQ_LINES, MTIMECMP = SLOT["irq_lines"], SLOT["mtimecmp"]


class MachineClock(Protocol):
    """The machine's time in steps; a write of mtime sets it."""

    clock: int


class Clint:
    """Registers are read and written in words or double words; a hart that is not there reads 0."""

    name = "clint"

    def __init__(self, harts: Sequence[Hart], machine: MachineClock, *, base: int = CLINT.base, size: int = CLINT.size) -> None:
        self.base = base
        self.size = size
        self._harts = harts
        self._machine = machine

    def load(self, offset: int, size: int) -> int:
        if size not in (4, 8) or offset % size:
            raise BusFault(f"the CLINT takes aligned words and double words, not {size} bytes at offset {offset:#x}")
        register = offset & ~7
        value = self._read(register)
        return value >> 8 * (offset - register) & (1 << 8 * size) - 1

    def store(self, offset: int, size: int, value: int) -> None:
        if size not in (4, 8) or offset % size:
            raise BusFault(f"the CLINT takes aligned words and double words, not {size} bytes at offset {offset:#x}")
        register = offset & ~7
        shift = 8 * (offset - register)
        mask = (1 << 8 * size) - 1 << shift
        self._write(register, self._read(register) & ~mask | value << shift & mask)

    def _read(self, register: int) -> int:
        """The double word at `register`."""
        if register < MTIMECMP_BASE:
            return sum(self._pending(register // 4 + i) << 32 * i for i in (0, 1))
        if register == MTIME:
            return self._machine.clock // STEPS_PER_TICK
        hart = (register - MTIMECMP_BASE) // 8
        return self._harts[hart].state[MTIMECMP] if hart < len(self._harts) else 0

    def _pending(self, hart: int) -> int:
        return int(hart < len(self._harts) and self._harts[hart].state[IRQ_LINES] & MSIP != 0)

    def _write(self, register: int, value: int) -> None:
        if register < MTIMECMP_BASE:
            for i in (0, 1):
                hart = register // 4 + i
                if hart < len(self._harts):
                    state = self._harts[hart].state
                    state[IRQ_LINES] = state[IRQ_LINES] & ~MSIP | (MSIP if value >> 32 * i & 1 else 0)
        elif register == MTIME:
            # the clock is 64 bits of steps: times behind its end are cut off
            self._machine.clock = min(value, MASK64 // STEPS_PER_TICK) * STEPS_PER_TICK
        else:
            hart = (register - MTIMECMP_BASE) // 8
            if hart < len(self._harts):
                self._harts[hart].state[MTIMECMP] = value
