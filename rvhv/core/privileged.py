"""The named helpers of system instructions: what they check, and what they do. Each returns a fault code and sets
pc when it retires itself.
"""

from __future__ import annotations

from rvhv.cpu.clock import pending_now
from rvhv.cpu.log import log
from rvhv.cpu.njit import jit
from rvhv.cpu.predecode import (
    CSR_PLAIN_SHIFT,
    CSR_PRIVILEGE_SHIFT,
    CSR_READ_ONLY_SHIFT,
    CSR_ROW_MASK,
    CSR_VS_SHIFT,
    TABLE_CSR,
    TABLE_STORAGE,
)
from rvhv.cpu.slots import (
    FAULT_NONE,
    FAULT_REFRESH,
    FAULT_WFI,
    FENCE_FENCE_I,
    HGATP,
    HSTATUS,
    LOG_ATP,
    LOG_END,
    LOG_FENCE,
    MEPC,
    MIE,
    MSTATUS,
    NO_RESERVATION,
    PC,
    PRV,
    PRV_M,
    PRV_S,
    PRV_U,
    RESERVATION,
    SATP,
    SEPC,
    U64,
    VSATP,
    VSEPC,
    VSSTATUS,
    V,
)
from rvhv.cpu.tlb import flush_all
from rvhv.cpu.trap import (
    CAUSE_BREAKPOINT,
    CAUSE_ECALL_M,
    CAUSE_ECALL_S,
    CAUSE_ECALL_U,
    CAUSE_ILLEGAL,
    MIE_BIT,
    MPIE,
    MPP,
    MPP_SHIFT,
    MPRV,
    MPV,
    MPV_SHIFT,
    SIE,
    SPIE,
    SPP,
    SPP_SHIFT,
    set_address_trap,
    set_trap,
)
from rvhv.hext.cause_codes import CAUSE_ECALL_VS, CAUSE_VIRTUAL
from rvhv.hext.deliver import HSTATUS_SPV

U0, U1, U2, U3, U4, U7, U8 = (U64(n) for n in (0, 1, 2, 3, 4, 7, 8))
TVM, TW, TSR = U64(1 << 20), U64(1 << 21), U64(1 << 22)
VTVM, VTW, VTSR = TVM, TW, TSR  # hstatus keeps them in the same places
HU = U64(1 << 9)
CSR_SATP, CSR_VSATP, CSR_HGATP = U64(0x180), U64(0x280), U64(0x680)
ROW_MASK = U64(CSR_ROW_MASK)
PRIVILEGE_SHIFT, READ_ONLY_SHIFT, PLAIN_SHIFT, VS_SHIFT = (
    U64(n) for n in (CSR_PRIVILEGE_SHIFT, CSR_READ_ONLY_SHIFT, CSR_PLAIN_SHIFT, CSR_VS_SHIFT)
)
TABLE, STORAGE = U64(TABLE_CSR), U64(TABLE_STORAGE)
LEVEL_M, LEVEL_HS, LEVEL_S, LEVEL_U = U3, U2, U1, U0


@jit
def illegal(st):  # type: ignore[no-untyped-def]
    return set_trap(st, CAUSE_ILLEGAL, U0)


@jit
def virtual_instruction(st):  # type: ignore[no-untyped-def]
    return set_trap(st, CAUSE_VIRTUAL, U0)


@jit
def csr_word(tab, number):  # type: ignore[no-untyped-def]
    return tab[TABLE + number]


@jit
def csr_row(st, word):  # type: ignore[no-untyped-def]
    """Index of the row that an access reaches: with V=1 the VS copy stands for the S register."""
    return ((word >> VS_SHIFT) if st[V] != U0 else word & ROW_MASK) - U1


@jit
def csr_is_stored(tab, row):  # type: ignore[no-untyped-def]
    """Whether a slot, fixed bits and a write mask say all about a row; else its expressions do."""
    return tab[STORAGE + row * U4] != U0


@jit
def stored_read(st, tab, row):  # type: ignore[no-untyped-def]
    at = STORAGE + row * U4
    return st[tab[at] - U1] | tab[at + U1]


@jit
def stored_write(st, tab, row, value):  # type: ignore[no-untyped-def]
    at = STORAGE + row * U4
    slot, mask = tab[at] - U1, tab[at + U2]
    st[slot] = (st[slot] & ~mask) | (value & mask)


@jit
def csr_is_plain(word):  # type: ignore[no-untyped-def]
    return (word >> PLAIN_SHIFT) & U1 != U0


