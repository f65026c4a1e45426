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
