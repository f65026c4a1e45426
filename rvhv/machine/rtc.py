"""The Goldfish real-time clock: nanoseconds since 1970, counted from a fixed date, and one alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rvhv.machine.bus import BusFault
from rvhv.machine.virt_board import RTC

TIME_LOW, TIME_HIGH, ALARM_LOW, ALARM_HIGH = 0x00, 0x04, 0x08, 0x0C
IRQ_ENABLED, CLEAR_ALARM, ALARM_STATUS, CLEAR_INTERRUPT = 0x10, 0x14, 0x18, 0x1C
START = 1_704_067_200 * 10**9  # 2024-01-01 00:00:00 UTC: the same in every run
WORD, MASK64 = 0xFFFF_FFFF, (1 << 64) - 1


class Timeline(Protocol):
    """The machine's time in steps (1 step = 1 ns) and its event queue."""

    clock: int

    def at(self, clock: int, event: Callable[[], None]) -> None:
        """Call `event` when the clock reaches `clock`."""


class Rtc:
    """Reading TIME_LOW latches TIME_HIGH; writing ALARM_LOW sets the alarm, which raises the line once it is reached."""

    name = "rtc"

    def __init__(
        self, machine: Timeline, irq: Callable[[bool], None], *, start: int = START, base: int = RTC.base, size: int = RTC.size
    ) -> None:
        self.base = base
        self.size = size
        self._machine = machine
        self._irq = irq
        self._offset = start
        self._high = 0  # latched by a read of TIME_LOW
        self._set_high = 0  # waits for the write of TIME_LOW
        self._alarm = 0
        self._running = False  # an alarm is set
        self._alarm_number = 0  # tells the newest alarm from those that were cancelled
        self._pending = False
        self._enabled = False

    @property
    def now(self) -> int:
        return (self._machine.clock + self._offset) & MASK64

    def load(self, offset: int, size: int) -> int:
        self._check(offset, size)
        if offset == TIME_LOW:
            now = self.now
            self._high = now >> 32
            return now & WORD
        if offset == TIME_HIGH:
            return self._high
        if offset == ALARM_LOW:
            return self._alarm & WORD
        if offset == ALARM_HIGH:
            return self._alarm >> 32
        if offset == IRQ_ENABLED:
            return int(self._enabled)
        return int(self._running) if offset == ALARM_STATUS else 0

    def store(self, offset: int, size: int, value: int) -> None:
        self._check(offset, size)
        value &= WORD
        if offset == TIME_LOW:
            self._offset = (self._set_high << 32 | value) - self._machine.clock
        elif offset == TIME_HIGH:
            self._set_high = value
        elif offset == ALARM_HIGH:
            self._alarm = self._alarm & WORD | value << 32
        elif offset == ALARM_LOW:
            self._alarm = self._alarm & ~WORD | value
            self._set_alarm()
        elif offset == IRQ_ENABLED:
            self._enabled = bool(value & 1)
        elif offset == CLEAR_ALARM:
            self._running = False
        elif offset == CLEAR_INTERRUPT:
            self._pending = False
        self._irq(self._pending and self._enabled)

    def _set_alarm(self) -> None:
        self._alarm_number += 1
        self._running = True
        number = self._alarm_number
        self._machine.at(self._machine.clock + max(0, self._alarm - self.now), lambda: self._ring(number))

    def _ring(self, number: int) -> None:
        if self._running and number == self._alarm_number:
            self._running = False
            self._pending = True
            self._irq(self._enabled)

    def _check(self, offset: int, size: int) -> None:
        if size != 4 or offset & 3:
            raise BusFault(f"the clock takes aligned words, not {size} bytes at offset {offset:#x}")
