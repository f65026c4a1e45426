"""One stage of address translation (Privileged ISA, "Virtual Address Translation Process"; Svadu, Svnapot, Svpbmt).

A stage is described by its parameters: root table, MODE, and a word of HOW bits that say who is asking and which
extensions are on. The H extension composes two of them and changes nothing here.
"""

from __future__ import annotations

from rvhv.cpu import pte as p
from rvhv.cpu.frames import note_table, store_phys
from rvhv.cpu.log import log
from rvhv.cpu.njit import jit, ld64
from rvhv.cpu.pmp import pmp_rights
from rvhv.cpu.slots import (
    ACCESS_HLVX,
    ACCESS_R,
    ACCESS_W,
    ACCESS_X,
    LOG_PTE,
    LOGSTAGE_G,
    LOGSTAGE_S,
    PRV_S,
    PTE_WRITTEN,
    RAM_BASE,
    RAM_SIZE,
    U64,
    WALK_PTE,
    WALK_RIGHTS,
    WALK_SPA,
)
from rvhv.cpu.state import How

U0, U1, U2, U3, U5, U8, U9, U10, U12 = (U64(n) for n in (0, 1, 2, 3, 5, 8, 9, 10, 12))
PTE_V, PTE_R, PTE_W, PTE_X, PTE_U, PTE_A, PTE_D = (U64(bit) for bit in (p.V, p.R, p.W, p.X, p.U, p.A, p.D))
PTE_RESERVED, PTE_N, PTE_PBMT, PTE_PPN = U64(p.RESERVED), U64(p.N), U64(p.PBMT), U64(p.PPN)
NAPOT_MASK, NAPOT_64K, NAPOT_OFFSET = U64(p.NAPOT_MASK), U64(p.NAPOT_64K), U64(p.NAPOT_BYTES - 1)
PPN = PTE_PPN  # of satp, vsatp and hgatp
PTE_BYTES = U64(8)
INDEX = U64(511)
PAGE_OFFSET = U64(4095)
PAGE_BITS = U12

HOW_USER, HOW_SUM, HOW_MXR, HOW_ADUE, HOW_PBMTE, HOW_WIDE = (U64(bit.value) for bit in How)

WALK_OK, WALK_PAGE_FAULT, WALK_ACCESS_FAULT, WALK_GUEST_FAULT, WALK_UPDATE = (U64(n) for n in range(5))


@jit
def in_ram(st, spa, size):  # type: ignore[no-untyped-def]
    return spa - st[RAM_BASE] <= st[RAM_SIZE] - size and spa >= st[RAM_BASE]


@jit
def levels_of(mode):  # type: ignore[no-untyped-def]
    """Levels of satp.MODE 8, 9, 10 (Sv39, Sv48, Sv57) and of the x4 modes under the same numbers."""
    return mode - U5


@jit
def is_canonical(address, mode):  # type: ignore[no-untyped-def]
    """norm: the bits above the translated ones equal the highest of these."""
    shift = PAGE_BITS + U9 * levels_of(mode) - U1
    high = address >> shift
    return high == U0 or high == (~U0 >> shift)


@jit
def leaf_rights(pte, how):  # type: ignore[no-untyped-def]
    """What a leaf PTE allows, as ACCESS bits: a clear A allows nothing and a clear D no store."""
    if pte & PTE_A == U0:
        return U0
    owned = pte & PTE_U != U0
    user = how & HOW_USER != U0
    if owned != user:
        if user or how & HOW_SUM == U0:
            return U0
    rights = U0
    if pte & PTE_R != U0 or (how & HOW_MXR != U0 and pte & PTE_X != U0):
        rights |= ACCESS_R
    if pte & PTE_W != U0 and pte & PTE_D != U0:
        rights |= ACCESS_W
    if pte & PTE_X != U0:
        rights |= ACCESS_HLVX
        if owned == user:  # S-mode never executes a user page, whatever SUM says
            rights |= ACCESS_X
    return rights


@jit
def pte_is_leaf(pte):  # type: ignore[no-untyped-def]
    return pte & (PTE_R | PTE_X) != U0


