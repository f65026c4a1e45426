"""Where a run ended, and why: what the debugger says each time the guests stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.core.stop_table import Access
from rvhv.debug.entries import Outcome
from rvhv.debug.look.code import text_of, word_at
from rvhv.debug.look.places import source, symbol
from rvhv.debug.look.table import cell, length, paragraph, width
from rvhv.debug.target import Context, Ended, Target
from rvhv.debug.view import Line, Style, vm_style
from rvhv.errors import DebugError

REASONS = {
    Ended.BUDGET: "",
    Ended.STOP: "stopped",
    Ended.INTERRUPTED: "interrupted",
    Ended.WAITING: "everybody sleeps, and only input could wake them: irq and why say more, type types",
    Ended.FINISHED: "finished",
}


@dataclass(frozen=True)
class Place:
    """Where a context is: facts taken when it is made. `symbol`, `source` and `instruction` are "" where there is none."""

    name: str
    number: int
    mode: str
    pc: int
    symbol: str
    source: str
    instruction: str
    status: str
    alive: bool

    @classmethod
    def of(cls, context: Context, *, with_source: bool = True) -> Place:
        """Reading the first line table takes 0.1 s: `with_source` says whether it is worth that."""
        pc = context.pc
        try:
            instruction = text_of(context, word_at(context, "v", pc), pc)
        except DebugError:
            instruction = ""
        where = symbol(context, pc), source(context, pc) if with_source else "", instruction
        return cls(context.name, context.number, context.mode, pc, *where, context.status, context.alive)

    def lines(self) -> list[Line]:
        """`tasks VS  0x80200010 <main+0x8>  addi sp, sp, -16   main.c:12`."""
        line: Line = [(vm_style(self.number), self.name)]
        if not self.alive:
            return [[*line, ("", f": {self.status}")]]
        line += [("dim", f" {self.mode}  "), ("address", f"{self.pc:#x}")]
        if self.symbol:
            line += [("", " "), ("symbol", f"<{self.symbol}>")]
        if self.instruction:
            line += [("", "  "), ("mnemonic", self.instruction)]
        if self.source:
            line += [("", "   "), ("dim", self.source)]
        return [line]

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "mode": self.mode,
            "pc": f"{self.pc:#x}",
            "symbol": self.symbol or None,
            "source": self.source or None,
            "instruction": self.instruction or None,
            "status": self.status,
            "alive": self.alive,
        }


class Arrival:
    """The answer of everything that runs the guests: what ended the run, and where that is."""

    def __init__(self, outcome: Outcome, target: Target, why: str = "") -> None:
        self.ended = outcome.halt.ended
        self.breakpoint = outcome.breakpoint.number if outcome.breakpoint is not None else None
        self.why = REASONS[self.ended] or why
        if outcome.breakpoint is not None:
            self.why = f"{outcome.breakpoint.command} {outcome.breakpoint.number}"
            if outcome.event is not None or outcome.halt.stop is None or outcome.halt.stop.access is not Access.EXECUTE:
                self.why += f": {outcome.what()}"  # else where it is says everything
        self.place = Place.of(outcome.context)
        self.steps, self.virtual_ns, self.finished = target.steps, target.virtual_ns, target.finished
        self.ends = [Place.of(context) for context in target.contexts if not context.alive]

    def lines(self) -> list[Line]:
        style: Style = "warn" if self.ended in (Ended.WAITING, Ended.INTERRUPTED) else "key"
        lines = paragraph(self.why, style, hanging="  ") if self.why else []
        if lines:
            step = cell(f"  (step {self.steps:,})", "dim")
            if length([*lines[-1], step]) > width():
                lines.append([])
            lines[-1].append(step)
        places = self.ends if self.finished else [self.place]
        return lines + [line for place in places for line in place.lines()]

    def json(self) -> dict[str, Any]:
        return {
            "ended": self.ended.value,
            "why": self.why,
            "at": self.place.json(),
            "steps": self.steps,
            "virtual_ns": self.virtual_ns,
            "finished": self.finished,
            "ends": {place.name: place.status for place in self.ends},
            "breakpoint": self.breakpoint,
        }
