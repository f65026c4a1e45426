"""Which guest an argument means: a built-in one by its name, else a file."""

from __future__ import annotations

import os
from importlib.resources import files
from pathlib import Path, PurePath

import click
from click.shell_completion import CompletionItem

from rvhv.cli.params import suggestion
from rvhv.errors import ImageError


def builtin_names() -> list[str]:
    """The guests that ship with rvhv, by name."""
    folder = files("rvhv") / "images"
    if not folder.is_dir():
        return []
    return sorted(item.name.removesuffix(".elf") for item in folder.iterdir() if item.name.endswith(".elf"))


def find_guest(text: str) -> str | Path:
    """The built-in name, or the path of a file that is there. Raises ImageError with the nearest name otherwise."""
    if text in builtin_names():
        return text
    path = Path(text)
    if path.is_dir():
        raise ImageError(f"{text}: is a directory, not a guest image: give the ELF or Image file of a guest")
    if path.exists():
        return path
    if PurePath(text).name != text or PurePath(text).suffix:
        raise ImageError(f"{text}: there is no such file")
    raise ImageError(f"no guest is called {text!r}, and there is no such file; {suggestion(text, builtin_names())}")


class Guest(click.ParamType[str]):
    """A guest argument; the shell completes built-in names and files."""

    name = "guest"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name) for name in builtin_names() if name.startswith(incomplete)]
        return names if names and os.sep not in incomplete else [CompletionItem(incomplete, type="file")]
