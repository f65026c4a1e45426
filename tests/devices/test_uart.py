"""The 16550: its registers, its FIFOs and the interrupts that drivers count on."""

from __future__ import annotations

import pytest

from rvhv.machine.bus import BusFault
from rvhv.machine.uart import Uart

RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR = range(8)
THR, FCR = RBR, IIR
NONE, SENT, RECEIVED, LINE, TIMEOUT, MODEM = 1, 2, 4, 6, 0xC, 0


class Board:
    def __init__(self) -> None:
        self.printed = bytearray()
        self.irq = False
        self.edges = 0
        self.uart = Uart(self.printed.extend, self._on_irq)

    def _on_irq(self, level: bool) -> None:
        assert level != self.irq, "irq is called for changes only"
        self.irq = level
        self.edges += 1

    def get(self, register: int) -> int:
        return self.uart.load(register, 1)

    def put(self, register: int, value: int) -> None:
        self.uart.store(register, 1, value)


def test_prints() -> None:
    board = Board()
    for byte in b"hi\n":
        assert board.get(LSR) & 0x60 == 0x60
        board.put(THR, byte)
    assert board.printed == b"hi\n" and not board.irq


def test_divisor_and_scratch() -> None:
    board = Board()
    board.put(LCR, 0x83)
    board.put(RBR, 0x34)
    board.put(IER, 0x12)
    assert (board.get(RBR), board.get(IER), board.get(LCR)) == (0x34, 0x12, 0x83)
    board.put(LCR, 3)
    board.put(SCR, 0xA5)
    assert board.get(IER) == 0 and board.get(SCR) == 0xA5 and board.printed == b""


def test_reads_what_was_typed_without_a_fifo() -> None:
    board = Board()
    board.uart.feed(b"abc")
    assert board.uart.unread == 3
    assert [board.get(RBR) for _ in range(3) if board.get(LSR) & 1] == list(b"abc")
    assert board.get(LSR) & 1 == 0 and board.get(RBR) == 0


@pytest.mark.parametrize(("fcr", "level"), [(0x01, 1), (0x41, 4), (0x81, 8), (0xC1, 14)])
def test_receive_interrupt_by_trigger_level(fcr: int, level: int) -> None:
    board = Board()
    board.put(FCR, fcr)
    board.put(IER, 1)
    assert board.get(IIR) == 0xC0 | NONE
    board.uart.feed(bytes(range(level - 1)))
    if level > 1:
        assert board.irq and board.get(IIR) == 0xC0 | TIMEOUT
    board.uart.feed(b"x")
    assert board.irq and board.get(IIR) == 0xC0 | RECEIVED
    for _ in range(level):
        board.get(RBR)
    assert not board.irq and board.get(IIR) == 0xC0 | NONE


def test_a_long_paste_waits_outside_the_fifo() -> None:
    board = Board()
    board.put(FCR, 1)
    board.uart.feed(bytes(range(100)))
    assert [board.get(RBR) for _ in range(100)] == list(range(100)) and board.uart.unread == 0


def test_clearing_the_fifo_drops_what_is_in_it_only() -> None:
    board = Board()
    board.put(FCR, 1)
    board.uart.feed(bytes(range(20)))
    board.put(FCR, 3)
    assert [board.get(RBR) for _ in range(4)] == [16, 17, 18, 19]


def test_transmit_interrupt() -> None:
    """It comes when it is enabled and after each byte, and is gone when IIR told of it."""
    board = Board()
    board.put(IER, 2)
    assert board.irq
    assert board.get(IIR) == SENT and not board.irq and board.get(IIR) == NONE
    board.put(THR, 65)
    assert board.irq and board.get(IIR) == SENT and not board.irq
    board.put(THR, 66)
    board.put(IER, 0)
    assert not board.irq
    board.put(IER, 2)
    assert board.irq


def test_received_data_comes_before_the_transmitter() -> None:
    board = Board()
    board.put(IER, 3)
    board.uart.feed(b"x")
    assert board.get(IIR) == RECEIVED
    board.get(RBR)
    assert board.get(IIR) == SENT


def test_loopback() -> None:
    """What Linux's probe does: the modem lines follow MCR, bytes come back, nothing is printed."""
    board = Board()
    board.put(MCR, 0x1A)
    assert board.get(MSR) & 0xF0 == 0x90
    board.put(THR, 7)
    assert board.get(LSR) & 1 and board.get(RBR) == 7 and board.printed == b""
    board.put(THR, 7)
    board.put(THR, 8)
    assert board.get(LSR) & 2, "an overrun"
    board.put(MCR, 0)
    assert board.get(MSR) & 0xF0 == 0xB0 and board.get(MSR) & 0xF == 0


def test_wide_accesses_are_bytes_in_a_row() -> None:
    board = Board()
    board.uart.store(0, 4, 65)
    assert board.printed == b"A"
    assert board.uart.load(LSR, 1) == 0x60 and board.uart.load(0x80, 8) == 0
    with pytest.raises(BusFault):
        board.uart.store(0xFE, 4, 0)
