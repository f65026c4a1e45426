"""A VM's RAM by guest physical address: what devices, SBI calls and the image loader read and write."""

from __future__ import annotations

from rvhv.hv.gstage import PAGE, GStage
from rvhv.machine.bus import GuestMemoryFault
from rvhv.machine.memory import Memory

BYTE_COST = 1  # steps that a VM is charged for each byte its devices read or write in its RAM, on top of the exit's
ACCESS_COST = 100  # and for each access: walking descriptors is work too


class Ram:
    """The range [base, base + size) of a VM's gpas. A write gives untouched pages a frame; a read of one sees zeros."""

    def __init__(self, memory: Memory, gstage: GStage, base: int, size: int) -> None:
        self.memory = memory
        self.gstage = gstage
        self.base = base
        self.size = size
        self.end = base + size

    def covers(self, gpa: int, n: int = 1) -> bool:
        """Whether all `n` bytes at `gpa` are RAM; `n` is any non-negative number a guest may come up with."""
        return self.base <= gpa and gpa + n <= self.end

    def read(self, gpa: int, n: int) -> bytes:
        """Raises GuestMemoryFault when any byte is not RAM."""
        self._check(gpa, n)
        parts = []
        while n > 0:
            take = min(n, PAGE - (gpa & PAGE - 1))
            spa = self.gstage.frame(gpa)
            parts.append(bytes(take) if spa is None else self.memory.read(spa + (gpa & PAGE - 1), take))
            gpa += take
            n -= take
        return b"".join(parts)

    def write(self, gpa: int, data: bytes) -> None:
        """Raises GuestMemoryFault, and writes nothing, when any byte is not RAM; OutOfFrames when the host is full."""
        self._check(gpa, len(data))
        done = 0
        while done < len(data):
            take = min(len(data) - done, PAGE - (gpa & PAGE - 1))
            self.memory.write(self.gstage.map(gpa) + (gpa & PAGE - 1), data[done : done + take])
            gpa += take
            done += take

    def _check(self, gpa: int, n: int) -> None:
        if not self.covers(gpa, n):
            raise GuestMemoryFault(gpa)


class Metered:
    """A VM's RAM as its devices see it. `cost`: steps for what they moved since it was last charged."""

    def __init__(self, ram: Ram) -> None:
        self._ram = ram
        self.cost = 0

    def read(self, gpa: int, n: int) -> bytes:
        data = self._ram.read(gpa, n)
        self.cost += ACCESS_COST + BYTE_COST * n
        return data

    def write(self, gpa: int, data: bytes) -> None:
        self._ram.write(gpa, data)
        self.cost += ACCESS_COST + BYTE_COST * len(data)
