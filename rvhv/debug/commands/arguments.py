"""What stands behind a command's name, taken apart as the command asks; each question says what is wrong in one line."""

from __future__ import annotations

import re

from rvhv.amounts import amount
from rvhv.errors import DebugError

_OPTION = re.compile(r"(?:(?<=\s)|^)([a-z]+)=(\"[^\"]*\"|[^\s=]\S*)(?=\s|$)")
_LARGEST = 1 << 62


class Arguments:
    """`text` is all of them as typed, `slash` what followed the name behind a slash; `usage` is the command's, for errors.

    `flag` and `option` take what they find out of the text; what remains belongs to `words`, `count` and the others.
    """

    def __init__(self, text: str, slash: str, usage: str) -> None:
        self.text, self.slash, self.usage = text, slash, usage

    def wrong(self, what: str) -> DebugError:
        """An error that shows how the command is used."""
        return DebugError(f"{what}\nusage: {self.usage}")

    @property
    def words(self) -> list[str]:
        return self.text.split()

    def flag(self, name: str) -> bool:
        """Whether `--name` is among them; takes it out."""
        words = re.split(r"(\s+)", self.text)
        if f"--{name}" not in words:
            return False
        words.remove(f"--{name}")
        self.text = "".join(words).strip()
        return True

    def option(self, name: str) -> str | None:
        """The VALUE of `name=VALUE`; takes it out. (`name == VALUE` is an expression's.)"""
        for match in _OPTION.finditer(self.text):
            if match[1] == name:
                self.text = (self.text[: match.start()] + self.text[match.end() :]).strip()
                return match[2].strip('"')
        return None

    def done(self) -> None:
        """Nothing may be left."""
        if self.text:
            raise self.wrong(f"what is {self.words[0][:40]!r} for?")

    def some(self, what: str) -> str:
        """All that is left, which must be something."""
        if not self.text:
            raise self.wrong(f"{what} is missing")
        return self.text

    def word(self, what: str) -> str:
        """The one word that is left."""
        words = self.some(what).split()
        if len(words) > 1:
            raise self.wrong(f"one {what} is enough: what is {words[1][:40]!r} for?")
        return words[0]

    def count(self, default: int, *, least: int = 1) -> int:
        """The number that is left: 1000, 1_000, 20K, 5M, 0x10; `default` where nothing is."""
        if not self.text:
            return default
        value = amount(self.text)
        if value is None:
            raise self.wrong(f"{self.text[:40]!r} is no number: write 1000, 20K (thousand) or 5M (million)")
        if not least <= value <= _LARGEST:
            raise self.wrong(f"{self.text[:40]} is out of range: from {least} on")
        return value
