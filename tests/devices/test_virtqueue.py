"""The split virtqueue: a chain is what the driver described, and each broken rule is named."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.virtio.queue import QueueBroken, Rule, Virtqueue
from tests.devices.virtio_driver import INDIRECT, NEXT, RAM_BASE, RAM_SIZE, WRITE, ArrayMemory, DriverQueue

SIZE = 8
DATA = RAM_BASE + 0x2000
TABLE = RAM_BASE + 0x3000
RAM_END = RAM_BASE + RAM_SIZE


class Bench:
    """A queue of eight entries, seen from both ends."""

    def __init__(self, indirect: bool = True) -> None:
        self.memory = ArrayMemory()
        self.driver = DriverQueue(self.memory, RAM_BASE, SIZE)
        self.queue = Virtqueue(
            self.memory,
            size=SIZE,
            max_size=SIZE,
            desc=RAM_BASE,
            avail=self.driver.avail,
            used=self.driver.used,
            indirect=indirect,
        )

    def table(self, *entries: tuple[int, int, int, int]) -> None:
        self.memory.write(TABLE, b"".join(struct.pack("<QIHH", *entry) for entry in entries))


def test_a_chain_is_two_streams_of_bytes() -> None:
    bench = Bench()
    bench.memory.write(DATA, b"hello, device")
    head = bench.driver.add((DATA, 5, False), (DATA + 5, 8, False), (DATA + 64, 4, True), (DATA + 128, 4, True))
    chain = bench.queue.pop()
    assert chain is not None and chain.head == head
    assert (chain.readable_bytes, chain.writable_bytes) == (13, 8)
    assert chain.read(0, 13) == b"hello, device"
    assert chain.read(3, 4) == b"lo, "
    assert chain.read(13, 0) == b""
    chain.write(2, b"abcd")
    assert bench.memory.read(DATA + 64, 4) == b"\0\0ab" and bench.memory.read(DATA + 128, 4) == b"cd\0\0"
    bench.queue.push(chain, 6)
    assert bench.driver.take_used() == [(head, 6)]
    assert bench.queue.pop() is None


def test_indirect_chains_also_after_direct_descriptors() -> None:
    bench = Bench()
    # WRITE on the descriptor that refers to the table means nothing
    bench.table((DATA, 16, NEXT, 2), (0, 0, 0, 0), (DATA + 16, 4, WRITE, 0))
    bench.driver.set_desc(0, DATA + 0x100, 8, NEXT, 1)
    bench.driver.set_desc(1, TABLE, 48, INDIRECT | WRITE)
    bench.driver.offer(0)
    chain = bench.queue.pop()
    assert chain is not None and (chain.readable_bytes, chain.writable_bytes) == (24, 4)


def test_a_chain_may_be_as_long_as_the_queue_and_not_longer() -> None:
    bench = Bench()
    bench.driver.add(*[(DATA, 1, False)] * SIZE)
    chain = bench.queue.pop()
    assert chain is not None and chain.readable_bytes == SIZE
    bench.table(*[(DATA, 1, NEXT, i + 1) for i in range(SIZE - 1)], (DATA, 1, 0, 0))
    bench.driver.set_desc(0, TABLE, 16 * SIZE, INDIRECT)
    bench.driver.offer(0)
    chain = bench.queue.pop()
    assert chain is not None and chain.readable_bytes == SIZE


def test_the_indexes_wrap() -> None:
    bench = Bench()
    for turn in range(0x10000 + 5):
        bench.driver.next_desc = turn
        head = bench.driver.add((DATA, 1, False))
        assert bench.queue.pending() == 1
        for chain in bench.queue.available():
            bench.queue.push(chain, 0)
        assert bench.driver.take_used() == [(head, 0)]


def test_memory_that_goes_away_is_found_at_each_access() -> None:
    """The hypervisor's business, not the driver's; the queue still does not crash."""
    bench = Bench()
    bench.driver.add((DATA, 4, False), (DATA, 4, True))
    bench.driver.add((DATA, 4, False))
    chain = bench.queue.pop()
    assert chain is not None
    left = bytes(bench.memory.bytes[: bench.driver.used - RAM_BASE])
    for size, act, rule in (
        (len(left), lambda: chain.read(0, 4), Rule.BUFFER_IN_RAM),
        (len(left), lambda: chain.write(0, b"abcd"), Rule.BUFFER_IN_RAM),
        (len(left), lambda: bench.queue.push(chain, 0), Rule.RING_IN_RAM),
        (bench.driver.avail - RAM_BASE, bench.queue.pending, Rule.RING_IN_RAM),
        (bench.driver.avail - RAM_BASE + 4, bench.queue.pop, Rule.RING_IN_RAM),
    ):
        bench.memory.bytes = bytearray(left[:size])
        with pytest.raises(QueueBroken) as caught:
            act()
        assert caught.value.rule is rule


def test_the_driver_may_suppress_interrupts() -> None:
    bench = Bench()
    assert not bench.queue.take_interrupt()
    for flags, wanted in ((0, True), (1, False)):
        bench.driver.add((DATA, 1, False))
        bench.driver.set_avail_idx(bench.driver.avail_idx, flags)
        chain = bench.queue.pop()
        assert chain is not None
        bench.queue.push(chain, 0)
        assert bench.queue.take_interrupt() == wanted
        assert not bench.queue.take_interrupt()


def _desc(*entries: tuple[int, int, int, int]) -> Callable[[Bench], None]:
    """A driver that fills the descriptor table from entry 0 and offers the chain at 0."""

    def play(bench: Bench) -> None:
        for index, entry in enumerate(entries):
            bench.driver.set_desc(index, *entry)
        bench.driver.offer(0)

    return play


def _indirect(
    *entries: tuple[int, int, int, int], length: int | None = None, gpa: int = TABLE
) -> Callable[[Bench], None]:
    def play(bench: Bench) -> None:
        bench.table(*entries)
        bench.driver.set_desc(0, gpa, 16 * len(entries) if length is None else length, INDIRECT)
        bench.driver.offer(0)

    return play


MALFORMATIONS: list[tuple[str, Rule, Callable[[Bench], None]]] = [
    ("head past the table", Rule.HEAD, lambda b: b.driver.offer(SIZE)),
    ("head far past", Rule.HEAD, lambda b: b.driver.offer(0xFFFF)),
    ("index jumped", Rule.AVAIL_IDX, lambda b: b.driver.set_avail_idx(SIZE + 1)),
    ("index went back", Rule.AVAIL_IDX, lambda b: b.driver.set_avail_idx(0xFFFF)),
    ("loop of one", Rule.LOOP, _desc((DATA, 1, NEXT, 0))),
    ("loop of two", Rule.LOOP, _desc((DATA, 1, NEXT, 1), (DATA, 1, NEXT, 0))),
    ("loop of all", Rule.LOOP, _desc(*[(DATA, 1, NEXT, (i + 1) % SIZE) for i in range(SIZE)])),
    ("next past the table", Rule.NEXT, _desc((DATA, 1, NEXT, SIZE))),
    ("readable after writable", Rule.ORDER, _desc((DATA, 1, NEXT | WRITE, 1), (DATA, 1, 0, 0))),
    ("below RAM", Rule.BUFFER_IN_RAM, _desc((RAM_BASE - 1, 1, 0, 0))),
    ("null", Rule.BUFFER_IN_RAM, _desc((0, 1, WRITE, 0))),
    ("across the end of RAM", Rule.BUFFER_IN_RAM, _desc((RAM_END - 4, 5, WRITE, 0))),
    ("length 4 GiB - 1", Rule.BUFFER_IN_RAM, _desc((RAM_BASE, 0xFFFF_FFFF, WRITE, 0))),
    ("wraps", Rule.BUFFER_WRAP, _desc((2**64 - 1, 2, 0, 0))),
    ("wraps to the whole", Rule.BUFFER_WRAP, _desc((2**64 - 0x1000, 0xFFFF_FFFF, 0, 0))),
    ("ends at the very end", Rule.BUFFER_IN_RAM, _desc((2**64 - 1, 1, 0, 0))),
    ("indirect and next", Rule.INDIRECT_NEXT, _desc((TABLE, 16, INDIRECT | NEXT, 1))),
    ("nested indirect", Rule.INDIRECT_NESTED, _indirect((TABLE, 16, INDIRECT, 0))),
    ("empty table", Rule.INDIRECT_LENGTH, _indirect(length=0)),
    ("part of an entry", Rule.INDIRECT_LENGTH, _indirect((DATA, 1, 0, 0), length=17)),
    ("table outside RAM", Rule.BUFFER_IN_RAM, _indirect((DATA, 1, 0, 0), gpa=RAM_END)),
    ("table wraps", Rule.BUFFER_WRAP, _indirect((DATA, 1, 0, 0), gpa=2**64 - 8)),
    ("next past the indirect table", Rule.NEXT, _indirect((DATA, 1, NEXT, 1))),
    ("loop in the indirect table", Rule.LOOP, _indirect((DATA, 1, NEXT, 1), (DATA, 1, NEXT, 0))),
    ("long", Rule.CHAIN_LENGTH, _indirect(*[(DATA, 1, NEXT, i + 1) for i in range(SIZE)], (DATA, 1, 0, 0))),
]


@pytest.mark.parametrize(("rule", "play"), [m[1:] for m in MALFORMATIONS], ids=[m[0] for m in MALFORMATIONS])
def test_each_malformation_has_its_rule(rule: Rule, play: Callable[[Bench], None]) -> None:
    bench = Bench()
    play(bench)
    with pytest.raises(QueueBroken) as caught:
        bench.queue.pop()
    assert caught.value.rule is rule
    sentence = str(caught.value)
    assert "\n" not in sentence and rule.demand in sentence and "virtio 1.2" in sentence


def test_indirect_needs_its_feature() -> None:
    bench = Bench(indirect=False)
    _indirect((DATA, 1, 0, 0))(bench)
    with pytest.raises(QueueBroken) as caught:
        bench.queue.pop()
    assert caught.value.rule is Rule.INDIRECT_FEATURE


def test_a_chain_of_more_than_4_gib() -> None:
    class Everywhere(ArrayMemory):
        """RAM all over the address space, as far as a device looks."""

        def _at(self, gpa: int, n: int) -> int:
            return super()._at(RAM_BASE + gpa % 0x1000, n)

    bench = Bench()
    memory = Everywhere()
    driver = DriverQueue(memory, 0, SIZE)
    queue = Virtqueue(memory, size=SIZE, max_size=SIZE, desc=0, avail=driver.avail, used=driver.used, indirect=False)
    for index, length in enumerate((0xFFFF_FFFF, 2)):
        driver.set_desc(index, 0x1000, length, 0 if index else NEXT, 1)
    driver.offer(0)
    with pytest.raises(QueueBroken) as caught:
        queue.pop()
    assert caught.value.rule is Rule.CHAIN_BYTES
    assert bench.queue.pop() is None


@pytest.mark.parametrize(
    ("rule", "change"),
    [
        (Rule.SIZE, {"size": 0}),
        (Rule.SIZE, {"size": 3}),
        (Rule.SIZE, {"size": 16}),
        (Rule.SIZE, {"size": 1 << 16, "max_size": 1 << 16}),
        (Rule.ALIGNMENT, {"desc": RAM_BASE + 8}),
        (Rule.ALIGNMENT, {"avail": RAM_BASE + 1}),
        (Rule.ALIGNMENT, {"used": RAM_BASE + 2}),
        (Rule.RING_IN_RAM, {"desc": RAM_END - 16}),
        (Rule.RING_IN_RAM, {"avail": RAM_END - 4}),
        (Rule.RING_IN_RAM, {"used": RAM_END - 4}),
        (Rule.RING_IN_RAM, {"used": 2**64 - 4}),
        (Rule.RING_IN_RAM, {"desc": 0}),
    ],
)
def test_a_queue_is_checked_when_it_is_made(rule: Rule, change: dict[str, int]) -> None:
    numbers = {"size": SIZE, "max_size": SIZE, "desc": RAM_BASE, "avail": RAM_BASE + 0x100, "used": RAM_BASE + 0x200}
    with pytest.raises(QueueBroken) as caught:
        Virtqueue(ArrayMemory(), **(numbers | change), indirect=False)
    assert caught.value.rule is rule


def test_chains_that_appear_while_the_device_works_wait() -> None:
    """A device may be made to write to its own available ring; it must not be kept busy like that."""
    bench = Bench()
    bench.driver.set_desc(0, DATA, 1)
    bench.driver.set_avail_idx(SIZE)
    taken = 0
    for chain in bench.queue.available():
        bench.queue.push(chain, 0)
        taken += 1
        bench.driver.set_avail_idx(SIZE + taken)
        assert taken <= SIZE
    assert (taken, bench.queue.pending()) == (SIZE, SIZE)


GPAS = st.one_of(
    st.integers(RAM_BASE - 32, RAM_BASE + 0x400),
    st.integers(RAM_END - 64, RAM_END + 64),
    st.sampled_from([0, DATA, TABLE, 2**63, 2**64 - 1, 2**64 - 16]),
)
LENGTHS = st.one_of(st.integers(0, 64), st.sampled_from([128, RAM_SIZE, RAM_SIZE + 1, 2**31, 2**32 - 1]))
FLAGS = st.one_of(st.sampled_from([0, NEXT, WRITE, NEXT | WRITE, INDIRECT]), st.integers(0, 0xFFFF))
DESCRIPTORS = st.tuples(GPAS, LENGTHS, FLAGS, st.integers(0, SIZE + 1))


@settings(max_examples=400, deadline=None)
@given(
    table=st.lists(DESCRIPTORS, min_size=SIZE, max_size=SIZE),
    indirect_table=st.lists(DESCRIPTORS, max_size=12),
    heads=st.lists(st.integers(0, SIZE), min_size=SIZE, max_size=SIZE),
    count=st.integers(0, SIZE + 1),
    indirect=st.booleans(),
)
def test_hostile_rings_give_a_valid_chain_or_a_broken_rule(
    table: list[tuple[int, int, int, int]],
    indirect_table: list[tuple[int, int, int, int]],
    heads: list[int],
    count: int,
    indirect: bool,
) -> None:
    bench = Bench(indirect)
    bench.table(*indirect_table)
    for index, entry in enumerate(table):
        bench.driver.set_desc(index, *entry)
    bench.memory.write(bench.driver.avail, struct.pack(f"<HH{SIZE}H", 0, count, *heads))
    bench.memory.accesses = 0
    try:
        for chain in bench.queue.available():
            buffers = chain.readable + chain.writable
            assert len(buffers) <= SIZE
            assert all(RAM_BASE <= b.gpa and b.gpa + b.length <= RAM_END for b in buffers if b.length)
            assert chain.readable_bytes == sum(b.length for b in chain.readable)
            assert chain.writable_bytes == sum(b.length for b in chain.writable)
            assert len(chain.read(0, chain.readable_bytes)) == chain.readable_bytes
            bench.queue.push(chain, 0)
    except QueueBroken as broken:
        assert "\n" not in str(broken)
    per_chain = 3 * (2 * SIZE) + SIZE + 8  # descriptors and the ends of their buffers, the data, the rings
    assert bench.memory.accesses <= SIZE * per_chain + 2
