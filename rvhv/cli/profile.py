"""`--profile`: where guests spend their steps, by symbol.

The pc is looked at every so many steps, counted and not timed: the same run gives the same profile, on any computer and tier. The
file is for https://www.speedscope.app (its "sampled" profiles, one a VM or hart; a step is a nanosecond). When there are very
many samples every second one goes, and they come half as often from then on.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TextIO

from rvhv import __version__
from rvhv.cpu.state import SLOT
from rvhv.jit.engine import frame_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from rvhv.hart import Hart
    from rvhv.hv import Hypervisor
    from rvhv.machine.symbols import Symbols
    from rvhv.machine.virt import Machine

EVERY = 100_003  # steps; a prime, which loops are not in step with
MOST = 100_000  # samples
TOP = 10  # lines of the table
SCHEMA = "https://www.speedscope.app/file-format-schema.json"
PC, PRV, V, SAMPLE, REGION_STEPS = (SLOT[n] for n in ("pc", "prv", "v", "sample", "region_steps"))
MODES = {(0, 0): "U", (1, 0): "S", (3, 0): "M", (0, 1): "VU", (1, 1): "VS"}  # by (prv, v)


@dataclass(frozen=True, slots=True)
class Sample:
    """Where VM or hart `owner` was. `translated`: steps in regions since the sample before, which differs from run to run.
    `frame`: that pc is in, or -1 where that is not known."""

    owner: int
    pc: int
    mode: str
    translated: int
    frame: int


@dataclass(frozen=True, slots=True)
class Look:
    """Who runs: its `state`, the hart that it is on, and the steps of all harts in regions."""

    owner: int
    state: memoryview[int]
    hart: Hart
    regions: int


@dataclass(frozen=True, slots=True)
class Hot:
    """A symbol in the table; both shares are of 1, `translated` of its own steps."""

    owner: int
    symbol: str
    mode: str
    share: float
    translated: float


class Profile:
    """Samples of one run. `names`: of VMs or harts, by their numbers; `symbols` gives those of one."""

    def __init__(self, every: int = EVERY, most: int = MOST) -> None:
        self.every = every
        self.samples: list[Sample] = []
        self.names: Mapping[int, str] = {}
        self.symbols: Callable[[int], Symbols]
        self._most = most
        self._last = 0  # steps at the last sample
        self._regions = 0  # steps in regions until then

    def watch(self, harts: Sequence[Hart]) -> None:
        """Harts that are new. The translator finds hot code by whole chunks, and budgets become shorter than its own."""
        self._regions = 0
        for hart in harts:
            hart.state[SAMPLE] = min(hart.state[SAMPLE], self.every // 2)

    def run(self, go: Callable[[int], int], budget: int, steps: int, look: Callable[[], Look]) -> None:
        """Make `budget` steps by `go`, which returns those it made, fewer when there is something else to do; `steps` were made
        before."""
        end = steps + budget
        while steps < end:
            part = min(end - steps, self.every - steps % self.every)
            made = go(part)
            steps += made
            if made and steps % self.every == 0:
                self._take(look())
            if made < part:
                return

    def _take(self, look: Look) -> None:
        state, pc = look.state, look.state[PC]
        mode = MODES.get((state[PRV], state[V]), "?")
        frame = frame_at(look.hart.memory, look.hart.state, pc)
        self.samples.append(Sample(look.owner, pc, mode, look.regions - self._regions, frame))
        self._regions = look.regions
        if len(self.samples) >= self._most and len(self.samples) % 2 == 0:
            pairs = zip(self.samples[::2], self.samples[1::2], strict=True)
            self.samples = [replace(b, translated=a.translated + b.translated) for a, b in pairs]
            self.every *= 2

    def symbol(self, sample: Sample) -> str:
        nearest = self.symbols(sample.owner).nearest(sample.pc)
        return nearest[1] if nearest else f"{sample.pc & -4096:#x} (page)"

    def top(self, most: int = TOP) -> list[Hot]:
        """Where most of the samples were taken."""
        counts, translated = Counter[tuple[int, str, str]](), Counter[tuple[int, str, str]]()
        for sample in self.samples:
            key = (sample.owner, self.symbol(sample), sample.mode)
            counts[key] += 1
            translated[key] += sample.translated
        ordered = sorted(counts, key=lambda k: (-counts[k], k))
        whole = len(self.samples)
        return [Hot(*k, counts[k] / whole, translated[k] / counts[k] / self.every) for k in ordered[:most]]

    def speedscope(self) -> dict[str, Any]:
        """A stack is the mode, and in it the symbol."""
        frames: dict[str, int] = {}
        profiles = []
        for owner, name in self.names.items():
            mine = [s for s in self.samples if s.owner == owner]
            stacks = [[frames.setdefault(n, len(frames)) for n in (f"{s.mode}-mode", self.symbol(s))] for s in mine]
            profiles.append(
                {
                    "type": "sampled",
                    "name": name,
                    "unit": "nanoseconds",
                    "startValue": 0,
                    "endValue": len(mine) * self.every,
                    "samples": stacks,
                    "weights": [self.every] * len(mine),
                }
            )
        return {
            "$schema": SCHEMA,
            "exporter": f"rvhv {__version__}",
            "shared": {"frames": [{"name": name} for name in frames]},
            "profiles": profiles,
        }

    def write(self, file: TextIO) -> None:
        json.dump(self.speedscope(), file)
        file.write("\n")

    def document(self, file: str) -> dict[str, Any]:
        """What `--json` says of it."""
        top = [{"name": self.names[h.owner], "symbol": h.symbol, "mode": h.mode, "share": round(h.share, 6)} for h in self.top()]
        return {"file": file, "every_steps": self.every, "samples": len(self.samples), "top": top}


def run_hypervisor(hv: Hypervisor, budget: int, profile: Profile) -> int:
    """As `hv.run(budget)`."""

    def look() -> Look:
        assert hv.last_run is not None
        return Look(hv.last_run.number, hv.last_run.vcpu.state, hv.hart, hv.hart.state[REGION_STEPS])

    before = hv.steps
    profile.run(hv.run, budget, before, look)
    return hv.steps - before


def run_machine(machine: Machine, budget: int, profile: Profile, steps: int = 0) -> bool:
    """As `machine.run(budget)`; `steps` were made before this machine."""
    going = True

    def go(part: int) -> int:
        nonlocal going
        before = machine.steps
        going = machine.run(part)
        return machine.steps - before

    def look() -> Look:
        number = machine.last_run
        hart = machine.harts[number]
        return Look(number, hart.state, hart, sum(hart.state[REGION_STEPS] for hart in machine.harts))

    profile.run(go, budget, steps + machine.steps, look)
    return going


def top_table(profile: Profile, *, translated: bool = False) -> Table:
    """The hottest symbols for people; with their share of steps in regions, or without."""
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.report import plain_table, share

    table = plain_table()
    table.add_column("steps", justify="right")
    if translated:
        table.add_column("translated", justify="right")
    several = len(profile.names) > 1
    if several:
        table.add_column("where")
    table.add_column("mode")
    table.add_column("symbol", overflow="fold")
    for hot in profile.top():
        row = [share(hot.share)]
        row += [share(min(1.0, hot.translated))] if translated else []
        row += [printable(profile.names[hot.owner])] if several else []
        table.add_row(*map(Text, (*row, hot.mode, printable(hot.symbol))))
    return table


def show_profile(profile: Profile, file: str, out: TextIO, *, no_color: bool) -> None:
    """The table, and where the rest is."""
    from rvhv.cli.plain import printable
    from rvhv.cli.terminal import rich_console, show

    console = rich_console(out, no_color=no_color)
    show(console, "")
    if profile.samples:
        show(console, top_table(profile))
    count = len(profile.samples)
    samples = f"{count:,} sample{'s' * (count != 1)}, one every {profile.every:,} steps"
    print(f"profile: {samples}, in {printable(file)} (open it at https://www.speedscope.app)", file=out)
