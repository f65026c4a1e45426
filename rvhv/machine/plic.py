"""The platform-level interrupt controller (RISC-V PLIC 1.0.0, SiFive's register layout), for level-triggered sources.

A source's *gateway* turns its level into one request at a time: it forwards a request when the level is high, and the
next one only after the handler's completion. A request the core has accepted stays pending even if the level falls.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rvhv.errors import InternalError
from rvhv.machine.board import BOARD
from rvhv.machine.bus import BusFault

# register areas (byte offsets)
PRIORITY = 0x00_0000  # one word per source
PENDING = 0x00_1000  # one bit per source
ENABLE = 0x00_2000  # one bit per source, one block per context
ENABLE_STRIDE = 0x80
CONTEXT = 0x20_0000  # one block per context, with these two words:
CONTEXT_STRIDE = 0x1000
THRESHOLD = 0x0
CLAIM_COMPLETE = 0x4

MAX_SOURCES = 31  # pending and enable bits fit one word
PRIORITY_MASK = 0x7  # priorities and thresholds are WARL with three bits; priority 0 never interrupts

OutputCallback = Callable[[int, bool], None]


@dataclass(frozen=True, slots=True)
class PlicState:
    """Everything a PLIC remembers, for those who look. Masks have a bit a source; `in_flight`: forwarded and not completed."""

    priority: tuple[int, ...]  # by source
    enable: tuple[int, ...]  # masks by context
    threshold: tuple[int, ...]
    output: tuple[bool, ...]
    level: int
    pending: int
    in_flight: int


class Plic:
    """Sources 1..sources, contexts 0..contexts-1. `on_output(context, level)`: a context's EIP changed."""

    def __init__(
        self,
        on_output: OutputCallback,
        *,
        base: int = BOARD.plic.window.base,
        size: int = BOARD.plic.window.size,
        sources: int = BOARD.plic.sources,
        contexts: int = BOARD.plic.contexts,
    ) -> None:
        if not 1 <= sources <= MAX_SOURCES or contexts < 1 or size < CONTEXT + contexts * CONTEXT_STRIDE:
            raise InternalError(f"no PLIC has {sources} sources and {contexts} contexts in {size:#x} bytes")
        self.name = "plic"
        self.base = base
        self.size = size
        self._on_output = on_output
        self._sources = sources
        self._source_mask = ((1 << sources) - 1) << 1  # there is no source 0
        self._priority = [0] * (sources + 1)
        self._enable = [0] * contexts
        self._threshold = [0] * contexts
        self._output = [False] * contexts
        self._level = 0  # one bit per source in these three
        self._pending = 0
        self._in_flight = 0  # requests forwarded and not completed

    # the machine's side

    def set_level(self, source: int, level: bool) -> None:
        """Drive a source's line."""
        if not 1 <= source <= self._sources:
            raise InternalError(f"the PLIC has no source {source}")
        self._level = self._level | 1 << source if level else self._level & ~(1 << source)
        self._update()

    def output(self, context: int) -> bool:
        """A context's EIP line."""
        return self._output[context]

    @property
    def registers(self) -> PlicState:
        """What it remembers; reading it claims nothing."""
        return PlicState(
            tuple(self._priority), tuple(self._enable), tuple(self._threshold), tuple(self._output),
            self._level, self._pending, self._in_flight,
        )  # fmt: skip

    # the guest's side

    def load(self, offset: int, size: int) -> int:
        """A register, or 0 at a reserved offset; reading a claim register claims. BusFault unless an aligned word."""
        _require_word(offset, size)
        if offset < PENDING:
            source = (offset - PRIORITY) // 4
            return self._priority[source] if source <= self._sources else 0
        if offset < ENABLE:
            return self._pending if offset == PENDING else 0
        if offset < CONTEXT:
            context, word = divmod(offset - ENABLE, ENABLE_STRIDE)
            return self._enable[context] if word == 0 and context < len(self._enable) else 0
        context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
        if context < len(self._threshold):
            if register == THRESHOLD:
                return self._threshold[context]
            if register == CLAIM_COMPLETE:
                return self._claim(context)
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        """Write a register; reserved and read-only offsets ignore it. BusFault unless an aligned word."""
        _require_word(offset, size)
        if offset < PENDING:
            source = (offset - PRIORITY) // 4
            if 1 <= source <= self._sources:
                self._priority[source] = value & PRIORITY_MASK
        elif offset < ENABLE:
            return  # pending bits are read-only
        elif offset < CONTEXT:
            context, word = divmod(offset - ENABLE, ENABLE_STRIDE)
            if word == 0 and context < len(self._enable):
                self._enable[context] = value & self._source_mask
        else:
            context, register = divmod(offset - CONTEXT, CONTEXT_STRIDE)
            if context < len(self._threshold):
                if register == THRESHOLD:
                    self._threshold[context] = value & PRIORITY_MASK
                elif register == CLAIM_COMPLETE:
                    self._complete(context, value & 0xFFFF_FFFF)
        self._update()

    def _claim(self, context: int) -> int:
        # the threshold masks the notification, not the claim (PLIC 1.0.0, "Interrupt Claim Process")
        source = self._best(context)[1]
        self._pending &= ~(1 << source)
        self._update()
        return source

    def _complete(self, context: int, source: int) -> None:
        # "If the completion ID does not match an interrupt source that is currently enabled for the target, the
        # completion is silently ignored"; it need not be the last one claimed
        if source <= self._sources and self._enable[context] >> source & 1:
            self._in_flight &= ~(1 << source)

    def _best(self, context: int) -> tuple[int, int]:
        """(priority, source) of the pending and enabled source that wins, lowest source first; (0, 0) if none."""
        candidates = self._pending & self._enable[context]
        best = (0, 0)
        while candidates:
            source = (candidates & -candidates).bit_length() - 1
            candidates &= candidates - 1
            if self._priority[source] > best[0]:
                best = (self._priority[source], source)
        return best

    def _update(self) -> None:
        requests = self._level & ~self._in_flight & ~self._pending
        self._pending |= requests
        self._in_flight |= requests
        for context, threshold in enumerate(self._threshold):
            level = self._best(context)[0] > threshold
            if level != self._output[context]:
                self._output[context] = level
                self._on_output(context, level)


def _require_word(offset: int, size: int) -> None:
    if size != 4 or offset & 3:
        raise BusFault(f"the PLIC takes aligned 32-bit accesses only, not {size} bytes at offset {offset:#x}")
