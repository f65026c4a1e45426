"""The bare machine's virtio-mmio slots: disks from the first on, an entropy device in the last, nothing in the others."""

from __future__ import annotations

from collections.abc import Sequence

from rvhv.errors import ConfigError
from rvhv.machine import virt_board as board
from rvhv.machine.board import Window
from rvhv.machine.bus import BusFault
from rvhv.machine.disk import DiskImage
from rvhv.machine.virt import Machine
from rvhv.virtio.block import Block
from rvhv.virtio.device import Device
from rvhv.virtio.entropy import Entropy
from rvhv.virtio.mmio import MAGIC, VENDOR_ID, VERSION, Reg, VirtioMmio

MOST_DISKS = board.ENTROPY_SLOT - board.FIRST_DISK_SLOT


class EmptySlot:
    """A transport without a device: device id 0 says so, and stores are ignored."""

    REGISTERS = {Reg.MagicValue: MAGIC, Reg.Version: VERSION, Reg.VendorID: VENDOR_ID}

    def __init__(self, slot: int, window: Window) -> None:
        self.name = f"virtio slot {slot}"
        self.base, self.size = window.base, window.size

    def load(self, offset: int, size: int) -> int:
        self._check(offset, size)
        return self.REGISTERS.get(Reg(offset), 0) if offset in Reg._value2member_map_ else 0

    def store(self, offset: int, size: int, value: int) -> None:
        self._check(offset, size)

    def _check(self, offset: int, size: int) -> None:
        if size != 4 or offset & 3:
            raise BusFault(f"{self.name} takes aligned words only, not {size} bytes at offset {offset:#x}")


def fill_slots(machine: Machine, disks: Sequence[DiskImage], seed: int) -> None:
    """Attach the devices. Raises ConfigError for more disks than there is room for."""
    if len(disks) > MOST_DISKS:
        raise ConfigError(f"a machine has room for {MOST_DISKS} disks, not {len(disks)}")
    devices: dict[int, Device] = {board.FIRST_DISK_SLOT + i: Block(disk) for i, disk in enumerate(disks)}
    devices[board.ENTROPY_SLOT] = Entropy(seed, "machine")
    for slot in range(board.VIRTIO.slots):
        window = board.VIRTIO.window(slot)
        if slot not in devices:
            machine.bus.attach(EmptySlot(slot, window))
            continue
        line = machine.line(board.VIRTIO.source(slot))
        machine.bus.attach(VirtioMmio(devices[slot], machine.ram, base=window.base, irq=line, on_broken=machine.warn))
