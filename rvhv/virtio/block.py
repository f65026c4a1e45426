"""The block device (virtio 1.2, "Block Device") over a disk of 512-byte sectors; requests complete at the notification.

A written sector survives the guest at once; it survives the host's power after a FLUSH request.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from rvhv.virtio.queue import Chain, QueueBroken, Rule, Virtqueue

DEVICE_ID = 2
QUEUE_SIZE = 64
SECTOR = 512  # bytes; what the protocol counts in, and blk_size
ID_BYTES = 20

F_SIZE_MAX = 1 << 1
F_SEG_MAX = 1 << 2
F_RO = 1 << 5
F_BLK_SIZE = 1 << 6
F_FLUSH = 1 << 9

SEG_MAX = QUEUE_SIZE - 2  # a request also has a header and a status
SIZE_MAX = 1 << 14  # bytes
# bytes of one request; SEG_MAX * SIZE_MAX fit, overlapping buffers cannot multiply a guest's memory, and QUEUE_SIZE
# requests, which one notification may bring, keep the host busy for a blink only
MAX_DATA = 1 << 20

CONFIG = struct.Struct("<QIIHBBI")  # capacity, size_max, seg_max, geometry (cylinders, heads, sectors), blk_size
HEADER = struct.Struct("<IIQ")  # type, reserved, sector


class Request(IntEnum):
    """Request types."""

    IN = 0
    OUT = 1
    FLUSH = 4
    GET_ID = 8


class Status(IntEnum):
    """The last byte of a request."""

    OK = 0
    IOERR = 1
    UNSUPP = 2


class Disk(Protocol):
    """What the device needs of a disk. Each method raises OSError when the host cannot do it."""

    @property
    def sectors(self) -> int: ...

    @property
    def writable(self) -> bool: ...

    def read_sectors(self, sector: int, count: int) -> bytes: ...

    def write_sectors(self, sector: int, data: bytes) -> None: ...

    def flush(self) -> None: ...


class Block:
    """One request queue over `disk`; `serial` is what GET_ID answers (its first 20 bytes, UTF-8)."""

    name = "block"
    device_id = DEVICE_ID
    queue_sizes = (QUEUE_SIZE,)

    def __init__(self, disk: Disk, *, serial: str = "rvhv") -> None:
        self.disk = disk
        self.features = F_SIZE_MAX | F_SEG_MAX | F_BLK_SIZE | F_FLUSH | (0 if disk.writable else F_RO)
        self.config = CONFIG.pack(disk.sectors, SIZE_MAX, SEG_MAX, 0, 0, 0, SECTOR)
        self._serial = serial.encode()[:ID_BYTES].ljust(ID_BYTES, b"\0")

    def attach(self, kick: Callable[[int], None]) -> None:
        """A disk has no news of its own."""

    def reset(self) -> None:
        """No request outlives its notification."""

    def serve(self, index: int, queue: Virtqueue) -> None:
        for chain in queue.available():
            if chain.readable_bytes < HEADER.size:
                raise QueueBroken(
                    Rule.REQUEST, f"a request's header has {chain.readable_bytes} bytes instead of {HEADER.size}"
                )
            if not chain.writable_bytes:
                raise QueueBroken(Rule.REQUEST, "a request has no byte for its status")
            status, written = self._do(chain)
            chain.write(chain.writable_bytes - 1, bytes((status,)))
            queue.push(chain, written + 1)

    def _do(self, chain: Chain) -> tuple[Status, int]:
        """(status, bytes of data written to the guest); the status has the last writable byte."""
        kind, _, sector = HEADER.unpack(chain.read(0, HEADER.size))
        handler = _HANDLERS.get(kind)
        if handler is None:
            return Status.UNSUPP, 0
        try:
            return Status.OK, handler(self, chain, sector)
        except OSError:
            return Status.IOERR, 0

    def _in(self, chain: Chain, sector: int) -> int:
        length = chain.writable_bytes - 1
        chain.write(0, self.disk.read_sectors(sector, self._count(sector, length)))
        return length

    def _out(self, chain: Chain, sector: int) -> int:
        length = chain.readable_bytes - HEADER.size
        self._count(sector, length)
        if not self.disk.writable:
            raise OSError("the disk is read-only")
        self.disk.write_sectors(sector, chain.read(HEADER.size, length))
        return 0

    def _flush(self, chain: Chain, sector: int) -> int:
        self.disk.flush()
        return 0

    def _get_id(self, chain: Chain, sector: int) -> int:
        data = self._serial[: chain.writable_bytes - 1]
        chain.write(0, data)
        return len(data)

    def _count(self, sector: int, length: int) -> int:
        """The number of sectors in `length` bytes. Raises OSError unless all of them are on the disk."""
        count, rest = divmod(length, SECTOR)
        if rest or length > MAX_DATA or sector + count > self.disk.sectors:
            raise OSError(f"no {length} bytes at sector {sector} of {self.disk.sectors}")
        return count


_HANDLERS: dict[int, Callable[[Block, Chain, int], int]] = {
    Request.IN: Block._in,
    Request.OUT: Block._out,
    Request.FLUSH: Block._flush,
    Request.GET_ID: Block._get_id,
}
