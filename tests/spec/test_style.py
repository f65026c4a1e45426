"""ruff and mypy, as tests; and the list of modules that mypy leaves alone holds only what numba compiles."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = [folder for folder in ("rvhv", "tests", "bench", "labs", "docs") if (ROOT / folder).is_dir()]


def run(*command: str) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        pytest.fail(f"{' '.join(command)}\n{done.stdout}{done.stderr}", pytrace=False)


def test_ruff() -> None:
    run("ruff", "check", "--quiet", "--output-format=concise", *FOLDERS)


def test_mypy() -> None:
    run("mypy", "--no-error-summary")


def excepted_modules() -> list[str]:
    config = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["mypy"]
    return [
        module
        for override in config["overrides"]
        if override.get("ignore_errors")
        for module in ([override["module"]] if isinstance(override["module"], str) else override["module"])
    ]


@pytest.mark.parametrize("module", excepted_modules())
def test_only_compiled_modules_are_excepted(module: str) -> None:
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text("utf-8")
    assert "numba" in source or "rvhv.cpu.njit" in source, f"{module} is not compiled by numba: mypy can check it"
