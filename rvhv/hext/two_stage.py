"""The composed TLB miss: VS-stage, G-stage, or one stage, chosen by who accesses (Privileged ISA, "Two-Stage Address
Translation").

A fault of an access to a VS-stage table is reported with the cause of the original access, its guest physical
address, and the pseudo-instruction in htinst.
"""

from __future__ import annotations

from rvhv.cpu.log import log
from rvhv.cpu.njit import jit
from rvhv.cpu.pmp import protect
from rvhv.cpu.slots import (
    ACCESS_HLVX,
    ACCESS_R,
    ACCESS_W,
    ACCESS_X,
    ALL_RIGHTS,
    ANSWER_NONE,
    ANSWER_REFUSED,
    BUS,
    FAULT_MMIO,
    FAULT_NONE,
    FAULT_TRAP,
    HENVCFG,
    HGATP,
    HSTATUS,
    LOG_END,
    LOG_PTE,
    LOG_USE,
    LOGSTAGE_VS,
    MENVCFG,
    MMIO_ANSWER,
    MMIO_SIZE,
    MMIO_SPA,
    MMIO_VALUE,
    MMIO_WRITE,
    MSTATUS,
    PC,
    PRV,
    PRV_M,
    SATP,
    SECOND,
    SECOND_OFFSET,
    SECOND_PAGE,
    SECOND_SERIAL,
    SECOND_WORDS,
    SERIAL,
    TRAP_GPA,
    TRAP_OFFSET,
    TRAP_TINST,
    U64,
    VALUE,
    VSATP,
    VSSTATUS,
    WALK_PTE,
    WALK_RIGHTS,
    WALK_SPA,
    V,
)
from rvhv.cpu.tlb import SECOND_MASK
from rvhv.cpu.trap import MPP, MPP_SHIFT, MPRV, MPV_SHIFT, TINST_TRANSFORM, cause_code, set_address_trap
from rvhv.cpu.walk import (
    HOW_ADUE,
    HOW_MXR,
    HOW_PBMTE,
    HOW_SUM,
    HOW_USER,
    HOW_WIDE,
    PAGE_BITS,
    PPN,
    PTE_BYTES,
    PTE_PPN,
    WALK_ACCESS_FAULT,
    WALK_GUEST_FAULT,
    WALK_OK,
    WALK_PAGE_FAULT,
    WALK_UPDATE,
    in_ram,
    is_canonical,
    levels_of,
    pte_is_bad,
    pte_is_leaf,
    read_pte,
    table_index,
    take_leaf,
    walk,
    write_pte,
)
from rvhv.hext.cause_codes import CAUSE_FETCH_GUEST_PAGE, CAUSE_LOAD_GUEST_PAGE, CAUSE_STORE_GUEST_PAGE

U0, U1, U2, U8, U9, U10, U16 = (U64(n) for n in (0, 1, 2, 8, 9, 10, 16))
SUM, MXR = U64(1 << 18), U64(1 << 19)
MODE_SHIFT = U64(60)
PAGE, PAGE_OFFSET = U64(0xFFFF_FFFF_FFFF_F000), U64(4095)
OF_G_STAGE = U64(1 << 63)  # beside the serial: the page is a gpa
ENVCFG_ADUE, ENVCFG_PBMTE = U64(1 << 61), U64(1 << 62)
SPVP_SHIFT = U64(8)
PSEUDO_READ, PSEUDO_WRITE = U64(0x3000), U64(0x3020)  # htinst for an implicit access to a VS-stage PTE on RV64

# how an access is made: as the current mode, or by HLV / HLVX / HSV on behalf of a guest
VIA_DATA, VIA_HLV, VIA_HLVX, VIA_HSV = (U64(n) for n in range(4))


# causes by the kind of access: fetch, load, store
PAGE_FAULTS = tuple(cause_code(f"{access}_page_fault") for access in ("instruction", "load", "store"))
ACCESS_FAULTS = tuple(cause_code(f"{access}_access_fault") for access in ("instruction", "load", "store"))
GUEST_PAGE_FAULTS = (CAUSE_FETCH_GUEST_PAGE, CAUSE_LOAD_GUEST_PAGE, CAUSE_STORE_GUEST_PAGE)


@jit
def cause_of(access, causes):  # type: ignore[no-untyped-def]
    fetch, load, store = causes
    return fetch if access == ACCESS_X else store if access == ACCESS_W else load


@jit
def walk_g_stage(st, ram, fr, code, gpa, how, access):  # type: ignore[no-untyped-def]
    """gpa to spa through hgatp. WALK_GUEST_FAULT where a one-stage walk says page fault. norm: all its accesses count as
    user-level, so every leaf needs U = 1.
    """
    hgatp = st[HGATP]
    mode = hgatp >> MODE_SHIFT
    if mode == U0:
        st[WALK_SPA] = gpa
        st[WALK_RIGHTS] = ALL_RIGHTS
        return WALK_OK
    if gpa >> (PAGE_BITS + U9 * levels_of(mode) + U2) != U0:
        return WALK_GUEST_FAULT
    result = walk(st, ram, fr, code, hgatp & PPN, mode, gpa, how | HOW_USER | HOW_WIDE, access)
    return WALK_GUEST_FAULT if result == WALK_PAGE_FAULT else result


