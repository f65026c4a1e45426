"""The README is code: every command and snippet in it runs, and the demo's output is what the demo prints."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.usefixtures("compiled")

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
DEMO = re.compile(r"(<!-- demo:.*?-->\n```text\n)(.*?)(```\n<!-- /demo -->)", re.DOTALL)
HOST_TIME = re.compile(r"host time \S+ \S+")

# Commands that set up what the tests already run in; tests/docs/test_setup.py looks at what they would do.
SETUP = {"make demo", "make test", "uv run rvhv demo", "uv run --extra test pytest"}

SHOWN_FIRST, SHOWN_LAST = 6, 3  # lines of rogue's story
TOOLS = ("bash", "truncate", "sha256sum")


def text() -> str:
    return README.read_text("utf-8")


def blocks(language: str) -> list[str]:
    return [body for kind, body in BLOCK.findall(text()) if kind == language]


def commands() -> list[str]:
    return [line for body in blocks("shell") for line in body.splitlines() if line.strip()]


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of its own with the command `rvhv` in `bin/`."""
    folder = tmp_path_factory.mktemp("readme")
    command = folder / "bin" / "rvhv"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nPYTHONPATH="{README.parent}" exec "{sys.executable}" -m rvhv "$@"\n')
    command.chmod(0o755)
    return folder


def test_readme_starts_with_the_two_commands() -> None:
    assert commands()[:2] == ["make demo", "make test"]


def test_every_block_says_what_it_is() -> None:
    assert {kind for kind, _ in BLOCK.findall(text())} <= {"shell", "python", "powershell", "text"}


@pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"needs {', '.join(TOOLS)}")
def test_shell_commands_run(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(workplace / "bin"), prepend=":")
    for command in commands():
        if command in SETUP:
            continue
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command], cwd=workplace, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("body", blocks("python"))
def test_python_snippets_run(body: str, workplace: Path) -> None:
    script = f"import sys\nsys.path.insert(0, {str(README.parent)!r})\n{body}"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=workplace, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def excerpt(printed: str) -> str:
    """The demo's output with the middle of rogue's long story left out."""
    lines = [line.rstrip() for line in printed.splitlines()]
    told = [i for i, line in enumerate(lines) if line.startswith("rogue │")]
    left_out = told[SHOWN_FIRST:-SHOWN_LAST]
    assert left_out == list(range(left_out[0], left_out[0] + len(left_out))), "others speak between: show more lines"
    lines[left_out[0] : left_out[-1] + 1] = [f"      ⋮ {len(left_out)} more of rogue's attempts"]
    return "".join(f"{line}\n" for line in lines)


def test_demo_prints_what_the_readme_shows(update_golden: bool) -> None:
    """Everything but the host's time is the same on every computer."""
    command = [sys.executable, "-m", "rvhv", "demo"]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    printed = excerpt(done.stdout)
    assert HOST_TIME.search(printed)
    shown = DEMO.search(text())
    assert shown
    if update_golden:
        README.write_text(text().replace(shown[0], f"{shown[1]}{printed}{shown[3]}"), "utf-8")
    else:
        assert HOST_TIME.sub("host time", printed) == HOST_TIME.sub("host time", shown[2])
