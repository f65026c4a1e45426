"""Host memory at one character a page, or a few pages: whose it is, and what was derived from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu import pte as p
from rvhv.cpu.csrs import TRANSLATION_MODES
from rvhv.cpu.state import FLAG_CODE, FLAG_LEAF_TABLE, FLAG_TABLE, FLAG_WATCH, FRAME_FLAGS, FRAME_WORDS, SLOT
from rvhv.debug.look.memory import Owner
from rvhv.debug.look.table import hexadecimal
from rvhv.debug.target import Context, Target, VmContext
from rvhv.debug.view import Line, Style, vm_style
from rvhv.hext.walks.table import size_text

WIDTH = 64
MOST_LINES = 40
AT_ONCE = 4096  # pages
FREE, DATA, CODE, TABLE, G_TABLE, WATCHED, DIRTY = ".", "d", "c", "t", "G", "w", "*"
# what a character says, the more telling ones first: of several pages it shows the first that one of them is
LEGEND = {
    G_TABLE: "G-stage table", TABLE: "page table in use", WATCHED: "watched", DIRTY: "written since the last look",
    CODE: "code", DATA: "data", FREE: "free or zero",
}  # fmt: skip
FLAGS = {FLAG_CODE: "instructions", FLAG_TABLE: "page tables", FLAG_LEAF_TABLE: "last-level page tables", FLAG_WATCH: "a watch"}


@dataclass(frozen=True)
class Frames:
    """A character and an owner (a context's number, 0: nobody) for every page from `base` on."""

    base: int
    kinds: str
    owners: tuple[int, ...]
    gpas: dict[int, int]  # of pages of VMs
    flags: dict[int, int]  # of pages that have any
    names: dict[int, str]
    width: int
    most_lines: int

    @classmethod
    def of(cls, target: Target, dirty: Collection[int] = (), width: int = WIDTH, most_lines: int = MOST_LINES) -> Frames:
        memory = target.memory
        count = memory.size // PAGE
        words = np.frombuffer(memory.frames.view, np.uint64, count * FRAME_WORDS)[FRAME_FLAGS::FRAME_WORDS]
        flags = {int(at): int(words[at]) for at in np.flatnonzero(words)}
        owners, gpas = [0] * count, {}
        tables: set[int] = set()
        for context in target.contexts:
            if isinstance(context, VmContext) and not context.alive:
                continue
            for spa, gpa in pages_of(context, memory):
                at = (spa - memory.base) // PAGE
                if not 0 <= at < count:
                    continue
                owners[at] = context.number
                if gpa is None:
                    tables.add(at)
                else:
                    gpas[at] = gpa
        kinds = [FREE] * count
        for at in _filled(memory) if target.hv is None else (at for at, owner in enumerate(owners) if owner):
            kinds[at] = DATA
        for at, flag in flags.items():
            if flag & FLAG_CODE:
                kinds[at] = CODE
        for spa in dirty:
            if 0 <= (at := (spa - memory.base) // PAGE) < count:
                kinds[at] = DIRTY
        for at, flag in flags.items():
            if flag & (FLAG_TABLE | FLAG_LEAF_TABLE):
                kinds[at] = TABLE
            elif flag & FLAG_WATCH:
                kinds[at] = WATCHED
        for at in tables:
            kinds[at] = G_TABLE
        names = {context.number: context.name for context in target.contexts}
        return cls(memory.base, "".join(kinds), tuple(owners), gpas, flags, names, width, most_lines)

    @property
    def scale(self) -> int:
        """Pages a character: a power of two, so that all lines fit that have something in them."""
        lines = (len(self.kinds) + self.width - 1) // self.width
        used = [n for n in range(lines) if self.kinds[n * self.width : (n + 1) * self.width].strip(FREE)]
        scale = 1
        while len({line // scale for line in used}) > self.most_lines:
            scale *= 2
        return scale

    def owner(self, spa: int) -> Owner:
        """What one page is used for."""
        at = (spa - self.base) // PAGE
        number, gpa = self.owners[at], self.gpas.get(at)
        flags = tuple(name for bit, name in FLAGS.items() if self.flags.get(at, 0) & bit)
        if not number:
            use = "free" if self.kinds[at] == FREE else "memory of the machine"
            return Owner(spa, use, None, 0, None, flags)
        name = self.names[number]
        use = f"a page of {name}" if gpa is not None else f"a G-stage table of {name}"
        return Owner(spa, use, name, number, None if gpa is None else gpa | spa % PAGE, flags)

    def _rows(self) -> Iterator[tuple[int, list[tuple[int, str]]]]:
        """(address, [(owner, character)]); no characters where all is free."""
        scale = self.scale
        order = "".join(LEGEND)
        pages = self.width * scale
        for first in range(0, len(self.kinds), pages):
            line = self.kinds[first : first + pages]
            cells = []
            if line.strip(FREE):
                for at in range(0, len(line), scale):
                    some = line[at : at + scale]
                    kind = some[0] if len(set(some)) == 1 else min(some, key=order.index)
                    cells.append((self.owners[first + at + some.index(kind)], kind))
            yield self.base + first * PAGE, cells

    def lines(self) -> list[Line]:
        rows: list[Line] = []
        skipped = 0
        for address, cells in self._rows():
            if not cells:
                skipped += 1
                continue
            rows += _gap(skipped)
            skipped = 0
            line: Line = [("address", f"{address:#012x} ")]
            for number, kind in cells:
                style: Style = vm_style(number) if number else "dim" if kind == FREE else ""
                if len(line) > 1 and line[-1][0] == style:
                    line[-1] = style, line[-1][1] + kind
                else:
                    line.append((style, kind))
            rows.append(line)
        rows += _gap(skipped)
        counts = Counter(self.kinds)
        rows.append([("dim", f"one character is {size_text(self.scale * PAGE)}")])
        used = [kind for kind in LEGEND if counts[kind]]
        rows.append([("", "  ".join(f"{kind} {LEGEND[kind]} {counts[kind]:,}" for kind in used))])
        owned = Counter(self.owners)
        who: Line = []
        for number, name in self.names.items():
            if owned[number]:
                who += [("", "  " if who else ""), (vm_style(number), name), ("", f" {size_text(owned[number] * PAGE)}")]
        return rows + ([who] if who else [])

    def json(self) -> Any:
        counts = Counter(self.kinds)
        owned = Counter(self.owners)
        return {
            "base": hexadecimal(self.base),
            "page": PAGE,
            "kinds": self.kinds,
            "legend": LEGEND,
            "counts": {LEGEND[kind]: counts[kind] for kind in LEGEND},
            "owners": [{"number": n, "name": name, "pages": owned[n]} for n, name in self.names.items()],
            "owned": _runs(self.owners),
        }


def frames(target: Target, dirty: Collection[int] = (), width: int = WIDTH, most_lines: int = MOST_LINES) -> Frames:
    """All of host memory; `dirty`: addresses of pages to mark as written. Lines with nothing in them are left out."""
    return Frames.of(target, dirty, width, most_lines)


def _gap(lines: int) -> list[Line]:
    return [[("dim", f"             {lines} line{'s' * (lines > 1)} of free memory")]] if lines else []


def _filled(memory: Memory) -> Iterator[int]:
    """The numbers of the pages that are not all zeros."""
    pages = np.frombuffer(memory.ram.view, np.uint64, memory.size // 8).reshape(-1, PAGE // 8)
    for first in range(0, len(pages), AT_ONCE):
        yield from (first + int(at) for at in np.flatnonzero(pages[first : first + AT_ONCE].any(axis=1)))


def _runs(owners: tuple[int, ...]) -> list[list[int]]:
    """[first page, pages, owner] of what somebody owns."""
    runs: list[list[int]] = []
    for at, number in enumerate(owners):
        if number and runs and runs[-1][2] == number and runs[-1][0] + runs[-1][1] == at:
            runs[-1][1] += 1
        elif number:
            runs.append([at, 1, number])
    return runs


def pages_of(context: Context, memory: Memory) -> Iterator[tuple[int, int | None]]:
    """(spa, gpa) of every page behind a VM's G-stage, and (spa, None) of the tables themselves, out of the tables in memory."""
    hgatp = context.state[SLOT["hgatp"]]
    mode = hgatp >> p.MODE_SHIFT
    if mode not in TRANSLATION_MODES or not mode or not isinstance(context, VmContext):
        return
    root = (hgatp & p.PPN) << p.PAGE_BITS & ~0x3FFF
    for page in range(4):
        yield root + page * PAGE, None
    yield from _table(memory, root, p.levels_of(mode) - 1, 0, 4, set())


def _table(memory: Memory, table: int, level: int, above: int, pages: int, met: set[int]) -> Iterator[tuple[int, int | None]]:
    if table in met or not memory.base <= table <= memory.base + memory.size - pages * PAGE:
        return
    met.add(table)
    span = PAGE << p.INDEX_BITS * level
    for index, pte in enumerate(memoryview(memory.read(table, pages * PAGE)).cast("Q")):
        if not pte & p.V:
            continue
        address, target = above + index * span, p.target(pte)
        if p.is_leaf(pte):
            for offset in range(0, min(span, memory.size), PAGE):
                yield target + offset, address + offset
        elif level:
            yield target, None
            yield from _table(memory, target, level - 1, address, 1, met)
