"""docs/missing-fences.md is code: its commands run, and its program prints what it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rvhv.cli.main import main

pytestmark = pytest.mark.usefixtures("compiled")

PAGE = (Path(__file__).resolve().parents[2] / "docs/missing-fences.md").read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("command", [line for body in blocks("shell") for line in body.splitlines()])
def test_a_command_runs(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(command)
    assert program == "rvhv" and main(arguments) == 0
    out, _ = capfd.readouterr()
    assert "no missing fences" in out or '"missing_fences": []' in out


def test_the_program_prints_what_the_page_says(capsys: pytest.CaptureFixture[str]) -> None:
    (program,), (output,) = blocks("python"), blocks("text")
    exec(compile(program, "missing-fences.md", "exec"), {})
    assert capsys.readouterr().out == output
