"""The console device (virtio 1.2, "Console Device"): one port, no multiport, no size."""

from __future__ import annotations

from collections.abc import Callable

from rvhv.virtio.queue import QueueBroken, Rule, Virtqueue

DEVICE_ID = 3
RECEIVEQ, TRANSMITQ = 0, 1
QUEUE_SIZE = 64
# bytes of one transmitted chain: overlapping buffers cannot multiply a guest's memory, and QUEUE_SIZE chains, which one
# notification may bring, keep the host busy for a blink only
MAX_OUTPUT = 1 << 16


class Console:
    """`on_output(data)` gets what the guest writes; `input(data)` queues what it reads."""

    name = "console"
    device_id = DEVICE_ID
    features = 0
    queue_sizes = (QUEUE_SIZE, QUEUE_SIZE)
    config = b""

    def __init__(self, on_output: Callable[[bytes], None]) -> None:
        self._on_output = on_output
        self._input = bytearray()
        self._kick: Callable[[int], None] | None = None

    def attach(self, kick: Callable[[int], None]) -> None:
        self._kick = kick

    def input(self, data: bytes) -> None:
        """Queue host input; it goes to the guest as soon as the guest gives buffers for it."""
        self._input += data
        if self._kick is not None:
            self._kick(RECEIVEQ)

    @property
    def unread(self) -> int:
        """Bytes of input the guest has not taken yet."""
        return len(self._input)

    def serve(self, index: int, queue: Virtqueue) -> None:
        if index == RECEIVEQ:
            self._receive(queue)
        else:
            self._transmit(queue)

    def reset(self) -> None:
        """Host input that was not read yet waits for the next driver."""

    def _receive(self, queue: Virtqueue) -> None:
        while self._input and (chain := queue.pop()):
            if chain.readable or not chain.writable_bytes:
                what = "has a part that the device may only read" if chain.readable else "has no room"
                raise QueueBroken(Rule.DIRECTION, f"a receive buffer {what}")
            data = bytes(self._input[: chain.writable_bytes])
            chain.write(0, data)
            del self._input[: len(data)]
            queue.push(chain, len(data))

    def _transmit(self, queue: Virtqueue) -> None:
        for chain in queue.available():
            if chain.writable:
                raise QueueBroken(Rule.DIRECTION, "a transmit buffer has a part that the device may write")
            if chain.readable_bytes > MAX_OUTPUT:
                raise QueueBroken(
                    Rule.DEVICE_LIMIT,
                    f"{chain.readable_bytes} bytes were transmitted at once (the limit is {MAX_OUTPUT})",
                )
            if data := chain.read(0, chain.readable_bytes):
                self._on_output(data)
            queue.push(chain, 0)
