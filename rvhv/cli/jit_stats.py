"""`rvhv jit stats`: what the translator did in a run, and what it has on disk."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rvhv.boot.loader import Software, prepare
from rvhv.cli.boot import DEFAULT_MEMORY, Output, Session, Setup, new_profile
from rvhv.cli.profile import Profile
from rvhv.cli.session import OVERHEAD, STRIDE, Interrupt
from rvhv.cli.session import new_profile as profile_of_vms
from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT, Leaving
from rvhv.errors import ConfigError
from rvhv.hart import Hart
from rvhv.jit.cache import ObjectCache
from rvhv.jit.counts import CodePage, LeftAt, entered, left_at
from rvhv.jit.engine import Engine
from rvhv.jit.job import Result

STEPS, REGION_STEPS, REGION_ENTRIES, LEFT = (SLOT[n] for n in ("steps", "region_steps", "region_entries", "left_budget"))


@dataclass
class Totals:
    """What one run's engines and harts counted; of several machines where it rebooted. `base`: of their memory."""

    regions: int = 0
    instructions: int = 0  # of the guest, translated
    code_bytes: int = 0
    requests: int = 0
    installs: int = 0
    reused: int = 0
    from_cache: int = 0
    refused: int = 0
    worker_seconds: float = 0.0
    steps: int = 0
    region_steps: int = 0
    region_entries: int = 0
    left: Counter[Leaving] = field(default_factory=Counter)
    entered: dict[tuple[CodePage, Result], Counter[int]] = field(default_factory=dict)
    left_at: Counter[LeftAt] = field(default_factory=Counter)
    base: int = 0

    def add(self, memory: Memory, harts: Iterable[Hart]) -> None:
        if isinstance(engine := memory.engine, Engine):
            for name in COUNTED:
                setattr(self, name, getattr(self, name) + getattr(engine.statistics, name))
        for hart in harts:
            self.steps += hart.state[STEPS]
            self.region_steps += hart.state[REGION_STEPS]
            self.region_entries += hart.state[REGION_ENTRIES]
            self.left.update({why: hart.state[LEFT + why] for why in Leaving})
        self.collect(memory)

    def collect(self, memory: Memory) -> None:
        """What is counted by place, and lost when the memory is given up. To be called once before that."""
        self.base = memory.base
        for region, entries in entered(memory).items():
            self.entered.setdefault(region, Counter()).update(entries)
        self.left_at.update(left_at(memory))

    def counts(self) -> dict[str, Any]:
        """What can be added up."""
        return {name: getattr(self, name) for name in SUMMED}

    @property
    def region_share(self) -> float:
        return self.region_steps / self.steps if self.steps else 0.0

    @property
    def steps_an_entry(self) -> float:
        return self.region_steps / self.region_entries if self.region_entries else 0.0


COUNTED = tuple(Totals.__dataclass_fields__)[:9]
SUMMED = tuple(Totals.__dataclass_fields__)[:12]


@dataclass
class Report:
    """One run: `ended` says how, for people. `hosts`: it was of VMs."""

    totals: Totals
    profile: Profile
    hosts: bool
    ended: list[str] = field(default_factory=list)
    interrupted: bool = False


def of_machine(
    software: Software,
    harts: int,
    memory: int | None,
    disks: Sequence[Path],
    max_steps: int | None,
    tier: str | None,
    *,
    no_color: bool,
) -> Report:
    """Run the software as `rvhv boot` does."""
    from contextlib import ExitStack

    from rvhv.cli.boot import check_harts
    from rvhv.cli.progress import ensure_compiled
    from rvhv.machine.disk import DiskImage

    check_harts(harts)
    size = memory or DEFAULT_MEMORY
    boot = prepare(software, memory=size, harts=harts)
    totals = Totals()
    with ExitStack() as stack:
        images = [stack.enter_context(DiskImage(path)) for path in disks]
        ensure_compiled(no_color=no_color)
        setup = Setup(harts, size, images, max_steps=max_steps, tier=tier)
        profile = new_profile(boot, harts)
        session = stack.enter_context(
            Session(boot, setup, Output(None), profile, lambda machine: totals.add(machine.memory, machine.harts))
        )
        session.run()
        assert session.machine.end is not None
        return Report(totals, profile, False, [session.machine.end.reason], session.interrupted)


def of_guests(guests: Sequence[str], memory: int | None, max_steps: int | None, tier: str | None, *, no_color: bool) -> Report:
    """Host the guests as `rvhv run` does."""
    from rvhv.cli.params import vm_names
    from rvhv.cli.profile import run_hypervisor
    from rvhv.cli.progress import ensure_compiled
    from rvhv.cli.run import DEFAULT_MEMORY as VM_MEMORY
    from rvhv.hv import Hypervisor
    from rvhv.hv.guests import find_image

    images = [find_image(guest) for guest in guests]
    ensure_compiled(no_color=no_color)
    size = memory or VM_MEMORY
    totals = Totals()
    with Hypervisor(len(guests) * size + OVERHEAD, tier=tier) as hv:
        vms = [hv.create(name, image, memory=size) for name, image in zip(vm_names(guests), images, strict=True)]
        profile = profile_of_vms(hv, vms)
        hv.on_stop = lambda vm: totals.collect(hv.memory)  # its frames are given back then, and all that was made of code
        with Interrupt(hv.interrupt) as interrupt:
            left = max_steps
            while not hv.finished and not interrupt.asked and left != 0:
                made = run_hypervisor(hv, STRIDE if left is None else min(left, STRIDE), profile)
                left = None if left is None else left - made
        hv.on_stop = None
        totals.add(hv.memory, [hv.hart])
        ended = [f"{vm.name}: {vm.reason if vm.stopped is not None else 'still running'}" for vm in vms]
        return Report(totals, profile, True, ended, interrupt.asked)


def show_cache(*, clear: bool, as_json: bool) -> int:
    """What is in the object cache, or that it is empty now."""
    from rvhv.cli.plain import printable

    cache = ObjectCache()
    removed = cache.clear() if clear else 0
    files = cache.files()
    size = sum(n for _, n, _ in files)
    if as_json:
        document = {"folder": str(cache.folder), "files": len(files), "bytes": size, "limit": cache.most, "removed": removed}
        print(json.dumps(document, indent=2))
        return 0
    if clear:
        print(f"removed {removed:,} file{'s' * (removed != 1)}")
    print(f"folder  {printable(str(cache.folder))}")
    print(f"files   {len(files):,}")
    print(f"bytes   {size:,} of at most {cache.most:,}")
    if clear and files:
        raise ConfigError(f"{len(files):,} files in {cache.folder} could not be removed")
    return 0
