"""The slow paths of memory: TLB misses, misaligned and page-crossing accesses, atomics, instruction fetch.

An access completes or leaves no trace: a page-crossing store translates both pages before it writes.
"""

from __future__ import annotations

from rvhv.cpu.decode import decode_long, decode_word
from rvhv.cpu.frames import new_generation, store_phys
from rvhv.cpu.njit import jit, ld8, ld16, ld32, ld64
from rvhv.cpu.predecode import Special
from rvhv.cpu.regions import forget_regions, lines_of
from rvhv.cpu.slots import (
    ACCESS_R,
    ACCESS_W,
    CODE_END,
    CODE_FRAME,
    CODE_MARKED,
    CODE_PAGES,
    CODE_QUIET,
    CODE_STRIDE,
    DATA_WORDS,
    FAULT_MMIO,
    FAULT_NONE,
    FETCH_ONCE,
    FRAME_CODE,
    FRAME_FLAGS,
    FRAME_WORDS,
    IN_PART,
    LINEAR,
    LOG_END,
    NO_GPA,
    NO_RESERVATION,
    NO_TAG,
    RAM_BASE,
    RESERVATION,
    RESERVATION_SIZE,
    SECOND,
    SECOND_OFFSET,
    SECOND_PAGE,
    SECOND_RIGHTS,
    SECOND_SERIAL,
    SECOND_WORDS,
    SERIAL,
    SHARED,
    SHARED_CODE_NEXT,
    STOP_LINES,
    STOP_TAG,
    STOPS_DATA,
    STOPS_EXEC,
    STOPS_HIGH,
    STOPS_LOW,
    TLB_ADDEND,
    TLB_DATA,
    TLB_LINEAR_W,
    TLB_MASK,
    TLB_R,
    TLB_W,
    TLB_W_FLAGGED,
    TRAP_GPA,
    U64,
    VALUE,
    WALK_GPA,
    WALK_RIGHTS,
    WALK_SPA,
)
from rvhv.cpu.stops import check_data, check_fetch, check_physical, mark_page, page_may_stop
from rvhv.cpu.tlb import SECOND_MASK, fill_data, fill_fetch, fill_second, fill_stopping, flush_all
from rvhv.cpu.trap import CAUSE_MISALIGNED_LOAD, CAUSE_MISALIGNED_STORE, set_address_trap
from rvhv.hext.two_stage import VIA_DATA, access_device, data_mode, note_offset, refuse_device, translate_data, translate_fetch

U0, U1, U2, U4, U8, U12, U16 = (U64(n) for n in (0, 1, 2, 4, 8, 12, 16))
PAGE_SIZE = U64(4096)
PAGE_OFFSET = U64(4095)
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
BYTE = U64(0xFF)
BOTH = ACCESS_R | ACCESS_W  # what an AMO is to triggers and watchpoints
LONG = U64(3)  # the two low bits of an instruction of four bytes
PAGE_END = U64(Special.PAGE_END)


@jit
def read_ram(ram, at, size):  # type: ignore[no-untyped-def]
    if size == U1:
        return ld8(ram, at)
    if size == U2:
        return ld16(ram, at)
    if size == U4:
        return ld32(ram, at)
    return ld64(ram, at)


