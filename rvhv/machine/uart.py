"""The 16550A UART (National Semiconductor PC16550D), as QEMU's `virt` has it: byte registers, FIFOs of 16, one interrupt line.

A byte is sent the moment it is written, so the transmitter is always empty; what is typed waits until the receiver has room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from rvhv.machine.bus import BusFault
from rvhv.machine.virt_board import UART

# offsets; DLL and DLM take the place of the first two while LCR.DLAB is set
RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR = range(8)
REGISTERS = 8
FIFO = 16

IER_RECEIVED, IER_SENT, IER_LINE, IER_MODEM = 1, 2, 4, 8
IIR_NONE, IIR_MODEM, IIR_SENT, IIR_RECEIVED, IIR_LINE, IIR_TIMEOUT = 1, 0, 2, 4, 6, 0xC
IIR_FIFOS = 0xC0
FCR_ENABLE, FCR_CLEAR_RECEIVER = 1, 2
FCR_TRIGGER_SHIFT, TRIGGERS = 6, (1, 4, 8, 14)
LCR_DLAB = 0x80
MCR_DTR, MCR_RTS, MCR_OUT1, MCR_OUT2, MCR_LOOP = 1, 2, 4, 8, 0x10
LSR_DATA, LSR_OVERRUN, LSR_SENT, LSR_IDLE = 1, 2, 0x20, 0x40
MSR_CTS, MSR_DSR, MSR_RI, MSR_DCD = 0x10, 0x20, 0x40, 0x80
CONNECTED = MSR_CTS | MSR_DSR | MSR_DCD


class Uart:
    """`on_output(data)` gets what the machine sends, `irq(level)` follows the interrupt line, `feed` is the keyboard."""

    name = "uart"

    def __init__(
        self, on_output: Callable[[bytes], None], irq: Callable[[bool], None], *, base: int = UART.base, size: int = UART.size
    ) -> None:
        self.base = base
        self.size = size
        self._on_output = on_output
        self._irq = irq
        self._typed: deque[int] = deque()
        self._level = False
        self.reset()

    def reset(self) -> None:
        """As after power on; what was typed and not read stays typed."""
        self._received: deque[int] = deque()
        self._ier = self._lcr = self._mcr = self._scr = 0
        self._fcr = 0
        self._divisor = 12
        self._overrun = False
        self._sent = False  # the "transmitter empty" interrupt waits to be seen
        self._modem = 0  # delta bits of MSR
        self._update()

    def feed(self, data: bytes) -> None:
        """Type."""
        self._typed += data
        self._update()

    def take(self, n: int) -> bytes:
        """At most `n` of the bytes typed, taken by firmware instead of through the registers."""
        taken = bytearray()
        while len(taken) < n and self._received:
            taken.append(self._received.popleft())
            self._update()
        return bytes(taken)

    @property
    def unread(self) -> int:
        """Bytes typed that the machine has not taken yet."""
        return len(self._typed) + len(self._received)

    @property
    def enabled(self) -> int:
        """IER: which of its interrupts are on, for those who look."""
        return self._ier

    @property
    def line(self) -> bool:
        """Its interrupt line."""
        return self._level

    # the machine's side

    def load(self, offset: int, size: int) -> int:
        """Bytes, as many registers as the access is wide. Registers behind the eighth read 0."""
        return sum(self._load(offset + i) << 8 * i for i in range(size))

    def store(self, offset: int, size: int, value: int) -> None:
        if offset + size > self.size:
            raise BusFault(f"the UART has no {size} bytes at offset {offset:#x}")
        for i in range(size):
            self._store(offset + i, value >> 8 * i & 0xFF)

    def _load(self, register: int) -> int:
        value = 0
        if register == RBR_THR:
            value = self._divisor & 0xFF if self._lcr & LCR_DLAB else self._take()
        elif register == IER:
            value = self._divisor >> 8 if self._lcr & LCR_DLAB else self._ier
        elif register == IIR_FCR:
            cause = self._cause()
            if cause == IIR_SENT:
                self._sent = False  # seen
            value = cause | (IIR_FIFOS if self._fcr & FCR_ENABLE else 0)
        elif register == LCR:
            value = self._lcr
        elif register == MCR:
            value = self._mcr
        elif register == LSR:
            value = LSR_SENT | LSR_IDLE | (LSR_DATA if self._received else 0) | (LSR_OVERRUN if self._overrun else 0)
            self._overrun = False
        elif register == MSR:
            value = self._lines() | self._modem
            self._modem = 0
        elif register == SCR:
            value = self._scr
        self._update()
        return value

    def _store(self, register: int, value: int) -> None:
        if register == RBR_THR:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0xFF00 | value
            else:
                self._send(value)
        elif register == IER:
            if self._lcr & LCR_DLAB:
                self._divisor = self._divisor & 0xFF | value << 8
            else:
                # enabling the interrupt while the transmitter is empty raises it
                self._sent = self._sent or bool(value & ~self._ier & IER_SENT)
                self._ier = value & 0xF
        elif register == IIR_FCR:
            if value & FCR_CLEAR_RECEIVER or (value ^ self._fcr) & FCR_ENABLE:
                self._received.clear()
            self._fcr = value & ~FCR_CLEAR_RECEIVER
        elif register == LCR:
            self._lcr = value
        elif register == MCR:
            before = self._lines()
            self._mcr = value & 0x1F
            self._modem |= (before ^ self._lines()) >> 4
        elif register == SCR:
            self._scr = value
        self._update()

    def _send(self, value: int) -> None:
        self._sent = True
        if not self._mcr & MCR_LOOP:
            self._on_output(bytes((value,)))
        elif len(self._received) < self._room():
            self._received.append(value)
        else:
            self._overrun = True

    def _take(self) -> int:
        return self._received.popleft() if self._received else 0

    def _room(self) -> int:
        return FIFO if self._fcr & FCR_ENABLE else 1

    def _lines(self) -> int:
        """The modem's lines: a terminal that is there, or in loopback what MCR drives."""
        if not self._mcr & MCR_LOOP:
            return CONNECTED
        pairs = ((MCR_RTS, MSR_CTS), (MCR_DTR, MSR_DSR), (MCR_OUT1, MSR_RI), (MCR_OUT2, MSR_DCD))
        return sum(line for bit, line in pairs if self._mcr & bit)

    def _cause(self) -> int:
        """The interrupt of highest priority, as IIR tells it."""
        if self._ier & IER_LINE and self._overrun:
            return IIR_LINE
        if self._ier & IER_RECEIVED and self._received:
            # nothing more comes at once, so fewer bytes than the trigger level time out at once
            full = not self._fcr & FCR_ENABLE or len(self._received) >= TRIGGERS[self._fcr >> FCR_TRIGGER_SHIFT]
            return IIR_RECEIVED if full else IIR_TIMEOUT
        if self._ier & IER_SENT and self._sent:
            return IIR_SENT
        if self._ier & IER_MODEM and self._modem:
            return IIR_MODEM
        return IIR_NONE

    def _update(self) -> None:
        if not self._mcr & MCR_LOOP:
            while self._typed and len(self._received) < self._room():
                self._received.append(self._typed.popleft())
        level = self._cause() != IIR_NONE
        if level != self._level:
            self._level = level
            self._irq(level)
