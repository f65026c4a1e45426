"""The end of a run: tables for people. Imports rich, which takes 50 ms: import it late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rvhv.cli.consoles import LONGEST_NAME
from rvhv.cli.document import EndedVm
from rvhv.cli.plain import printable
from rvhv.cli.terminal import show

NUMBER_WIDTH = 9  # 1,234,567


def duration(ns: float) -> str:
    """Nanoseconds with three digits in the unit that fits: `1.23 ms`."""
    ns = float(f"{ns:.3g}")
    for unit, size in (("s", 1e9), ("ms", 1e6), ("µs", 1e3)):
        if ns >= size:
            value = ns / size
            return f"{value:,.0f} {unit}" if value >= 100 else f"{value:#.3g} {unit}"
    return f"{ns:.0f} ns"


def share(part: float) -> str:
    """A part of 1 in per cent; what is small is not shown as nothing."""
    return "<0.1%" if 0 < part < 0.001 else f"{part:.1%}"


def show_report(console: Console, vms: Sequence[EndedVm], *, virtual_ns: int, host_seconds: float) -> None:
    """How each VM ended, its exits by cause, and the machine's times. Only the last figure differs from run to run."""
    show(console, "")
    show(console, _vm_table(vms))
    causes = exit_causes(vms)
    causes_width = max((len(cause) for cause in causes), default=0)
    column_width = 3 + min(max(NUMBER_WIDTH, *(len(vm.name) for vm in vms)), LONGEST_NAME)
    columns = max(1, (console.width - causes_width) // column_width)
    for first in range(0, len(vms), columns) if causes else ():
        show(console, "")
        show(console, _exit_table(vms[first : first + columns], causes))
    show(console, "")
    show(console, f"virtual time {duration(virtual_ns)}, host time {duration(host_seconds * 1e9)}")


def exit_causes(vms: Sequence[EndedVm]) -> list[str]:
    """Every cause of an exit, the most frequent first."""
    total = Counter[str]()
    for vm in vms:
        total.update({cause: n for cause, n in vm.exit_counts.items() if n})
    return sorted(total, key=lambda cause: (-total[cause], cause))


def _vm_table(vms: Sequence[EndedVm]) -> Table:
    table = plain_table()
    table.add_column("VM", no_wrap=True, max_width=LONGEST_NAME)
    table.add_column("how it ended", overflow="fold")
    for header in ("instructions", "CPU", "its time"):
        table.add_column(header, justify="right", no_wrap=True)
    for vm in vms:
        state = "failed" if vm.failed else vm.state
        table.add_row(
            Text(printable(vm.name)),
            Text(printable(f"{state}: {vm.reason}" if vm.reason else state), style="red" if vm.failed else ""),
            f"{vm.instructions:,}",
            share(vm.cpu_share),
            duration(vm.virtual_ns),
        )
    return table


def _exit_table(vms: Sequence[EndedVm], causes: Sequence[str]) -> Table:
    table = plain_table()
    table.add_column("exits by cause", overflow="fold")
    for vm in vms:
        table.add_column(Text(printable(vm.name)), justify="right", no_wrap=True, max_width=LONGEST_NAME)
    for cause in causes:
        counts = [vm.exit_counts.get(cause, 0) for vm in vms]
        table.add_row(Text(printable(cause)), *[f"{n:,}" if n else "-" for n in counts])
    return table


def plain_table() -> Table:
    """Without lines but under its head."""
    return Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
