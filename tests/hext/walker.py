"""Two-stage translation in plain Python, written from the manual ("Two-Stage Address Translation", "Sv39", "Sv39x4").

Nothing here is shared with rvhv: page tables are a dict of 64-bit words by physical address.
"""

from __future__ import annotations

from dataclasses import dataclass

R, W, X = "load", "store", "fetch"
PAGE_FAULT = {X: 12, R: 13, W: 15}
ACCESS_FAULT = {X: 1, R: 5, W: 7}
GUEST_PAGE_FAULT = {X: 20, R: 21, W: 23}
PSEUDO_READ = 0x3000


@dataclass(frozen=True)
class Refused(Exception):
    """The trap an access raises: cause, gpa (guest-page faults only), whether the access was to a VS-stage table."""

    cause: int
    gpa: int = 0
    implicit: bool = False


def reserved(pte: int, level: int) -> bool:
    """Bits 62 to 54 (PBMT is off), and N but in a 64 KiB leaf of level 0."""
    if pte >> 54 & 0x1FF:
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

    def read(self, spa: int, access: str) -> int:
        if spa not in self.ram or spa + 7 not in self.ram:
            raise Refused(ACCESS_FAULT[access])
        return self.words.get(spa, 0)

    def g_stage(self, gpa: int, access: str, original: str, *, hlvx: bool, mxr: bool, implicit: bool) -> int:
        def refuse() -> Refused:
            return Refused(GUEST_PAGE_FAULT[original], gpa, implicit)

        if self.hgatp >> 60 == 0:
            return gpa
        if gpa >= 1 << 41:
            raise refuse()
        table = (self.hgatp & (1 << 44) - 1) * 4096
        for level in (2, 1, 0):
            bits = 11 if level == 2 else 9
            index = gpa >> (12 + 9 * level) & ((1 << bits) - 1)
            pte = self.read(table + 8 * index, original)
            if pte & 1 == 0 or pte & 0b110 == 0b100 or reserved(pte, level):
                raise refuse()
            if pte & 0b1010:
                base, size = page(pte, level)
                if base % size or not pte & 0x10 or not self.permits(pte, access, hlvx, mxr):
                    raise refuse()
                return base + gpa % size
            if pte & 0b1101_0000:
                raise refuse()
            table = (pte >> 10 & (1 << 44) - 1) * 4096
        raise refuse()

    @staticmethod
    def permits(pte: int, access: str, hlvx: bool, mxr: bool) -> bool:
        """R, W, X, A and D; with ADUE = 0 a clear A or D refuses (Svade)."""
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
        spa = self.g_stage(gpa, access, access, hlvx=hlvx, mxr=self.hs_mxr, implicit=False)
        if spa not in self.ram:
            raise Refused(ACCESS_FAULT[access])
        return spa

    def vs_stage(self, gva: int, access: str, hlvx: bool) -> int:
        high = gva >> 38
        if high not in (0, (1 << 26) - 1):
            raise Refused(PAGE_FAULT[access])
        table = (self.vsatp & (1 << 44) - 1) * 4096
        for level in (2, 1, 0):
            at = table + 8 * (gva >> (12 + 9 * level) & 511)
            spa = self.g_stage(at, R, access, hlvx=False, mxr=False, implicit=True)
            pte = self.read(spa, access)
            if pte & 1 == 0 or pte & 0b110 == 0b100 or reserved(pte, level):
                break
            if pte & 0b1010:
                base, size = page(pte, level)
                if base % size or not self.permits(pte, access, hlvx, self.vs_mxr or self.hs_mxr):
                    break
                user_page = bool(pte & 0x10)
                if self.user and not user_page:
                    break
                if not self.user and user_page and (access == X or not self.vs_sum):
                    break
                return base + gva % size
            if pte & 0b1101_0000:
                break
            table = (pte >> 10 & (1 << 44) - 1) * 4096
        raise Refused(PAGE_FAULT[access])