@jit
def locate(st, ram, fr, code, va, size, access, kinds, via):  # type: ignore[no-untyped-def]
    """Translate one page's part of a data access and cache the result; walk_spa is inside RAM afterwards. `kinds`: what the
    access is to a watchpoint, ACCESS_R, ACCESS_W or both. Nothing was done where the fault is FAULT_STOP."""
    prv, virtual = data_mode(st, via)
    if st[STOPS_DATA] != U0:
        entry = st[TLB_DATA] + ((va >> U12) & st[TLB_MASK]) * DATA_WORDS
        tag = st[entry + TLB_R] if access == ACCESS_R else st[entry + TLB_W_FLAGGED]
        if via == VIA_DATA and tag == (va & PAGE) | STOP_TAG:
            gpa = st[entry + TLB_W]
            st[WALK_GPA] = gpa if gpa == NO_GPA else (gpa & PAGE) | (va & PAGE_OFFSET)
            st[WALK_SPA] = va + st[entry + TLB_ADDEND] + st[RAM_BASE]
            return check_physical(st, st[WALK_SPA], st[WALK_GPA], size, kinds, prv, virtual)
    if via == VIA_DATA and st[LOG_END] == U0:  # a page on which something may stop has no entry of the second level
        second = st[SECOND] + ((va >> U12) & SECOND_MASK) * SECOND_WORDS
        rights = st[second + SECOND_RIGHTS]
        if st[second + SECOND_PAGE] == va & PAGE and st[second + SECOND_SERIAL] == st[SERIAL] and rights & access == access:
            offset = st[second + SECOND_OFFSET]
            flagged = fr[(offset >> U12) * FRAME_WORDS + FRAME_FLAGS] != U0
            fill_data(st, va, offset, rights & ACCESS_R != U0, rights & ACCESS_W != U0, flagged)
            st[WALK_SPA] = st[RAM_BASE] + offset + (va & PAGE_OFFSET)
            st[WALK_RIGHTS] = rights
            return FAULT_NONE
    fault = translate_data(st, ram, fr, code, va, size, access, via)
    st[WALK_GPA] = st[TRAP_GPA] if virtual != U0 else NO_GPA
    stops = False
    if st[STOPS_DATA] != U0 and (fault == FAULT_NONE or fault == FAULT_MMIO):
        stopped = check_physical(st, st[WALK_SPA], st[WALK_GPA], size, kinds, prv, virtual)
        if stopped != FAULT_NONE:
            return stopped
        stops = page_may_stop(st, va, st[WALK_SPA], st[WALK_GPA], BOTH, prv, virtual)
    if fault == FAULT_NONE and via == VIA_DATA and st[WALK_RIGHTS] & IN_PART == U0:
        offset = st[WALK_SPA] - st[RAM_BASE]
        readable, writable = st[WALK_RIGHTS] & ACCESS_R != U0, st[WALK_RIGHTS] & ACCESS_W != U0
        if stops:
            loads_stop = page_may_stop(st, va, st[WALK_SPA], st[WALK_GPA], ACCESS_R, prv, virtual)
            fill_stopping(st, va, offset, readable, writable, loads_stop, st[WALK_GPA])
        else:
            flagged = fr[(offset >> U12) * FRAME_WORDS + FRAME_FLAGS] != U0
            fill_data(st, va, offset, readable, writable, flagged)
            fill_second(st, va, offset, st[WALK_RIGHTS])
    return fault


@jit
def check_stops(st, va, size, kinds, via):  # type: ignore[no-untyped-def]
    """Triggers and watchpoints on the virtual addresses of a data access, before anything else is looked at."""
    last = va + size - U1
    if last < va:
        last = ~U0  # an access around the end of the address space faults there
    if st[STOPS_DATA] == U0 or va > st[STOPS_HIGH] or last < st[STOPS_LOW]:
        return FAULT_NONE
    prv, virtual = data_mode(st, via)
    return check_data(st, va, last, kinds, prv, virtual)


@jit
def locate_parts(st, ram, fr, code, va, size, access, via):  # type: ignore[no-untyped-def]
    """Translate an access that may cross a page: (fault, spa of the first byte, bytes there, spa of the rest)."""
    first = min(size, PAGE_SIZE - (va & PAGE_OFFSET))
    fault = check_stops(st, va, size, access, via)
    if fault == FAULT_NONE:
        fault = locate(st, ram, fr, code, va, first, access, access, via)
    spa, rest = st[WALK_SPA], U0
    if fault == FAULT_NONE and first < size:
        fault = locate(st, ram, fr, code, va + first, size - first, access, access, via)
        rest = st[WALK_SPA]
        if fault == FAULT_MMIO:
            fault = refuse_device(st, va + first, access, via)
        if fault != FAULT_NONE:
            note_offset(st, first)
    return fault, spa, first, rest


@jit
def is_page_of(st, tag, va, size):  # type: ignore[no-untyped-def]
    """Whether a tag knows the page of an access that does not leave it, and nothing on it stops this access."""
    if (tag ^ va) & PAGE != U0 or (va & PAGE_OFFSET) + size > PAGE_SIZE:
        return False
    return tag == va & PAGE or (tag & PAGE_OFFSET == STOP_TAG and st[STOP_LINES] & lines_of(va & PAGE_OFFSET, size) == U0)


@jit
def load_slow(st, ram, fr, code, va, size, via):  # type: ignore[no-untyped-def]
    """A load that missed: the zero-extended value in the slot `value`, or a fault."""
    entry = st[TLB_DATA] + ((va >> U12) & st[TLB_MASK]) * DATA_WORDS
    if via == VIA_DATA and is_page_of(st, st[entry + TLB_R], va, size):
        st[VALUE] = read_ram(ram, va + st[entry + TLB_ADDEND], size)  # misaligned, or something else may stop on the page
        return FAULT_NONE
    fault, spa, first, rest = locate_parts(st, ram, fr, code, va, size, ACCESS_R, via)
    if fault == FAULT_MMIO:
        return access_device(st, va, size, ACCESS_R, U0, via)
    if fault != FAULT_NONE:
        return fault
    at = spa - st[RAM_BASE]
    if first == size:
        st[VALUE] = read_ram(ram, at, size)
        return FAULT_NONE
    value, i = U0, U0
    while i < size:
        where = at + i if i < first else rest - st[RAM_BASE] + i - first
        value |= ld8(ram, where) << (i * U8)
        i += U1
    st[VALUE] = value
    return FAULT_NONE


