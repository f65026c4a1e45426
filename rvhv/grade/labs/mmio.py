"""Lab 4: accesses to devices. Judged by what devices and registers see when a guest loads and stores, one access at a time."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

from rvhv.core.registry import ISA
from rvhv.cpu import pte as p
from rvhv.grade.check import AnyPart, Bench, Checks, Lost
from rvhv.grade.part import Offered, items, method, u64, whole
from rvhv.hart import Hart
from rvhv.hv import VM, Hypervisor
from rvhv.hv import registers as r
from rvhv.hv.mmio import ACCESS_FAULT, Devices, Emulator, Guest, Mmio, Trap
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.bus import BusFault
from rvhv.machine.image import Image, Segment

CHECKS = Checks()
MASK64 = (1 << 64) - 1
PAGE = 4096
MEMORY = 4 << 20  # of the VM
CODE = BOARD.image_base
CODE_SIZE = 1 << 20
TABLES = BOARD.ram_base + 0x10_0000  # the guest's page tables
VECTOR = CODE + CODE_SIZE  # the guest's stvec
DEVICE = 0x4000_0000
BEHIND_RAM = BOARD.ram_base + MEMORY
NOWHERE = 0x5000_0000
FIFO_DATA, FIFO_STATUS = 0, 8
LETTERS = {1: "b", 2: "h", 4: "w", 8: "d"}
PROGRAM_STEPS = 1_000_000
WIDTHS = (1, 2, 4, 8)


class Notes:
    """A device of any width that gives random bytes."""

    def __init__(self, name: str, base: int, rng: random.Random) -> None:
        self.name, self.base, self.size = name, base, PAGE
        self._rng = rng
        self.top: int | None = None  # of what it gives: the highest bit

    def load(self, offset: int, size: int) -> int:
        value = self._rng.getrandbits(8 * size)
        high = 1 << 8 * size - 1
        return value if self.top is None else value | high if self.top else value & ~high

    def store(self, offset: int, size: int, value: int) -> None:
        """It takes everything."""


class Fifo:
    """DATA: a load takes bytes out, a store puts bytes in, as many as it is wide. STATUS, 4 bytes wide and for loads only: how
    many are in it."""

    name, size = "fifo", PAGE

    def __init__(self, base: int) -> None:
        self.base = base
        self._bytes = b""

    def load(self, offset: int, size: int) -> int:
        if offset == FIFO_STATUS and size == 4:
            return len(self._bytes)
        if offset != FIFO_DATA:
            raise BusFault("not there, or of another width")
        data, self._bytes = self._bytes[:size], self._bytes[size:]
        return int.from_bytes(data, "little")

    def store(self, offset: int, size: int, value: int) -> None:
        if offset != FIFO_DATA:
            raise BusFault("not there, or not to be written")
        self._bytes += (value & (1 << 8 * size) - 1).to_bytes(size, "little")


@dataclass(frozen=True)
class Insn:
    """A load or store: `text` in assembly; `width` in bytes, `register` rd or rs2, `base` rs1."""

    text: str
    store: bool
    width: int
    signed: bool
    register: int
    base: int
    offset: int
    length: int = 4

    @property
    def kind(self) -> str:
        return "store" if self.store else "load"


def plain(rng: random.Random, name: str, register: int | None = None) -> Insn:
    """A 32-bit load or store: lb to ld, sb to sd."""
    store, signed = name[0] == "s", name[-1] != "u"
    width = next(width for width, letter in LETTERS.items() if name[1] == letter)
    base = rng.randrange(1, 32)
    if register is None:
        register = rng.randrange(1, 32)
        while store and register == base:
            register = rng.randrange(1, 32)  # what is stored would be an address, which is the same for everybody
    offset = rng.randrange(-2048, 2048)
    return Insn(f"{name} x{register}, {offset}(x{base})", store, width, signed, register, base, offset)


def compressed(rng: random.Random, name: str) -> Insn:
    """c.lw, c.ld, c.sw, c.sd; c.lwsp, c.ldsp, c.swsp, c.sdsp."""
    store, by_sp, width = name[2] == "s", name.endswith("sp"), 8 if name[3] == "d" else 4
    base = 2 if by_sp else rng.randrange(8, 16)
    register = rng.choice([n for n in (range(3, 32) if by_sp else range(8, 16)) if n != base or not store])
    offset = width * rng.randrange(32)
    return Insn(f"{name} x{register}, {offset}({'sp' if by_sp else f'x{base}'})", store, width, True, register, base, offset, 2)


LOADS = ("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu")
STORES = ("sb", "sh", "sw", "sd")
COMPRESSED = ("c.lw", "c.ld", "c.sw", "c.sd", "c.lwsp", "c.ldsp", "c.swsp", "c.sdsp")


class Line:
    """The part's guest and devices, which notes what is asked of it."""

    def __init__(self, guest: Guest, devices: Devices) -> None:
        self.guest, self.devices = guest, devices
        self.accesses: list[tuple[str, int, int, int]] = []  # kind, gpa, width, value (or what was loaded)
        self.resumed: list[int] = []
        self.injected: list[tuple[int, int]] = []

    def forget(self) -> None:
        self.accesses, self.resumed, self.injected = [], [], []

    def load(self, gpa: int, size: int) -> int | None:
        self._width(size)
        value = self.devices.load(gpa, size)
        if value is not None:
            value &= (1 << 8 * size) - 1
        self.accesses.append(("load", gpa, size, value or 0))
        return value

    def store(self, gpa: int, size: int, value: int) -> bool:
        self._width(size)
        self.accesses.append(("store", gpa, size, value))
        return self.devices.store(gpa, size, value & (1 << 8 * size) - 1)

    @staticmethod
    def _width(size: int) -> None:
        if size not in WIDTHS:
            raise ValueError(f"size must be 1, 2, 4 or 8, not {size}")

    def resume(self, pc: int) -> None:
        self.resumed.append(pc)
        self.guest.resume(pc)

    def inject(self, cause: int, tval: int) -> None:
        self.injected.append((cause, tval))
        self.guest.inject(cause, tval)

    def offer(self, part: AnyPart) -> tuple[Offered, Offered]:
        x = self.guest.x
        guest = Offered(
            "guest",
            {
                "x": items(lambda n: x[n], lambda n, value: x.__setitem__(n, value), whole(0, 31)),
                "fetch": method(self.guest.fetch, gva=u64),
                "resume": method(self.resume, pc=u64),
                "inject": method(self.inject, cause=whole(0, 63), tval=u64),
            },
            self,
        )
        size = whole(1, 8)
        devices = Offered(
            "devices",
            {"load": method(self.load, gpa=u64, size=size), "store": method(self.store, gpa=u64, size=size, value=u64)},
            self,
        )
        return part.offer(guest), part.offer(devices)


