"""Hypervisors over a fake hart, and the tiny image its VMs are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT
from rvhv.hv import VM, Hypervisor
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment
from tests.hv.fake_hart import FakeHart, Script

IMAGE = Image("tiny", BOARD.image_base, (Segment(BOARD.image_base, bytes(range(256)), 4096),), b"")
RAM = BOARD.ram_base
MEMORY = 4 << 20

SBI_BASE, SBI_SRST = 0x10, 0x53525354


def host(*scripts: Callable[[FakeHart], Script], memory: str | int = "16M", **options: Any) -> Hypervisor:
    """A hypervisor with a VM for each script, called a, b, c ...; `hv.printed` collects their console output."""
    hart = FakeHart(dict(enumerate(scripts, 1)))

    def hart_of(memory: Memory) -> FakeHart:
        hart.memory = memory
        return hart

    hv = Hypervisor(memory, hart=hart_of, **options)  # type: ignore[arg-type]
    for name, _ in zip("abcdefgh", scripts, strict=False):
        hv.create(name, IMAGE, memory=MEMORY)
    return hv


def power_off(hart: FakeHart, reason: int = 0) -> Script:
    yield hart.ecall(SBI_SRST, 0, 0, reason)
    raise AssertionError("the VM is off")


def slot(vm: VM, name: str) -> int:
    """A word of the VM's architectural state, wherever it is."""
    return vm.vcpu.state[SLOT[name]]
