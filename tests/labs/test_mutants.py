"""Each plausible mistake loses exactly the points it should, and is named."""

from __future__ import annotations

from importlib import import_module

import pytest

from rvhv.grade.judge import Judge
from rvhv.grade.lab import DEFAULT_SEED, Lab, labs
from tests.labs.mutants import Mutant

LEAST = 8  # mistakes a lab

pytestmark = pytest.mark.usefixtures("compiled")


def mutants_of(lab: Lab) -> list[Mutant]:
    found: list[Mutant] = import_module(f"tests.labs.mutants.{lab.name}").MUTANTS
    return found


MUTANTS = [pytest.param(lab, mutant, id=f"{lab.name}: {mutant.name}") for lab in labs() for mutant in mutants_of(lab)]


@pytest.mark.parametrize(("lab", "mutant"), MUTANTS)
def test_a_mistake_is_found_and_named(lab: Lab, mutant: Mutant) -> None:
    files, made = lab.solution()
    lost = [r for r in Judge(lab, DEFAULT_SEED).results(mutant.files(files), made) if not r.passed]
    assert {result.check.name for result in lost} == mutant.loses
    assert [says for says in mutant.says if says not in f"{lost[0].expected}; {lost[0].happened}"] == []


@pytest.mark.parametrize("lab", labs(), ids=lambda lab: lab.name)
def test_there_are_enough(lab: Lab) -> None:
    assert len(mutants_of(lab)) >= LEAST
