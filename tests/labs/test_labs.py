"""What every lab has: a reference with all points, a starter with none and help, hints, a handout."""

from __future__ import annotations

from pathlib import Path

import pytest

from rvhv.grade.judge import Judge
from rvhv.grade.lab import DEFAULT_SEED, Lab, find_lab, labs

SOLUTIONS = Path(__file__).parent / "solutions"  # one a lab, written from its handout alone

pytestmark = pytest.mark.usefixtures("compiled")
every_lab = pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)


@every_lab
@pytest.mark.parametrize("seed", [DEFAULT_SEED, "1", "another"])
def test_the_reference_has_all_points(lab: Lab, seed: str) -> None:
    files, made = lab.solution()
    lost = [f"{r.check.name}: {r.expected}; {r.happened}" for r in Judge(lab, seed).results(files, made) if not r.passed]
    assert lost == []


@pytest.mark.parametrize("solution", sorted(SOLUTIONS.glob("[a-z]*.py")), ids=lambda path: path.stem)
def test_another_right_solution_has_all_points(solution: Path) -> None:
    lab = find_lab(solution.stem)
    grade = Judge(lab, DEFAULT_SEED).grade({f"{lab.main}.py": solution.read_text("utf-8")})
    assert [f"{r.check.name}: {r.expected}; {r.happened}" for r in grade.results if not r.passed] == []


@every_lab
def test_the_starter_has_none_and_says_what_to_do(lab: Lab) -> None:
    grade = Judge(lab, DEFAULT_SEED).grade(lab.starter())
    assert grade.points == 0 and not grade.refused
    assert all(result.happened.startswith("not written yet: ") for result in grade.results)


@every_lab
def test_texts(lab: Lab) -> None:
    handout = (lab.folder / "handout.md").read_text("utf-8")
    assert handout.startswith(f"# Lab {lab.number}: {lab.title}\n")
    assert len(lab.hints) >= 3
    assert all(check.name in handout for check in lab.checks), "the handout says which check is about what"


@every_lab
def test_checks_have_names_of_their_own(lab: Lab) -> None:
    assert len({check.name for check in lab.checks}) == len(lab.checks)
    assert all(check.points > 0 for check in lab.checks)
