"""What single things cost, in nanoseconds of CPU time: a kind of `bench-micro` less the kind that differs in nothing else."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rvhv.bench.emulators import RVHV, Emulator, run
from rvhv.bench.figure import Figure, Progress, Spread, figure, spread
from rvhv.bench.images import MICRO, OPERATIONS, Mode, Single, program

PTE_WRITES_A_SECOND = 10_000


@dataclass(frozen=True)
class Kind:
    """`test` is done `times` times 100,000 times on the others, which may need microseconds for one, and OURS times on rvhv."""

    name: str
    test: Single
    base: Single
    modes: tuple[Mode, ...]
    times: int


OURS = 50  # as many as it takes for a few nanoseconds each to stand out from the noise of a process that starts
LOWER = (Mode.S, Mode.VS)
REMAPPED = Kind("remapping a page: PTE write, sfence.vma, refill", Single.PTE_WRITES, Single.STORES, LOWER, 3)
KINDS = (
    Kind("trap to M-mode and back", Single.ECALLS, Single.NOPS, LOWER, 3),
    Kind("sfence.vma of everything", Single.SFENCES, Single.NOPS, LOWER, 3),
    Kind("hfence.gvma of everything", Single.HFENCES, Single.NOPS, (Mode.M,), 3),
    Kind("TLB miss: a pointer chase over 48 MiB", Single.MISSES, Single.HITS, LOWER, 20),
    REMAPPED,
)


@dataclass(frozen=True)
class Cost:
    """Nanoseconds for one, by emulator."""

    name: str
    mode: str
    ns: dict[str, Spread]


def measure(emulators: Sequence[Emulator], *, rounds: int, scale: int, progress: Progress) -> list[Cost]:
    """All kinds, `rounds` times; `scale` 100 is the usual length."""
    cells = [(kind, mode) for kind in KINDS for mode in kind.modes]
    costs = []
    with tempfile.TemporaryDirectory(prefix="rvhv-bench-") as folder:
        for i, (kind, mode) in enumerate(cells):
            progress(f"{kind.name}, {mode.name}-mode", i / len(cells))
            costs.append(_measure(kind, mode, emulators, rounds, scale, Path(folder)))
    return costs


def _measure(kind: Kind, mode: Mode, emulators: Sequence[Emulator], rounds: int, scale: int, folder: Path) -> Cost:
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        for emulator in emulators:
            times = max(1, (OURS if emulator.name == RVHV else kind.times) * scale // 100)
            more, less = (run(emulator, program(MICRO, mode, times, test), folder) for test in (kind.test, kind.base))
            if more is not None and less is not None:
                ns = (more.seconds - less.seconds) / (times * OPERATIONS) * 1e9
                samples.setdefault(emulator.name, []).append(ns)
    return Cost(kind.name, mode.name, {who: spread(values) for who, values in samples.items()})


def pte_writes(costs: list[Cost]) -> list[Figure]:
    """What a kernel that changes its page tables 10,000 times a second loses."""
    name = f"{PTE_WRITES_A_SECOND:,} remapped pages a second cost"
    percent = PTE_WRITES_A_SECOND / 1e9 * 100
    return [
        figure(name, "% of the time", [n * percent for n in (ns.least, ns.median, ns.greatest)], note=f"{cost.mode}-mode")
        for cost in costs
        if cost.name == REMAPPED.name
        for ns in [cost.ns[RVHV]]
    ]
