"""What stops a run: the guest's own triggers (Sdtrig), the host's breakpoints and watchpoints, catches of traps, watches of CSRs.

Both are entries of one table (`rvhv.cpu.state`, STOPS_BASE): the kinds of access, a range of addresses, the modes and address
spaces it is for. A trigger raises a breakpoint exception in the guest; an entry of the host ends `run` (FAULT_STOP), which the
guest never knows of. Nothing here costs anything until there is an entry:

* Data. A page that an entry may match on has tags that nothing hits (STOP_TAG), so that its accesses take the slow path, which
  asks `check_data` before it translates and `check_physical` after. No access of a page that has no entry comes by, and one
  to a line of it that no entry is for (`stop_lines`: where in a page something is, every space says alike) is not asked about.
* Execution. When a page's fetch entry is filled, `mark_page` puts Special.STOP over the predecoded words that an entry may match:
  whoever executes one comes by `check_fetch`, and the rest of the page runs as ever. A mark is for all modes, mappings and harts
  of the frame, and means only that somebody must look. It is never dropped by a store; all are when execution entries change
  (`arm`), which also moves exec_epoch and the memory's generation.

Those two stop before the instruction. What is asked in the run loop stops behind it: a trap that is caught when it was taken, and
a change of a CSR when the instruction, the trap or the xRET that made it is over (`find_catch`, `rvhv.core.runtime`). While a CSR
is watched, each instruction that may write one ends its chunk, and regions leave for it; floating-point instructions, which write
fcsr and FS on the way, run one at a time where they would change what is watched (`floats_may_change`).

Pages are armed by mode and address space, which a TLB bank's context has; what it does not have (who may be interrupted, see
`may_fire`) is left to the exact check.
"""

from __future__ import annotations

from rvhv.cpu import triggers
from rvhv.cpu.njit import jit
from rvhv.cpu.predecode import Special
from rvhv.cpu.regions import drop_regions
from rvhv.cpu.slots import (
    ACCESS_R,
    ACCESS_W,
    ACCESS_X,
    ANSWER_NONE,
    CODE_MARKED,
    CSR_FLOATS,
    CSR_SEES_FCSR,
    EXEC_EPOCH,
    FAULT_NONE,
    FAULT_STOP,
    HEDELEG,
    HGATP,
    MEDELEG,
    MMIO_ANSWER,
    MSTATUS,
    NO_GPA,
    PRV,
    PRV_M,
    PRV_S,
    SATP,
    STOP_ADDRESS,
    STOP_ATP,
    STOP_BY_ATP,
    STOP_BY_HGATP,
    STOP_ENTRY,
    STOP_GUEST_PHYSICAL,
    STOP_HGATP,
    STOP_HIGH,
    STOP_HOST_PHYSICAL,
    STOP_INTO_SHIFT,
    STOP_KIND,
    STOP_LINES,
    STOP_LOW,
    STOP_MODES_SHIFT,
    STOP_SPACE,
    STOP_WORDS,
    STOPPED,
    STOPS_BASE,
    STOPS_DATA,
    STOPS_END,
    STOPS_EPOCH,
    STOPS_EXEC,
    STOPS_HIGH,
    STOPS_LOW,
    STOPS_PHYSICAL,
    STOPS_SEEN,
    STOPS_TRAPS,
    STOPS_TRIGGERS,
    STOPS_WATCHES,
    TDATA1_0,
    TDATA2_0,
    TRIGGERS,
    U64,
    VSATP,
    VSSTATUS,
    V,
)
from rvhv.cpu.trap import CAUSE_BREAKPOINT, INTERRUPT, MIE_BIT, SIE, set_address_trap

