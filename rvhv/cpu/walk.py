"""One stage of address translation (Privileged ISA, "Virtual Address Translation Process").

A stage is described by its parameters: root table, bits of the first index, who is asking, whether it is the G-stage. The H
extension composes two of them and changes nothing here.
"""

from __future__ import annotations

from rvhv.cpu.frames import note_table
from rvhv.cpu.njit import jit, ld64
from rvhv.cpu.slots import RAM_BASE, RAM_SIZE, U64, WALK_RIGHTS, WALK_SPA

U0, U1, U2, U3, U8, U9, U10, U12 = (U64(n) for n in (0, 1, 2, 3, 8, 9, 10, 12))
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_A, PTE_D = (U64(1 << n) for n in (0, 1, 2, 3, 4, 6, 7))
PTE_RESERVED = U64(0xFFC0_0000_0000_0000)  # N, PBMT and the reserved bits: no extension here defines them
PTE_PPN = U64((1 << 44) - 1)
PPN = U64((1 << 44) - 1)
PTE_BYTES = U64(8)
INDEX = U64(511)
PAGE_OFFSET = U64(4095)
PAGE_BITS = U12

# what an access needs; ACCESS_HLVX is a load that needs execute permission instead of read permission
ACCESS_R, ACCESS_W, ACCESS_X, ACCESS_HLVX = (U64(n) for n in (1, 2, 4, 8))
ALL_RIGHTS = U64(15)

WALK_OK, WALK_PAGE_FAULT, WALK_ACCESS_FAULT, WALK_GUEST_FAULT = (U64(n) for n in range(4))


@jit
def in_ram(st, spa, size):  # type: ignore[no-untyped-def]
    return spa - st[RAM_BASE] <= st[RAM_SIZE] - size and spa >= st[RAM_BASE]


@jit
def leaf_rights(pte, user, sum_, mxr):  # type: ignore[no-untyped-def]
    """What a leaf PTE allows, as ACCESS bits. With ADUE = 0 a clear A allows nothing and a clear D no store (Svade)."""
    if pte & PTE_A == U0:
        return U0
    owned = pte & PTE_U != U0
    if owned != (user != U0):
        if user != U0 or sum_ == U0:
            return U0
    rights = U0
    if pte & PTE_R != U0 or (mxr != U0 and pte & PTE_X != U0):
        rights |= ACCESS_R
    if pte & PTE_W != U0 and pte & PTE_D != U0:
        rights |= ACCESS_W
    if pte & PTE_X != U0:
        rights |= ACCESS_HLVX
        if owned == (user != U0):  # S-mode never executes a user page, whatever SUM says
            rights |= ACCESS_X
    return rights


@jit
def pte_is_leaf(pte):  # type: ignore[no-untyped-def]
    return pte & (PTE_R | PTE_X) != U0


@jit
def pte_is_bad(pte):  # type: ignore[no-untyped-def]
    """Invalid, or an encoding that is reserved; A, D and U must be clear in a pointer to the next level."""
    if pte & PTE_V == U0 or pte & PTE_RESERVED != U0:
        return True
    if pte & PTE_R == U0 and pte & PTE_W != U0:
        return True
    return not pte_is_leaf(pte) and pte & (PTE_A | PTE_D | PTE_U) != U0


@jit
def leaf_address(pte, address, level):  # type: ignore[no-untyped-def]
    """Where a leaf of this level maps `address`, or all ones when the superpage is misaligned."""
    offset = (U1 << (PAGE_BITS + U9 * level)) - U1
    base = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    if base & offset != U0:
        return ~U0
    return base | (address & offset)


@jit
def table_index(address, level, first):  # type: ignore[no-untyped-def]
    """The index into a table; the G-stage's first index is two bits wider."""
    index = address >> (PAGE_BITS + U9 * level)
    return index & (INDEX | U64(0x600)) if first else index & INDEX


@jit
def walk(st, ram, fr, root, address, levels, wide, user, sum_, mxr, access):  # type: ignore[no-untyped-def]
    """Walk one stage whose tables lie in RAM. `wide`: the G-stage, whose root is four pages. Sets walk_spa and walk_rights."""
    table = root << PAGE_BITS
    level = levels
    while level > U0:
        level -= U1
        first = wide and level == levels - U1
        at = table + table_index(address, level, first) * PTE_BYTES
        if not in_ram(st, at, PTE_BYTES):
            return WALK_ACCESS_FAULT
        pte = ld64(ram, at - st[RAM_BASE])
        note_table(st, fr, at, level == U0 and not wide)
        if pte_is_bad(pte):
            return WALK_PAGE_FAULT
        if pte_is_leaf(pte):
            result = leaf_address(pte, address, level)
            rights = leaf_rights(pte, user, sum_, mxr)
            if result == ~U0 or rights & access == U0:
                return WALK_PAGE_FAULT
            st[WALK_SPA] = result
            st[WALK_RIGHTS] = rights
            return WALK_OK
        table = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    return WALK_PAGE_FAULT
