"""Taking a trap: which mode it goes to (medeleg, hedeleg and their interrupt twins) and what HS-mode and M-mode
learn of a guest.
"""

from __future__ import annotations

from rvhv.cpu.njit import jit
from rvhv.cpu.slots import (
    EXIT_BUDGET,
    EXIT_HS,
    EXIT_M,
    HEDELEG,
    HIDELEG,
    HS_HOOK,
    HSTATUS,
    HTINST,
    HTVAL,
    M_HOOK,
    MEDELEG,
    MIDELEG,
    MSTATUS,
    MTINST,
    MTVAL2,
    PC,
    PRV,
    PRV_M,
    PRV_S,
    RAW,
    RAW_PACKED,
    TRACE_BASE,
    TRACE_HEAD,
    TRACE_VM,
    TRACE_WORDS,
    TRAP_CAUSE,
    TRAP_GPA,
    TRAP_GVA,
    TRAP_OFFSET,
    TRAP_TINST,
    TRAP_TVAL,
    U64,
    VM_STEPS,
    VSSTATUS,
    V,
)
from rvhv.cpu.trap import (
    CAUSE_ILLEGAL,
    HS_SLOTS,
    INTERRUPT,
    M_SLOTS,
    TINST_NONE,
    TINST_TRANSFORM,
    VS_SLOTS,
    enter,
    push_m_status,
    push_s_status,
)
from rvhv.hext.cause_codes import (
    CAUSE_FETCH_GUEST_PAGE,
    CAUSE_LOAD_GUEST_PAGE,
    CAUSE_STORE_GUEST_PAGE,
    CAUSE_VIRTUAL,
)
from rvhv.hext.tinst import transformed

U0, U1, U2, U3, U4 = (U64(n) for n in range(5))
HSTATUS_GVA, HSTATUS_SPV, HSTATUS_SPVP = U64(1 << 6), U64(1 << 7), U64(1 << 8)
SPVP_SHIFT = U64(8)
TO_M, TO_HS, TO_VS = U0, U1, U2


@jit
def is_guest_page_fault(cause):  # type: ignore[no-untyped-def]
    return cause == CAUSE_FETCH_GUEST_PAGE or cause == CAUSE_LOAD_GUEST_PAGE or cause == CAUSE_STORE_GUEST_PAGE


@jit
def target_mode(st, cause):  # type: ignore[no-untyped-def]
    """The mode that handles `cause` raised in the current one."""
    code = cause & ~INTERRUPT
    by_m, by_hs = (st[MIDELEG], st[HIDELEG]) if cause & INTERRUPT != U0 else (st[MEDELEG], st[HEDELEG])
    if st[PRV] == PRV_M or (by_m >> code) & U1 == U0:
        return TO_M
    if st[V] != U0 and (by_hs >> code) & U1 != U0:
        return TO_VS
    return TO_HS


@jit
def record(st, cause, gpa):  # type: ignore[no-untyped-def]
    """Append the trap to the trace ring: vm, cause, pc, gpa, the VM's own steps."""
    at = st[TRACE_BASE] + st[TRACE_HEAD] * TRACE_WORDS
    st[at] = st[TRACE_VM]
    st[at + U1] = cause
    st[at + U2] = st[PC]
    st[at + U3] = gpa
    st[at + U4] = st[VM_STEPS]
    st[TRACE_HEAD] += U1


@jit
def deliver(st, tab):  # type: ignore[no-untyped-def]
    """Take the trap that the trap_* slots describe, at pc.

    EXIT_HS or EXIT_M when it went to a mode that Python plays, else EXIT_BUDGET.
    """
    cause = st[TRAP_CAUSE]
    tval = st[TRAP_TVAL]
    if cause == CAUSE_ILLEGAL or cause == CAUSE_VIRTUAL:
        tval = st[RAW]
    gpa = U0
    tinst = U0
    if is_guest_page_fault(cause):
        gpa = st[TRAP_GPA]
        tinst = st[TRAP_TINST]
        if tinst == TINST_TRANSFORM:
            tinst = transformed(tab, st[RAW], st[RAW_PACKED], st[TRAP_OFFSET]) if cause != CAUSE_FETCH_GUEST_PAGE else TINST_NONE
    prv, virtual = st[PRV], st[V]
    target = target_mode(st, cause)
    leave = EXIT_BUDGET
    if target == TO_HS and st[HS_HOOK] != U0:
        leave = EXIT_HS
    elif target == TO_M and st[M_HOOK] != U0:
        leave = EXIT_M
    if leave != EXIT_BUDGET or st[HS_HOOK] == U0:
        record(st, cause, gpa)
    if target == TO_VS:
        push_s_status(st, VSSTATUS, prv)
        # norm: a VS interrupt's code is that of the S interrupt it stands for
        enter(st, VS_SLOTS, cause - U1 if cause & INTERRUPT != U0 else cause, tval)
        st[PRV] = PRV_S
    elif target == TO_HS:
        push_s_status(st, MSTATUS, prv)
        hstatus = st[HSTATUS] & ~(HSTATUS_GVA | HSTATUS_SPV)
        if virtual != U0:
            hstatus = (hstatus & ~HSTATUS_SPVP) | HSTATUS_SPV | ((prv & U1) << SPVP_SHIFT)
        if st[TRAP_GVA] != U0:
            hstatus |= HSTATUS_GVA
        st[HSTATUS] = hstatus
        st[HTVAL] = gpa >> U2
        st[HTINST] = tinst
        enter(st, HS_SLOTS, cause, tval)
        st[PRV] = PRV_S
        st[V] = U0
    else:
        push_m_status(st, prv, virtual, st[TRAP_GVA])
        st[MTVAL2] = gpa >> U2
        st[MTINST] = tinst
        enter(st, M_SLOTS, cause, tval)
        st[PRV] = PRV_M
        st[V] = U0
    return leave
