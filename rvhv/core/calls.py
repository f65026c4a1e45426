"""SBI calls that need no Python: the machine answers them for the HS-mode or M-mode software that Python plays.

That software says which (`rvhv.hart.Hart.answer_calls`); it has EIDs, FIDs and its own answers in `rvhv/sbi/`, and what
happens here is what it would have done, to the last register and step. Whatever is not plain (a hart that is not there, an
interrupt to another one) is left to it.
"""

from __future__ import annotations

from rvhv.core.privileged import return_from_hs, return_from_m
from rvhv.cpu import csrs
from rvhv.cpu.njit import jit
from rvhv.cpu.slots import (
    ALL_HARTS,
    CALL_COST,
    CALL_FENCE,
    CALL_HARTS,
    CALL_LEGACY,
    CALL_NONE,
    CALL_SEND_IPI,
    CALL_SET_TIMER,
    CALL_WORDS,
    CALLS,
    CALLS_BASE,
    CLOCK,
    EXIT_HS,
    MCAUSE,
    MEPC,
    MHARTID,
    SCAUSE,
    SEPC,
    SLICE_END,
    STEPS,
    TRAPS_IN_A_ROW,
    U64,
    X10,
    X11,
    X16,
    X17,
)
from rvhv.cpu.state import SLOT
from rvhv.cpu.trap import CAUSE_ECALL_S
from rvhv.hext.cause_codes import CAUSE_ECALL_VS

U0, U1, U2, U63 = (U64(n) for n in (0, 1, 2, 63))
ECALL_LENGTH = U64(4)
SUCCESS = U0  # SBI_SUCCESS
NO_HARTS = U64((1 << 64) - 1)
# of whom is served: where the time of its timer is, and the slot and bit of its software interrupt
OF_VS_MODE = (U64(SLOT["vstimecmp"]), U64(SLOT["hvip"]), U64(csrs.VSSIP))
OF_S_MODE = (U64(SLOT["stimecmp"]), U64(SLOT["mip"]), U64(csrs.SSIP))


@jit
def find_call(st, eid, fid):  # type: ignore[no-untyped-def]
    """What a call does, as its row has it, or CALL_NONE."""
    at = CALLS_BASE
    end = at + st[CALLS] * CALL_WORDS
    while at < end:
        if st[at] == eid:
            what = st[at + U2]
            if what & CALL_LEGACY != U0 or st[at + U1] == fid:
                return what
        at += CALL_WORDS
    return CALL_NONE


@jit
def named_harts(st, mask, base):  # type: ignore[no-untyped-def]
    """A bit for each hart that a hart mask names, or NO_HARTS where Python must look at it."""
    harts = st[CALL_HARTS]
    if base == ALL_HARTS:
        return (U1 << harts) - U1
    if base >= harts or mask >> (harts - base) != U0:
        return NO_HARTS
    return mask << base


@jit
def serve(st, whom):  # type: ignore[no-untyped-def]
    """Do what a0 to a2, a6 and a7 ask for, or nothing at all (False)."""
    timer, pending, software = whom
    what = find_call(st, st[X17], st[X16])
    call = what & ~CALL_LEGACY
    if call == CALL_SET_TIMER:
        st[timer] = st[X10]
    elif call == CALL_SEND_IPI:
        harts = named_harts(st, st[X10], st[X11])
        own = U1 << st[MHARTID]
        if harts & ~own != U0:
            return False
        if harts != U0:
            st[pending] |= software
    elif call != CALL_FENCE or (what & CALL_LEGACY == U0 and named_harts(st, st[X10], st[X11]) == NO_HARTS):
        return False
    st[X10] = SUCCESS
    if what & CALL_LEGACY == U0:
        st[X11] = U0
    return True


@jit
def answer(st, leave):  # type: ignore[no-untyped-def]
    """After a trap to the mode that Python plays (EXIT_HS or EXIT_M): answer the call and return from it. False: it is
    Python's."""
    if st[CALLS] == U0:
        return False
    if leave == EXIT_HS:
        if st[SCAUSE] != CAUSE_ECALL_VS or not serve(st, OF_VS_MODE):
            return False
        st[SEPC] += ECALL_LENGTH
        return_from_hs(st)
    else:
        if st[MCAUSE] != CAUSE_ECALL_S or not serve(st, OF_S_MODE):
            return False
        st[MEPC] += ECALL_LENGTH
        return_from_m(st)
    st[TRAPS_IN_A_ROW] = U0
    return True


@jit
def charge(st, end):  # type: ignore[no-untyped-def]
    """What an answered call costs; returns the value of `steps` at which a run that was to end at `end` is over now."""
    cost = st[CALL_COST]
    if cost == U0:
        return end
    st[CLOCK] += cost
    st[SLICE_END] -= cost
    if (st[SLICE_END] - st[STEPS]) >> U63 != U0:
        return st[STEPS]
    return min(end, st[SLICE_END])
