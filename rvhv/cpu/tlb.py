"""The TLB: direct-mapped banks of (R tag, W tag, addend, flagged-W tag) and of (X tag, code index), one bank a context.

A tag is the page's address; a hit compares it with the access's address whose page-offset bits are cleared except
those that a naturally aligned access of its size has zero, so a hit also proves alignment. The addend turns a gva
into an offset into RAM. A context is everything that the translation depends on (privilege, V, MPRV, SUM, MXR, the
whole satp, vsatp, hgatp, the PMP epoch): switching it selects another bank and flushes nothing.
"""

from __future__ import annotations

from rvhv.cpu.njit import jit
from rvhv.cpu.slots import (
    BANK_CLOCK,
    BANKS,
    CONTEXT_WORDS,
    CONTEXTS_BASE,
    DATA_WORDS,
    FETCH_WORDS,
    HENVCFG,
    HGATP,
    LAST_SERIAL,
    LINEAR,
    LINEAR_MISSES,
    LINEAR_NEXT,
    LINEAR_PATIENCE,
    MENVCFG,
    MSTATUS,
    NO_ADDEND,
    NO_GPA,
    NO_TAG,
    PMP_EPOCH,
    PRV,
    PRV_M,
    SATP,
    SECOND,
    SECOND_ENTRIES,
    SECOND_OFFSET,
    SECOND_PAGE,
    SECOND_RIGHTS,
    SECOND_SERIAL,
    SECOND_WORDS,
    SERIAL,
    STOP_TAG,
    TLB_ADDEND,
    TLB_BASE,
    TLB_DATA,
    TLB_FETCH,
    TLB_LINEAR_R,
    TLB_LINEAR_W,
    TLB_MASK,
    TLB_R,
    TLB_W,
    TLB_W_BESIDE,
    TLB_W_FLAGGED,
    U64,
    VSATP,
    VSSTATUS,
    V,
)

U0, U1, U2, U3, U4, U5, U6, U7, U12 = (U64(n) for n in (0, 1, 2, 3, 4, 5, 6, 7, 12))
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
SECOND_MASK = SECOND_ENTRIES - U64(1)
SUM_MXR = U64(3 << 18)
MPRV = U64(1 << 17)
MPP = U64(3 << 11)
MPV = U64(1 << 39)
# where each part sits in a context's mode word
MODE_V, MODE_STATUS, MODE_MENVCFG, MODE_HENVCFG = U64(2), U64(3), U64(50), U64(52)
ENVCFG_SHIFT = U64(61)  # ADUE and PBMTE


@jit
def bank_words(st):  # type: ignore[no-untyped-def]
    return (st[TLB_MASK] + U1) * (DATA_WORDS + FETCH_WORDS)


@jit
def clear_bank(st, bank):  # type: ignore[no-untyped-def]
    """Make every entry of a bank miss."""
    entries = st[TLB_MASK] + U1
    at = TLB_BASE + bank * bank_words(st)
    end = at + entries * DATA_WORDS
    while at < end:
        st[at + TLB_R] = NO_TAG
        st[at + TLB_W] = NO_TAG
        st[at + TLB_W_FLAGGED] = NO_TAG
        st[at + TLB_LINEAR_R] = NO_TAG
        st[at + TLB_LINEAR_W] = NO_TAG
        st[at + TLB_W_BESIDE] = NO_TAG
        at += DATA_WORDS
    end = at + entries * FETCH_WORDS
    while at < end:
        st[at] = NO_TAG
        at += FETCH_WORDS


@jit
def new_serial(st, bank):  # type: ignore[no-untyped-def]
    """What the second level has for a bank is that of another one from now on."""
    st[LAST_SERIAL] += U1
    st[CONTEXTS_BASE + bank * CONTEXT_WORDS + U7] = st[LAST_SERIAL]


@jit
def set_linear(st, bank, addend):  # type: ignore[no-untyped-def]
    """The entries of a bank that have this addend are the linear ones now."""
    at = TLB_BASE + bank * bank_words(st)
    end = at + (st[TLB_MASK] + U1) * DATA_WORDS
    while at < end:
        linear = st[at + TLB_ADDEND] == addend
        st[at + TLB_LINEAR_R] = st[at + TLB_R] if linear else NO_TAG
        st[at + TLB_LINEAR_W] = st[at + TLB_W] if linear else NO_TAG
        at += DATA_WORDS
    st[CONTEXTS_BASE + bank * CONTEXT_WORDS + U6] = addend


