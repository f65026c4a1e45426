"""The shell on a terminal, put together."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rvhv.debug.arrival import Place
from rvhv.debug.look.table import paragraph
from rvhv.debug.view import Line
from rvhv.shell.loop import Shell
from rvhv.shell.pager import Pager
from rvhv.shell.paint import painted
from rvhv.shell.prompt import new_prompt
from rvhv.shell.screen import Screen

if TYPE_CHECKING:
    from rvhv.debug.session import Session

MOST_NAMES = 6  # of VMs in the greeting


def greeting(session: Session) -> list[Line]:
    """What a newcomer needs to know, before the first prompt."""
    names = [context.name for context in session.target.contexts]
    shown = ", ".join(names[:MOST_NAMES]) + (f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else "")
    place = Place.of(session.context, with_source=False).lines()[0]  # the first prompt comes fast
    return [
        [("title", f"rvhv debug: {shown}"), ("", f", stopped before {'its' if len(names) == 1 else 'their'} first instruction")],
        place,
        *paragraph("try: break SYMBOL, continue, step, registers, why, back; help has all, Tab completes, Ctrl-D leaves", "dim"),
    ]


def interact(session: Session, *, color: bool, greet: bool = True) -> None:
    """Asks for commands until `quit` or Ctrl-D."""
    screen = Screen(sys.stdout, session.target.contexts, color=color, pager=Pager(sys.stdout))
    if greet:
        with screen.laid_out():
            lines = greeting(session)
        screen.write(painted(lines, color))
    prompt = new_prompt(session, color=color)
    session.has_terminal = True
    Shell(session, screen).run(prompt.prompt)
    screen.end_lines()
