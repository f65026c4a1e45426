"""What the walks of the log read, and what a PTE gives for an access (Privileged ISA, "Virtual Address Translation Process").

By the format in `rvhv.cpu.pte` and the rules in `rvhv.hext.walks.rules`: a checker asks what PTEs would give that are in
memory no more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, lru_cache

from rvhv.cpu import pte as p
from rvhv.cpu.rights import ACCESS_HLVX, ACCESS_R, ACCESS_W, ACCESS_X
from rvhv.cpu.state import How, LogStage
from rvhv.hext.walks.rules import LEAF_RULES, PTE_RULES, Access, Look, Stage, with_a_and_d

# read, write, execute, and HLVX's read of what may be executed
READ, WRITE, EXECUTE, HLVX = ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_HLVX
KINDS = {READ: Access.LOAD, WRITE: Access.STORE, EXECUTE: Access.FETCH, HLVX: Access.HLVX}
ACCESS_NAMES = {READ: "loaded from", WRITE: "stored to", EXECUTE: "fetched from", HLVX: "loaded from"}
KEPT = 1 << 14  # answers: the same PTEs are asked about again and again


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
        return last.level == 0 or p.is_leaf(last.pte) or is_bad(last.pte, last.level, self.how)

    def result(self, more: int = 0) -> Result | None:
        """What the access gets of this stage, were the bits `more` set in the leaf too."""
        last = self.steps[-1]
        return leaf_result(last.pte | more, last.level, self.address, self.how, self.access)

    def updated(self) -> StageWalk:
        """The walk as if made again: with A and D as the hart has set them."""
        last = self.steps[-1]
        if not self.how & How.ADUE or self.result() is None:
            return self
        pte = with_a_and_d(last.pte, KINDS[self.access])
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
    if inner and first and not p.is_leaf(first[-1].pte):
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


@cache
def _stage(how: int) -> Stage:
    """What the rules ask of a stage that is walked so; without the words for people."""
    return Stage(
        name="G" if how & How.WIDE else "S",
        csr="",
        mode=0,
        root=0,
        who="",
        user=bool(how & How.USER),
        sum_csr="",
        sum=bool(how & How.SUM),
        mxr=bool(how & How.MXR),
        mxr_text="",
        adue=bool(how & How.ADUE),
        pbmte=bool(how & How.PBMTE),
        ad_off="",
        pbmt_off="",
    )


@lru_cache(KEPT)
def is_bad(pte: int, level: int, how: int) -> bool:
    """Invalid or reserved, or a pointer where only a leaf can be."""
    look = Look(_stage(how), level, pte, Access.LOAD)
    return any(rule.broken(look) for rule in PTE_RULES)


@lru_cache(KEPT)
def _refuses(pte: int, level: int, how: int, access: int) -> bool:
    """Whether a leaf refuses an access."""
    look = Look(_stage(how), level, pte, KINDS[access])
    return any(rule.broken(look) for rule in LEAF_RULES)


def leaf_result(pte: int, level: int, address: int, how: int, access: int) -> Result | None:
    """What a leaf gives for an access; None: a fault."""
    if is_bad(pte, level, how) or not p.is_leaf(pte) or _refuses(pte, level, how, access):
        return None
    dirty = access == WRITE and bool(pte & p.D)
    return Result(p.mapped(pte, level, address), pte >> p.PBMT_SHIFT & 3, dirty)


def walk_on(
    pointer: int, level: int, walk: StageWalk, read: Callable[[int], int | None], *, wide: bool = False
) -> Result | None:
    """What `walk`'s access would get below `pointer`, a PTE of `level`, as memory is now. `read`: the PTE at an address of the
    stage's tables, None where there is none; `wide`: the table that `pointer` points to is the root of an x4 mode."""
    while level > 0:
        level -= 1
        pte = read(p.target(pointer) + p.BYTES * p.index(walk.address, level, wide=wide))
        wide = False
        if pte is None or is_bad(pte, level, walk.how):
            return None
        if p.is_leaf(pte):
            return leaf_result(pte, level, walk.address, walk.how, walk.access)
        pointer = pte
    return None
