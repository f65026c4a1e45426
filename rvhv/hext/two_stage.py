"""The composed TLB miss: VS-stage, G-stage, or one stage, chosen by who accesses (Privileged ISA, "Two-Stage Address
Translation").

A fault of an access to a VS-stage table is reported with the cause of the original access, its guest physical
address, and the pseudo-instruction in htinst.
"""

from __future__ import annotations

from rvhv.cpu.frames import note_table
from rvhv.cpu.njit import jit, ld64
from rvhv.cpu.slots import (
    ANSWER_NONE,
    ANSWER_REFUSED,
    BUS,
    FAULT_MMIO,
    FAULT_NONE,
    FAULT_TRAP,
    HGATP,
    HSTATUS,
    MMIO_ANSWER,
    MMIO_SIZE,
    MMIO_SPA,
    MMIO_VALUE,
    MMIO_WRITE,
    MSTATUS,
    PRV,
    PRV_M,
    RAM_BASE,
    SATP,
    TRAP_GPA,
    TRAP_OFFSET,
    TRAP_TINST,
    U64,
    VALUE,
    VSATP,
    VSSTATUS,
    WALK_RIGHTS,
    WALK_SPA,
    V,
)
from rvhv.cpu.trap import MPP, MPP_SHIFT, MPRV, MPV_SHIFT, TINST_TRANSFORM, set_address_trap
from rvhv.cpu.walk import (
    ACCESS_HLVX,
    ACCESS_R,
    ACCESS_W,
    ACCESS_X,
    ALL_RIGHTS,
    PAGE_BITS,
    PPN,
    PTE_BYTES,
    PTE_PPN,
    WALK_ACCESS_FAULT,
    WALK_GUEST_FAULT,
    WALK_OK,
    WALK_PAGE_FAULT,
    in_ram,
    leaf_address,
    leaf_rights,
    pte_is_bad,
    pte_is_leaf,
    table_index,
    walk,
)

U0, U1, U3, U8, U10 = (U64(n) for n in (0, 1, 3, 8, 10))
SUM_SHIFT, MXR_SHIFT, MODE_SHIFT = U64(18), U64(19), U64(60)
LEVELS_SV39 = U64(3)
SV39_CANONICAL_SHIFT = U64(38)
SV39X4_BITS = U64(41)
SPVP_SHIFT = U64(8)
PSEUDO_READ = U64(0x3000)  # htinst for a read of a VS-stage PTE on RV64

# how an access is made: as the current mode, or by HLV / HLVX / HSV on behalf of a guest
VIA_DATA, VIA_HLV, VIA_HLVX, VIA_HSV = (U64(n) for n in range(4))


@jit
def page_fault_cause(access):  # type: ignore[no-untyped-def]
    return U64(12) if access == ACCESS_X else U64(15) if access == ACCESS_W else U64(13)


@jit
def guest_page_fault_cause(access):  # type: ignore[no-untyped-def]
    return U64(20) if access == ACCESS_X else U64(23) if access == ACCESS_W else U64(21)


@jit
def access_fault_cause(access):  # type: ignore[no-untyped-def]
    return U64(1) if access == ACCESS_X else U64(7) if access == ACCESS_W else U64(5)


@jit
def is_canonical(address):  # type: ignore[no-untyped-def]
    """Sv39: bits 63..39 equal bit 38."""
    high = address >> SV39_CANONICAL_SHIFT
    return high == U0 or high == (~U0 >> SV39_CANONICAL_SHIFT)


@jit
def walk_g_stage(st, ram, fr, gpa, mxr, access):  # type: ignore[no-untyped-def]
    """gpa to spa through hgatp. WALK_GUEST_FAULT where a one-stage walk says page fault."""
    hgatp = st[HGATP]
    if hgatp >> MODE_SHIFT == U0:
        st[WALK_SPA] = gpa
        st[WALK_RIGHTS] = ALL_RIGHTS
        return WALK_OK
    if gpa >> SV39X4_BITS != U0:
        return WALK_GUEST_FAULT
    # norm: all G-stage accesses count as user-level, so every leaf needs U = 1
    result = walk(st, ram, fr, hgatp & PPN, gpa, LEVELS_SV39, True, U1, U0, mxr, access)
    return WALK_GUEST_FAULT if result == WALK_PAGE_FAULT else result


