"""A part in C that works on a hart's CSRs: lab 1's.

It runs on a hart of its own, which takes no time of the machine's. That has the configuration and the CSRs of the judged one when
a function is called, and the judged one gets back what is the part's to write. The guest's x and f are in memory meanwhile.
"""

from __future__ import annotations

from typing import Any

from rvhv.cpu.state import ARCH_BYTES, SLOT
from rvhv.grade.cpart import BASE, END, CPart
from rvhv.hv.cpu import REGISTERS, Cpu
from rvhv.hv.world import ENTRY_CSRS, GUEST_CSRS
from rvhv.machine.image import Image
from rvhv.machine.memory import PAGE, Memory

WORD = 8
FRAME = 2 * REGISTERS * WORD  # struct frame; twin: labs/01-enter/starter-c/world.h
FIELDS = ("vmid", "root", "entry", "device_tree", "hart_id")  # struct guest; twin: the same
BACK = (*GUEST_CSRS, *ENTRY_CSRS)  # fcsr before sstatus, whose FS it changes


class CWorld(CPart):
    """`this` of its functions is a struct frame, and a struct guest is behind it."""

    def __init__(self, image: Image, prefix: str, file: str) -> None:
        super().__init__(image, prefix, file, struct=2 * FRAME)

    def make(self, *args: Any) -> None:
        """Load it into a memory that nobody else has. Raises PartFailed."""
        cpu = self._offered["cpu"].stands_for
        assert isinstance(cpu, Cpu)
        self._cpu = cpu
        self._load(Memory(END - BASE + PAGE))

    def call(self, name: str, *args: Any) -> Any:
        """Call a function with the guest's registers and what there is to know of the guest. Raises PartFailed."""
        (guest,) = args
        cpu, hart, memory = self._cpu, self._hart, self._memory
        assert hart is not None and memory is not None
        block = bytearray(ARCH_BYTES)
        cpu.hart.save(block)
        hart.restore(block)
        hart.state[SLOT["traps_in_a_row"]] = 0  # a guest that was stopped for them is not the part
        self._take_traps()
        memory.write(
            self._this, b"".join(cpu.hart.state[SLOT[first] : SLOT[first] + REGISTERS].tobytes() for first in ("x0", "f0"))
        )
        facts = b"".join(int(getattr(guest, field)).to_bytes(WORD, "little") for field in FIELDS)
        memory.write(self._this + FRAME, facts)
        self._call(name, [self._this, self._this + FRAME], ["frame", "guest"])
        words = memoryview(memory.read(self._this, FRAME)).cast("Q")
        for n in range(REGISTERS):
            if n:  # x0 is always zero
                cpu.x[n] = words[n]
            cpu.f[n] = words[REGISTERS + n]
        for csr in BACK:
            cpu.write_csr(csr, hart.read_csr(csr))
