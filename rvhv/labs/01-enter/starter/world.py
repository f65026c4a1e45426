"""Lab 1: enter a guest, and switch between guests.

Fill in what raises `NotImplementedError`, from top to bottom; `rvhv lab check` says how far you are. You may add methods,
functions and files of your own. The hart is in HS-mode, and this is how you reach its registers:

  cpu.x[n], cpu.f[n]                integer and floating-point registers by number: to read and to write
  cpu.read_csr("hstatus")           the value of a CSR by its name
  cpu.write_csr("sepc", value)      write one; a field that cannot hold what is written keeps to its own rules (WARL)
  cpu.mask("hstatus", "SPV")        the bits of a field: here 1 << 7

And this is what there is to know of a guest:

  guest.vmid           its number, from 1 on: no two guests have the same
  guest.root           the spa of the root table of its G-stage, which is there already
  guest.entry          the gpa of its first instruction
  guest.device_tree    the gpa of the description of its machine
  guest.hart_id        the number of its hart, as the guest knows it
"""

GUEST_CSRS = ()  # the CSRs that are a guest's own (handout, step 4)


class World:
    def __init__(self, cpu):
        self.cpu = cpu
        self.saved = {}  # a place for the registers of guests that are not on the hart

    def start(self, guest):
        """The hypervisor is about to execute sret, which is to be the guest's first entry. Write what that takes."""
        raise NotImplementedError("start: hgatp, hstatus, sstatus, sepc, a0 and a1, and then what others left (handout, step 1)")

    def save(self, guest):
        """The guest has trapped and another one is to come: keep everything that is in registers and is the guest's."""
        raise NotImplementedError("save: x, f and CSRs go to self.saved[guest.vmid] (handout, step 5)")

    def restore(self, guest):
        """The guest is to go on where it was when it was saved, as soon as the hypervisor executes sret."""
        raise NotImplementedError("restore: what save has kept goes back to where it was (handout, step 6)")
