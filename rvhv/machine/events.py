"""The event queue of a machine: what devices do at a time of their own, in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush

Event = Callable[[], None]


class Events:
    """Events by clock (steps); those of the same clock in the order in which they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Event]] = []
        self._added = 0

    def add(self, clock: int, event: Event) -> None:
        heappush(self._heap, (clock, self._added, event))
        self._added += 1

    @property
    def next(self) -> int | None:
        """The clock of the next event."""
        return self._heap[0][0] if self._heap else None

    def fire(self, clock: int) -> None:
        """Do what is due."""
        while self._heap and self._heap[0][0] <= clock:
            heappop(self._heap)[2]()
