"""The GUEST argument: names and files that a shell can complete."""

from __future__ import annotations

import os

import click
from click.shell_completion import CompletionItem

from rvhv.images import BROKEN, GUESTS


class GuestType(click.ParamType[str]):
    """A built-in guest's name or a file; which one it is, and whether it is good, `rvhv.hv.guests.find_image` says."""

    name = "guest"

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        names = [CompletionItem(name, help=what) for name, what in {**GUESTS, **BROKEN}.items() if name.startswith(incomplete)]
        return names if names and os.sep not in incomplete else [CompletionItem(incomplete, type="file")]
