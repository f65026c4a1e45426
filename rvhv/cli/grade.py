"""`rvhv grade`: the teacher's side of a lab."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rvhv.cli.group import color_option, traceback_option
from rvhv.cli.main import INTERRUPTED
from rvhv.cli.plain import printable
from rvhv.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rvhv.grade.course import Document, Job
    from rvhv.grade.lab import Lab

MOST_JOBS = 256
FORMATS = ("table", "json", "csv", "junit", "gradescope", "classroom")
_SHARD = re.compile(r"([0-9]{1,4})/([0-9]{1,4})")

EPILOG = """\b
  rvhv grade 2 submissions/ --seed this-years --format csv --output grades.csv
A submission is a folder or a zip file with the lab's files; a folder without them is a folder of submissions.
What was graded is kept by content: the same command goes on after it was interrupted. See docs/teaching.md."""


@click.command("grade", epilog=EPILOG)
@click.argument("lab_name", metavar="LAB")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--jobs", metavar="N", type=int, help="Submissions graded at a time.  [default: as many as there are CPUs]")
@click.option("--shard", metavar="I/N", help="Only every N-th submission, from number I on: for several computers.")
@click.option("--seed", metavar="S", help='What addresses, sizes and values are drawn from.  [default: "rvhv"]')
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", help="[default: table]")
@click.option("--output", metavar="FILE", type=Path, help="Write there instead of to the terminal.")
@click.option("--results", metavar="DIR", type=Path, help="Where graded submissions are kept.  [default: rvhv's cache]")
@color_option
@traceback_option
def command(
    lab_name: str,
    paths: tuple[Path, ...],
    jobs: int | None,
    shard: str | None,
    seed: str | None,
    form: str,
    output: Path | None,
    results: Path | None,
    no_color: bool,
) -> int:
    """Grade submissions of a lab, in parallel. The same submissions get the same grades on every computer.

    The exit code is 0 when all were graded, whatever their points.
    """
    from rvhv.cli.progress import ensure_compiled
    from rvhv.grade import course
    from rvhv.grade.formats import FORMATS as WRITERS
    from rvhv.grade.lab import DEFAULT_SEED, find_lab

    lab = find_lab(lab_name)
    if jobs is not None and not 1 <= jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs: 1 to {MOST_JOBS} submissions are graded at a time, not {jobs}")
    handed = course.collect(paths, lab)
    if shard is not None:
        handed = course.shard(handed, *_shard(shard))
    ensure_compiled(no_color=no_color)
    folder = course.results_folder() if results is None else results
    todo = [course.Job(each, lab.name, DEFAULT_SEED if seed is None else seed, folder) for each in handed]
    documents, interrupted = _grade_all(todo, jobs, no_color)
    if form == "table":
        _show_table(lab, documents, output, no_color)
    else:
        text = WRITERS[form](lab, documents)
        if output is None:
            sys.stdout.write(text)
        else:
            output.write_text(text, "utf-8")
    return INTERRUPTED if interrupted else 0


def _shard(text: str) -> tuple[int, int]:
    match = _SHARD.fullmatch(text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ConfigError(f"--shard {text!r}: write 1/4 for the first of four parts")
    return int(match[1]), int(match[2])


def _grade_all(todo: list[Job], jobs: int | None, no_color: bool) -> tuple[list[Document], bool]:
    """The documents in the order of the jobs, and whether Ctrl-C ended it early."""
    import os

    from rvhv.cli.progress import LateBar
    from rvhv.cli.workers import Crew
    from rvhv.grade import course

    documents: dict[int, Any] = {}
    interrupted = False
    try:
        with Crew(course.grade, todo, jobs or os.cpu_count() or 1, course.failed) as crew, LateBar(no_color) as bar:
            for place, document in crew:
                documents[place] = document
                bar.update(f"{len(documents)} of {len(todo)} submissions", len(documents) / len(todo))
    except KeyboardInterrupt:
        interrupted = True
        print(f"rvhv: interrupted: {len(documents)} of {len(todo)} are graded; the same command goes on", file=sys.stderr)
    return [documents[place] for place in sorted(documents)], interrupted


def _show_table(lab: Lab, documents: Sequence[Document], output: Path | None, no_color: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rvhv.cli.terminal import rich_console, show

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("submission")
    table.add_column("points", justify="right")
    table.add_column("lost")
    for document in documents:
        lost = [check["check"] for check in document["checks"] if check["points"] < check["of"]]
        full = document["points"] == document["of"]
        why = document["refused"] or ", ".join(lost)
        points = f"{document['points']}/{document['of']}"
        table.add_row(printable(document["submission"]), points, printable(why), style="green" if full else "")
    with open(output, "w", encoding="utf-8") if output is not None else _Standard() as file:
        console = rich_console(file, no_color=no_color)
        show(console, table)
        total = sum(document["points"] for document in documents)
        mean = f"{total / len(documents):.1f}" if documents else "0"
        console.print(f"\nlab {lab.number}, {lab.title}: {len(documents)} submissions, {mean} of {lab.points} points on average")


class _Standard:
    """sys.stdout as a context that leaves it open."""

    def __enter__(self) -> Any:
        return sys.stdout

    def __exit__(self, *_: object) -> None:
        pass
