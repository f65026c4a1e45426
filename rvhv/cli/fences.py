"""What `--check-fences` says at the end of a run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvhv.fences.checker import FenceChecker
    from rvhv.fences.report import Place


def fence_lines(checker: FenceChecker, place: Place, whose: dict[int, str] | None = None) -> Iterator[str]:
    """The count, then a sentence for each report. `whose`: the names of VMs, where there are several."""
    reports = checker.reports
    if not reports:
        yield "no missing fences"
        return
    uses = f"{checker.count:,} use{'s' * (checker.count > 1)}"
    yield f"{len(reports):,} missing fence{'s' * (len(reports) > 1)}, {uses} that could have gone otherwise:"
    for report in reports:
        vm = f"{whose[report.vm]}: " if whose else ""
        yield f"- {vm}{report.sentence(place)}"


def fence_documents(checker: FenceChecker, place: Place) -> list[dict[str, object]]:
    """The reports for `--json`, each with its sentence."""
    return [{"sentence": report.sentence(place), **report.document()} for report in checker.reports]