@jit
def locate_table(st, ram, fr, code, gpa, how):  # type: ignore[no-untyped-def]
    """The G-stage's translation of a VS-stage PTE's address, for the read; kept in the TLB's second level beside those of pages.

    Only for a guest that runs: the bank of another mode does not tell roots of the G-stage apart."""
    keeps = st[V] != U0 and st[LOG_END] == U0
    at = st[SECOND] + ((gpa >> PAGE_BITS) & SECOND_MASK) * SECOND_WORDS
    if keeps and st[at + SECOND_PAGE] == gpa & PAGE and st[at + SECOND_SERIAL] == st[SERIAL] | OF_G_STAGE:
        st[WALK_SPA] = st[at + SECOND_OFFSET] | (gpa & PAGE_OFFSET)
        return WALK_OK
    result = walk_g_stage(st, ram, fr, code, gpa, how, ACCESS_R)
    if result == WALK_OK and keeps:
        st[at + SECOND_PAGE] = gpa & PAGE
        st[at + SECOND_SERIAL] = st[SERIAL] | OF_G_STAGE
        st[at + SECOND_OFFSET] = st[WALK_SPA] & PAGE
    return result


@jit
def walk_two_stages(st, ram, fr, code, gva, how, g_how, access):  # type: ignore[no-untyped-def]
    """gva to spa. After WALK_GUEST_FAULT trap_gpa is the address that the G-stage refused; trap_tinst says whether
    it was a PTE's.
    """
    vsatp = st[VSATP]
    mode = vsatp >> MODE_SHIFT
    st[TRAP_TINST] = TINST_TRANSFORM
    gpa = gva
    rights = ALL_RIGHTS
    if mode != U0:
        if not is_canonical(gva, mode):
            return WALK_PAGE_FAULT
        table = (vsatp & PPN) << PAGE_BITS
        level = levels_of(mode)
        # norm: mxr does not apply to implicit accesses to VS-stage tables
        table_how = g_how & ~HOW_MXR
        while True:
            if level == U0:
                return WALK_PAGE_FAULT
            level -= U1
            pte_gpa = table + table_index(gva, level, False) * PTE_BYTES
            st[TRAP_GPA] = pte_gpa
            result = locate_table(st, ram, fr, code, pte_gpa, table_how)
            if result != WALK_OK:
                st[TRAP_TINST] = PSEUDO_READ
                return result
            result, pte = read_pte(st, ram, fr, st[WALK_SPA], level == U0)
            if result != WALK_OK:
                return result
            log(st, LOG_PTE, U0, LOGSTAGE_VS, level, st[WALK_SPA], pte, gva, pte_gpa)
            if pte_is_bad(pte, level, how):
                return WALK_PAGE_FAULT
            if pte_is_leaf(pte):
                result = take_leaf(st, pte, gva, level, how, access)
                gpa = st[WALK_SPA]
                rights = st[WALK_RIGHTS]
                if result == WALK_UPDATE:
                    result = update_vs_pte(st, ram, fr, code, pte_gpa, table_how, st[WALK_PTE])
                if result != WALK_OK:
                    return result
                break
            table = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    st[TRAP_GPA] = gpa
    result = walk_g_stage(st, ram, fr, code, gpa, g_how, access)
    if result == WALK_OK:
        st[WALK_RIGHTS] &= rights
    return result


@jit
def update_vs_pte(st, ram, fr, code, pte_gpa, how, pte):  # type: ignore[no-untyped-def]
    """Svadu in the VS-stage: the write of A and D is itself a store through the G-stage."""
    result = walk_g_stage(st, ram, fr, code, pte_gpa, how, ACCESS_W)
    if result != WALK_OK:
        st[TRAP_TINST] = PSEUDO_WRITE
        return result
    return write_pte(st, ram, fr, code, st[WALK_SPA], pte)


@jit
def extensions(envcfg):  # type: ignore[no-untyped-def]
    """HOW bits for Svadu and Svpbmt out of menvcfg or henvcfg."""
    how = U0
    if envcfg & ENVCFG_ADUE != U0:
        how |= HOW_ADUE
    if envcfg & ENVCFG_PBMTE != U0:
        how |= HOW_PBMTE
    return how


