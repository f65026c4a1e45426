"""The SBI that a guest sees: what it is composed of, and how a VM answers it."""

from __future__ import annotations

from rvhv.sbi import Sbi, base, dbcn, legacy, srst, time

GUEST_SBI = Sbi([base.EXTENSION, time.EXTENSION, dbcn.EXTENSION, srst.EXTENSION, *legacy.CONSOLE])
