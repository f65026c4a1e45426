"""`rvhv jit stats`: what the translator did in a run, and what it has on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rvhv.boot.loader import Software, prepare
from rvhv.cli.boot import DEFAULT_MEMORY, Output, Session, Setup, new_profile
from rvhv.cli.main import INTERRUPTED
from rvhv.cli.profile import Profile, top_table
from rvhv.cli.session import OVERHEAD, STRIDE, Interrupt
from rvhv.cli.session import new_profile as profile_of_vms
from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT
from rvhv.errors import ConfigError
from rvhv.hart import Hart
from rvhv.jit.cache import ObjectCache
from rvhv.jit.engine import Engine

STEPS, REGION_STEPS, REGION_ENTRIES = (SLOT[n] for n in ("steps", "region_steps", "region_entries"))


@dataclass
class Totals:
    """What one run's engines and harts counted; of several machines where it rebooted."""

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

    def add(self, memory: Memory, harts: Iterable[Hart]) -> None:
        if isinstance(engine := memory.engine, Engine):
            for name in COUNTED:
                setattr(self, name, getattr(self, name) + getattr(engine.statistics, name))
        for hart in harts:
            self.steps += hart.state[STEPS]
            self.region_steps += hart.state[REGION_STEPS]
            self.region_entries += hart.state[REGION_ENTRIES]


COUNTED = tuple(Totals.__dataclass_fields__)[:9]


@dataclass
class Report:
    """One run: `ended` says how, for people."""

    totals: Totals
    profile: Profile
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
        return Report(totals, profile, [session.machine.end.reason], session.interrupted)


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
        with Interrupt(hv.interrupt) as interrupt:
            left = max_steps
            while not hv.finished and not interrupt.asked and left != 0:
                made = run_hypervisor(hv, STRIDE if left is None else min(left, STRIDE), profile)
                left = None if left is None else left - made
        totals.add(hv.memory, [hv.hart])
        ended = [f"{vm.name}: {vm.reason if vm.stopped is not None else 'still running'}" for vm in vms]
        return Report(totals, profile, ended, interrupt.asked)


def show_report(report: Report, *, as_json: bool, no_color: bool) -> int:
    """Print it; the exit code."""
    totals = report.totals
    share_translated = totals.region_steps / totals.steps if totals.steps else 0.0
    per_entry = totals.region_steps / totals.region_entries if totals.region_entries else 0.0
    if as_json:
        document: dict[str, Any] = asdict(totals)
        document |= {
            "region_share": round(share_translated, 6),
            "steps_an_entry": round(per_entry, 3),
            "ended": report.ended,
            "interrupted": report.interrupted,
            "hot": [
                {"name": report.profile.names[h.owner], "symbol": h.symbol, "mode": h.mode}
                | {"share": round(h.share, 6), "translated": round(h.translated, 6)}
                for h in report.profile.top()
            ],
        }
        print(json.dumps(document, indent=2))
        return INTERRUPTED if report.interrupted else 0
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.report import plain_table, share
    from rvhv.cli.terminal import rich_console, show

    console = rich_console(no_color=no_color)
    table = plain_table()
    table.add_column("translator")
    table.add_column("", justify="right")
    rows = [
        ("requests: code that was found to be hot", f"{totals.requests:,}"),
        ("regions made", f"{totals.regions:,}"),
        ("  of them from the cache on disk", f"{totals.from_cache:,}"),
        ("guest instructions in them", f"{totals.instructions:,}"),
        ("bytes of host code", f"{totals.code_bytes:,}"),
        ("installs", f"{totals.installs:,}"),
        ("  of regions that were known already", f"{totals.reused:,}"),
        ("refused: code that keeps changing", f"{totals.refused:,}"),
        ("CPU seconds of translation", f"{totals.worker_seconds:.2f}"),
        ("steps of the run", f"{totals.steps:,}"),
        ("  of them in regions", share(share_translated)),
        ("times that a region was entered", f"{totals.region_entries:,}"),
        ("steps an entry", f"{per_entry:,.1f}"),
    ]
    for row in rows:
        table.add_row(*row)
    show(console, table)
    if report.profile.samples:
        show(console, "")
        show(console, top_table(report.profile, translated=True))
    show(console, "")
    for line in report.ended:
        show(console, Text(printable(line)))
    return INTERRUPTED if report.interrupted else 0


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
