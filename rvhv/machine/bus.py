"""The guest physical address space beside RAM: which device answers at a gpa, and the faults an access can meet."""

from __future__ import annotations

from bisect import bisect_right
from typing import Protocol

from rvhv.errors import ConfigError


class GuestMemoryFault(Exception):
    """Some byte of an access is not the VM's RAM; `gpa` is where the access began. Data, never a crash."""

    def __init__(self, gpa: int) -> None:
        super().__init__(f"guest physical address {gpa:#x} is not the VM's RAM")
        self.gpa = gpa


class BusFault(Exception):
    """A device does not take this access (its width, its alignment): the guest receives an access fault."""


class GuestMemory(Protocol):
    """A VM's RAM by gpa, as a device or an SBI call sees it; all or nothing."""

    def read(self, gpa: int, n: int) -> bytes:
        """Raise GuestMemoryFault when any of the n bytes is not the VM's RAM."""

    def write(self, gpa: int, data: bytes) -> None:
        """Raise GuestMemoryFault, and write nothing, when any byte would land outside the VM's RAM."""


class MmioDevice(Protocol):
    """A device at the gpa range [base, base + size). Offsets are from base; sizes are 1, 2, 4 or 8 bytes."""

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> int: ...

    @property
    def size(self) -> int: ...

    def load(self, offset: int, size: int) -> int:
        """Raise BusFault for an access the device does not take."""

    def store(self, offset: int, size: int, value: int) -> None:
        """Raise BusFault for an access the device does not take."""


class Bus:
    """The devices of one VM, sorted by address."""

    def __init__(self) -> None:
        self._bases: list[int] = []
        self._devices: list[MmioDevice] = []

    @property
    def devices(self) -> tuple[MmioDevice, ...]:
        """Every attached device, lowest address first."""
        return tuple(self._devices)

    def attach(self, device: MmioDevice) -> None:
        """Raise ConfigError when the device's range is empty or overlaps another device's."""
        if device.base < 0 or device.size <= 0:
            raise ConfigError(f"device {device.name} has no addresses ({device.base:#x}, {device.size:#x} bytes)")
        at = bisect_right(self._bases, device.base)
        for other in self._devices[max(at - 1, 0) : at + 1]:
            if other.base < device.base + device.size and device.base < other.base + other.size:
                raise ConfigError(
                    f"device {device.name} at {device.base:#x} overlaps {other.name} at {other.base:#x}: move one"
                )
        self._bases.insert(at, device.base)
        self._devices.insert(at, device)

    def find(self, gpa: int, size: int) -> tuple[MmioDevice, int] | None:
        """The device that holds the whole access, and the offset into it; None when nothing answers there."""
        at = bisect_right(self._bases, gpa) - 1
        if at < 0:
            return None
        device = self._devices[at]
        offset = gpa - device.base
        return (device, offset) if offset + size <= device.size else None

    def load(self, gpa: int, size: int) -> int | None:
        """None when nothing answers there, or the device refuses."""
        found = self.find(gpa, size)
        if found is None:
            return None
        device, offset = found
        try:
            return device.load(offset, size)
        except BusFault:
            return None

    def store(self, gpa: int, size: int, value: int) -> bool:
        """Whether a device took it."""
        found = self.find(gpa, size)
        if found is None:
            return False
        device, offset = found
        try:
            device.store(offset, size, value)
        except BusFault:
            return False
        return True
