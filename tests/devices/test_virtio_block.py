"""The block device: requests, their bounds and their statuses."""

from __future__ import annotations

import errno
import struct

import pytest

from rvhv.virtio.block import F_RO, MAX_DATA, SEG_MAX, SIZE_MAX, Block, Request, Status
from rvhv.virtio.device import F_INDIRECT_DESC, F_VERSION_1
from tests.devices.ram_disk import SECTOR, RamDisk
from tests.devices.virtio_driver import INDIRECT, NEXT, RAM_BASE, RAM_SIZE, WRITE, Guest

HEADER = RAM_BASE + 0x8000
STATUS = RAM_BASE + 0x8100
DATA = RAM_BASE + 0x9000
UNTOUCHED = 0xEE


class Machine:
    """A guest with a disk of 64 sectors, sector n full of the byte n."""

    def __init__(self, *, writable: bool = True, sectors: int = 64) -> None:
        self.disk = RamDisk(sectors, writable=writable)
        self.disk.written = {n: bytes([n]) * SECTOR for n in range(min(sectors, 64))}
        self.block = Block(self.disk, serial="a serial number that is too long")
        self.guest = Guest(self.block)
        self.guest.start(features=F_VERSION_1 | F_INDIRECT_DESC)
        (self.queue,) = self.guest.queues

    def request(self, kind: int, sector: int, *data: tuple[int, int], reads: bool = True) -> tuple[int, int]:
        """(status, used length) of one request with the given (gpa, length) buffers."""
        self.guest.memory.write(HEADER, struct.pack("<IIQ", kind, 0, sector))
        self.guest.memory.write(STATUS, bytes([UNTOUCHED]))
        self.queue.add((HEADER, 16, False), *[(gpa, n, reads) for gpa, n in data], (STATUS, 1, True))
        self.guest.notify(0)
        assert self.guest.broken == []
        ((_, written),) = self.queue.take_used()
        return self.guest.memory.read(STATUS, 1)[0], written


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_read(machine: Machine) -> None:
    assert machine.request(Request.IN, 3, (DATA, 2 * SECTOR)) == (Status.OK, 2 * SECTOR + 1)
    assert machine.guest.memory.read(DATA, 2 * SECTOR) == b"\3" * SECTOR + b"\4" * SECTOR
    assert machine.guest.irq


def test_write_then_read_back(machine: Machine) -> None:
    machine.guest.memory.write(DATA, b"\xaa" * SECTOR + b"\xbb" * SECTOR)
    assert machine.request(Request.OUT, 62, (DATA, 2 * SECTOR), reads=False) == (Status.OK, 1)
    assert machine.disk.written[62] == b"\xaa" * SECTOR and machine.disk.written[63] == b"\xbb" * SECTOR


def test_buffers_need_not_be_whole_sectors(machine: Machine) -> None:
    pieces = (DATA, 100), (DATA + 0x100, 412), (DATA + 0x400, SECTOR)
    assert machine.request(Request.IN, 7, *pieces) == (Status.OK, 2 * SECTOR + 1)
    assert machine.guest.memory.read(DATA, 101) == b"\7" * 100 + b"\0"
    assert machine.guest.memory.read(DATA + 0x400, SECTOR) == b"\10" * SECTOR


def test_framing_is_the_drivers_business(machine: Machine) -> None:
    """The header in two descriptors, the status in one with the data, all of it in an indirect table."""
    machine.guest.memory.write(HEADER, struct.pack("<IIQ", Request.IN, 0, 5))
    table = DATA + 0x1000
    entries = (HEADER, 5, NEXT, 1), (HEADER + 5, 11, NEXT, 2), (DATA, SECTOR + 1, WRITE, 0)
    machine.guest.memory.write(table, b"".join(struct.pack("<QIHH", *entry) for entry in entries))
    machine.queue.set_desc(0, table, 48, INDIRECT)
    machine.queue.offer(0)
    machine.guest.memory.write(DATA + SECTOR, bytes([UNTOUCHED]))
    machine.guest.notify(0)
    assert machine.guest.memory.read(DATA, SECTOR + 1) == b"\5" * SECTOR + bytes([Status.OK])
    assert machine.queue.take_used() == [(0, SECTOR + 1)]


def test_flush_and_id(machine: Machine) -> None:
    assert machine.request(Request.FLUSH, 0) == (Status.OK, 1)
    assert machine.disk.flushes == 1
    assert machine.request(Request.GET_ID, 0, (DATA, 20)) == (Status.OK, 21)
    assert machine.guest.memory.read(DATA, 21) == b"a serial number that\0"
    assert machine.request(Request.GET_ID, 0, (DATA, 3)) == (Status.OK, 4)


