"""Two machines that must not differ: one only interprets, the other runs translated regions. Whatever happens to one happens to
both, and every difference is a failure that names its seed."""

from __future__ import annotations

import random

import pytest

from rvhv.core.memory import Memory
from rvhv.core.stop_table import Stops
from rvhv.cpu.state import ARCH_BYTES, ARCH_NAMES, SLOT, Exit
from rvhv.hart import RESET, Hart
from tests.diff.floats import register as float_register
from tests.diff.states import SEED, value

RAM_START = 0x8000_0000
FS_DIRTY, NX = 3 << 13, 1
PC, STEPS, CLOCK = SLOT["pc"], SLOT["steps"], SLOT["clock"]
Event = tuple[int, ...]  # an exit that is not the end of the budget, and where it was


class Twins:
    """Two memories of `size` bytes with as many harts each. The first memory's harts only interpret.

    `sample` is how often (steps) the second's look for hot code; 0: only what a test asks for is translated, and what code
    that leaves regions makes hot.
    """

    def __init__(self, size: int, *, tlb_bits: int = 3, harts: int = 1, sample: int = 0) -> None:
        self.size = size
        self.memories = [Memory(size, RAM_START) for _ in range(2)]
        self.stops = [Stops(), Stops()]
        self.sides = [
            [Hart(memory, hartid=i, tlb_bits=tlb_bits, tier=tier, stops=stops) for i in range(harts)]
            for memory, tier, stops in zip(self.memories, ("interp", "jit"), self.stops, strict=True)
        ]
        self.plain, self.fast = (side[0] for side in self.sides)
        for hart in self.sides[1]:
            hart.state[SLOT["sample"]] = sample
        self.reset()

    @property
    def harts(self) -> list[Hart]:
        return [hart for side in self.sides for hart in side]

    def reset(self) -> None:
        for hart in self.harts:
            for name in ARCH_NAMES:
                hart.state[SLOT[name]] = RESET.get(name, 0)
            hart.open_pmp()
        self.set("mstatus", FS_DIRTY)
        self.set("fcsr", NX)

    def set(self, name: str, v: int) -> None:
        for hart in self.harts:
            hart.state[SLOT[name]] = v

    def write_csr(self, name: str, v: int) -> None:
        for hart in self.harts:
            hart.write_csr(name, v)

    def registers(self, rng: random.Random, x: tuple[int, ...] | None = None) -> None:
        for n in range(1, 32):
            self.set(f"x{n}", x[n] if x else value(rng))
        for n in range(32):
            self.set(f"f{n}", float_register(rng))

    def write(self, address: int, data: bytes) -> None:
        for memory in self.memories:
            memory.write(address, data)

    def flush(self) -> None:
        for hart in self.harts:
            hart.flush()

    def translate(self, page: int, starts: list[int]) -> int:
        """How many instructions there were to translate."""
        assert self.fast.engine is not None
        loaded = self.fast.engine.translate(self.fast, page, starts)
        return loaded.result.instructions if loaded else 0

    def run(self, steps: int, number: int = 0) -> tuple[int, int]:
        """Exits of both harts of this number; full traces and trap loops are seen to."""
        codes = []
        for side in self.sides:
            events: list[Event] = []
            codes.append(_run(side[number], steps, events, stop_at_first=True))
        return codes[0], codes[1]

    def run_through(self, steps: int, number: int = 0) -> list[Event]:
        """Make all of these steps, whatever exits there are (devices are answered); they must be the same."""
        events: list[list[Event]] = []
        for side in self.sides:
            events.append([])
            _run(side[number], steps, events[-1], stop_at_first=False)
        if events[0] != events[1]:
            pair = next(((a, b) for a, b in zip(*events, strict=False) if a != b), (events[0][-1:], events[1][-1:]))
            pytest.fail(f"exits differ: {pair}\n  RVHV_DIFF_SEED={SEED}")
        return events[0]

    @property
    def region_steps(self) -> int:
        """Steps that were made in regions."""
        return sum(hart.state[SLOT["region_steps"]] for hart in self.sides[1])

    def differences(self) -> list[str]:
        found = []
        for number, (plain, fast) in enumerate(zip(*self.sides, strict=True)):
            blocks = [bytearray(ARCH_BYTES) for _ in range(2)]
            plain.save(blocks[0])
            fast.save(blocks[1])
            pairs = zip(ARCH_NAMES, *(memoryview(b).cast("Q") for b in blocks), strict=True)
            hart = f"hart {number} " if number else ""
            found += [f"{hart}{name} {a:#x} != {b:#x}" for name, a, b in pairs if a != b and name != "x_sink"]
            found += [hart + name for name, at in (("steps", STEPS), ("clock", CLOCK)) if plain.state[at] != fast.state[at]]
        if self.memories[0].ram.view != self.memories[1].ram.view:
            a, b = (memory.read(RAM_START, self.size) for memory in self.memories)
            at = next(i for i in range(self.size) if a[i] != b[i])
            found.append(f"memory at {RAM_START + at:#x}")
        return found

    def check(self, what: str) -> None:
        if found := self.differences():
            pytest.fail(f"interpreter != region: {'; '.join(found)}\n  RVHV_DIFF_SEED={SEED} | {what}")


def _run(hart: Hart, steps: int, events: list[Event], *, stop_at_first: bool) -> int:
    state = hart.state
    end = state[STEPS] + steps
    code = Exit.BUDGET.value
    while (left := end - state[STEPS]) > 0:
        code = hart.run(left)
        if code == Exit.MMIO and not stop_at_first:
            events.append((code, state[PC], *(state[SLOT[f"mmio_{what}"]] for what in ("spa", "size", "write"))))
            code = _answer(hart)
        if code == Exit.TRACE_FULL:
            hart.drain_trace()
        elif code == Exit.TRAP_LOOP:
            state[SLOT["traps_in_a_row"]] = 0
        elif code == Exit.BUDGET:
            continue
        elif stop_at_first:
            break
        events.append((code, state[PC], state[STEPS]))
    return code


def _answer(hart: Hart) -> int:
    """A device that refuses some accesses, and answers others with what only depends on where they are."""
    spa = hart.state[SLOT["mmio_spa"]]
    if spa & 0x40:
        return hart.fault_access()
    if hart.state[SLOT["mmio_write"]]:
        return hart.complete_store()
    return hart.complete_load(spa * 0x9E37_79B9_7F4A_7C15 & (1 << 64) - 1)
