"""The trace of a run: a record for every exit, hashed in bulk."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter

from rvhv.cpu.state import TRACE_WORDS

RECORD = 8 * TRACE_WORDS  # bytes
CAUSE_FIRST, CAUSE_LAST = 8, 15  # bytes of a record: codes are below 256, and the last has the bit that says interrupt


class Trace:
    """Two kinds of SHA-256 over the records the hart appends: one over all, and one for each VM over its own.

    The first begins with the VMs' numbers and names. A VM's own has zeros for its number, so that it can be compared
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

    def append(self, number: int, records: bytes) -> None:
        """Take records of one VM (each: its number, scause, sepc, gpa, its own steps; uint64, oldest first)."""
        self._all.update(records)
        words = array("Q", records)
        words[0::TRACE_WORDS] = array("Q", bytes(8 * (len(words) // TRACE_WORDS)))
        self._own[number].update(words)
        counts = self._counts[number]
        if records[CAUSE_LAST::RECORD].strip(b"\0"):
            counts.update(words[1::TRACE_WORDS])
            return
        codes = records[CAUSE_FIRST::RECORD]
        while codes:  # there are few that differ: three times as fast as to look at each
            code = codes[:1]
            counts[code[0]] += codes.count(code)
            codes = codes.translate(None, code)

    def hexdigest(self) -> str:
        return self._all.hexdigest()

    def own_hexdigest(self, number: int) -> str:
        return self._own[number].hexdigest()

    def counts(self, number: int) -> Counter[int]:
        """Exits of a VM by scause."""
        return self._counts[number]