@jit
def csr_exists(st, word, writes):  # type: ignore[no-untyped-def]
    """What no mode but M may do: access a CSR that is not there, write a read-only one, access one of M-mode's."""
    if word == U0 or (writes != U0 and (word >> READ_ONLY_SHIFT) & U1 != U0):
        return illegal(st)
    if (word >> PRIVILEGE_SHIFT) & U3 == LEVEL_M and st[PRV] != PRV_M:
        return illegal(st)
    return FAULT_NONE


@jit
def csr_reach(st, word):  # type: ignore[no-untyped-def]
    """Privilege by number, after the guards. norm: a virtual instruction is what HS-mode could do, which the guards have
    ruled on by now, and VS- or VU-mode may not.
    """
    level = (word >> PRIVILEGE_SHIFT) & U3
    prv = st[PRV]
    if level == LEVEL_U or prv == PRV_M:
        return FAULT_NONE
    if st[V] != U0:
        if level == LEVEL_HS or prv == PRV_U:
            return virtual_instruction(st)
        return FAULT_NONE
    return FAULT_NONE if prv == PRV_S else illegal(st)


@jit
def ecall(st, pc, npc):  # type: ignore[no-untyped-def]
    prv = st[PRV]
    if prv == PRV_U:
        return set_trap(st, CAUSE_ECALL_U, U0)
    if prv == PRV_M:
        return set_trap(st, CAUSE_ECALL_M, U0)
    return set_trap(st, CAUSE_ECALL_VS if st[V] != U0 else CAUSE_ECALL_S, U0)


@jit
def ebreak(st, pc, npc):  # type: ignore[no-untyped-def]
    return set_address_trap(st, CAUSE_BREAKPOINT, pc, st[V])


@jit
def pop_s_status(st, slot):  # type: ignore[no-untyped-def]
    """SIE = SPIE, SPIE = 1, SPP = U; returns the mode to go to."""
    status = st[slot]
    prv = (status & SPP) >> SPP_SHIFT
    enabled = (status & SPIE) >> U4
    st[slot] = (status & ~(SIE | SPP)) | enabled | SPIE
    return prv


@jit
def return_from_hs(st):  # type: ignore[no-untyped-def]
    """sret outside a VM: V = hstatus.SPV. Also how Python, being the HS-mode software, resumes a guest."""
    hstatus = st[HSTATUS]
    prv = pop_s_status(st, MSTATUS)
    st[MSTATUS] &= ~MPRV
    st[V] = U1 if hstatus & HSTATUS_SPV != U0 else U0
    st[HSTATUS] = hstatus & ~HSTATUS_SPV
    st[PRV] = prv
    st[PC] = st[SEPC]
    st[RESERVATION] = NO_RESERVATION


@jit
def sret(st, pc, npc):  # type: ignore[no-untyped-def]
    prv = st[PRV]
    if st[V] != U0:
        if prv == PRV_U or st[HSTATUS] & VTSR != U0:
            return virtual_instruction(st)
        st[PRV] = pop_s_status(st, VSSTATUS)
        st[PC] = st[VSEPC]
        st[RESERVATION] = NO_RESERVATION
        return FAULT_REFRESH
    if prv == PRV_U or (prv == PRV_S and st[MSTATUS] & TSR != U0):
        return illegal(st)
    return_from_hs(st)
    return FAULT_REFRESH


@jit
def return_from_m(st):  # type: ignore[no-untyped-def]
    """mret. Also how Python, being the M-mode firmware, resumes what runs on it."""
    status = st[MSTATUS]
    prv = (status & MPP) >> MPP_SHIFT
    virtual = (status & MPV) >> MPV_SHIFT
    enabled = (status & MPIE) >> U4
    status = (status & ~(MIE_BIT | MPP | MPV)) | enabled | MPIE
    if prv != PRV_M:
        status &= ~MPRV
    st[MSTATUS] = status
    st[PRV] = prv
    st[V] = virtual if prv != PRV_M else U0
    st[PC] = st[MEPC]
    st[RESERVATION] = NO_RESERVATION


@jit
def mret(st, pc, npc):  # type: ignore[no-untyped-def]
    if st[PRV] != PRV_M:
        return illegal(st)
    return_from_m(st)
    return FAULT_REFRESH


