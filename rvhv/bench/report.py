"""The whole report: what is measured in which order, and on what computer."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rvhv.bench import PARTS, bare, commands, costs, vms
from rvhv.bench.costs import Cost
from rvhv.bench.emulators import others, rvhv
from rvhv.bench.figure import Figure, Progress
from rvhv.bench.images import PROGRAMS, Mode
from rvhv.bench.side_by_side import Comparison, compare

SHARES = {"programs": 0.7, "costs": 0.2, "vms": 0.05, "commands": 0.05}  # of the time, about


@dataclass
class Report:
    """`computer`: what it ran on; `versions`: of the emulators; the rest by part."""

    computer: str
    versions: dict[str, str]
    rounds: int
    scale: int
    programs: list[Comparison] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)


def measure(
    *,
    parts: Sequence[str],
    rounds: int,
    scale: int,
    suite: Path | None,
    first_compile: bool,
    progress: Progress,
    programs: Sequence[str] = (),
    modes: Sequence[str] = (),
    without: Sequence[str] = (),
) -> Report:
    """`parts` of PARTS; `rounds` samples of each figure; `scale`: how long everything runs, 100 is usual. `programs` and `modes`:
    of the side-by-side table, all if none; `without`: other emulators that are left out."""
    emulators = [rvhv(), *(e for e in others() if e.name not in without)]
    report = Report(_computer(), {e.name: e.version for e in emulators}, rounds, scale)
    whole = sum(SHARES[part] for part in parts)
    behind = 0.0
    for part in PARTS:
        if part not in parts:
            continue

        def within(text: str, fraction: float, behind: float = behind, share: float = SHARES[part]) -> None:
            progress(text, (behind + share * fraction) / whole)

        if part == "programs":
            names, wanted = programs or PROGRAMS, [mode for mode in Mode if not modes or mode.name in modes]
            report.programs = compare(emulators, rounds=rounds, scale=scale, progress=within, names=names, modes=wanted)
        elif part == "costs":
            report.costs = costs.measure(emulators, rounds=rounds, scale=scale, progress=within)
            report.figures += [*costs.pte_writes(report.costs), *vms.sbi_calls(rounds, scale)]
        elif part == "vms":
            report.figures += _figures(_of_vms(rounds, scale), within)
        else:
            report.figures += _figures(_of_commands(rounds, suite, first_compile), within)
        behind += SHARES[part]
    progress("done", 1.0)
    return report


Measurement = tuple[str, Callable[[], Iterable[Figure]]]


def _of_vms(rounds: int, scale: int) -> list[Measurement]:
    return [
        ("integer loop in a VM", lambda: [vms.guest_loop(rounds, scale)]),
        ("integer loop on the bare machine", lambda: bare.loops(rounds, scale)),
        ("many VMs", lambda: vms.scaling(rounds, scale)),
    ]


def _of_commands(rounds: int, suite: Path | None, first_compile: bool) -> list[Measurement]:
    wanted: list[Measurement] = [
        ("start-up", lambda: [commands.first_output(rounds)]),
        ("memory", commands.four_vms),
    ]
    if first_compile:
        wanted.append(("the first compile", commands.first_compile))
    if suite is not None:
        wanted.append(("riscv-tests", lambda: [commands.suite(suite, rounds)]))
    return wanted


def _figures(measurements: list[Measurement], progress: Progress) -> list[Figure]:
    figures: list[Figure] = []
    for i, (text, take) in enumerate(measurements):
        progress(text, i / len(measurements))
        figures += take()
    return figures


def _computer() -> str:
    """Like "Linux x86_64, 2 CPUs (AMD EPYC), Python 3.11.7"."""
    model = platform.processor()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].partition(": ")[2] if names else model
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs ({model}), Python {platform.python_version()}"
