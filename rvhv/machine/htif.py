"""HTIF (Berkeley Host-Target Interface), found by symbol: stores to `tohost` are requests, answers go to `fromhost`.

A request is (device, command, payload): the exit code, a system call of the proxy (write and exit), a character for the console.
"""

from __future__ import annotations

from collections.abc import Callable

from rvhv.core.memory import Memory
from rvhv.errors import ImageError
from rvhv.machine.image import Image

TOHOST_BYTES = 8

SYSCALL_DEVICE, CONSOLE_DEVICE = 0, 1
SYSCALL, GETCHAR, PUTCHAR = 0, 0, 1  # commands
PAYLOAD = (1 << 48) - 1
SYS_WRITE, SYS_EXIT = 64, 93
MAGIC_WORDS = 8  # of a system call: its number and its arguments; the result takes the place of the first
MOST_BYTES = 1 << 16  # of one write
ENOSYS = -38 & (1 << 64) - 1
EFAULT = -14 & (1 << 64) - 1


class Htif:
    """Watches `tohost`. `on_output(data)` gets what is printed, `on_exit(code)` how the program ended (0: fine), `read(n)` gives
    at most n bytes of what was typed."""

    def __init__(
        self,
        memory: Memory,
        image: Image,
        *,
        watch: Callable[[int], None],
        on_output: Callable[[bytes], None],
        on_exit: Callable[[int], None],
        read: Callable[[int], bytes] = lambda n: b"",
    ) -> None:
        """Raises ImageError when the image has no symbol `tohost` in RAM."""
        tohost = image.symbols.get("tohost")
        if tohost is None:
            raise ImageError(f"{image.name}: it has no symbol tohost, so nothing can tell how it ends")
        if not memory.base <= tohost <= memory.base + memory.size - TOHOST_BYTES or tohost % TOHOST_BYTES:
            raise ImageError(f"{image.name}: its tohost at {tohost:#x} is not an aligned place in RAM")
        fromhost = image.symbols.get("fromhost")
        if fromhost is not None and not memory.base <= fromhost <= memory.base + memory.size - TOHOST_BYTES:
            fromhost = None
        self._memory = memory
        self._tohost, self._fromhost = tohost, fromhost
        self._on_output, self._on_exit, self._read = on_output, on_exit, read
        self._reading = False  # a getchar waits
        watch(tohost)

    def typed(self) -> None:
        """There may be something to read."""
        if self._reading and (data := self._read(1)):
            self._reading = False
            self._answer(CONSOLE_DEVICE, GETCHAR, 0x100 | data[0])

    def look(self) -> None:
        """Something was stored near `tohost`: serve the request, if it is one."""
        value = self._memory.read_u64(self._tohost)
        if value == 0:
            return
        device, command, payload = value >> 56, value >> 48 & 0xFF, value & PAYLOAD
        if device == SYSCALL_DEVICE and command == SYSCALL:
            if value & 1:
                self._on_exit(payload >> 1)
                return
            self._taken()
            self._call(payload)
        elif device == CONSOLE_DEVICE and command == PUTCHAR:
            self._taken()
            self._on_output(bytes((payload & 0xFF,)))
            self._answer(CONSOLE_DEVICE, PUTCHAR, 0)
        elif device == CONSOLE_DEVICE and command == GETCHAR:
            self._taken()
            self._reading = True
            self.typed()
        else:
            self._taken()  # a device that is not there never answers

    def _taken(self) -> None:
        self._memory.write_u64(self._tohost, 0)

    def _answer(self, device: int, command: int, payload: int) -> None:
        if self._fromhost is not None:
            self._memory.write_u64(self._fromhost, device << 56 | command << 48 | payload)

    def _call(self, magic: int) -> None:
        """The system call whose words lie at `magic`."""
        if not self._in_ram(magic, 8 * MAGIC_WORDS):
            return
        number, first, second, third = (self._memory.read_u64(magic + 8 * i) for i in range(4))
        if number == SYS_EXIT:
            self._on_exit(first & 0xFFFF_FFFF)
            return
        result = ENOSYS
        if number == SYS_WRITE:
            result = min(third, MOST_BYTES)
            if self._in_ram(second, result):
                self._on_output(self._memory.read(second, result))
            else:
                result = EFAULT
        self._memory.write_u64(magic, result)
        self._answer(SYSCALL_DEVICE, SYSCALL, 1)

    def _in_ram(self, spa: int, n: int) -> bool:
        return self._memory.base <= spa and spa + n <= self._memory.base + self._memory.size
