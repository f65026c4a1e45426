"""A VCPU: the architectural block of a guest hart, put on the hart and taken off it by a world switch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_BYTES, ARCH_WORDS, SLOT, Prv
from rvhv.errors import ConfigError
from rvhv.hv import registers as r
from rvhv.hv.cpu import Cpu, Registers
from rvhv.hv.interrupts import VirtualInterrupts
from rvhv.hv.world import World, WorldSwitch

if TYPE_CHECKING:
    from rvhv.hart import Hart
    from rvhv.hext.walks.address_map import AddressMap
    from rvhv.hext.walks.record import Walk

LAST_DEADLINE = 1 << 62  # a time (steps) behind this one never comes: clocks go on from the last deadline, and must not wrap
MASK64 = (1 << 64) - 1
GUEST_MODES = ("VS", "VU")
STORED = [name for name in ISA.csrs if SLOT.get(name, ARCH_WORDS) < ARCH_WORDS]  # CSRs that a VCPU has off the hart


class Clock(StrEnum):
    """What a guest's `time` counts: the machine's steps, or only what the VM itself used."""

    MACHINE = "machine"
    VM = "vm"


# of a VCPU's block what has no name that software knows: it counts, or ends with an `sret`
UNNAMED = [SLOT[name] for name in ("vm_steps", "trap_steps", "traps_in_a_row", "reservation", "reservation_size")]
PREEMPTED = r.INTERRUPT | 5  # scause of the supervisor timer interrupt by which a hypervisor gets its hart back


@dataclass(frozen=True)
class GuestHart:
    """`rvhv.hv.world.Guest`."""

    vmid: int
    root: int
    entry: int
    device_tree: int
    hart_id: int = 0


class Worlds:
    """How the VCPUs of a hart change places: by `make`'s world switch, or with one block copy."""

    def __init__(self, hart: Hart, make: Callable[[Registers], WorldSwitch] | None) -> None:
        self.cpu = Cpu(hart)
        self.by_name = make is not None
        self.world: WorldSwitch = World(self.cpu) if make is None else make(self.cpu)


