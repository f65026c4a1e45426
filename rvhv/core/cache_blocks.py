"""Zicbom and Zicboz: who may execute them, and the access to a block (Unprivileged ISA, "CSR controls for CMO instructions")."""

from __future__ import annotations

from rvhv.core.access import check_stops, locate
from rvhv.core.privileged import illegal, virtual_instruction
from rvhv.cpu import cache_blocks
from rvhv.cpu.frames import store_phys
from rvhv.cpu.njit import jit
from rvhv.cpu.pmp import pmp_rights
from rvhv.cpu.slots import (
    ACCESS_R,
    ACCESS_W,
    FAULT_MMIO,
    FAULT_NONE,
    FAULT_STOP,
    HENVCFG,
    MENVCFG,
    NO_GPA,
    PRV,
    PRV_M,
    PRV_U,
    SENVCFG,
    STOPS_DATA,
    TRAP_CAUSE,
    U64,
    WALK_GPA,
    WALK_SPA,
    V,
)
from rvhv.cpu.stops import check_physical
from rvhv.hext.two_stage import VIA_DATA, data_mode, refuse_device

U0, U1, U2, U8 = U64(0), U64(1), U64(2), U64(8)
BLOCK = U64(cache_blocks.BLOCK_BYTES)
WITHIN_BLOCK = U64(cache_blocks.BLOCK_BYTES - 1)
CBZE = U64(cache_blocks.CBZE)
LOAD_TO_STORE = U2  # from the cause of a load's fault to the store's: 5 to 7, 13 to 15, 21 to 23


@jit
def check_enabled(st, field):  # type: ignore[no-untyped-def]
    """norm: menvcfg enables it below M-mode, henvcfg in VS-mode and VU-mode, senvcfg in U-mode and VU-mode."""
    prv = st[PRV]
    if prv == PRV_M:
        return FAULT_NONE
    refused_by_s = prv == PRV_U and st[SENVCFG] & field == U0
    if st[MENVCFG] & field == U0 or (st[V] == U0 and refused_by_s):
        return illegal(st)
    if st[V] != U0 and (refused_by_s or st[HENVCFG] & field == U0):
        return virtual_instruction(st)
    return FAULT_NONE


@jit
def cache_block(st, ram, fr, code, va, field):  # type: ignore[no-untyped-def]
    """The cbo instruction that `field` of the envcfg registers enables, on the block that `va` lies in.

    norm:cbm_access: all but cbo.zero are permitted where a load is (a store needs more); norm:cbm_unperm_fault: what is not
    permitted is a store's fault; norm:fault_excep_csr: its tval is `va` itself."""
    fault = check_enabled(st, field)
    if fault != FAULT_NONE:
        return fault
    zero = field == CBZE
    access = ACCESS_W if zero else ACCESS_R
    # norm: to triggers, and here to watchpoints, each of them is a store to the whole block
    fault = check_stops(st, va & ~WITHIN_BLOCK, BLOCK, ACCESS_W, VIA_DATA)
    if fault != FAULT_NONE:
        return fault
    fault = locate(st, ram, fr, code, va, U1, access, ACCESS_W, VIA_DATA)
    block = st[WALK_SPA] & ~WITHIN_BLOCK
    prv, virtual = data_mode(st, VIA_DATA)
    if fault == FAULT_NONE and st[STOPS_DATA] != U0:
        gpa = st[WALK_GPA] if st[WALK_GPA] == NO_GPA else st[WALK_GPA] & ~WITHIN_BLOCK
        fault = check_physical(st, block, gpa, BLOCK, ACCESS_W, prv, virtual)
    if fault == FAULT_STOP:
        return fault
    if fault == FAULT_MMIO or (fault == FAULT_NONE and pmp_rights(st, block, BLOCK, prv) & access == U0):
        return refuse_device(st, va, ACCESS_W, VIA_DATA)  # no memory, or not all of the block may be accessed
    if fault != FAULT_NONE:
        if not zero:
            st[TRAP_CAUSE] += LOAD_TO_STORE
        return fault
    if zero:
        i = U0
        while i < BLOCK:
            fault |= store_phys(st, ram, fr, code, block + i, U0, U8)
            i += U8
    return fault
