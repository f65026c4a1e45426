"""Versions of the pages of a memory: what each snapshot's frames held, as the pages that changed since the snapshot before.

A snapshot is a number; higher ones are later. A page is kept once, whoever holds it. Forgetting a snapshot gives what only it
held to the one behind it, so that all others stay exact.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator

from rvhv.core.memory import PAGE, Memory

ZERO = bytes(PAGE)
CHUNK = 1 << 18  # bytes looked at at once, when a whole memory is
ENTRY_BYTES = 100  # of a frame in a snapshot, beside its page: an element of a set, one of each list, a share of the dicts
FIRST_ENTRY_BYTES = 300  # and of a frame that was ever written, for having lists


class _Kept:
    """A page as bytes, and how many versions are it."""

    __slots__ = ("page", "uses")

    def __init__(self, page: bytes) -> None:
        self.page = page
        self.uses = 1


class Pages:
    """Frames by spa. `size` is what it holds, in bytes, the pages once each."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self._kept: dict[bytes, _Kept] = {}
        self._numbers: dict[int, list[int]] = {}  # spa -> snapshots that have a version of it, in order
        self._versions: dict[int, list[bytes]] = {}  # spa -> these
        self._changed: dict[int, set[int]] = {}  # snapshot -> spas that have a version there; in order
        self._touched: dict[int, set[int]] = {}  # snapshot -> spas that were stored to before it, and hold what they held
        self._entries = 0

    @property
    def size(self) -> int:
        """Bytes held, the books included."""
        return len(self._kept) * (PAGE + 200) + self._entries * ENTRY_BYTES + len(self._numbers) * FIRST_ENTRY_BYTES

    def begin(self, number: int, written: Iterable[int] | None = None) -> None:
        """The first snapshot: all of memory, or of the frames that were ever `written`. Anything there was is dropped."""
        self._kept.clear()
        self._numbers.clear()
        self._versions.clear()
        self._changed.clear()
        self._touched.clear()
        self._entries = 0
        self.add(number, self._not_zero() if written is None else written)

    def _not_zero(self) -> Iterator[int]:
        """Frames with something in them. Memory that nobody has touched yet is touched: slow, and the host has to find it."""
        memory, nothing = self.memory, bytes(CHUNK)
        end = memory.base + memory.size
        for start in range(memory.base, end, CHUNK):
            if memory.read(start, min(CHUNK, end - start)) != nothing[: end - start]:
                yield from range(start, min(start + CHUNK, end), PAGE)

    def add(self, number: int, spas: Iterable[int]) -> None:
        """A snapshot behind all others, of the frames that may have changed since the last one."""
        changed = self._changed[number] = set()
        touched = self._touched[number] = set()
        read = self.memory.read
        for spa in spas:
            page = read(spa, PAGE)
            versions = self._versions.get(spa)
            if page != (versions[-1] if versions else ZERO):
                self._add(number, changed, spa, page)
            elif len(self._changed) > 1:  # nothing is looked for before the first one
                touched.add(spa)
        self._entries += len(touched)

    def _add(self, number: int, changed: set[int], spa: int, page: bytes) -> None:
        kept = self._kept.get(page)
        if kept is None:
            self._kept[page] = _Kept(page)
        else:
            kept.uses += 1
            page = kept.page
        if spa in self._numbers:
            self._numbers[spa].append(number)
            self._versions[spa].append(page)
        else:
            self._numbers[spa], self._versions[spa] = [number], [page]
        changed.add(spa)
        self._entries += 1

    def _give_up(self, page: bytes) -> None:
        kept = self._kept[page]
        kept.uses -= 1
        if not kept.uses:
            del self._kept[page]
        self._entries -= 1

    def at(self, number: int, spa: int) -> bytes:
        """What the frame held at a snapshot."""
        numbers = self._numbers.get(spa)
        i = bisect_right(numbers, number) if numbers else 0
        return self._versions[spa][i - 1] if i else ZERO

    def between(self, one: int, other: int) -> set[int]:
        """Frames that may differ between two snapshots."""
        low, high = min(one, other), max(one, other)
        return set().union(*(spas for number, spas in self._changed.items() if low < number <= high))

    def stored_to(self, one: int, other: int, spas: Iterable[int]) -> bool:
        """Whether one of these frames may have been stored to between two snapshots, be it with what was there."""
        numbers = [number for number in self._changed if min(one, other) < number <= max(one, other)]
        return any(spa in self._changed[n] or spa in self._touched[n] for n in numbers for spa in spas)

    def write_back(self, number: int, spas: Iterable[int]) -> list[int]:
        """Have these frames hold what they held at a snapshot; those that did not are returned."""
        memory = self.memory
        written = []
        for spa in spas:
            page = self.at(number, spa)
            if memory.read(spa, PAGE) != page:
                memory.write(spa, page)
                written.append(spa)
        return written

    def merge(self, number: int, behind: int) -> None:
        """Forget a snapshot; `behind` is the next one."""
        into, touched = self._changed[behind], self._touched[behind]
        before = len(touched) + len(self._touched[number])
        touched |= self._touched.pop(number)
        for spa in self._changed.pop(number):
            numbers, versions = self._numbers[spa], self._versions[spa]
            i = bisect_right(numbers, number) - 1
            if spa in into:
                del numbers[i]
                self._give_up(versions.pop(i))
            else:
                numbers[i] = behind
                into.add(spa)
        touched -= into
        self._entries += len(touched) - before

    def cut(self, number: int) -> None:
        """Forget every snapshot behind this one."""
        later = [other for other in self._changed if other > number]
        self._entries -= sum(len(self._touched.pop(other)) for other in later)
        for spa in set().union(*(self._changed.pop(other) for other in later)):
            numbers, versions = self._numbers[spa], self._versions[spa]
            while numbers and numbers[-1] > number:
                numbers.pop()
                self._give_up(versions.pop())
            if not numbers:
                del self._numbers[spa], self._versions[spa]