@jit
def select_bank(st):  # type: ignore[no-untyped-def]
    """Point tlb_data and tlb_fetch at the bank of the current context, giving it the least recently used one if it has none."""
    status = st[MSTATUS]
    virtual = st[V]
    mode = st[PRV] | (virtual << MODE_V)
    satp = st[SATP]
    vsatp = st[VSATP]
    hgatp = st[HGATP]
    epoch = st[PMP_EPOCH]
    if status & MPRV != U0:
        mode |= (status & (MPRV | MPP | MPV | SUM_MXR)) << MODE_STATUS
        mode |= ((st[VSSTATUS] & SUM_MXR) >> U64(18)) << U64(60)
    elif virtual != U0:
        mode |= ((status & SUM_MXR) << MODE_STATUS) | (((st[VSSTATUS] & SUM_MXR) >> U64(18)) << U64(60))
        satp = U0
    elif st[PRV] == PRV_M:
        satp, vsatp, hgatp = U0, U0, U0
    else:
        mode |= (status & SUM_MXR) << MODE_STATUS
        vsatp, hgatp = U0, U0
    mode |= ((st[MENVCFG] >> ENVCFG_SHIFT) & U3) << MODE_MENVCFG
    mode |= ((st[HENVCFG] >> ENVCFG_SHIFT) & U3) << MODE_HENVCFG
    st[BANK_CLOCK] += U1
    oldest, oldest_stamp = U0, NO_TAG
    bank = U0
    found = False
    while bank < BANKS:
        at = CONTEXTS_BASE + bank * CONTEXT_WORDS
        stamp = st[at]
        same_roots = st[at + U2] == satp and st[at + U3] == vsatp and st[at + U4] == hgatp
        if stamp != U0 and same_roots and st[at + U1] == mode and st[at + U5] == epoch:
            found = True
            break
        if stamp < oldest_stamp:
            oldest, oldest_stamp = bank, stamp
        bank += U1
    if not found:
        bank = oldest
        clear_bank(st, bank)
        at = CONTEXTS_BASE + bank * CONTEXT_WORDS
        st[at + U1], st[at + U2], st[at + U3], st[at + U4], st[at + U5] = mode, satp, vsatp, hgatp, epoch
        st[at + U6] = NO_ADDEND
        new_serial(st, bank)
    at = CONTEXTS_BASE + bank * CONTEXT_WORDS
    st[at] = st[BANK_CLOCK]
    if TLB_BASE + bank * bank_words(st) != st[TLB_DATA]:
        st[LINEAR_MISSES] = U0
    elif st[LINEAR_MISSES] > (U0 if st[at + U6] == NO_ADDEND else LINEAR_PATIENCE):
        # no region runs now that has the old one in a register
        st[LINEAR_MISSES] = U0
        set_linear(st, bank, st[LINEAR_NEXT])
    st[LINEAR] = st[at + U6]
    st[SERIAL] = st[at + U7]
    st[TLB_DATA] = TLB_BASE + bank * bank_words(st)
    st[TLB_FETCH] = st[TLB_DATA] + (st[TLB_MASK] + U1) * DATA_WORDS


@jit
def flush_all(st):  # type: ignore[no-untyped-def]
    """Drop every translation: the current bank is cleared, the others are given up."""
    bank = U0
    while bank < BANKS:
        at = CONTEXTS_BASE + bank * CONTEXT_WORDS
        if TLB_BASE + bank * bank_words(st) == st[TLB_DATA]:
            clear_bank(st, bank)
            new_serial(st, bank)
            st[SERIAL] = st[LAST_SERIAL]
        else:
            st[at] = U0
        bank += U1


@jit
def drop_index(st, low_page_bits):  # type: ignore[no-untyped-def]
    """Drop, in every bank, the entries of all pages whose number ends in these nine bits."""
    mask = st[TLB_MASK]
    entries = mask + U1
    words = bank_words(st)
    bank = U0
    while bank < BANKS:
        base = TLB_BASE + bank * words
        i = low_page_bits & mask
        while i < entries:
            at = base + i * DATA_WORDS
            st[at + TLB_R] = NO_TAG
            st[at + TLB_W] = NO_TAG
            st[at + TLB_W_FLAGGED] = NO_TAG
            st[at + TLB_LINEAR_R] = NO_TAG
            st[at + TLB_LINEAR_W] = NO_TAG
            st[at + TLB_W_BESIDE] = NO_TAG
            st[base + entries * DATA_WORDS + i * FETCH_WORDS] = NO_TAG
            i += U64(512)
        bank += U1
    at = st[SECOND] + low_page_bits * SECOND_WORDS
    end = st[SECOND] + SECOND_ENTRIES * SECOND_WORDS
    while at < end:
        st[at + SECOND_PAGE] = NO_TAG
        at += U64(512) * SECOND_WORDS


