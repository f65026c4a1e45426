"""What is counted of regions: why each was left, where, and how often it was entered; what `rvhv jit stats` makes of it."""

from __future__ import annotations

from collections import Counter

import pytest

from rvhv.cli.jit_report import Places, _regions
from rvhv.cli.jit_stats import Report, Totals
from rvhv.cli.profile import Profile, Sample
from rvhv.core.memory import PAGE, Memory
from rvhv.cpu.state import CODE_HITS, CODE_WORDS, SLOT, Leaving
from rvhv.hart import Hart
from rvhv.jit.counts import CodePage, entered, left_at
from rvhv.jit.job import Result
from rvhv.machine.symbols import Symbols
from tests.unit.test_jit_engine import ASM, BASE, engine_of, make_hart

pytestmark = pytest.mark.usefixtures("compiled")

LEFT = SLOT["left_budget"]


def left(hart: Hart) -> Counter[Leaving]:
    return Counter({why: hart.state[LEFT + why] for why in Leaving if hart.state[LEFT + why]})


def translated(source: str, *more: int) -> Hart:
    """A hart before a program whose first page is translated from its beginning, and `more` offsets, and nothing else will be."""
    hart = make_hart("jit", ASM.program(source, BASE))
    made = engine_of(hart)
    for start in (0, *more):
        made.translate(hart, BASE + start // PAGE * PAGE, [start % PAGE])
    hart.state[SLOT["sample"]] = 0
    hart.state[SLOT["next_sample"]] = 1 << 60
    return hart


# a program, steps, why its region is left once at the place, and the offset where the interpreter goes on
REASONS = {
    "budget": ("addi x5, x5, 1; addi x5, x5, 1; addi x5, x5, 1; ebreak", 2, Leaving.BUDGET, 0),
    "another page": ("addi x5, x5, 1; j other\n.balign 4096\nother: ebreak", 2, Leaving.PAGE, None),
    "not translated": ("la x7, other; jr x7\n.balign 2048\nother: ebreak", 3, Leaving.UNTRANSLATED, 2048),
    "the interpreter's": ("addi x5, x5, 1; csrw satp, x0; ebreak", 1, Leaving.INSTRUCTION, 4),
    "refused": ("addi x5, x5, 1; ld x6, 0(x0); ebreak", 1, Leaving.REFUSED, 4),
}


@pytest.mark.parametrize("name", REASONS)
def test_why_a_region_was_left(name: str) -> None:
    source, steps, why, offset = REASONS[name]
    hart = translated(source)
    hart.run(steps + (why is not Leaving.BUDGET))
    assert left(hart)[why] == 1 and left(hart).total() == 1
    places = {at.offset: times for at, times in left_at(hart.memory).items()}
    assert places == ({} if offset is None else {offset: 1})
    assert hart.state[SLOT["region_entries"]] == 1


def test_hits_are_of_the_region_that_is_there_and_of_both_ways_in() -> None:
    """By the interpreter, once, and by a region of another page, nine times; a second region takes one of its entries over."""
    source = """
        li x5, 10
        again: jal function
        addi x5, x5, -1
        bnez x5, again
        ebreak
        .balign 4096
        function: addi x6, x6, 1
        behind: addi x6, x6, 1
        ret
    """
    hart = translated(source, PAGE)
    hart.run(2)  # the page of the function has not been executed from yet
    while hart.state[SLOT["x5"]]:
        hart.run(100)
    counts = {page.frame: (sum(hits.values()), region.entries) for (page, region), hits in entered(hart.memory).items()}
    assert counts[1][0] == 10
    engine_of(hart).translate(hart, BASE + PAGE, [0, 4])
    assert len(engine_of(hart).live(1)) == 2 and len(set(engine_of(hart).live(1).values())) == 1
    after = [(made.entries, hits.total()) for (page, made), hits in entered(hart.memory).items() if page.frame == 1]
    assert after == [((0, 4), 10)], "what was entered there before is its"
    view = hart.memory.code.view[CODE_HITS : CODE_HITS + CODE_WORDS // 5]
    assert sum(hits.total() for hits in entered(hart.memory).values()) <= sum(view)


def test_what_is_given_up_is_counted_no_more() -> None:
    hart = translated("loop: addi x5, x5, 1; csrw satp, x0; j loop")
    hart.run(100)
    assert left_at(hart.memory) and entered(hart.memory)
    hart.flush()
    assert not left_at(hart.memory) and not entered(hart.memory)


def test_harts_and_machines_add_up() -> None:
    totals = Totals()
    for _ in range(2):  # a reboot
        hart = translated("loop: addi x5, x5, 1; csrw satp, x0; j loop")
        hart.run(30)
        totals.add(hart.memory, [hart, hart])
    assert totals.left[Leaving.INSTRUCTION] == 4 * left(hart)[Leaving.INSTRUCTION] > 0
    assert totals.region_entries == 4 * hart.state[SLOT["region_entries"]]
    assert totals.base == BASE


def report(samples: list[Sample], entries: dict[tuple[CodePage, Result], Counter[int]], *, hosts: bool) -> Report:
    profile = Profile()
    profile.samples, profile.names = samples, {1: "one", 2: "two"}
    profile.symbols = lambda owner: Symbols({f"main{owner}": 0x1000})
    totals = Totals(base=BASE)
    totals.entered = entries
    return Report(totals, profile, hosts, [])


def region(start: int, length: int, *entries: int) -> Result:
    return Result(1, 7, b"code", entries or (start,), ranges=((start, bytes(length)),))


def test_a_sample_counts_for_one_region_and_for_its_owner() -> None:
    samples = [Sample(1, 0x1000 + at, "VS", 0, 7) for at in (0, 4, 8, 100)] + [Sample(2, 0x5000, "VS", 0, 7)]
    one, two = CodePage(7, 0x1000, 1), CodePage(7, 0x1000, 2)
    wide, narrow = region(0, 16, 0, 8), region(4, 4)
    entries = {(one, narrow): Counter({4: 1}), (one, wide): Counter({0: 1, 8: 8}), (two, wide): Counter({0: 2})}
    found = [
        (hot.page.vm, hot.region is wide, hot.share, hot.entered, hot.offset)
        for hot in _regions(report(samples, entries, hosts=True))
    ]
    assert found == [(1, True, 0.6, 9, 8), (2, True, 0.2, 2, 0), (1, False, 0.0, 1, 4)]


def test_places_have_names() -> None:
    """By where the page was executed; by a sample of the frame, where that is not known; else they are physical."""
    places = Places(report([Sample(2, 0x1010, "VS", 0, 8)], {}, hosts=True))
    known, sampled, unknown = CodePage(7, 0x1000, 1), CodePage(8, None, 0), CodePage(9, None, 0)
    assert (places.of(known, 4).vm, places.of(known, 4).text) == ("one", "main1+0x4 (0x1004)")
    assert (places.of(sampled, 8).vm, places.of(sampled, 8).text) == ("two", "main2+0x8 (0x1008)")
    assert places.of(unknown, 8).text == f"spa {BASE + 9 * PAGE + 8:#x}"


def test_a_memory_without_an_engine_has_no_counts() -> None:
    memory = Memory(16 * PAGE, BASE)
    hart = Hart(memory, tier="interp")
    hart.open_pmp()
    memory.write(BASE, ASM.program("loop: j loop", BASE))
    hart.run(1000)
    assert not entered(memory) and not left_at(memory)