U0, U1, U2, U6, U63 = (U64(n) for n in (0, 1, 2, 6, 63))
PAGE_OFFSET = U64(4095)
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
VIRTUAL = U0  # the space of virtual addresses
DATA = ACCESS_R | ACCESS_W
OP_STOP = U64(Special.STOP)
MODES_SHIFT = STOP_MODES_SHIFT
TYPE_SHIFT, MATCH_SHIFT, MATCH_MASK = U64(triggers.TYPE_SHIFT), U64(triggers.MATCH_SHIFT), U64(3)
MCONTROL, MCONTROL6 = U64(triggers.MCONTROL), U64(triggers.MCONTROL6)
MATCH_NAPOT, MATCH_GE, MATCH_LT = (U64(m) for m in (triggers.MATCH_NAPOT, triggers.MATCH_GE, triggers.MATCH_LT))
HIT, HIT0 = U64(triggers.HIT), U64(triggers.HIT0)
# the bits of tdata1 are in the order of the flags: load, store and execute as R, W and X; u, s, m and vu, vs as modes
TDATA1_KINDS = U64(triggers.LOAD | triggers.STORE | triggers.EXECUTE)
TDATA1_MODES, MODES_UP = U64(triggers.U_MODE | triggers.S_MODE | triggers.M_MODE), MODES_SHIFT - U64(3)
TDATA1_V_MODES, V_MODES_DOWN = U64(triggers.VU_MODE | triggers.VS_MODE), U64(23) - (MODES_SHIFT + U64(4))
FS_DIRTY = U64(3 << 13)
EVERY_LINE = U64(0xFFFF_FFFF_FFFF_FFFF)


@jit
def is_in_context(st, at, prv, virtual):  # type: ignore[no-untyped-def]
    """Whether the entry is for the current mode, and for the address space of an access made as (prv, virtual)."""
    flags = st[at]
    if (flags >> (MODES_SHIFT + st[PRV] + (st[V] << U2))) & U1 == U0:
        return False
    if flags & STOP_BY_HGATP != U0 and (virtual == U0 or st[HGATP] != st[at + STOP_HGATP]):
        return False
    if flags & STOP_BY_ATP != U0:
        if virtual != U0:
            return st[VSATP] == st[at + STOP_ATP]
        return prv != PRV_M and st[SATP] == st[at + STOP_ATP]
    return True


@jit
def find_stop(st, first, end, kinds, space, low, high, prv, virtual):  # type: ignore[no-untyped-def]
    """The first of the entries [first, end) that matches an access of these kinds to addresses low to high; else `end`."""
    i = first
    while i < end:
        at = STOPS_BASE + i * STOP_WORDS
        flags = st[at]
        if flags & kinds != U0 and flags & STOP_SPACE == space and st[at + STOP_LOW] <= high and st[at + STOP_HIGH] >= low:
            if is_in_context(st, at, prv, virtual):
                return i
        i += U1
    return end


@jit
def may_fire(st):  # type: ignore[no-untyped-def]
    """norm: the guest's triggers are held back where the exception would be taken in the mode that handles one already."""
    prv = st[PRV]
    if prv == PRV_M:
        return st[MSTATUS] & MIE_BIT != U0
    if prv != PRV_S or (st[MEDELEG] >> CAUSE_BREAKPOINT) & U1 == U0:
        return True
    if st[V] == U0:
        return st[MSTATUS] & SIE != U0
    return (st[HEDELEG] >> CAUSE_BREAKPOINT) & U1 == U0 or st[VSSTATUS] & SIE != U0


@jit
def fire(st, kinds, low, high, prv, virtual):  # type: ignore[no-untyped-def]
    """The guest's triggers: FAULT_TRAP when one matches. norm: each that does says so; tval is the access's address."""
    if st[STOPS_TRIGGERS] == U0:
        return FAULT_NONE
    i = find_stop(st, U0, TRIGGERS, kinds, VIRTUAL, low, high, prv, virtual)
    if i == TRIGGERS or not may_fire(st):
        return FAULT_NONE
    while i < TRIGGERS:
        st[TDATA1_0 + i] |= HIT if st[TDATA1_0 + i] >> TYPE_SHIFT == MCONTROL else HIT0
        i = find_stop(st, i + U1, TRIGGERS, kinds, VIRTUAL, low, high, prv, virtual)
    return set_address_trap(st, CAUSE_BREAKPOINT, low, virtual)


@jit
def passes(st, kinds):  # type: ignore[no-untyped-def]
    """Whether the host's entries let this instruction pass: they stopped it already, or its device access was made."""
    return st[STOPPED] & kinds != U0 or st[MMIO_ANSWER] != ANSWER_NONE


@jit
def stop(st, entry, kinds, address):  # type: ignore[no-untyped-def]
    """End `run` before the instruction, for an entry of the host."""
    st[STOP_ENTRY] = entry
    st[STOP_KIND] = st[STOPS_BASE + entry * STOP_WORDS] & kinds
    st[STOP_ADDRESS] = address
    return FAULT_STOP


