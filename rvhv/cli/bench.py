"""`rvhv bench`: speed and memory, beside QEMU where it is installed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

import click

from rvhv.cli.group import traceback_option
from rvhv.cli.progress import LateBar, ensure_compiled


@click.command("bench")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
@traceback_option
def command(as_json: bool) -> int:
    """Measure speed and memory, beside QEMU where it is installed.

    Medians of several rounds, with the least and the greatest. Close other programs for figures that mean something.
    """
    ensure_compiled()
    from rvhv.bench.figures import all_figures

    with LateBar() as bar:
        figures = all_figures(bar.update)
    if as_json:
        print(json.dumps([asdict(f) for f in figures], indent=2))
        return 0
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rvhv.cli.terminal import rich_console, show

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("what")
    for heading in ("median", "least", "greatest"):
        table.add_column(heading, justify="right")
    table.add_column("unit")
    table.add_column("target")
    for f in figures:
        name = f"{f.name} ({f.note})" if f.note else f.name
        table.add_row(name, *(_number(n) for n in (f.median, f.least, f.greatest)), f.unit, f.target or "")
    show(rich_console(sys.stdout), table)
    return 0


def _number(value: float) -> str:
    """Three digits, or all of a whole number."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"
