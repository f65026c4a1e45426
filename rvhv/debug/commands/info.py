"""`info`: what gdb's users type, as the commands that answer it here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command, find
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

# what stands behind `info` -> the command, and what it gets; a beginning is enough
MEANS = {
    "breakpoints": "breakpoints",
    "registers": "registers",
    "all-registers": "registers",
    "float": "registers f",
    "csrs": "csr",
    "watchpoints": "breakpoints",
    "stack": "backtrace",
    "frame": "backtrace 1",
    "threads": "vcpus",
    "inferiors": "vms",
    "vms": "vms",
    "line": "list",
    "source": "list",
    "symbol": "symbols",
    "functions": "symbols",
    "variables": "symbols",
    "checkpoints": "bookmark",
    "bookmarks": "bookmark",
    "devices": "devices",
    "mem": "map",
    "irq": "irq",
    "history": "history",
}


@command(
    "info",
    "look",
    "what gdb's users ask for by it",
    "info WHAT [ARGUMENTS]",
    ("info registers", "registers"),
    ("i r a0", "registers a0"),
    ("info b", "breakpoints"),
    ("info threads", "vcpus"),
    short=("i",),
    kinds=(tuple(MEANS), "expression"),
)
def info(session: Session, arguments: Arguments) -> View:
    word, _, rest = arguments.some("WHAT").partition(" ")
    what = next((meant for meant in MEANS if meant.startswith(word.lower())), None)
    if what is None:
        raise DebugError(f"info {word[:40]} is nothing that there is here: {', '.join(MEANS)}")
    name, _, more = MEANS[what].partition(" ")
    row = find(name)
    return row.run(session, Arguments(f"{more} {rest}".strip(), "", row.usage))
