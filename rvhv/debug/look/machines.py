"""VMs, their harts and devices in tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rvhv.cpu.state import SLOT, STEPS_PER_TICK
from rvhv.debug.look.places import symbol
from rvhv.debug.look.table import cell, hexadecimal, table
from rvhv.debug.target import Context, Target, VmContext
from rvhv.debug.view import Line, Style, vm_style
from rvhv.errors import DebugError
from rvhv.hext.walks.table import size_text
from rvhv.machine import virt_board
from rvhv.machine.board import BOARD
from rvhv.machine.bus import MmioDevice
from rvhv.machine.clint import Clint
from rvhv.machine.plic import Plic
from rvhv.machine.rtc import Rtc
from rvhv.machine.uart import IER_LINE, IER_MODEM, IER_RECEIVED, IER_SENT, Uart
from rvhv.virtio.mmio import VirtioMmio

PAGE = 4096
IER_NAMES = {IER_RECEIVED: "received", IER_SENT: "sent", IER_LINE: "line", IER_MODEM: "modem"}


@dataclass(frozen=True)
class VmRow:
    """`touched`: bytes that have a page; sizes in bytes; `share` of all steps, 0 to 1."""

    number: int
    name: str
    state: str
    reason: str
    failed: bool
    steps: int
    share: float
    exits: int
    memory: int
    touched: int | None
    disk: str | None
    current: bool


@dataclass(frozen=True)
class Vms:
    rows: tuple[VmRow, ...]

    def lines(self) -> list[Line]:
        body = []
        for row in self.rows:
            state: Style = "bad" if row.failed else "good" if row.state == "running" else "dim"
            touched = "-" if row.touched is None else size_text(row.touched)
            body.append(
                [
                    cell(f"{'*' if row.current else ' '}{row.number}", "key"), cell(row.name, vm_style(row.number)),
                    cell(row.state, state), cell(f"{row.steps:,}"), cell(f"{row.share:.1%}"), cell(f"{row.exits:,}"),
                    cell(size_text(row.memory)), cell(touched), cell(row.disk or "-"), cell(row.reason, "dim"),
                ]
            )  # fmt: skip
        titles = ("vm", "name", "state", "steps", "share", "exits", "memory", "touched", "disk", "why it ended")
        return table(titles if any(row.reason for row in self.rows) else titles[:-1], body, right=(3, 4, 5, 6, 7))

    def json(self) -> Any:
        return {
            "vms": [
                {
                    "number": r.number, "name": r.name, "state": r.state, "reason": r.reason or None, "failed": r.failed,
                    "steps": r.steps, "share": round(r.share, 6), "exits": r.exits, "memory": r.memory, "touched": r.touched,
                    "disk": r.disk, "current": r.current,
                }
                for r in self.rows
            ]
        }  # fmt: skip


def vms(target: Target) -> Vms:
    """Every VM of a hypervisor. Raises DebugError of a bare machine."""
    if target.hv is None:
        raise DebugError("there are no VMs: this is a bare machine; vcpus lists its harts")
    rows = []
    for context in target.contexts:
        assert isinstance(context, VmContext)
        vm = context.vm
        touched = getattr(vm.gstage, "mapped", None) if context.alive else 0
        rows.append(
            VmRow(
                vm.number, vm.name, vm.state, vm.reason, vm.failed, vm.steps, vm.cpu_share, target.hv.exits_of(vm),
                vm.memory_size, touched, None if vm.disk is None else vm.disk.path,
                context is target.current,
            )
        )  # fmt: skip
    return Vms(tuple(rows))


@dataclass(frozen=True)
class VcpuRow:
    number: int
    name: str
    mode: str
    pc: int
    symbol: str
    status: str
    steps: int
    instructions: int
    waits_for: str
    current: bool


@dataclass(frozen=True)
class Vcpus:
    rows: tuple[VcpuRow, ...]

    def lines(self) -> list[Line]:
        body = [
            [
                cell(f"{'*' if row.current else ' '}{row.number}", "key"), cell(row.name, vm_style(row.number)), cell(row.mode),
                cell(f"{row.pc:#x}", "address"), cell(row.symbol, "symbol"), cell(f"{row.steps:,}"),
                cell(f"{row.instructions:,}"), cell(row.status + (f", {row.waits_for}" if row.waits_for else "")),
            ]
            for row in self.rows
        ]  # fmt: skip
        return table(("#", "name", "mode", "pc", "symbol", "steps", "instructions", "status"), body, right=(5, 6))

    def json(self) -> Any:
        return {
            "vcpus": [
                {
                    "number": r.number, "name": r.name, "mode": r.mode, "pc": hexadecimal(r.pc), "symbol": r.symbol or None,
                    "status": r.status, "steps": r.steps, "instructions": r.instructions, "waits_for": r.waits_for or None,
                    "current": r.current,
                }
                for r in self.rows
            ]
        }  # fmt: skip


def vcpus(target: Target) -> Vcpus:
    """Every guest hart: one of each VM, or those of a bare machine."""
    rows = []
    for context in target.contexts:
        waits = ""
        if isinstance(context, VmContext) and context.alive and context.vm.vcpu.asleep:
            deadline = context.vm.vcpu.deadline
            now = context.vm.virtual_ns
            waits = f"its timer is due in {max(0, deadline - now):,} ns" if deadline is not None else "no timer is set"
        rows.append(
            VcpuRow(
                context.number, context.name, context.mode, context.pc, symbol(context, context.pc), context.status,
                context.steps, context.instructions, waits, context is target.current,
            )
        )  # fmt: skip
    return Vcpus(tuple(rows))


@dataclass(frozen=True)
class DeviceRow:
    name: str
    base: int
    size: int
    source: int | None
    line: bool
    status: str
    bad: bool


@dataclass(frozen=True)
class Devices:
    """By address. `line`: the interrupt line is high."""

    context: str
    rows: tuple[DeviceRow, ...]

    def lines(self) -> list[Line]:
        body = [
            [
                cell(row.name, "key"), cell(f"{row.base:#x}", "address"), cell(size_text(row.size)),
                cell("-" if row.source is None else row.source),
                cell("high", "warn") if row.line else cell("low", "dim"), cell(row.status, "bad" if row.bad else ""),
            ]
            for row in self.rows
        ]  # fmt: skip
        return table(("device", "at", "size", "irq", "line", "status"), body, right=(1, 2, 3))

    def json(self) -> Any:
        return {
            "context": self.context,
            "devices": [
                {
                    "name": r.name, "base": hexadecimal(r.base), "size": r.size, "source": r.source, "line": r.line,
                    "status": r.status,
                }
                for r in self.rows
            ],
        }  # fmt: skip


def devices(context: Context) -> Devices:
    """What lies on a context's bus."""
    level = context.plic.registers.level
    rows = []
    for device in context.bus.devices:
        source = source_of(device)
        high = source is not None and bool(level >> source & 1)
        bad = isinstance(device, VirtioMmio) and bool(device.broken)
        rows.append(DeviceRow(device.name, device.base, device.size, source, high, status_of(context, device), bad))
    return Devices(context.name, tuple(rows))


