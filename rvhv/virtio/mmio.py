"""The virtio-mmio transport, version 2 (virtio 1.2, "Virtio Over MMIO").

The registers are a table at the end of the file. A driver that breaks a rule is told so (DEVICE_NEEDS_RESET and a
configuration change interrupt) and the user is told which rule, by `on_broken`; until the driver resets the device it
does nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from rvhv.machine.board import BOARD
from rvhv.machine.bus import BusFault, GuestMemory
from rvhv.virtio.device import F_INDIRECT_DESC, F_VERSION_1, Device
from rvhv.virtio.queue import QueueBroken, Rule, Virtqueue

MAGIC = 0x74726976  # "virt", little-endian
VERSION = 2
VENDOR_ID = int.from_bytes(b"rvhv", "little")
CONFIG = 0x100  # the device's configuration space begins here
WORD = 0xFFFF_FFFF


class Reg(IntEnum):
    """Byte offsets (virtio 1.2, "MMIO Device Register Layout")."""

    MagicValue = 0x000
    Version = 0x004
    DeviceID = 0x008
    VendorID = 0x00C
    DeviceFeatures = 0x010
    DeviceFeaturesSel = 0x014
    DriverFeatures = 0x020
    DriverFeaturesSel = 0x024
    QueueSel = 0x030
    QueueNumMax = 0x034
    QueueNum = 0x038
    QueueReady = 0x044
    QueueNotify = 0x050
    InterruptStatus = 0x060
    InterruptACK = 0x064
    Status = 0x070
    QueueDescLow = 0x080
    QueueDescHigh = 0x084
    QueueDriverLow = 0x090
    QueueDriverHigh = 0x094
    QueueDeviceLow = 0x0A0
    QueueDeviceHigh = 0x0A4
    SHMLenLow = 0x0B0
    SHMLenHigh = 0x0B4
    SHMBaseLow = 0x0B8
    SHMBaseHigh = 0x0BC
    ConfigGeneration = 0x0FC


class Status(IntFlag):
    """Device status bits (virtio 1.2, "Device Status Field")."""

    ACKNOWLEDGE = 1
    DRIVER = 2
    DRIVER_OK = 4
    FEATURES_OK = 8
    DEVICE_NEEDS_RESET = 64
    FAILED = 128


DRIVER_BITS = Status.ACKNOWLEDGE | Status.DRIVER | Status.DRIVER_OK | Status.FEATURES_OK | Status.FAILED


class Interrupt(IntFlag):
    """Bits of InterruptStatus."""

    USED_BUFFER = 1
    CONFIG_CHANGE = 2


@dataclass(slots=True)
class QueueSetup:
    """What the driver wrote about one queue; `queue` once that was found valid."""

    max_size: int
    size: int = 0
    desc: int = 0
    avail: int = 0
    used: int = 0
    queue: Virtqueue | None = None


class VirtioMmio:
    """A device at [base, base + size). `irq(level)` follows InterruptStatus; `on_broken(sentence)`: broken rules."""

    def __init__(
        self,
        device: Device,
        memory: GuestMemory,
        *,
        base: int,
        irq: Callable[[bool], None],
        on_broken: Callable[[str], None],
        size: int = BOARD.virtio.first.size,
    ) -> None:
        self.name = f"virtio {device.name}"
        self.base = base
        self.size = size
        self.device = device
        self._memory = memory
        self._irq = irq
        self._on_broken = on_broken
        self._offered = device.features | F_VERSION_1 | F_INDIRECT_DESC
        self.on_notify: Callable[[int], None] | None = None  # sees each notification's queue, before it is served
        self._clear()
        device.attach(self.kick)

    def _clear(self) -> None:
        self._status = Status(0)
        self._interrupts = Interrupt(0)
        self._driver_features = 0
        self._device_features_sel = 0
        self._driver_features_sel = 0
        self._queue_sel = 0
        self._queues = [QueueSetup(max_size) for max_size in self.device.queue_sizes]
        self.broken = ""  # the rule that the driver broke, in a sentence, until it resets the device
        self.broken_at: int | None = None  # the gpa of the descriptor, or ring entry, that broke it

    # the machine's side

    @property
    def status(self) -> Status:
        return self._status

    @property
    def driver_features(self) -> int:
        """The features the driver asked for; negotiated once FEATURES_OK is set."""
        return self._driver_features

    @property
    def queues(self) -> tuple[QueueSetup, ...]:
        """What the driver has set up, for those who look."""
        return tuple(self._queues)

    @property
    def interrupts(self) -> Interrupt:
        """InterruptStatus: not 0 while the line is high."""
        return self._interrupts

    def load(self, offset: int, size: int) -> int:
        """A register, 0 where there is none. BusFault unless a register is read as an aligned word."""
        self._check_access(offset, size)
        if offset >= CONFIG:
            at = offset - CONFIG
            return int.from_bytes(self.device.config[at : at + size], "little")
        register = REGISTERS.get(offset)
        return register.read(self) & WORD if register and register.read else 0

    def store(self, offset: int, size: int, value: int) -> None:
        """Write a register; read-only ones ignore it. BusFault unless a register is written as an aligned word."""
        self._check_access(offset, size)
        # no device here has configuration fields that a driver can write
        register = REGISTERS.get(offset) if offset < CONFIG else None
        if register and register.write:
            try:
                register.write(self, value & WORD)
            except QueueBroken as broken:
                self._break(broken, None if offset == Reg.Status else self._queue_sel)

    def kick(self, index: int) -> None:
        """Let the device serve a queue, as a notification does; nothing happens while the driver is not ready."""
        alive = self._status & (Status.DRIVER_OK | Status.DEVICE_NEEDS_RESET | Status.FAILED) == Status.DRIVER_OK
        queue = self._queues[index].queue if index < len(self._queues) else None
        if not alive or queue is None:
            return
        try:
            self.device.serve(index, queue)
            if queue.take_interrupt():
                self._raise(Interrupt.USED_BUFFER)
        except QueueBroken as broken:
            self._break(broken, index)

    def _check_access(self, offset: int, size: int) -> None:
        if offset < 0 or offset + size > self.size or size not in (1, 2, 4, 8) or offset % size:
            raise BusFault(f"{self.name} takes no {size}-byte access at offset {offset:#x}")
        if offset < CONFIG and size != 4:
            raise BusFault(f"the registers of {self.name} take aligned 32-bit accesses only, not {size} bytes")

    def _raise(self, bits: Interrupt) -> None:
        self._set_interrupts(self._interrupts | bits)

    def _set_interrupts(self, bits: Interrupt) -> None:
        before, self._interrupts = self._interrupts, bits
        if bool(before) != bool(bits):
            self._irq(bool(bits))

    def _break(self, broken: QueueBroken, index: int | None) -> None:
        if self._status & Status.DEVICE_NEEDS_RESET:
            return
        ready = self._status & Status.DRIVER_OK
        self._status |= Status.DEVICE_NEEDS_RESET
        where = self.name if index is None else f"{self.name}, queue {index}"
        self.broken, self.broken_at = f"{where}: {broken}", broken.at
        self._on_broken(self.broken)
        if ready:  # a driver that is not ready gets no notifications; it can read the status
            self._raise(Interrupt.CONFIG_CHANGE)

    # the guest's side: one method per register that does more than return a number

    def _read_device_features(self) -> int:
        return _half(self._offered, self._device_features_sel)

    def _write_driver_features(self, value: int) -> None:
        if self._driver_features_sel < 2 and not self._status & Status.FEATURES_OK:
            self._driver_features = _with_half(self._driver_features, self._driver_features_sel, value)

    def _write_device_features_sel(self, value: int) -> None:
        self._device_features_sel = value

    def _write_driver_features_sel(self, value: int) -> None:
        self._driver_features_sel = value

    def _write_queue_sel(self, value: int) -> None:
        self._queue_sel = value

    def _selected(self) -> QueueSetup | None:
        return self._queues[self._queue_sel] if self._queue_sel < len(self._queues) else None

    def _read_queue_num_max(self) -> int:
        setup = self._selected()
        return setup.max_size if setup else 0

    def _read_queue_ready(self) -> int:
        setup = self._selected()
        return int(setup is not None and setup.queue is not None)

    def _write_queue_ready(self, value: int) -> None:
        setup = self._selected()
        if setup is None:
            return
        if not value & 1:
            setup.queue = None
        elif setup.queue is None:
            if not self._status & Status.FEATURES_OK:
                raise QueueBroken(Rule.FEATURES_FIRST, "QueueReady was written first")
            setup.queue = Virtqueue(
                self._memory,
                size=setup.size,
                max_size=setup.max_size,
                desc=setup.desc,
                avail=setup.avail,
                used=setup.used,
                indirect=bool(self._driver_features & F_INDIRECT_DESC),
            )

    def _unready(self) -> QueueSetup | None:
        """The selected queue, to change its setup."""
        setup = self._selected()
        if setup is not None and setup.queue is not None:
            raise QueueBroken(Rule.QUEUE_MOVED, "the queue was changed while it was ready")
        return setup

    def _write_queue_num(self, value: int) -> None:
        if setup := self._unready():
            setup.size = value

    def _write_desc(self, half: int, value: int) -> None:
        if setup := self._unready():
            setup.desc = _with_half(setup.desc, half, value)

    def _write_avail(self, half: int, value: int) -> None:
        if setup := self._unready():
            setup.avail = _with_half(setup.avail, half, value)

    def _write_used(self, half: int, value: int) -> None:
        if setup := self._unready():
            setup.used = _with_half(setup.used, half, value)

    def _write_queue_notify(self, value: int) -> None:
        if self.on_notify is not None:
            self.on_notify(value)
        self.kick(value)

    def _read_interrupt_status(self) -> int:
        return self._interrupts

    def _write_interrupt_ack(self, value: int) -> None:
        self._set_interrupts(self._interrupts & ~Interrupt(value & 3))

    def _read_status(self) -> int:
        return self._status

    def _write_status(self, value: int) -> None:
        if value == 0:
            self._set_interrupts(Interrupt(0))
            self._clear()
            self.device.reset()
            return
        # a driver must not clear bits, so they only accumulate
        new = Status(value) & DRIVER_BITS & ~self._status
        if new & Status.FEATURES_OK and not self._features_acceptable():
            new &= ~Status.FEATURES_OK  # the driver reads the status back and finds out
        if new & Status.DRIVER_OK and not (self._status | new) & Status.FEATURES_OK:
            raise QueueBroken(Rule.FEATURES_FIRST, "DRIVER_OK was written first")
        self._status |= new
        if new & Status.DRIVER_OK:
            for index in range(len(self._queues)):  # what was made available before counts from now on
                self.kick(index)

    def _features_acceptable(self) -> bool:
        return not self._driver_features & ~self._offered and bool(self._driver_features & F_VERSION_1)


def _half(value: int, half: int) -> int:
    """Word 0 or 1 of a 64-bit value; the others are 0."""
    return value >> 32 * half & WORD


def _with_half(value: int, half: int, word: int) -> int:
    return value & ~(WORD << 32 * half) | word << 32 * half


@dataclass(frozen=True, slots=True)
class Register:
    """A read-only, write-only or read-write register; a missing direction reads 0 or ignores the write."""

    read: Callable[[VirtioMmio], int] | None = None
    write: Callable[[VirtioMmio, int], None] | None = None


REGISTERS: dict[int, Register] = {
    Reg.MagicValue: Register(read=lambda t: MAGIC),
    Reg.Version: Register(read=lambda t: VERSION),
    Reg.DeviceID: Register(read=lambda t: t.device.device_id),
    Reg.VendorID: Register(read=lambda t: VENDOR_ID),
    Reg.DeviceFeatures: Register(read=VirtioMmio._read_device_features),
    Reg.DeviceFeaturesSel: Register(write=VirtioMmio._write_device_features_sel),
    Reg.DriverFeatures: Register(write=VirtioMmio._write_driver_features),
    Reg.DriverFeaturesSel: Register(write=VirtioMmio._write_driver_features_sel),
    Reg.QueueSel: Register(write=VirtioMmio._write_queue_sel),
    Reg.QueueNumMax: Register(read=VirtioMmio._read_queue_num_max),
    Reg.QueueNum: Register(write=VirtioMmio._write_queue_num),
    Reg.QueueReady: Register(read=VirtioMmio._read_queue_ready, write=VirtioMmio._write_queue_ready),
    Reg.QueueNotify: Register(write=VirtioMmio._write_queue_notify),
    Reg.InterruptStatus: Register(read=VirtioMmio._read_interrupt_status),
    Reg.InterruptACK: Register(write=VirtioMmio._write_interrupt_ack),
    Reg.Status: Register(read=VirtioMmio._read_status, write=VirtioMmio._write_status),
    Reg.QueueDescLow: Register(write=lambda t, v: t._write_desc(0, v)),
    Reg.QueueDescHigh: Register(write=lambda t, v: t._write_desc(1, v)),
    Reg.QueueDriverLow: Register(write=lambda t, v: t._write_avail(0, v)),
    Reg.QueueDriverHigh: Register(write=lambda t, v: t._write_avail(1, v)),
    Reg.QueueDeviceLow: Register(write=lambda t, v: t._write_used(0, v)),
    Reg.QueueDeviceHigh: Register(write=lambda t, v: t._write_used(1, v)),
    # a shared memory region that does not exist has the length -1
    Reg.SHMLenLow: Register(read=lambda t: WORD),
    Reg.SHMLenHigh: Register(read=lambda t: WORD),
    Reg.SHMBaseLow: Register(read=lambda t: WORD),
    Reg.SHMBaseHigh: Register(read=lambda t: WORD),
    Reg.ConfigGeneration: Register(read=lambda t: 0),  # no device here changes its configuration
}
