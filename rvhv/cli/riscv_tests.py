"""`rvhv riscv-tests`: runs ELFs that report over HTIF, and counts."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import click

from rvhv.cli.group import color_option, json_option, tier_option, traceback_option
from rvhv.cli.main import FAILED, INTERRUPTED
from rvhv.cli.params import STEPS
from rvhv.cli.riscv_report import Outcome, Report
from rvhv.errors import ConfigError, ImageError

DEFAULT_TIMEOUT = 50_000_000  # steps; the longest ISA test needs under a million
MOST_JOBS = 256

EPILOG = """\b
Build the suite by its own instructions (https://github.com/riscv-software-src/riscv-tests), then:
  rvhv riscv-tests riscv-tests/isa
  rvhv riscv-tests riscv-tests/isa --filter 'rv64u[im]-v-*'
  rvhv riscv-tests riscv-tests/isa --filter 'hypervisor*'
The suite leaves out the hypervisor family where GCC is older than 14: docs/riscv-tests.md builds it.
In a folder, files that are no 64-bit RISC-V executables are counted and left alone."""


@click.command("riscv-tests", epilog=EPILOG)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--filter", "globs", metavar="GLOB", multiple=True, help="Only files whose name is like that; may be repeated.")
@click.option(
    "--timeout-steps",
    metavar="STEPS",
    type=STEPS,
    default=DEFAULT_TIMEOUT,
    help="A test that has not ended by then has failed.  [default: 50M]",
)
@click.option("--jobs", metavar="N", type=int, help="Processes that run tests.  [default: as many as there are CPUs]")
@click.option("--show-output", is_flag=True, help="Show all that the tests print, of those that pass too.")
@click.option("--junit", metavar="FILE", type=Path, help="Also write the results as JUnit's XML.")
@tier_option
@json_option
@color_option
@traceback_option
def command(
    paths: tuple[Path, ...],
    globs: tuple[str, ...],
    timeout_steps: int,
    jobs: int | None,
    show_output: bool,
    junit: Path | None,
    tier: str | None,
    as_json: bool,
    no_color: bool,
) -> int:
    """Run riscv-tests ELFs: files, or folders of them.

    Prints a table by family and each failure with its test number. The exit code is 1 when one fails.
    """
    from rvhv.cli.progress import ensure_compiled
    from rvhv.jit.engine import chosen_tier

    if jobs is not None and not 1 <= jobs <= MOST_JOBS:
        raise ConfigError(f"--jobs: tests run on 1 to {MOST_JOBS} processes, not {jobs}")
    tier = chosen_tier(tier)
    tests, not_run = collect(paths, globs)
    if not tests:
        like = f" named like {' or '.join(globs)}" if globs else ""
        others = f"; {len(not_run)} other files" if not_run else ""
        raise ConfigError(f"there is no RISC-V test{like} to run in {', '.join(map(str, paths))}{others}")
    with ExitStack() as stack:
        junit_file = stack.enter_context(junit.open("wb")) if junit is not None else None
        ensure_compiled(no_color=no_color)
        began = time.perf_counter()
        outcomes, interrupted = _run_all(tests, timeout_steps, tier, jobs, no_color)
        report = Report(outcomes, not_run, len(tests), time.perf_counter() - began)
        if junit_file is not None:
            report.write_junit(junit_file)
    if as_json:
        report.show_json()
    else:
        report.show(no_color=no_color, with_output=show_output)
    if interrupted:
        return INTERRUPTED
    return FAILED if report.failed else 0


def collect(paths: tuple[Path, ...], globs: tuple[str, ...] = ()) -> tuple[list[Path], dict[Path, str]]:
    """The tests in name order, and the files that are none with the reason.

    Raises ImageError for a path that is not there, and for a file that was named itself and is no test.
    """
    from rvhv.machine.image import load_image

    tests: dict[Path, None] = {}  # a file that is named twice is run once
    not_run: dict[Path, str] = {}
    for path in paths:
        folder = path.is_dir()
        for file in _files(path) if folder else [path]:
            if folder and globs and not _like(file, globs):
                continue
            try:
                load_image(file)
            except ImageError as error:
                if not folder:
                    raise
                not_run[file] = str(error).removeprefix(f"{file}: ")
            else:
                if _like(file, globs):
                    tests[file] = None
    return list(tests), not_run


def _like(file: Path, globs: tuple[str, ...]) -> bool:
    return not globs or any(fnmatchcase(file.name, glob) for glob in globs)


def _files(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise error

    found = [Path(root) / name for root, _, names in os.walk(folder, onerror=refuse) for name in names]
    return sorted(found)


def run_file(path: Path, timeout_steps: int, tier: str) -> Outcome:
    from rvhv.boot.riscv_test import Result, run_test
    from rvhv.machine.image import load_image

    began = time.perf_counter()
    try:
        result = run_test(load_image(path, path.name), timeout_steps, tier)
    except ImageError as error:  # it was a test a moment ago
        result = Result(False, str(error))
    return Outcome(path, result, time.perf_counter() - began)


def _crashed(path: Path, reason: str) -> Outcome:
    from rvhv.boot.riscv_test import Result

    return Outcome(path, Result(False, reason), 0.0)


def _run_all(
    tests: list[Path], timeout_steps: int, tier: str, jobs: int | None, no_color: bool
) -> tuple[list[Outcome], bool]:
    """Every outcome in the order of the tests, and whether Ctrl-C ended it early."""
    from rvhv.boot import riscv_test  # noqa: F401  (before processes are forked)
    from rvhv.cli.progress import LateBar
    from rvhv.cli.workers import Crew, default_workers

    outcomes: dict[int, Outcome] = {}
    interrupted = False
    work = partial(run_file, timeout_steps=timeout_steps, tier=tier)
    try:
        with Crew(work, tests, jobs or default_workers(len(tests)), _crashed) as crew, LateBar(no_color) as bar:
            for place, outcome in crew:
                outcomes[place] = outcome
                bar.update(f"{len(outcomes)} of {len(tests)} tests", len(outcomes) / len(tests))
    except KeyboardInterrupt:
        interrupted = True
    return [outcomes[place] for place in sorted(outcomes)], interrupted
