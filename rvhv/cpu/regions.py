"""Translated regions as the interpreter sees them: entering one, noticing what is hot, and dropping what a store changed.

A region is a function over the same state, made by `rvhv.jit` from bytes of one page. Where it can be entered the page's
predecoded word is the op REGION, and the planes beside the word hold the function's address and the lines that it was made
from. Dropping is clearing these words: no region runs again that a store has changed, and none runs while it is dropped,
because a region leaves for each store that is not plainly to data.
"""

from __future__ import annotations

from rvhv.cpu.njit import call_region, jit
from rvhv.cpu.predecode import HALFWORDS_SHIFT, OP_MASK, Special
from rvhv.cpu.slots import (
    ATTENTION,
    CODE_COVER,
    CODE_END,
    CODE_ENTRIES,
    CODE_FRAME,
    CODE_HITS,
    CODE_LEFT,
    CODE_MARKED,
    CODE_QUIET,
    CODE_REGIONS,
    CODE_SEEN,
    HEAT_AGAIN,
    HEAT_NEVER,
    HEAT_WANTED,
    LEAVING,
    LEFT_BUDGET,
    LINEAR,
    NO_TAG,
    PC,
    RAM_ADDRESS,
    REGION_ENTRIES,
    REGION_STEPS,
    STATE_ADDRESS,
    STEPS,
    TLB_DATA,
    TLB_FETCH,
    TLB_MASK,
    TRACE_BASE,
    TRACE_RECORDS,
    TRACE_VM,
    TRACE_WORDS,
    U64,
    WANTED,
    WANTED_AGAIN,
    WANTED_RECORDS,
)

U0, U1, U3, U5, U6, U12 = (U64(n) for n in (0, 1, 3, 5, 6, 12))
SEEN_VM = U64(0xFFF)
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
PAGE_OFFSET = U64(4095)
OP = U64(OP_MASK)
REGION = U64(Special.REGION)
REGION_WORD = U64(Special.REGION | 1 << HALFWORDS_SHIFT)
TRACE_RING = TRACE_RECORDS * TRACE_WORDS


@jit
def lines_of(offset, size):  # type: ignore[no-untyped-def]
    """A bit for each line of 64 bytes of a frame that the bytes touch."""
    first, last = offset >> U6, (offset + size - U1) >> U6
    return ((U1 << (last - first)) - U1 | (U1 << (last - first))) << first


@jit
def code_at(st, pc):  # type: ignore[no-untyped-def]
    """Where the page of predecoded code of pc starts, or NO_TAG."""
    at = st[TLB_FETCH] + (((pc >> U12) & st[TLB_MASK]) << U1)
    return st[at + U1] if st[at] == pc & PAGE else NO_TAG


@jit
def heat(st, code, base, pc, amount, flag):  # type: ignore[no-untyped-def]
    """The interpreter runs at pc though regions are made: when it does so often, ask for one. base: `code_at` it.

    What is asked for once more, because it has to wait, is read with the next that is new: it says what is hottest now."""
    ci = base + ((pc & PAGE_OFFSET) >> U1)
    old = code[CODE_ENTRIES + ci]
    if old >= HEAT_NEVER or st[STEPS] < code[base + CODE_QUIET]:
        return
    now, new = old + amount, old < HEAT_WANTED
    if new:
        tells = now >= HEAT_WANTED
    else:
        tells = flag != U0 or now >= HEAT_WANTED + HEAT_AGAIN
    if tells:
        if st[WANTED] == WANTED_RECORDS:
            return  # later
        again = U0 if new else WANTED_AGAIN
        st[st[TRACE_BASE] + TRACE_RING + st[WANTED]] = ((code[base + CODE_FRAME] << U12) + (pc & PAGE_OFFSET)) | flag | again
        st[WANTED] += U1
        now = HEAT_WANTED
        if new or st[WANTED] == WANTED_RECORDS:
            st[ATTENTION] = U1
    code[CODE_ENTRIES + ci] = now
    code[base + CODE_REGIONS] = U1


@jit
def enter_region(st, code, ci, pc, left):  # type: ignore[no-untyped-def]
    """Run translated code from pc, for at most `left` steps; returns the steps that are left, and slot pc is where it ended. When
    no step was done the instruction at pc is the interpreter's."""
    tlb = st[STATE_ADDRESS] + (st[TLB_DATA] << U3)
    code[CODE_HITS + ci] += U1
    st[REGION_ENTRIES] += U1
    rest = call_region(code[CODE_ENTRIES + ci], st[STATE_ADDRESS], st[RAM_ADDRESS] + st[LINEAR], tlb, pc, left)
    st[REGION_STEPS] += left - rest
    st[LEFT_BUDGET + st[LEAVING]] += U1
    end = st[PC]
    base = code_at(st, end)
    if base != NO_TAG:
        code[CODE_LEFT + base + ((end & PAGE_OFFSET) >> U1)] += U1
        code[base + CODE_SEEN] = (end & PAGE) | ((st[TRACE_VM] << U1) & SEEN_VM) | U1
        if rest != left:
            heat(st, code, base, end, U1, U0)
    return rest


@jit
def drop_regions(code, base, lines):  # type: ignore[no-untyped-def]
    """Drop the regions of a page of code that were made from any of the lines; what is there now is not hot yet."""
    if code[base + CODE_REGIONS] == U0:
        return
    kept = U0
    i = base
    while i < base + CODE_END:
        if code[CODE_ENTRIES + i] != U0:
            if (code[CODE_COVER + i] | (U1 << ((i - base) >> U5))) & lines != U0:
                code[CODE_ENTRIES + i] = U0
                code[CODE_COVER + i] = U0
                if code[i] & OP == REGION:
                    code[i] = U0
            else:
                kept = U1
        i += U1
    code[base + CODE_REGIONS] = kept


@jit
def install_entry(code, base, offset, address, cover):  # type: ignore[no-untyped-def]
    """The region at `address`, made from the lines `cover`, can be entered at `offset` of the page."""
    if code[base + CODE_MARKED] != U0:
        return
    i = base + (offset >> U1)
    code[CODE_ENTRIES + i] = address
    code[CODE_COVER + i] = cover
    code[i] = REGION_WORD
    code[base + CODE_REGIONS] = U1
    code[base + CODE_SEEN] |= U1


@jit
def forget_regions(code, base):  # type: ignore[no-untyped-def]
    """A page of predecoded code is given up: no regions, nothing hot, nothing counted."""
    if code[base + CODE_REGIONS] | code[base + CODE_SEEN] == U0:
        return
    i = base
    while i < base + CODE_END:
        code[CODE_ENTRIES + i] = U0
        code[CODE_COVER + i] = U0
        code[CODE_HITS + i] = U0
        code[CODE_LEFT + i] = U0
        i += U1
    code[base + CODE_REGIONS] = U0
    code[base + CODE_SEEN] = U0
