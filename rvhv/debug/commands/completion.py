"""What a line could go on with: commands, symbols, registers, CSRs, VMs, places in source files, bookmarks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from rvhv.debug.commands.table import TABLE, Command, Kind, find
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session

MOST = 200  # candidates
_WORD = re.compile(r"[\w.$-]*$")  # what is completed in an expression
_HEAD = re.compile(r"\s*([A-Za-z?][A-Za-z-]*)(/\S*)?\s+")
_OPTIONS = re.compile(r"--[a-z-]+|\b[a-z]+=(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Candidate:
    """`text` takes the place of the last `replaces` characters; `meta` says what it is."""

    text: str
    replaces: int
    meta: str = ""


def candidates(session: Session, line: str) -> list[Candidate]:
    """What could stand at the end of `line`, best first; at most MOST. Never raises."""
    head = _HEAD.match(line)
    if head is None:
        word = line.lstrip()
        rows = [row for row in TABLE.values() if row.name.startswith(word)]
        return [Candidate(row.name, len(word), row.summary) for row in rows]
    try:
        row = find(head[1])
    except DebugError:
        return []
    found: list[Candidate] = []
    for candidate in _arguments(session, row, line[head.end() :]):
        if candidate not in found:
            found.append(candidate)
        if len(found) == MOST:
            break
    return found


def _arguments(session: Session, row: Command, text: str) -> Iterator[Candidate]:
    token = re.split(r"\s", text)[-1]
    before = text[: len(text) - len(token)].split()
    name, equals, begun = token.partition("=")
    if equals and f"{name}=" in _OPTIONS.findall(row.usage):
        if name == "vm":
            yield from _beginning(_vms(session), begun)
        return
    if token:
        yield from _beginning(((option, "") for option in _OPTIONS.findall(row.usage)), token)
    if row.kinds:
        kind = row.kinds[min(len(before), len(row.kinds) - 1)]
        yield from _of_kind(session, kind, token)


def _of_kind(session: Session, kind: Kind | tuple[str, ...], token: str) -> Iterator[Candidate]:
    if isinstance(kind, tuple):
        yield from _beginning(((word, "") for word in kind), token)
    elif kind == "command":
        yield from _beginning(((row.name, row.summary) for row in TABLE.values()), token)
    elif kind == "vm":
        yield from _beginning(_vms(session), token)
    elif kind == "bookmark":
        yield from _beginning(session.bookmarks(), token)
    elif kind == "entry":
        yield from _beginning(session.entries(), token)
    elif kind == "csr":
        yield from _beginning(_csrs(), token)
    elif kind == "file":
        yield from _files(token)
    elif kind == "register":
        yield from _registers(token)
    elif kind == "place":
        yield from _beginning(session.source_places(token), token)
        yield from _symbols(session, token)
    elif kind == "expression":
        match = _WORD.search(token)
        word = match[0] if match else ""
        if word:
            yield from _registers(word)
            yield from _symbols(session, word)
            yield from _beginning(_csrs(), word)


def _beginning(words: Iterable[tuple[str, str]], begun: str) -> Iterator[Candidate]:
    for word, meta in words:
        if word.startswith(begun):
            yield Candidate(word, len(begun), meta)


def _vms(session: Session) -> list[tuple[str, str]]:
    return [(context.name, context.status) for context in session.target.contexts]


def _csrs() -> list[tuple[str, str]]:
    from rvhv.core.registry import ISA

    return [(name, "CSR") for name in sorted(ISA.csrs)]


def _registers(begun: str) -> Iterator[Candidate]:
    from rvhv.isa.render.syntax import REGISTERS

    dollar = "$" if begun.startswith("$") else ""
    yield from _beginning(((f"{dollar}{name}", "register") for name in ("pc", *REGISTERS[1:])), begun)


def _symbols(session: Session, begun: str) -> Iterator[Candidate]:
    names = session.symbols()
    yield from _beginning(((name, f"{value:#x}") for name, value in names.items()), begun)
    if len(begun) >= 3:  # a part of a name, or one mistyped
        for name, value in names.items():
            if begun in name and not name.startswith(begun):
                yield Candidate(name, len(begun), f"{value:#x}")
        if not any(begun in name for name in names):
            for name in get_close_matches(begun, names, n=3):
                yield Candidate(name, len(begun), "did you mean")


def _files(begun: str) -> Iterator[Candidate]:
    import os

    folder, name = os.path.split(begun)
    try:
        entries = sorted(os.scandir(folder or "."), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith(name) and (name or not entry.name.startswith(".")):
            yield Candidate(os.path.join(folder, entry.name) + (os.sep if entry.is_dir() else ""), len(begun))
