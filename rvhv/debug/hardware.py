"""What the machine is asked to stop for: one entry of `Stops` for all who ask for the same."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from rvhv.core.stop_table import Access, Bound, Modes, Space, Stops


@dataclass(frozen=True)
class Wanted(ABC):
    """One entry."""

    bound: Bound

    @abstractmethod
    def add(self, stops: Stops) -> int:
        """Its number. Raises ConfigError."""


@dataclass(frozen=True)
class WantedCode(Wanted):
    address: int

    def add(self, stops: Stops) -> int:
        return stops.add_breakpoint(self.address, self.bound)


@dataclass(frozen=True)
class WantedData(Wanted):
    space: Space
    address: int
    length: int
    access: Access

    def add(self, stops: Stops) -> int:
        return stops.add_watchpoint(self.address, self.length, self.access, space=self.space, bound=self.bound)


@dataclass(frozen=True)
class WantedCsr(Wanted):
    name: str
    mask: int

    def add(self, stops: Stops) -> int:
        return stops.add_csr_watch(self.name, self.mask, self.bound)


@dataclass(frozen=True)
class WantedTrap(Wanted):
    causes: tuple[int, ...] | None
    into: Modes

    def add(self, stops: Stops) -> int:
        return stops.add_trap_catch(self.causes, self.into, self.bound)


class Armed:
    """The entries of `stops` that somebody wants, each once."""

    def __init__(self, stops: Stops) -> None:
        self._stops = stops
        self._numbers: dict[Wanted, int] = {}
        self._users: Counter[Wanted] = Counter()

    def add(self, wanted: Iterable[Wanted]) -> None:
        """All of them or, with ConfigError, none."""
        done = []
        try:
            for one in wanted:
                if not self._users[one]:
                    self._numbers[one] = one.add(self._stops)
                self._users[one] += 1
                done.append(one)
        except BaseException:
            self.remove(done)
            raise

    def remove(self, wanted: Iterable[Wanted]) -> None:
        for one in wanted:
            self._users[one] -= 1
            if not self._users[one]:
                del self._users[one]
                self._stops.remove(self._numbers.pop(one))

    def find(self, number: int) -> Wanted | None:
        """What an entry was asked for; None for one that was not asked for here."""
        return next((one for one, known in self._numbers.items() if known == number), None)
