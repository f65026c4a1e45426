"""Run: let the guests go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View


@command(
    "continue",
    "run",
    "go on until something stops it",
    "continue",
    ("continue", "until a breakpoint, a watchpoint, Ctrl-C or the end"),
    short=("c", "cont"),
    repeats="bare",
)
def continue_(session: Session, arguments: Arguments) -> View:
    arguments.done()
    return session.arrived(session.run())


@command(
    "run",
    "run",
    "go on for so many steps of the whole machine, or until something stops it",
    "run [STEPS]",
    ("run", "as continue"),
    ("run 10000", "ten thousand steps: instructions, and traps taken, of whoever's turn it is"),
    ("run 5M", "five million"),
    short=("r",),
    repeats="same",
)
def run(session: Session, arguments: Arguments) -> View:
    steps = arguments.count(0) if arguments.text else None
    return session.arrived(session.run(steps))


@command(
    "step",
    "run",
    "to the beginning of another source line, into what is called",
    "step [COUNT]",
    ("step", "of the VM or hart that is looked at; the others run as ever"),
    ("s 5", "five lines"),
    short=("s",),
    repeats="same",
    details="Where there are no source lines, one instruction. Breakpoints and watchpoints stop it.",
)
def step(session: Session, arguments: Arguments) -> View:
    count = arguments.count(1)
    return session.stepped(lambda stepper, context: stepper.step_line(context, count))


@command(
    "stepi",
    "run",
    "by instruction; a trap that is taken leads to its handler",
    "stepi [COUNT]",
    ("stepi", "one"),
    ("si 10", "ten"),
    short=("si",),
    repeats="same",
)
def stepi(session: Session, arguments: Arguments) -> View:
    count = arguments.count(1)
    return session.stepped(lambda stepper, context: stepper.step(context, count))


@command(
    "next",
    "run",
    "to the beginning of another source line, over what is called",
    "next [COUNT]",
    ("next", "of this function, or of who called it"),
    ("n 5", "five lines"),
    short=("n",),
    repeats="same",
)
def next_(session: Session, arguments: Arguments) -> View:
    count = arguments.count(1)
    return session.stepped(lambda stepper, context: stepper.next_line(context, count))


@command(
    "nexti",
    "run",
    "by instruction, over what is called and what traps lead to",
    "nexti [COUNT]",
    ("nexti", "one"),
    short=("ni",),
    repeats="same",
)
def nexti(session: Session, arguments: Arguments) -> View:
    count = arguments.count(1)
    return session.stepped(lambda stepper, context: stepper.next(context, count))


@command(
    "finish",
    "run",
    "until the function returns to who called it",
    "finish",
    ("finish", "a0 has what it returned"),
    short=("fin",),
    repeats="same",
)
def finish(session: Session, arguments: Arguments) -> View:
    arguments.done()
    return session.stepped(lambda stepper, context: stepper.finish(context))


@command(
    "until",
    "run",
    "until a place, the next exit, or behind a loop",
    "until [PLACE | exit]",
    ("until", "as next, but never back: out of a loop at its end"),
    ("until main.c:42", "there, but no further than to who called this function"),
    ("until exit", "the next exit to the hypervisor"),
    kinds=("place",),
    repeats="same",
)
def until(session: Session, arguments: Arguments) -> View:
    text = arguments.text
    if not text:
        return session.stepped(lambda stepper, context: stepper.until_next_line(context))
    if text == "exit":
        return session.stepped(lambda stepper, context: stepper.until_exit())
    return session.stepped(lambda stepper, context: stepper.until(context, text))


@command(
    "advance",
    "run",
    "until a place, wherever that leads",
    "advance PLACE",
    ("advance main", "as a breakpoint that is met once"),
    ("advance main.c:42", "a source line"),
    kinds=("place",),
)
def advance(session: Session, arguments: Arguments) -> View:
    place = arguments.some("PLACE")
    return session.stepped(lambda stepper, context: stepper.advance(context, place))