@jit
def translate(st, ram, fr, code, va, size, access, prv, virtual):  # type: ignore[no-untyped-def]
    """`va` for an access of `size` bytes, inside a page, by mode (prv, virtual): FAULT_NONE with walk_spa and walk_rights
    set, FAULT_MMIO with walk_spa outside RAM, or FAULT_TRAP with the trap described.
    """
    status = st[MSTATUS]
    how = HOW_USER if prv == U0 else U0
    by_m = extensions(st[MENVCFG])
    g_how = by_m
    if status & MXR != U0:
        how |= HOW_MXR
        g_how |= HOW_MXR
    result = WALK_OK
    st[WALK_SPA] = va
    st[WALK_RIGHTS] = ALL_RIGHTS
    if virtual != U0:
        vs = st[VSSTATUS]
        if vs & MXR != U0:
            how |= HOW_MXR
        if vs & SUM != U0:
            how |= HOW_SUM
        # norm: henvcfg's bits are zero where menvcfg's are
        how |= extensions(st[HENVCFG]) & by_m
        result = walk_two_stages(st, ram, fr, code, va, how, g_how, access)
        log(st, LOG_USE, st[PC], va, access | (prv << U8) | (U1 << U16), how, g_how, st[VSATP], st[HGATP])
    elif prv != PRV_M and st[SATP] >> MODE_SHIFT != U0:
        if status & SUM != U0:
            how |= HOW_SUM
        mode = st[SATP] >> MODE_SHIFT
        if is_canonical(va, mode):
            result = walk(st, ram, fr, code, st[SATP] & PPN, mode, va, how | by_m, access)
            log(st, LOG_USE, st[PC], va, access | (prv << U8), how | by_m, U0, st[SATP], U0)
        else:
            result = WALK_PAGE_FAULT
    if result == WALK_OK:
        st[WALK_RIGHTS] = protect(st, st[WALK_SPA], size, prv, st[WALK_RIGHTS])
        if st[WALK_RIGHTS] & access != U0:
            if in_ram(st, st[WALK_SPA], U1):
                return FAULT_NONE
            if st[BUS] != U0 and (access == ACCESS_R or access == ACCESS_W):
                return FAULT_MMIO
        result = WALK_ACCESS_FAULT
    gpa, tinst = st[TRAP_GPA], st[TRAP_TINST]
    if result == WALK_PAGE_FAULT:
        return set_address_trap(st, cause_of(access, PAGE_FAULTS), va, virtual)
    if result == WALK_ACCESS_FAULT:
        return set_address_trap(st, cause_of(access, ACCESS_FAULTS), va, virtual)
    set_address_trap(st, cause_of(access, GUEST_PAGE_FAULTS), va, virtual)
    st[TRAP_GPA], st[TRAP_TINST] = gpa, tinst
    return FAULT_TRAP


@jit
def data_mode(st, via):  # type: ignore[no-untyped-def]
    """(privilege, V) that a data access is made with: the current mode's, MPRV's, or the guest's for HLV and HSV."""
    if via != VIA_DATA:
        return (st[HSTATUS] >> SPVP_SHIFT) & U1, U1
    status = st[MSTATUS]
    if status & MPRV != U0 and st[PRV] == PRV_M:
        prv = (status & MPP) >> MPP_SHIFT
        return prv, (status >> MPV_SHIFT) & U1 if prv != PRV_M else U0
    return st[PRV], st[V]


@jit
def translate_data(st, ram, fr, code, va, size, access, via):  # type: ignore[no-untyped-def]
    """Translate a load or store of the current instruction, or the part of it that lies on one page."""
    prv, virtual = data_mode(st, via)
    return translate(st, ram, fr, code, va, size, ACCESS_HLVX if via == VIA_HLVX else access, prv, virtual)


@jit
def translate_fetch(st, ram, fr, code, pc):  # type: ignore[no-untyped-def]
    """Translate the fetch of the two bytes at pc."""
    return translate(st, ram, fr, code, pc, U2, ACCESS_X, st[PRV], st[V])


@jit
def note_offset(st, offset):  # type: ignore[no-untyped-def]
    """The second part of a page-crossing access faulted, `offset` bytes after its first byte."""
    st[TRAP_OFFSET] = offset


@jit
def refuse_device(st, va, access, via):  # type: ignore[no-untyped-def]
    """A data access outside RAM that no device takes is an access fault."""
    _, virtual = data_mode(st, via)
    return set_address_trap(st, cause_of(access, ACCESS_FAULTS), va, virtual)


@jit
def access_device(st, va, size, access, value, via):  # type: ignore[no-untyped-def]
    """A load or store at walk_spa, outside RAM: leave for Python's bus, or come back with its answer and finish the instruction.

    Devices take naturally aligned accesses only.
    """
    if va & (size - U1) != U0:
        return refuse_device(st, va, access, via)
    answer = st[MMIO_ANSWER]
    if answer == ANSWER_NONE:
        st[MMIO_SPA] = st[WALK_SPA]
        st[MMIO_SIZE] = size
        st[MMIO_WRITE] = U1 if access == ACCESS_W else U0
        st[MMIO_VALUE] = value
        return FAULT_MMIO
    st[MMIO_ANSWER] = ANSWER_NONE
    if answer == ANSWER_REFUSED:
        return refuse_device(st, va, access, via)
    st[VALUE] = st[MMIO_VALUE]
    return FAULT_NONE
