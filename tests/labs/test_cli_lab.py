"""`rvhv lab`: start, check, hint, as a student meets them."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.grade.lab import find_lab, labs

LAB = find_lab("2")
FILES, MADE = LAB.solution()
REFERENCE = f"{FILES['gstage.py']}\nGStage = {MADE}\n"
pytestmark = pytest.mark.usefixtures("compiled")


def said(capsys: pytest.CaptureFixture[str], *args: str | Path, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["lab", *map(str, args)]) == code
    return capsys.readouterr().out


@pytest.fixture
def lab2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    said(capsys, "start", "2", tmp_path / "mine")
    return tmp_path / "mine"


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "list")
    assert "The G-stage" in text and "24 points" in text
    rows = json.loads(said(capsys, "list", "--json"))
    assert [row["lab"] for row in rows] == [lab.number for lab in labs()]


def test_start_overwrites_nothing(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert (lab2 / "gstage.py").read_text() == LAB.starter()["gstage.py"]
    (lab2 / "gstage.py").write_text("mine")
    (lab2 / "handout.md").unlink()
    text = said(capsys, "start", "2", lab2)
    assert "kept   gstage.py (yours)" in text and "wrote  handout.md" in text
    assert (lab2 / "gstage.py").read_text() == "mine"


def test_start_in_a_folder_of_another_lab(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab2 / "lab.json").write_text('{"lab": "nothing", "hints": 0}')
    assert main(["lab", "start", "2", str(lab2)]) == 2
    assert "does not say which lab" in capsys.readouterr().err


def test_start_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    assert "rvhv lab check lab2" in said(capsys, "start", "gstage")
    assert (tmp_path / "lab2" / "gstage.py").exists()


def test_the_starter_is_checked_with_help(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "check", lab2, code=1)
    assert "0 of 24 points" in text and "not written yet: make_root: allocate the root table" in text
    assert "happened: the same" in text and "rvhv lab hint" in text


def test_check_says_what_was_expected_what_happened_and_how_to_look(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab2 / "gstage.py").write_text(REFERENCE.replace("p.V | p.U |", "p.V |"))
    text = said(capsys, "check", lab2, code=1)
    assert re.search(r"ok   1/1  root +the root table is 16 KiB", text)
    lost = [line for line in text.splitlines() if line.startswith("  lost")]
    assert any(re.match(r"  lost 0/\d  map-pages  +[a-z]", line) for line in lost)
    assert "expected: a load at gpa 0x" in text and "happened: it is refused: U=0" in text
    assert f"rvhv debug --lab {lab2} --check map-pages -e 'walk g:0x" in text
    document = json.loads(said(capsys, "check", lab2, "--json", "--seed", "7", code=1))
    assert document["seed"] == "7" and document["of"] == 24
    lost = next(check for check in document["checks"] if not check["points"])
    assert lost["debug"].startswith("walk g:0x")


def test_where_a_part_raises_there_is_something_to_look_at(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = f"class Broken({MADE}):\n    def map(self, gpa):\n        return None.x\nGStage = Broken\n"
    (lab2 / "gstage.py").write_text(f"{REFERENCE}\n{broken}")
    lines = said(capsys, "check", lab2, code=1).splitlines()
    failed = next(i for i, line in enumerate(lines) if line.startswith("  lost") and " map-pages " in line)
    told = "\n".join(lines[failed : failed + 6])
    assert "AttributeError" in told and "gstage.py" in told
    assert f"look: rvhv debug --lab {lab2} --check map-pages -e map" in told
    assert main(["debug", "--lab", str(lab2), "--check", "map-pages", "-e", "map"]) == 0
    out, err = capsys.readouterr()
    assert "AttributeError" in err and "Sv39x4, root table at h:0x" in out


def test_the_same_is_said_only_of_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Different expectations that end in the same way are each told."""
    lab = find_lab("mmio")
    said(capsys, "start", "mmio", tmp_path / "it")
    solution, made = lab.solution()
    refuses = "\n    def emulate(self, trap):\n        self.guest.inject({20: 1, 21: 5, 23: 7}[trap.scause], trap.stval)\n"
    (tmp_path / "it" / "mmio.py").write_text(f"{solution['mmio.py']}\nclass Mine({made}):{refuses}\nMmio = Mine\n")
    text = said(capsys, "check", tmp_path / "it", code=1)
    assert text.count("happened: the guest got exception 5, load access fault") > 1
    assert "expected: a load of " in text and "happened: the same" not in text
    assert f"rvhv lab hint {tmp_path / 'it'} opens the next hint; there are {len(lab.hints)}." in text


def test_a_register_that_is_left_over_is_shown_where_the_command_shows_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab = find_lab("enter")
    said(capsys, "start", "enter", tmp_path / "it")
    solution, made = lab.solution()
    leaves = "\n    def start(self, guest):\n        f = self.cpu.f[5]\n        super().start(guest)\n        self.cpu.f[5] = f\n"
    (tmp_path / "it" / "world.py").write_text(f"{solution['world.py']}\nclass Mine({made}):{leaves}\nWorld = Mine\n")
    text = said(capsys, "check", tmp_path / "it", code=1)
    assert "expected: f5 (ft5) to be 0" in text and "-e 'regs f'" in text


def test_a_solution(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab2 / "gstage.py").write_text(REFERENCE)
    began = time.process_time()
    text = said(capsys, "check", lab2)
    assert text.endswith("24 of 24 points\n")
    assert time.process_time() - began < 5  # of the judge; the parts' own processes take less


def test_an_exception_is_shown_with_its_place(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = REFERENCE.replace("def frame(self, gpa: int) -> int | None:\n", "def frame(self, gpa):\n        1 / 0\n")
    (lab2 / "gstage.py").write_text(source)
    text = said(capsys, "check", lab2, code=1)
    assert "ZeroDivisionError: division by zero" in text and "in frame: 1 / 0" in text


def test_hints_open_one_at_a_time(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "hint", lab2, "--again") == ""
    for number, hint in enumerate(LAB.hints, 1):
        text = said(capsys, "hint", lab2)
        assert text.startswith(f"hint {number} of {len(LAB.hints)}: {hint.splitlines()[0]}")
        assert text.count("hint ") - hint.count("hint ") == 1
    assert "hints of lab 2 are open" in said(capsys, "hint", lab2)
    assert said(capsys, "hint", lab2, "--again").count(f" of {len(LAB.hints)}: ") == len(LAB.hints)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["check", "."], "is no folder of a lab"),
        (["hint", "."], "is no folder of a lab"),
        (["start", "77"], "there is no lab '77': there are"),
        (["start"], "N is missing"),
        (["teach"], "no such command"),
    ],
)
def test_wrong_usage(
    args: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lab", *args]) == 2
    assert says in capsys.readouterr().err


def test_a_missing_file_is_said(lab2: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (lab2 / "gstage.py").unlink()
    assert main(["lab", "check", str(lab2)]) == 2
    assert "gstage.py is not in it" in capsys.readouterr().err
