"""What sets rvhv up: the pins, the Makefile and what CI runs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import requires, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DIRECT = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")


def pins() -> dict[str, str]:
    """Package -> exact version."""
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in found}


def test_every_pin_is_exact() -> None:
    assert [v for v in pins().values() if not re.fullmatch(r"[0-9.]+", v)] == []


@pytest.mark.parametrize("text", DIRECT)
def test_the_pins_are_what_the_project_accepts(text: str) -> None:
    wanted = Requirement(text)
    assert wanted.specifier.contains(pins()[canonicalize_name(wanted.name)])


@pytest.mark.parametrize("name", [n for n in pins() if n != "colorama"])
def test_what_a_pinned_package_needs_is_pinned(name: str) -> None:
    for text in requires(name) or []:
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": ""}):
            assert canonicalize_name(needed.name) in pins(), f"{name} needs {text}"


@pytest.mark.skipif(not Path(sys.prefix, ".ready-test").exists(), reason="not in the .venv that make set up")
@pytest.mark.parametrize("name", [n for n in pins() if n != "colorama"])
def test_the_tests_run_with_the_pins(name: str) -> None:
    assert version(name) == pins()[name]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that was set up: the Makefile, the pins, and newer stamps."""
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / ".venv").mkdir()
    for stamp in (".ready-run", ".ready-test"):
        (tmp_path / ".venv" / stamp).touch()
    return tmp_path


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS", "PYTHON"))}
    command = ["make", "-C", str(folder), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def planned(folder: Path, target: str) -> list[str]:
    lines = make(folder, "-n", "--no-print-directory", target).stdout.splitlines()
    return [line for line in lines if not line.startswith("make")]


@needs_make
@pytest.mark.parametrize(
    ("target", "command"), [("demo", ".venv/bin/rvhv demo"), ("test", ".venv/bin/python -m pytest -n 2")]
)
def test_a_second_call_sets_nothing_up(project: Path, target: str, command: str) -> None:
    assert [line.strip() for line in planned(project, target)] == [command]


@needs_make
@pytest.mark.parametrize(("target", "what"), [("demo", "-e ."), ("test", "-e '.[test]'")])
def test_other_pins_are_installed(project: Path, target: str, what: str) -> None:
    stamp = project / ".venv" / f".ready-{'run' if target == 'demo' else 'test'}"
    later = stamp.stat().st_mtime + 10
    os.utime(project / "requirements.txt", (later, later))
    assert any("pip install" in line and line.endswith(what) for line in planned(project, target))


@needs_make
def test_a_missing_python_is_one_clear_line(project: Path) -> None:
    (project / ".venv" / ".ready-run").unlink()
    done = make(project, "demo", "PYTHON=python-that-is-not-there")
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("make")] == [
        "rvhv: error: no 'python-that-is-not-there' here: install Python 3.11 or newer, "
        "or say which one: make PYTHON=/path/to/python3"
    ]


@needs_make
def test_an_old_python_is_one_clear_line(project: Path) -> None:
    old = project / "python3"
    old.write_text('#!/bin/sh\n[ "$1" = -V ] && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    (project / ".venv" / ".ready-run").unlink()
    done = make(project, "demo", f"PYTHON={old}")
    assert done.returncode == 2
    assert "is Python 3.9.1, and rvhv needs 3.11 to 3.14" in done.stderr


def test_ci_runs_the_readme_s_test_command() -> None:
    script = (ROOT / ".ci/run").read_text("utf-8")
    assert "\nmake test\n" in script and "-m boundscheck" in script
    assert all(f"make -C {folder} check" in script for folder in ("guests", "bench"))
    if shutil.which("bash"):
        assert subprocess.run(["bash", "-n", str(ROOT / ".ci/run")]).returncode == 0
