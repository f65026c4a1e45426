"""Lab 3: a guest calls the SBI.

Fill in what raises `NotImplementedError`, from top to bottom; `rvhv lab check` says how far you are. You may add methods,
functions and files of your own. What you are given:

  guest.x[n], guest.x[n] = value   the guest's integer registers; values are from 0 to 2**64 - 1
  guest.resume(pc)                 the guest goes on at pc
  guest.set_timer(time)            its timer interrupt comes at this time
  guest.power_off(how, failed, reboot)
                                   ends the machine: `how` is a word or two for people, the others are True or False

  guest.ram.covers(gpa, n)         whether all n bytes from guest physical address gpa on are RAM of the guest
  guest.ram.read(gpa, n)           n bytes of it (65536 at most)
  guest.ram.write(gpa, data)       puts bytes there

  guest.console.write(data)        prints bytes
  guest.console.read(n)            takes bytes that were typed: n at most, none if none were typed
"""

A0, A1, A2, A6, A7 = 10, 11, 12, 16, 17  # numbers of registers

SUCCESS = 0
ERR_NOT_SUPPORTED = -2
ERR_INVALID_PARAM = -3

BASE, TIME, DBCN, SRST = 0x10, 0x54494D45, 0x4442434E, 0x53525354
MOST_BYTES = 4096  # that the console moves in one call


class Sbi:
    def __init__(self, guest):
        self.guest = guest
        self.extensions = {BASE: self.base, TIME: self.time, DBCN: self.dbcn, SRST: self.srst}

    def ecall(self, pc):
        """The guest made a call, with the ecall at pc: EID in a7, FID in a6, arguments from a0 on.

        Answer in a0 and a1, and let it go on.
        """
        raise NotImplementedError("ecall: find the extension, ask it, give the answer, resume (handout, step 1)")

    # Each extension gets FID, a0, a1 and a2, and returns (error, value).

    def base(self, fid, a0, a1, a2):
        raise NotImplementedError("base: which SBI is this? (handout, step 2)")

    def time(self, fid, a0, a1, a2):
        raise NotImplementedError("time: set_timer (handout, step 3)")

    def dbcn(self, fid, a0, a1, a2):
        raise NotImplementedError("dbcn: write, read, write_byte (handout, steps 4 and 5)")

    def srst(self, fid, a0, a1, a2):
        raise NotImplementedError("srst: system_reset (handout, step 6)")
