"""`rvhv warmup`: compile everything now."""

from __future__ import annotations

import time

import click

from rvhv.cli.group import color_option, traceback_option
from rvhv.cli.progress import ensure_compiled


@click.command("warmup")
@color_option
@traceback_option
def command(no_color: bool) -> int:
    """Compile everything now, so that no later command has to."""
    start = time.monotonic()
    if ensure_compiled(no_color=no_color):
        click.echo(f"compiled in {time.monotonic() - start:.1f} s")
    else:
        click.echo("everything is compiled already")
    return 0