@jit
def give_write_back(st, fr, entry, frame, page):  # type: ignore[no-untyped-def]
    """After a store of the slow path, the next one hits if nothing is left to look at."""
    if fr[frame * FRAME_WORDS + FRAME_FLAGS] == U0 and st[entry + TLB_W_FLAGGED] == page:
        st[entry + TLB_W] = page
        if st[entry + TLB_ADDEND] == st[LINEAR]:
            st[entry + TLB_LINEAR_W] = page
        st[entry + TLB_W_FLAGGED] = NO_TAG


@jit
def store_slow(st, ram, fr, code, va, value, size, via):  # type: ignore[no-untyped-def]
    """A store that missed. FAULT_WATCH means that it was done."""
    entry = st[TLB_DATA] + ((va >> U12) & st[TLB_MASK]) * DATA_WORDS
    if via == VIA_DATA and is_page_of(st, st[entry + TLB_W_FLAGGED], va, size):
        # the translation is known, only the frame's flags need a look: data beside code or page tables
        at = va + st[entry + TLB_ADDEND]
        result = store_phys(st, ram, fr, code, at + st[RAM_BASE], value, size)
        give_write_back(st, fr, entry, at >> U12, va & PAGE)
        return result
    fault, spa, first, rest = locate_parts(st, ram, fr, code, va, size, ACCESS_W, via)
    if fault == FAULT_MMIO:
        return access_device(st, va, size, ACCESS_W, value, via)
    if fault != FAULT_NONE:
        return fault
    if first == size:
        return store_phys(st, ram, fr, code, spa, value, size)
    result, i = FAULT_NONE, U0
    while i < size:
        where = spa + i if i < first else rest + i - first
        result |= store_phys(st, ram, fr, code, where, (value >> (i * U8)) & BYTE, U1)
        i += U1
    return result


@jit
def locate_atomic(st, ram, fr, code, va, size, access, kinds):  # type: ignore[no-untyped-def]
    """Translate an LR, SC or AMO, which must be naturally aligned; it is a store to every check but LR's. No device takes one."""
    fault = check_stops(st, va, size, kinds, VIA_DATA)
    if fault != FAULT_NONE:
        return fault
    if va & (size - U1) != U0:
        cause = CAUSE_MISALIGNED_LOAD if access == ACCESS_R else CAUSE_MISALIGNED_STORE
        _, virtual = data_mode(st, VIA_DATA)
        return set_address_trap(st, cause, va, virtual)
    fault = locate(st, ram, fr, code, va, size, access, kinds, VIA_DATA)
    return refuse_device(st, va, access, VIA_DATA) if fault == FAULT_MMIO else fault


@jit
def load_reserved(st, ram, fr, code, va, size):  # type: ignore[no-untyped-def]
    fault = locate_atomic(st, ram, fr, code, va, size, ACCESS_R, ACCESS_R)
    if fault != FAULT_NONE:
        return fault
    st[RESERVATION] = st[WALK_SPA]
    st[RESERVATION_SIZE] = size
    st[VALUE] = read_ram(ram, st[WALK_SPA] - st[RAM_BASE], size)
    return FAULT_NONE


@jit
def store_conditional(st, ram, fr, code, va, value, size):  # type: ignore[no-untyped-def]
    """Slot `value` becomes 0 when the store was done, else 1. To triggers and watchpoints one that fails is a store too."""
    fault = locate_atomic(st, ram, fr, code, va, size, ACCESS_W, ACCESS_W)
    if fault != FAULT_NONE:
        return fault
    held = st[RESERVATION] == st[WALK_SPA] and st[RESERVATION_SIZE] == size
    st[RESERVATION] = NO_RESERVATION
    st[VALUE] = U0 if held else U1
    if held:
        return store_phys(st, ram, fr, code, st[WALK_SPA], value, size)
    return FAULT_NONE


@jit
def amo_begin(st, ram, fr, code, va, size):  # type: ignore[no-untyped-def]
    """Translate an AMO: slot `value` is the old memory value, walk_spa where the new one goes."""
    fault = locate_atomic(st, ram, fr, code, va, size, ACCESS_W, BOTH)
    if fault == FAULT_NONE:
        st[VALUE] = read_ram(ram, st[WALK_SPA] - st[RAM_BASE], size)
    return fault


