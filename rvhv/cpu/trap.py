"""Traps: describing one, and entering a mode. The mode is a descriptor of slots, so that VS-mode is a row and not a copy."""

from __future__ import annotations

import numpy as np

from rvhv.cpu import causes
from rvhv.cpu.njit import jit
from rvhv.cpu.slots import (
    FAULT_TRAP,
    HIDELEG,
    MIDELEG,
    MIE,
    MSTATUS,
    NO_RESERVATION,
    PC,
    PRV,
    PRV_M,
    PRV_S,
    RESERVATION,
    TRAP_CAUSE,
    TRAP_GPA,
    TRAP_GVA,
    TRAP_OFFSET,
    TRAP_TINST,
    TRAP_TVAL,
    U64,
    VSSTATUS,
    V,
)
from rvhv.cpu.state import SLOT
from rvhv.isa.rows import Registry

U0, U1, U2, U3, U4 = (U64(n) for n in (0, 1, 2, 3, 4))
INTERRUPT = U64(1 << 63)

_rows = Registry()
causes.add_rows(_rows)


def cause_code(name: str, rows: Registry = _rows) -> np.uint64:
    """The code of a cause by its row's name."""
    return U64(rows.causes[name].code)


CAUSE_MISALIGNED_LOAD, CAUSE_MISALIGNED_STORE = cause_code("load_address_misaligned"), cause_code("store_address_misaligned")
CAUSE_ILLEGAL, CAUSE_BREAKPOINT = cause_code("illegal_instruction"), cause_code("breakpoint")
CAUSE_ECALL_U, CAUSE_ECALL_S, CAUSE_ECALL_M = (cause_code(f"ecall_{mode}") for mode in "usm")

# bits of the status registers
SIE, MIE_BIT, SPIE, MPIE, SPP = U64(1 << 1), U64(1 << 3), U64(1 << 5), U64(1 << 7), U64(1 << 8)
MPP, MPRV, GVA, MPV = U64(3 << 11), U64(1 << 17), U64(1 << 38), U64(1 << 39)
MPP_SHIFT, SPP_SHIFT, MPV_SHIFT = U64(11), U64(8), U64(39)

# slots of (epc, cause, tval, tvec) of each mode a trap can enter
M_SLOTS = tuple(U64(SLOT[n]) for n in ("mepc", "mcause", "mtval", "mtvec"))
HS_SLOTS = tuple(U64(SLOT[n]) for n in ("sepc", "scause", "stval", "stvec"))
VS_SLOTS = tuple(U64(SLOT[n]) for n in ("vsepc", "vscause", "vstval", "vstvec"))

TINST_NONE, TINST_TRANSFORM = U64(0), U64(1)  # else trap_tinst holds a pseudo-instruction


@jit
def set_trap(st, cause, tval):  # type: ignore[no-untyped-def]
    """Describe the trap that the current instruction raises; returns FAULT_TRAP."""
    st[TRAP_CAUSE] = cause
    st[TRAP_TVAL] = tval
    st[TRAP_GPA] = U0
    st[TRAP_TINST] = TINST_NONE
    st[TRAP_GVA] = U0
    st[TRAP_OFFSET] = U0
    return FAULT_TRAP


@jit
def set_address_trap(st, cause, gva, virtual):  # type: ignore[no-untyped-def]
    """The same when tval is an address; `virtual`: a guest virtual one, which sets GVA."""
    set_trap(st, cause, gva)
    st[TRAP_GVA] = virtual
    return FAULT_TRAP


@jit
def enter(st, slots, cause, tval):  # type: ignore[no-untyped-def]
    """Save pc and cause in the slots of the target mode and jump to its vector."""
    epc, cause_slot, tval_slot, tvec = slots
    st[epc] = st[PC]
    st[cause_slot] = cause
    st[tval_slot] = tval
    vector = st[tvec]
    base = vector & ~U3
    if vector & U1 != U0 and cause & INTERRUPT != U0:
        base += U4 * (cause & ~INTERRUPT)
    st[PC] = base
    st[RESERVATION] = NO_RESERVATION


@jit
def push_s_status(st, slot, prv):  # type: ignore[no-untyped-def]
    """sstatus or vsstatus on entry: SPP = the mode left, SPIE = SIE, SIE = 0."""
    status = st[slot]
    enabled = status & SIE
    status &= ~(SIE | SPIE | SPP)
    status |= (enabled << U4) | ((prv & U1) << SPP_SHIFT)
    st[slot] = status


@jit
def push_m_status(st, prv, virtual, gva):  # type: ignore[no-untyped-def]
    status = st[MSTATUS]
    enabled = status & MIE_BIT
    status &= ~(MIE_BIT | MPIE | MPP | MPV | GVA)
    status |= (enabled << U4) | (prv << MPP_SHIFT) | (virtual << MPV_SHIFT)
    if gva != U0:
        status |= GVA
    st[MSTATUS] = status


@jit
def highest(pending):  # type: ignore[no-untyped-def]
    """The interrupt of highest priority among those pending for one mode, as a cause code (norm: MEI MSI MTI SEI
    SSI STI SGEI VSEI VSSI VSTI).
    """
    for code in (U64(11), U64(3), U64(7), U64(9), U64(1), U64(5), U64(12), U64(10), U64(2), U64(6)):
        if (pending >> code) & U1 != U0:
            return code
    return U0


@jit
def interrupt_to_take(st, pending):  # type: ignore[no-untyped-def]
    """The cause of the interrupt that must be taken before the next instruction, or 0."""
    ready = pending & st[MIE]
    if ready == U0:
        return U0
    prv = st[PRV]
    virtual = st[V]
    to_m = ready & ~st[MIDELEG]
    if to_m != U0 and (prv != PRV_M or st[MSTATUS] & MIE_BIT != U0):
        return INTERRUPT | highest(to_m)
    if prv == PRV_M:
        return U0
    to_hs = ready & st[MIDELEG] & ~st[HIDELEG]
    if to_hs != U0 and (virtual != U0 or prv != PRV_S or st[MSTATUS] & SIE != U0):
        return INTERRUPT | highest(to_hs)
    to_vs = ready & st[MIDELEG] & st[HIDELEG]
    if to_vs != U0 and virtual != U0 and (prv != PRV_S or st[VSSTATUS] & SIE != U0):
        return INTERRUPT | highest(to_vs)
    return U0
