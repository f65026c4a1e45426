"""What the extensions for several harts ask of whoever plays the SBI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from rvhv.cpu.state import ALL_HARTS, Fence
from rvhv.sbi.table import Supervisor

WORD_BITS = 64


class Machine(Supervisor, Protocol):
    """A supervisor on a machine of several harts."""

    @property
    def hart_count(self) -> int: ...
    def send_ipi(self, hart: int) -> None:
        """The supervisor software interrupt of a hart becomes pending."""

    def remote_fence(self, harts: Iterable[int], kind: Fence, start_addr: int | None, one_space: bool) -> None:
        """These harts fence, for all addresses (None) or so many from `start_addr` as a3 says; with `one_space` for the ASID or
        VMID in a4."""

    def is_started(self, hart: int) -> bool: ...
    def start(self, hart: int, address: int, opaque: int) -> None:
        """A stopped hart begins at `address` in S-mode, with its number in a0 and `opaque` in a1."""

    def stop(self) -> None:
        """The calling hart stops; it does not return from the call."""

    def suspend(self) -> None:
        """The calling hart waits for an interrupt."""


def selected(caller: Machine, mask: int, base: int) -> Iterator[int] | None:
    """The harts that a hart mask names; None when one of them is not there."""
    if base == ALL_HARTS:
        return iter(range(caller.hart_count))
    if base + mask.bit_length() > caller.hart_count:
        return None
    return (base + i for i in range(WORD_BITS) if mask >> i & 1)
