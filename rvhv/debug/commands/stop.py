"""Stop: breakpoints, watchpoints, catches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rvhv.amounts import amount
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import Kind, command
from rvhv.debug.view import Line, Text

if TYPE_CHECKING:
    from rvhv.debug.entries import Breakpoint
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

WATCH_DETAILS = """It stops before the instruction that is about to do it. Addresses are virtual unless they say g: (guest
physical) or h: (host physical); length=BYTES, or as many as is read, or 8."""
OPTIONS = "[vm=NAME] [ignore=COUNT] [if CONDITION]"


@dataclass(frozen=True)
class Made:
    """A new one in a line."""

    entry: Breakpoint

    def lines(self) -> list[Line]:
        entry = self.entry
        line: Line = [("key", f"{entry.command} {entry.number}"), ("", f": {entry.where}")]
        if entry.aim.who is not None:
            line.append(("dim", f" in {entry.aim.who.name}"))
        if entry.condition is not None:
            line.append(("", f" if {entry.condition.text}"))
        return [line]

    def json(self) -> Any:
        return self.entry.json()


def _adds(name: str) -> Callable[[Session, Arguments], View]:
    def add(session: Session, arguments: Arguments) -> View:
        text = arguments.text if name in ("break", "tbreak") else arguments.some("what to stop for")
        return Made(session.breakpoints.add(name, text, session.context))

    return add


command(
    "break",
    "stop",
    "stop before an instruction",
    f"break [PLACE] {OPTIONS}",
    ("break main", "a symbol"),
    ("b main.c:42", "a source line; *0x80200000 is an address"),
    ("break virtio_submit if a0 == 3", "only if that is so"),
    ("break trap_handler vm=tasks ignore=10", "of another VM, and not the first ten times"),
    short=("b",),
    kinds=("place",),
    details="Without a PLACE, where the VM or hart is. It is for the VM that is looked at, unless vm= names another.",
)(_adds("break"))
command(
    "tbreak",
    "stop",
    "the same, once",
    f"tbreak [PLACE] {OPTIONS}",
    ("tbreak main", "gone when it was met"),
    short=("tb",),
    kinds=("place",),
)(_adds("tbreak"))
command(
    "watch",
    "stop",
    "stop before memory is written, or after a CSR changed",
    f"watch ADDRESS | CSR[.FIELD] [length=BYTES] {OPTIONS}",
    ("watch counter", "eight bytes at a symbol"),
    ("watch u32[sp + 8]", "four bytes on the stack, where they are now"),
    ("watch g:0x80201000 length=64", "guest physical memory; h: is host physical"),
    ("watch vsatp", "a CSR of the guest"),
    ("watch vsstatus.SIE", "a field of one"),
    kinds=("expression",),
    details=WATCH_DETAILS,
)(_adds("watch"))
command(
    "rwatch",
    "stop",
    "stop before memory is read",
    f"rwatch ADDRESS [length=BYTES] {OPTIONS}",
    ("rwatch counter", "who looks at it?"),
    kinds=("expression",),
    details=WATCH_DETAILS,
)(_adds("rwatch"))
command(
    "awatch",
    "stop",
    "stop before memory is read or written",
    f"awatch ADDRESS [length=BYTES] {OPTIONS}",
    ("awatch g:0x80201000 length=4096", "any access to a page"),
    kinds=("expression",),
    details=WATCH_DETAILS,
)(_adds("awatch"))
CATCH_KINDS: tuple[Kind | tuple[str, ...], ...] = (("exit", "trap", "interrupt", "sbi", "notify"), "text")
command(
    "catch",
    "stop",
    "stop at exits, traps, interrupts, SBI calls, notifications of devices",
    f"catch exit|trap|interrupt|sbi|notify [WHICH]... [gpa=FROM..TO] {OPTIONS}",
    ("catch exit guest-page-fault vm=tasks", "an exit to the hypervisor, when it was handled"),
    ("catch exit gpa=0x10001000", "one for an address of that page"),
    ("catch trap page-fault", "a trap that the guest takes itself, before its handler begins"),
    ("catch interrupt timer", "an interrupt that it takes"),
    ("catch sbi time", "a call of an SBI extension"),
    ("catch notify block", "a driver that notifies its device"),
    kinds=CATCH_KINDS,
)(_adds("catch"))


@command(
    "breakpoints",
    "stop",
    "all breakpoints, watchpoints and catches, with how often they were met",
    "breakpoints",
    ("breakpoints", "a table with their numbers"),
    short=("bl",),
)
def breakpoints(session: Session, arguments: Arguments) -> View:
    arguments.done()
    return session.breakpoints.listing()


def _numbers(session: Session, arguments: Arguments) -> list[int]:
    """The numbers that are named, all where none is."""
    found = []
    for word in arguments.words:
        value = amount(word)
        if value is None:
            raise arguments.wrong(f"{word[:40]!r} is no number of a breakpoint")
        session.breakpoints[value]  # or it says which there are
        found.append(value)
    return found or [entry.number for entry in session.breakpoints]


@command(
    "delete",
    "stop",
    "remove breakpoints, watchpoints and catches",
    "delete [NUMBER...]",
    ("delete 1 3", "two of them"),
    ("delete", "all"),
    short=("del", "d", "clear"),
    kinds=("entry",),
)
def delete(session: Session, arguments: Arguments) -> View:
    for one in _numbers(session, arguments):
        session.breakpoints.remove(one)
    return Text("")


@command(
    "enable",
    "stop",
    "have them stop again",
    "enable [NUMBER...]",
    ("enable 1", "one of them"),
    ("enable", "all"),
    kinds=("entry",),
)
def enable(session: Session, arguments: Arguments) -> View:
    for one in _numbers(session, arguments):
        session.breakpoints.enable(one)
    return Text("")


@command(
    "disable",
    "stop",
    "keep them, without stopping",
    "disable [NUMBER...]",
    ("disable 1", "one of them"),
    ("disable", "all"),
    kinds=("entry",),
)
def disable(session: Session, arguments: Arguments) -> View:
    for one in _numbers(session, arguments):
        session.breakpoints.enable(one, False)
    return Text("")


@command(
    "ignore",
    "stop",
    "do not stop the next times",
    "ignore NUMBER COUNT",
    ("ignore 1 99", "breakpoint 1 stops when it is met for the hundredth time"),
    kinds=("entry",),
)
def ignore(session: Session, arguments: Arguments) -> View:
    parts = [amount(word) for word in arguments.words]
    if len(parts) != 2 or parts[0] is None or parts[1] is None:
        raise arguments.wrong("two numbers: of a breakpoint, and how often")
    session.breakpoints.ignore(parts[0], parts[1])
    return Made(session.breakpoints[parts[0]])


@command(
    "condition",
    "stop",
    "stop only if that is so",
    "condition NUMBER [EXPRESSION]",
    ("condition 1 a0 == 3 && *sp != 0", "from now on"),
    ("condition 1", "always again"),
    short=("cond",),
    kinds=("entry", "expression"),
)
def condition(session: Session, arguments: Arguments) -> View:
    word, _, text = arguments.some("NUMBER").partition(" ")
    one = amount(word)
    if one is None:
        raise arguments.wrong(f"{word[:40]!r} is no number of a breakpoint")
    session.breakpoints.condition(one, text.strip(), session.context)
    return Made(session.breakpoints[one])
