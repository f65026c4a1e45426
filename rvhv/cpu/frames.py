"""What was derived from each 4 KiB frame of RAM, and dropping it when a store changes the bytes.

No cache is state: predecoded code and TLB entries may be dropped at any moment. A frame that something was derived
from carries a flag, the TLB withholds write permission for it, and every store to it (guest, Python, DMA) comes
through `store_phys`. A bitmap of 64 lines of 64 bytes a frame says which lines hold something, so that stores to the
others stay cheap. Over-dropping is always right.

Harts never run at the same time. Decoded code and flags are shared; what a change must drop from the TLBs of the other
harts it drops by raising the memory's generation: a hart that finds itself behind when it is switched in flushes.
"""

from __future__ import annotations

from rvhv.cpu.log import log
from rvhv.cpu.njit import jit, ld64, st8, st16, st32, st64
from rvhv.cpu.predecode import Special
from rvhv.cpu.regions import drop_regions, lines_of
from rvhv.cpu.slots import (
    CODE_STRIDE,
    FAULT_NONE,
    FAULT_WATCH,
    FLAG_CLEAN,
    FLAG_CODE,
    FLAG_LEAF_TABLE,
    FLAG_TABLE,
    FLAG_WATCH,
    FRAME_CODE,
    FRAME_CODE_LINES,
    FRAME_FLAGS,
    FRAME_TABLE_LINES,
    FRAME_WORDS,
    GENERATION,
    LOG_END,
    LOG_STORE,
    PC,
    RAM_BASE,
    SHARED,
    SHARED_DIRTY,
    SHARED_GENERATION,
    SHARED_WORDS,
    U64,
    V,
)
from rvhv.cpu.tlb import drop_index, flush_all, withdraw_write

U0, U1, U2, U4, U5, U6, U8, U12, U32 = (U64(n) for n in (0, 1, 2, 4, 5, 6, 8, 12, 32))
PAGE_OFFSET = U64(4095)
OP_STOP = U64(Special.STOP)
PTE_SHIFT = U64(3)
PTE_INDEX = U64(511)
TABLE_FLAGS = FLAG_TABLE | FLAG_LEAF_TABLE
# the flags' high half counts the PTEs dropped one by one since the last flush
DROPS_SHIFT, ONE_DROP, DROPS_BEFORE_FLUSH = U32, U64(1 << 32), U64(64)


@jit
def new_generation(st, fr):  # type: ignore[no-untyped-def]
    """The other harts' TLBs are out of date; this one's no more than before."""
    at = st[SHARED] + SHARED_GENERATION
    if st[GENERATION] == fr[at]:
        st[GENERATION] += U1
    fr[at] += U1


@jit
def follow_generation(st, fr):  # type: ignore[no-untyped-def]
    """Before a hart runs: follow what the others changed meanwhile."""
    now = fr[st[SHARED] + SHARED_GENERATION]
    if st[GENERATION] != now:
        flush_all(st)
        st[GENERATION] = now


@jit
def flag_frame(st, fr, frame, flag):  # type: ignore[no-untyped-def]
    """Set `flag` on a frame; the first flag takes the write permission away in every bank of every hart."""
    at = frame * FRAME_WORDS + FRAME_FLAGS
    old = fr[at]
    if old & flag == U0:
        fr[at] = old | flag
        if old == U0:
            withdraw_write(st, frame)
            new_generation(st, fr)


@jit
def mark_dirty(st, fr, frame):  # type: ignore[no-untyped-def]
    """The first store to a frame since somebody looked: note the frame; later ones find nothing to do."""
    fr[frame * FRAME_WORDS + FRAME_FLAGS] &= ~FLAG_CLEAN
    shared = st[SHARED]
    count = fr[shared + SHARED_DIRTY]
    fr[shared + SHARED_WORDS + count] = frame
    fr[shared + SHARED_DIRTY] = count + U1


@jit
def note_code(st, fr, frame, offset, size):  # type: ignore[no-untyped-def]
    """Instructions were decoded from `size` bytes at `offset` of the frame."""
    flag_frame(st, fr, frame, FLAG_CODE)
    fr[frame * FRAME_WORDS + FRAME_CODE_LINES] |= (U1 << (offset >> U6)) | (U1 << ((offset + size - U1) >> U6))


@jit
def note_table(st, fr, spa, leaf_table):  # type: ignore[no-untyped-def]
    """A PTE at `spa` was read by a walk; `leaf_table`: at level 0 of the first stage, where it maps one page."""
    frame = (spa - st[RAM_BASE]) >> U12
    flag_frame(st, fr, frame, FLAG_LEAF_TABLE if leaf_table else FLAG_TABLE)
    fr[frame * FRAME_WORDS + FRAME_TABLE_LINES] |= U1 << ((spa & PAGE_OFFSET) >> U6)


@jit
def drop_code(fr, code, frame, offset, size):  # type: ignore[no-untyped-def]
    """Forget the instructions that overlap the bytes; one may start two bytes before them. Marks of stops stay."""
    page = fr[frame * FRAME_WORDS + FRAME_CODE]
    if page == U0:
        return
    base = (page - U1) * CODE_STRIDE
    drop_regions(code, base, lines_of(offset, size))
    first = (offset - U2) >> U1 if offset >= U2 else U0
    last = (offset + size - U1) >> U1
    i = first
    while i <= last:
        if code[base + i] != OP_STOP:
            code[base + i] = U0
        i += U1


