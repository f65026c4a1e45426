"""The SBI that a guest sees: what it is composed of, and how a VM answers it."""

from __future__ import annotations

from rvhv.sbi import Sbi, base, dbcn, ipi, legacy, rfence, srst, time

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
