"""`console`: a guest has the keyboard, and everything goes on, until Ctrl-A x or Ctrl-]."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.cli.keyboard import HELP_TEXT, Keyboard
from rvhv.debug.arrival import Arrival
from rvhv.debug.target import Ended

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.target import Context
    from rvhv.shell.screen import Screen

LEAVE = b"\x1d"  # Ctrl-], as telnet has it
STRIDE = 20_000_000  # steps between two looks at the keyboard; a key interrupts them
PATIENCE = 0.2  # seconds of one wait for a key


def hand_over(session: Session, context: Context, screen: Screen) -> Arrival | None:
    """Until the keyboard is given back, a stop, or the end of the guest; the answer where something stopped it."""
    screen.write([f"the keyboard is {context.name}'s; Ctrl-A x or Ctrl-] gives it back"])
    screen.bring_forward(context)
    try:
        with Keyboard(session.interrupt, leave=LEAVE) as keyboard:
            while keyboard.open and not keyboard.quit and context.alive:
                if typed := keyboard.read():
                    session.feed(context, typed)
                if keyboard.wants_help():
                    screen.feed(context, HELP_TEXT.encode())
                outcome = session.run(STRIDE)
                screen.check()
                if outcome.halt.ended is Ended.WAITING:
                    if typed := keyboard.read(PATIENCE):
                        session.feed(context, typed)
                elif outcome.breakpoint is not None or outcome.halt.ended not in (Ended.BUDGET, Ended.INTERRUPTED):
                    return session.arrived(outcome)
    finally:
        session.choose(context)
        session.calm()
        screen.bring_forward(None)
    return None
