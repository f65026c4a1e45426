"""`rvhv grade`: the same grades however they are made; formats; a run that was killed goes on."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rvhv.cli.main import main
from rvhv.grade.formats import as_csv
from rvhv.grade.lab import find_lab

LAB = find_lab("2")
FILES, MADE = LAB.solution()
REFERENCE = f"{FILES['gstage.py']}\nGStage = {MADE}\n"
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def course(tmp_path: Path) -> Path:
    """Six submissions of all sorts."""
    sources = {
        "ann": REFERENCE,
        "bob": REFERENCE.replace("p.V | p.U |", "p.V |"),
        "carl": LAB.starter()["gstage.py"],
        "dora": "import socket\n",
        "emil": f"{REFERENCE}\nprint('\\x1b[31m', end='')\n",
        "=fritz": "class GStage:\n    def __init__(self, *_): __import__('os')._exit(0)\n",
    }
    for name, source in sources.items():
        (tmp_path / "course" / name).mkdir(parents=True)
        (tmp_path / "course" / name / "gstage.py").write_text(source)
    (tmp_path / "course" / "zoe").mkdir()
    return tmp_path / "course"


def grade(capsys: pytest.CaptureFixture[str], *args: str | Path) -> str:
    capsys.readouterr()
    assert main(["grade", "2", *map(str, args)]) == 0
    return capsys.readouterr().out


def test_the_same_grades_however_they_are_made(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(results: str, *args: str) -> str:
        return grade(capsys, course, "--format", "json", "--results", tmp_path / results, *args)

    alone = run("1", "--jobs", "1")
    assert run("2", "--jobs", "2") == alone
    assert run("1", "--jobs", "2") == alone, "kept"
    parts = [json.loads(run("3", "--shard", f"{n}/2"))["submissions"] for n in (1, 2)]
    whole = json.loads(alone)["submissions"]
    assert sorted(sum(parts, []), key=lambda one: one["submission"]) == whole
    assert run("3") == alone, "sharded, and put together"
    assert str(tmp_path) not in alone

    points = {one["submission"]: one["points"] for one in whole}
    assert points == {"=fritz": 0, "ann": 24, "bob": points["bob"], "carl": 0, "dora": 0, "emil": 24, "zoe": 0}
    assert 0 < points["bob"] < 24
    refused = {one["submission"]: one["refused"] for one in whole if one["refused"]}
    assert list(refused) == ["dora", "zoe"] and "socket" in refused["dora"] and "gstage.py is not in it" in refused["zoe"]


def test_another_seed_is_another_grade(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = (course / "bob", "--results", tmp_path / "r", "--format", "json", "--seed")
    first, second = (json.loads(grade(capsys, *args, seed))["submissions"][0] for seed in "12")
    assert first["points"] == second["points"] and first["checks"] != second["checks"]


def test_formats(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = ("--results", tmp_path / "r")
    rows = list(csv.DictReader(io.StringIO(grade(capsys, course, "--format", "csv", *kept))))
    assert [row["submission"] for row in rows] == ["'=fritz", "ann", "bob", "carl", "dora", "emil", "zoe"]
    assert rows[1]["points"] == "24" and rows[1]["map-pages"] == "3"

    suites = ElementTree.fromstring(grade(capsys, course, "--format", "junit", *kept))
    assert [suite.get("name") for suite in suites][1:3] == ["ann", "bob"] and suites[1].get("failures") == "0"
    assert int(suites[2].get("failures") or 0) == len(suites[2].findall("testcase/failure")) > 3

    scored: dict[str, Any] = json.loads(grade(capsys, course / "bob", "--format", "gradescope", *kept))
    assert scored["score"] == sum(test["score"] for test in scored["tests"])
    assert any("U=0" in test["output"] for test in scored["tests"])

    for name, status in (("ann", "pass"), ("bob", "fail"), ("dora", "fail")):
        told = json.loads(base64.b64decode(grade(capsys, course / name, "--format", "classroom", *kept)))
        assert (told["status"], told["max_score"]) == (status, 24)

    table = grade(capsys, course, *kept)
    assert "ann" in table and "24/24" in table and "7 submissions" in table and "\x1b" not in table
    out = tmp_path / "out.csv"
    grade(capsys, course, "--format", "csv", "--output", out, *kept)
    assert out.read_text() == as_csv(LAB, json.loads(grade(capsys, course, "--format", "json", *kept))["submissions"])


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_killed_run_goes_on(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "r"
    command = [sys.executable, "-m", "rvhv", "grade", "2", str(course), "--results", str(results), "--jobs", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    deadline = time.monotonic() + 60
    while not list(results.glob("*.json")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = {path: path.stat().st_mtime_ns for path in results.glob("*.json")}
    assert 1 <= len(kept) < 6
    for path in list(kept)[:1]:
        (results / f".new-{path.name}").write_text("half a gra")
    after = grade(capsys, course, "--format", "json", "--results", results)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept, "not graded again"
    assert after == grade(capsys, course, "--format", "json", "--results", tmp_path / "other")


def test_a_damaged_result_is_made_again(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = (course / "bob", "--format", "json", "--results", tmp_path / "r")
    before = grade(capsys, *args)
    (path,) = (tmp_path / "r").glob("*.json")
    path.write_bytes(path.read_bytes().replace(b'"points": 0', b'"points": 9'))
    assert grade(capsys, *args) == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["9", "."], "there is no lab '9'"),
        (["2", "nowhere"], "nowhere"),
        (["2", ".", "--shard", "3/2"], "--shard '3/2'"),
        (["2", ".", "--shard", "x"], "write 1/4"),
        (["2", ".", "--jobs", "0"], "--jobs"),
        (["2"], "PATH"),
    ],
)
def test_wrong_usage(args: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", *args]) == 2
    assert says in capsys.readouterr().err


def test_a_format_of_one(course: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["grade", "2", str(course), "--format", "gradescope", "--results", str(tmp_path / "r")]) == 2
    assert "is for one submission" in capsys.readouterr().err
