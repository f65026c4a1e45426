"""`rvhv riscv-tests` with a machine of straw: what is run, counted, reported."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rvhv.cli import progress
from rvhv.cli.main import main
from rvhv.errors import ImageError
from rvhv.images import image_path

ELF = image_path("hello").read_bytes()
ELF32 = ELF[:4] + b"\x01" + ELF[5:]


def run_elf(image: Any, max_steps: int) -> SimpleNamespace:
    if "nohost" in image.name:
        raise ImageError(f"{image.name}: has no symbol tohost")
    if "loop" in image.name:
        return SimpleNamespace(passed=False, test=None, steps=max_steps, reason=f"not ended after {max_steps} steps")
    if "bad" in image.name:
        return SimpleNamespace(passed=False, test=7, steps=99, reason="tohost says 15")
    return SimpleNamespace(passed=True, test=None, steps=100, reason="")


@pytest.fixture(autouse=True)
def straw(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    module = ModuleType("rvhv.machine.htif")
    module.run_elf = run_elf  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rvhv.machine.htif", module)
    monkeypatch.setattr(progress, "ensure_compiled", lambda **_: False)
    yield


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    for name in ("rv64ui-p-add", "rv64ui-v-add", "rv64ui-p-sub", "rv64um-p-mul", "rv64um-v-mul"):
        (tmp_path / name).write_bytes(ELF)
    (tmp_path / "rv64ui-p-add.dump").write_text("text")
    (tmp_path / "rv32ui-p-add").write_bytes(ELF32)
    return tmp_path


def test_all_pass(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["riscv-tests", str(suite)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["rv64ui", "2/2", "1/1"] in lines and ["rv64um", "1/1", "1/1"] in lines
    assert lines[-1] == "5 passed, 0 failed, 2 files not run".split()


def test_failures_have_their_test_number(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("rv64ui-p-bad", "rv64um-v-loop", "nohost"):
        (suite / name).write_bytes(ELF)
    assert main(["riscv-tests", str(suite), "--timeout-steps", "1K"]) == 1
    out = capsys.readouterr().out
    assert "rv64ui-p-bad: test 7 failed" in out
    assert "rv64um-v-loop: not ended after 1000 steps" in out
    assert "\nnohost: has no symbol tohost" in out
    assert "5 passed, 3 failed, 2 files not run" in out


def test_json(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "rv64ui-p-bad").write_bytes(ELF)
    assert main(["riscv-tests", str(suite), "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    (bad,) = [test for test in document["tests"] if not test["passed"]]
    assert (bad["family"], bad["test"], bad["steps"]) == ("rv64ui-p", 7, 99)
    assert len(document["tests"]) == 6 and len(document["not_run"]) == 2


@pytest.mark.parametrize("what", ["missing", "no ELF", "empty folder"])
def test_bad_input(what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x"
    if what == "no ELF":
        path.write_text("text")
    if what == "empty folder":
        path.mkdir()
    assert main(["riscv-tests", str(path)]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1 and str(path) in err


def test_ctrl_c_shows_what_was_run(suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(image: Any, max_steps: int) -> SimpleNamespace:
        if "sub" in image.name:
            raise KeyboardInterrupt
        return run_elf(image, max_steps)

    monkeypatch.setattr(sys.modules["rvhv.machine.htif"], "run_elf", interrupted)
    assert main(["riscv-tests", str(suite)]) == 130
    assert "1 passed, 0 failed" in capsys.readouterr().out
