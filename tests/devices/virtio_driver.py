"""A guest for device tests: RAM in a bytearray, and a driver that can play by the rules or break them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from rvhv.machine.bus import GuestMemoryFault
from rvhv.virtio.device import F_VERSION_1, Device
from rvhv.virtio.mmio import Reg, Status, VirtioMmio

RAM_BASE = 0x8000_0000
RAM_SIZE = 0x4_0000
SLOT_BASE = 0x1000_1000

NEXT, WRITE, INDIRECT = 1, 2, 4


class ArrayMemory:
    """GuestMemory over a bytearray that counts what is asked of it."""

    def __init__(self, size: int = RAM_SIZE, base: int = RAM_BASE) -> None:
        self.base = base
        self.bytes = bytearray(size)
        self.accesses = 0

    def _at(self, gpa: int, n: int) -> int:
        self.accesses += 1
        if n < 0 or gpa < self.base or gpa + n > self.base + len(self.bytes):
            raise GuestMemoryFault(gpa)
        return gpa - self.base

    def read(self, gpa: int, n: int) -> bytes:
        at = self._at(gpa, n)
        return bytes(self.bytes[at : at + n])

    def write(self, gpa: int, data: bytes) -> None:
        at = self._at(gpa, len(data))
        self.bytes[at : at + len(data)] = data
        assert len(self.bytes) == RAM_SIZE or len(data) <= len(self.bytes)


@dataclass
class DriverQueue:
    """The driver's half of a queue at `base`: descriptor table, then the available ring, then the used ring."""

    memory: ArrayMemory
    base: int
    size: int
    avail_idx: int = 0
    used_idx: int = 0
    next_desc: int = 0

    @property
    def avail(self) -> int:
        return self.base + 16 * self.size

    @property
    def used(self) -> int:
        return (self.avail + 4 + 2 * self.size + 7) & ~7

    def set_desc(self, index: int, gpa: int, length: int, flags: int = 0, following: int = 0) -> None:
        self.memory.write(self.base + 16 * index, struct.pack("<QIHH", gpa, length, flags, following))

    def offer(self, head: int) -> None:
        """Make the chain that begins at `head` available."""
        self.memory.write(self.avail + 4 + 2 * (self.avail_idx % self.size), struct.pack("<H", head))
        self.set_avail_idx(self.avail_idx + 1)

    def set_avail_idx(self, idx: int, flags: int = 0) -> None:
        self.avail_idx = idx & 0xFFFF
        self.memory.write(self.avail, struct.pack("<HH", flags, self.avail_idx))

    def add(self, *buffers: tuple[int, int, bool]) -> int:
        """Offer a chain of (gpa, length, writable) buffers; returns its head."""
        indexes = [(self.next_desc + i) % self.size for i in range(len(buffers))]
        self.next_desc += len(buffers)
        for i, (gpa, length, writable) in enumerate(buffers):
            more = i + 1 < len(buffers)
            flags = (WRITE if writable else 0) | (NEXT if more else 0)
            self.set_desc(indexes[i], gpa, length, flags, indexes[i + 1] if more else 0)
        self.offer(indexes[0])
        return indexes[0]

    def take_used(self) -> list[tuple[int, int]]:
        """The (head, written) entries the device has used since the last call."""
        (idx,) = struct.unpack("<H", self.memory.read(self.used + 2, 2))
        entries = []
        while self.used_idx != idx:
            at = self.used + 4 + 8 * (self.used_idx % self.size)
            entries.append(struct.unpack("<II", self.memory.read(at, 8)))
            self.used_idx = (self.used_idx + 1) & 0xFFFF
        return entries


@dataclass
class Guest:
    """A device behind its transport, and the driver's view of both."""

    device: Device
    memory: ArrayMemory = field(default_factory=ArrayMemory)
    irq: bool = False
    irq_edges: int = 0
    broken: list[str] = field(default_factory=list)
    queues: list[DriverQueue] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mmio = VirtioMmio(self.device, self.memory, base=SLOT_BASE, irq=self._on_irq, on_broken=self.broken.append)

    def _on_irq(self, level: bool) -> None:
        assert level != self.irq, "irq is called for changes only"
        self.irq = level
        self.irq_edges += 1

    def get(self, reg: int) -> int:
        return self.mmio.load(reg, 4)

    def put(self, reg: int, value: int) -> None:
        self.mmio.store(reg, 4, value)

    @property
    def status(self) -> Status:
        return Status(self.get(Reg.Status))

    @property
    def needs_reset(self) -> bool:
        return bool(self.status & Status.DEVICE_NEEDS_RESET)

    def negotiate(self, features: int = F_VERSION_1) -> bool:
        self.put(Reg.Status, 0)
        self.put(Reg.Status, Status.ACKNOWLEDGE)
        self.put(Reg.Status, Status.ACKNOWLEDGE | Status.DRIVER)
        for half in (0, 1):
            self.put(Reg.DriverFeaturesSel, half)
            self.put(Reg.DriverFeatures, features >> 32 * half & 0xFFFF_FFFF)
        self.put(Reg.Status, self.status | Status.FEATURES_OK)
        return bool(self.status & Status.FEATURES_OK)

    def offered(self) -> int:
        value = 0
        for half in (0, 1):
            self.put(Reg.DeviceFeaturesSel, half)
            value |= self.get(Reg.DeviceFeatures) << 32 * half
        return value

    def set_up_queue(self, index: int, size: int, gpa: int) -> DriverQueue:
        queue = DriverQueue(self.memory, gpa, size)
        self.write_queue(index, size, queue.base, queue.avail, queue.used)
        return queue

    def write_queue(self, index: int, size: int, desc: int, avail: int, used: int) -> None:
        self.put(Reg.QueueSel, index)
        self.put(Reg.QueueNum, size)
        for reg, gpa in ((Reg.QueueDescLow, desc), (Reg.QueueDriverLow, avail), (Reg.QueueDeviceLow, used)):
            self.put(reg, gpa & 0xFFFF_FFFF)
            self.put(reg + 4, gpa >> 32)
        self.put(Reg.QueueReady, 1)

    def start(self, size: int = 8, features: int = F_VERSION_1) -> None:
        """Bring the device up by the rules, its queues at 4 KiB steps from the start of RAM."""
        assert self.negotiate(features)
        self.queues = [self.set_up_queue(i, size, RAM_BASE + 0x1000 * i) for i in range(len(self.device.queue_sizes))]
        self.put(Reg.Status, self.status | Status.DRIVER_OK)
        assert not self.needs_reset

    def notify(self, index: int) -> None:
        self.put(Reg.QueueNotify, index)

    def ack(self) -> int:
        """Acknowledge every interrupt; returns what they were."""
        bits = self.get(Reg.InterruptStatus)
        self.put(Reg.InterruptACK, bits)
        return bits
