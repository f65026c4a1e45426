"""An address space in ranges: what the tables of one stage or two map, read from the present entries only.

Rights are those that the leaves grant under the A and D rules in force, with U as a letter; who accesses, SUM, MXR and PMP
are a walk's business (`rvhv.hext.walks.recorder`). Looking changes nothing.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from rvhv.cpu import pte as p
from rvhv.hext.walks.context import read_context
from rvhv.hext.walks.recorder import Ram
from rvhv.hext.walks.rules import PTE_RULES, Access, Look, Stage, with_a_and_d

# what a map reads of a stage: hostile tables can loop through each other
MOST_TABLES = 4096
MOST_PARTS = 1 << 20


@dataclass(frozen=True)
class MapRange:
    """`size` bytes at `va` with the same rights. `gpa` is None without a second stage, `spa` where the G-stage maps nothing.

    `first` and `second` are the rights of the only stage or the VS-stage, and of the G-stage, as "rwxu" with dashes (empty:
    Bare). The host's memory behind it is `pieces` stretches, and `spa` where the first begins.
    """

    va: int
    size: int
    gpa: int | None
    spa: int | None
    first: str
    second: str
    pieces: int


@dataclass(frozen=True)
class AddressMap:
    """Ranges by address. `complete` is False when there is more than a map reads."""

    mode: str
    schemes: tuple[str, ...]
    ranges: tuple[MapRange, ...]
    complete: bool

    def __str__(self) -> str:
        """A table, at most 80 columns wide."""
        from rvhv.hext.walks.map_table import table  # only who prints pays for it

        return table(self)


@dataclass(frozen=True)
class _Leaf:
    """What one leaf maps, or what the G-stage makes of a part of it."""

    address: int
    size: int
    target: int
    rights: str


def address_map(state: Sequence[int], ram: Ram, mode: str) -> AddressMap:
    """The address space of `mode`, one of `context.MODES`; empty where nothing is translated."""
    context = read_context(state, mode)
    maker = _Maker(ram)
    ranges = maker.guest(context.first, context.g) if context.virtual else maker.single(context.first)
    merged = tuple(_merged(islice(ranges, MOST_PARTS)))
    return AddressMap(mode, context.schemes, merged, maker.complete and next(ranges, None) is None)


def _rights(stage: Stage, pte: int) -> str:
    if stage.adue:
        pte = with_a_and_d(pte, Access.STORE)
    if not pte & p.A or (stage.wide and not pte & p.U):
        return "----"
    letters = {"r": p.R, "w": p.W if pte & p.D else 0, "x": p.X, "u": p.U}
    return "".join(letter if pte & bit else "-" for letter, bit in letters.items())


class _Maker:
    def __init__(self, ram: Ram) -> None:
        self.ram = ram
        self.complete = True
        self._sound: dict[tuple[str, int, int], bool] = {}  # by stage, level and PTE

    def single(self, stage: Stage) -> Iterator[MapRange]:
        for leaf in self._leaves(stage, None):
            yield MapRange(leaf.address, leaf.size, None, leaf.target, leaf.rights, "", 1)

    def guest(self, first: Stage, g: Stage) -> Iterator[MapRange]:
        """Both stages; the G-stage alone or the VS-stage alone where the other is Bare."""
        g_leaves = list(islice(self._leaves(g, None), MOST_PARTS)) if g.mode else None
        self.complete = self.complete and len(g_leaves or ()) < MOST_PARTS
        if not first.mode:
            for leaf in g_leaves or ():
                yield MapRange(leaf.address, leaf.size, leaf.address, leaf.target, "", leaf.rights, 1)
            return
        for leaf in self._leaves(first, g_leaves):
            if g_leaves is None:
                yield MapRange(leaf.address, leaf.size, leaf.target, leaf.target, leaf.rights, "", 1)
                continue
            for gpa, spa, rights, size in _parts(leaf, g_leaves):
                yield MapRange(leaf.address + gpa - leaf.target, size, gpa, spa, leaf.rights, rights, 1)

    def _leaves(self, stage: Stage, through: list[_Leaf] | None) -> Iterator[_Leaf]:
        """The sound leaves of a stage in the order of their addresses; `through`: the G-stage that its tables lie behind."""
        if stage.mode:
            self._left = MOST_TABLES
            yield from self._table(stage, stage.root, stage.levels - 1, 0, through)

    def _table(self, stage: Stage, table: int, level: int, above: int, through: list[_Leaf] | None) -> Iterator[_Leaf]:
        if not self._left:
            self.complete = False
            return
        self._left -= 1
        wide = stage.wide and level == stage.levels - 1
        span = p.PAGE << p.INDEX_BITS * level
        for page in range(4 if wide else 1):
            for index, pte in self._entries(table + page * p.PAGE, through):
                if not self._is_sound(stage, level, pte):
                    continue
                index += page * (p.PAGE // p.BYTES)
                address = above + index * span
                if not p.is_leaf(pte):
                    yield from self._table(stage, p.target(pte), level - 1, address, through)
                elif pte & p.N or p.target(pte) & span - 1 == 0:
                    yield _Leaf(_canonical(stage, address), span, p.mapped(pte, level, address), _rights(stage, pte))

    def _is_sound(self, stage: Stage, level: int, pte: int) -> bool:
        key = stage.name, level, pte
        if key not in self._sound:
            look = Look(stage, level, pte, Access.LOAD)
            self._sound[key] = not any(rule.broken(look) for rule in PTE_RULES)
        return self._sound[key]

    def _entries(self, table: int, through: list[_Leaf] | None) -> list[tuple[int, int]]:
        """(index, PTE) of what is not zero in a table's page; nothing when it cannot be read."""
        spa: int | None = table
        if through is not None:
            part = next(_parts(_Leaf(table, p.PAGE, table, ""), through))
            spa = part[1] if part[2][:1] == "r" else None
        if spa is None or not self.ram.base <= spa <= self.ram.base + self.ram.size - p.PAGE:
            return []
        words = memoryview(self.ram.read(spa, p.PAGE)).cast("Q")
        return [(index, pte) for index, pte in enumerate(words) if pte]


