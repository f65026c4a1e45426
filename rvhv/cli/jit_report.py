"""What `rvhv jit stats` prints of a run."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rvhv.cli.main import INTERRUPTED
from rvhv.core.memory import PAGE
from rvhv.cpu.state import Leaving
from rvhv.jit.counts import CodePage, LeftAt
from rvhv.jit.job import Result

if TYPE_CHECKING:
    from rich.table import Table

    from rvhv.cli.jit_stats import Report

TOP = 10  # lines of a table
WHY = {
    Leaving.BUDGET: "few steps were left until a timer, the end of a slice or a look at what is hot",
    Leaving.PAGE: "for a page that was not executed lately",
    Leaving.UNTRANSLATED: "for code that is not translated",
    Leaving.INSTRUCTION: "for an instruction that is always the interpreter's",
    Leaving.REFUSED: "for an instruction that was refused: a fault, a device, what may change mode or mapping",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where code is. `vm`: whose, of a VM; `address` is virtual, or a spa where `text` says so."""

    vm: str
    address: int
    text: str


class Places:
    """Puts places in pages of code into words."""

    def __init__(self, report: Report) -> None:
        self._profile, self._base, self._hosts = report.profile, report.totals.base, report.hosts
        self._sampled = {s.frame: (s.owner, s.pc & -PAGE) for s in self._profile.samples}  # the last one's

    def of(self, page: CodePage, offset: int) -> Place:
        owner, start = page.vm, page.address
        if start is None:
            if page.frame not in self._sampled:
                spa = self._base + page.frame * PAGE + offset
                return Place("", spa, f"spa {spa:#x}")
            owner, start = self._sampled[page.frame]
        address = start + offset
        return Place(self._profile.names[owner] if self._hosts else "", address, self._profile.symbols(owner).place(address))


@dataclass(frozen=True, slots=True)
class Hot:
    """A region: the part of the samples that was in what it was made of, how often it was entered, and where most often."""

    share: float
    entered: int
    page: CodePage
    offset: int
    region: Result


def _regions(report: Report) -> list[Hot]:
    """Those with most samples, then those that were entered most often. What several were made of counts for the one that was
    entered most often."""
    sampled: dict[tuple[int, int], Counter[int]] = {}  # by owner, of VMs, and frame
    for sample in report.profile.samples:
        sampled.setdefault((sample.owner if report.hosts else 0, sample.frame), Counter())[sample.pc % PAGE] += 1
    whole = len(report.profile.samples) or 1
    found = []
    for (page, region), entries in sorted(report.totals.entered.items(), key=lambda item: -item[1].total()):
        offsets = sampled.get((page.vm if report.hosts else 0, page.frame), Counter())
        covered = [at for at in offsets if any(start <= at < start + len(data) for start, data in region.ranges)]
        usual = max(entries, key=lambda at: entries[at])
        found.append(Hot(sum(offsets.pop(at) for at in covered) / whole, entries.total(), page, usual, region))
    return sorted(found, key=lambda one: -one.share)[:TOP]


def _instruction(at: LeftAt, address: int) -> str:
    from rvhv.debug.look.code import disassembler

    return disassembler().disassemble(int.from_bytes(at.data, "little"), address)


def show_report(report: Report, *, as_json: bool, no_color: bool) -> int:
    """Print it; the exit code."""
    if as_json:
        print(json.dumps(_document(report), indent=2))
    else:
        _show_tables(report, no_color=no_color)
    return INTERRUPTED if report.interrupted else 0


def _document(report: Report) -> dict[str, Any]:
    totals, places = report.totals, Places(report)
    regions, left = [], []
    for one in _regions(report):
        place = places.of(one.page, one.offset)
        counted = {"share": round(one.share, 6), "entered": one.entered}
        made = {"instructions": one.region.instructions, "bytes": len(one.region.code)}
        regions.append({"vm": place.vm, "address": place.address, "place": place.text} | counted | made)
    for at, times in report.totals.left_at.most_common(TOP):
        place = places.of(at.page, at.offset)
        where = {"vm": place.vm, "address": place.address, "place": place.text}
        left.append(where | {"times": times, "instruction": _instruction(at, place.address)})
    return totals.counts() | {
        "region_share": round(totals.region_share, 6),
        "steps_an_entry": round(totals.steps_an_entry, 3),
        "left": {why.name.lower(): totals.left[why] for why in Leaving},
        "left_at": left,
        "hot_regions": regions,
        "ended": report.ended,
        "interrupted": report.interrupted,
        "hot": [
            {"name": report.profile.names[h.owner], "symbol": h.symbol, "mode": h.mode}
            | {"share": round(h.share, 6), "translated": round(h.translated, 6)}
            for h in report.profile.top()
        ],
    }


def _show_tables(report: Report, *, no_color: bool) -> None:
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.profile import top_table
    from rvhv.cli.terminal import rich_console, show

    console = rich_console(no_color=no_color)
    places = Places(report)
    tables = [_totals_table(report)]
    if report.profile.samples:
        tables.append(top_table(report.profile, translated=True))
    if report.totals.entered:
        tables.append(_regions_table(report, places))
    if report.totals.region_entries:
        tables += [_why_table(report), _left_table(report, places)]
    for table in tables:
        show(console, table)
        show(console, "")
    for line in report.ended:
        show(console, Text(printable(line)))


def _totals_table(report: Report) -> Table:
    from rvhv.cli.report import plain_table, share

    totals = report.totals
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
        ("  of them in regions", share(totals.region_share)),
        ("times that the interpreter entered a region", f"{totals.region_entries:,}"),
        ("steps an entry", f"{totals.steps_an_entry:,.1f}"),
    ]
    for row in rows:
        table.add_row(*row)
    return table


def _regions_table(report: Report, places: Places) -> Table:
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.report import plain_table, share

    table = plain_table()
    for header in ("part of run", "entered", "instructions", "bytes"):
        table.add_column(header, justify="right", no_wrap=True)
    if report.hosts:
        table.add_column("VM", overflow="fold")
    table.add_column("region, by where it is entered most", overflow="fold")
    for one in _regions(report):
        place = places.of(one.page, one.offset)
        names = [printable(place.vm)] if report.hosts else []
        numbers = [share(one.share), f"{one.entered:,}", f"{one.region.instructions:,}", f"{len(one.region.code):,}"]
        table.add_row(*map(Text, (*numbers, *names, printable(place.text))))
    return table


def _why_table(report: Report) -> Table:
    from rvhv.cli.report import plain_table

    table = plain_table()
    table.add_column("times", justify="right")
    table.add_column("why a region was left", overflow="fold")
    for why, times in report.totals.left.most_common():
        if times:
            table.add_row(f"{times:,}", WHY[why])
    return table


def _left_table(report: Report, places: Places) -> Table:
    from rich.text import Text

    from rvhv.cli.plain import printable
    from rvhv.cli.report import plain_table

    table = plain_table()
    table.add_column("times", justify="right", no_wrap=True)
    if report.hosts:
        table.add_column("VM", overflow="fold")
    table.add_column("instruction", overflow="fold")
    table.add_column("where the interpreter went on", overflow="fold")
    for at, times in report.totals.left_at.most_common(TOP):
        place = places.of(at.page, at.offset)
        names = [printable(place.vm)] if report.hosts else []
        table.add_row(*map(Text, (f"{times:,}", *names, _instruction(at, place.address), printable(place.text))))
    return table
