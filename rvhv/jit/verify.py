"""`--verify-jit`: the same machine twice, one in each tier, in lockstep. Whatever differs stops the run and says how to see it again.

Strides are random, from the seed, so that runs end at every place that a region has. After each one registers, CSRs, counters and
output are compared; RAM, which takes longer, now and then and at the end.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu.state import ARCH_NAMES, ARCH_WORDS, SLOT
from rvhv.errors import InternalError
from rvhv.jit.engine import Tier

LONGEST_STRIDE = 20  # its logarithm to base 2, in steps
RAM_EVERY = 32  # strides, on average
MOST_SHOWN = 12  # differences
SINK = SLOT["x_sink"]
# of the hart, beside the architectural block
COUNTERS = ("steps", "clock", "mtimecmp", "mmio_spa")


class HartPart(Protocol):
    """What is compared of a hart."""

    state: memoryview[int]


class Mismatch(InternalError):
    """The tiers differ."""


@dataclass
class Side:
    """One of the two machines. `run(steps)` runs at most so many, and says by its value how that went; `output` collects what the
    machine prints."""

    run: Callable[[int], object]
    harts: Sequence[HartPart]
    memory: Memory
    output: bytearray = field(default_factory=bytearray)

    @property
    def steps(self) -> int:
        return sum(hart.state[SLOT["steps"]] for hart in self.harts)


class Lockstep:
    """`fast` in tier jit, `plain` in tier interp. `place` puts a hart's pc in words; `command` is what reproduces the run, up to
    a number of steps."""

    def __init__(
        self, fast: Side, plain: Side, seed: int, place: Callable[[int, int], str], command: Callable[[int], str]
    ) -> None:
        self.fast, self.plain, self._place, self._command = fast, plain, place, command
        self._rng = random.Random(f"verify {seed}")
        self.strides = 0
        self._ram_agreed = 0  # the last step at which RAM was compared

    def run(self, steps: int) -> object:
        """Run both for at most so many steps; what the last run of the fast one was worth. Raises Mismatch."""
        left, worth = steps, None
        while left > 0:
            stride = min(left, int(2 ** self._rng.uniform(0, LONGEST_STRIDE)))
            agreed = self.plain.steps
            worth, plainly = self.fast.run(stride), self.plain.run(stride)
            self.strides += 1
            left -= stride
            found = self.differences()
            if worth != plainly:
                found.append(f"run({stride}): {plainly!r} interpreted, {worth!r} translated")
            if found or self._rng.randrange(RAM_EVERY) == 0:
                found += self._compare_ram()
            if found:
                self._fail(agreed, stride, found)
            if not worth:
                break  # nothing goes on
        return worth

    def finish(self) -> None:
        """At the end of the run: RAM too. Raises Mismatch."""
        if found := self.differences() + self._compare_ram():
            self._fail(self._ram_agreed, 0, found)

    def differences(self) -> list[str]:
        """What registers, CSRs, counters and output have of them."""
        found = []
        for number, (fast, plain) in enumerate(zip(self.fast.harts, self.plain.harts, strict=True)):
            a, b = plain.state, fast.state
            hart = f"hart {number}: " if len(self.fast.harts) > 1 else ""
            names = [*zip(ARCH_NAMES, range(ARCH_WORDS), strict=True), *((name, SLOT[name]) for name in COUNTERS)]
            if a[:ARCH_WORDS] != b[:ARCH_WORDS] or any(a[SLOT[name]] != b[SLOT[name]] for name in COUNTERS):
                found += [f"{hart}{n}: {a[i]:#x} interpreted, {b[i]:#x} translated" for n, i in names if a[i] != b[i] and i != SINK]
        if self.fast.output != self.plain.output:
            found.append(f"output: {bytes(self.plain.output)!r} interpreted, {bytes(self.fast.output)!r} translated")
        self.fast.output.clear()
        self.plain.output.clear()
        return found

    def _compare_ram(self) -> list[str]:
        a, b = self.plain.memory, self.fast.memory
        if a.ram.view == b.ram.view:
            self._ram_agreed = self.plain.steps
            return []
        page = next(at for at in range(0, a.size, PAGE) if a.ram.view[at : at + PAGE] != b.ram.view[at : at + PAGE])
        at = next(at for at in range(page, page + PAGE) if a.ram.view[at] != b.ram.view[at])
        values = f"{a.ram.view[at]:#x} interpreted, {b.ram.view[at]:#x} translated"
        return [f"RAM at {a.base + at:#x}: {values} (they agreed at step {self._ram_agreed:,})"]

    def _fail(self, agreed: int, stride: int, found: list[str]) -> None:
        places = [self._place(i, hart.state[SLOT["pc"]]) for i, hart in enumerate(self.plain.harts)]
        more = f"\n  and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        lines = "".join(f"\n  {line}" for line in found[:MOST_SHOWN])
        raise Mismatch(
            f"the tiers {Tier.INTERP} and {Tier.JIT} differ: they agreed at step {agreed:,}, and {stride:,} steps later, "
            f"interpreted at {', '.join(places)}, no more{lines}{more}\n  to see it again: {self._command(agreed + stride)}"
        )
