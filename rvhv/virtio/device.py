"""What the transport asks of a virtio device; one file per device implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from rvhv.virtio.queue import Virtqueue

# device-independent feature bits (virtio 1.2, "Reserved Feature Bits")
F_INDIRECT_DESC = 1 << 28
F_VERSION_1 = 1 << 32


class Device(Protocol):
    """A device behind a transport. It completes requests while it serves a queue, so that runs are deterministic."""

    @property
    def name(self) -> str: ...

    @property
    def device_id(self) -> int:
        """The type of virtio 1.2, "Device Types"."""

    @property
    def features(self) -> int:
        """The device-specific feature bits on offer."""

    @property
    def queue_sizes(self) -> tuple[int, ...]:
        """QueueNumMax of each queue."""

    @property
    def config(self) -> bytes:
        """The configuration space as it is now; what lies beyond it reads 0."""

    def attach(self, kick: Callable[[int], None]) -> None:
        """Take the callback that serves a queue again, for devices that have news of their own."""

    def serve(self, index: int, queue: Virtqueue) -> None:
        """Do what the queue asks for, at most what it holds now. May raise QueueBroken."""

    def reset(self) -> None:
        """Forget what the driver set up."""
