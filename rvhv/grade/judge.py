"""Grades a submission: every check with a process of its own for the part, and what came of it as a document.

The document depends on submission, lab, seed and version of rvhv alone: it has no times, no paths and nothing random.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from rvhv.errors import RvhvError
from rvhv.grade.cell import Cell, Disturbed, Limits, PartFailed
from rvhv.grade.check import Bench, Check, Lost, chance
from rvhv.grade.cpart import CPart
from rvhv.grade.cworld import CWorld
from rvhv.grade.lab import STANDARD, Lab
from rvhv.grade.part import Part
from rvhv.machine.image import Image

TIMES_THE_REFERENCE = 100
MOST_ENDLESS = 3  # checks that a part does not come back from; the others are not tried then


@dataclass
class Result:
    """Of a check. `expected` and `happened` are empty where it passed, `places` where in the student's files it happened."""

    check: Check
    passed: bool = False
    expected: str = ""
    happened: str = ""
    places: tuple[str, ...] = ()
    show: str = ""
    output: str = ""
    endless: bool = False
    loaded: bool = True

    def document(self) -> dict[str, Any]:
        return {
            "check": self.check.name,
            "title": self.check.title,
            "points": self.check.points if self.passed else 0,
            "of": self.check.points,
            "expected": self.expected,
            "happened": self.happened,
            "places": list(self.places),
            "debug": self.show,
            "output": self.output,
        }


@dataclass
class Grade:
    """Of a submission. `refused`: why nothing of it was run."""

    lab: Lab
    seed: str
    results: list[Result] = field(default_factory=list)
    refused: str = ""

    @property
    def points(self) -> int:
        return sum(result.check.points for result in self.results if result.passed)

    def document(self) -> dict[str, Any]:
        return {
            "lab": self.lab.number,
            "name": self.lab.name,
            "seed": self.seed,
            "points": self.points,
            "of": self.lab.points,
            "refused": self.refused,
            "checks": [result.document() for result in self.results],
        }


def confined() -> bool:
    """Whether the kernel of this computer keeps parts from everything but computing."""
    with Cell(files={"nothing.py": ""}, main="nothing", name="__name__", gives={}, imports=STANDARD, limits=Limits()) as cell:
        part = Part(cell)
        part.load()
        return part.confined


class Judge:
    """Of one lab and seed; grades one submission after the other."""

    def __init__(self, lab: Lab, seed: str) -> None:
        self.lab, self.seed = lab, seed
        self._given = lab.given()
        self._reference_cpu: dict[str, float] = {}
        self._spent = 0.0
        self._image: Image | None = None  # of the submission, if it is in C

    def grade(self, files: dict[str, str]) -> Grade:
        """`files` by name, as `rvhv.grade.submission` reads them. Raises Disturbed."""
        grade = Grade(self.lab, self.seed)
        grade.results += self.results(files)
        if grade.results and not grade.results[0].loaded:
            grade.refused = grade.results[0].happened
        return grade

    def results(self, files: dict[str, str], made: str = "") -> Iterator[Result]:
        """Each check's, when it is there. `made`: the class or function, if it is not the lab's."""
        endless, loaded = 0, True
        try:
            self._image = None if self.lab.c is None or self.lab.c.file not in files or made else self._compiled(files)
        except PartFailed as failed:
            first = self.lab.checks[0]
            yield Result(first, expected=first.title, happened=failed.reason, places=failed.places, loaded=False)
            loaded = False
        for check in self.lab.checks if loaded else self.lab.checks[1:]:
            if not loaded:
                yield Result(check, expected=check.title, happened="not tried: the part cannot be loaded", loaded=False)
                continue
            if endless >= MOST_ENDLESS:
                yield Result(check, expected=check.title, happened=f"not tried: {endless} checks before did not come to an end")
                continue
            result = self._try(check, files, made)
            endless += result.endless
            loaded = result.loaded
            yield result

    def _compiled(self, files: dict[str, str]) -> Image:
        from rvhv.grade.compile_c import build

        assert self.lab.c is not None
        return build({self.lab.c.file: files[self.lab.c.file]}, [self.lab.folder / "starter-c"])

    def judge_image(self, image: Image) -> Iterator[Result]:
        """The results of a part in C that is compiled already."""
        for check in self.lab.checks:
            yield self._judge(check, self._in_c(image), None)

    def _in_c(self, image: Image) -> CPart:
        assert self.lab.c is not None
        return (CWorld if self.lab.c.registers else CPart)(image, self.lab.c.prefix, self.lab.c.file)

    def _try(self, check: Check, files: dict[str, str], made: str) -> Result:
        if self._image is not None:
            return self._judge(check, self._in_c(self._image), None)
        if made:
            return self._run(check, files, made, self.lab.limits)
        # against the reference here and now, before it is said to be endless
        return self._run(check, files, made, self.lab.limits, lambda: TIMES_THE_REFERENCE * self.reference_cpu(check))

    def reference_cpu(self, check: Check) -> float:
        """CPU seconds of the reference in this check, on this computer."""
        if check.name not in self._reference_cpu:
            files, made = self.lab.solution()
            self._run(check, files, made, replace(self.lab.limits, cpu_seconds=1e9))
            self._reference_cpu[check.name] = self._spent
        return self._reference_cpu[check.name]

    def _run(
        self, check: Check, files: dict[str, str], made: str, limits: Limits, more: Callable[[], float] | None = None
    ) -> Result:
        lab = self.lab
        cell = Cell(
            files=files, main=lab.main, name=made or lab.made, gives=self._given, imports=STANDARD, limits=limits,
            more=more,
        )  # fmt: skip
        with cell:
            result = self._judge(check, Part(cell), cell)
            self._spent = cell.cpu_seconds()
        return result

    def _judge(self, check: Check, part: Part | CPart, cell: Cell | None) -> Result:
        result = Result(check)
        bench = Bench(part, chance(self.seed, self.lab.name, check.name))
        try:
            if isinstance(part, Part):
                part.load()
            check.function(bench)
            result.passed = True
        except Lost as lost:
            result.expected, result.happened, result.show = lost.expected, lost.happened, lost.show
        except PartFailed as failed:
            result.expected, result.happened, result.places = check.title, failed.reason, failed.places
            result.endless, result.loaded = failed.endless, part.loaded
        except Disturbed:
            raise
        except RvhvError as error:  # of the machine, which the part let through
            result.expected, result.happened = check.title, f"when {part.doing}: {error}"
            result.places = tuple("\n".join(getattr(error, "__notes__", ())).splitlines())
        if result.places and not result.endless and bench.target is not None:
            result.show = bench.look
        if cell is not None:
            result.output = cell.output
        return result