class VCPU:
    """One guest hart. While it is on the hart the hart's state is its state; otherwise its block is."""

    def __init__(self, worlds: Worlds, interrupts: Callable[[Registers], VirtualInterrupts], number: int, clock: Clock) -> None:
        self.hart = worlds.cpu.hart
        self.worlds = worlds
        self.interrupts = interrupts(worlds.cpu)
        self.number = number
        self.clock = clock
        self.csr = CsrFile(self)
        self.loaded = False
        self.gives_way = False  # it leaves the hart before its slice is used up
        self.asleep = False
        self.deadline: int | None = None  # of the last WFI: the clock at which vstimecmp ends it; None: it never does
        self._too_late = False  # it has one, behind LAST_DEADLINE
        self._block = bytearray(ARCH_BYTES)
        self._off_hart = memoryview(self._block).cast("Q")
        self._own_clock = 0

    def setup(self, reset: bytearray, root: int, entry: int, device_tree: int) -> None:
        """Fill the block: `reset` is the block of a hart set up for guests; this one starts in VS-mode at `entry`."""
        hart = self.hart
        hart.restore(reset)
        self._guest = GuestHart(self.number, root, entry, device_tree)
        self.worlds.world.start(self._guest)
        hart.sret()
        self.leave()

    # what a person looks at

    @property
    def state(self) -> memoryview[int]:
        """The architectural state, to be indexed with SLOT, wherever it is now."""
        return self.hart.state if self.loaded else self._off_hart

    @property
    def x(self) -> memoryview[int]:
        """The integer registers x0 to x31. Writing x0 is a mistake."""
        return self.state[r.X0 : r.X0 + 32]

    @property
    def pc(self) -> int:
        return self.state[r.PC]

    @property
    def steps(self) -> int:
        return self.state[r.VM_STEPS]

    @property
    def instructions(self) -> int:
        """Instructions retired."""
        return self.state[r.VM_STEPS] - self.state[r.TRAP_STEPS]

    @property
    def now(self) -> int:
        """Its clock in steps."""
        return self._own_clock if self.clock is Clock.VM and not self.loaded else self.hart.state[r.CLOCK]

    def walk(self, gva: int, access: str = "load", *, size: int | None = None, mode: str | None = None) -> Walk:
        """Every memory access that translating `gva` takes in both stages, and where it ends or which rule refuses.

        `access`: "load", "store", "fetch" or "hlvx"; `mode`: "VS" or "VU" (None: the mode that it is in, or left with its
        last trap). Works wherever the VCPU is, and changes nothing. Raises ConfigError for another word.
        """
        from rvhv.hext.walks import context, recorder  # only who looks pays for it

        mode = context.guest_mode(self.state) if mode is None else mode
        if mode not in GUEST_MODES:
            raise ConfigError(f"{mode!r} is no mode of a guest: there are {', '.join(GUEST_MODES)}")
        return recorder.walk(self.state, self.hart.memory, gva, access, size=size, mode=mode, devices=False)

    def walk_gpa(self, gpa: int, access: str = "load", *, implicit: bool = False) -> Walk:
        """The same for a guest physical address: the G-stage alone. `implicit`: as for an access to a VS-stage table."""
        from rvhv.hext.walks import recorder

        return recorder.walk_gpa(self.state, self.hart.memory, gpa, access, implicit=implicit, devices=False)

    def map(self) -> AddressMap:
        """The guest's address space in ranges, with the rights of both stages; wherever the VCPU is, and changes nothing."""
        from rvhv.hext.walks import address_map, context

        return address_map.address_map(self.state, self.hart.memory, context.guest_mode(self.state))

    # the world switch

    def enter(self) -> None:
        """Put this VCPU on the hart."""
        hart = self.hart
        if self.worlds.by_name:
            self.worlds.world.restore(self._guest)
            hart.sret()
            for slot in UNNAMED:
                hart.state[slot] = self._off_hart[slot]
        else:
            hart.restore(self._block)
        hart.state[r.TRACE_VM] = self.number
        if self.clock is Clock.VM:
            hart.state[r.CLOCK] = self._own_clock
        self.loaded = True
        self.gives_way = False
        self.interrupts.enter()

    def leave(self) -> None:
        """Take this VCPU off the hart, after the `sret` that ended its last exit."""
        if self.loaded:
            self.interrupts.leave()
        self._own_clock = self.hart.state[r.CLOCK]
        self.hart.save(self._block)
        self.loaded = False
        if self.worlds.by_name:
            self.preempt()
            self.worlds.world.save(self._guest)

    def preempt(self) -> None:
        """The trap into HS-mode that the end of a slice is on hardware."""
        hart, state = self.hart, self.hart.state
        if not state[r.V]:
            return  # its last exit ended with no `sret`: it has stopped
        supervisor = state[r.PRV] == Prv.S
        hart.write_csr("hstatus", hart.read_csr("hstatus") & ~(r.SPVP | r.GVA) | r.SPV | (r.SPVP if supervisor else 0))
        sstatus = hart.read_csr("sstatus")
        spie = r.SPIE if sstatus & r.SIE else 0
        hart.write_csr("sstatus", sstatus & ~(r.SPP | r.SPIE | r.SIE) | spie | (r.SPP if supervisor else 0))
        for csr, value in (("sepc", state[r.PC]), ("scause", PREEMPTED), ("stval", 0), ("htval", 0), ("htinst", 0)):
            hart.write_csr(csr, value)
        state[r.PRV], state[r.V] = Prv.S, 0
        state[r.PC] = hart.read_csr("stvec") & ~3

    def step_over(self, length: int) -> None:
        """The instruction at sepc, `length` bytes long, was emulated: the next `sret` goes behind it."""
        self.resume((self.hart.state[r.SEPC] + length) & MASK64)

    def resume(self, pc: int) -> None:
        """The next `sret` goes there."""
        self.hart.write_csr("sepc", pc)
        self.hart.state[r.TRAPS_IN_A_ROW] = 0  # the guest gets on: no trap loop

    # waiting

    def wait(self) -> None:
        """WFI: give way until an enabled interrupt is pending; not if one is already."""
        if not self.interrupts.wait():
            return
        self.gives_way = True
        ticks = self.interrupts.deadline
        self._too_late = ticks is not None and ticks * r.STEPS_PER_TICK > LAST_DEADLINE
        self.deadline = None if ticks is None or self._too_late else ticks * r.STEPS_PER_TICK
        if self.clock is Clock.VM and self.deadline is not None:
            self.hart.state[r.CLOCK] = self.deadline  # a clock of its own jumps at once: nobody else can tell
        else:
            self.asleep = True

    def awake(self, clock: int) -> bool:
        """Whether it can run at `clock`; ends its sleep if so."""
        if self.asleep:
            self.asleep = not self.interrupts.awake(clock // r.STEPS_PER_TICK)
        return not self.asleep

    @property
    def sleeps_until(self) -> str:
        """What its last WFI waits for, besides devices, when that is no time that comes."""
        return "a deadline no clock reaches (over 146 years away)" if self._too_late else "no deadline"


class CsrFile(MutableMapping[str, int]):
    """`vcpu.csr["vsepc"]`: CSRs by specification name. Off the hart, there are only the stored ones, to be read."""

    def __init__(self, vcpu: VCPU) -> None:
        self._vcpu = vcpu

    def __getitem__(self, name: str) -> int:
        if name not in ISA.csrs:
            raise KeyError(name)
        if self._vcpu.loaded:
            return self._vcpu.hart.read_csr(name)
        if name not in STORED:
            raise ConfigError(f"{name} is computed from others: read it while its VCPU is on the hart")
        return self._vcpu.state[SLOT[name]]

    def __setitem__(self, name: str, value: int) -> None:
        if not self._vcpu.loaded:
            raise ConfigError(f"{name} cannot be written: its VCPU is not on the hart")
        self._vcpu.hart.write_csr(name, value & MASK64)

    def __delitem__(self, name: str) -> None:
        raise TypeError("a CSR cannot be deleted")

    def __iter__(self) -> Iterator[str]:
        return iter(ISA.csrs if self._vcpu.loaded else STORED)

    def __len__(self) -> int:
        return sum(1 for _ in self)
