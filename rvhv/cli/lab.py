"""`rvhv lab`: the student's side of a lab."""

from __future__ import annotations

import json
import shlex
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rvhv.cli.group import color_option, json_option, traceback_option
from rvhv.cli.main import FAILED
from rvhv.cli.plain import printable

if TYPE_CHECKING:
    from rich.console import Console

    from rvhv.grade.judge import Result

NARROWEST = 30  # columns of a text beside its head
Lines = list[tuple[str, str]]  # what is said of a check that failed: what it is, and its text

EPILOG = """\b
  rvhv lab list                what there is
  rvhv lab start 2             a folder with a handout and a starter
  rvhv lab check               in that folder: how far you are, and what is wrong
  rvhv lab hint                when you are stuck"""


@click.group("lab", epilog=EPILOG)
@traceback_option
def command() -> None:
    """Labs: write a part of the hypervisor, and watch it run."""


@command.command("list")
@json_option
@color_option
@traceback_option
def list_labs(as_json: bool, no_color: bool) -> int:
    """Show the labs."""
    from rvhv.grade.lab import labs

    if as_json:
        rows = [{"lab": x.number, "name": x.name, "title": x.title, "summary": x.summary, "points": x.points} for x in labs()]
        print(json.dumps(rows))
        return 0
    console = _console(no_color)
    for lab in labs():
        _say(console, f"{lab.number}  {lab.title:<22}  {lab.points:>3} points   ", lab.summary)
    console.print("Begin with: rvhv lab start N", style="dim")
    return 0


@command.command("start")
@click.argument("lab_name", metavar="N")
@click.argument("folder", metavar="[DIR]", required=False, type=click.Path(path_type=Path))
@click.option("--c", "in_c", is_flag=True, help="Solve it in C, as a part of the monitor; for labs that can be.")
@traceback_option
def start_lab(lab_name: str, folder: Path | None, in_c: bool) -> int:
    """Put the handout and the starter of lab N into a folder (DIR, or labN). What is there already stays as it is."""
    from rvhv.grade.lab import find_lab
    from rvhv.grade.student import start

    lab = find_lab(lab_name)
    folder = Path(f"lab{lab.number}") if folder is None else folder
    _, written, kept = start(lab, folder, in_c=in_c)
    print(f"lab {lab.number}, {lab.title}: {printable(str(folder))}")
    for name in written:
        print(f"  wrote  {name}")
    for name in kept:
        print(f"  kept   {name} (yours)")
    where = printable(str(folder))
    files = lab.c.file if in_c and lab.c else ", ".join(lab.files)
    print(f"Read {where}/handout.md, write {files}, and run: rvhv lab check {where}")
    return 0


@command.command("check")
@click.argument("folder", metavar="[DIR]", default=Path("."), type=click.Path(path_type=Path))
@click.option("--seed", metavar="S", help='What addresses, sizes and values are drawn from.  [default: "rvhv"]')
@json_option
@color_option
@traceback_option
def check_lab(folder: Path, seed: str | None, as_json: bool, no_color: bool) -> int:
    """Check your solution: the points, and for each check that failed what was expected and what happened.

    The exit code is 1 when points are missing.
    """
    from rvhv.cli.progress import LateBar, ensure_compiled
    from rvhv.grade.judge import Grade, Judge
    from rvhv.grade.lab import DEFAULT_SEED
    from rvhv.grade.student import open_folder

    opened = open_folder(folder)
    files = opened.files()
    seed = DEFAULT_SEED if seed is None else seed
    ensure_compiled(no_color=no_color)
    grade = Grade(opened.lab, seed)
    console = _console(no_color)
    if not as_json:
        console.print(f"lab {opened.lab.number}, {opened.lab.title} (seed {printable(seed)})")
    with LateBar(no_color) as bar:
        for result in Judge(opened.lab, seed).results(files):
            grade.results.append(result)
            bar.update(f"{len(grade.results)} of {len(opened.lab.checks)} checks", len(grade.results) / len(opened.lab.checks))
    if as_json:
        print(json.dumps(grade.document()))
    else:
        said: Lines = []
        width = max(len(check.name) for check in opened.lab.checks)
        for result in grade.results:
            said = _show(console, result, folder, seed, said, width)
        style = "green" if grade.points == opened.lab.points else "yellow"
        console.print(f"{grade.points} of {opened.lab.points} points", style=style)
        if grade.points < opened.lab.points:
            left = len(opened.lab.hints) - opened.hints
            hint = "rvhv lab hint" if folder == Path(".") else f"rvhv lab hint {printable(shlex.quote(str(folder)))}"
            stuck = f"Stuck? {hint} opens the next hint; there {'are' if left > 1 else 'is'} {left}."
            _say(console, "", stuck if left else "All hints are open.", style="dim")
    return 0 if grade.points == opened.lab.points else FAILED


def _show(console: Console, result: Result, folder: Path, seed: str, said: Lines, width: int) -> Lines:
    """A check's lines, its name in `width` columns; what the one before `said` is not said again. Returns what is said now."""
    check = result.check
    mark, style = ("ok  ", "green") if result.passed else ("lost", "red")
    points = check.points if result.passed else 0
    _say(console, f"  {mark} {points}/{check.points}  {check.name:<{width}}  ", check.title, style=style)
    if result.passed:
        return said
    now = [("expected", result.expected)] if result.expected != check.title else []
    now += [("happened", result.happened), *(("where", place) for place in result.places)]
    lines = [("happened", "the same")] if now == said else now.copy()
    if result.show:
        lines.append(("look", debug_line(folder, check.name, seed, result.show)))
    for key, text in lines:
        _say(console, f"           {key:>8}: ", printable(text), whole=key == "look")  # a command is there to be copied
    if result.output:
        for line in result.output.splitlines()[:10]:
            console.print(f"           | {printable(line)}", style="dim", soft_wrap=True)
    return now


def _say(console: Console, head: str, text: str, *, style: str = "", whole: bool = False) -> None:
    """`text` behind `head`, and on a terminal below it where it is too long for one line, unless it must stay `whole`."""
    lines = [text]
    if console.is_terminal and not whole:
        room = max(console.width - len(head), NARROWEST)
        lines = textwrap.wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]
    for i, line in enumerate(lines):
        console.print((" " * len(head) if i else head) + line, style=style, soft_wrap=True)


def debug_line(folder: Path, check: str, seed: str, show: str) -> str:
    """The command that shows it."""
    from rvhv.grade.lab import DEFAULT_SEED

    seeded = "" if seed == DEFAULT_SEED else f" --lab-seed {shlex.quote(seed)}"
    return f"rvhv debug --lab {printable(shlex.quote(str(folder)))} --check {check}{seeded} -e {shlex.quote(show)}"


@command.command("hint")
@click.argument("folder", metavar="[DIR]", default=Path("."), type=click.Path(path_type=Path))
@click.option("--again", is_flag=True, help="Show those that are open, and open no other.")
@traceback_option
def hint(folder: Path, again: bool) -> int:
    """Open the next hint."""
    from rvhv.grade.student import open_folder

    opened = open_folder(folder)
    hints = opened.lab.hints
    if again:
        shown = hints[: opened.hints]
    else:
        one = opened.open_hint()
        if one is None:
            print(f"All {len(hints)} hints of lab {opened.lab.number} are open; --again shows them.")
            return 0
        shown = [one]
    for text in shown:
        print(f"hint {hints.index(text) + 1} of {len(hints)}: {text}\n")
    return 0


def _console(no_color: bool) -> Any:
    from rvhv.cli.terminal import rich_console

    return rich_console(sys.stdout, no_color=no_color)
