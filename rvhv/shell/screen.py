"""Where answers and the guests' consoles are written: a terminal's scrollback, or a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TextIO

from rvhv.cli.consoles import Consoles
from rvhv.cli.plain import printable
from rvhv.cli.terminal import terminal_columns
from rvhv.debug.look.table import as_wide_as
from rvhv.debug.target import Context
from rvhv.debug.view import View
from rvhv.shell.paint import painted

Pager = Callable[[list[str]], None]


class Screen:
    """Writes to `out`; `pager` gets the lines of an answer instead, where there is one, and `errors` those of an error.

    What a guest prints comes line by line under its name. Raises OSError where the reader has gone.
    """

    def __init__(
        self, out: TextIO, contexts: Sequence[Context], *, color: bool, pager: Pager | None = None, errors: TextIO | None = None
    ) -> None:
        self.out, self.color, self.pager, self._errors = out, color, pager, errors or out
        self._contexts = contexts
        self._consoles = self._new_consoles(None)

    def _new_consoles(self, front: Context | None) -> Consoles:
        names = [context.name for context in self._contexts]
        return Consoles(self.out, names, color=self.color, front=front.name if front is not None else None)

    def feed(self, context: Context, data: bytes) -> None:
        """Console output of a guest, in pieces of any size."""
        self._consoles.feed(context, data)

    @property
    def lost(self) -> bool:
        """Whether the reader has gone."""
        return self._consoles.error is not None

    def end_lines(self) -> None:
        """Write the lines that guests have not ended."""
        self._consoles.finish()

    def bring_forward(self, front: Context | None) -> None:
        """This one's output is shown as it comes from now on."""
        self.end_lines()
        self._consoles = self._new_consoles(front)

    def laid_out(self) -> AbstractContextManager[None]:
        """Lines that are made meanwhile are as wide as the terminal."""
        return as_wide_as(terminal_columns(self.out))

    def show(self, view: View) -> None:
        """An answer."""
        self.check()
        with self.laid_out():
            lines = painted(view.lines(), self.color)
        if self.pager is not None:
            self.pager(lines)
        else:
            self.write(lines)

    def notes(self, notes: Sequence[str]) -> None:
        """What else there is to say."""
        self.write(painted([[("dim", f"({note})")] for note in notes], self.color))

    def error(self, text: str) -> None:
        """What is wrong, in a line or two."""
        first, *rest = text.splitlines() or ["failed"]
        red, end = ("\x1b[1;31m", "\x1b[0m") if self.color else ("", "")
        lines = [f"{red}error:{end} {printable(first)}", *(f"  {printable(line)}" for line in rest)]
        self._errors.write("".join(f"{line}\n" for line in lines))
        self._errors.flush()

    def write(self, lines: Sequence[str]) -> None:
        if lines:
            self.out.write("".join(f"{line}\n" for line in lines))
        self.out.flush()

    def check(self) -> None:
        """Raise what writing a guest's output ran into."""
        if self._consoles.error is not None:
            raise self._consoles.error
