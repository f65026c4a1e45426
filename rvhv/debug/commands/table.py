"""What a command of the debugger is, and the table of all of them: names, help, examples, and what completes their arguments.

A command is one function from a session and its arguments to a View, with a row of facts around it. The shell, scripts, the
Python API, `help` and docs/debugging.md all read these rows. `rvhv.debug.commands` imports the files that fill the table.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal

from rvhv.debug.commands.arguments import Arguments
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

Group = Literal["run", "stop", "look", "why", "back", "session"]
GROUPS: dict[Group, str] = {
    "run": "Run",
    "stop": "Stop",
    "look": "Look",
    "why": "Why",
    "back": "Back in time",
    "session": "The session",
}
# what an argument is, for completion; a tuple of words stands for itself
Kind = Literal["place", "expression", "register", "csr", "vm", "bookmark", "entry", "file", "command", "text"]
Function = Callable[["Session", Arguments], "View"]

# what gdb's users type and is something else here
ELSEWHERE = {
    "up": "backtrace shows all frames, and list SYMBOL their source",
    "down": "backtrace shows all frames, and list SYMBOL their source",
    "frame": "backtrace shows all frames, and list SYMBOL their source; frames shows host memory",
    "f": "backtrace shows all frames; finish leaves a function",
    "display": "the line after each stop says where it is; print and registers show more",
    "start": "nothing has run at the first prompt: tbreak guest_main and continue",
    "kill": "quit leaves, and goto start begins again",
    "jump": "set pc = ADDRESS and continue",
    "call": "no function of a guest is called from outside",
    "ptype": "types are not known here: print u32[ADDRESS] reads memory of a size",
    "whatis": "types are not known here: print u32[ADDRESS] reads memory of a size",
    "attach": "guests are named where rvhv debug is started",
    "target": "guests are named where rvhv debug is started",
    "file": "guests are named where rvhv debug is started",
    "load": "guests are named where rvhv debug is started",
    "monitor": "there is no other monitor: help lists all commands",
    "stop": "Ctrl-C stops the guests",
    "signal": "guests have no signals: see catch interrupt",
    "handle": "guests have no signals: see catch interrupt",
    "layout": "list, disassemble and registers show what a layout would",
    "undo": "back goes a step back, and reverse-step a source line",
    "save": "bookmark names this moment",
    "checkpoint": "bookmark names this moment",
    "restart": "goto BOOKMARK, or goto start",
}
_NAME = re.compile(r"[A-Za-z?][A-Za-z-]*")
_LONGEST = 4096  # characters of a line
_SHOWN = 40  # characters of a wrong word that an error repeats


@dataclass(frozen=True, slots=True)
class Command:
    """One row. `short` are its other names; `kinds` say what its arguments are, the last one holding for all that follow;
    `repeats`: an empty line does it again, without its arguments where `repeats` is "bare"."""

    name: str
    group: Group
    summary: str
    usage: str
    examples: tuple[tuple[str, str], ...]
    run: Function
    short: tuple[str, ...] = ()
    kinds: tuple[Kind | tuple[str, ...], ...] = ()
    repeats: Literal["", "same", "bare"] = ""
    details: str = ""


TABLE: dict[str, Command] = {}  # by name, in the order of their definition


def command(
    name: str,
    group: Group,
    summary: str,
    usage: str,
    *examples: tuple[str, str],
    short: Iterable[str] = (),
    kinds: Iterable[Kind | tuple[str, ...]] = (),
    repeats: Literal["", "same", "bare"] = "",
    details: str = "",
) -> Callable[[Function], Function]:
    """Enter the function below into the table."""

    def enter(function: Function) -> Function:
        row = Command(name, group, summary, usage, examples, function, tuple(short), tuple(kinds), repeats, details)
        taken = {word for other in TABLE.values() for word in (other.name, *other.short)}
        assert not taken & {name, *row.short}, f"{name}: one of its names is taken"
        TABLE[name] = row
        return function

    return enter


def split(line: str) -> tuple[str, str, str]:
    """A line as its command's word, what stands behind a slash (`8gx` of `x/8gx`), and the rest. Raises DebugError."""
    line = line.replace("\t", " ").strip()
    if not line.isprintable():
        odd = next(character for character in line if not character.isprintable())
        raise DebugError(f"{odd!r} is a character that no command has")
    if len(line) > _LONGEST:
        raise DebugError(f"a line of {len(line):,} characters is too long: at most {_LONGEST:,}")
    match = _NAME.match(line)
    if match is None:
        word = line.split(maxsplit=1)[0] if line else ""
        raise DebugError(f"{shown(word)} is no command; help lists them, and print shows the value of an expression")
    word, rest = match[0], line[match.end() :]
    slash = ""
    if rest.startswith("/"):
        slash, _, rest = rest[1:].partition(" ")
    elif rest and not rest[0].isspace() and rest[0] not in "$*&(\"'=-+!":
        raise DebugError(f"{shown(line.split(maxsplit=1)[0])} is no command; {_near(word)}")
    return word, slash, rest.strip()


def find(word: str) -> Command:
    """The command that a word means: a name, a short one, or a beginning that only one name has. Raises DebugError."""
    if word in TABLE:
        return TABLE[word]
    for row in TABLE.values():
        if word in row.short:
            return row
    if word in ELSEWHERE:
        raise DebugError(f"{word} is no command: {ELSEWHERE[word]}")
    begun = [name for name in TABLE if name.startswith(word.lower())]
    if len(begun) == 1:
        return TABLE[begun[0]]
    if begun:
        raise DebugError(f"{word} is the beginning of {', '.join(begun)}: write more of it")
    raise DebugError(f"{shown(word)} is no command; {_near(word)}")


def names() -> list[str]:
    """Every word that `find` takes, but for beginnings."""
    return [word for row in TABLE.values() for word in (row.name, *row.short)]


def _near(word: str) -> str:
    near = get_close_matches(word.lower(), names(), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "help lists them all"


def shown(word: str) -> str:
    """What a person typed, as an error repeats it."""
    word = word if word.isprintable() else repr(word)[1:-1]
    return word if len(word) <= _SHOWN else f"{word[: _SHOWN - 3]}..."
