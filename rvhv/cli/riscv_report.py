"""What `rvhv riscv-tests` tells: the table by family, the failures, JSON, JUnit's XML."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from rvhv.cli.plain import printable

if TYPE_CHECKING:
    from rvhv.boot.riscv_test import Result

SHOWN_OUTPUT = 5  # lines of what a failed test printed
SHOWN_REASONS = 5  # kinds of files that were not run
BENCHMARK_SUFFIX, BENCHMARKS, OTHERS = ".riscv", "benchmarks", "other"
BARE = "p"

_NAME = re.compile(r"(?P<family>[a-z][a-z0-9_-]*?)-(?P<variant>p|pm|pt|v)-(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one ELF ended, and how long that took on the host."""

    path: Path
    result: Result
    seconds: float

    @property
    def family(self) -> tuple[str, str]:
        """(`rv64ui`, `p`); programs whose names are not of the suite's ISA tests run bare too."""
        match = _NAME.fullmatch(self.path.name)
        if match:
            return match["family"], match["variant"]
        return (BENCHMARKS if self.path.suffix == BENCHMARK_SUFFIX else OTHERS), BARE

    @property
    def failure(self) -> str:
        """What went wrong, and where, without the file's name."""
        return f"{self.result.reason}, {self.result.line}" if self.result.line else self.result.reason


@dataclass(frozen=True)
class Report:
    """What is known at the end, or when Ctrl-C was pressed. `planned`: how many tests there were to run."""

    outcomes: Sequence[Outcome]
    not_run: dict[Path, str]
    planned: int
    seconds: float

    @cached_property
    def failed(self) -> Sequence[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.result.passed]

    @property
    def missing(self) -> int:
        """Tests that were left out because of Ctrl-C."""
        return self.planned - len(self.outcomes)

    def show(self, *, no_color: bool, with_output: bool) -> None:
        from rvhv.cli.terminal import rich_console, show

        console = rich_console(sys.stdout, no_color=no_color)
        if self.outcomes:
            show(console, self._table())
            show(console, "")
        for outcome in self.outcomes:
            failed = not outcome.result.passed
            if failed:
                console.print(printable(f"{outcome.path.name}: {outcome.failure}"), style="red", soft_wrap=True)
            elif with_output and outcome.result.output:
                console.print(printable(f"{outcome.path.name}:"), soft_wrap=True)
            lines = outcome.result.output.splitlines()
            for line in lines if with_output else lines[-SHOWN_OUTPUT:] if failed else []:
                console.print(f"  | {printable(line)}", style="dim", soft_wrap=True)
        for line in self._not_run():
            console.print(printable(line), style="dim", soft_wrap=True)
        console.print(self._summary())

    def _table(self) -> Any:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table

        ran = Counter(outcome.family for outcome in self.outcomes)
        good = Counter(outcome.family for outcome in self.outcomes if outcome.result.passed)
        variants = sorted({variant for _, variant in ran})
        table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
        table.add_column("family")
        for variant in variants:
            table.add_column(variant, justify="right")
        for family in sorted({family for family, _ in ran}, key=_order):
            cells = [f"{good[family, v]}/{ran[family, v]}" if ran[family, v] else "" for v in variants]
            table.add_row(family, *cells, style="" if all(good[family, v] == ran[family, v] for v in variants) else "red")
        return table

    def _not_run(self) -> list[str]:
        """A line for each reason, the most frequent first."""
        by_reason: dict[str, list[Path]] = {}
        for path, reason in self.not_run.items():
            by_reason.setdefault(reason, []).append(path)
        kinds = sorted(by_reason.items(), key=lambda kind: -len(kind[1]))
        lines = []
        for reason, paths in kinds[:SHOWN_REASONS]:
            more = f" and {len(paths) - 1} more files" if len(paths) > 1 else ""
            lines.append(f"not run ({reason}): {paths[0]}{more}")
        rest = sum(len(paths) for _, paths in kinds[SHOWN_REASONS:])
        return [*lines, f"not run (for other reasons): {rest} files"] if rest else lines

    def _summary(self) -> str:
        passed = len(self.outcomes) - len(self.failed)
        missing = f", {self.missing} left out (Ctrl-C)" if self.missing else ""
        return f"{passed} passed, {len(self.failed)} failed{missing}, {len(self.not_run)} files not run; {self.seconds:.1f} s"

    def show_json(self) -> None:
        import json

        tests: list[dict[str, Any]] = [
            {
                "path": str(outcome.path),
                "family": outcome.family[0],
                "variant": outcome.family[1],
                "passed": outcome.result.passed,
                "reason": outcome.result.reason,
                "test": outcome.result.test,
                "line": outcome.result.line,
                "steps": outcome.result.steps,
                "instructions": outcome.result.instructions,
                "host_seconds": round(outcome.seconds, 6),
                "output": outcome.result.output,
            }
            for outcome in self.outcomes
        ]
        document = {
            "passed": len(self.outcomes) - len(self.failed),
            "failed": len(self.failed),
            "left_out": self.missing,
            "host_seconds": round(self.seconds, 3),
            "tests": tests,
            "not_run": {str(path): reason for path, reason in self.not_run.items()},
        }
        print(json.dumps(document, indent=2))

    def write_junit(self, file: BinaryIO) -> None:
        """A suite for each family and variant; what was not run is no part of it."""
        from xml.etree import ElementTree as xml

        root = xml.Element("testsuites", self._counts(self.outcomes), name="riscv-tests")
        families = sorted({outcome.family for outcome in self.outcomes}, key=lambda f: (_order(f[0]), f[1]))
        for family, variant in families:
            members = [outcome for outcome in self.outcomes if outcome.family == (family, variant)]
            suite = xml.SubElement(root, "testsuite", self._counts(members), name=f"{family}-{variant}")
            for outcome in members:
                _add_case(suite, outcome)
        xml.indent(root)
        xml.ElementTree(root).write(file, encoding="utf-8", xml_declaration=True)

    @staticmethod
    def _counts(outcomes: Sequence[Outcome]) -> dict[str, str]:
        return {
            "tests": str(len(outcomes)),
            "failures": str(sum(not outcome.result.passed for outcome in outcomes)),
            "errors": "0",
            "time": f"{sum(outcome.seconds for outcome in outcomes):.6f}",
        }


def _add_case(suite: Any, outcome: Outcome) -> None:
    from xml.etree import ElementTree as xml

    attributes = {"classname": suite.get("name"), "name": _text(outcome.path.name), "time": f"{outcome.seconds:.6f}"}
    if outcome.result.line:
        file, _, line = outcome.result.line.rpartition(":")
        attributes |= {"file": _text(file), "line": line}
    case = xml.SubElement(suite, "testcase", attributes)
    if not outcome.result.passed:
        failure = xml.SubElement(case, "failure", message=_text(outcome.failure), type="failed")
        failure.text = _text(f"{outcome.path}: {outcome.failure}")
    if outcome.result.output:
        xml.SubElement(case, "system-out").text = "\n".join(map(_text, outcome.result.output.splitlines()))


def _text(line: str) -> str:
    """A line that XML can hold: without control characters, and without what is no character."""
    visible = printable(line).encode("utf-8", "backslashreplace").decode()
    return visible.replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _order(family: str) -> tuple[int, str]:
    """Families of the suite by name, the rest behind them."""
    return (family in (BENCHMARKS, OTHERS), family)
