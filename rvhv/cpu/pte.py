"""The format of a page table entry (Privileged ISA, "Sv39", "Sv48", "Sv57"; Svnapot, Svpbmt), as plain numbers.

The x4 modes of the G-stage have the same entries.
"""

from __future__ import annotations

V, R, W, X, U, G, A, D = (1 << n for n in range(8))
FLAGS = {"V": V, "R": R, "W": W, "X": X, "U": U, "G": G, "A": A, "D": D}
PPN_SHIFT = 10
PPN = (1 << 44) - 1  # of a PTE shifted down, and of satp, vsatp and hgatp
RESERVED_SHIFT = 54
RESERVED = 0x7F << RESERVED_SHIFT
PBMT_SHIFT = 61
PBMT = 3 << PBMT_SHIFT
PBMT_NAMES = ("PMA", "NC", "IO", "reserved")
N = 1 << 63
NAPOT_MASK, NAPOT_64K = 0xF, 0x8  # low bits of the ppn of a 64 KiB page, the only size there is
NAPOT_BYTES = 1 << 16
BYTES = 8

PAGE_BITS = 12
PAGE = 1 << PAGE_BITS
INDEX_BITS = 9
WIDER_BITS = 2  # by which the first index of an x4 mode is wider
MODE_SHIFT = 60  # of satp, vsatp and hgatp
MODES = {8: "Sv39", 9: "Sv48", 10: "Sv57"}


def levels_of(mode: int) -> int:
    """Levels of the tables of a MODE that is not Bare."""
    return mode - 5


def is_leaf(pte: int) -> bool:
    return pte & (R | X) != 0


def target(pte: int) -> int:
    """The address in the ppn field: of the next table, or of a leaf's page."""
    return (pte >> PPN_SHIFT & PPN) << PAGE_BITS


def page_size(pte: int, level: int) -> int:
    """Bytes that a leaf of this level maps."""
    return NAPOT_BYTES if pte & N else PAGE << INDEX_BITS * level


def mapped(pte: int, level: int, address: int) -> int:
    """Where a sound leaf maps `address`."""
    offset = page_size(pte, level) - 1
    return target(pte) & ~offset | address & offset


def index(address: int, level: int, *, wide: bool) -> int:
    """The index into a table; `wide`: the root of an x4 mode."""
    bits = INDEX_BITS + (WIDER_BITS if wide else 0)
    return address >> PAGE_BITS + INDEX_BITS * level & (1 << bits) - 1


def names(pte: int) -> tuple[str, ...]:
    """The bits that are set, by name: single bits, then N, PBMT and what is reserved."""
    found = [name for name, bit in FLAGS.items() if pte & bit]
    if pte & N:
        found.append("N")
    if pte & PBMT:
        found.append(f"PBMT={PBMT_NAMES[pte >> PBMT_SHIFT & 3]}")
    found += [f"bit {n}" for n in range(RESERVED_SHIFT, PBMT_SHIFT) if pte >> n & 1]
    return tuple(found)


def picture(pte: int) -> str:
    """Bits 7 to 0 as letters, a dash where one is clear: "DA-UXWRV"."""
    return "".join(name if pte & bit else "-" for name, bit in reversed(FLAGS.items()))
