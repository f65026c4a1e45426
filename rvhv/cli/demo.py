"""`rvhv demo`: the four built-in guests side by side."""

from __future__ import annotations

import tempfile
from hashlib import shake_128
from pathlib import Path
from typing import TYPE_CHECKING

import click

from rvhv.cli.group import color_option, json_option, traceback_option
from rvhv.cli.session import Guest, Plan, host
from rvhv.images import GUESTS

if TYPE_CHECKING:
    from rvhv.hv import VM

MEMORY = 32 << 20  # bytes a VM
DISK_BYTES = 1 << 20
EXPECTED_TO_FAIL = {"rogue"}  # it tries to break out until it is stopped: that is the demonstration

INTRODUCTION = """\
Four guest kernels in four VMs on one emulated RISC-V machine. Their code runs in VS-mode, under two stages of
address translation; what they may not do themselves traps to the hypervisor, which is Python that you can read.
"""


def introduction() -> str:
    return INTRODUCTION + "".join(f"  {name:<6} {what}\n" for name, what in GUESTS.items())


def disk_image() -> bytes:
    """The demo's disk: noise that is the same on every computer."""
    return shake_128(b"rvhv demo").digest(DISK_BYTES)


@click.command("demo")
@click.option("--trace-hash", is_flag=True, help="Print the hash over all exits: the same for the same run, anywhere.")
@json_option
@color_option
@traceback_option
def command(trace_hash: bool, as_json: bool, no_color: bool) -> int:
    """Host the four built-in guests side by side, with a temporary disk."""
    with tempfile.TemporaryDirectory(prefix="rvhv-demo-") as folder:
        disk = Path(folder) / "disk.raw"
        disk.write_bytes(disk_image())
        if not as_json:
            click.echo(introduction())
        guests = [Guest(name, name, MEMORY, disk if name == "disk" else None) for name in GUESTS]
        plan = Plan(guests, trace_hash=trace_hash, as_json=as_json, no_color=no_color, warnings=False)
        return host(plan, passed=_as_expected)


def _as_expected(vm: VM) -> bool:
    return vm.failed == (vm.name in EXPECTED_TO_FAIL)
