"""What the output can show: colour, width, characters."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

PIPE_WIDTH = 110  # columns of a table that goes to a file or a pipe
TEXT_WIDTH, NARROWEST, WIDEST = 100, 60, 120  # columns of texts: in a file or a pipe, on a terminal at least and at most


def show_warnings(least: int = logging.WARNING) -> None:
    """What is logged, from this level on, becomes lines on stderr. The first call counts."""
    logging.basicConfig(format="rvhv: warning: %(message)s", level=least)


def wants_color(out: TextIO | None, no_color: bool = False) -> bool:
    """Colour goes to a terminal only, and not where NO_COLOR or TERM=dumb says otherwise."""
    if no_color or out is None or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    if not out.isatty():
        return False
    if sys.platform == "win32":
        from colorama import just_fix_windows_console

        just_fix_windows_console()
    return True


def can_show(out: TextIO | None, text: str) -> bool:
    """Whether the output's encoding has these characters."""
    try:
        text.encode(getattr(out, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def terminal_columns(out: TextIO, *, piped: int = TEXT_WIDTH, narrowest: int = NARROWEST, widest: int = WIDEST) -> int:
    """As wide as texts should be: as the terminal is now, within reason; `piped` where there is none."""
    try:
        found = os.get_terminal_size(out.fileno()).columns
    except (OSError, ValueError):
        return piped
    return min(max(found, narrowest), widest) if found else piped


def rich_console(out: TextIO | None = None, *, no_color: bool = False) -> Console:
    """A rich console for `out` (stdout) that prints text as it is; imports rich, which takes 50 ms: call it late."""
    from rich.console import Console

    out = sys.stdout if out is None else out
    color = wants_color(out, no_color)
    terminal = out is not None and out.isatty()
    return Console(
        file=out,
        width=None if terminal else PIPE_WIDTH,
        color_system="standard" if color else None,
        force_terminal=terminal,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=False,
    )


def show(console: Console, what: RenderableType) -> None:
    """Prints without the spaces that fill up a table's lines."""
    with console.capture() as captured:
        console.print(what)
    console.file.write("".join(f"{line.rstrip(' ')}\n" for line in captured.get().splitlines()))
