"""Where a run ended, and why: what the debugger says each time the guests stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.target import Context, Ended, Halt, Target
from rvhv.debug.view import Line, Style, vm_style
from rvhv.machine.source_lines import source_line


@dataclass(frozen=True)
class Place:
    """Where a context is: facts taken when it is made."""

    name: str
    number: int
    mode: str
    pc: int
    symbol: str  # "main+0x8", or empty
    source: str | None
    instruction: str
    alive: bool

    @staticmethod
    def of(context: Context) -> Place:
        pc = context.pc
        near = context.symbols.nearest(pc)
        symbol = "" if near is None else near[1] if near[0] == pc else f"{near[1]}+{pc - near[0]:#x}"
        source = next((found for image in context.images if (found := source_line(image, pc))), None)
        return Place(context.name, context.number, context.mode, pc, symbol, source, instruction(context), context.alive)

    def line(self) -> Line:
        """`tasks VS  0x80200010 <main+0x8>  addi sp, sp, -16   main.c:12`."""
        line: Line = [(vm_style(self.number), self.name), ("dim", f" {self.mode}  "), ("address", f"{self.pc:#x}")]
        if self.symbol:
            line += [("", " "), ("symbol", f"<{self.symbol}>")]
        if self.instruction:
            line += [("", "  "), ("mnemonic", self.instruction)]
        if self.source:
            line += [("dim", f"   {self.source}")]
        return line

    def json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "mode": self.mode,
            "pc": f"{self.pc:#x}",
            "symbol": self.symbol or None,
            "source": self.source,
            "instruction": self.instruction or None,
        }


@dataclass(frozen=True)
class Where:
    """Where one context is, and how it is."""

    place: Place
    status: str

    def lines(self) -> list[Line]:
        place = self.place
        return [place.line() if place.alive else [(vm_style(place.number), place.name), ("", f": {self.status}")]]

    def json(self) -> dict[str, Any]:
        return {**self.place.json(), "status": self.status, "alive": self.place.alive}


class Arrival:
    """The answer of everything that runs the guests. `why` is said first: "breakpoint 1"."""

    def __init__(self, halt: Halt, target: Target, why: str = "") -> None:
        self.ended, self.why = halt.ended, why or _REASONS[halt.ended]
        self.place = Place.of(halt.context)
        self.steps, self.virtual_ns, self.finished = target.steps, target.virtual_ns, target.finished
        self.ends = [(c.name, c.number, c.status) for c in target.contexts if not c.alive]

    def lines(self) -> list[Line]:
        style: Style = "warn" if self.ended in (Ended.WAITING, Ended.INTERRUPTED) else "key"
        lines: list[Line] = []
        if self.why:
            lines.append([(style, self.why), ("dim", f"  (step {self.steps:,})")])
        if self.finished:
            return lines + [[(vm_style(number), name), ("", f": {status}")] for name, number, status in self.ends]
        return [*lines, self.place.line()]

    def json(self) -> dict[str, Any]:
        return {
            "ended": self.ended.value,
            "why": self.why,
            "at": None if self.finished else self.place.json(),
            "steps": self.steps,
            "virtual_ns": self.virtual_ns,
            "finished": self.finished,
            "ends": {name: status for name, _, status in self.ends},
        }


_REASONS = {
    Ended.BUDGET: "",
    Ended.STOP: "stopped",
    Ended.INTERRUPTED: "interrupted",
    Ended.WAITING: "everybody sleeps, and only input could wake them: type, irq and why help",
    Ended.FINISHED: "finished",
}


def instruction(context: Context) -> str:
    """The instruction at its pc; empty where it cannot be fetched."""
    from rvhv.debug.code import fetch

    word = fetch(context, context.pc)
    if word is None:
        return ""
    from rvhv.core.registry import ISA
    from rvhv.isa.render.disasm import Disassembler

    return Disassembler(ISA).text(word, context.pc)
