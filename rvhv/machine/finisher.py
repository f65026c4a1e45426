"""The finisher (SiFive's test device, "syscon" to Linux): one register that powers the machine off, or asks for a reboot."""

from __future__ import annotations

from collections.abc import Callable

from rvhv.machine.bus import BusFault
from rvhv.machine.virt_board import FINISHER

FAIL, PASS, RESET = 0x3333, 0x5555, 0x7777
CODE_SHIFT = 16  # of a failure's code

PowerOff = Callable[[str, int], None]


class Finisher:
    """`power_off(how, code)`: code 0 is fine. `reboot()`."""

    name = "finisher"

    def __init__(
        self, power_off: PowerOff, reboot: Callable[[], None], *, base: int = FINISHER.base, size: int = FINISHER.size
    ) -> None:
        self.base = base
        self.size = size
        self._power_off = power_off
        self._reboot = reboot

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        if size not in (2, 4) or offset % size:
            raise BusFault(f"the finisher takes 16- and 32-bit stores, not {size} bytes at offset {offset:#x}")
        if offset:
            return
        status, code = value & 0xFFFF, value >> CODE_SHIFT & 0xFFFF
        if status == PASS:
            self._power_off("powered off", 0)
        elif status == FAIL:
            self._power_off(f"powered off as failed, code {code}", code or 1)
        elif status == RESET:
            self._reboot()
