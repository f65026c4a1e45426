"""The MMIO transport: registers, negotiation, status, interrupts, and what happens when a rule is broken."""

from __future__ import annotations

import pytest

from rvhv.machine.bus import BusFault
from rvhv.virtio.block import Block
from rvhv.virtio.console import Console
from rvhv.virtio.device import F_INDIRECT_DESC, F_VERSION_1
from rvhv.virtio.mmio import Interrupt, Reg, Status
from tests.devices.ram_disk import RamDisk
from tests.devices.virtio_driver import RAM_BASE, Guest

DATA = RAM_BASE + 0x8000
USED, CONFIG_CHANGE = Interrupt.USED_BUFFER, Interrupt.CONFIG_CHANGE


@pytest.fixture
def output() -> list[bytes]:
    return []


@pytest.fixture
def guest(output: list[bytes]) -> Guest:
    return Guest(Console(output.append))


def transmit(guest: Guest, data: bytes) -> None:
    guest.memory.write(DATA, data)
    guest.queues[1].add((DATA, len(data), False))
    guest.notify(1)


def test_identity(guest: Guest) -> None:
    assert guest.get(Reg.MagicValue).to_bytes(4, "little") == b"virt"
    assert (guest.get(Reg.Version), guest.get(Reg.DeviceID)) == (2, 3)
    assert guest.get(Reg.VendorID).to_bytes(4, "little") == b"rvhv"
    assert Guest(Block(RamDisk(1))).get(Reg.DeviceID) == 2


def test_features_on_offer(guest: Guest) -> None:
    assert guest.offered() == F_VERSION_1 | F_INDIRECT_DESC
    guest.put(Reg.DeviceFeaturesSel, 2)
    assert guest.get(Reg.DeviceFeatures) == 0
    guest.put(Reg.DeviceFeaturesSel, 0xFFFF_FFFF)
    assert guest.get(Reg.DeviceFeatures) == 0


@pytest.mark.parametrize("features", [0, F_INDIRECT_DESC, F_VERSION_1 | 1 << 40, F_VERSION_1 | 1])
def test_features_not_on_offer_or_no_version_1(guest: Guest, features: int) -> None:
    assert not guest.negotiate(features)
    assert not guest.needs_reset  # the driver is told by the status, and may try again
    assert guest.negotiate()


def test_features_are_fixed_by_features_ok(guest: Guest) -> None:
    assert guest.negotiate()
    guest.put(Reg.DriverFeaturesSel, 0)
    guest.put(Reg.DriverFeatures, 0xFFFF_FFFF)
    assert guest.mmio.driver_features == F_VERSION_1
    guest.put(Reg.Status, 0)
    guest.put(Reg.DriverFeaturesSel, 2)
    guest.put(Reg.DriverFeatures, 0xFFFF_FFFF)
    assert guest.mmio.driver_features == 0


def test_status_bits_accumulate_until_reset(guest: Guest) -> None:
    guest.start()
    up = Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK | Status.DRIVER_OK
    assert guest.status == up
    guest.put(Reg.Status, Status.ACKNOWLEDGE)
    assert guest.status == up
    guest.put(Reg.Status, 0xFFFF_FFFF)
    assert guest.status == up | Status.FAILED  # only the device says DEVICE_NEEDS_RESET
    guest.put(Reg.Status, 0)
    assert guest.status == 0 and guest.get(Reg.QueueReady) == 0


def test_driver_ok_needs_features_ok(guest: Guest) -> None:
    guest.put(Reg.Status, Status.DRIVER_OK)
    assert guest.status == Status.DEVICE_NEEDS_RESET
    assert len(guest.broken) == 1 and "FEATURES_OK" in guest.broken[0] and "queue 0" not in guest.broken[0]
    assert not guest.irq  # a driver that is not ready gets no notifications


def test_queues_need_features_ok(guest: Guest) -> None:
    guest.set_up_queue(0, 8, RAM_BASE)
    assert guest.get(Reg.QueueReady) == 0 and guest.needs_reset and "FEATURES_OK" in guest.broken[0]


def test_queue_registers_of_a_queue_that_does_not_exist(guest: Guest) -> None:
    guest.negotiate()
    guest.set_up_queue(2, 8, RAM_BASE)
    assert (guest.get(Reg.QueueNumMax), guest.get(Reg.QueueReady)) == (0, 0)
    guest.put(Reg.QueueSel, 0xFFFF_FFFF)
    assert guest.get(Reg.QueueNumMax) == 0
    guest.put(Reg.QueueSel, 1)
    assert guest.get(Reg.QueueNumMax) == 64
    assert not guest.needs_reset


def test_nothing_is_consumed_before_driver_ok(guest: Guest, output: list[bytes]) -> None:
    guest.negotiate()
    guest.queues = [guest.set_up_queue(i, 8, RAM_BASE + 0x1000 * i) for i in range(2)]
    transmit(guest, b"early")
    assert output == [] and not guest.irq
    guest.put(Reg.Status, guest.status | Status.DRIVER_OK)
    assert output == [b"early"] and guest.irq


