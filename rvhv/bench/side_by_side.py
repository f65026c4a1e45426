"""The five programs, each in three modes, on rvhv and on the others in turn: instructions retired over CPU time.

rvhv counts the instructions; the others run the same ones.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rvhv.bench.emulators import RVHV, Emulator, run
from rvhv.bench.figure import Progress, Spread, spread
from rvhv.bench.images import PROGRAMS, Mode, program


@dataclass(frozen=True)
class Comparison:
    """A program in a mode. `rates`: million instructions a second by emulator; `ratios`: rvhv's over theirs, round by round.

    `seconds`: median CPU time of a run by emulator. What takes well under a second is start-up in good part.
    """

    program: str
    mode: str
    instructions: int
    rates: dict[str, Spread]
    seconds: dict[str, float]
    ratios: dict[str, Spread] = field(default_factory=dict)


def compare(
    emulators: Sequence[Emulator],
    *,
    rounds: int,
    scale: int,
    progress: Progress,
    names: Sequence[str] = PROGRAMS,
    modes: Sequence[Mode] = tuple(Mode),
) -> list[Comparison]:
    """Everything, `rounds` times; `scale` is how long the programs run (100: some 600 million instructions each)."""
    cells = [(name, mode) for name in names for mode in modes]
    comparisons = []
    with tempfile.TemporaryDirectory(prefix="rvhv-bench-") as folder:
        for i, (name, mode) in enumerate(cells):
            progress(f"{name}, {mode.name}-mode", i / len(cells))
            comparisons.append(_compare(name, mode, emulators, rounds, program(name, mode, scale), Path(folder)))
    return comparisons


def _compare(name: str, mode: Mode, emulators: Sequence[Emulator], rounds: int, elf: bytes, folder: Path) -> Comparison:
    instructions = 0
    seconds: dict[str, list[float]] = {}
    for _ in range(rounds):
        for emulator in emulators:
            result = run(emulator, elf, folder)
            if result is not None:
                instructions = result.instructions or instructions
                seconds.setdefault(emulator.name, []).append(result.seconds)
    rates = {who: [instructions / one / 1e6 for one in times] for who, times in seconds.items()}
    ratios = {
        who: spread([ours / theirs for ours, theirs in zip(rates[RVHV], times, strict=False)])
        for who, times in rates.items()
        if who != RVHV
    }
    return Comparison(
        name,
        mode.name,
        instructions,
        {who: spread(samples) for who, samples in rates.items()},
        {who: spread(times).median for who, times in seconds.items()},
        ratios,
    )
