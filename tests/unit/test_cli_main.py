"""The command line around its commands: help, errors as one line, exit codes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import rvhv
from rvhv.cli import group
from rvhv.cli.main import main


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in group.COMMANDS:
        assert f"  {command} " in out
    assert "_RVHV_COMPLETE" in out


def test_nothing_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "Usage: rvhv" in capsys.readouterr().out


@pytest.mark.parametrize("command", group.COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: rvhv {command}" in out and "--traceback" in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"rvhv {rvhv.__version__}\n"


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["rnu"], "no command 'rnu'; did you mean 'run'?"),
        (["fly"], "no command 'fly'; the commands are demo, run"),
        (["run"], "GUEST... is missing; see rvhv run --help"),
        (["run", "hello", "--memry", "1M"], "no such option"),
        (["run", "hello", "--slice", "0"], "--slice: '0' is out of range"),
        (["run", "hello", "--slice", "x"], "--slice: 'x' is not a number"),
        (["run", "hello", "--max-steps", "-4"], "--max-steps: '-4' is not a number"),
        (["run", "hello", "--clock", "wall"], "--clock: 'wall' is not one of"),
        (["run", "hello", "--seed", "x"], "--seed: 'x' is not a number"),
        (["--nope"], "no such option"),
        (["riscv-tests"], "PATH... is missing"),
    ],
)
def test_wrong_usage_is_one_line(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("rvhv: error: ") and err.count("\n") == 1
    assert line.lower() in err.lower()


def test_a_bug_is_one_line_and_its_own_code(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object) -> None:
        raise KeyError("x\ny")

    monkeypatch.setattr(group, "import_module", broken)
    assert main(["doctor"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("rvhv: error: internal error: KeyError") and err.count("\n") == 1
    assert main(["doctor", "--traceback"]) == 70
    assert "in broken" in capsys.readouterr().err


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(group, "import_module", interrupted)
    assert main(["doctor"]) == 130
    assert capsys.readouterr().err.strip() == ""


def test_a_closed_pipe_is_quiet(root: Path) -> None:
    command = f'"{sys.executable}" -m rvhv --help | "{sys.executable}" -c ""; true'
    done = subprocess.run(command, shell=True, cwd=root, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""


def test_importing_rvhv_is_cheap(root: Path) -> None:
    code = "import sys; before = set(sys.modules); import rvhv; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['rvhv']"


def test_help_imports_nothing_heavy(root: Path) -> None:
    code = (
        "import sys; from rvhv.cli.main import main; main(['run', '--help']); "
        "print({'numba', 'numpy', 'llvmlite', 'rich', 'elftools'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().endswith("set()")


@pytest.mark.parametrize("command", [["run", "hello"], ["boot", "bench-micro", "--max-steps", "1000"]], ids=["run", "boot"])
def test_running_imports_no_numpy(root: Path, command: list[str]) -> None:
    """It is what makes the machine, and takes as long to import as all of rvhv."""
    code = f"import sys; from rvhv.cli.main import main; main({command!r}); print({{'numba', 'numpy'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip().endswith("set()")


def test_an_unknown_name_of_the_package() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Hypervizor'"):
        _ = rvhv.Hypervizor
    assert "Hypervisor" in dir(rvhv)
