"""The trace of a run: a record for every exit, hashed in bulk."""

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np

RECORD_WORDS = 5  # vm number, scause, sepc, gpa, the VM's own steps


class Trace:
    """Two kinds of hash over the records the hart appends: one of everything, and one for each VM of its own records.

    The first is seeded with the VMs' numbers and names. A VM's own leaves its number out, so that it can be compared
    between runs in different company.
    """

    def __init__(self) -> None:
        self._all = hashlib.sha256()
        self._own: dict[int, hashlib._Hash] = {}
        self._counts: dict[int, Counter[int]] = {}

    def add_vm(self, number: int, name: str) -> None:
        self._all.update(f"{number} {name}\n".encode())
        self._own[number] = hashlib.sha256()
        self._counts[number] = Counter()

    def append(self, records: bytes) -> None:
        """Take the hart's records (little-endian uint64, five each, oldest first)."""
        if not records:
            return
        self._all.update(records)
        rows = np.frombuffer(records, dtype="<u8").reshape(-1, RECORD_WORDS)
        for number in np.unique(rows[:, 0]):
            own = rows[rows[:, 0] == number, 1:]
            self._own[int(number)].update(own.tobytes())
            causes, counts = np.unique(own[:, 0], return_counts=True)
            self._counts[int(number)].update(dict(zip(causes.tolist(), counts.tolist(), strict=True)))

    def hexdigest(self) -> str:
        return self._all.hexdigest()

    def own_hexdigest(self, number: int) -> str:
        return self._own[number].hexdigest()

    def counts(self, number: int) -> Counter[int]:
        """Exits of a VM by scause."""
        return self._counts[number]
