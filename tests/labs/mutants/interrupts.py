"""Lab 5."""

from __future__ import annotations

from tests.labs.mutants import mutant

PAST = 'stime_value <= (self.cpu.read_csr("time") + self.cpu.read_csr("htimedelta") & MASK64)'
SET_TIMER = 'self.cpu.write_csr("vstimecmp", stime_value)'
WANTED = "wanted = hvip | self._vseip if self.external else hvip & ~self._vseip"
ON_HART = "        if self._on_hart:\n            self._drive()\n"
DEADLINE = 'return time + vstimecmp - (time + cpu.read_csr("htimedelta") & MASK64)'
HELD = "(self._wakes_on_external and self.external)"
TO_VS = 'cpu.write_csr("sstatus", cpu.read_csr("sstatus") | self._spp)'

MUTANTS = [
    mutant(
        "the timer in the machine's time",
        (SET_TIMER, 'self.cpu.write_csr("vstimecmp", stime_value - self.cpu.read_csr("htimedelta") & MASK64)'),
        loses="guest-time deadline",
        says=("at the guest's time", "htimedelta"),
    ),
    mutant(
        "a timer in the past is made pending by hand, and stays so",
        (
            SET_TIMER,
            SET_TIMER + f'\n        if {PAST}:\n            self.cpu.write_csr("hvip", 64)',
        ),
        loses="timer guest-time",
        says=("VSTIP to be 0", "hvip=0x40"),
    ),
    mutant(
        "a timer in the past is ignored",
        (SET_TIMER, f"if not {PAST}:\n            {SET_TIMER}"),
        loses="timer guest-time",
        says="VSTIP to be",
    ),
    mutant(
        "all of hvip for a line",
        (WANTED, "wanted = self._vseip if self.external else 0"),
        loses="external",
        says="hvip.VSSIP to be 1",
    ),
    mutant(
        "the line is never lowered",
        (WANTED, "wanted = hvip | self._vseip if self.external else hvip"),
        loses="external off-hart",
        says="hvip.VSEIP to be 0 after set_external(False)",
    ),
    mutant(
        "the other guest gets the interrupt",
        (ON_HART, "        self._drive()\n"),
        loses="off-hart",
        says=("while vm2 is on the hart", "VSEIP"),
    ),
    mutant(
        "an interrupt is lost while the guest is off the hart",
        (
            "        self.external = level\n" + ON_HART,
            "        if self._on_hart:\n            self.external = level\n            self._drive()\n",
        ),
        loses="off-hart device-wakes",
        says=("enter of vm1, whose line is high", "it is 0"),
    ),
    mutant(
        "the world switch brings no line",
        ("self._on_hart = True\n        self._drive()", "self._on_hart = True"),
        loses="off-hart",
        says="enter of vm1",
    ),
    mutant(
        "WFI with SIE=0 sleeps on",
        ('if cpu.read_csr("hip") & enabled:', 'if cpu.read_csr("hip") & enabled and cpu.read_csr("vsstatus") & self._sie:'),
        loses="falls-through",
        says=("wait to return False", "vsstatus.SIE=0"),
    ),
    mutant(
        "what is not enabled ends WFI too",
        ('if cpu.read_csr("hip") & enabled:', 'if cpu.read_csr("hip"):'),
        loses="falls-through",
        says=("wait to return True", "hie="),
    ),
    mutant(
        "WFI always gives way",
        ('        if cpu.read_csr("hip") & enabled:\n            return False\n', ""),
        loses="falls-through",
        says="an enabled interrupt is pending",
    ),
    mutant("the deadline in the guest's time", (DEADLINE, "return vstimecmp"), loses="deadline", says="`deadline` to be"),
    mutant(
        "htimedelta with the wrong sign",
        (DEADLINE, 'return vstimecmp + cpu.read_csr("htimedelta") & MASK64'),
        loses="deadline",
        says="`deadline` to be",
    ),
    mutant(
        "a timer that is not enabled wakes",
        ("self._timer() if enabled & self._vstie else None", "self._timer()"),
        loses="deadline",
        says=("`deadline` to be None", "hie="),
    ),
    mutant(
        "~0 is a time like any other",
        ("if vstimecmp == NEVER:", "if False:"),
        loses="deadline",
        says="`deadline` to be None",
    ),
    mutant("a tick too late", ("self.deadline <= time", "self.deadline < time"), loses="deadline", says="to be True after WFI"),
    mutant(
        "the deadline stays from last time",
        ("self.deadline = self._timer() if enabled & self._vstie else None", "self.deadline = self._timer() or self.deadline"),
        loses="deadline",
        says="`deadline` to be None",
    ),
    mutant("a device always wakes", (HELD, "self.external"), loses="device-wakes", says="to be False after WFI"),
    mutant("a device never wakes", (HELD, "False"), loses="device-wakes", says="the line high"),
    mutant(
        "SIE stays on in the handler",
        ("before & ~(self._spp | self._spie | self._sie)", "before & ~(self._spp | self._spie)"),
        loses="exception",
        says=("vsstatus to be", "SIE differs"),
    ),
    mutant(
        "SPIE is forgotten",
        ("        if before & self._sie:\n            vsstatus |= self._spie\n", ""),
        loses="exception",
        says=("vsstatus to be", "SPIE differs"),
    ),
    mutant(
        "every trap comes from the kernel",
        ('if cpu.read_csr("hstatus") & self._spvp:', "if True:"),
        loses="exception",
        says=("in VU-mode", "SPP differs"),
    ),
    mutant(
        "vsstatus written whole",
        ("vsstatus = before & ~(self._spp | self._spie | self._sie)", "vsstatus = 0"),
        loses="exception",
        says="vsstatus to be",
    ),
    mutant(
        "exceptions are vectored",
        ("& self._base)", '& self._base | (4 * cause if cpu.read_csr("vstvec") & 1 else 0))'),
        loses="exception",
        says=("vstvec.BASE", "sret goes to"),
    ),
    mutant("the handler runs in VU-mode", (TO_VS, "pass"), loses="exception hosts-guests", says=("in VS-mode", "sstatus.SPP=1")),
    mutant(
        "the exception is behind the instruction",
        ('cpu.write_csr("vsepc", cpu.read_csr("sepc"))', 'cpu.write_csr("vsepc", cpu.read_csr("sepc") + 4)'),
        loses="exception hosts-guests",
        says="vsepc to be",
    ),
]
