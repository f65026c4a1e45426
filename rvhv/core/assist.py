"""What translated regions ask of the machine: memory accesses that miss the TLB, and rows that are too long to inline.

Each does its work whole, or does nothing and says so: then the region leaves with pc at the instruction, and the
interpreter does it, faults and all. So nothing about exactness is written here a second time.
"""

from __future__ import annotations

from typing import Any

from rvhv.core.access import give_write_back, is_page_of, locate, read_ram
from rvhv.core.ops import Assist
from rvhv.cpu.frames import mark_dirty, write_ram
from rvhv.cpu.njit import jit
from rvhv.cpu.regions import lines_of
from rvhv.cpu.slots import (
    ACCESS_R,
    ACCESS_W,
    DATA_WORDS,
    FAULT_NONE,
    FLAG_CLEAN,
    FLAG_WATCH,
    FRAME_CODE_LINES,
    FRAME_FLAGS,
    FRAME_TABLE_LINES,
    FRAME_WORDS,
    PTE_WRITTEN,
    STOP_LINES,
    STOPS_DATA,
    TLB_ADDEND,
    TLB_DATA,
    TLB_MASK,
    TLB_R,
    TLB_W,
    TLB_W_BESIDE,
    TLB_W_FLAGGED,
    U64,
    VALUE,
)
from rvhv.hext.two_stage import VIA_DATA

U0, U1, U12 = U64(0), U64(1), U64(12)
PAGE_SIZE, PAGE_OFFSET = U64(4096), U64(4095)
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
DONE, LEAVE = U0, U1
ASSIST_LOAD, ASSIST_STORE = U64(Assist.LOAD), U64(Assist.STORE)


@jit
def find_page(st, ram, fr, code, va, size, access):  # type: ignore[no-untyped-def]
    """Have the TLB know the page of an access. Not where something may stop before A and D are set; and when a walk has set them,
    that store may have been to the region's own bytes."""
    if st[STOPS_DATA] != U0 and st[STOP_LINES] & lines_of(va & PAGE_OFFSET, size) != U0:
        return False
    st[PTE_WRITTEN] = U0
    return locate(st, ram, fr, code, va, size, access, access, VIA_DATA) == FAULT_NONE and st[PTE_WRITTEN] == U0


@jit
def assist_load(st, ram, fr, code, va, size):  # type: ignore[no-untyped-def]
    """Slot `value` becomes the zero-extended value, of any alignment within a page of RAM."""
    entry = st[TLB_DATA] + ((va >> U12) & st[TLB_MASK]) * DATA_WORDS
    if (va & PAGE_OFFSET) + size > PAGE_SIZE:
        return LEAVE
    if not is_page_of(st, st[entry + TLB_R], va, size):
        if not find_page(st, ram, fr, code, va, size, ACCESS_R) or not is_page_of(st, st[entry + TLB_R], va, size):
            return LEAVE
    st[VALUE] = read_ram(ram, va + st[entry + TLB_ADDEND], size)
    return DONE


@jit
def assist_store(st, ram, fr, code, va, value, size):  # type: ignore[no-untyped-def]
    """Within a page of RAM, and nothing was derived from the lines it touches."""
    entry = st[TLB_DATA] + ((va >> U12) & st[TLB_MASK]) * DATA_WORDS
    page = va & PAGE
    if (va & PAGE_OFFSET) + size > PAGE_SIZE:
        return LEAVE
    if st[entry + TLB_W] != page and not is_page_of(st, st[entry + TLB_W_FLAGGED], va, size):
        if not find_page(st, ram, fr, code, va, size, ACCESS_W):
            return LEAVE
    at = va + st[entry + TLB_ADDEND]
    if st[entry + TLB_W] != page:
        if not is_page_of(st, st[entry + TLB_W_FLAGGED], va, size):
            return LEAVE
        frame = (at >> U12) * FRAME_WORDS
        if fr[frame + FRAME_FLAGS] & FLAG_WATCH != U0:
            return LEAVE
        if (fr[frame + FRAME_CODE_LINES] | fr[frame + FRAME_TABLE_LINES]) & lines_of(at & PAGE_OFFSET, size) != U0:
            return LEAVE
        if fr[frame + FRAME_FLAGS] & FLAG_CLEAN != U0:
            mark_dirty(st, fr, at >> U12)
        give_write_back(st, fr, entry, at >> U12, page)
        if fr[frame + FRAME_FLAGS] == U0 and st[entry + TLB_W_FLAGGED] != page:
            st[entry + TLB_W_BESIDE] = st[entry + TLB_W_FLAGGED]
    write_ram(ram, at, value, size)
    return DONE


def make_assist(assist_row: Any) -> Any:
    """The njit function behind the door that regions call: assist(st, ram, fr, code, tab, what, a, b, c) -> DONE or LEAVE.

    `assist_row(st, ram, fr, code, tab, w, pc, npc)` runs a predecoded instruction on the state as the interpreter does."""

    @jit(inline="always")
    def assist(st, ram, fr, code, tab, what, a, b, c):  # type: ignore[no-untyped-def]
        if what == ASSIST_LOAD:
            return assist_load(st, ram, fr, code, a, b)
        if what == ASSIST_STORE:
            return assist_store(st, ram, fr, code, a, b, c)
        return assist_row(st, ram, fr, code, tab, a, b, c)

    return assist