@pytest.mark.parametrize("kind", [2, 3, 5, 11, 13, 0xFFFF_FFFF])
def test_unknown_request_types(machine: Machine, kind: int) -> None:
    assert machine.request(kind, 0, (DATA, SECTOR)) == (Status.UNSUPP, 1)


@pytest.mark.parametrize(
    ("sector", "length"),
    [(64, SECTOR), (63, 2 * SECTOR), (2**64 - 1, SECTOR), (2**55, SECTOR), (65, 0), (0, 1), (0, 513), (0, 65 * SECTOR)],
)
@pytest.mark.parametrize("kind", [Request.IN, Request.OUT])
def test_bounds(machine: Machine, kind: Request, sector: int, length: int) -> None:
    before = dict(machine.disk.written)
    assert machine.request(kind, sector, (DATA, length), reads=kind is Request.IN) == (Status.IOERR, 1)
    assert machine.disk.written == before
    assert machine.guest.memory.read(DATA, SECTOR) == bytes(SECTOR)


def test_nothing_at_the_end_is_fine(machine: Machine) -> None:
    assert machine.request(Request.IN, 64) == (Status.OK, 1)


def test_an_empty_disk() -> None:
    machine = Machine(sectors=0)
    assert machine.guest.mmio.load(0x100, 8) == 0
    assert machine.request(Request.IN, 0, (DATA, SECTOR)) == (Status.IOERR, 1)
    assert machine.request(Request.FLUSH, 0) == (Status.OK, 1)


def test_a_read_only_disk_says_so() -> None:
    machine = Machine(writable=False)
    assert machine.guest.offered() & F_RO and not Machine().guest.offered() & F_RO
    assert machine.request(Request.OUT, 0, (DATA, SECTOR), reads=False) == (Status.IOERR, 1)
    assert machine.request(Request.IN, 0, (DATA, SECTOR))[0] == Status.OK


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_what_the_host_cannot_do_is_an_io_error(machine: Machine, code: int) -> None:
    machine.disk.failure = code
    for kind in (Request.IN, Request.OUT, Request.FLUSH):
        data = [] if kind is Request.FLUSH else [(DATA, SECTOR)]
        assert machine.request(kind, 0, *data, reads=kind is Request.IN) == (Status.IOERR, 1)
    machine.disk.failure = 0
    assert machine.request(Request.IN, 0, (DATA, SECTOR))[0] == Status.OK


def test_overlapping_buffers_cannot_multiply_memory() -> None:
    machine = Machine(sectors=1 << 20)
    assert SEG_MAX * SIZE_MAX <= MAX_DATA == 4 * RAM_SIZE
    machine.guest.start(size=32)
    (machine.queue,) = machine.guest.queues
    whole = [(RAM_BASE, RAM_SIZE)] * 4
    assert machine.request(Request.OUT, 0, *whole, reads=False) == (Status.OK, 1)
    assert machine.request(Request.OUT, 0, *whole, (RAM_BASE, SECTOR), reads=False) == (Status.IOERR, 1)


@pytest.mark.parametrize(
    ("buffers", "sentence"),
    [
        ([(HEADER, 15, False), (STATUS, 1, True)], "header has 15 bytes"),
        ([(STATUS, 1, True)], "header has 0 bytes"),
        ([(HEADER, 16, False)], "no byte for its status"),
        ([(HEADER, 16, False), (STATUS, 0, True)], "no byte for its status"),
    ],
)
def test_requests_without_their_parts(machine: Machine, buffers: list[tuple[int, int, bool]], sentence: str) -> None:
    machine.queue.add(*buffers)
    machine.guest.notify(0)
    assert machine.guest.needs_reset and sentence in machine.guest.broken[0]
    assert machine.queue.take_used() == []


def test_many_requests_one_notification(machine: Machine) -> None:
    machine.guest.start(size=64)
    (machine.queue,) = machine.guest.queues
    machine.guest.memory.write(HEADER, struct.pack("<IIQ", Request.IN, 0, 9))
    heads = [machine.queue.add((HEADER, 16, False), (DATA + SECTOR * i, SECTOR + 1, True)) for i in range(32)]
    machine.guest.notify(0)
    assert machine.queue.take_used() == [(head, SECTOR + 1) for head in heads]
    assert machine.guest.irq_edges == 1