@jit
def walk_two_stages(st, ram, fr, gva, user, sum_, mxr, g_mxr, access):  # type: ignore[no-untyped-def]
    """gva to spa. After WALK_GUEST_FAULT trap_gpa is the address that the G-stage refused; trap_tinst says whether
    it was a PTE's.
    """
    vsatp = st[VSATP]
    st[TRAP_TINST] = TINST_TRANSFORM
    gpa = gva
    rights = ALL_RIGHTS
    if vsatp >> MODE_SHIFT != U0:
        if not is_canonical(gva):
            return WALK_PAGE_FAULT
        table = (vsatp & PPN) << PAGE_BITS
        level = LEVELS_SV39
        while True:
            if level == U0:
                return WALK_PAGE_FAULT
            level -= U1
            at = table + table_index(gva, level, False) * PTE_BYTES
            st[TRAP_GPA] = at
            # norm: mxr does not apply to implicit accesses to VS-stage tables
            result = walk_g_stage(st, ram, fr, at, U0, ACCESS_R)
            if result != WALK_OK:
                st[TRAP_TINST] = PSEUDO_READ
                return result
            at = st[WALK_SPA]
            if not in_ram(st, at, PTE_BYTES):
                return WALK_ACCESS_FAULT
            pte = ld64(ram, at - st[RAM_BASE])
            note_table(st, fr, at, level == U0)
            if pte_is_bad(pte):
                return WALK_PAGE_FAULT
            if pte_is_leaf(pte):
                gpa = leaf_address(pte, gva, level)
                rights = leaf_rights(pte, user, sum_, mxr)
                if gpa == ~U0 or rights & access == U0:
                    return WALK_PAGE_FAULT
                break
            table = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    st[TRAP_GPA] = gpa
    result = walk_g_stage(st, ram, fr, gpa, g_mxr, access)
    if result == WALK_OK:
        st[WALK_RIGHTS] &= rights
    return result


@jit
def translate(st, ram, fr, va, access, prv, virtual):  # type: ignore[no-untyped-def]
    """`va` for an access by mode (prv, virtual): FAULT_NONE with walk_spa and walk_rights set, FAULT_MMIO with
    walk_spa outside RAM, or FAULT_TRAP with the trap described.
    """
    status = st[MSTATUS]
    mxr = (status >> MXR_SHIFT) & U1
    user = U1 if prv == U0 else U0
    result = WALK_OK
    st[WALK_SPA] = va
    st[WALK_RIGHTS] = ALL_RIGHTS
    if virtual != U0:
        vs = st[VSSTATUS]
        result = walk_two_stages(
            st, ram, fr, va, user, (vs >> SUM_SHIFT) & U1, mxr | ((vs >> MXR_SHIFT) & U1), mxr, access
        )
    elif prv != PRV_M and st[SATP] >> MODE_SHIFT != U0:
        if is_canonical(va):
            result = walk(
                st, ram, fr, st[SATP] & PPN, va, LEVELS_SV39, False, user, (status >> SUM_SHIFT) & U1, mxr, access
            )
        else:
            result = WALK_PAGE_FAULT
    if result == WALK_OK:
        if in_ram(st, st[WALK_SPA], U1):
            return FAULT_NONE
        if st[BUS] != U0 and (access == ACCESS_R or access == ACCESS_W):
            return FAULT_MMIO
        result = WALK_ACCESS_FAULT
    gpa, tinst = st[TRAP_GPA], st[TRAP_TINST]
    if result == WALK_PAGE_FAULT:
        return set_address_trap(st, page_fault_cause(access), va, virtual)
    if result == WALK_ACCESS_FAULT:
        return set_address_trap(st, access_fault_cause(access), va, virtual)
    set_address_trap(st, guest_page_fault_cause(access), va, virtual)
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
def translate_data(st, ram, fr, va, access, via):  # type: ignore[no-untyped-def]
    """Translate a load or store of the current instruction."""
    prv, virtual = data_mode(st, via)
    return translate(st, ram, fr, va, ACCESS_HLVX if via == VIA_HLVX else access, prv, virtual)


@jit
def translate_fetch(st, ram, fr, pc):  # type: ignore[no-untyped-def]
    return translate(st, ram, fr, pc, ACCESS_X, st[PRV], st[V])


@jit
def note_offset(st, offset):  # type: ignore[no-untyped-def]
    """The second part of a page-crossing access faulted, `offset` bytes after its first byte."""
    st[TRAP_OFFSET] = offset


@jit
def refuse_device(st, va, access, via):  # type: ignore[no-untyped-def]
    """A data access outside RAM that no device takes is an access fault."""
    _, virtual = data_mode(st, via)
    return set_address_trap(st, access_fault_cause(access), va, virtual)


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
