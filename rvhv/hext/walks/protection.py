"""What physical memory protection says about an access, and which entry says it: for people who look. The hart decides
with `rvhv.cpu.pmp`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rvhv.cpu.state import SLOT, Prv

ENTRIES = 16
R, W, X, L = 1, 2, 4, 1 << 7
OFF, TOR, NA4, NAPOT = range(4)
KINDS = ("OFF", "TOR", "NA4", "NAPOT")
WHOLE = 1 << 57  # bytes that a NAPOT entry of only ones matches
CFG0, CFG2, ADDR0 = SLOT["pmpcfg0"], SLOT["pmpcfg2"], SLOT["pmpaddr0"]


@dataclass(frozen=True)
class Protection:
    """What decides about some bytes: `entry` is its number (None: no entry matches), `rights` of "rwx" what it allows.

    `hlvx`: whether HLVX may read there, which takes R and X. `text` says all of it in words.
    """

    entry: int | None
    rights: str
    text: str

    @property
    def hlvx(self) -> bool:
        return "r" in self.rights and "x" in self.rights

    def allows(self, access: str) -> bool:
        """`access` is "load", "store", "fetch" or "hlvx"."""
        return self.hlvx if access == "hlvx" else {"load": "r", "store": "w", "fetch": "x"}[access] in self.rights


def config_of(state: Sequence[int], i: int) -> int:
    return state[CFG0 if i < 8 else CFG2] >> 8 * (i % 8) & 0xFF


def range_of(state: Sequence[int], i: int) -> range:
    """The bytes that entry i matches; empty when it is off."""
    address = state[ADDR0 + i]
    kind = config_of(state, i) >> 3 & 3
    if kind == TOR:
        return range(state[ADDR0 + i - 1] << 2 if i else 0, address << 2)
    if kind == NA4:
        return range(address << 2, (address << 2) + 4)
    if kind == NAPOT:
        ones = (~address & address + 1).bit_length() - 1
        if ones >= 54:
            return range(WHOLE)
        start = address >> ones << ones << 2
        return range(start, start + (8 << ones))
    return range(0)


def letters(config: int) -> str:
    return "".join(letter if config & bit else "-" for letter, bit in (("r", R), ("w", W), ("x", X)))


def protection(state: Sequence[int], spa: int, size: int, prv: int) -> Protection:
    """Who decides about `size` bytes at `spa` for mode `prv`, by the CSRs in the architectural state.

    norm:pmp_entry_priority, pmp_full_match_required: the lowest-numbered entry that matches any byte, and it must match all.
    """
    for i in range(ENTRIES):
        matched = range_of(state, i)
        if not (matched.start < spa + size and spa < matched.stop and len(matched)):
            continue
        config = config_of(state, i)
        what = f"PMP entry {i} ({KINDS[config >> 3 & 3]} {matched.start:#x} to {matched.stop - 1:#x}, {letters(config)})"
        if not (matched.start <= spa and spa + size <= matched.stop):
            return Protection(i, "---", f"{what} matches only some of the bytes, so no access to them succeeds")
        if prv == Prv.M and not config & L:
            return Protection(i, "rwx", f"{what} is not locked and does not bind M-mode")
        return Protection(i, letters(config), what)
    if prv == Prv.M:
        return Protection(None, "rwx", "no PMP entry matches, and M-mode needs none")
    return Protection(None, "---", "no PMP entry matches, and modes below M need one")
