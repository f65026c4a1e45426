"""Lab 4: a guest loads from a device, or stores to it.

Fill in what raises `NotImplementedError`, from top to bottom; `rvhv lab check` says how far you are. You may add methods,
functions and files of your own. What you are given:

  trap.scause, trap.sepc, trap.stval, trap.htval, trap.htinst   the CSRs, as the trap into HS-mode left them

  guest.x[n], guest.x[n] = value    the guest's integer registers; values are from 0 to 2**64 - 1
  guest.fetch(gva)                  the 16 bits of code at a guest virtual address, as the guest would fetch them, or None
  guest.resume(pc)                  the guest goes on at pc
  guest.inject(cause, tval)         the instruction at sepc raises an exception in the guest

  devices.load(gpa, size)           what the device gives (size: 1, 2, 4 or 8 bytes), or None: nothing there takes this
  devices.store(gpa, size, value)   True, or False: nothing there takes this

Call `resume` once for an access that was done, or `inject` once for one that could not be.
"""

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
        """A guest-page fault where there is no RAM: do the access on a device, or give the guest an access fault."""
        access = self.decode_trapped(trap)
        gpa = self.faulting_gpa(trap)
        if access is not None and self.perform(access, gpa):
            self.guest.resume(trap.sepc + access.length)
        else:
            self.access_fault(trap)

    def decode_trapped(self, trap):
        """The Access of the instruction that trapped, or None if it is no plain load or store.

        From trap.htinst (step 1); when that is 0, from the code at trap.sepc (step 5).
        """
        raise NotImplementedError("decode_trapped: which load or store was it? (handout, step 1)")

    def faulting_gpa(self, trap):
        """The guest physical address of the access."""
        raise NotImplementedError("faulting_gpa: put it together from htval and stval (handout, step 2)")

    def perform(self, access, gpa):
        """Do it on a device. Return whether that worked: a misaligned access does not."""
        raise NotImplementedError("perform: load and extend, or store (handout, step 3)")

    def access_fault(self, trap):
        """Give the guest the access fault that it would have on real hardware."""
        raise NotImplementedError("access_fault: inject an exception; which cause? (handout, step 4)")
