"""Random programs that change PTEs, switch ASIDs, fence and use pages: the checker says what a plain model says, and of programs
that fence as the manual asks it says nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hext.fenced import FIRST, HS, RWX, SECOND, SV39, VA, A, D, Fenced, G, R, V, W, pte

PAGES = (VA, VA + 0x1000)
ASIDS = (1, 2)
READ_ONLY, CLEAN = V | R | A | D, V | R | W | A
PTES = (0, *(pte(FIRST, flags) for flags in (RWX, READ_ONLY, CLEAN, RWX | G)), pte(SECOND), pte(SECOND, RWX | G))
GLOBAL = 0  # as an ASID

Action = tuple[object, ...]
page = st.sampled_from(PAGES)
asid = st.sampled_from(ASIDS)
use = st.tuples(st.just("use"), page, st.sampled_from(("load", "store")))
change = st.tuples(st.just("set"), page, st.sampled_from(PTES))
fence = st.tuples(st.just("fence"), st.none() | page, st.none() | asid)
switch = st.tuples(st.just("asid"), asid)


@dataclass
class Model:
    """What a hart may have cached, as the manual has it, for pages of 4 KiB in tables that all ASIDs share."""

    asid: int = ASIDS[0]
    ptes: dict[int, int] = field(default_factory=lambda: dict.fromkeys(PAGES, 0))
    used: set[tuple[int, int, int]] = field(default_factory=set)  # ASID or GLOBAL, page, PTE

    def use(self, at: int, access: str) -> bool:
        """Whether another translation could have been used, to another effect than a needless fault."""
        now = self.ptes[at]
        candidates = [p for a, where, p in self.used if where == at and a in (self.asid, GLOBAL)]
        stale = any(result(old, access) not in (None, result(now, access)) for old in candidates)
        if now & V:
            self.used.add((GLOBAL if now & G else self.asid, at, now))
        return stale

    def fence(self, at: int | None, asid: int | None) -> None:
        self.used = {u for u in self.used if at not in (None, u[1]) or (asid is not None and asid != u[0])}


def result(entry: int, access: str) -> int | None:
    """The page that an access gets, None for a fault."""
    allowed = entry & V and entry & A and (access == "load" or (entry & W and entry & D))
    return entry >> 10 if allowed else None


def play(actions: list[Action]) -> tuple[Fenced, list[tuple[int, int]]]:
    """Execute the actions; the pairs of pcs that the model finds."""
    t, model = Fenced(), Model()
    expected: list[tuple[int, int]] = []
    changed: dict[int, int] = {}
    enter(t, model.asid)
    t.memory.write_u64(t.s.leaf, 0)
    for name, *operands in actions:
        if name == "use":
            at, access = operands
            stale = model.use(at, access)
            t.hart.flush()  # only an access that walks is looked at: the first after a change
            pc = t.load(HS, at) if access == "load" else t.store(HS, at)
            if stale:
                expected.append((changed[at], pc))
        elif name == "set":
            at, value = operands
            changed[at] = t.store(HS, t.s.leaf + 8 * PAGES.index(at), value)
            model.ptes[at] = value
        elif name == "fence":
            at, asid = operands
            model.fence(at, asid)
            t.run(HS, f"li a3, {at or 0:#x}\nli a4, {asid or 0}\nsfence.vma {'a3' if at else 'x0'}, {'a4' if asid else 'x0'}")
        else:
            model.asid = operands[0]
            enter(t, model.asid)
    return t, expected


def enter(t: Fenced, asid: int) -> None:
    t.run(HS, f"li a0, {SV39 | asid << 44 | t.s.root >> 12:#x}\ncsrw satp, a0")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(change, use, switch | fence | use, change, fence | use, use), min_size=1, max_size=5))
def test_the_checker_says_what_the_model_says(rounds: list[tuple[Action, ...]]) -> None:
    t, expected = play([action for round_ in rounds for action in round_])
    assert [(r.store_pc, r.use_pc) for r in t.reports] == expected


@st.composite
def well_behaved(draw: st.DrawFn) -> list[Action]:
    """Each change is followed, before anything is used, by a fence that covers it."""
    actions: list[Action] = []
    for action in draw(st.lists(use | use | change | fence | switch, min_size=4, max_size=25)):
        actions.append(action)
        if action[0] == "set":
            at = draw(st.sampled_from((None, action[1])))
            actions += draw(st.lists(switch, max_size=1))
            actions.append(("fence", at, None))
    return actions


@settings(max_examples=100, deadline=None)
@given(well_behaved())
def test_programs_that_fence_are_not_reported(actions: list[Action]) -> None:
    t, expected = play(actions)
    assert expected == [] and t.reports == []
