"""Guest-page faults outside RAM: a load or store is done on a device, all else is an access fault for the guest."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from rvhv.core.registry import ISA
from rvhv.hv import fetch
from rvhv.hv import registers as r
from rvhv.isa.effects import Load, Store
from rvhv.machine.bus import BusFault

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MASK64 = (1 << 64) - 1
ADDRESS_OFFSET = 0x1F << 15  # of a transformed instruction: nonzero in the upper part of a misaligned access
PSEUDO_LOAD, PSEUDO_STORE = 0x3000, 0x3020  # a VS-stage page table was read, or its A and D bits written
PSEUDO = (PSEUDO_LOAD, PSEUDO_STORE)
# the access behind a guest-page fault, as `VCPU.walk` names it
ACCESS = {r.FETCH_GUEST_PAGE: "fetch", r.LOAD_GUEST_PAGE: "load", r.STORE_GUEST_PAGE: "store"}
ACCESS_FAULT = {
    r.FETCH_GUEST_PAGE: r.FETCH_ACCESS,
    r.LOAD_GUEST_PAGE: r.LOAD_ACCESS,
    r.STORE_GUEST_PAGE: r.STORE_ACCESS,
}


def faulting_gpa(vm: VM) -> int:
    """The gpa of the guest-page fault just taken: htval, with the low bits of stval unless a VS-stage walk faulted."""
    state = vm.hart.state
    gpa = state[r.HTVAL] << 2
    return gpa if state[r.HTINST] in PSEUDO else gpa | state[r.STVAL] & 3


def refusal(vm: VM) -> str:
    """Why the G-stage refused the access of the guest-page fault just taken, as a phrase that names the PTE and its bit."""
    state = vm.hart.state
    tinst = state[r.HTINST]
    implicit = tinst in PSEUDO
    access = ("store" if tinst == PSEUDO_STORE else "load") if implicit else ACCESS[state[r.SCAUSE]]
    walk = vm.vcpu.walk_gpa(faulting_gpa(vm), access, implicit=implicit)
    return walk.refused or "nothing: the tables allow it"


@dataclass(frozen=True, slots=True)
class Access:
    """A load or store as its row describes it; `register` is rd of a load and rs2 of a store."""

    name: str
    store: bool
    size: int  # bytes
    signed: bool
    register: int
    length: int  # bytes of the instruction

    def extend(self, value: int) -> int:
        """What rd gets for the device's `value`."""
        value &= (1 << 8 * self.size) - 1
        if self.signed and value >> 8 * self.size - 1:
            value |= MASK64 ^ (1 << 8 * self.size) - 1
        return value


@lru_cache(maxsize=4096)
def decode(word: int, length: int) -> Access | None:
    """The access that the instruction `word` makes, from its row; None when it is no plain load or store."""
    found = ISA.decode(word)
    if found is None:
        return None
    insn, fields, _ = found
    match insn.effects:
        case (Load(size=size, signed=signed, via="data"),):
            return Access(insn.name, False, size, signed, fields["rd"], length)
        case (Store(size=size, via="data"),):
            return Access(insn.name, True, size, False, fields["rs2"], length)
    return None


def decode_trapped(vm: VM) -> Access | None:
    """The load or store that trapped: from htinst, or when that says nothing from the guest's code at sepc."""
    state = vm.hart.state
    tinst = state[r.HTINST]
    if state[r.SCAUSE] == r.FETCH_GUEST_PAGE or tinst in PSEUDO:
        return None  # the fetch itself, or a page table outside RAM
    if tinst & 1 and not tinst >> 32:
        if tinst & ADDRESS_OFFSET:
            return None  # the upper part of a misaligned access
        return decode(tinst | 2, 4 if tinst & 2 else 2)
    word = fetch.instruction(vm, state[r.SEPC])
    return None if word is None else decode(word, 4 if word & 3 == 3 else 2)


def emulate(vm: VM, gpa: int) -> None:
    """Do the access that faulted at `gpa` on the VM's bus and step over it, or inject an access fault."""
    state = vm.hart.state
    access = decode_trapped(vm)
    if access is not None and not gpa & access.size - 1:
        found = vm.bus.find(gpa, access.size)
        if found is not None:
            device, offset = found
            try:
                if access.store:
                    device.store(offset, access.size, state[r.X0 + access.register] & (1 << 8 * access.size) - 1)
                else:
                    value = access.extend(device.load(offset, access.size))
                    if access.register:
                        state[r.X0 + access.register] = value
            except BusFault:
                pass
            else:
                vm.vcpu.step_over(access.length)
                return
    vm.vcpu.interrupts.exception(ACCESS_FAULT[state[r.SCAUSE]], state[r.STVAL])
