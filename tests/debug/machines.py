"""Small sessions for the debugger's tests."""

from __future__ import annotations

from rvhv import Hypervisor
from rvhv.boot.loader import Software, prepare
from rvhv.debug.session import Session
from rvhv.images import image_path
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine


def hosted(*names: str, memory: str = "8M") -> Session:
    """VMs of built-in guests."""
    hv = Hypervisor("64M")
    for name in names:
        hv.create(name, memory=memory)
    return Session(hv)


def bare(name: str, harts: int = 1) -> Session:
    """A built-in program on the bare machine."""
    boot = prepare(Software(image_path(name)), memory=64 << 20, harts=harts)
    machine = Machine(Memory(64 << 20), harts=harts)
    boot.start(machine)
    return Session(machine, boot.images)
