"""Lab 5: interrupts, sleep and exceptions of a guest.

Fill in what raises `NotImplementedError`; `rvhv lab check` says how far you are. You may add methods, functions and files of
your own. The hart is in HS-mode when you are called, and this is how you reach its registers:

  cpu.read_csr("hvip")              the value of a CSR by its name
  cpu.write_csr("hvip", value)      write one; a field that cannot hold what is written keeps to its own rules (WARL)
  cpu.mask("hvip", "VSEIP")         the bits of a field: here 1 << 10

Times are in ticks, numbers of 64 bits: `cpu.read_csr("time")` is the machine's.
"""


class Interrupts:
    """Those of one guest. There are other guests, and one set of registers for all."""

    def __init__(self, cpu):
        self.cpu = cpu
        self.deadline = None  # of the last `wait`: the machine's time at which the guest's timer ends it; None: it does not

    def set_timer(self, stime_value):
        """The guest, which is on the hart, wants an interrupt when its time has come to `stime_value`, and none before."""
        raise NotImplementedError("set_timer: which register is it that the guest's time is compared with? (handout, step 1)")

    def set_external(self, level):
        """The line from the guest's interrupt controller is high (True) or low (False) now. The guest may be off the hart."""
        raise NotImplementedError("set_external: show the line in hvip.VSEIP, if the guest is on the hart (handout, step 2)")

    def enter(self):
        """The guest's registers have just been put on the hart."""

    def leave(self):
        """The guest's registers are about to be taken off the hart."""

    def wait(self):
        """The guest, which is on the hart, executed WFI. Return whether it has to wait, and set `deadline` if so."""
        raise NotImplementedError("wait: is an interrupt that is enabled pending? (handout, step 4)")

    def awake(self, time):
        """The guest waits, off the hart. Return whether it can go on at `time` of the machine."""
        raise NotImplementedError("awake: the deadline has come, or a device interrupts (handout, step 5)")

    def exception(self, cause, tval):
        """The instruction at sepc, of the guest on the hart, is to raise this exception in the guest."""
        raise NotImplementedError("exception: what the hart does when it takes a trap, by hand (handout, step 6)")
