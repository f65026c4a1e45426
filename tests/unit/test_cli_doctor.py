"""`rvhv doctor`: every check says what it found, needed ones decide the exit code; and the bar of the first compile."""

from __future__ import annotations

import io
import json
import time
from typing import Any

import pytest

from rvhv.cli import doctor, progress
from rvhv.cli.doctor import Check
from rvhv.cli.main import main


def test_this_computer_is_fit(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    for what in ("Python", "numba", "llvmlite", "cache", "guests", "terminal", "QEMU", "C compiler"):
        assert what in out
    assert "✗" not in out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    assert {check["what"] for check in json.loads(capsys.readouterr().out)} >= {"Python", "cache", "compiled"}


@pytest.mark.parametrize(("needed", "code"), [(True, 1), (False, 0)])
def test_what_is_missing(
    needed: bool, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checks = [Check("one", True, "fine", "unseen hint"), Check("two", False, "gone", "do this", needed)]
    monkeypatch.setattr(doctor, "all_checks", lambda: iter(checks))
    assert main(["doctor"]) == code
    out = capsys.readouterr().out
    assert "do this" in out and "unseen hint" not in out
    assert ("✗" in out) is needed


def test_a_broken_package_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(name: str) -> Any:
        raise ImportError("DLL load failed")

    monkeypatch.setattr(doctor, "import_module", broken)
    check = doctor._package("numba")
    assert not check.ok and "DLL load failed" in check.found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("terminal", [True, False])
def test_a_quick_compile_shows_nothing(terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    err = Terminal() if terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    with progress.LateBar() as bar:
        bar.update("rows", 0.5)
    assert err.getvalue() == ""


def test_a_long_compile_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    err = Terminal()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress.LateBar() as bar:
        bar.update("the interpreter", 0.25)
        deadline = time.monotonic() + 10
        while "the interpreter" not in err.getvalue() and time.monotonic() < deadline:
            time.sleep(0.02)
        bar.update("the rest", 0.75)
    assert "rvhv: the interpreter" in err.getvalue()


def test_a_pipe_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr("sys.stderr", err)
    monkeypatch.setattr(progress, "PATIENCE", 0.01)
    with progress.LateBar() as bar:
        time.sleep(0.1)
        bar.update("the rest", 0.75)
    assert err.getvalue() == ""