@jit
def amocas_q(st, ram, fr, code, va, rd, rs2):  # type: ignore[no-untyped-def]
    """Compare and swap 16 bytes with the register pairs at rd and rs2, which are even.

    norm:Zacas_rv64_amocas-q_rs2_frst_reg_x0, rd_frst_reg_x0: the pair at x0 reads as zero and is not written."""
    fault = locate_atomic(st, ram, fr, code, va, U16, ACCESS_W, BOTH)
    if fault != FAULT_NONE:
        return fault
    spa = st[WALK_SPA]
    at = spa - st[RAM_BASE]
    low, high = ld64(ram, at), ld64(ram, at + U8)
    if low == st[rd] and high == (st[rd + U1] if rd != U0 else U0):
        fault = store_phys(st, ram, fr, code, spa, st[rs2], U8)
        fault |= store_phys(st, ram, fr, code, spa + U8, st[rs2 + U1] if rs2 != U0 else U0, U8)
    if rd != U0:
        st[rd] = low
        st[rd + U1] = high
    return fault


@jit
def reset_code(st, fr, code):  # type: ignore[no-untyped-def]
    """The pool of predecoded pages is full: give all of it up."""
    page = U0
    used = st[SHARED] + SHARED_CODE_NEXT
    while page < fr[used]:
        frame = code[page * CODE_STRIDE + CODE_FRAME]
        forget_regions(code, page * CODE_STRIDE)
        fr[frame * FRAME_WORDS + FRAME_CODE] = U0
        page += U1
    fr[used] = U0
    new_generation(st, fr)


@jit
def code_page(st, fr, code, frame):  # type: ignore[no-untyped-def]
    """Where the predecoded code of a frame starts; an empty page is made when there is none."""
    at = frame * FRAME_WORDS + FRAME_CODE
    if fr[at] == U0:
        used = st[SHARED] + SHARED_CODE_NEXT
        if fr[used] == CODE_PAGES:
            reset_code(st, fr, code)
            flush_all(st)
        page = fr[used]
        fr[used] = page + U1
        base = page * CODE_STRIDE
        i = U0
        while i < CODE_END:
            code[base + i] = U0
            i += U1
        code[base + CODE_END] = PAGE_END
        code[base + CODE_END + U1] = PAGE_END
        code[base + CODE_FRAME] = frame
        code[base + CODE_MARKED] = U0
        code[base + CODE_QUIET] = U0
        fr[at] = page + U1
    return (fr[at] - U1) * CODE_STRIDE


@jit
def fetch_page(st, ram, fr, code, pc):  # type: ignore[no-untyped-def]
    """Translate the page of pc for execution and cache where its code starts; for one instruction only (fetch_once) where
    protection differs within the page. norm: a breakpoint at pc has priority over what the translation says.
    """
    if st[STOPS_EXEC] != U0:
        fault = check_fetch(st, pc)
        if fault != FAULT_NONE:
            return fault
    fault = translate_fetch(st, ram, fr, code, pc)
    if fault != FAULT_NONE:
        return fault
    at = st[WALK_SPA] - st[RAM_BASE]
    if st[WALK_RIGHTS] & IN_PART != U0:
        if ld16(ram, at) & LONG == LONG and pc & PAGE_OFFSET != PAGE_OFFSET - U1:
            fault = translate_fetch(st, ram, fr, code, pc + U2)
            if fault != FAULT_NONE:
                return fault
        st[FETCH_ONCE] = U1
    base = code_page(st, fr, code, at >> U12)
    if st[STOPS_EXEC] != U0:
        mark_page(st, code, base, pc)
    fill_fetch(st, pc, base)
    return FAULT_NONE


@jit
def fetch_marked(st, ram, tab, base, code, pc):  # type: ignore[no-untyped-def]
    """Fetch an instruction where execution may stop: (fault, predecoded word). The word is not kept, the mark is."""
    fault = check_fetch(st, pc)
    if fault != FAULT_NONE:
        return fault, U0
    return fault, decode_word(ram, tab, code[base + CODE_FRAME], pc & PAGE_OFFSET)


@jit
def fetch_cross(st, ram, fr, tab, base, code, pc):  # type: ignore[no-untyped-def]
    """Fetch the instruction whose halves lie on two pages: (fault, instruction, predecoded word). norm: the
    fault's tval is the second page.
    """
    first = ld16(ram, (code[base + CODE_FRAME] << U12) + PAGE_OFFSET - U1)
    fault = translate_fetch(st, ram, fr, code, pc + U2)
    if fault != FAULT_NONE:
        return fault, U0, U0
    insn = first | (ld16(ram, st[WALK_SPA] - st[RAM_BASE]) << U16)
    return FAULT_NONE, insn, decode_long(tab, insn)
