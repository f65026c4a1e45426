"""A disk in a dict, so that it can be of any size, and fail on request."""

from __future__ import annotations

import errno

SECTOR = 512


class RamDisk:
    def __init__(self, sectors: int, *, writable: bool = True) -> None:
        self.sectors = sectors
        self.writable = writable
        self.written: dict[int, bytes] = {}
        self.flushes = 0
        self.failure = 0  # an errno that every operation fails with

    def read_sectors(self, sector: int, count: int) -> bytes:
        self._check(sector, count)
        return b"".join(self.written.get(s, bytes(SECTOR)) for s in range(sector, sector + count))

    def write_sectors(self, sector: int, data: bytes) -> None:
        self._check(sector, len(data) // SECTOR)
        assert self.writable and len(data) % SECTOR == 0
        for i in range(0, len(data), SECTOR):
            self.written[sector + i // SECTOR] = data[i : i + SECTOR]

    def flush(self) -> None:
        self._check(0, 0)
        self.flushes += 1

    def _check(self, sector: int, count: int) -> None:
        assert 0 <= sector and 0 <= count and sector + count <= self.sectors, "the device checks first"
        if self.failure:
            raise OSError(self.failure, errno.errorcode[self.failure])