@jit
def withdraw_write(st, frame):  # type: ignore[no-untyped-def]
    """No entry of any bank may let a store to this frame pass without a look at its flags."""
    at = TLB_BASE
    words = bank_words(st)
    data = (st[TLB_MASK] + U1) * DATA_WORDS
    bank = U0
    while bank < BANKS:
        at = TLB_BASE + bank * words
        end = at + data
        while at < end:
            page = st[at + TLB_W]
            if page & STOP_TAG == U0 and (page + st[at + TLB_ADDEND]) >> U12 == frame:
                st[at + TLB_W] = NO_TAG
                st[at + TLB_LINEAR_W] = NO_TAG
                st[at + TLB_W_FLAGGED] = page
            beside = st[at + TLB_W_BESIDE]
            if beside != NO_TAG and ((beside & PAGE) + st[at + TLB_ADDEND]) >> U12 == frame:
                st[at + TLB_W_BESIDE] = NO_TAG
            at += DATA_WORDS
        bank += U1


@jit
def fill_data(st, gva, offset, readable, writable, flagged):  # type: ignore[no-untyped-def]
    """Cache a translation of the page of `gva` to RAM offset `offset` with what both stages allow."""
    page = gva & PAGE
    at = st[TLB_DATA] + ((gva >> U12) & st[TLB_MASK]) * DATA_WORDS
    st[at + TLB_R] = page if readable else NO_TAG
    st[at + TLB_W] = page if writable and not flagged else NO_TAG
    st[at + TLB_W_FLAGGED] = page if writable and flagged else NO_TAG
    st[at + TLB_W_BESIDE] = NO_TAG
    addend = (offset & PAGE) - page
    st[at + TLB_ADDEND] = addend
    linear = addend == st[LINEAR]
    st[at + TLB_LINEAR_R] = page if readable and linear else NO_TAG
    st[at + TLB_LINEAR_W] = page if writable and not flagged and linear else NO_TAG
    if not linear:
        st[LINEAR_NEXT] = addend
        st[LINEAR_MISSES] += U1
    elif st[LINEAR_MISSES] != U0:
        st[LINEAR_MISSES] -= U1


@jit
def fill_second(st, gva, offset, rights):  # type: ignore[no-untyped-def]
    """Keep a translation, with what both stages allow, for when its entry is gone."""
    at = st[SECOND] + ((gva >> U12) & SECOND_MASK) * SECOND_WORDS
    st[at + SECOND_PAGE] = gva & PAGE
    st[at + SECOND_SERIAL] = st[SERIAL]
    st[at + SECOND_OFFSET] = offset & PAGE
    st[at + SECOND_RIGHTS] = rights


@jit
def fill_stopping(st, gva, offset, readable, writable, loads_stop, gpa):  # type: ignore[no-untyped-def]
    """The same for a page on which something may stop: no store may hit, and no load if one may stop there. `gpa` is NO_GPA where
    there is none."""
    page = gva & PAGE
    at = st[TLB_DATA] + ((gva >> U12) & st[TLB_MASK]) * DATA_WORDS
    addend = (offset & PAGE) - page
    st[at + TLB_R] = NO_TAG if not readable else page | STOP_TAG if loads_stop else page
    st[at + TLB_W] = gpa if gpa == NO_GPA else (gpa & PAGE) | STOP_TAG
    st[at + TLB_W_FLAGGED] = page | STOP_TAG if writable else NO_TAG
    st[at + TLB_W_BESIDE] = NO_TAG  # the first store beside it finds out whether the frame has flags
    st[at + TLB_LINEAR_R] = page if readable and not loads_stop and addend == st[LINEAR] else NO_TAG
    st[at + TLB_LINEAR_W] = NO_TAG
    st[at + TLB_ADDEND] = addend


@jit
def fill_fetch(st, pc, code_base):  # type: ignore[no-untyped-def]
    """Cache where the predecoded code of the page of `pc` starts."""
    at = st[TLB_FETCH] + ((pc >> U12) & st[TLB_MASK]) * FETCH_WORDS
    st[at] = pc & PAGE
    st[at + U1] = code_base
