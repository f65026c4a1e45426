"""The entropy device (virtio 1.2, "Entropy Device"), whose bytes follow from a seed: the same run gets the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from rvhv.virtio.queue import QueueBroken, Rule, Virtqueue

DEVICE_ID = 4
QUEUE_SIZE = 8
MOST_BYTES = 1 << 16  # given for one request, so that overlapping buffers cannot multiply a guest's memory


class Entropy:
    """SHAKE-256 over seed, owner and the number of the request."""

    name = "entropy"
    device_id = DEVICE_ID
    features = 0
    queue_sizes = (QUEUE_SIZE,)
    config = b""

    def __init__(self, seed: int, owner: str) -> None:
        self._key = f"rvhv entropy {seed} {owner} ".encode()
        self._requests = 0

    def attach(self, kick: Callable[[int], None]) -> None:
        """It has no news of its own."""

    def reset(self) -> None:
        """What was given is given: the stream goes on."""

    def serve(self, index: int, queue: Virtqueue) -> None:
        for chain in queue.available():
            if chain.readable:
                raise QueueBroken(Rule.DIRECTION, "a request for entropy has a part that the device may only read")
            n = min(chain.writable_bytes, MOST_BYTES)
            chain.write(0, hashlib.shake_256(self._key + str(self._requests).encode()).digest(n))
            self._requests += 1
            queue.push(chain, n)
