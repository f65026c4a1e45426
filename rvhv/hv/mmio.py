"""Loads and stores outside RAM: what trapped is decoded and done on a device; all else is an access fault for the guest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from rvhv.sbi.table import Words

MASK64 = (1 << 64) - 1
FETCH_GUEST_PAGE, LOAD_GUEST_PAGE, STORE_GUEST_PAGE = 20, 21, 23  # scause of guest-page faults
ACCESS_FAULT = {FETCH_GUEST_PAGE: 1, LOAD_GUEST_PAGE: 5, STORE_GUEST_PAGE: 7}  # what the guest gets for them
ADDRESS_OFFSET = 0x1F << 15  # of a transformed instruction: nonzero in the upper part of a misaligned access
PSEUDO_LOAD, PSEUDO_STORE = 0x3000, 0x3020  # a VS-stage page table was read, or its A and D bits written
PSEUDO = (PSEUDO_LOAD, PSEUDO_STORE)
LOAD, STORE = 0x03, 0x23  # opcodes
SIZES = "bhwd"  # a letter for 1, 2, 4 and 8 bytes


class Trap(NamedTuple):
    """The CSRs that a trap into HS-mode wrote."""

    scause: int
    sepc: int
    stval: int
    htval: int
    htinst: int


class Guest(Protocol):
    """Who trapped, while it is on the hart."""

    @property
    def x(self) -> Words:
        """The integer registers by number. Writing x[0] is a mistake."""

    def fetch(self, gva: int) -> int | None:
        """The 16 bits of code at `gva`, read as the guest fetches; None where it cannot."""

    def resume(self, pc: int) -> None:
        """The guest goes on there: its instruction was emulated."""

    def inject(self, cause: int, tval: int) -> None:
        """The instruction at sepc raises an exception in the guest."""


class Devices(Protocol):
    """What is outside RAM, by gpa."""

    def load(self, gpa: int, size: int) -> int | None:
        """None: nothing is there, or it refuses."""

    def store(self, gpa: int, size: int, value: int) -> bool:
        """Whether something took it."""


class Emulator(Protocol):
    """What the hypervisor needs; labs put their own here (`Hypervisor(mmio=...)`)."""

    def emulate(self, trap: Trap) -> None:
        """A guest-page fault outside RAM: do the access and step over it, or inject an access fault."""


@dataclass(frozen=True, slots=True)
class Access:
    """A load or store; `register` is rd of a load and rs2 of a store."""

    store: bool
    size: int  # bytes
    signed: bool
    register: int
    length: int  # bytes of the instruction

    @property
    def name(self) -> str:
        """As in assembly, when it is not compressed."""
        unsigned = not self.store and not self.signed
        return ("s" if self.store else "l") + SIZES[self.size.bit_length() - 1] + ("u" if unsigned else "")

    def extend(self, value: int) -> int:
        """What rd gets for the device's `value`."""
        value &= (1 << 8 * self.size) - 1
        if self.signed and value >> 8 * self.size - 1:
            value |= MASK64 ^ (1 << 8 * self.size) - 1
        return value


def faulting_gpa(trap: Trap) -> int:
    """htval, with the low bits of stval unless a VS-stage walk faulted."""
    gpa = trap.htval << 2
    return gpa if trap.htinst in PSEUDO else gpa | trap.stval & 3


@lru_cache(maxsize=4096)
def decode(word: int, length: int) -> Access | None:
    """The access that a 32-bit instruction makes, which was `length` bytes long; None when it is no plain load or store."""
    opcode, funct3 = word & 0x7F, word >> 12 & 7
    if opcode == LOAD and funct3 < 7:
        return Access(False, 1 << (funct3 & 3), funct3 < 4, word >> 7 & 31, length)
    if opcode == STORE and funct3 < 4:
        return Access(True, 1 << funct3, False, word >> 20 & 31, length)
    return None


def decode_compressed(half: int) -> Access | None:
    """The same for a 16-bit instruction: c.lw, c.ld, c.sw, c.sd, and their likes with sp."""
    quadrant, funct3 = half & 3, half >> 13
    if quadrant == 1 or funct3 not in (2, 3, 6, 7):
        return None
    store, size = funct3 >= 6, 8 if funct3 & 1 else 4
    if quadrant == 0:
        register = 8 + (half >> 2 & 7)
    else:
        register = half >> (2 if store else 7) & 31
        if not store and register == 0:
            return None  # reserved
    return Access(store, size, not store, register, 2)


def decode_trapped(trap: Trap, fetch: Callable[[int], int | None]) -> Access | None:
    """The load or store that trapped: from htinst, or when that says nothing from the guest's code at sepc."""
    tinst = trap.htinst
    if trap.scause == FETCH_GUEST_PAGE or tinst in PSEUDO:
        return None  # the fetch itself, or a page table outside RAM
    if tinst & 1 and not tinst >> 32:
        if tinst & ADDRESS_OFFSET:
            return None  # the upper part of a misaligned access
        return decode(tinst | 2, 4 if tinst & 2 else 2)
    low = fetch(trap.sepc)
    if low is None:
        return None
    if low & 3 != 3:
        return decode_compressed(low)
    upper = fetch((trap.sepc + 2) & MASK64)
    return None if upper is None else decode(upper << 16 | low, 4)


class Mmio:
    """A guest's accesses to its devices."""

    def __init__(self, guest: Guest, devices: Devices) -> None:
        self.guest = guest
        self.devices = devices

    def emulate(self, trap: Trap) -> None:
        access = decode_trapped(trap, self.guest.fetch)
        if access is not None and self._done(access, faulting_gpa(trap)):
            self.guest.resume((trap.sepc + access.length) & MASK64)
        else:
            self.guest.inject(ACCESS_FAULT[trap.scause], trap.stval)

    def _done(self, access: Access, gpa: int) -> bool:
        if gpa & access.size - 1:
            return False
        x = self.guest.x
        if access.store:
            return self.devices.store(gpa, access.size, x[access.register] & (1 << 8 * access.size) - 1)
        value = self.devices.load(gpa, access.size)
        if value is None:
            return False
        if access.register:
            x[access.register] = access.extend(value)
        return True
