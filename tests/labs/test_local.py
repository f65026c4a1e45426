"""Standing where a check fails, with the part in this process: the same thing happens as in a process of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from rvhv.debug.target import VmTarget
from rvhv.errors import ConfigError
from rvhv.grade.judge import Judge
from rvhv.grade.lab import find_lab
from rvhv.grade.local import stand
from rvhv.grade.student import start
from rvhv.hext.walks.recorder import walk_gpa

LAB = find_lab("2")
FILES, MADE = LAB.solution()
REFERENCE = f"{FILES['gstage.py']}\nGStage = {MADE}\n"
pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    start(LAB, tmp_path)
    return tmp_path


def test_the_machine_is_there_as_it_failed(mine: Path) -> None:
    source = REFERENCE.replace("p.V | p.U |", "p.V |")
    (mine / "gstage.py").write_text(source)
    hv, story = stand(mine, "map-pages", "7")
    lost = next(r for r in Judge(LAB, "7").results({"gstage.py": source}) if r.check.name == "map-pages")
    assert story == f"map-pages: expected {lost.expected}\n{lost.happened}"
    gpa = int(lost.show.split("g:")[1], 16)
    target = VmTarget(hv)
    found = walk_gpa(target.current.state, target.memory, gpa, "load", devices=False)
    assert "U=0" in (found.refused or "") and (found.refused or "") in lost.happened
    assert target.run(10).ended == "finished" and "where a check failed" in target.current.status


def test_a_guest_that_ran(mine: Path) -> None:
    (mine / "gstage.py").write_text(REFERENCE)
    hv, story = stand(mine, "hosts-a-guest")
    assert "nothing is wrong" in story and hv.vms[0].reason == "powered off"


def test_an_exception(mine: Path) -> None:
    assert "NotImplementedError: make_root" in stand(mine, "map-pages")[1]
    source = REFERENCE.replace("def frame(self, gpa: int) -> int | None:\n", "def frame(self, gpa):\n        1 / 0\n")
    (mine / "gstage.py").write_text(source)
    _, story = stand(mine, "frame")
    assert story == "frame: ZeroDivisionError: division by zero"


def test_a_check_that_is_not_there(mine: Path) -> None:
    with pytest.raises(ConfigError, match="has no check 'x': there are root, map-pages"):
        stand(mine, "x")
