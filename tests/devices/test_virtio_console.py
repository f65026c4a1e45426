"""The console device: bytes out, bytes in, and buffers of the wrong direction."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.virtio.console import MAX_OUTPUT, RECEIVEQ, TRANSMITQ, Console
from tests.devices.virtio_driver import RAM_BASE, RAM_SIZE, Guest

DATA = RAM_BASE + 0x8000


class Terminal:
    """A started guest with a console, and what it printed."""

    def __init__(self) -> None:
        self.output: list[bytes] = []
        self.console = Console(self.output.append)
        self.guest = Guest(self.console)
        self.guest.start()
        self.rx, self.tx = self.guest.queues

    def give_room(self, *lengths: int) -> None:
        for i, length in enumerate(lengths):
            self.rx.add((DATA + 0x100 * i, length, True))
        self.guest.notify(RECEIVEQ)

    def received(self) -> list[bytes]:
        return [self.guest.memory.read(self.address(head), n) for head, n in self.rx.take_used()]

    def address(self, head: int) -> int:
        return int.from_bytes(self.guest.memory.read(self.rx.base + 16 * head, 8), "little")


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_output_in_order_and_in_pieces(terminal: Terminal) -> None:
    terminal.guest.memory.write(DATA, b"one two three")
    a = terminal.tx.add((DATA, 4, False))
    b = terminal.tx.add((DATA + 4, 4, False), (DATA + 8, 5, False))
    empty = terminal.tx.add((DATA, 0, False))
    terminal.guest.notify(TRANSMITQ)
    assert terminal.output == [b"one ", b"two three"]
    assert terminal.tx.take_used() == [(a, 0), (b, 0), (empty, 0)]
    assert terminal.guest.irq


def test_input_waits_for_room_and_room_for_input(terminal: Terminal) -> None:
    terminal.console.input(b"abc")
    assert not terminal.guest.irq and terminal.console.unread == 3
    terminal.give_room(2, 2, 2)
    assert terminal.received() == [b"ab", b"c"]
    assert terminal.guest.irq and terminal.console.unread == 0
    terminal.guest.ack()
    terminal.console.input(b"d")
    assert terminal.guest.irq and terminal.received() == [b"d"]
    terminal.console.input(b"")
    assert terminal.console.unread == 0


def test_input_before_the_driver_and_over_a_reset(terminal: Terminal) -> None:
    terminal.console.input(b"early")
    terminal.guest.memory.bytes[:] = bytes(RAM_SIZE)
    terminal.guest.start()
    terminal.rx, terminal.tx = terminal.guest.queues
    terminal.give_room(16)
    assert terminal.received() == [b"early"]


@pytest.mark.parametrize(
    ("buffers", "sentence"),
    [
        ([(DATA, 4, False)], "may only read"),
        ([(DATA, 4, False), (DATA, 4, True)], "may only read"),
        ([(DATA, 0, True)], "no room"),
        ([(0, 4, True)], "not in RAM"),
    ],
)
def test_wrong_receive_buffers(terminal: Terminal, buffers: list[tuple[int, int, bool]], sentence: str) -> None:
    terminal.rx.add(*buffers)
    terminal.console.input(b"x")  # news from the host's side find the broken queue, too
    assert terminal.guest.needs_reset and terminal.guest.irq
    assert len(terminal.guest.broken) == 1 and sentence in terminal.guest.broken[0]
    assert terminal.guest.broken[0].startswith("virtio console, queue 0: ")
    assert terminal.console.unread == 1


def test_a_writable_transmit_buffer(terminal: Terminal) -> None:
    terminal.guest.memory.write(DATA, b"first")
    terminal.tx.add((DATA, 5, False))
    terminal.tx.add((DATA, 4, False), (DATA, 4, True))
    terminal.guest.notify(TRANSMITQ)
    assert terminal.output == [b"first"] and terminal.guest.needs_reset
    assert "may write" in terminal.guest.broken[0]


def test_overlapping_buffers_cannot_multiply_memory(terminal: Terminal) -> None:
    terminal.tx.add(*[(RAM_BASE, RAM_SIZE // 16, False)] * 4)
    terminal.guest.notify(TRANSMITQ)
    assert [len(data) for data in terminal.output] == [RAM_SIZE // 4] == [MAX_OUTPUT]
    terminal.tx.add(*[(RAM_BASE, RAM_SIZE // 16, False)] * 4, (RAM_BASE, 1, False))
    terminal.guest.notify(TRANSMITQ)
    assert terminal.guest.needs_reset and str(MAX_OUTPUT) in terminal.guest.broken[0]


def test_two_consoles_do_not_share_anything() -> None:
    one, two = Terminal(), Terminal()
    one.console.input(b"for one")
    two.give_room(8)
    assert two.received() == [] and one.console.unread == 7


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=12), st.integers(1, 9)), max_size=30))
def test_input_is_a_stream(steps: list[bytes | int]) -> None:
    terminal = Terminal()
    sent, got, free = b"", b"", 8
    for step in steps:
        if isinstance(step, bytes):
            terminal.console.input(step)
            sent += step
        elif free:
            terminal.rx.add((DATA + 16 * (terminal.rx.next_desc % 8), step, True))
            terminal.guest.notify(RECEIVEQ)
            free -= 1
        pieces = terminal.received()
        free += len(pieces)
        got += b"".join(pieces)
        assert sent == got + sent[len(got) :] and terminal.console.unread == len(sent) - len(got)
        assert free == 8 or not terminal.console.unread
