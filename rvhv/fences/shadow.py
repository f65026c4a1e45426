"""What one hart may have cached of address translation: the PTEs it used since the last fence that covers them.

Privileged ISA, "Supervisor Memory-Management Fence Instruction": an implicit read "may return any translation for an address that
was valid at any time since the most recent SFENCE.VMA that subsumes that address". Entries are PTEs of any level by the addresses
that they translate, tagged with ASID and VMID; one address can have several at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from rvhv.cpu import pte as p
from rvhv.cpu.state import LogStage
from rvhv.fences.walks import StageWalk, Step

GLOBAL = -1  # as an ASID: of every address space
NO_VM = -1  # as a VMID: satp's translations
MOST_LEVELS = max(map(p.levels_of, p.MODES))
MOST = 8  # PTEs remembered for one address and level, the newest


@dataclass(frozen=True, slots=True)
class Space:
    """Whose translations: a stage, a VMID, an ASID (0 where the stage has none)."""

    stage: LogStage
    vmid: int
    asid: int


@dataclass(eq=False, slots=True)
class Cached:
    """A PTE that may be cached; `path`: how it was found, the root's PTE first and itself last."""

    path: tuple[Step, ...]
    asid: int  # or GLOBAL
    atp: int  # the CSR with the root

    @property
    def step(self) -> Step:
        return self.path[-1]

    @property
    def leaf(self) -> bool:
        return p.is_leaf(self.step.pte)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a fence orders: None for all VMIDs, ASIDs or addresses. With addresses (first and last) leaf PTEs only; with an ASID
    no global ones."""

    stage: LogStage
    vmid: int | None
    asid: int | None
    addresses: tuple[int, int] | None


Key = tuple[int, int, int]  # ASID or GLOBAL, level, the address without its bits below that level's


class Shadow:
    """The PTEs that one hart may have cached. `invalid`: also those with V=0, which the manual permits."""

    def __init__(self, invalid: bool = False) -> None:
        self._invalid = invalid
        self._tables: dict[tuple[LogStage, int], dict[Key, list[Cached]]] = {}

    def __len__(self) -> int:
        return sum(len(found) for table in self._tables.values() for found in table.values())

    def add(self, space: Space, walk: StageWalk, atp: int) -> None:
        """The hart has used the PTEs of `walk`, with its root in the CSR value `atp`."""
        table = self._tables.setdefault((space.stage, space.vmid), {})
        asid = space.asid
        for i, step in enumerate(walk.steps):
            if not step.pte & p.V and not self._invalid:
                return
            if step.pte & p.G and space.stage is not LogStage.G:
                asid = GLOBAL  # norm: and all of the subtree
            key = asid, step.level, walk.address >> p.PAGE_BITS + p.INDEX_BITS * step.level
            found = table.setdefault(key, [])
            cached = Cached(walk.steps[: i + 1], asid, atp)
            for n, other in enumerate(found):
                if other.step.pte == step.pte:
                    found[n] = cached
                    break
            else:
                found.append(cached)
                del found[:-MOST]

    def find(self, space: Space, address: int) -> Iterator[Cached]:
        """What may be used for an address."""
        table = self._tables.get((space.stage, space.vmid))
        if not table:
            return
        for level in range(MOST_LEVELS):
            region = address >> p.PAGE_BITS + p.INDEX_BITS * level
            yield from table.get((space.asid, level, region), ())
            if space.stage is not LogStage.G:
                yield from table.get((GLOBAL, level, region), ())

    def fence(self, scope: Scope, keep: Callable[[Cached], bool] | None = None) -> None:
        """Forget what is in the scope, but for what `keep` says."""
        for (stage, vmid), table in self._tables.items():
            if stage is not scope.stage or scope.vmid not in (None, vmid):
                continue
            if keep is None and scope.asid is None and scope.addresses is None:
                table.clear()
                continue
            for key in list(table):
                if scope.asid not in (None, key[0]):
                    continue
                left = [c for c in table[key] if not _covers(scope, key, c) or (keep is not None and keep(c))]
                if left:
                    table[key] = left
                else:
                    del table[key]


def _covers(scope: Scope, key: Key, cached: Cached) -> bool:
    """Whether the addresses of the scope touch the PTE's."""
    if scope.addresses is None:
        return True
    if not cached.leaf and cached.step.pte & p.V:
        return False
    size = p.page_size(cached.step.pte, key[1])
    at = key[2] << p.PAGE_BITS + p.INDEX_BITS * key[1] & -size
    first, last = scope.addresses
    return first < at + size and at <= last
