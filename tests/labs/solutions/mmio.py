"""Lab 4, as the starter has it: one step after the other."""

from dataclasses import dataclass

FETCH_GUEST_PAGE, LOAD_GUEST_PAGE, STORE_GUEST_PAGE = 20, 21, 23  # scause: the guest-page fault was a fetch, load or store


@dataclass
class Access:
    """What an instruction does."""

    store: bool
    size: int  # bytes: 1, 2, 4 or 8
    signed: bool  # of a load: the register gets copies of the highest bit
    register: int  # rd of a load, rs2 of a store
    length: int  # bytes of the instruction: 2 or 4


class Mmio:
    def __init__(self, guest, devices):
        self.guest = guest
        self.devices = devices

    def emulate(self, trap):
        access = self.decode_trapped(trap)
        gpa = self.faulting_gpa(trap)
        if access is not None and self.perform(access, gpa):
            self.guest.resume(trap.sepc + access.length)
        else:
            self.access_fault(trap)

    def decode_trapped(self, trap):
        if trap.scause == 20 or trap.htinst in (0x3000, 0x3020):
            return None
        if trap.htinst & 1:
            if trap.htinst >> 15 & 31:
                return None
            return self.decode(trap.htinst | 2, 4 if trap.htinst & 2 else 2)
        low = self.guest.fetch(trap.sepc)
        if low is None:
            return None
        if low & 3 == 3:
            high = self.guest.fetch(trap.sepc + 2)
            if high is None:
                return None
            return self.decode(low | high << 16, 4)
        funct3 = low >> 13
        if low & 3 == 1 or funct3 not in (2, 3, 6, 7):
            return None
        store = funct3 >= 6
        size = 8 if funct3 in (3, 7) else 4
        if low & 3 == 0:
            reg = (low >> 2 & 7) + 8
        elif store:
            reg = low >> 2 & 31
        else:
            reg = low >> 7 & 31
            if reg == 0:
                return None
        return Access(store, size, True, reg, 2)

    def decode(self, word, length):
        funct3 = word >> 12 & 7
        if word & 127 == 0x03 and funct3 != 7:
            return Access(False, 1 << (funct3 & 3), funct3 < 4, word >> 7 & 31, length)
        if word & 127 == 0x23 and funct3 < 4:
            return Access(True, 1 << funct3, False, word >> 20 & 31, length)
        return None

    def faulting_gpa(self, trap):
        return trap.htval << 2 | trap.stval & 3

    def perform(self, access, gpa):
        if gpa % access.size:
            return False
        if access.store:
            value = self.guest.x[access.register] % (1 << 8 * access.size)
            return self.devices.store(gpa, access.size, value)
        value = self.devices.load(gpa, access.size)
        if value is None:
            return False
        if access.signed and value >> 8 * access.size - 1:
            value = (value - (1 << 8 * access.size)) % 2**64
        if access.register != 0:
            self.guest.x[access.register] = value
        return True

    def access_fault(self, trap):
        self.guest.inject({20: 1, 21: 5, 23: 7}[trap.scause], trap.stval)