@jit
def pte_is_bad(pte, level, how):  # type: ignore[no-untyped-def]
    """Invalid, or an encoding that is reserved: also A, D, U, N or PBMT in a pointer to the next level."""
    if pte & PTE_V == U0 or pte & PTE_RESERVED != U0:
        return True
    if pte & PTE_R == U0 and pte & PTE_W != U0:
        return True
    if not pte_is_leaf(pte):
        return pte & (PTE_A | PTE_D | PTE_U | PTE_N | PTE_PBMT) != U0
    memory_type = pte & PTE_PBMT
    if memory_type != U0 and (how & HOW_PBMTE == U0 or memory_type == PTE_PBMT):
        return True
    return pte & PTE_N != U0 and (level != U0 or (pte >> U10) & NAPOT_MASK != NAPOT_64K)


@jit
def leaf_address(pte, address, level):  # type: ignore[no-untyped-def]
    """Where a leaf of this level maps `address`, or all ones when the superpage is misaligned."""
    base = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    if pte & PTE_N != U0:
        return (base & ~NAPOT_OFFSET) | (address & NAPOT_OFFSET)
    offset = (U1 << (PAGE_BITS + U9 * level)) - U1
    if base & offset != U0:
        return ~U0
    return base | (address & offset)


@jit
def table_index(address, level, first):  # type: ignore[no-untyped-def]
    """The index into a table; the G-stage's first index is two bits wider."""
    index = address >> (PAGE_BITS + U9 * level)
    return index & (INDEX | U64(0x600)) if first else index & INDEX


@jit
def read_pte(st, ram, fr, at, leaf_table):  # type: ignore[no-untyped-def]
    """(WALK_OK, the PTE) at spa `at`, or WALK_ACCESS_FAULT: outside RAM, or protected from S-mode."""
    if not in_ram(st, at, PTE_BYTES) or pmp_rights(st, at, PTE_BYTES, PRV_S) & ACCESS_R == U0:
        return WALK_ACCESS_FAULT, U0
    note_table(st, fr, at, leaf_table)
    return WALK_OK, ld64(ram, at - st[RAM_BASE])


@jit
def write_pte(st, ram, fr, code, at, pte):  # type: ignore[no-untyped-def]
    """Svadu: put A and D into the PTE at `at`."""
    if pmp_rights(st, at, PTE_BYTES, PRV_S) & ACCESS_W == U0:
        return WALK_ACCESS_FAULT
    store_phys(st, ram, fr, code, at, pte, PTE_BYTES)
    st[PTE_WRITTEN] = U1
    return WALK_OK


@jit
def take_leaf(st, pte, address, level, how, access):  # type: ignore[no-untyped-def]
    """What a sound leaf gives for an access: walk_spa and walk_rights, or WALK_PAGE_FAULT. WALK_UPDATE: also, walk_pte must
    be written for it first, because A or D is clear and the hardware sets them (ADUE).
    """
    wanted = pte
    if how & HOW_ADUE != U0:
        wanted |= PTE_A | PTE_D if access == ACCESS_W else PTE_A
    result = leaf_address(pte, address, level)
    rights = leaf_rights(wanted, how)
    if result == ~U0 or rights & access == U0:
        return WALK_PAGE_FAULT
    st[WALK_SPA] = result
    st[WALK_RIGHTS] = rights
    st[WALK_PTE] = wanted
    return WALK_OK if wanted == pte else WALK_UPDATE


@jit
def walk(st, ram, fr, code, root, mode, address, how, access):  # type: ignore[no-untyped-def]
    """Walk one stage whose tables lie in RAM: WALK_OK with walk_spa and walk_rights, or a WALK fault."""
    table = root << PAGE_BITS
    wide = how & HOW_WIDE != U0
    levels = levels_of(mode)
    level = levels
    while level > U0:
        level -= U1
        at = table + table_index(address, level, wide and level == levels - U1) * PTE_BYTES
        result, pte = read_pte(st, ram, fr, at, level == U0 and not wide)
        if result != WALK_OK:
            return result
        log(st, LOG_PTE, U0, LOGSTAGE_G if wide else LOGSTAGE_S, level, at, pte, address, at)
        if pte_is_bad(pte, level, how):
            return WALK_PAGE_FAULT
        if pte_is_leaf(pte):
            result = take_leaf(st, pte, address, level, how, access)
            if result == WALK_UPDATE:
                return write_pte(st, ram, fr, code, at, st[WALK_PTE])
            return result
        table = ((pte >> U10) & PTE_PPN) << PAGE_BITS
    return WALK_PAGE_FAULT

