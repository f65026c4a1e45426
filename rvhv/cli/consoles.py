"""The consoles of all VMs on one terminal: merged line by line, each line under its VM's name."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import Protocol, TextIO

from rvhv.cli.plain import printable
from rvhv.cli.terminal import can_show

LONGEST_LINE = 1024  # characters; a guest that never ends its line gets it ended
LONGEST_NAME = 16
LONGEST_TRANSCRIPT = 16 << 20  # bytes of one console that `--json` keeps
_COLOURS = ("\x1b[36m", "\x1b[33m", "\x1b[35m", "\x1b[32m", "\x1b[34m", "\x1b[31m")
_DIM, _PLAIN = "\x1b[2m", "\x1b[0m"


class Named(Protocol):
    """What a console needs to know of a VM."""

    @property
    def name(self) -> str: ...


class Consoles:
    """Writes whole lines as `name │ text`; `finish` writes what is left of unfinished ones.

    A guest's text is data: control characters are shown, not obeyed, and bytes that are no UTF-8 become U+FFFD.
    The VM called `front`, which has the keyboard, is shown as it comes, without a name, and its terminal sequences act.
    When the output fails (its reader went away), `error` says so and nothing more is written: an exception here would
    fly through the hypervisor.
    """

    def __init__(self, out: TextIO | None, names: Sequence[str], *, color: bool, front: str | None = None) -> None:
        self.error: OSError | None = None
        self._out = out
        self._front = front
        self._front_text = codecs.getincrementaldecoder("utf-8")("replace")
        self._at_line_start = True
        width = min(max(map(len, names), default=0), LONGEST_NAME)
        bar = "│" if can_show(out, "│") else "|"
        self._lines: dict[str, _Lines] = {}
        self._prefix: dict[str, str] = {}
        for i, name in enumerate(names):
            label = printable(name)[:LONGEST_NAME].ljust(width)
            if color:
                label = f"{_COLOURS[i % len(_COLOURS)]}{label} {_DIM}{bar}{_PLAIN} "
            else:
                label = f"{label} {bar} "
            self._lines[name], self._prefix[name] = _Lines(), label

    def feed(self, vm: Named, data: bytes) -> None:
        """Takes console output of `vm`, in pieces of any size."""
        if vm.name == self._front:
            self._show_front(data)
            return
        self._write(vm.name, self._lines[vm.name].feed(data))

    def finish(self) -> None:
        """Writes the unfinished lines. Call it once, when no VM runs any more."""
        for name, lines in self._lines.items():
            self._write(name, lines.finish())

    def _show_front(self, data: bytes) -> None:
        text = self._front_text.decode(data)
        if text:
            self._put(text)
            self._at_line_start = text.endswith(("\n", "\r"))

    def _write(self, name: str, lines: list[str]) -> None:
        if not lines:
            return
        prefix = self._prefix[name]
        start = "" if self._at_line_start else "\n"
        self._at_line_start = True
        self._put(start + "".join(f"{prefix}{printable(line)}\n" for line in lines))

    def _put(self, text: str) -> None:
        if self._out is None:
            return
        try:
            self._out.write(text)
            self._out.flush()
        except OSError as error:
            self.error, self._out = error, None


class _Lines:
    """Bytes in pieces to lines of text; a carriage return at either end of a line belongs to its line end."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._open = ""

    def feed(self, data: bytes, *, final: bool = False) -> list[str]:
        text = self._decoder.decode(data, final)
        if "\n" not in text and len(self._open) + len(text) < LONGEST_LINE:
            self._open += text
            return []
        *whole, self._open = (self._open + text).split("\n")
        lines = [piece for line in whole for piece in _broken(line.strip("\r"))]
        if len(self._open) >= LONGEST_LINE:
            *more, self._open = _broken(self._open)
            lines += more
        return lines

    def finish(self) -> list[str]:
        lines = self.feed(b"", final=True)
        rest, self._open = self._open.strip("\r"), ""
        return [*lines, rest] if rest else lines


def _broken(line: str) -> list[str]:
    return [line[i : i + LONGEST_LINE] for i in range(0, len(line), LONGEST_LINE)] or [""]


class Transcripts:
    """Keeps the consoles for `--json` instead of showing them."""

    error: OSError | None = None

    def __init__(self, names: Sequence[str]) -> None:
        self._bytes = {name: bytearray() for name in names}

    def feed(self, vm: Named, data: bytes) -> None:
        kept = self._bytes[vm.name]
        kept += data[: LONGEST_TRANSCRIPT - len(kept)]

    def finish(self) -> None:
        pass

    def text(self, name: str) -> str:
        return self._bytes[name].decode("utf-8", "replace")
