"""`rvhv riscv-tests`: runs ELFs that report over HTIF, and counts."""

from __future__ import annotations

import os
import re
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rvhv.cli.group import color_option, json_option, traceback_option
from rvhv.cli.main import FAILED, INTERRUPTED
from rvhv.cli.params import STEPS
from rvhv.cli.plain import printable
from rvhv.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from rvhv.machine.image import Image

DEFAULT_TIMEOUT = 50_000_000  # steps; the longest ISA test needs under a million
SHOWN_SKIPPED = 3
_NAME = re.compile(r"(?P<family>rv\d+[a-z0-9_]+)-(?P<variant>[a-z]+)-.+")

EPILOG = """\b
Build the suite by its own instructions (https://github.com/riscv-software-src/riscv-tests), then:
  rvhv riscv-tests riscv-tests/isa
In a folder, files that are no 64-bit RISC-V executables are counted and left alone."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one ELF ended; `test` is the number of the case that failed."""

    path: Path
    passed: bool
    test: int | None
    steps: int
    reason: str

    @property
    def family(self) -> tuple[str, str]:
        """(`rv64ui`, `p`), or (`other`, ``) for a name that is not the suite's."""
        match = _NAME.fullmatch(self.path.name)
        return (match["family"], match["variant"]) if match else ("other", "")

    @property
    def failure(self) -> str:
        """What went wrong, without the file's name."""
        return f"test {self.test} failed" if self.test is not None else self.reason.removeprefix(f"{self.path.name}: ")


@click.command("riscv-tests", epilog=EPILOG)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--timeout-steps",
    metavar="STEPS",
    type=STEPS,
    default=DEFAULT_TIMEOUT,
    help="A test that has not ended by then has failed.  [default: 50M]",
)
@json_option
@color_option
@traceback_option
def command(paths: tuple[Path, ...], timeout_steps: int, as_json: bool, no_color: bool) -> int:
    """Run riscv-tests ELFs: files, or folders of them.

    Prints a table by family and each failure with its test number. The exit code is 1 when one fails.
    """
    from rvhv.cli.progress import ensure_compiled

    images, skipped = collect(paths)
    if not images:
        raise ConfigError(f"there is no RISC-V test to run in {', '.join(map(str, paths))}; {len(skipped)} other files")
    ensure_compiled(no_color=no_color)
    outcomes, interrupted = _run_all(images, timeout_steps)
    if as_json:
        _show_json(outcomes, skipped)
    else:
        _show(outcomes, skipped, no_color)
    if interrupted:
        return INTERRUPTED
    return 0 if all(outcome.passed for outcome in outcomes) else FAILED


def collect(paths: tuple[Path, ...]) -> tuple[list[tuple[Path, Image]], dict[Path, str]]:
    """The tests in name order, and the files that are none with the reason.

    Raises ImageError for a path that is not there, and for a file that was named itself and is no test.
    """
    from rvhv.machine.image import load_image

    images: list[tuple[Path, Image]] = []
    skipped: dict[Path, str] = {}
    for path in paths:
        if not path.is_dir():
            images.append((path, load_image(path)))
            continue
        for file in _files(path):
            try:
                images.append((file, load_image(file)))
            except ImageError as error:
                skipped[file] = str(error)
    return images, skipped


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    found = [Path(root) / name for root, _, names in os.walk(folder, onerror=refuse) for name in names]
    return sorted(found)


def _run_all(images: list[tuple[Path, Image]], timeout_steps: int) -> tuple[list[Outcome], bool]:
    """Every outcome, and whether Ctrl-C ended the list early."""
    from rvhv.machine.htif import run_elf

    outcomes: list[Outcome] = []
    try:
        for path, image in images:
            try:
                result = run_elf(image, timeout_steps)
            except ImageError as error:  # a RISC-V program without `tohost` is no test either
                outcomes.append(Outcome(path, False, None, 0, str(error)))
            else:
                outcomes.append(Outcome(path, result.passed, result.test, result.steps, result.reason))
    except KeyboardInterrupt:
        return outcomes, True
    return outcomes, False


def _show(outcomes: list[Outcome], skipped: dict[Path, str], no_color: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from rvhv.cli.terminal import rich_console, show

    console = rich_console(sys.stdout, no_color=no_color)
    ran = Counter(outcome.family for outcome in outcomes)
    good = Counter(outcome.family for outcome in outcomes if outcome.passed)
    variants = sorted({variant for _, variant in ran})
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("family")
    for variant in variants:
        table.add_column(variant or "passed", justify="right")
    for family in sorted({family for family, _ in ran}):
        cells = [_cell(good[family, variant], ran[family, variant]) for variant in variants]
        table.add_row(family, *cells, style="" if all(good[family, v] == ran[family, v] for v in variants) else "red")
    show(console, table)
    show(console, "")
    for outcome in outcomes:
        if not outcome.passed:
            console.print(printable(f"{outcome.path.name}: {outcome.failure}"), style="red", soft_wrap=True)
    for reason in list(skipped.values())[:SHOWN_SKIPPED]:
        console.print(f"not run: {printable(reason)}", style="dim", soft_wrap=True)
    if len(skipped) > SHOWN_SKIPPED:
        console.print(f"not run: {len(skipped) - SHOWN_SKIPPED} more files like that", style="dim")
    passed = sum(good.values())
    console.print(f"{passed} passed, {len(outcomes) - passed} failed, {len(skipped)} files not run")


def _cell(good: int, ran: int) -> str:
    return f"{good}/{ran}" if ran else ""


def _show_json(outcomes: list[Outcome], skipped: dict[Path, str]) -> None:
    import json

    tests: list[dict[str, Any]] = [
        {
            "path": str(outcome.path),
            "family": "-".join(filter(None, outcome.family)),
            "passed": outcome.passed,
            "test": outcome.test,
            "steps": outcome.steps,
            "reason": outcome.reason,
        }
        for outcome in outcomes
    ]
    not_run = {str(path): reason for path, reason in skipped.items()}
    print(json.dumps({"tests": tests, "not_run": not_run}, indent=2))
