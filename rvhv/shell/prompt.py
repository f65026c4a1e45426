"""The line that is typed: history, completion, colours and keys, by prompt-toolkit."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from rvhv.shell.completer import CommandCompleter, CommandLexer
from rvhv.shell.loop import PROMPT
from rvhv.shell.status import status

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output

    from rvhv.debug.session import Session

STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "command": "ansigreen",
        "unknown": "ansired",
        "number": "ansicyan",
        "register": "ansiblue",
        "symbol": "ansiyellow",
        "bottom-toolbar": "noreverse ansidefault bg:default",
        "bottom-toolbar.text": "",
        "who": "reverse bold",
        "note": "ansiyellow",
        "past": "bold ansimagenta",
    }
)
PLAIN = Style.from_dict({"bottom-toolbar": "noreverse ansidefault bg:default", "who": "reverse", "past": "bold"})


def history_file() -> Path:
    """Where the lines typed are kept, in the user's folder for such things."""
    from platformdirs import user_state_path

    return user_state_path("rvhv", appauthor=False) / "debug_history"


def history(path: Path | None = None) -> History:
    """The lines of earlier sessions; only of this one where the file cannot be written."""
    path = history_file() if path is None else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):
            pass
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def new_prompt(
    session: Session, *, color: bool, past: History | None = None, keys: Input | None = None, screen: Output | None = None
) -> PromptSession[str]:
    """Asks for a line. Ctrl-C clears it; Ctrl-D on an empty one raises EOFError."""
    bindings = KeyBindings()

    @bindings.add("c-c")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.reset()

    return PromptSession(
        [("class:prompt", PROMPT)],
        history=history() if past is None else past,
        completer=CommandCompleter(session),
        complete_while_typing=False,
        lexer=CommandLexer(session) if color else None,
        auto_suggest=AutoSuggestFromHistory() if color else None,
        bottom_toolbar=lambda: FormattedText(status(session)),
        key_bindings=bindings,
        style=STYLE if color else PLAIN,
        enable_history_search=True,
        reserve_space_for_menu=6,
        input=keys,
        output=screen,
    )
