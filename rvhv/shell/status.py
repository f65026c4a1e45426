"""The line at the bottom: who, where, in what mode, how far, when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.cli.plain import printable
from rvhv.cli.report import duration

if TYPE_CHECKING:
    from prompt_toolkit.formatted_text import StyleAndTextTuples

    from rvhv.debug.session import Session


def status(session: Session) -> StyleAndTextTuples:
    """prompt-toolkit's (style, text) pieces."""
    context = session.context
    pieces: StyleAndTextTuples = [("class:who", f" {printable(context.name)} ")]
    if context.alive:
        near = context.symbols.nearest(context.pc)
        where = "" if near is None else f" <{near[1]}{f'+{context.pc - near[0]:#x}' if context.pc > near[0] else ''}>"
        pieces.append(("", f" {context.pc:#x}{printable(where)}  {context.mode} "))
        if context.status != "running":
            pieces.append(("class:note", f" {printable(context.status)} "))
    else:
        pieces.append(("class:note", f" {printable(context.status)} "))
    pieces.append(("", f"  {context.instructions:,} instructions  {duration(session.target.virtual_ns)}"))
    if session.in_the_past:
        pieces.append(("class:past", " in the past "))
    return pieces
