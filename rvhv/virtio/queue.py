"""Split virtqueues (virtio 1.2, "Split Virtqueues"), seen from the device, over a guest that may be hostile.

Everything the driver wrote is checked at one place, `Virtqueue.pop`, and becomes a `Chain`. What breaks a rule raises
QueueBroken with one plain sentence. The queue knows no device, no transport and no VMM.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from enum import Enum

from rvhv.machine.bus import GuestMemory, GuestMemoryFault

MAX_QUEUE_SIZE = 1 << 15
MAX_CHAIN_BYTES = 1 << 32

DESC_F_NEXT = 1
DESC_F_WRITE = 2
DESC_F_INDIRECT = 4
AVAIL_F_NO_INTERRUPT = 1

DESC = struct.Struct("<QIHH")  # addr, len, flags, next
RING_HEADER = struct.Struct("<HH")  # flags, idx
AVAIL_IDX = 2  # the offset of idx
AVAIL_ENTRY = struct.Struct("<H")  # head
USED_ENTRY = struct.Struct("<II")  # id, len

DESC_ALIGN, AVAIL_ALIGN, USED_ALIGN = 16, 2, 4


class Rule(Enum):
    """A rule of virtio 1.2 that a driver can break: (the section's title, what it demands)."""

    SIZE = "Virtqueues", "a queue's size is a power of two, at least 1 and at most QueueNumMax"
    ALIGNMENT = (
        "Split Virtqueues",
        "the descriptor table is aligned to 16 bytes, the available ring to 2, the used to 4",
    )
    RING_IN_RAM = "Split Virtqueues", "the three parts of a queue lie in guest memory"
    QUEUE_MOVED = "MMIO Device Register Layout", "a driver must not change the size or the addresses of a ready queue"
    FEATURES_FIRST = "Device Initialization", "a driver sets FEATURES_OK before it sets up queues and before DRIVER_OK"
    AVAIL_IDX = "The Virtqueue Available Ring", "a driver has at most as many chains available as the queue has entries"
    HEAD = "The Virtqueue Available Ring", "an available entry names a descriptor of the table"
    NEXT = "The Virtqueue Descriptor Table", "a descriptor's next field names a descriptor of its table"
    LOOP = "The Virtqueue Descriptor Table", "a descriptor chain must not contain a loop"
    CHAIN_LENGTH = "Indirect Descriptors", "a chain must not be longer than the queue's size"
    CHAIN_BYTES = "The Virtqueue Descriptor Table", "a chain must not be longer than 2^32 bytes in total"
    BUFFER_WRAP = "The Virtqueue Descriptor Table", "a buffer must not wrap around the end of the address space"
    BUFFER_IN_RAM = "The Virtqueue Descriptor Table", "a buffer lies in guest memory"
    ORDER = "Message Framing", "a driver must place device-readable descriptors before device-writable ones"
    INDIRECT_FEATURE = "Indirect Descriptors", "the flag INDIRECT must not be set unless INDIRECT_DESC was negotiated"
    INDIRECT_NEXT = "Indirect Descriptors", "a driver must not set both INDIRECT and NEXT"
    INDIRECT_NESTED = "Indirect Descriptors", "an indirect table must not refer to another one"
    INDIRECT_LENGTH = "Indirect Descriptors", "an indirect table is one or more whole descriptors of 16 bytes"
    DIRECTION = "Device Types", "a buffer is writable, or readable, by the device as its queue demands"
    REQUEST = "Device Types", "a request has the parts that its device type demands"
    DEVICE_LIMIT = "Device Types", "a request must not be larger than the device can take"

    @property
    def section(self) -> str:
        return self.value[0]

    @property
    def demand(self) -> str:
        return self.value[1]


class QueueBroken(Exception):
    """The driver broke `rule`; the text is one sentence, without the device and the queue (the transport adds them). `at`: the
    gpa of the descriptor, or the field of the available ring, that breaks it, where it is one."""

    def __init__(self, rule: Rule, what: str, at: int | None = None) -> None:
        super().__init__(f'{what}, but {rule.demand} (virtio 1.2, "{rule.section}")')
        self.rule = rule
        self.at = at


@dataclass(frozen=True, slots=True)
class Buffer:
    """Guest memory a descriptor refers to; it was found to be RAM."""

    gpa: int
    length: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A valid descriptor chain: what the device may read, then what it may write, as two streams of bytes."""

    head: int
    readable: tuple[Buffer, ...]
    writable: tuple[Buffer, ...]
    readable_bytes: int
    writable_bytes: int
    _memory: GuestMemory = field(repr=False)

    def read(self, offset: int, n: int) -> bytes:
        """n bytes from `offset` of the readable part; the caller stays within readable_bytes."""
        parts = [_read(self._memory, b) for b in _slice(self.readable, offset, n)]
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write(self, offset: int, data: bytes) -> None:
        """Put data at `offset` of the writable part; the caller stays within writable_bytes."""
        done = 0
        for buffer in _slice(self.writable, offset, len(data)):
            try:
                self._memory.write(buffer.gpa, data[done : done + buffer.length])
            except GuestMemoryFault as fault:
                raise _outside(buffer, fault) from None
            done += buffer.length


class Virtqueue:
    """A ready queue. Raises QueueBroken from every method when the driver broke a rule; then it is of no more use."""

    def __init__(
        self, memory: GuestMemory, *, size: int, max_size: int, desc: int, avail: int, used: int, indirect: bool
    ) -> None:
        """Check what the driver configured: entries, and the gpas of the descriptor table and the two rings."""
        if not 1 <= size <= min(max_size, MAX_QUEUE_SIZE) or size & (size - 1):
            raise QueueBroken(Rule.SIZE, f"the queue was made ready with size {size} (QueueNumMax is {max_size})")
        parts = (
            ("descriptor table", desc, DESC_ALIGN, DESC.size * size),
            ("available ring", avail, AVAIL_ALIGN, RING_HEADER.size + AVAIL_ENTRY.size * size),
            ("used ring", used, USED_ALIGN, RING_HEADER.size + USED_ENTRY.size * size),
        )
        for what, gpa, align, length in parts:
            if gpa % align:
                raise QueueBroken(Rule.ALIGNMENT, f"the {what} is at {gpa:#x}")
            try:
                memory.read(gpa, length)
            except GuestMemoryFault:
                raise QueueBroken(Rule.RING_IN_RAM, f"the {what} {gpa:#x}..{gpa + length:#x} is not in RAM") from None
        self.size = size
        self._memory = memory
        self._desc = desc
        self._avail = avail
        self._used = used
        self._indirect = indirect
        self._next_avail = 0
        self._next_used = 0
        self._unsignalled = False

    @property
    def position(self) -> tuple[int, int]:
        """The available and used indices that the device has got to, modulo 2^16."""
        return self._next_avail, self._next_used

    def twin(self, memory: GuestMemory, *, back: int = 0) -> Virtqueue:
        """The queue as a device would find it through another view of memory, for those who look; `back` chains earlier."""
        other = copy(self)
        other._memory = memory
        other._next_avail = (self._next_avail - back) & 0xFFFF
        return other

    def pending(self) -> int:
        """How many chains the driver has made available and the device has not taken; at most `size`."""
        idx = RING_HEADER.unpack(self._ring(self._avail, RING_HEADER.size))[1]
        count = int(idx - self._next_avail) & 0xFFFF
        if count > self.size:
            what = f"the available index went from {self._next_avail} to {idx} in a queue of {self.size}"
            raise QueueBroken(Rule.AVAIL_IDX, what, self._avail + AVAIL_IDX)
        return count

    def pop(self) -> Chain | None:
        """Take the oldest available chain; None when there is none."""
        if not self.pending():
            return None
        entry = self._avail + RING_HEADER.size + AVAIL_ENTRY.size * (self._next_avail & (self.size - 1))
        (head,) = AVAIL_ENTRY.unpack(self._ring(entry, AVAIL_ENTRY.size))
        if head >= self.size:
            raise QueueBroken(Rule.HEAD, f"an available entry names descriptor {head} of {self.size}", entry)
        self._next_avail = (self._next_avail + 1) & 0xFFFF
        return self._chain(head)

    def available(self) -> Iterator[Chain]:
        """Take the chains that are available now, oldest first, each when it is asked for.

        What the device's own writes make available meanwhile (a hostile driver overlays its rings) has to wait for the
        next notification: the work is bounded by the queue's size.
        """
        for _ in range(self.pending()):
            chain = self.pop()
            if chain is None:
                return
            yield chain

    def push(self, chain: Chain, written: int) -> None:
        """Give a chain back as used, with the number of bytes the device wrote into it."""
        entry = self._used + RING_HEADER.size + USED_ENTRY.size * (self._next_used & (self.size - 1))
        self._next_used = (self._next_used + 1) & 0xFFFF
        try:
            self._memory.write(entry, USED_ENTRY.pack(chain.head, written))
            self._memory.write(self._used, RING_HEADER.pack(0, self._next_used))
        except GuestMemoryFault as fault:
            raise _ring_outside(fault) from None
        self._unsignalled = True

    def take_interrupt(self) -> bool:
        """Whether chains were used since the last call and the driver wants to be told."""
        if not self._unsignalled:
            return False
        self._unsignalled = False
        flags = RING_HEADER.unpack(self._ring(self._avail, RING_HEADER.size))[0]
        return not flags & AVAIL_F_NO_INTERRUPT

    def _chain(self, head: int) -> Chain:
        """Walk a chain: at most `size` descriptors, the indirect ones included."""
        readable: list[Buffer] = []
        writable: list[Buffer] = []
        table, entries, indirect = self._desc, self.size, False
        index, total = head, 0
        seen: set[int] = set()
        at = None
        try:
            while True:
                if index in seen:
                    raise QueueBroken(Rule.LOOP, f"the chain from descriptor {head} comes back to descriptor {index}")
                seen.add(index)
                at = table + DESC.size * index
                gpa, length, flags, following = self._descriptor(table, index)
                if flags & DESC_F_INDIRECT:
                    entries = self._indirect_entries(index, length, flags, nested=indirect)
                    if gpa + length > 1 << 64:
                        raise QueueBroken(Rule.BUFFER_WRAP, f"the indirect table {gpa:#x} is {length:#x} bytes long")
                    # the WRITE flag of a descriptor that refers to an indirect table is ignored
                    table, indirect, index = gpa, True, 0
                    seen.clear()
                    continue
                # the descriptor that refers to an indirect table holds no buffer: what counts is the buffers
                if len(readable) + len(writable) == self.size:
                    raise QueueBroken(
                        Rule.CHAIN_LENGTH, f"the chain from descriptor {head} has more than {self.size} descriptors"
                    )
                buffer = self._buffer(index, gpa, length)
                total += length
                if total > MAX_CHAIN_BYTES:
                    raise QueueBroken(Rule.CHAIN_BYTES, f"the chain from descriptor {head} has {total} bytes or more")
                if flags & DESC_F_WRITE:
                    writable.append(buffer)
                elif writable:
                    raise QueueBroken(Rule.ORDER, f"readable descriptor {index} follows a writable one")
                else:
                    readable.append(buffer)
                if not flags & DESC_F_NEXT:
                    break
                if following >= entries:
                    raise QueueBroken(Rule.NEXT, f"descriptor {index} is followed by descriptor {following} of {entries}")
                index = following
        except QueueBroken as broken:
            broken.at = at
            raise
        readable_bytes = sum(b.length for b in readable)
        return Chain(head, tuple(readable), tuple(writable), readable_bytes, total - readable_bytes, self._memory)

    def _descriptor(self, table: int, index: int) -> tuple[int, int, int, int]:
        gpa = table + DESC.size * index
        try:
            addr, length, flags, following = DESC.unpack(self._memory.read(gpa, DESC.size))
        except GuestMemoryFault:
            rule = Rule.RING_IN_RAM if table == self._desc else Rule.BUFFER_IN_RAM
            raise QueueBroken(rule, f"descriptor {index} of the table at {table:#x} is not in RAM") from None
        return addr, length, flags, following

    def _indirect_entries(self, index: int, length: int, flags: int, *, nested: bool) -> int:
        """The number of entries of the indirect table that descriptor `index` refers to."""
        if not self._indirect:
            raise QueueBroken(Rule.INDIRECT_FEATURE, f"descriptor {index} has the flag INDIRECT")
        if nested:
            raise QueueBroken(Rule.INDIRECT_NESTED, f"descriptor {index} of an indirect table has the flag INDIRECT")
        if flags & DESC_F_NEXT:
            raise QueueBroken(Rule.INDIRECT_NEXT, f"descriptor {index} has the flags INDIRECT and NEXT")
        if not length or length % DESC.size:
            raise QueueBroken(Rule.INDIRECT_LENGTH, f"the indirect table of descriptor {index} is {length} bytes long")
        return length // DESC.size

    def _buffer(self, index: int, gpa: int, length: int) -> Buffer:
        buffer = Buffer(gpa, length)
        if gpa + length > 1 << 64:
            raise QueueBroken(Rule.BUFFER_WRAP, f"descriptor {index}'s buffer {gpa:#x} is {length:#x} bytes long")
        if length:
            # RAM is one range, so its ends tell; a hole would still be found when the buffer is used
            try:
                self._memory.read(gpa, 1)
                self._memory.read(gpa + length - 1, 1)
            except GuestMemoryFault:
                raise QueueBroken(
                    Rule.BUFFER_IN_RAM, f"descriptor {index}'s buffer {gpa:#x}..{gpa + length:#x} is not in RAM"
                ) from None
        return buffer

    def _ring(self, gpa: int, n: int) -> bytes:
        try:
            return self._memory.read(gpa, n)
        except GuestMemoryFault as fault:
            raise _ring_outside(fault) from None


def _slice(buffers: tuple[Buffer, ...], offset: int, n: int) -> Iterator[Buffer]:
    """The pieces of a stream of buffers that hold its bytes [offset, offset + n)."""
    for buffer in buffers:
        if not n:
            return
        if offset >= buffer.length:
            offset -= buffer.length
            continue
        take = min(n, buffer.length - offset)
        yield Buffer(buffer.gpa + offset, take)
        offset, n = 0, n - take


def _read(memory: GuestMemory, buffer: Buffer) -> bytes:
    try:
        return memory.read(buffer.gpa, buffer.length)
    except GuestMemoryFault as fault:
        raise _outside(buffer, fault) from None


def _outside(buffer: Buffer, fault: GuestMemoryFault) -> QueueBroken:
    what = f"the buffer {buffer.gpa:#x}..{buffer.gpa + buffer.length:#x} is not in RAM at {fault.gpa:#x}"
    return QueueBroken(Rule.BUFFER_IN_RAM, what)


def _ring_outside(fault: GuestMemoryFault) -> QueueBroken:
    return QueueBroken(Rule.RING_IN_RAM, f"a ring of the queue is not in RAM at {fault.gpa:#x}")