@pytest.mark.parametrize("index", [2, 63, 0xFFFF_FFFF])
def test_a_notification_of_no_queue_is_ignored(guest: Guest, index: int) -> None:
    guest.start()
    guest.notify(index)
    assert not guest.irq and not guest.needs_reset


def test_interrupts_are_acknowledged_bit_by_bit(guest: Guest) -> None:
    guest.start()
    transmit(guest, b"x")
    assert guest.irq and guest.get(Reg.InterruptStatus) == USED
    guest.put(Reg.InterruptACK, ~USED & 0xFFFF_FFFF)
    assert guest.irq
    transmit(guest, b"y")
    assert guest.irq_edges == 1
    assert guest.ack() == USED
    assert not guest.irq and guest.irq_edges == 2


def test_a_stopped_queue_is_not_served(guest: Guest, output: list[bytes]) -> None:
    guest.start()
    guest.put(Reg.QueueSel, 1)
    guest.put(Reg.QueueReady, 0)
    transmit(guest, b"x")
    assert output == [] and guest.get(Reg.QueueReady) == 0


def test_making_a_ready_queue_ready_does_not_restart_it(guest: Guest, output: list[bytes]) -> None:
    guest.start()
    transmit(guest, b"x")
    guest.put(Reg.QueueSel, 1)
    guest.put(Reg.QueueReady, 1)
    transmit(guest, b"y")
    assert output == [b"x", b"y"] and not guest.needs_reset


@pytest.mark.parametrize("reg", [Reg.QueueNum, Reg.QueueDescLow, Reg.QueueDriverHigh, Reg.QueueDeviceLow])
def test_a_ready_queue_that_moves_is_broken(guest: Guest, reg: Reg) -> None:
    guest.start()
    guest.put(Reg.QueueSel, 1)
    guest.put(reg, 16)
    assert guest.needs_reset and guest.irq and guest.get(Reg.InterruptStatus) == CONFIG_CHANGE
    assert guest.broken == [
        "virtio console, queue 1: the queue was changed while it was ready, but a driver must not change the size or "
        'the addresses of a ready queue (virtio 1.2, "MMIO Device Register Layout")'
    ]


def test_a_broken_device_is_silent_until_reset(guest: Guest, output: list[bytes]) -> None:
    guest.start()
    guest.put(Reg.QueueSel, 0)
    guest.put(Reg.QueueNum, 4)
    assert guest.needs_reset and guest.ack() == CONFIG_CHANGE
    transmit(guest, b"x")
    guest.put(Reg.QueueNum, 4)
    guest.put(Reg.Status, Status.DRIVER_OK)
    assert output == [] and len(guest.broken) == 1 and not guest.irq
    guest.memory.bytes[:] = bytes(len(guest.memory.bytes))
    guest.start()
    transmit(guest, b"again")
    assert output == [b"again"]


def test_reset_lowers_the_line(guest: Guest) -> None:
    guest.start()
    transmit(guest, b"x")
    assert guest.irq
    guest.put(Reg.Status, 0)
    assert not guest.irq and guest.get(Reg.InterruptStatus) == 0


READ_ONLY = [Reg.MagicValue, Reg.Version, Reg.DeviceID, Reg.VendorID, Reg.QueueNumMax, Reg.ConfigGeneration]
WRITE_ONLY = [Reg.DriverFeatures, Reg.QueueSel, Reg.QueueNotify, Reg.QueueDescLow, Reg.InterruptACK]


def test_wrong_directions_and_holes(guest: Guest) -> None:
    for reg in READ_ONLY:
        before = guest.get(reg)
        guest.put(reg, ~before & 0xFFFF_FFFF)
        assert guest.get(reg) == before
    for offset in [*WRITE_ONLY, 0x018, 0x0C0, 0x0D0, 0x100, 0xFFC]:
        assert guest.get(offset) == 0
        guest.put(offset, 0)
    assert guest.get(Reg.SHMLenLow) == guest.get(Reg.SHMLenHigh) == 0xFFFF_FFFF
    assert not guest.needs_reset


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 1), (0, 2), (0, 8), (2, 4), (0x70, 8), (0x71, 1), (0xFC, 8), (0x102, 4), (0x100, 3), (0x1000, 4), (-4, 4)],
)
def test_accesses_that_a_transport_does_not_take(guest: Guest, offset: int, size: int) -> None:
    with pytest.raises(BusFault):
        guest.mmio.load(offset, size)
    with pytest.raises(BusFault):
        guest.mmio.store(offset, size, 0)


def test_config_space_in_every_width() -> None:
    guest = Guest(Block(RamDisk(0x0102_0304_0506)))
    assert guest.mmio.load(0x100, 8) == 0x0102_0304_0506
    assert guest.mmio.load(0x104, 4) == 0x0102
    assert guest.mmio.load(0x102, 2) == 0x0304
    assert guest.mmio.load(0x100, 1) == 0x06
    assert guest.mmio.load(0x100 + 20, 4) == 512
    assert guest.mmio.load(0x100 + 24, 8) == 0  # beyond it
    guest.mmio.store(0x100, 8, 0)
    assert guest.mmio.load(0x100, 8) == 0x0102_0304_0506
