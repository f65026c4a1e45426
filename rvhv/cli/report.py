"""The end of a run: a table for people, a document for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rvhv.cli.plain import printable

if TYPE_CHECKING:
    from rich.console import Console


class EndedVm(Protocol):
    """What the report reads of a VM."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def failed(self) -> bool: ...
    @property
    def instructions(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def cpu_share(self) -> float: ...
    @property
    def exit_counts(self) -> Mapping[str, int]: ...
    @property
    def virtual_ns(self) -> int: ...


def duration(ns: float) -> str:
    """Nanoseconds with three digits in the unit that fits: `1.23 ms`."""
    ns = float(f"{ns:.3g}")
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            value = ns / size
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"
    return f"{ns:.0f} ns"


def exits_text(counts: Mapping[str, int]) -> str:
    """`sbi 12, mmio 3`: the most frequent cause first."""
    ordered = sorted(((n, cause) for cause, n in counts.items() if n), key=lambda item: (-item[0], item[1]))
    return ", ".join(f"{cause} {n:,}" for n, cause in ordered) or "none"


def show_table(console: Console, vms: Sequence[EndedVm], *, virtual_ns: int, host_seconds: float) -> None:
    """The table, and below it the times of the machine. Only the last figure differs from run to run."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("VM", style="bold", no_wrap=True, max_width=16)
    table.add_column("state", overflow="fold", ratio=3)
    table.add_column("instructions", justify="right", no_wrap=True)
    table.add_column("CPU", justify="right", no_wrap=True)
    table.add_column("its time", justify="right", no_wrap=True)
    table.add_column("exits", overflow="fold", ratio=4)
    for vm in vms:
        state = f"{vm.state}: {vm.reason}" if vm.reason else vm.state
        table.add_row(
            Text(printable(vm.name)),
            Text(printable(state), style="red" if vm.failed else ""),
            f"{vm.instructions:,}",
            f"{vm.cpu_share:.1%}",
            duration(vm.virtual_ns),
            Text(exits_text(vm.exit_counts)),
        )
    console.print()
    console.print(table)
    console.print(f"\nvirtual time {duration(virtual_ns)}, host time {duration(host_seconds * 1e9)}", style="dim")


def vm_document(vm: EndedVm, console: str) -> dict[str, Any]:
    """One VM in the `--json` document."""
    return {
        "name": vm.name,
        "state": vm.state,
        "reason": vm.reason,
        "failed": vm.failed,
        "instructions": vm.instructions,
        "steps": vm.steps,
        "cpu_share": round(vm.cpu_share, 6),
        "exits": dict(sorted(vm.exit_counts.items())),
        "virtual_ns": vm.virtual_ns,
        "console": console,
    }
