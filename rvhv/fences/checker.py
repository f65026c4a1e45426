"""The checker: follows the logs of the harts of one memory, and finds accesses that a missing fence leaves to chance.

An access is reported when a PTE that its hart may have cached gives it something else than the tables do now: another address,
another memory type, success instead of a fault, a store that does not set D. The other way round (a fault that need not be: the
PTE was invalid, or allowed less) software may fence lazily; that is reported with `spurious` only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu import pte as p
from rvhv.cpu.state import (
    FRAME_CODE_LINES,
    FRAME_FLAGS,
    FRAME_TABLE_LINES,
    FRAME_WORDS,
    LOG_WORDS,
    Fence,
    How,
    Log,
    LogStage,
)
from rvhv.fences.report import SHORT, Change, Missing, Narrow, wanted_fence
from rvhv.fences.shadow import NO_VM, Cached, Scope, Shadow, Space
from rvhv.fences.walks import (
    READ,
    Record,
    Result,
    StageWalk,
    is_bad,
    leaf_result,
    stage_walks,
    walk_on,
)

ASID_SHIFT, ASID_MASK, VMID_MASK = 44, 0xFFFF, 0x3FFF
HIT_CODE, HIT_TABLE = 1, 2
HALFWORD, LINE = 2, 64
GPA_SHIFT = 2  # norm: rs1 of HFENCE.GVMA is an address shifted right by two
RECENT = 16  # fences remembered for the words of a report
ATP_STAGE = {0x180: LogStage.S, 0x280: LogStage.VS, 0x680: LogStage.G}
FENCE_STAGE = {
    Fence.HFENCE_VVMA: LogStage.VS,
    Fence.HINVAL_VVMA: LogStage.VS,
    Fence.HFENCE_GVMA: LogStage.G,
    Fence.HINVAL_GVMA: LogStage.G,
}
SVINVAL = (Fence.SINVAL_VMA, Fence.HINVAL_VVMA, Fence.HINVAL_GVMA)
UNKNOWN = Change(-1, None)


class _Hart:
    """What is known of one hart."""

    def __init__(self, number: int, spurious: bool) -> None:
        self.number = number
        self.shadow = Shadow(invalid=spurious)
        self.reads: list[Record] = []  # PTEs read for an access whose record has not come yet
        self.settled: set[tuple[object, ...]] = set()  # uses that were looked at since something changed
        self.roots: dict[LogStage, tuple[int, Change]] = {}  # the last write to each root's CSR, and its value
        self.unfenced: dict[int, Change] = {}  # halfwords of code stored to since the last fence.i, by spa
        self.ordered = -1  # when the last sfence.w.inval was
        self.invalidated: list[Scope] = []  # by sinval and hinval, until sfence.inval.ir
        self.recent: deque[tuple[int, LogStage, Narrow]] = deque(maxlen=RECENT)

    def fence_since(self, when: int, stage: LogStage) -> Narrow | None:
        """The last fence of a stage after a moment."""
        return next((fence for clock, of, fence in reversed(self.recent) if clock > when and of is stage), None)


class FenceChecker:
    """Checks the harts of `memory`. `spurious`: also report what is at worst a fault that need not be."""

    def __init__(self, memory: Memory, *, spurious: bool = False) -> None:
        self.spurious = spurious
        self._memory = memory
        self._found: dict[tuple[object, ...], Missing] = {}
        self._harts: dict[int, _Hart] = {}
        self._ptes: dict[int, Change] = {}  # the last change of each PTE that a walk had read, by spa
        self._clock = 0
        memory.forget.append(self._written)

    @property
    def reports(self) -> list[Missing]:
        """What was found, one a pair of pcs, the first first."""
        return list(self._found.values())

    @property
    def count(self) -> int:
        """Uses that a fence was missing for."""
        return sum(report.count for report in self._found.values())

    # what happens

    def add_hart(self, number: int) -> None:
        """A hart whose log will come."""
        self._harts[number] = _Hart(number, self.spurious)

    def take(self, number: int, vm: int, words: Iterable[int]) -> None:
        """The log of a hart since the last time, while VM `vm` was on it."""
        hart = self._harts[number]
        stream = iter(words)
        for record in zip(*[stream] * LOG_WORDS, strict=True):
            self._clock += 1
            kind, pc = record[0], record[1]
            if kind == Log.PTE:
                hart.reads.append(record)
            elif kind == Log.USE:
                self._use(hart, vm, record)
                hart.reads.clear()
            elif kind == Log.STORE:
                if not hart.reads:  # else the hart itself, setting A and D
                    change = Change(self._clock, pc, number, vm, bool(record[5]))
                    self._stored(change, record[2], record[3], record[4])
            elif kind == Log.DECODE:
                self._decoded(hart, vm, record)
            elif kind == Log.FENCE:
                self._fence(hart, record)
            elif kind == Log.ATP:
                self._root_written(hart, vm, record)

    def fence(self, number: int, kind: Fence, hgatp: int, address: int | None, size: int, space: int | None) -> None:
        """Python fenced a hart."""
        self._clock += 1
        hart = self._harts[number]
        hart.settled.clear()
        if kind is Fence.FENCE_I:
            hart.unfenced.clear()
            return
        stage = FENCE_STAGE.get(kind, LogStage.S)
        addresses = None if address is None else (address, address + max(size, 1) - 1)
        hart.shadow.fence(_scope(stage, hgatp, space, addresses))

    def _written(self, spa: int, length: int) -> None:
        """Python is about to write bytes of which something was derived from some."""
        self._clock += 1
        change = Change(self._clock, None)
        words = self._memory.frames.view
        end = spa + length
        for frame in range((spa - self._memory.base) // PAGE, (end - 1 - self._memory.base) // PAGE + 1):
            at, start = frame * FRAME_WORDS, self._memory.base + frame * PAGE
            if words[at + FRAME_FLAGS] == 0:
                continue
            for hit, lines in ((HIT_CODE, words[at + FRAME_CODE_LINES]), (HIT_TABLE, words[at + FRAME_TABLE_LINES])):
                while lines:
                    line = start + LINE * (lines.bit_length() - 1)
                    lines ^= 1 << lines.bit_length() - 1
                    first, last = max(spa, line), min(end, line + LINE)
                    if first < last:
                        self._stored(change, first, last - first, hit)

    def _stored(self, change: Change, spa: int, size: int, hits: int) -> None:
        if hits & HIT_TABLE:
            for at in range(spa & -p.BYTES, spa + size, p.BYTES):
                self._ptes[at] = change
            for hart in self._harts.values():
                hart.settled.clear()
        if hits & HIT_CODE:
            for hart in self._harts.values():
                hart.unfenced.update((at, change) for at in range(spa & -HALFWORD, spa + size, HALFWORD))

    def _root_written(self, hart: _Hart, vm: int, record: Record) -> None:
        _, pc, _, *atps, virtual, _ = record
        hart.settled.clear()
        change = Change(self._clock, pc, hart.number, vm, bool(virtual))
        for stage, atp in zip(ATP_STAGE.values(), atps, strict=True):
            if hart.roots.get(stage, (None,))[0] != atp:
                hart.roots[stage] = atp, change

    def _fence(self, hart: _Hart, record: Record) -> None:
        _, pc, number, registers, rs1, rs2, hgatp, virtual = record
        kind = Fence(number)
        hart.settled.clear()
        if kind is Fence.FENCE_I:
            hart.unfenced.clear()
        elif kind is Fence.SFENCE_W_INVAL:
            hart.ordered = self._clock
        elif kind is Fence.SFENCE_INVAL_IR:
            for scope in hart.invalidated:
                hart.shadow.fence(scope, lambda cached: self._changed_since(hart.ordered, cached))
            hart.invalidated.clear()
        else:
            stage = FENCE_STAGE.get(kind, LogStage.VS if virtual else LogStage.S)
            address = rs1 << GPA_SHIFT if stage is LogStage.G else rs1
            addresses = (address, address) if registers & 0xFF else None
            scope = _scope(stage, hgatp, rs2 if registers >> 8 else None, addresses)
            operands = f"rs1 = {rs1:#x}, " if registers & 0xFF else "rs1 = x0, "
            operands += f"rs2 = {rs2:#x}" if registers >> 8 else "rs2 = x0"
            narrow = Narrow(pc, f"{kind.name.lower().replace('_', '.')} with {operands}")
            hart.recent.append((self._clock, stage, narrow))
            if kind in SVINVAL:
                hart.invalidated.append(scope)
            else:
                hart.shadow.fence(scope)

    def _changed_since(self, when: int, cached: Cached) -> bool:
        """norm:Svinval: stores behind the last sfence.w.inval are not ordered."""
        return any(self._ptes.get(step.spa, UNKNOWN).when > when for step in cached.path)

    # what is found

    def _decoded(self, hart: _Hart, vm: int, record: Record) -> None:
        if not hart.unfenced:
            return
        _, pc, spa, size, *_ = record
        for at in range(spa, spa + size, HALFWORD):
            if (change := hart.unfenced.get(at)) is not None:
                self._report(Missing("code", hart.number, vm, pc, change, pc, spa, "fence.i"))
                return

    def _use(self, hart: _Hart, vm: int, record: Record) -> None:
        key = (record[2:], *(read[2:] for read in hart.reads))
        if key in hart.settled:
            return
        hart.settled.add(key)
        _, pc, va, who, how, g_how, atp, hgatp = record
        vmid = hgatp >> ASID_SHIFT & VMID_MASK
        for walk in stage_walks(hart.reads, va, who & 0xFF, how, g_how):
            if walk.stage is LogStage.G:
                space, root = Space(LogStage.G, vmid, 0), hgatp
            else:
                guest = walk.stage is LogStage.VS
                space, root = Space(walk.stage, vmid if guest else NO_VM, atp >> ASID_SHIFT & ASID_MASK), atp
            if walk.ended:
                # A=0 counts as A=1: software that looks who uses a page need not fence
                now = walk.result(p.A)
                for cached in list(hart.shadow.find(space, walk.address)):
                    then = self._through(cached, walk, hgatp)
                    spurious = then is None
                    if not _differ(then, now) or (spurious and not self.spurious):
                        continue
                    if (cause := self._cause(hart, cached, walk, root)) is not None:
                        change, level, spa, old, new = cause
                        fence = wanted_fence(walk.stage, change, cached.asid, vmid, walk.address, None if level is None else old)
                        self._report(
                            Missing(
                                "translation", hart.number, vm, pc, change, va, walk.address, fence, walk.access,
                                SHORT[walk.stage], level, spa, old, new, spurious, hart.fence_since(change.when, walk.stage),
                            )
                        )  # fmt: skip
            hart.shadow.add(space, walk.updated(), root)

    def _through(self, cached: Cached, walk: StageWalk, hgatp: int) -> Result | None:
        """What the access would get by the cached PTE; of a pointer, from the table it points to, as that is now."""
        step = cached.step
        if p.is_leaf(step.pte) or is_bad(step.pte, step.level, walk.how):
            return leaf_result(step.pte, step.level, walk.address, walk.how, walk.access)
        if walk.stage is LogStage.VS:
            return walk_on(step.pte, step.level, walk, lambda gpa: self._read_guest(hgatp, gpa))
        return walk_on(step.pte, step.level, walk, self._read)

    def _read(self, spa: int) -> int | None:
        memory = self._memory
        return memory.read_u64(spa) if memory.base <= spa <= memory.base + memory.size - p.BYTES else None

    def _read_guest(self, hgatp: int, gpa: int) -> int | None:
        """A PTE of the VS-stage, through the G-stage as it is now."""
        if hgatp >> p.MODE_SHIFT == 0:
            return self._read(gpa)
        levels = p.levels_of(hgatp >> p.MODE_SHIFT)
        walk = StageWalk(LogStage.G, gpa, READ, How.USER | How.WIDE, ())
        found = walk_on((hgatp & p.PPN) << p.PPN_SHIFT, levels, walk, self._read, wide=True)
        return None if found is None else self._read(found.address)

    def _cause(
        self, hart: _Hart, cached: Cached, walk: StageWalk, root: int
    ) -> tuple[Change, int | None, int, int, int] | None:
        """What made the cached PTE's path another than the walk's: the change, the PTE's level (None: the root) and spa, old and
        new value. None: a table's own translation changed, which its stage reports."""
        for old, new in zip(cached.path, walk.steps, strict=False):
            if old.level != new.level or old.gpa != new.gpa:
                value, change = hart.roots.get(walk.stage, (None, UNKNOWN))
                return change if value == root else UNKNOWN, None, 0, cached.atp, root
            if old.pte != new.pte:
                if old.spa != new.spa:
                    return None
                return self._ptes.get(new.spa, UNKNOWN), old.level, new.spa, old.pte, new.pte
        return None

    def _report(self, missing: Missing) -> None:
        change = missing.change
        # a copied program would be reported an instruction at a time: a page of it is once
        use = missing.use_pc if missing.kind == "translation" else missing.use_pc >> p.PAGE_BITS
        key = missing.kind, missing.stage, missing.vm, use, change.vm, change.pc
        if key in self._found:
            self._found[key].count += 1
        else:
            self._found[key] = missing


def _differ(then: Result | None, now: Result | None) -> bool:
    """Whether an access that gets `then` goes otherwise than one that gets `now`. To set D once more does no harm."""
    if then is None or now is None:
        return then is not now
    return (then.address, then.memory_type) != (now.address, now.memory_type) or then.dirty > now.dirty


def _scope(stage: LogStage, hgatp: int, space: int | None, addresses: tuple[int, int] | None) -> Scope:
    """Of a fence; `space`: the ASID or VMID it names. norm: HFENCE.VVMA and V=1's SFENCE.VMA are for hgatp's VMID."""
    if stage is LogStage.G:
        return Scope(stage, None if space is None else space & VMID_MASK, None, addresses)
    vmid = hgatp >> ASID_SHIFT & VMID_MASK if stage is LogStage.VS else NO_VM
    return Scope(stage, vmid, None if space is None else space & ASID_MASK, addresses)
