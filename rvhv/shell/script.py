"""Commands from files, options and pipes: plain answers, or one JSON document a line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rvhv.errors import ConfigError, InternalError, RvhvError
from rvhv.shell.loop import PROMPT, Shell

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.target import Context
    from rvhv.shell.screen import Screen

LONGEST_SCRIPT = 1 << 20  # bytes
LONGEST_CONSOLE = 1 << 20  # bytes of one guest that one command's document has


@dataclass(frozen=True, slots=True)
class Said:
    """A command and where it stands: "setup.rvhv:3", or empty."""

    line: str
    at: str = ""


def from_file(path: Path) -> list[Said]:
    """The commands of a script file. Raises ConfigError, OSError."""
    data = path.read_bytes() if path.stat().st_size <= LONGEST_SCRIPT else None
    if data is None:
        raise ConfigError(f"{path}: is no script: it has more than {LONGEST_SCRIPT:,} bytes")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is no script: it is not UTF-8 text") from None
    return list(commands(text.splitlines(), str(path)))


def commands(lines: Iterable[str], name: str) -> Iterator[Said]:
    """Lines that are neither empty nor comments."""
    for number, line in enumerate(lines, 1):
        if (line := line.strip()) and not line.startswith("#"):
            yield Said(line, f"{name}:{number}")


def play(session: Session, screen: Screen, script: Iterable[Said], *, keep_going: bool, echo: bool) -> bool:
    """Do the commands one after the other; whether all could be done. Stops at the first that could not."""
    shell = Shell(session, screen)
    good = True
    for said in script:
        if echo:
            screen.write([f"{PROMPT}{said.line}"])
        if not shell.do(said.line, said.at):
            good = False
            if not keep_going:
                break
        if session.over:
            break
    screen.end_lines()
    return good


def play_json(session: Session, out: TextIO, script: Iterable[Said], *, keep_going: bool) -> bool:
    """The same with a document a command: command, ok, result or error, and what guests printed meanwhile."""
    printed: dict[str, bytearray] = {}

    def feed(context: Context, data: bytes) -> None:
        kept = printed.setdefault(context.name, bytearray())
        kept += data[: LONGEST_CONSOLE - len(kept)]

    session.on_console = feed
    good = True
    for said in script:
        printed.clear()
        document: dict[str, object] = {"command": said.line}
        try:
            document |= {"ok": True, "result": session.command(said.line).json()}
        except Exception as error:
            good = False
            document |= {"ok": False, "error": text_of(error)}
        document["notes"] = list(session.notes)
        document["console"] = {name: data.decode("utf-8", "replace") for name, data in printed.items()}
        out.write(json.dumps(document) + "\n")
        out.flush()
        if session.over or not (document["ok"] or keep_going):
            break
    return good


def text_of(error: Exception) -> str:
    """What an error says to a person."""
    if isinstance(error, RvhvError) and not isinstance(error, InternalError):
        return str(error)
    return f"{type(error).__name__}: {error} (a bug of rvhv)"
