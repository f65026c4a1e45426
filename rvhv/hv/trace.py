"""The trace of a run: a record for every exit, hashed in bulk."""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from rvhv.core.registry import ISA
from rvhv.cpu.state import TRACE_WORDS

RECORD = 8 * TRACE_WORDS  # bytes
CAUSE_FIRST, CAUSE_LAST = 8, 15  # bytes of a record: codes are below 256, and the last has the bit that says interrupt
KEPT = 1000  # of the last records
KEPT_BYTES = KEPT * RECORD
GUEST_PAGE_FAULTS = frozenset(cause.code for cause in ISA.causes.values() if cause.guest_page_fault)
MOST_PAGES = 256  # outside RAM, of one VM and cause, that are counted one by one
IN_RAM, ELSEWHERE = -1, -2  # for a page number: RAM, and pages beyond MOST_PAGES


@dataclass(frozen=True, slots=True)
class Record:
    """One exit: who, scause, sepc, the guest physical address (0: none), and the VM's own steps."""

    vm: int
    cause: int
    pc: int
    gpa: int
    steps: int


@dataclass(slots=True)
class Moved:
    """What exits of one kind were charged for what devices moved, in steps, besides the cost of an exit itself."""

    exits: int = 0
    total: int = 0
    least: int = 0
    most: int = 0

    def add(self, cost: int) -> None:
        self.least = min(self.least, cost) if self.exits else cost
        self.most = max(self.most, cost)
        self.exits += 1
        self.total += cost


class Recent:
    """The last KEPT records. They come in pieces of any size, which is no state of a machine."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._size = 0

    def append(self, records: bytes) -> None:
        self._pieces.append(records)
        self._size += len(records)
        while self._size - len(self._pieces[0]) >= KEPT_BYTES:
            self._size -= len(self._pieces.popleft())

    def records(self, waiting: bytes = b"") -> list[Record]:
        """Oldest first; `waiting` come last."""
        return list(_unpacked(self.capture_state(waiting)))

    def capture_state(self, waiting: bytes = b"") -> bytes:
        return b"".join((*self._pieces, waiting))[-KEPT_BYTES:]

    def restore_state(self, captured: bytes) -> None:
        self._pieces, self._size = deque([captured]), len(captured)


class Trace:
    """Two kinds of SHA-256 over the records the hart appends: one over all, and one for each VM over its own.

    The first begins with the VMs' numbers and names. A VM's own has zeros for its number, so that it can be compared
    between runs in different company.
    """

    def __init__(self) -> None:
        self._all = hashlib.sha256()
        self._own: dict[int, hashlib._Hash] = {}
        self._counts: dict[int, Counter[int]] = {}
        self._faults: dict[int, Counter[tuple[int, int]]] = {}
        self._moved: dict[tuple[int, int, int], Moved] = {}
        self._recent = Recent()

    def add_vm(self, number: int, name: str) -> None:
        self._all.update(f"{number} {name}\n".encode())
        self._own[number] = hashlib.sha256()
        self._counts[number] = Counter()
        self._faults[number] = Counter()

    def append(self, number: int, records: bytes) -> None:
        """Take records of one VM (each: its number, scause, sepc, gpa, its own steps; uint64, oldest first)."""
        self._all.update(records)
        self._recent.append(records)
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

    def exits(self, number: int) -> int:
        """How many exits of a VM were taken."""
        return self._counts[number].total()

    def count_faults(self, number: int, records: bytes, ram: range) -> None:
        """Count the guest-page faults among records of a VM whose RAM is at these gpas."""
        codes = records[8 :: 8 * TRACE_WORDS]
        if not any(code in codes for code in GUEST_PAGE_FAULTS):
            return
        words = array("Q", records)
        faults = self._faults[number]
        for cause, gpa in zip(words[1::TRACE_WORDS], words[3::TRACE_WORDS], strict=True):
            if cause in GUEST_PAGE_FAULTS:
                key = cause, IN_RAM if gpa in ram else gpa >> 12
                faults[key if key in faults or len(faults) < MOST_PAGES else (cause, ELSEWHERE)] += 1

    def faults(self, number: int, scause: int) -> dict[int, int]:
        """Guest-page faults of a VM and cause by the number of the page, or IN_RAM or ELSEWHERE."""
        return {page: count for (cause, page), count in self._faults[number].items() if cause == scause}

    def charge(self, number: int, scause: int, page: int, cost: int) -> None:
        """An exit of this cause (of a guest-page fault: at this page) was charged `cost` steps for what devices moved."""
        key = number, scause, page if scause in GUEST_PAGE_FAULTS else IN_RAM
        if key not in self._moved and len(self._moved) >= MOST_PAGES:
            key = number, scause, ELSEWHERE
        self._moved.setdefault(key, Moved()).add(cost)

    def moved(self, number: int, scause: int, page: int = IN_RAM) -> Moved:
        """What exits of a VM, cause and page were charged beyond the cost of an exit."""
        return self._moved.get((number, scause, page), Moved())

    def recent(self, waiting: bytes = b"") -> list[Record]:
        """The last exits, KEPT at most, oldest first; `waiting`: records that were not taken yet."""
        return self._recent.records(waiting)


def _unpacked(records: bytes) -> Iterator[Record]:
    words = array("Q", records)
    for i in range(0, len(words), TRACE_WORDS):
        yield Record(*words[i : i + TRACE_WORDS])
