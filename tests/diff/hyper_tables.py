"""Page tables for random HS/VS/VU programs: the code always mapped, the data at random.

Everything lies at the same address in every address space: code that S-mode may execute, a copy of it that U-mode may, the
tables, and data. Only the pages of the data, a few larger pages, and the G-stage's view of the tables of the data are random.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

PAGE = 4096
MEGA, GIGA = 1 << 21, 1 << 30
S_CODE, U_CODE, TABLES, DATA = (0x8000_0000 + n * MEGA for n in range(4))
PAGES = 16  # of data; as many follow that are executed and never stored to
EXECUTED = DATA + PAGES * PAGE
LARGE = DATA + MEGA  # four random megapages, where data is seen again
LARGE_PAGES = 4
HUGE = 0xC000_0000  # a random gigapage, where everything is seen again
FAR = 1 << 39, 1 << 48  # what only Sv48 and Sv57 (or an x4 mode) reach
NOWHERE = 0x4000_0000  # no memory and no device
SV39, SV48, SV57 = 8, 9, 10
V, R, W, X, U, G, A, D = (1 << n for n in range(8))
GOOD = V | R | W | X | A | D
FLIPPED = (*range(8), *range(8), 8, 9, 54, 60, 61, 62, 63)  # bits that a mutation flips, the likelier the more often it is here


def pte(rng: random.Random, target: int, *, user: float, good: float = 0.5, level: int = 0) -> int:
    """A leaf for `target`, user with that probability: good with that probability, or with a bit or two wrong."""
    entry = target >> 12 << 10 | GOOD | (U if rng.random() < user else 0)
    if rng.random() < good:
        return entry
    kind = rng.random()
    if kind < 0.1:
        return rng.getrandbits(64)
    if kind < 0.2 and level == 0:  # a 64 KiB page, if everything else is right
        return entry & ~(15 << 10) | 8 << 10 | 1 << 63
    if kind < 0.25 and level:  # misaligned
        return entry | 1 << 10 + rng.randrange(9 * level)
    if kind < 0.45:
        return entry & ~rng.choice((A, D, A | D))
    for _ in range(rng.randint(1, 2)):
        entry ^= 1 << rng.choice(FLIPPED)
    return entry


def view(rng: random.Random, table: int) -> int:
    """The G-stage's leaf for a table of the VS-stage: it may be read, but not written, when A and D are to be set there."""
    if rng.random() < 0.4:
        return pte(rng, table, user=1, good=0.3)
    return (table >> 12 << 10 | GOOD | U) & ~rng.choice((0, W, D, A | D))


def pointer(target: int) -> int:
    return target >> 12 << 10 | V


@dataclass
class Stage:
    """The tables of one stage. A mode starts at its level of one chain, so one set serves Sv39, Sv48 and Sv57."""

    roots: dict[int, int]  # by mode
    leaves: int  # the last-level table of the data
    entries: list[int] = field(default_factory=list)  # addresses of entries that may be changed at any time
    view: int = 0  # of a G-stage: the address of its entry for the VS-stage's last-level table

    def atp(self, rng: random.Random, mode: int, id_bits: int) -> int:
        """satp, vsatp or hgatp for that mode; 0 is Bare."""
        if mode == 0:
            return 0
        return mode << 60 | rng.getrandbits(id_bits) << 44 | self.roots[mode] >> 12


class Tables:
    """All tables of a program, in memory from TABLES on."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._words: dict[int, int] = {}
        self._next = TABLES
        self.s = self._stage(user=0.5)
        self.vs = self._stage(user=0.5)
        self.g = self._stage(user=0.97, guest=self.vs)

    def image(self) -> bytes:
        data = bytearray(self._next - TABLES)
        for at, word in self._words.items():
            data[at - TABLES : at - TABLES + 8] = word.to_bytes(8, "little")
        return bytes(data)

    def _frames(self, count: int = 1) -> int:
        at = self._next
        self._next += count * PAGE
        return at

    def _data_pte(self, user: float, frame: int) -> int:
        target = NOWHERE if self._rng.random() < 0.03 else frame
        return pte(self._rng, target, user=user)

    def _stage(self, user: float, guest: Stage | None = None) -> Stage:
        """`guest`: this is the G-stage of the VS-stage with those tables."""
        rng, words = self._rng, self._words
        leaves, middle = self._frames(), self._frames()
        self._next = self._next + 4 * PAGE - 1 & -4 * PAGE  # a root of the G-stage has four pages, at a multiple of its size
        tops = [self._frames(4) for _ in range(3)]
        changing = []

        def put(table: int, index: int, entry: int, *, changes: bool = False) -> None:
            words[table + 8 * index] = entry
            if changes:
                changing.append(table + 8 * index)

        for i in range(2 * PAGES):
            area = DATA if i < PAGES else EXECUTED
            put(leaves, i, self._data_pte(user, area + rng.randrange(PAGES) * PAGE), changes=True)
        s_user = U if guest else 0
        put(middle, 0, S_CODE >> 12 << 10 | GOOD & ~W | s_user)
        put(middle, 1, U_CODE >> 12 << 10 | GOOD & ~W | U)
        put(middle, 3, pointer(leaves))
        for i in range(4, 4 + LARGE_PAGES):
            put(middle, i, pte(rng, DATA, user=user, level=1), changes=True)
        put(tops[0], 2, pointer(middle))
        put(tops[0], 3, pte(rng, 0x8000_0000, user=user, level=2), changes=True)
        put(tops[1], 0, pointer(tops[0]))
        put(tops[1], 1, pte(rng, 0, user=user, level=3), changes=True)
        put(tops[2], 0, pointer(tops[1]))
        put(tops[2], 1, pte(rng, 0, user=user, level=4), changes=True)
        if guest:
            seen = self._frames()
            put(middle, 2, pointer(seen))
            for i in range((self._next - TABLES) // PAGE):
                at = TABLES + i * PAGE
                put(seen, i, view(rng, at) if at == guest.leaves else at >> 12 << 10 | GOOD | U)
            seen_leaves = seen + 8 * ((guest.leaves - TABLES) // PAGE)
        else:
            put(middle, 2, TABLES >> 12 << 10 | GOOD & ~X)
            seen_leaves = 0
        return Stage(dict(zip((SV39, SV48, SV57), tops, strict=True)), leaves, changing, seen_leaves)
