"""The SBI that a guest sees: what it is composed of, and how its calls are answered."""

from __future__ import annotations

from typing import Any

from rvhv.sbi import base, dbcn, ipi, legacy, rfence, srst, time
from rvhv.sbi.table import Sbi

GUEST_SBI = Sbi(
    [
        *(room.EXTENSION for room in (base, time, ipi)),
        rfence.WITHOUT_H,
        *(room.EXTENSION for room in (dbcn, srst)),
        legacy.TIMER,
        *legacy.CONSOLE,
        *legacy.FENCES,
    ]
)
ECALL_LENGTH = 4
MASK64 = (1 << 64) - 1


class GuestSbi:
    """Of one guest (`rvhv.hv.trapped.TrappedGuest`), which is what the functions of the extensions know as their caller."""

    sbi = GUEST_SBI

    def __init__(self, guest: Any) -> None:
        self.guest = guest

    def __getattr__(self, name: str) -> Any:
        """RAM, console, timer and what else a function asks of its caller."""
        return getattr(self.guest, name)

    def ecall(self, pc: int) -> None:
        """Answer the call that was made at `pc`."""
        self.sbi.call(self, self.guest.x)
        self.guest.resume((pc + ECALL_LENGTH) & MASK64)