@jit
def check_data(st, va, last, kinds, prv, virtual):  # type: ignore[no-untyped-def]
    """Before a data access to bytes va to last, made as (prv, virtual), is translated: FAULT_NONE, FAULT_STOP or FAULT_TRAP."""
    if not passes(st, DATA):
        end = st[STOPS_WATCHES]
        entry = find_stop(st, TRIGGERS, end, kinds, VIRTUAL, va, last, prv, virtual)
        if entry != end:
            return stop(st, entry, kinds, va)
    return fire(st, kinds, va, last, prv, virtual)


@jit
def check_physical(st, spa, gpa, size, kinds, prv, virtual):  # type: ignore[no-untyped-def]
    """Before the part of a data access that lies on one page is made: FAULT_NONE or FAULT_STOP."""
    if st[STOPS_PHYSICAL] == U0 or passes(st, DATA):
        return FAULT_NONE
    end = st[STOPS_WATCHES]
    entry = find_stop(st, TRIGGERS, end, kinds, STOP_HOST_PHYSICAL, spa, spa + size - U1, prv, virtual)
    if entry != end:
        return stop(st, entry, kinds, spa)
    if gpa != NO_GPA:
        entry = find_stop(st, TRIGGERS, end, kinds, STOP_GUEST_PHYSICAL, gpa, gpa + size - U1, prv, virtual)
        if entry != end:
            return stop(st, entry, kinds, gpa)
    return FAULT_NONE


@jit
def page_may_stop(st, va, spa, gpa, kinds, prv, virtual):  # type: ignore[no-untyped-def]
    """Whether a data access of one of these kinds to the page may stop: then it is cached with tags that nothing hits."""
    end = st[STOPS_WATCHES]
    if find_stop(st, U0, end, kinds, VIRTUAL, va & PAGE, va | PAGE_OFFSET, prv, virtual) != end:
        return True
    if st[STOPS_PHYSICAL] == U0:
        return False
    if find_stop(st, TRIGGERS, end, kinds, STOP_HOST_PHYSICAL, spa & PAGE, spa | PAGE_OFFSET, prv, virtual) != end:
        return True
    if gpa == NO_GPA:
        return False
    return find_stop(st, TRIGGERS, end, kinds, STOP_GUEST_PHYSICAL, gpa & PAGE, gpa | PAGE_OFFSET, prv, virtual) != end


@jit
def check_fetch(st, pc):  # type: ignore[no-untyped-def]
    """Before the instruction at pc is fetched: FAULT_NONE, FAULT_STOP or FAULT_TRAP. An entry matches where it starts."""
    prv, virtual = st[PRV], st[V]
    if not passes(st, ACCESS_X):
        end = st[STOPS_END]
        entry = find_stop(st, st[STOPS_WATCHES], end, ACCESS_X, VIRTUAL, pc, pc, prv, virtual)
        if entry != end:
            return stop(st, entry, ACCESS_X, pc)
    return fire(st, ACCESS_X, pc, pc, prv, virtual)


@jit
def mark_page(st, code, base, pc):  # type: ignore[no-untyped-def]
    """Mark the predecoded words at `base`, of the page of `pc`, that an entry may match in this mode."""
    page, last = pc & PAGE, pc | PAGE_OFFSET
    end = st[STOPS_END]
    i = find_stop(st, U0, end, ACCESS_X, VIRTUAL, page, last, st[PRV], st[V])
    while i < end:
        at = STOPS_BASE + i * STOP_WORDS
        drop_regions(code, base, EVERY_LINE)
        code[base + CODE_MARKED] = U1
        word = base + ((max(st[at + STOP_LOW], page) - page + U1) >> U1)
        stop_word = base + ((min(st[at + STOP_HIGH], last) - page) >> U1)
        while word <= stop_word:
            code[word] = OP_STOP
            word += U1
        i = find_stop(st, i + U1, end, ACCESS_X, VIRTUAL, page, last, st[PRV], st[V])


@jit
def find_catch(st, cause, into):  # type: ignore[no-untyped-def]
    """The first entry that catches the trap about to be taken into mode `into`; else where these entries end."""
    word = STOP_HIGH if cause & INTERRUPT != U0 else STOP_LOW
    code, end = cause & ~INTERRUPT, st[STOPS_TRAPS]
    i = st[STOPS_END]
    while i < end:
        at = STOPS_BASE + i * STOP_WORDS
        if (st[at + word] >> code) & (st[at] >> (STOP_INTO_SHIFT + into)) & U1 != U0 and is_in_context(st, at, st[PRV], st[V]):
            return i
        i += U1
    return end


