"""Completion and colours of the line being typed."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from rvhv.debug.commands.completion import candidates
from rvhv.debug.commands.table import find
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session

_HEAD = re.compile(r"(\s*)([A-Za-z?][A-Za-z-]*)(/\S*)?")
_PIECE = re.compile(r"(?P<number>\b(?:0x[0-9a-fA-F_]+|[0-9][0-9_]*[KMGkmg]?)\b)|(?P<name>\$?[A-Za-z_][\w.-]*)|.", re.DOTALL)


class CommandCompleter(Completer):
    """The table's completion, for prompt-toolkit."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        for candidate in candidates(self._session, document.text_before_cursor):
            yield Completion(candidate.text, -candidate.replaces, display_meta=candidate.meta)


class CommandLexer(Lexer):
    """Commands that exist, registers, symbols and numbers in their colours."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = [self._pieces(line) for line in document.lines]
        return lambda number: lines[number] if number < len(lines) else []

    def _pieces(self, line: str) -> StyleAndTextTuples:
        head = _HEAD.match(line)
        if head is None:
            return [("", line)]
        try:
            find(head[2])
            style = "class:command"
        except DebugError as error:
            style = "class:command" if "beginning of" in str(error) else "class:unknown"
        pieces: StyleAndTextTuples = [("", head[1]), (style, head[2]), ("class:number", head[3] or "")]
        symbols = self._session.symbols()
        for match in _PIECE.finditer(line, head.end()):
            if match["number"]:
                pieces.append(("class:number", match[0]))
            elif match["name"]:
                known = "class:register" if is_register(match[0]) else "class:symbol" if match[0] in symbols else ""
                pieces.append((known, match[0]))
            else:
                pieces.append(("", match[0]))
        return pieces


def is_register(name: str) -> bool:
    """Whether an expression would read a register or CSR of this name."""
    from rvhv.core.registry import ISA
    from rvhv.isa.render.syntax import REGISTERS

    name = name.removeprefix("$").split(".")[0]
    return name == "pc" or name in REGISTERS or name in ISA.csrs
