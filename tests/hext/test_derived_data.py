"""No cache is state: what was derived from bytes is dropped before the next instruction, and only then."""

from __future__ import annotations

import pytest

from rvhv.cpu.state import FLAG_CODE, FLAG_LEAF_TABLE, FLAG_TABLE, FRAME_FLAGS, FRAME_WORDS
from tests.hext.bare import BASE, CODE, HANDLER, Bare

ROOT, MIDDLE, LEAF = BASE + 0x10000, BASE + 0x11000, BASE + 0x12000
SV39 = 8 << 60
V, RWXAD = 1, 0xCF


def paged(bare: Bare) -> None:
    """Sv39: the first 512 pages of RAM mapped to themselves, page by page, for S-mode."""
    bare.memory.write_u64(ROOT + 8 * (BASE >> 30), MIDDLE >> 2 | V)
    bare.memory.write_u64(MIDDLE, LEAF >> 2 | V)
    for page in range(512):
        bare.memory.write_u64(LEAF + 8 * page, (BASE + 0x1000 * page) >> 2 | RWXAD)
    bare["satp"] = SV39 | ROOT >> 12
    bare.mode(1)


def outcome(bare: Bare, budgets: list[int]) -> tuple[int, ...]:
    for budget in budgets:
        bare.hart.run(budget)
    return bare["x6"], bare["mcause"], bare["mepc"], bare["pc"], bare["prv"]


@pytest.mark.parametrize(
    "store",
    ["sd x0, 0(x5)", "sb x0, 0(x5)", "amoand.d x0, x0, (x5)", "sw x0, 0(x5)", "sc.d x7, x0, (x5)"],
)
@pytest.mark.parametrize("budgets", [[2], [1, 1]])
def test_a_page_that_unmaps_itself(store: str, budgets: list[int]) -> None:
    """The instruction after the store is not there any more, whatever the budgets are."""
    bare = Bare()
    paged(bare)
    lead = "lr.d x7, (x5)\n" if store.startswith("sc") else ""
    bare.load(f"{lead}{store}\naddi x6, x6, 1\naddi x6, x6, 1\naddi x6, x6, 1")
    bare["x5"] = LEAF + 8 * (CODE - BASE >> 12)
    first = 4 if lead else 0
    if lead:
        bare.hart.run(1)
    x6, cause, epc, pc, prv = outcome(bare, budgets)
    assert (x6, cause, epc) == (0, 12, CODE + first + 4)
    assert prv == 3


@pytest.mark.parametrize("budgets", [[6], [1] * 6, [2, 3, 1]])
def test_a_page_that_maps_another_in_its_place(budgets: list[int]) -> None:
    """The next instruction comes from the new page at once."""
    bare = Bare()
    paged(bare)
    other = BASE + 0x8000
    from tests.hext.bare import ASSEMBLER

    bare.memory.write(other, ASSEMBLER.program("nop\nli x6, 77\nloop: j loop", other))
    bare.load("sd x7, 0(x5)\nli x6, 11\nloop: j loop")
    bare["x5"] = LEAF + 8 * (CODE - BASE >> 12)
    bare["x7"] = other >> 2 | RWXAD
    assert outcome(bare, budgets)[0] == 77


def flags(bare: Bare, spa: int) -> int:
    return bare.memory.frames.view[(spa - BASE) // 4096 * FRAME_WORDS + FRAME_FLAGS] & (FLAG_CODE | FLAG_TABLE | FLAG_LEAF_TABLE)


def test_a_table_that_became_data_is_found_out() -> None:
    """A kernel gives page tables back: stores to the frame lose their price."""
    bare = Bare()
    paged(bare)
    bare.load("loop: sd x7, 0(x5)\naddi x5, x5, 8\nj loop")
    bare["x5"], bare["x7"] = LEAF + 0x800, 0x1234_5679
    bare.hart.run(3)
    assert flags(bare, LEAF) == FLAG_LEAF_TABLE
    bare.hart.run(3 * 70)
    bare["satp"] = 0
    for _ in range(9):  # the line that the walks for the code came back to
        bare["x5"] = LEAF
        bare.hart.run(3 * 8)
    assert flags(bare, LEAF) == 0
    bare["x5"] = MIDDLE
    bare.hart.run(3)
    assert flags(bare, MIDDLE) == 0


def test_code_that_became_data_is_found_out() -> None:
    bare = Bare()
    place = BASE + 0x8000
    bare.load("nop\nebreak", place)
    bare.hart.run(2)
    assert flags(bare, place) == FLAG_CODE
    bare.load("sd x0, 0(x5)\nj .")
    bare["x5"] = place
    bare.hart.run(3)
    assert flags(bare, place) == 0
    bare["pc"] = place
    bare["mcause"] = 99
    bare.hart.run(1)
    assert (bare["mcause"], bare["pc"]) == (2, HANDLER)
