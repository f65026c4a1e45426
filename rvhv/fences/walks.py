"""What the walks of the log read, and what a PTE gives for an access (Privileged ISA, "Virtual Address Translation Process").

The rules are those of `rvhv.cpu.walk`, here over plain ints: a checker asks what PTEs would give that are in memory no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from rvhv.cpu import rights
from rvhv.cpu.state import How, LogStage

PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_G, PTE_A, PTE_D = (1 << n for n in range(8))
PTE_PPN_SHIFT, PTE_PPN_MASK = 10, (1 << 44) - 1
PTE_RESERVED = 0x1FC0_0000_0000_0000
PTE_N, PTE_PBMT, PBMT_SHIFT = 1 << 63, 3 << 61, 61
NAPOT_BITS, NAPOT_64K = 4, 8
PAGE_SHIFT, INDEX_BITS = 12, 9
MOST_LEVELS = 5
# read, write, execute, and HLVX's read of what may be executed
READ, WRITE, EXECUTE, HLVX = (int(a) for a in (rights.ACCESS_R, rights.ACCESS_W, rights.ACCESS_X, rights.ACCESS_HLVX))
ACCESS_NAMES = {READ: "loaded from", WRITE: "stored to", EXECUTE: "fetched from", HLVX: "loaded from"}


@dataclass(frozen=True, slots=True)
class Step:
    """One PTE of a walk. `gpa`: where it is for the guest; as `spa` where no G-stage was on the way."""

    level: int
    spa: int
    pte: int
    gpa: int


@dataclass(frozen=True, slots=True)
class StageWalk:
    """The PTEs one stage read for an access of `access` bits to `address` (a va, or the G-stage's gpa), the root's first."""

    stage: LogStage
    address: int
    access: int
    how: int
    steps: tuple[Step, ...]

    @property
    def ended(self) -> bool:
        """Whether the last PTE decided; else it pointed to a table that could not be read."""
        last = self.steps[-1]
        return last.level == 0 or is_leaf(last.pte) or is_bad(last.pte, last.level, self.how)

    def result(self, more: int = 0) -> Result | None:
        """What the access gets of this stage, were the bits `more` set in the leaf too."""
        last = self.steps[-1]
        return leaf_result(last.pte | more, last.level, self.address, self.how, self.access)

    def updated(self) -> StageWalk:
        """The walk as if made again: with A and D as the hart has set them."""
        last = self.steps[-1]
        if not self.how & How.ADUE or self.result() is None:
            return self
        pte = last.pte | (PTE_A | PTE_D if self.access == WRITE else PTE_A)
        return replace(self, steps=(*self.steps[:-1], replace(last, pte=pte)))


@dataclass(frozen=True, slots=True)
class Result:
    """What an access gets from a translation: its address, its memory type (PBMT), and for a store under ADUE whether D was set
    already, so that the hart does not set it."""

    address: int
    memory_type: int
    dirty: bool


Record = tuple[int, ...]  # LOG_WORDS words


def stage_walks(reads: list[Record], va: int, access: int, how: int, g_how: int) -> list[StageWalk]:
    """The walks behind one use, from its PTE records (oldest first)."""
    walks = []
    first: list[Step] = []  # of the stage that translates va
    inner: list[tuple[int, list[Step]]] = []  # G-stage walks since its last PTE
    stage = LogStage.S
    for _, _, which, level, spa, pte, address, gpa in reads:
        step = Step(level, spa, pte, gpa)
        if which == LogStage.G:
            if not inner or inner[-1][0] != address or inner[-1][1][-1].level <= level:
                inner.append((address, []))
            inner[-1][1].append(step)
            continue
        stage = LogStage(which)
        walks += [_implicit(gpa_of, steps, g_how, READ) for gpa_of, steps in inner]
        inner = []
        first.append(step)
    if inner and first and not is_leaf(first[-1].pte):
        walks += [_implicit(gpa, steps, g_how, READ) for gpa, steps in inner]  # it ended at the next PTE's G-stage
        inner = []
    if len(inner) > 1:  # norm: the update of A and D is a store through the G-stage
        walks += [_implicit(gpa, steps, g_how, WRITE) for gpa, steps in inner[:-1]]
    if first:
        walks.append(StageWalk(stage, va, access, how, tuple(first)))
    if inner:
        gpa, steps = inner[-1]
        walks.append(StageWalk(LogStage.G, gpa, access, g_how | How.USER | How.WIDE, tuple(steps)))
    return walks


def _implicit(gpa: int, steps: list[Step], g_how: int, access: int) -> StageWalk:
    """The G-stage's walk for a PTE of the VS-stage; norm: MXR does not apply."""
    return StageWalk(LogStage.G, gpa, access, g_how & ~How.MXR | How.USER | How.WIDE, tuple(steps))


def is_leaf(pte: int) -> bool:
    return bool(pte & (PTE_R | PTE_X))


def is_bad(pte: int, level: int, how: int) -> bool:
    """Invalid or reserved."""
    if not pte & PTE_V or pte & PTE_RESERVED or pte & (PTE_R | PTE_W) == PTE_W:
        return True
    if not is_leaf(pte):
        return bool(pte & (PTE_A | PTE_D | PTE_U | PTE_N | PTE_PBMT))
    if pte & PTE_PBMT and (not how & How.PBMTE or pte & PTE_PBMT == PTE_PBMT):
        return True
    return bool(pte & PTE_N) and (level != 0 or pte >> PTE_PPN_SHIFT & (1 << NAPOT_BITS) - 1 != NAPOT_64K)


def table_of(pte: int) -> int:
    """The address of the table a pointer points to, or of what a leaf maps."""
    return (pte >> PTE_PPN_SHIFT & PTE_PPN_MASK) << PAGE_SHIFT


def page_bits(pte: int, level: int) -> int:
    """Of the address of what a leaf of this level maps."""
    return PAGE_SHIFT + (NAPOT_BITS if pte & PTE_N else INDEX_BITS * level)


def leaf_result(pte: int, level: int, address: int, how: int, access: int) -> Result | None:
    """What a leaf gives for an access; None: a fault."""
    if is_bad(pte, level, how) or not is_leaf(pte):
        return None
    updated = pte
    if how & How.ADUE:
        updated |= PTE_A | PTE_D if access == WRITE else PTE_A
    if not _rights(updated, how) & access:
        return None
    base, offset = table_of(pte), (1 << page_bits(pte, level)) - 1
    if base & offset and not pte & PTE_N:
        return None  # a misaligned superpage
    dirty = access == WRITE and bool(pte & PTE_D)
    return Result(base & ~offset | address & offset, pte >> PBMT_SHIFT & 3, dirty)


def _rights(pte: int, how: int) -> int:
    if not pte & PTE_A:
        return 0
    owned, user = bool(pte & PTE_U), bool(how & How.USER)
    if owned != user and (user or not how & How.SUM):
        return 0
    found = 0
    if pte & PTE_R or (how & How.MXR and pte & PTE_X):
        found |= READ
    if pte & PTE_W and pte & PTE_D:
        found |= WRITE
    if pte & PTE_X:
        found |= HLVX | (EXECUTE if owned == user else 0)
    return found


def levels_of(mode: int) -> int:
    """Of satp.MODE 8, 9, 10 (Sv39, Sv48, Sv57) and of the x4 modes under the same numbers."""
    return mode - 5


def walk_on(pointer: int, level: int, walk: StageWalk, read: Callable[[int], int | None]) -> Result | None:
    """What `walk`'s access would get below `pointer`, a PTE of `level`, as memory is now. `read`: the PTE at an address of the
    stage's tables, None where there is none."""
    while level > 0:
        level -= 1
        index = walk.address >> PAGE_SHIFT + INDEX_BITS * level & (1 << INDEX_BITS) - 1
        pte = read(table_of(pointer) + 8 * index)
        if pte is None or is_bad(pte, level, walk.how):
            return None
        if is_leaf(pte):
            return leaf_result(pte, level, walk.address, walk.how, walk.access)
        pointer = pte
    return None