@jit
def wfi(st, pc, npc):  # type: ignore[no-untyped-def]
    """Legal where nothing above forbids it; it waits until an interrupt that is enabled pends, whatever the global
    enables say.
    """
    prv = st[PRV]
    if prv != PRV_M:
        if st[MSTATUS] & TW != U0:
            return illegal(st)
        if st[V] != U0:
            if prv == PRV_U or st[HSTATUS] & VTW != U0:
                return virtual_instruction(st)
        elif prv == PRV_U:
            return illegal(st)
    st[PC] = npc
    return FAULT_REFRESH if pending_now(st) & st[MIE] != U0 else FAULT_WFI


@jit
def wrs_nto(st, pc, npc):  # type: ignore[no-untyped-def]
    """A stall that ends at once (norm:Zawrs_stall_terminate); where TW or VTW bound it, to zero: what would stall traps."""
    would_stall = st[RESERVATION] != NO_RESERVATION and pending_now(st) & st[MIE] == U0
    if would_stall and st[PRV] != PRV_M:
        if st[MSTATUS] & TW != U0:
            return illegal(st)
        if st[V] != U0 and st[HSTATUS] & VTW != U0:
            return virtual_instruction(st)
    return FAULT_NONE


@jit
def note_fence(st, fault, pc, kind, rs1_index, rs1, rs2_index, rs2):  # type: ignore[no-untyped-def]
    """A fence that did not trap orders what is known to be in order. With a log, what is used behind it walks again, so that
    the log says what a hart may have cached since.
    """
    if fault == FAULT_NONE and st[LOG_END] != U0:
        log(st, LOG_FENCE, pc, kind, rs1_index | (rs2_index << U8), rs1, rs2, st[HGATP], st[V])
        flush_all(st)
    return fault


@jit
def note_csr(st, pc, number):  # type: ignore[no-untyped-def]
    """A CSR that translation may depend on was written. With a log, walk again as after a fence."""
    if st[LOG_END] != U0 and (number == CSR_SATP or number == CSR_VSATP or number == CSR_HGATP):
        log(st, LOG_ATP, pc, number, st[SATP], st[VSATP], st[HGATP], st[V], U0)
        flush_all(st)


@jit
def fence_i(st, pc, npc):  # type: ignore[no-untyped-def]
    return note_fence(st, FAULT_NONE, pc, FENCE_FENCE_I, U0, U0, U0, U0)


@jit
def sfence_vma(st, pc, npc, kind, rs1_index, rs1, rs2_index, rs2):  # type: ignore[no-untyped-def]
    prv = st[PRV]
    fault = FAULT_NONE
    if st[V] != U0:
        if prv == PRV_U or st[HSTATUS] & VTVM != U0:
            fault = virtual_instruction(st)
    elif prv == PRV_U or (prv == PRV_S and st[MSTATUS] & TVM != U0):
        fault = illegal(st)
    return note_fence(st, fault, pc, kind, rs1_index, rs1, rs2_index, rs2)


@jit
def sfence_inval(st, pc, npc, kind):  # type: ignore[no-untyped-def]
    """sfence.w.inval and sfence.inval.ir. norm:Svinval_sfence_w_inval_inval_s_vs_mode: TVM and VTVM do not matter."""
    fault = FAULT_NONE
    if st[PRV] == PRV_U:
        fault = virtual_instruction(st) if st[V] != U0 else illegal(st)
    return note_fence(st, fault, pc, kind, U0, U0, U0, U0)


@jit
def hfence(st):  # type: ignore[no-untyped-def]
    """Who may execute a fence of the hypervisor."""
    if st[V] != U0:
        return virtual_instruction(st)
    return illegal(st) if st[PRV] == PRV_U else FAULT_NONE


@jit
def hfence_vvma(st, pc, npc, kind, rs1_index, rs1, rs2_index, rs2):  # type: ignore[no-untyped-def]
    return note_fence(st, hfence(st), pc, kind, rs1_index, rs1, rs2_index, rs2)


@jit
def hfence_gvma(st, pc, npc, kind, rs1_index, rs1, rs2_index, rs2):  # type: ignore[no-untyped-def]
    fault = hfence(st)
    if fault == FAULT_NONE and st[PRV] == PRV_S and st[MSTATUS] & TVM != U0:
        fault = illegal(st)
    return note_fence(st, fault, pc, kind, rs1_index, rs1, rs2_index, rs2)


@jit
def hypervisor_access(st):  # type: ignore[no-untyped-def]
    """Who may execute HLV, HLVX and HSV: M- and HS-mode, and U-mode when hstatus.HU is set."""
    if st[V] != U0:
        return virtual_instruction(st)
    if st[PRV] == PRV_U and st[HSTATUS] & HU == U0:
        return illegal(st)
    return FAULT_NONE
