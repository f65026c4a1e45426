"""`rvhv debug` as a command: where its commands come from, JSON, exit codes, bad input."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from rvhv.cli.main import main

pytestmark = pytest.mark.usefixtures("compiled")


def documents(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", "hello", "-e", "vm"]) == 0
    assert capsys.readouterr().out == "hello VS  0x80200000 <_start>  csrw sie, zero   runtime/start.S:7\n"


def test_several_are_repeated(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", "hello", "-e", "run 1", "-e", "vm"]) == 0
    assert capsys.readouterr().out.startswith("(rvhv) run 1\nhello VS  0x80200004")


def test_a_script_stops_at_the_first_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "script.txt"
    script.write_text("# a comment\n\nrun 10\nnonsense\nrun 10\n")
    assert main(["debug", "hello", "--command", str(script)]) == 1
    out, err = capsys.readouterr()
    assert out.count("(rvhv) run 10") == 1 and err == f"error: {script}:4: nonsense is no command; help lists them all\n"
    assert main(["debug", "hello", "--command", str(script), "--keep-going"]) == 1
    assert capsys.readouterr().out.count("(rvhv) run 10") == 2


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", "hello", "--json", "--keep-going", "-e", "nonsense", "-e", "continue"]) == 1
    wrong, ran = documents(capsys.readouterr().out)
    assert wrong == {
        "command": "nonsense", "ok": False, "error": "nonsense is no command; help lists them all", "notes": [], "console": {},
    }  # fmt: skip
    assert ran["ok"] and ran["result"]["finished"] and "goodbye" in ran["console"]["hello"]  # type: ignore[index]


def test_from_a_pipe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("run 5\n\nvm\nquit\nnonsense\n"))
    assert main(["debug", "hello", "--json"]) == 0
    assert [document["command"] for document in documents(capsys.readouterr().out)] == ["run 5", "vm", "quit"]


def test_the_bare_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", "--boot", "smp", "--smp", "2", "-e", "vm hart1"]) == 0
    assert capsys.readouterr().out.startswith("hart1 M  0x80000000")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "GUEST..., --boot IMAGE or --lab DIR"),
        (["hello", "--boot", "smp"], "one of them"),
        (["helo"], "did you mean 'hello'?"),
        (["hello", "--smp", "2"], "for the bare machine"),
        (["--boot", "smp", "--clock", "vm"], "for guests"),
        (["--boot", "smp", "--smp", "9"], "1 to 8 harts"),
        (["--boot", "smp", "--memory", "1M", "--memory", "2M"], "a machine has one"),
        (["hello", "--memory", "nobody=1M"], "no VM is called"),
        (["hello", "--command", "missing.txt"], "missing.txt"),
        (["hello", "--disk", "hello="], "a file name is missing"),
    ],
)
def test_bad_input(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["debug", *arguments, "-e", "vm"]) == 2
    out, err = capsys.readouterr()
    assert out == "" and says in err and len(err.splitlines()) == 1


def test_a_script_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in (("binary", b"\xff\xfe\x00"), ("long", b"#" * (2 << 20))):
        (tmp_path / name).write_bytes(data)
        assert main(["debug", "hello", "--command", str(tmp_path / name)]) == 2
        assert "is no script" in capsys.readouterr().err
