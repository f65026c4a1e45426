"""Two-stage translation in plain Python, written from the manual ("Two-Stage Address Translation", "Sv39" to "Sv57x4",
"Svadu", "Svpbmt", "Svnapot").

Nothing here is shared with rvhv: page tables are a dict of 64-bit words by physical address.
"""

from __future__ import annotations

from dataclasses import dataclass

R, W, X = "load", "store", "fetch"
PAGE_FAULT = {X: 12, R: 13, W: 15}
ACCESS_FAULT = {X: 1, R: 5, W: 7}
GUEST_PAGE_FAULT = {X: 20, R: 21, W: 23}
PSEUDO_READ, PSEUDO_WRITE = 0x3000, 0x3020
LEVELS = {8: 3, 9: 4, 10: 5}


@dataclass(frozen=True)
class Refused(Exception):
    """The trap of an access: cause, gpa (guest-page faults only), the pseudo-instruction if it was to a VS-stage table."""

    cause: int
    gpa: int = 0
    pseudo: int = 0


def reserved(pte: int, level: int, pbmte: bool) -> bool:
    """Bits 60 to 54; PBMT but in leaves while it is on, and there 3; N but in a 64 KiB leaf of level 0."""
    memory_type, leaf = pte >> 61 & 3, bool(pte & 0b1010)
    if pte >> 54 & 0x7F or memory_type == 3 or (memory_type and not (pbmte and leaf)):
        return True
    return bool(pte >> 63) and not (level == 0 and pte & 0b1010 and pte >> 10 & 15 == 8)


def page(pte: int, level: int) -> tuple[int, int]:
    """Base and size of what a leaf maps."""
    base = (pte >> 10 & (1 << 44) - 1) * 4096
    return (base & ~0xFFFF, 0x10000) if pte >> 63 else (base, 4096 << 9 * level)


@dataclass
class Guest:
    """Everything that the translation of a guest's access depends on."""

    words: dict[int, int]
    ram: range
    vsatp: int = 0
    hgatp: int = 0
    user: bool = False
    vs_sum: bool = False
    vs_mxr: bool = False
    hs_mxr: bool = False
    g_adue: bool = False
    vs_adue: bool = False
    g_pbmte: bool = False
    vs_pbmte: bool = False

    def read(self, spa: int, access: str) -> int:
        if spa not in self.ram or spa + 7 not in self.ram:
            raise Refused(ACCESS_FAULT[access])
        return self.words.get(spa, 0)

    def g_stage(self, gpa: int, access: str, original: str, *, hlvx: bool, mxr: bool, pseudo: int = 0) -> int:
        def refuse() -> Refused:
            return Refused(GUEST_PAGE_FAULT[original], gpa, pseudo)

        if self.hgatp >> 60 == 0:
            return gpa
        levels = LEVELS[self.hgatp >> 60]
        if gpa >= 1 << 12 + 9 * levels + 2:
            raise refuse()
        table = (self.hgatp & (1 << 44) - 1) * 4096
        for level in reversed(range(levels)):
            bits = 11 if level == levels - 1 else 9
            at = table + 8 * (gpa >> (12 + 9 * level) & ((1 << bits) - 1))
            pte = self.read(at, original)
            if pte & 1 == 0 or pte & 0b110 == 0b100 or reserved(pte, level, self.g_pbmte):
                raise refuse()
            if pte & 0b1010:
                base, size = page(pte, level)
                updated = self.with_a_and_d(pte, access, self.g_adue)
                if base % size or not pte & 0x10 or not self.permits(updated, access, hlvx, mxr):
                    raise refuse()
                self.words[at] = updated
                return base + gpa % size
            if pte & 0b1101_0000:
                raise refuse()
            table = (pte >> 10 & (1 << 44) - 1) * 4096
        raise refuse()

    @staticmethod
    def with_a_and_d(pte: int, access: str, adue: bool) -> int:
        """Svadu: the PTE as the hardware leaves it after a permitted access."""
        return pte | (0xC0 if access == W else 0x40) if adue else pte

    @staticmethod
    def permits(pte: int, access: str, hlvx: bool, mxr: bool) -> bool:
        """R, W, X, A and D: a clear A or D refuses (Svade)."""
        readable, writable, executable = bool(pte & 2), bool(pte & 4), bool(pte & 8)
        if not pte & 0x40:
            return False
        if access == X or hlvx:
            return executable
        if access == W:
            return writable and bool(pte & 0x80)
        return readable or (mxr and executable)

    def translate(self, gva: int, access: str, *, hlvx: bool = False) -> int:
        """The spa, or Refused."""
        gpa = gva
        if self.vsatp >> 60:
            gpa = self.vs_stage(gva, access, hlvx)
        spa = self.g_stage(gpa, access, access, hlvx=hlvx, mxr=self.hs_mxr)
        if spa not in self.ram:
            raise Refused(ACCESS_FAULT[access])
        return spa

    def vs_stage(self, gva: int, access: str, hlvx: bool) -> int:
        levels = LEVELS[self.vsatp >> 60]
        width = 12 + 9 * levels
        if gva >> width - 1 not in (0, (1 << 65 - width) - 1):
            raise Refused(PAGE_FAULT[access])
        table = (self.vsatp & (1 << 44) - 1) * 4096
        for level in reversed(range(levels)):
            at = table + 8 * (gva >> (12 + 9 * level) & 511)
            spa = self.g_stage(at, R, access, hlvx=False, mxr=False, pseudo=PSEUDO_READ)
            pte = self.read(spa, access)
            if pte & 1 == 0 or pte & 0b110 == 0b100 or reserved(pte, level, self.vs_pbmte):
                break
            if pte & 0b1010:
                base, size = page(pte, level)
                updated = self.with_a_and_d(pte, access, self.vs_adue)
                if base % size or not self.permits(updated, access, hlvx, self.vs_mxr or self.hs_mxr):
                    break
                user_page = bool(pte & 0x10)
                if self.user and not user_page:
                    break
                if not self.user and user_page and (access == X or not self.vs_sum):
                    break
                if updated != pte:  # a store through the G-stage
                    spa = self.g_stage(at, W, access, hlvx=False, mxr=False, pseudo=PSEUDO_WRITE)
                    self.words[spa] = updated
                return base + gva % size
            if pte & 0b1101_0000:
                break
            table = (pte >> 10 & (1 << 44) - 1) * 4096
        raise Refused(PAGE_FAULT[access])