@jit
def floats_may_change(st):  # type: ignore[no-untyped-def]
    """Whether a floating-point instruction may change a CSR that is watched: not one that traps, because FS is off; and not FS
    where that is dirty."""
    fs = st[MSTATUS] & FS_DIRTY
    guest = st[VSSTATUS] & FS_DIRTY if st[V] != U0 else FS_DIRTY
    if fs == U0 or guest == U0:
        return False
    return st[CSR_FLOATS] & CSR_SEES_FCSR != U0 or fs & guest != FS_DIRTY


@jit
def set_trigger_entry(st, i):  # type: ignore[no-untyped-def]
    """Entry i says what trigger i's CSRs say; its kinds."""
    tdata1, tdata2 = st[TDATA1_0 + i], st[TDATA2_0 + i]
    kind = tdata1 >> TYPE_SHIFT
    flags = U0
    if kind == MCONTROL or kind == MCONTROL6:
        flags = (tdata1 & TDATA1_KINDS) | ((tdata1 & TDATA1_MODES) << MODES_UP)
        if kind == MCONTROL6:
            flags |= (tdata1 & TDATA1_V_MODES) >> V_MODES_DOWN
    match = (tdata1 >> MATCH_SHIFT) & MATCH_MASK
    low, high = tdata2, tdata2
    if match == MATCH_NAPOT:
        within = tdata2 ^ (tdata2 + U1)  # up to the lowest zero
        low, high = tdata2 & ~within, tdata2 | within
    elif match == MATCH_GE:
        high = ~U0
    elif match == MATCH_LT:
        low, high = U0, tdata2 - U1
        if tdata2 == U0:
            flags = U0
    at = STOPS_BASE + i * STOP_WORDS
    st[at], st[at + STOP_LOW], st[at + STOP_HIGH] = flags, low, high
    return flags & TDATA1_KINDS


@jit
def lines_within(low, high):  # type: ignore[no-untyped-def]
    """The lines of a page that addresses low to high touch, in any page."""
    if high - low >= PAGE_OFFSET:
        return EVERY_LINE
    first, last = (low & PAGE_OFFSET) >> U6, (high & PAGE_OFFSET) >> U6
    from_first, to_last = EVERY_LINE << first, EVERY_LINE >> (U63 - last)
    return from_first & to_last if low & PAGE_OFFSET <= high & PAGE_OFFSET else from_first | to_last


@jit
def arm(st):  # type: ignore[no-untyped-def]
    """Have changes to the triggers and to the host's entries take effect. The caller flushes the TLB, and where this returns
    True, because execution entries came or went, gives up decoded code."""
    data, execution = st[STOPS_WATCHES] - TRIGGERS, st[STOPS_END] - st[STOPS_WATCHES]
    armed, physical = U0, U0
    i = U0
    while i < TRIGGERS:
        kinds = set_trigger_entry(st, i)
        if kinds != U0:
            armed += U1
        if kinds & DATA != U0:
            data += U1
        if kinds & ACCESS_X != U0:
            execution += U1
        i += U1
    low, high, lines = ~U0, U0, U0
    i = U0
    while i < st[STOPS_WATCHES]:
        at = STOPS_BASE + i * STOP_WORDS
        if st[at] & DATA != U0:
            lines |= lines_within(st[at + STOP_LOW], st[at + STOP_HIGH])
        if st[at] & STOP_SPACE != VIRTUAL:
            physical += U1
        elif st[at] & DATA != U0:
            low, high = min(low, st[at + STOP_LOW]), max(high, st[at + STOP_HIGH])
        i += U1
    st[STOPS_LOW], st[STOPS_HIGH], st[STOP_LINES] = low, high, lines
    changed = st[STOPS_EXEC] != U0 or execution != U0
    st[STOPS_DATA], st[STOPS_EXEC], st[STOPS_TRIGGERS], st[STOPS_PHYSICAL] = data, execution, armed, physical
    st[STOPS_SEEN] = st[STOPS_EPOCH]
    if changed:
        st[EXEC_EPOCH] += U1
    return changed
