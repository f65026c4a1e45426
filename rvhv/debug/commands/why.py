"""Why: what happened, and what it means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

HINTS = ("exit", "fault", "m", "s", "vs")


@command(
    "why",
    "why",
    "the last exit, or the last fault that the guest took, in one paragraph",
    "why [exit | fault | m | s | vs]",
    ("why", "what happened, where, through which rule of the manual, and what usually causes it"),
    ("why fault", "the last trap that the guest took itself"),
    ("why exit", "the last exit to the hypervisor"),
    kinds=(HINTS,),
)
def why(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.why import why as look

    hint = arguments.word("one of them") if arguments.text else None
    if hint is not None and hint not in HINTS:
        raise arguments.wrong(f"{hint[:40]!r} is nothing to explain")
    return look(session.context, hint)


@command(
    "exits",
    "why",
    "exits to the hypervisor by reason and VM: how often, at what cost; the last ones",
    "exits [--log [COUNT]] [vm=NAME]",
    ("exits", "a table"),
    ("exits --log 20", "the last twenty, one by one"),
    ("exits --log vm=tasks", "the last thousand of one VM"),
    short=("traps",),
)
def exits(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import exits as look
    from rvhv.hv.trace import KEPT

    name = arguments.option("vm")
    context = session.named(name) if name is not None else None
    if not arguments.flag("log"):
        arguments.done()
        if context is not None:
            raise arguments.wrong("vm= is for --log")
        return look.exits(session.target)
    return look.log(session.target, arguments.count(KEPT), context)
