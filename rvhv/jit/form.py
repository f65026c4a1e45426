"""Forming a region: which instructions of a page it covers, in which blocks, and where it can be entered.

A region lies within one page, so that it depends on nothing but the page's bytes: not on where the page is mapped, nor on what
the pages beside it are. It follows branches, jumps and calls inside the page; returns and jumps through registers go to blocks
that are known, or out through the dispatch at its end (`rvhv.jit.translate`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu.predecode import pack
from rvhv.isa.effects import Branch, Call, CsrAccess, Float, Jump, Load, Store
from rvhv.isa.expr import MASK64, OPS, E
from rvhv.isa.rows import Insn
from rvhv.jit import csrs
from rvhv.jit.job import LINE, MOST_INSTRUCTIONS

PAGE = 4096
# what never comes back to the instruction behind it
ENDS = frozenset({"mret", "sret", "ebreak"})
# helpers that do nothing but look whether they are allowed (with a log they do more, and then nothing is translated)
FENCES = frozenset({"sfence_vma", "sfence_inval", "hfence_vvma", "hfence_gvma"})
ALWAYS_ALLOWED = frozenset({"fence_i"})


class Kind(Enum):
    """What becomes of an instruction in a region."""

    NOTHING = auto()
    PLAIN = auto()  # inline
    FLOAT = auto()  # one floating-point operation: inline where the host's is exact, else as ASSIST
    ASSIST = auto()  # done by the machine, without leaving
    BRANCH = auto()
    JUMP = auto()  # to a known place
    INDIRECT = auto()
    LEAVE = auto()  # the interpreter does it

    @property
    def ends(self) -> bool:
        return self in (Kind.BRANCH, Kind.JUMP, Kind.INDIRECT, Kind.LEAVE)


@dataclass(frozen=True)
class Step:
    """An instruction at `offset` of the page. `target`: where a branch or jump goes, as an offset that may lie outside."""

    offset: int
    insn: Insn
    fields: dict[str, int]
    length: int
    kind: Kind
    target: int = 0

    @property
    def next(self) -> int:
        return self.offset + self.length

    @property
    def word(self) -> int:
        """As predecoded."""
        return pack(ISA, self.insn, self.fields, self.length)

    @property
    def links(self) -> bool:
        return self.kind in (Kind.JUMP, Kind.INDIRECT) and self.fields["rd"] != 0


@dataclass
class Block:
    steps: list[Step]
    successors: list[int] = field(default_factory=list)  # blocks of this region
    need: int = 0  # steps from its start to the next check of the budget, at most
    head: bool = False  # it checks the budget

    @property
    def last(self) -> Step:
        return self.steps[-1]


@dataclass
class Region:
    """Blocks by the offset of their first instruction; `entries` and `returns` (behind calls) are among them."""

    blocks: dict[int, Block]
    entries: tuple[int, ...]
    returns: tuple[int, ...]

    @property
    def instructions(self) -> int:
        return sum(len(b.steps) for b in self.blocks.values())

    @property
    def cover(self) -> int:
        """A bit for each line of the page that it was made from."""
        lines = 0
        for block in self.blocks.values():
            first, last = block.steps[0].offset, block.last.next - 1
            lines |= (2 << last // LINE) - (1 << first // LINE)
        return lines


@cache
def kind_of(insn: Insn) -> Kind:
    """The kind of a row, whatever its operands are."""
    effects = insn.effects
    calls = {e.helper for e in effects if isinstance(e, Call)}
    if insn.idle or (calls and calls <= ALWAYS_ALLOWED):
        return Kind.NOTHING
    if calls and calls <= FENCES:
        return Kind.ASSIST
    if any(isinstance(e, Branch) for e in effects):
        return Kind.BRANCH
    if jumps := [e for e in effects if isinstance(e, Jump)]:
        return Kind.JUMP if _leaves(jumps[0].target) <= {"pc", "imm"} else Kind.INDIRECT
    if calls or any(isinstance(e, Load | Store) and e.via != "data" for e in effects):
        return Kind.LEAVE
    if any(isinstance(e, CsrAccess) for e in effects):
        return Kind.ASSIST
    if any(isinstance(e, Float) for e in effects):
        return Kind.FLOAT
    return Kind.PLAIN


def _leaves(e: E) -> set[str]:
    return {str(kid.args[0]) for kid in e.walk() if kid.op == "leaf"}


def evaluate(e: E, values: dict[str, int]) -> int:
    """The value of an expression over known leaves."""
    if e.op == "const":
        return int(str(e.args[0]))
    if e.op == "leaf":
        return values[str(e.args[0])] & MASK64
    return OPS[e.op](*(evaluate(kid, values) for kid in e.kids))


def _csr_kind(insn: Insn, fields: dict[str, int]) -> Kind:
    """A CSR that is only read, or that is plain, changes nothing that a region was entered under; some are inline."""
    access = next((e for e in insn.effects if isinstance(e, CsrAccess)), None)
    if access is None:
        return Kind.ASSIST
    csr = ISA.csr_by_number.get(fields["csr"])
    known = {name: fields[name] for name in fields} | {f"{name}_index": fields.get(name, 0) for name in ("rd", "rs1")}
    if csr is None or not _leaves(access.writes) <= set(known):
        return Kind.LEAVE
    writes = bool(evaluate(access.writes, known))
    if csrs.is_inline(csr, writes):
        return Kind.PLAIN
    return Kind.ASSIST if csr.plain or not writes else Kind.LEAVE


def step_at(page: bytes, offset: int) -> Step | None:
    """The instruction at `offset`, or None when it is illegal or goes on in the next page."""
    half = int.from_bytes(page[offset : offset + 2], "little")
    length = 4 if half & 3 == 3 else 2
    if offset + length > PAGE:
        return None
    decoded = ISA.decode(int.from_bytes(page[offset : offset + length], "little"))
    if decoded is None:
        return None
    insn, fields, _ = decoded
    kind = kind_of(insn)
    if kind is Kind.ASSIST:
        kind = _csr_kind(insn, fields)
    target = 0
    if kind in (Kind.BRANCH, Kind.JUMP):
        transfer = next(e for e in insn.effects if isinstance(e, Branch | Jump))
        target = evaluate(transfer.target, {"pc": offset, "imm": fields["imm"]})
        target -= (target >> 63) << 64
    return Step(offset, insn, fields, length, kind, target)


def form(
    page: bytes, starts: Iterable[int], hints: Iterable[int] = (), stops: Iterable[int] = (), most: int = MOST_INSTRUCTIONS
) -> Region | None:
    """The region of the code that can be reached from `starts` and `hints` without leaving the page or going on at one of
    `stops`, up to `most` instructions; None when the interpreter would have to do the first instruction of each.

    All are offsets into the page. It can be entered at the starts, behind calls and what the interpreter does, at the heads of
    loops, and at those hints that none of these leads to.
    """
    entries, returns = set(starts), set[int]()
    hinted = [at for at in hints if at not in entries]
    beyond = frozenset(stops) - entries
    steps: dict[int, Step] = {}
    queue = deque((*entries, *hinted))
    while queue and len(steps) < most:
        at = queue.popleft()
        while at not in steps and at not in beyond and len(steps) < most and 0 <= at < PAGE:
            step = step_at(page, at)
            if step is None:
                break
            steps[at] = step
            if step.links:
                returns.add(step.next)
            if step.kind.ends:
                queue.extend(_follow(step))
                break
            at = step.next
    entries |= returns | {step.next for step in steps.values() if _goes_on_behind(step)}
    reached = _reached(steps, entries)
    for at in hinted:
        if at in steps and at not in reached:
            entries.add(at)
            reached |= _reached(steps, {at})
    leaders = entries.union(*(_follow(s) for s in steps.values() if s.kind.ends))
    region = Region(_blocks(steps, leaders), (), ())
    for block in region.blocks.values():
        block.successors = _successors(block, region.blocks)
    entries &= region.blocks.keys()
    loops = _loop_heads(region.blocks, sorted(entries))
    entries = {at for at in entries | loops if region.blocks[at].steps[0].kind is not Kind.LEAVE}
    if not entries:
        return None
    region.entries = tuple(sorted(entries))
    region.returns = tuple(sorted(returns & region.blocks.keys()))
    _set_needs(region, loops | entries)
    return region


def _goes_on_behind(step: Step) -> bool:
    """Whether the interpreter does it, always or at times, and comes back behind it."""
    if step.kind is Kind.LEAVE:
        return step.insn.name not in ENDS
    return step.kind is Kind.PLAIN and csrs.may_leave(step.fields)


def _follow(step: Step) -> list[int]:
    """Where it goes on in the page behind a step, as far as that is known: behind a call its return does."""
    match step.kind:
        case Kind.BRANCH:
            return [step.target, step.next]
        case Kind.JUMP:
            return [step.target, step.next] if step.links else [step.target]
        case Kind.INDIRECT:
            return [step.next] if step.links else []
        case Kind.LEAVE:
            return [] if step.insn.name in ENDS else [step.next]
    return [step.next]


def _reached(steps: dict[int, Step], entries: Iterable[int]) -> set[int]:
    found, todo = set[int](), list(entries)
    while todo:
        at = todo.pop()
        if at in steps and at not in found:
            found.add(at)
            todo += _follow(steps[at])
    return found


def _blocks(steps: dict[int, Step], leaders: set[int]) -> dict[int, Block]:
    blocks: dict[int, Block] = {}
    for start in sorted(leaders & steps.keys()):
        mine = [steps[start]]
        while not mine[-1].kind.ends and mine[-1].next in steps and mine[-1].next not in leaders:
            mine.append(steps[mine[-1].next])
        blocks[start] = Block(mine)
    return blocks


def _successors(block: Block, blocks: dict[int, Block]) -> list[int]:
    last = block.last
    match last.kind:
        case Kind.BRANCH:
            found = [last.target, last.next]
        case Kind.JUMP:
            found = [last.target]
        case Kind.INDIRECT | Kind.LEAVE:
            found = []  # these go to entries, which check for themselves
        case _:
            found = [last.next]
    return [at for at in found if at in blocks]


def _loop_heads(blocks: dict[int, Block], roots: Iterable[int]) -> set[int]:
    """Blocks that close a cycle: where a depth-first walk comes back to its own path."""
    heads, done, path = set[int](), set[int](), set[int]()
    for entry in roots:
        stack = [(entry, iter(blocks[entry].successors))] if entry not in done else []
        if stack:
            path.add(entry)
        while stack:
            at, more = stack[-1]
            following = next(more, None)
            if following is None:
                stack.pop()
                path.discard(at)
                done.add(at)
            elif following in path:
                heads.add(following)
            elif following not in done:
                path.add(following)
                stack.append((following, iter(blocks[following].successors)))
    return heads


def _set_needs(region: Region, heads: set[int]) -> None:
    """Every cycle and every entry has a head, so the paths between heads end."""
    known: dict[int, int] = {}

    def need(at: int) -> int:
        if at not in known:
            block = region.blocks[at]
            further = [need(s) for s in block.successors if s not in heads]
            # what the interpreter does is not a step of the region
            known[at] = len(block.steps) - (block.last.kind is Kind.LEAVE) + max(further, default=0)
        return known[at]

    for at in sorted(region.blocks, reverse=True):
        block = region.blocks[at]
        block.head = at in heads
        block.need = need(at)
