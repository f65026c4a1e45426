"""Breakpoints, watchpoints and catches as a person sees them: their table, and what is said when one of them stops the target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rvhv.core.registry import ISA
from rvhv.core.stop_table import INTERRUPT, Access, CsrStop, TrapStop
from rvhv.debug.aims import Aim, Event
from rvhv.debug.expressions import Expression
from rvhv.debug.look.places import place
from rvhv.debug.look.table import Cell, cell, table
from rvhv.debug.target import Context, Halt
from rvhv.debug.view import Line


@dataclass
class Breakpoint:
    """One of them, as a person made it with `command` ("break", "watch", "catch exit", ...) and `what`. Those with numbers
    below 0 are the debugger's own, for one run, and nobody sees them."""

    number: int
    command: str
    what: str
    aim: Aim
    where: str  # what it came to
    condition: Expression | None = None
    ignore: int = 0  # how many times more it does not count
    temporary: bool = False
    enabled: bool = True
    hits: int = 0
    test: Callable[[Context], bool] | None = None  # of the debugger's own: whether it counts
    problem: str = ""  # why its condition could not be evaluated when it was met

    def json(self) -> Any:
        return {
            "number": self.number,
            "command": self.command,
            "what": self.what,
            "where": self.where,
            "context": self.aim.who.name if self.aim.who is not None else None,
            "condition": self.condition.text if self.condition is not None else None,
            "ignore": self.ignore,
            "temporary": self.temporary,
            "enabled": self.enabled,
            "hits": self.hits,
            **self.aim.data(),
        }

    def lines(self) -> list[Line]:
        return Listing((self,)).lines()


@dataclass(frozen=True)
class Listing:
    """A table of breakpoints."""

    entries: tuple[Breakpoint, ...]

    def lines(self) -> list[Line]:
        if not self.entries:
            return [[("dim", "there are no breakpoints, watchpoints or catches")]]
        return table(("", "kind", "", "hits", "where"), [self._row(one) for one in self.entries], right=(0, 3))

    @staticmethod
    def _row(one: Breakpoint) -> list[Cell]:
        state = ("temporary" if one.temporary else "on") if one.enabled else "off"
        more = [one.where]
        if one.aim.who is not None:
            more.append(f"in {one.aim.who.name}")
        if one.condition is not None:
            more.append(f"if {one.condition.text}")
        if one.ignore:
            more.append(f"ignored {one.ignore} more time{'s' * (one.ignore > 1)}")
        return [
            cell(one.number, "number"), cell(one.command, "key"), cell(state, "good" if one.enabled else "dim"),
            cell(one.hits, "number"), cell(" ".join(more)),
        ]  # fmt: skip

    def json(self) -> Any:
        return [one.json() for one in self.entries]


@dataclass(frozen=True)
class Outcome:
    """Why `Breakpoints.run` came back: the halt, and the breakpoint that counted, if one did."""

    halt: Halt
    breakpoint: Breakpoint | None = None
    event: Event | None = None  # the exit or notification that it is for
    notes: tuple[str, ...] = ()  # conditions that could not be evaluated

    @property
    def context(self) -> Context:
        return self.event.context if self.event is not None and self.breakpoint is not None else self.halt.context

    def lines(self) -> list[Line]:
        found: list[Line] = [[("warn", note)] for note in self.notes]
        if self.breakpoint is not None:
            found.append([("title", f"{self.breakpoint.command} {self.breakpoint.number}"), ("", f": {self.what()}")])
        return found

    def what(self) -> str:
        """What happened, in a sentence."""
        stop, event = self.halt.stop, self.event
        if self.breakpoint is not None and event is not None:
            if event.exit is not None:
                return event.exit.explain()
            return f"{event.context.name} notified queue {event.queue} of {event.device}"
        if isinstance(stop, CsrStop):
            return f"{stop.csr} was {stop.old:#x} and is {stop.new:#x}, by {place(self.context, stop.pc)}"
        if isinstance(stop, TrapStop):
            return f"{cause_text(stop.cause)}, taken at {place(self.context, stop.pc)}"
        if stop is not None and stop.access != Access.EXECUTE:
            does = " and ".join(word for flag, word in ((Access.READ, "read"), (Access.WRITE, "write")) if stop.access & flag)
            return f"is about to {does} {stop.address:#x}"
        return f"is about to execute {place(self.context, self.context.pc)}"

    def json(self) -> Any:
        return {
            "ended": str(self.halt.ended),
            "context": self.context.name,
            "pc": f"{self.context.pc:#x}",
            "breakpoint": self.breakpoint.number if self.breakpoint is not None else None,
            "what": self.what() if self.breakpoint is not None else None,
            "notes": list(self.notes),
        }

def cause_text(cause: int) -> str:
    """A cause in the manual's words."""
    interrupt, code = bool(cause >> 63), cause & ~INTERRUPT
    rows = (row.text for row in ISA.causes.values() if row.code == code and row.interrupt == interrupt)
    return next(rows, f"cause {cause:#x}")
