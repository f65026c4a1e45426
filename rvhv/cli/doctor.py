"""`rvhv doctor`: is everything here that rvhv needs, and what could be better."""

from __future__ import annotations

import os
import platform
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import click

from rvhv.cli.group import color_option, json_option, traceback_option
from rvhv.cli.main import FAILED

OLDEST_PYTHON, FIRST_PYTHON_TOO_NEW = (3, 11), (3, 15)
COMPILERS = ("riscv64-unknown-elf-gcc", "riscv64-linux-gnu-gcc", "clang")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table; a needed check that is not `ok` makes the command fail."""

    what: str
    ok: bool
    found: str
    hint: str = ""
    needed: bool = True

    @property
    def mark(self) -> str:
        return "✓" if self.ok else "✗" if self.needed else "-"


@click.command("doctor")
@json_option
@color_option
@traceback_option
def command(as_json: bool, no_color: bool) -> int:
    """Check whether everything that rvhv needs is here."""
    checks = list(all_checks())
    if as_json:
        import json
        from dataclasses import asdict

        print(json.dumps([asdict(check) for check in checks], indent=2))
    else:
        _show(checks, no_color)
    return 0 if all(check.ok or not check.needed for check in checks) else FAILED


def all_checks() -> Iterator[Check]:
    """Every check, the needed ones first."""
    yield _python()
    yield _computer()
    for package in ("numba", "llvmlite", "numpy"):
        yield _package(package)
    yield _guests()
    yield _cache()
    yield _compiled()
    yield _terminal()
    yield _qemu()
    yield _compiler()


def _python() -> Check:
    ok = OLDEST_PYTHON <= sys.version_info[:2] < FIRST_PYTHON_TOO_NEW
    found = f"{platform.python_implementation()} {platform.python_version()}"
    return Check("Python", ok and sys.implementation.name == "cpython", found, "rvhv needs CPython 3.11 to 3.14")


def _computer() -> Check:
    ok = struct.calcsize("P") == 8 and sys.byteorder == "little"
    try:
        from llvmlite import binding

        cpu = binding.get_host_cpu_name()  # type: ignore[no-untyped-call, unused-ignore]
    except Exception:
        cpu = "unknown CPU"
    found = f"{platform.system()} {platform.machine()}, {cpu}, {os.cpu_count()} CPUs"
    return Check("computer", ok, found, "rvhv needs a 64-bit little-endian computer and Python")


def _package(name: str) -> Check:
    try:
        version = str(import_module(name).__version__)
    except Exception as error:  # a broken binary package can raise anything
        return Check(name, False, f"{type(error).__name__}: {error}", "install rvhv again: make clean, then make setup")
    return Check(name, True, version)


def _guests() -> Check:
    from rvhv.images import GUESTS, image_path

    there = [name for name in GUESTS if image_path(name).is_file()]
    hint = "the package is not complete: install rvhv again"
    return Check("guests", len(there) == len(GUESTS), ", ".join(there) or "none", hint)


def _cache() -> Check:
    from rvhv import build

    folder = Path(build.cache_folder())
    hint = f"make {folder} writable, or every run compiles again"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    except OSError as error:
        return Check("cache", False, f"{folder}: {error.strerror}", hint, needed=False)
    return Check("cache", True, f"{folder}, {size / (1 << 20):.1f} MiB", needed=False)


def _compiled() -> Check:
    from rvhv import build

    if build.is_cached():
        return Check("compiled", True, "everything", needed=False)
    return Check("compiled", False, "not yet", "`rvhv warmup` does it now; else the next run does", needed=False)


def _terminal() -> Check:
    from rvhv.cli.terminal import can_show, wants_color

    if sys.stdout is None or not sys.stdout.isatty():
        return Check("terminal", True, "output goes to a file or a pipe: no colours", needed=False)
    width = shutil.get_terminal_size().columns
    colour = "colours" if wants_color(sys.stdout) else "no colours"
    found = f"{width} columns, {colour}, {sys.stdout.encoding}"
    if not can_show(sys.stdout, "│✓"):
        return Check("terminal", False, found, "a UTF-8 locale shows lines and marks as they are meant", needed=False)
    return Check("terminal", width >= 80, found, "tables are made for 80 columns or more", needed=False)


def _qemu() -> Check:
    return _tool("QEMU", ("qemu-system-riscv64",), "`rvhv bench` compares with QEMU where it is installed")


def _compiler() -> Check:
    return _tool("C compiler", COMPILERS, "only for guests of your own: pip install ziglang, or a riscv64 gcc")


def _tool(what: str, programs: tuple[str, ...], hint: str) -> Check:
    for program in programs:
        path = shutil.which(program)
        if path is None:
            continue
        try:
            asked = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10, check=True)
        except (OSError, subprocess.SubprocessError):
            continue
        return Check(what, True, (asked.stdout.splitlines() or [path])[0], needed=False)
    return Check(what, False, "not found", hint, needed=False)


def _show(checks: list[Check], no_color: bool) -> None:
    from rich.table import Table
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.terminal import can_show, rich_console, show

    styles = {"✓": "green", "✗": "red", "-": "yellow"}
    plain = {} if can_show(sys.stdout, "✓✗") else {"✓": "ok", "✗": "NO"}
    table = Table(box=None, show_header=False, pad_edge=False)
    for check in checks:
        hint = "" if check.ok or not check.hint else f"\n{check.hint}"
        mark = Text(plain.get(check.mark, check.mark), style=styles[check.mark])
        table.add_row(mark, check.what, Text(printable(check.found) + hint))
    show(rich_console(no_color=no_color), table)