def _canonical(stage: Stage, address: int) -> int:
    """The address as software writes it: sign-extended where a stage's addresses are."""
    if stage.wide or not address >> stage.bits - 1:
        return address
    return address | (1 << 64) - (1 << stage.bits)


def _parts(leaf: _Leaf, g_leaves: list[_Leaf]) -> Iterator[tuple[int, int | None, str, int]]:
    """What the G-stage makes of the guest physical range of a leaf: (gpa, spa, rights, size), gaps included."""
    gpa, end = leaf.target, leaf.target + leaf.size
    i = bisect_right(g_leaves, gpa, key=lambda g: g.address) - 1
    while gpa < end:
        g = g_leaves[i] if 0 <= i < len(g_leaves) else None
        if g is not None and g.address <= gpa < g.address + g.size:
            size = min(end, g.address + g.size) - gpa
            yield gpa, g.target + gpa - g.address, g.rights, size
            gpa += size
        i += 1
        following = g_leaves[i].address if i < len(g_leaves) else end
        if gpa < min(following, end):
            size = min(following, end) - gpa
            yield gpa, None, "----", size
            gpa += size


def _merged(ranges: Iterable[MapRange]) -> Iterator[MapRange]:
    """Neighbours with the same rights and an address space that goes on become one range."""
    last: MapRange | None = None
    end: int | None = None  # of the last host piece
    for one in ranges:
        if last is not None and _continues(last, one):
            apart = one.spa is not None and one.spa != end
            last = replace(last, size=last.size + one.size, pieces=last.pieces + apart)
        else:
            if last is not None:
                yield last
            last = one
        end = None if one.spa is None else one.spa + one.size
    if last is not None:
        yield last


def _continues(last: MapRange, one: MapRange) -> bool:
    return (
        last.va + last.size == one.va
        and (last.gpa is None or last.gpa + last.size == one.gpa)
        and (last.spa is None) == (one.spa is None)
        and (last.first, last.second) == (one.first, one.second)
    )
