"""docs/teaching.md is code: its commands run, in a folder with submissions."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.grade.formats import FORMATS
from rvhv.grade.lab import find_lab

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/teaching.md").read_text("utf-8")
BLOCKS = re.findall(r"^```shell\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line for body in BLOCKS for line in body.splitlines()]
NOT_FULL = {"rvhv lab check mylab": 1}  # exit codes
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rvhv.grade.course.results_folder", lambda: tmp_path / "kept")
    for name in ("ann", "bob"):
        (tmp_path / "submissions" / name).mkdir(parents=True)
        (tmp_path / "submissions" / name / "gstage.py").write_text(find_lab("2").starter()["gstage.py"])


@pytest.mark.usefixtures("here")
def test_commands() -> None:
    assert len(COMMANDS) >= 8
    for command in COMMANDS:
        words = shlex.split(command)
        assert words[0] == "rvhv" and main(words[1:]) == NOT_FULL.get(command, 0), command
    assert Path("grades.csv").read_text().startswith("submission,points") and Path("part1.json").exists()


@pytest.mark.parametrize("name", [*FORMATS, "table"])
def test_formats_are_named(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_recipes_have_options_that_exist() -> None:
    from rvhv.cli.grade import command

    options = {option for parameter in command.params for option in parameter.opts}
    used = re.findall(r"rvhv grade [^`\n]*(?:\\\n[^`\n]*)?", PAGE)
    assert len(used) >= 6
    assert {word for line in used for word in re.findall(r"--[a-z]+", line)} <= options