class Watched:
    """The part in a hypervisor. `silent`: a hart that is never to write htinst, as the specification allows."""

    def __init__(self, part: AnyPart, guest: Guest, devices: Devices, silent: Hart | None = None) -> None:
        self.part, self.silent = part, silent
        self.line = Line(guest, devices)
        self.trap: Trap | None = None
        part.make(*self.line.offer(part))

    def emulate(self, trap: Trap) -> None:
        if self.silent is not None:
            self.silent.write_csr("htinst", 0)
            trap = trap._replace(htinst=0)
        self.trap = trap
        self.line.forget()
        self.part.call("emulate", SimpleNamespace(**trap._asdict()))


class Machine:
    """A VM whose guest makes one access after the other."""

    vm: VM
    watched: Watched

    def __init__(self, bench: Bench, *, htinst: bool = True) -> None:
        self.rng = bench.rng

        def make(guest: Guest, devices: Devices) -> Emulator:
            self.watched = Watched(bench.part, guest, devices, None if htinst else self.hv.hart)
            return self.watched

        bench.target = self.hv = Hypervisor("16M", mmio=make, tier="interp")
        self.hart = self.hv.hart
        self._assembler = Assembler(ISA)
        self.vm = self.hv.create("vm1", image(self._assembler.program("nop", CODE)), memory=MEMORY, reserve=True)
        self.notes = Notes("notes", DEVICE, self.rng)
        self.vm.bus.attach(self.notes)
        self.hv.run(1)  # the VM is on the hart now
        self.hart.write_csr("vstvec", VECTOR)
        self.pc = CODE + 2 * self.rng.randrange(CODE_SIZE // 4)

    @property
    def line(self) -> Line:
        return self.watched.line

    def prepare(self, insn: Insn, gva: int) -> list[int]:
        """Random registers, but for the one that the address comes from; the registers then."""
        state = self.hart.state
        for n in range(1, 32):
            state[r.X0 + n] = self.rng.getrandbits(64)
        state[r.X0 + insn.base] = (gva - insn.offset) & MASK64
        self.put(insn.text)
        return [state[r.X0 + n] for n in range(32)]

    def put(self, text: str) -> None:
        self.vm.ram.write(self.pc, self._assembler.program(text, self.pc))
        self.hart.state[r.PC] = self.pc

    def go(self) -> None:
        """Until the access was answered."""
        self.hv.run(1)

    # what is looked at

    def must_work(self, insn: Insn, gpa: int, gva: int | None = None) -> None:
        """The access is done on the device, its register gets what it should, and the guest goes on behind it."""
        gva = gpa if gva is None else gva
        before = self.prepare(insn, gva)
        self.go()
        line, text = self.line, f"`{insn.text}` at gpa {gpa:#x}"
        wanted = f"a {insn.kind} of {insn.width} byte{'s' * (insn.width > 1)} on the device at gpa {gpa:#x} for {text}"
        if line.injected:
            cause = line.injected[0][0]
            raise Lost(wanted, f"the guest got exception {cause}, {r.cause_text(cause)}", "csr htinst")
        if not line.accesses:
            raise Lost(wanted, "there was none", "csr htinst")
        kind, at, width, value = line.accesses[0]
        if (kind, at, width) != (insn.kind, gpa, insn.width):
            raise Lost(wanted, f"it was a {kind} of {width} at {at:#x}", "csr htinst")
        if len(line.accesses) > 1:
            raise Lost(f"one access to the device for {text}: devices notice each", f"there were {len(line.accesses)}")
        after = list(before)
        if insn.store:
            self._stored(insn, text, value, before[insn.register])
        elif insn.register:
            after[insn.register] = extended(insn, value)
        self._registers(insn, text, before, after, value)
        self._next(insn, text)

    def _stored(self, insn: Insn, text: str, value: int, register: int) -> None:
        mask = (1 << 8 * insn.width) - 1
        if value != register & mask:
            low = "byte" if insn.width == 1 else f"{insn.width} bytes"
            source = f"the low {low} of x{insn.register}, {register:#x}" if insn.register else "x0 is zero"
            raise Lost(f"{text} to store {register & mask:#x}: {source}", f"{value:#x} was stored", "registers")

    def _registers(self, insn: Insn, text: str, before: list[int], after: list[int], value: int) -> None:
        now = [self.hart.state[r.X0 + n] for n in range(32)]
        self.hart.state[r.X0] = 0
        if not insn.store and now[insn.register] != after[insn.register]:
            if not insn.register:
                raise Lost(f"x0 to stay zero, whatever {text} loads", f"it is {now[0]:#x} now", "registers")
            how = "sign-extended" if insn.signed else "zero-extended"
            raise Lost(
                f"x{insn.register} to be {after[insn.register]:#x} after {text}: the device gave {value:#x}, {how} to 64 bits",
                f"it is {now[insn.register]:#x}" + (", what it was before" if now == before else ""),
                "registers",
            )
        for n, (is_, should) in enumerate(zip(now, after, strict=True)):
            if is_ != should:
                raise Lost(f"x{n} to stay {should:#x} in {text}", f"it is {is_:#x} now", "registers")

    def _next(self, insn: Insn, text: str) -> None:
        wanted = f"the guest to go on at {self.pc + insn.length:#x} after {text}, which is {insn.length} bytes long"
        resumed = self.line.resumed
        if len(resumed) != 1:
            raise Lost(wanted, f"resume was called {len(resumed)} times", "csr sepc")
        if resumed[0] != self.pc + insn.length:
            raise Lost(wanted, f"it goes on at {resumed[0]:#x}, from sepc {self.pc:#x}", "csr sepc")
        self.pc = resumed[0]

    def must_fault(self, what: str, why: str, before: list[int], *, most: int = 0) -> None:
        """The access that the guest is about to make gets an access fault, and nothing else. `most`: what devices see."""
        self.go()
        trap, line = self.watched.trap, self.line
        if trap is None:
            raise Lost(f"a trap for {what}", "the hart had none")
        cause = ACCESS_FAULT[trap.scause]
        wanted = f"exception {cause}, {r.cause_text(cause)}, with stval {trap.stval:#x} in the guest, for {what}: {why}"
        if len(line.accesses) > most:
            kind, at, width, _ = line.accesses[most]
            raise Lost(wanted, f"a device saw a {kind} of {width} at {at:#x}", "csr htinst")
        if not line.injected:
            raise Lost(wanted, "the guest goes on as if nothing had been" if line.resumed else "nothing was done", "csr vscause")
        if line.injected != [(cause, trap.stval)] or line.resumed:
            got, tval = line.injected[0]
            more = "" if len(line.injected) == 1 and not line.resumed else ", and more was done"
            raise Lost(wanted, f"it got {got}, {r.cause_text(got)}, with stval {tval:#x}{more}", "csr vscause")
        now = [self.hart.state[r.X0 + n] for n in range(32)]
        if now != before:
            n = next(n for n in range(32) if now[n] != before[n])
            raise Lost(f"x{n} to stay {before[n]:#x} in {what}, which faults", f"it is {now[n]:#x} now", "registers")
        self.watched.trap = None
        self.pc += 4

    def gpa(self, width: int) -> int:
        """In the device: a multiple of the width, and of 4."""
        step = max(width, 4)
        return DEVICE + step * self.rng.randrange(PAGE // step)


def extended(insn: Insn, value: int) -> int:
    bits = 8 * insn.width
    return value | MASK64 ^ (1 << bits) - 1 if insn.signed and value >> bits - 1 else value


def image(code: bytes) -> Image:
    return Image("program", CODE, (Segment(CODE, code, len(code)),))


@CHECKS.add("loads of each width: sign-extended or zero-extended", 3)
def loads(bench: Bench) -> None:
    machine = Machine(bench)
    for name in machine.rng.sample(LOADS, len(LOADS)):
        for top in (0, 1):
            machine.notes.top = top
            insn = plain(machine.rng, name)
            machine.must_work(insn, machine.gpa(insn.width))


@CHECKS.add("stores of each width: the low bytes of the register", 2)
def stores(bench: Bench) -> None:
    machine = Machine(bench)
    for name in machine.rng.choices(STORES, k=4) + machine.rng.sample(STORES, len(STORES)):
        insn = plain(machine.rng, name)
        machine.must_work(insn, machine.gpa(insn.width))


@CHECKS.add("x0: a load into it reads the device and changes nothing, a store of it stores zero", 1)
def zero(bench: Bench) -> None:
    machine = Machine(bench)
    machine.notes.top = 1
    for name in [*machine.rng.sample(LOADS, 3), *machine.rng.sample(STORES, 2)]:
        insn = plain(machine.rng, name, 0)
        machine.must_work(insn, machine.gpa(insn.width))


@CHECKS.add("compressed instructions, which htinst has in their long form, are two bytes long", 2)
def short(bench: Bench) -> None:
    machine = Machine(bench)
    machine.notes.top = 0
    for name in machine.rng.sample(COMPRESSED, len(COMPRESSED)):
        insn = compressed(machine.rng, name)
        machine.must_work(insn, machine.gpa(insn.width))


@CHECKS.add("without htinst the instruction is fetched, and short ones are decoded", 3)
def fetched(bench: Bench) -> None:
    machine = Machine(bench, htinst=False)
    rng = machine.rng
    several = [plain(rng, name) for name in (*rng.sample(LOADS, 4), *rng.sample(STORES, 2))]
    several += [compressed(rng, name) for name in COMPRESSED for _ in range(2)]
    for insn in rng.sample(several, len(several)):
        machine.notes.top = int(insn.length == 2)
        machine.must_work(insn, machine.gpa(insn.width))


@CHECKS.add("the address is the guest physical one, to the byte", 2)
def address(bench: Bench) -> None:
    machine = Machine(bench)
    machine.notes.top = 0
    rng, ram = machine.rng, machine.vm.ram
    gigabyte = 1 << 30
    places = rng.sample(range(3, 256), 4)
    ram.write(TABLES + 8 * 2, entry(BOARD.ram_base))
    for n in places:
        ram.write(TABLES + 8 * n, entry(DEVICE))
    use_tables(machine, TABLES)
    for name in ("lbu", "sb", "lhu", "sh", "lw", "sd", "lb", "sb"):
        insn = plain(rng, name)
        gpa = machine.gpa(1) + insn.width * rng.randrange(max(1, 4 // insn.width))
        gpa -= gpa % insn.width
        machine.must_work(insn, gpa, rng.choice(places) * gigabyte + gpa - DEVICE)


def entry(gpa: int, flags: int = p.V | p.R | p.W | p.X | p.A | p.D) -> bytes:
    """A PTE of the guest's."""
    return (gpa >> p.PAGE_BITS << p.PPN_SHIFT | flags).to_bytes(8, "little")


def use_tables(machine: Machine, root: int) -> None:
    machine.hart.write_csr("vsatp", 8 << p.MODE_SHIFT | root >> p.PAGE_BITS)
    machine.hart.flush()


@CHECKS.add("what no device takes is an access fault of the guest, with everything as it was", 2)
def refused(bench: Bench) -> None:
    machine = Machine(bench)
    rng = machine.rng
    machine.vm.bus.attach(Fifo(DEVICE + PAGE))
    status = DEVICE + PAGE + FIFO_STATUS
    machine.must_work(plain(rng, "lw"), status)
    wide = rng.choice((2, 4, 8))
    odd = machine.gpa(8) + rng.randrange(1, wide)
    for name, gpa, why, most in (
        (rng.choice(LOADS), NOWHERE + 8 * rng.randrange(PAGE), "nothing is there", 1),
        (rng.choice(STORES), NOWHERE + 8 * rng.randrange(PAGE), "nothing is there", 1),
        (rng.choice(("lb", "lhu", "ld")), status, "the device refuses this width", 1),
        (rng.choice(STORES), status, "the device refuses it", 1),
        ("l" + LETTERS[wide], odd, "it is misaligned", 0),
        ("s" + LETTERS[wide], odd, "it is misaligned", 0),
    ):
        insn = plain(rng, name)
        machine.must_fault(f"`{insn.text}` at gpa {gpa:#x}", why, machine.prepare(insn, gpa), most=most)


@CHECKS.add("what is no plain load or store is an access fault: atomics, fetches, page tables, halves of an access", 2)
def others(bench: Bench) -> None:
    machine = Machine(bench)
    rng = machine.rng
    machine.vm.bus.attach(Notes("behind", BEHIND_RAM, rng))
    for text in rng.sample(("amoadd.w x{0}, x{1}, (x{2})", "lr.d x{0}, (x{2})", "amoswap.d x{0}, x{1}, (x{2})"), 3):
        base, other, target = rng.sample(range(5, 32), 3)
        insn = Insn(text.format(target, other, base), False, 8, False, target, base, 0)
        gpa = machine.gpa(8)
        machine.must_fault(f"`{insn.text}` at gpa {gpa:#x}", "no device can do that", machine.prepare(insn, gpa))
    # the upper part of a misaligned access, whose lower part is RAM
    insn = plain(rng, rng.choice(("ld", "sd")))
    before = machine.prepare(insn, BEHIND_RAM - 4)
    machine.must_fault(f"`{insn.text}` at gpa {BEHIND_RAM - 4:#x}", "the device is meant by one half of it only", before)
    # a fetch
    before = [machine.hart.state[r.X0 + n] for n in range(32)]
    pc, at = machine.pc, machine.gpa(4)
    machine.hart.state[r.PC] = at
    machine.must_fault(f"a fetch at gpa {at:#x}", "no device has code", before)
    # a page table
    machine.pc = pc
    table = 1 << 30
    place = rng.randrange(3, 256)
    machine.vm.ram.write(TABLES + 8 * 2, entry(BOARD.ram_base))
    machine.vm.ram.write(TABLES + 8 * place, entry(DEVICE, p.V))
    use_tables(machine, TABLES)
    insn = plain(rng, rng.choice(("lbu", "sb")))
    gva = place * table + rng.randrange(table)
    what = f"`{insn.text}`, whose page table is in the device"
    machine.must_fault(what, "the hart's own walk made the access", machine.prepare(insn, gva))


@CHECKS.add("guests run on it as they do on ours: random programs, and a kernel that looks for its devices", 3)
def hosts_a_guest(bench: Bench) -> None:
    source = program(bench.rng)
    for what, start in (
        ("a program of random loads and stores", lambda hv: hv.create("program", image(source), memory=MEMORY)),
        ("the guest `disk`, without a disk", lambda hv: hv.create("disk", memory=MEMORY)),
    ):
        ours = Hypervisor("16M", mmio=Mmio, tier="interp")
        run(ours, start)
        bench.target = theirs = Hypervisor("16M", mmio=lambda *given: Watched(bench.part, *given), tier="interp")
        run(theirs, start)
        must_be_alike(what, ours, theirs)


def run(hv: Hypervisor, start: Callable[[Hypervisor], VM]) -> None:
    vm = start(hv)
    vm.bus.attach(Fifo(DEVICE))
    hv.run(PROGRAM_STEPS)


def must_be_alike(what: str, ours: Hypervisor, theirs: Hypervisor) -> None:
    (vm,), (other,) = theirs.vms, ours.vms
    if vm.reason != other.reason:
        raise Lost(f"{what} to end with: {other.reason}", f"it ended with: {vm.reason or 'nothing, it still runs'}", "exits")
    for n in range(32):
        if vm.vcpu.x[n] != other.vcpu.x[n]:
            raise Lost(f"x{n} to be {other.vcpu.x[n]:#x} at the end of {what}", f"it is {vm.vcpu.x[n]:#x}", "exits")
    if theirs.trace_hash() != ours.trace_hash():
        raise Lost(f"the same exits in {what}: {other.exit_counts}", f"exits that differ: {vm.exit_counts}", "exits")


def program(rng: random.Random) -> bytes:
    """Fills and empties the FIFO with loads and stores of all kinds, adds up what it sees in x31, and powers off."""
    names = [*LOADS, *STORES, "c.lw", "c.ld", "c.sw", "c.sd"]
    lines = [f"li x{n}, {rng.getrandbits(63)}" for n in range(5, 32) if n != 9]
    lines += [f"li x9, {DEVICE}", "li x8, -1"]
    for name in rng.sample(LOADS, len(LOADS)):
        lines += [f"sd x8, {FIFO_DATA}(x9)", f"{name} x10, {FIFO_DATA}(x9)", "add x31, x31, x10"]
    for name in rng.choices(names, k=60):
        register = rng.choice([8, *range(10, 16)])
        lines.append(f"{name} x{register}, {FIFO_DATA}(x9)")
        lines.append(f"add x31, x31, x{register}")
        if rng.random() < 0.2:
            lines += [f"lw x16, {FIFO_STATUS}(x9)", "add x31, x31, x16"]
    lines += ["li a7, 0x53525354", "li a6, 0", "li a0, 0", "li a1, 0", "ecall"]
    return Assembler(ISA).program("\n".join(lines), CODE)