def source_of(device: MmioDevice) -> int | None:
    """The PLIC source that a device drives."""
    if isinstance(device, VirtioMmio):
        return BOARD.virtio.source((device.base - BOARD.virtio.first.base) // BOARD.virtio.first.size)
    if isinstance(device, Uart):
        return virt_board.UART_SOURCE
    return virt_board.RTC_SOURCE if isinstance(device, Rtc) else None


def source_names(context: Context) -> dict[int, str]:
    """Devices by their PLIC source."""
    found = {source_of(device): device.name for device in context.bus.devices}
    return {source: name for source, name in found.items() if source is not None}


def status_of(context: Context, device: MmioDevice) -> str:
    """What a device is about, in a few words."""
    if isinstance(device, VirtioMmio):
        return _virtio_status(device)
    if isinstance(device, Plic):
        state = device.registers
        pending = _bits(state.pending)
        claimed = _bits(state.in_flight & ~state.pending)
        parts = [f"pending {_listed(pending)}" if pending else "nothing pending"]
        return ", ".join(parts + ([f"claimed and not completed {_listed(claimed)}"] if claimed else []))
    if isinstance(device, Uart):
        on = [name for bit, name in IER_NAMES.items() if device.enabled & bit]
        return f"{device.unread} bytes typed and unread, interrupts on: {_listed(on) if on else 'none'}"
    if isinstance(device, Clint):
        clock = context.hart.state[SLOT["clock"]]
        return f"mtime {clock // STEPS_PER_TICK:,}"
    if isinstance(device, Rtc):
        return f"{device.now / 1e9:.6f} s since 1970"
    return ""


def _virtio_status(device: VirtioMmio) -> str:
    if device.broken:
        return device.broken
    names = [flag.name or "" for flag in type(device.status) if flag & device.status]
    ready = sum(setup.queue is not None for setup in device.queues)
    status = " ".join(names) if names else "no driver yet (status 0)"
    return f"{status}; {ready} of {len(device.queues)} queues ready"


def _bits(mask: int) -> list[int]:
    return [n for n in range(mask.bit_length()) if mask >> n & 1]


def _listed(items: Sequence[object]) -> str:
    return ", ".join(str(item) for item in items)
