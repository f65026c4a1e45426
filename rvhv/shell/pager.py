"""Long answers a page at a time, on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from prompt_toolkit.input import Input
    from prompt_toolkit.output import Output


KEYS = {
    "page": (" ", "pagedown", "f"),
    "line": ("enter", "down", "j"),
    "all": ("G", "end"),
    "quit": ("q", "Q", "c-c", "c-d"),
}


class Pager:
    """Writes what fits, and asks before it writes more."""

    def __init__(self, out: TextIO, keys: Input | None = None, screen: Output | None = None) -> None:
        self._out, self._keys, self._screen = out, keys, screen

    def __call__(self, lines: list[str]) -> None:
        height = self._height()
        room = height if len(lines) > height else len(lines)  # at first a page; the line that asks takes one of it
        at = 0
        while at < len(lines):
            self._out.write("".join(f"{line}\n" for line in lines[at : at + room]))
            self._out.flush()
            at += room
            if at < len(lines):
                answer = self._ask(at, len(lines))
                if answer == "quit":
                    return
                room = {"page": height, "line": 1, "all": len(lines)}[answer]

    def _height(self) -> int:
        from prompt_toolkit.output.defaults import create_output

        return max(2, (self._screen or create_output(self._out)).get_size().rows - 2)

    def _ask(self, at: int, of: int) -> str:
        """What to do next; the line that asks vanishes."""
        from prompt_toolkit.application import Application
        from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
        from prompt_toolkit.layout import FormattedTextControl, Layout, Window

        bindings = KeyBindings()
        for answer, names in KEYS.items():
            for name in names:

                @bindings.add(name)
                def _(event: KeyPressEvent, answer: str = answer) -> None:
                    event.app.exit(result=answer)

        text = f"-- {at} of {of} lines: space for more, Enter for a line, G for all, q to quit --"
        line = Window(FormattedTextControl([("reverse", text)]), height=1, dont_extend_height=True)
        app: Application[str] = Application(
            Layout(line), key_bindings=bindings, erase_when_done=True, input=self._keys, output=self._screen
        )
        return app.run(handle_sigint=False)
