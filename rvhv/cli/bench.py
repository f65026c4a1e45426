"""`rvhv bench`: speed and memory, beside QEMU and Spike where they are installed."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rvhv.bench import OTHERS, PARTS
from rvhv.bench.images import PROGRAMS, Mode
from rvhv.cli.group import traceback_option
from rvhv.cli.progress import LateBar, ensure_compiled
from rvhv.errors import ConfigError

if TYPE_CHECKING:
    from rich.table import Table

    from rvhv.bench.costs import Cost
    from rvhv.bench.figure import Figure, Spread
    from rvhv.bench.report import Report
    from rvhv.bench.side_by_side import Comparison

DEFAULT_ROUNDS = 3
USUAL_SCALE = 100
MODES = tuple(mode.name for mode in Mode)
ABOUT_MODES = "S: Sv39; VS: Sv39 over Sv39x4; both in pages of 4 KiB. ±: half the distance from the least sample to the greatest"
SHORT_RUN = 1.0  # seconds: a run that takes less is start-up in good part

EPILOG = f"""\b
  programs  five programs, each in M-mode, S-mode and VS-mode, on rvhv and on the others in turn
  costs     a trap, a fence, a TLB miss, a remapped page, an SBI call
  vms       many VMs at once
  commands  start-up and memory
A rate is instructions retired over the CPU time of the whole process. Close other programs for figures that mean something.
The usual length gives the interpreter two to three seconds a run; what runs faster wants --scale {4 * USUAL_SCALE} and more."""


@click.command("bench", epilog=EPILOG)
@click.argument("parts", metavar="[PART]...", nargs=-1, type=click.Choice(PARTS))
@click.option("--rounds", metavar="N", type=click.IntRange(1), default=DEFAULT_ROUNDS, show_default=True, help="Samples of each.")
@click.option(
    "--scale", metavar="PERCENT", type=click.IntRange(1), default=USUAL_SCALE, show_default=True, help="How long it all runs."
)
@click.option(
    "--suite", metavar="PATH", type=click.Path(exists=True, path_type=Path), help="Also time riscv-tests over a built suite."
)
@click.option("--program", "programs", multiple=True, type=click.Choice(PROGRAMS), help="Of the five, only this one.")
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES, case_sensitive=False), help="Only in this mode.")
@click.option(
    "--without", multiple=True, type=click.Choice(OTHERS, case_sensitive=False), help="Leave it out, though it is installed."
)
@click.option("--first-compile", is_flag=True, help="Also time compiling everything into an empty cache; takes a while.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")
@traceback_option
def command(
    parts: tuple[str, ...],
    rounds: int,
    scale: int,
    suite: Path | None,
    programs: tuple[str, ...],
    modes: tuple[str, ...],
    without: tuple[str, ...],
    first_compile: bool,
    as_json: bool,
) -> int:
    """Measure speed and memory, beside QEMU and Spike where they are installed.

    Medians of several rounds, with the least and the greatest. Without a
    PART, everything is measured; with --program or --mode, the programs are.
    """
    if parts and "programs" not in parts and (programs or modes):
        raise ConfigError("--program and --mode are of the part programs, which is not asked for")
    ensure_compiled()
    from rvhv.bench.report import measure

    with LateBar() as bar:
        report = measure(
            parts=parts or (("programs",) if programs or modes else PARTS),
            rounds=rounds,
            scale=scale,
            suite=suite,
            first_compile=first_compile,
            progress=bar.update,
            programs=programs,
            modes=modes,
            without=without,
        )
    if as_json:
        print(json.dumps(asdict(report), indent=2))
    else:
        _show(report)
    return 0


def _show(report: Report) -> None:
    from rvhv.cli.terminal import rich_console, show

    console = rich_console(sys.stdout)
    print("; ".join((report.computer, *report.versions.values())))
    if report.programs or report.costs:
        print(ABOUT_MODES)
    for table in (_programs(report.programs, list(report.versions)), _costs(report.costs, list(report.versions))):
        if table is not None:
            show(console, table)
    if short := [c for c in report.programs if min(c.seconds.values()) < SHORT_RUN]:
        print(f"{len(short)} of {len(report.programs)} have runs of under a second, start-up in good part: make --scale greater")
    if report.figures:
        show(console, _figures(report.figures))


def _table(*headings: str, left: int = 1) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for i, heading in enumerate(headings):
        table.add_column(heading, justify="left" if i < left else "right")
    return table


def _programs(comparisons: list[Comparison], names: list[str]) -> Table | None:
    """Million instructions a second, and how many times as fast rvhv is."""
    if not comparisons:
        return None
    ours, *others = names
    theirs = [heading for other in others for heading in (f"{other} M/s", f"{ours}/{other}")]
    table = _table("program", "mode", "M instr.", f"{ours} M/s", *theirs, left=2)
    for c in comparisons:
        cells = [_cell(c.rates[ours])]
        for other in others:
            cells += [_cell(c.rates[other]), _cell(c.ratios[other])] if other in c.rates else ["-", "-"]
        table.add_row(c.program, c.mode, f"{c.instructions / 1e6:,.0f}", *cells)
    return table


def _costs(costs: list[Cost], names: list[str]) -> Table | None:
    if not costs:
        return None
    table = _table("what one costs", "mode", *(f"{name} ns" for name in names), left=2)
    for cost in costs:
        table.add_row(cost.name, cost.mode, *(_difference(cost.ns[name]) if name in cost.ns else "-" for name in names))
    return table


def _figures(figures: list[Figure]) -> Table:
    table = _table("what", "median", "least", "greatest", "unit", "target")
    for f in figures:
        name = f"{f.name} ({f.note})" if f.note else f.name
        value = f.value
        table.add_row(name, *(_number(n) for n in (value.median, value.least, value.greatest)), f.unit, f.target or "")
    return table


def _cell(value: Spread) -> str:
    """The median; with several samples half the distance from the least to the greatest too."""
    if value.least == value.greatest:
        return _number(value.median)
    return f"{_number(value.median)} ±{_number((value.greatest - value.least) / 2)}"


def _difference(value: Spread) -> str:
    """Of two measurements: it may be less than they scatter."""
    if value.least <= 0:
        return f"below noise (< {_number(max(-value.least, value.greatest))})"
    return _cell(value)


def _number(value: float) -> str:
    """Three digits, or all of a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"
