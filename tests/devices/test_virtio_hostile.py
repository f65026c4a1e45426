"""Drivers that write anything anywhere: only BusFault comes out, in bounded time, touching RAM only."""

from __future__ import annotations

import struct

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvhv.machine.bus import BusFault
from rvhv.virtio.block import Block
from rvhv.virtio.console import MAX_OUTPUT, Console
from rvhv.virtio.mmio import Reg, Status
from tests.devices.ram_disk import RamDisk
from tests.devices.virtio_driver import INDIRECT, NEXT, RAM_BASE, RAM_SIZE, WRITE, Guest

SIZE = 8
RAM_END = RAM_BASE + RAM_SIZE
# one notification: at most SIZE chains of at most 2 * SIZE descriptors, each read once, tested at both ends and used
MOST_ACCESSES = SIZE * (2 * SIZE * 4 + 16) + 8

registers = st.sampled_from(list(Reg))
values = st.one_of(
    st.integers(0, 3),
    st.sampled_from([SIZE, 11, 15, 64, 128, RAM_BASE, RAM_BASE + 0x1000, RAM_END, 0x8000_0008, 0xFFFF_FFFF]),
    st.integers(0, 2**64 - 1),
)
stores = st.one_of(
    st.tuples(registers, st.just(4), values),
    st.tuples(st.integers(0, 0x1008), st.sampled_from([1, 2, 3, 4, 8]), values),
)
gpas = st.one_of(
    st.sampled_from([RAM_BASE, RAM_BASE + 0x1000, RAM_BASE + 0x1080, RAM_BASE + 0x9000, RAM_END - 8, 0, 2**64 - 4]),
    st.integers(RAM_BASE, RAM_BASE + 0x1200),
)
lengths = st.sampled_from([0, 1, 4, 15, 16, 17, 32, 512, 513, 1024, RAM_SIZE, 2**32 - 1])
flags = st.sampled_from([0, NEXT, NEXT, NEXT | WRITE, WRITE, INDIRECT, INDIRECT | NEXT, 0xFFFF])
descriptors = st.tuples(gpas, lengths, flags, st.integers(0, SIZE))


def make(kind: str) -> tuple[Guest, list[int]]:
    printed: list[int] = []
    if kind == "console":
        console = Console(lambda data: printed.append(len(data)))
        console.input(b"some input" * 5)
        return Guest(console), printed
    return Guest(Block(RamDisk(64))), printed


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(["console", "block"]), writes=st.lists(stores, max_size=60))
def test_any_register_writes(kind: str, writes: list[tuple[int, int, int]]) -> None:
    guest, _ = make(kind)
    for offset, size, value in writes:
        guest.memory.accesses = 0
        try:
            guest.mmio.store(offset, size, value)
            assert 0 <= guest.mmio.load(offset, size) < 1 << 8 * size
        except BusFault:
            assert size != 4 or offset % 4 or offset + 4 > 0x1000
        assert guest.memory.accesses <= 2 * MOST_ACCESSES
        assert guest.irq == bool(guest.get(Reg.InterruptStatus))
        assert bool(guest.broken) >= guest.needs_reset
    guest.put(Reg.Status, 0)
    assert guest.status == 0 and not guest.irq


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    kind=st.sampled_from(["console", "block"]),
    table=st.lists(descriptors, min_size=SIZE, max_size=SIZE),
    requests=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 65)), min_size=2, max_size=2),
    heads=st.lists(st.integers(0, SIZE), min_size=SIZE, max_size=SIZE),
    rounds=st.lists(st.tuples(st.integers(0, 0x10_0000), st.integers(0, 1)), max_size=6),
    used=st.sampled_from([RAM_BASE + 0x2000, RAM_BASE, RAM_BASE + 0x80, RAM_BASE + 0x84, RAM_END - 68]),
)
def test_hostile_rings(
    kind: str,
    table: list[tuple[int, int, int, int]],
    requests: list[tuple[int, int]],
    heads: list[int],
    rounds: list[tuple[int, int]],
    used: int,
) -> None:
    """The used ring may lie over the available ring and the descriptor table; so may the buffers."""
    guest, printed = make(kind)
    assert guest.negotiate(1 << 32 | 1 << 28)
    avail = RAM_BASE + 16 * SIZE
    for index in range(len(guest.device.queue_sizes)):
        guest.write_queue(index, SIZE, RAM_BASE, avail, used)
    guest.put(Reg.Status, guest.status | Status.DRIVER_OK)
    guest.memory.write(RAM_BASE, b"".join(struct.pack("<QIHH", *entry) for entry in table))
    for gpa, (request, sector) in zip((RAM_BASE + 0x1000, RAM_BASE + 0x9000), requests, strict=True):
        guest.memory.write(gpa, struct.pack("<IIQ", request, 0, sector))
    idx = 0
    for step, index in rounds:
        idx = (idx + step % (SIZE + 1) if step else 0xFFFF) & 0xFFFF
        guest.memory.write(avail, struct.pack(f"<HH{SIZE}H", 0, idx, *heads))
        guest.memory.accesses = 0
        printed.clear()
        guest.notify(index)
        assert guest.memory.accesses <= MOST_ACCESSES
        assert sum(printed) <= SIZE * MAX_OUTPUT
        assert guest.needs_reset == bool(guest.broken)
        assert len(guest.memory.bytes) == RAM_SIZE
    assert len(guest.broken) <= 1
    assert all("\n" not in sentence and "virtio 1.2" in sentence for sentence in guest.broken)