@jit
def settle_code_line(fr, code, frame, line):  # type: ignore[no-untyped-def]
    """A line that no instruction was decoded from any more is plain data again, and so is a frame without such lines."""
    at = frame * FRAME_WORDS
    page = fr[at + FRAME_CODE]
    if page != U0:
        base = (page - U1) * CODE_STRIDE
        i = line << U5
        end = i + U32
        if i > U0:
            i -= U1  # an instruction of the line before may reach into this one
        while i < end:
            if code[base + i] != U0:
                return
            i += U1
    fr[at + FRAME_CODE_LINES] &= ~(U1 << line)
    if fr[at + FRAME_CODE_LINES] == U0:
        fr[at + FRAME_FLAGS] &= ~FLAG_CODE


@jit
def drop_table(st, ram, fr, frame, offset, size):  # type: ignore[no-untyped-def]
    """Forget the translations that may have come from the PTEs about to be overwritten.

    After a flush nothing is derived from the frame's PTEs any more. A table of level 0 is flushed for now and then, so that
    a frame that became data is found out: a kernel gives its tables back.
    """
    at = frame * FRAME_WORDS
    if size == U8 and offset & U64(7) == U0:
        old = ld64(ram, (frame << U12) + offset)
        if old & U1 == U0:
            return  # an invalid PTE: nothing was derived from it
        new_generation(st, fr)
        if fr[at + FRAME_FLAGS] & TABLE_FLAGS == FLAG_LEAF_TABLE:
            fr[at + FRAME_FLAGS] += ONE_DROP
            if fr[at + FRAME_FLAGS] >> DROPS_SHIFT < DROPS_BEFORE_FLUSH:
                # the low nine bits of the page number are this PTE's index: the slots its page can occupy are known
                drop_index(st, (offset >> PTE_SHIFT) & PTE_INDEX)
                return
    else:
        new_generation(st, fr)
    flush_all(st)
    if st[LOG_END] == U0:  # else what the log's reader remembers is still derived from them
        fr[at + FRAME_TABLE_LINES] = U0
        fr[at + FRAME_FLAGS] &= FLAG_CODE | FLAG_WATCH


@jit
def before_store(st, ram, fr, code, frame, offset, size):  # type: ignore[no-untyped-def]
    """Drop what was derived from `size` bytes at `offset` of a frame with flags; returns FAULT_WATCH if it is watched."""
    at = frame * FRAME_WORDS
    flags = fr[at + FRAME_FLAGS]
    if flags & FLAG_CLEAN != U0:
        mark_dirty(st, fr, frame)
    lines = (U1 << (offset >> U6)) | (U1 << ((offset + size - U1) >> U6))
    code_hit = flags & FLAG_CODE != U0 and fr[at + FRAME_CODE_LINES] & lines != U0
    table_hit = flags & TABLE_FLAGS != U0 and fr[at + FRAME_TABLE_LINES] & lines != U0
    if code_hit or table_hit:
        hits = (U1 if code_hit else U0) | (U2 if table_hit else U0)
        log(st, LOG_STORE, st[PC], st[RAM_BASE] + (frame << U12) + offset, size, hits, st[V], U0, U0)
    if code_hit:
        drop_code(fr, code, frame, offset, size)
        settle_code_line(fr, code, frame, offset >> U6)
        if (offset + size - U1) >> U6 != offset >> U6:
            settle_code_line(fr, code, frame, (offset + size - U1) >> U6)
    if table_hit:
        drop_table(st, ram, fr, frame, offset, size)
    return FAULT_WATCH if flags & FLAG_WATCH != U0 else FAULT_NONE


@jit
def write_ram(ram, at, value, size):  # type: ignore[no-untyped-def]
    if size == U1:
        st8(ram, at, value)
    elif size == U2:
        st16(ram, at, value)
    elif size == U4:
        st32(ram, at, value)
    else:
        st64(ram, at, value)


@jit
def store_phys(st, ram, fr, code, spa, value, size):  # type: ignore[no-untyped-def]
    """Store inside one frame of RAM; FAULT_NONE, or FAULT_WATCH after the store."""
    at = spa - st[RAM_BASE]
    frame = at >> U12
    result = FAULT_NONE
    if fr[frame * FRAME_WORDS + FRAME_FLAGS] != U0:
        result = before_store(st, ram, fr, code, frame, at & PAGE_OFFSET, size)
    write_ram(ram, at, value, size)
    return result


@jit
def forget_range(st, ram, fr, code, spa, length):  # type: ignore[no-untyped-def]
    """Before Python or a device overwrites `length` bytes: drop what was derived from them, frame by frame."""
    at = spa - st[RAM_BASE]
    end = at + length
    while at < end:
        offset = at & PAGE_OFFSET
        size = min(end - at, PAGE_OFFSET + U1 - offset)
        frame = at >> U12
        flags = fr[frame * FRAME_WORDS + FRAME_FLAGS]
        if flags & FLAG_CLEAN != U0:
            mark_dirty(st, fr, frame)
        if flags & FLAG_CODE != U0:
            drop_code(fr, code, frame, offset, size)
        if flags & TABLE_FLAGS != U0:
            if size == U8:
                drop_table(st, ram, fr, frame, offset, size)
            else:
                flush_all(st)
        at += size
