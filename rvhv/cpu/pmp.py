"""Physical memory protection (Privileged ISA, "Physical Memory Protection"): 16 entries, NA4, NAPOT, TOR, locks.

The lowest-numbered entry that matches any byte of an access decides, and must match all of them. What it decides for a
whole page is cached with the translation; a page that an entry covers in part is never cached.
"""

from __future__ import annotations

from rvhv.cpu.njit import ctz, jit
from rvhv.cpu.slots import (
    ACCESS_HLVX,
    ACCESS_R,
    ACCESS_W,
    ACCESS_X,
    ALL_RIGHTS,
    IN_PART,
    PMPADDR0,
    PMPCFG0,
    PMPCFG2,
    PRV_M,
    U64,
)

U0, U1, U2, U3, U8 = (U64(n) for n in (0, 1, 2, 3, 8))
ENTRIES, PER_CSR = U64(16), U64(8)
PMP_R, PMP_W, PMP_X, PMP_L = U64(1), U64(2), U64(4), U64(1 << 7)
A_SHIFT = U64(3)
A_OFF, A_TOR, A_NA4, A_NAPOT = U0, U1, U2, U3
BYTE = U64(0xFF)
A_BITS = U64(0x1818_1818_1818_1818)
PAGE = U64(0xFFFF_FFFF_FFFF_F000)
PAGE_SIZE = U64(4096)
GRANULE_SHIFT = U2  # pmpaddr holds bits 55..2 of an address


@jit
def entry_config(st, i):  # type: ignore[no-untyped-def]
    word = st[PMPCFG0] if i < PER_CSR else st[PMPCFG2]
    return (word >> (U8 * (i & U64(7)))) & BYTE


@jit
def entry_range(st, i, config):  # type: ignore[no-untyped-def]
    """First byte and length in bytes of what an entry that is not off matches; a length of 0 is empty."""
    mode = (config >> A_SHIFT) & U3
    address = st[PMPADDR0 + i]
    if mode == A_TOR:
        low = st[PMPADDR0 + i - U1] << GRANULE_SHIFT if i > U0 else U0
        high = address << GRANULE_SHIFT
        return low, high - low if high > low else U0
    if mode == A_NA4:
        return address << GRANULE_SHIFT, U64(4)
    ones = ctz(~address)
    if ones >= U64(54):
        return U0, U1 << U64(57)
    return (address & ~((U1 << ones) - U1)) << GRANULE_SHIFT, U8 << ones


@jit
def entry_rights(config, prv):  # type: ignore[no-untyped-def]
    if prv == PRV_M and config & PMP_L == U0:
        return ALL_RIGHTS
    rights = U0
    if config & PMP_R != U0:
        rights |= ACCESS_R
        if config & PMP_X != U0:
            rights |= ACCESS_HLVX  # norm:hlsv_u_op: what HLVX reads must grant both read and execute permission
    if config & PMP_W != U0:
        rights |= ACCESS_W
    if config & PMP_X != U0:
        rights |= ACCESS_X
    return rights


@jit
def pmp_rights(st, spa, size, prv):  # type: ignore[no-untyped-def]
    """ACCESS bits that mode `prv` has on `size` bytes at `spa`, with IN_PART when an entry matches only some of the bytes.

    norm: an access that matches an entry in part fails whatever the entry says; no match: M-mode may, others may not.
    """
    if (st[PMPCFG0] | st[PMPCFG2]) & A_BITS != U0:
        i = U0
        while i < ENTRIES:
            config = entry_config(st, i)
            if (config >> A_SHIFT) & U3 != A_OFF:
                start, length = entry_range(st, i, config)
                inside = spa - start
                if length != U0 and spa >= start and inside < length:
                    if length - inside >= size:
                        return entry_rights(config, prv)
                    return IN_PART
                if length != U0 and spa < start and start - spa < size:
                    return IN_PART
            i += U1
    return ALL_RIGHTS if prv == PRV_M else U0


@jit
def protect(st, spa, size, prv, rights):  # type: ignore[no-untyped-def]
    """`rights` as far as PMP leaves them for an access, with IN_PART when the rest of its page has others."""
    page = pmp_rights(st, spa & PAGE, PAGE_SIZE, prv)
    if page & IN_PART == U0:
        return rights & page
    return (rights & pmp_rights(st, spa, size, prv)) | IN_PART
