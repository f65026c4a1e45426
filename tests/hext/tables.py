"""Page tables for tests, built an entry at a time: of the first stage or of the G-stage, in any mode."""

from __future__ import annotations

from tests.hext.bare import BASE, CODE, Bare

V, R, W, X, USER, GLOBAL, A, D = (1 << n for n in range(8))
ALL = V | R | W | X | A | D  # a supervisor page
USER_ALL = ALL | USER  # a user page; any page of a G-stage
LEVELS = {8: 3, 9: 4, 10: 5}
PAGE = 4096


class Tables:
    """One tree of tables. `base` is where its frames come from, 16 KiB aligned; `wide` makes its root one of a G-stage."""

    def __init__(self, bare: Bare, mode: int, base: int, *, wide: bool = False) -> None:
        self.bare, self.mode, self.wide = bare, mode, wide
        self.root, self._next = base, base + (4 * PAGE if wide else PAGE)

    @property
    def atp(self) -> int:
        """The value of satp, vsatp or hgatp that selects the tree."""
        return self.mode << 60 | self.root >> 12

    def entry(self, address: int, level: int = 0) -> int:
        """Where the PTE of `address` at `level` is; tables on the way are made."""
        table, top = self.root, LEVELS[self.mode] - 1
        for at in range(top, level - 1, -1):
            width = 11 if self.wide and at == top else 9
            place = table + 8 * (address >> 12 + 9 * at & (1 << width) - 1)
            if at == level:
                return place
            pte = self.bare.memory.read_u64(place)
            if not pte & V:
                self.bare.memory.write_u64(place, self._next >> 2 | V)
                pte, self._next = self._next >> 2 | V, self._next + PAGE
            table = pte >> 10 << 12
        raise AssertionError

    def map(self, address: int, target: int, flags: int = USER_ALL, level: int = 0) -> int:
        """A leaf; where its PTE is."""
        place = self.entry(address, level)
        self.put(place, target >> 2 | flags)
        return place

    def put(self, place: int, pte: int) -> None:
        self.bare.memory.write_u64(place, pte)


DATA = BASE + 0x40000  # a page that tests map as they like, and the one behind it
GVA = 0x1234_5000  # where TwoStage maps it


class TwoStage:
    """A guest whose G-stage maps the lower 256 KiB of RAM to itself; VS-mode code at CODE, and the page GVA -> DATA -> DATA.

    The VS-stage tables are in the G-stage's identity map, one page each, so that a test can take away any of them.
    """

    def __init__(self, bare: Bare, vs_mode: int = 8, g_mode: int = 8, *, user: bool = False) -> None:
        self.bare = bare
        self.g = Tables(bare, g_mode, BASE + 0x10000, wide=True)
        for page in range(BASE, DATA, PAGE):
            self.g.map(page, page)
        self.g.map(DATA, DATA)
        self.vs = Tables(bare, vs_mode, BASE + 0x20000) if vs_mode else None
        if self.vs is not None:
            flags = USER_ALL if user else ALL
            self.vs.map(CODE, CODE, flags)
            self.vs.map(GVA, DATA, flags)
            bare["vsatp"] = self.vs.atp
        bare["hgatp"] = self.g.atp
        bare["hstatus"] = 0 if user else 1 << 8
