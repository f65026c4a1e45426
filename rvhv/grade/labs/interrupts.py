"""Lab 5: interrupts, sleep and exceptions for a guest. Judged by what is pending, and by the registers that a guest finds."""

from __future__ import annotations

from itertools import product

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT, STEPS_PER_TICK, Prv
from rvhv.grade.check import AnyPart, Bench, Checks, Lost
from rvhv.grade.registers import offered_registers
from rvhv.hv import VM, Hypervisor
from rvhv.hv import registers as r
from rvhv.hv.cpu import Registers
from rvhv.hv.interrupts import NEVER, Interrupts, VirtualInterrupts
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

CHECKS = Checks()
MEMORY = "4M"
HOSTED_STEPS = 32_000_000
SLICE_STEPS = 200_000
MASK64 = (1 << 64) - 1
VSSIP = r.VS_INTERRUPTS & ~(r.VSTIP | r.VSEIP)
NAMES = {VSSIP: "VSSIP", r.VSTIP: "VSTIP", r.VSEIP: "VSEIP"}
MODES = {Prv.S: "VS", Prv.U: "VU"}

SPIN = "spin: j spin"
# sleeps a2 times for a3 ticks with interrupts off (WFI goes on all the same), then has its user program try WFI, which is an
# exception for the kernel; powers off, with reason 0 if that was as it should be
SLEEPER = """
    la t0, trapped
    csrw stvec, t0
    li t0, 32
    csrw sie, t0
again:
    rdtime a0
    add a0, a0, a3
    mv s0, a0
    li a7, 0x54494d45
    li a6, 0
    ecall
    wfi
    rdtime t0
    bltu t0, s0, bad
    addi a2, a2, -1
    bnez a2, again
    csrw sie, x0
    la t0, user
    csrw sepc, t0
    li t0, 0x100
    csrc sstatus, t0
    sret
user:
    wfi
    .align 2
trapped:
    csrr t0, scause
    li t1, 2
    bne t0, t1, bad
    csrr t0, sepc
    la t1, user
    bne t0, t1, bad
    li a1, 0
    j off
bad:
    li a1, 1
off:
    li a7, 0x53525354
    li a6, 0
    li a0, 0
    ecall
"""


class Given:
    """The part as a VM's interrupts."""

    def __init__(self, part: AnyPart, cpu: Registers) -> None:
        self._part = part
        part.make(part.offer(offered_registers(cpu)))

    @property
    def deadline(self) -> int | None:
        value = self._part.get("deadline")
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
            raise Lost("`deadline` to be a time, or None", f"it is {value!r:.60}", "vms")
        return None if value is None else int(value)

    def enter(self) -> None:
        self._part.call("enter")

    def leave(self) -> None:
        self._part.call("leave")

    def set_timer(self, stime_value: int) -> None:
        self._part.call("set_timer", stime_value)

    def set_external(self, level: bool) -> None:
        self._part.call("set_external", level)

    def wait(self) -> bool:
        return self._truth("wait")

    def awake(self, time: int) -> bool:
        return self._truth("awake", time)

    def exception(self, cause: int, tval: int) -> None:
        self._part.call("exception", cause, tval)

    def _truth(self, name: str, *args: int) -> bool:
        value = self._part.call(name, *args)
        if not isinstance(value, bool):
            raise Lost(f"{name} to return True or False", f"it returned {value!r:.60}", "vms")
        return value


class Host:
    """A hypervisor whose first VM has the part; the others have ours."""

    def __init__(self, bench: Bench) -> None:
        self.rng, self._bench = bench.rng, bench
        bench.target = self.hv = Hypervisor("24M", interrupts=self._make, slice_steps=SLICE_STEPS, tier="interp")
        self.hart = self.hv.hart

    def _make(self, cpu: Registers) -> VirtualInterrupts:
        return Interrupts(cpu) if len(self.hv.vms) else Given(self._bench.part, cpu)

    def create(self, program: str = SPIN, **registers: int) -> VM:
        """A guest; `registers` get values before its first instruction."""
        name = f"vm{len(self.hv.vms) + 1}"
        return self.hv.create(name, _image(program, registers), memory=MEMORY)

    def on_hart(self) -> VM:
        """A guest that is on the hart and has trapped, at some time of the machine."""
        vm = self.create()
        vm.vcpu.enter()
        vm.vcpu.preempt()
        self.time = self.rng.randrange(1 << 41, 1 << 42)
        self.hv.last_run = vm
        return vm

    @property
    def time(self) -> int:
        """The machine's, in ticks."""
        return self.hart.read_csr("time")

    @time.setter
    def time(self, ticks: int) -> None:
        self.hart.state[r.CLOCK] = ticks * STEPS_PER_TICK + self.rng.randrange(STEPS_PER_TICK)

    def guest_time(self) -> int:
        return self.time + self.hart.read_csr("htimedelta") & MASK64


def _image(program: str, registers: dict[str, int]) -> Image:
    setup = "".join(f"    li {name}, {value}\n" for name, value in registers.items())
    base = BOARD.image_base
    code = Assembler(ISA).program(setup + program, base)
    return Image("program", base, (Segment(base, code, len(code)),))


def _timers(host: Host, vm: VM) -> None:
    """Timers in the past and in the future, one after the other."""
    values = ["past", "future", "now", "never", "future", "past", "never", "past", "future"]
    delta = host.hart.read_csr("htimedelta")
    for what in values:
        began, now, away = host.time, host.guest_time(), host.rng.randrange(1, 100_000)
        value = {"past": now - away, "future": now + away, "now": now, "never": NEVER}[what]
        vm.vcpu.interrupts.set_timer(value)
        for later in {"past": (0, away), "now": (0, 1), "future": (0, away - 1, away, away + 1), "never": (0, 1 << 40)}[what]:
            host.time = began + later
            at = now + later
            pending = bool(host.hart.read_csr("hip") & r.VSTIP)
            if pending != (at >= value):
                raise Lost(
                    f"VSTIP to be {int(at >= value)} at the guest's time {at:#x} after set_timer({value:#x}), called at {now:#x}",
                    f"it is {int(pending)}: vstimecmp={host.hart.read_csr('vstimecmp'):#x}, "
                    f"hvip={host.hart.read_csr('hvip'):#x}, htimedelta={delta:#x}",
                    "csr hip",
                )


def _deltas(host: Host) -> tuple[int, int]:
    """htimedelta of a guest whose time is behind the machine's, and of one that is ahead."""
    return -host.rng.randrange(1 << 38, 1 << 40) & MASK64, host.rng.randrange(1 << 50, 1 << 60)


@CHECKS.add("the timer: a time in the future fires then, one in the past at once, ~0 never, and a new one takes the place", 2)
def timer(bench: Bench) -> None:
    host = Host(bench)
    _timers(host, host.on_hart())


@CHECKS.add("the timer goes by the guest's time, which is the machine's plus htimedelta", 1)
def guest_time(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    for delta in _deltas(host):
        host.hart.write_csr("htimedelta", delta)
        _timers(host, vm)


@CHECKS.add("the external line shows in hvip.VSEIP while the guest is on the hart, and only there", 2)
def external(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    hvip = 0
    for level in (True, False, True, True, False, False, True):
        others = host.rng.choice((0, VSSIP, VSSIP))
        host.hart.write_csr("hvip", hvip & r.VSEIP | others)
        vm.vcpu.interrupts.set_external(level)
        hvip = _must_be(host, others | (r.VSEIP if level else 0), f"set_external({level})")


@CHECKS.add("the line of a guest that is not on the hart is kept until it is, and nobody else sees it", 3)
def off_hart(bench: Bench) -> None:
    host = Host(bench)
    vm, other = host.create(), host.create()
    lines = [True, False, True, True, False]
    for level in lines:
        other.vcpu.enter()
        host.hv.last_run = other
        theirs = host.rng.choice((0, VSSIP, r.VSEIP, VSSIP | r.VSEIP))
        host.hart.write_csr("hvip", theirs)
        vm.vcpu.interrupts.set_external(not level)
        vm.vcpu.interrupts.set_external(level)
        _must_be(host, theirs, f"set_external({level}) of {vm.name}, while {other.name} is on the hart")
        other.vcpu.leave()
        vm.vcpu.enter()
        host.hv.last_run = vm
        _must_be(host, r.VSEIP if level else 0, f"enter of {vm.name}, whose line is {'high' if level else 'low'}", r.VSEIP)
        vm.vcpu.leave()


def _must_be(host: Host, wanted: int, after: str, among: int = MASK64) -> int:
    """hvip, after what was done."""
    hvip = host.hart.read_csr("hvip")
    wrong = (hvip ^ wanted) & among
    if wrong:
        bit = wrong & -wrong
        raise Lost(
            f"hvip.{NAMES.get(bit, hex(bit))} to be {int(bool(wanted & bit))} after {after}",
            f"it is {int(bool(hvip & bit))}: hvip is {hvip:#x}",
            "csr hvip",
        )
    return hvip


@CHECKS.add("WFI falls through when something enabled is pending, whatever SIE says, and waits else", 2)
def falls_through(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    cases = [(pending, enabled, sie) for pending in (*NAMES, 0) for enabled in (*NAMES, 0, r.VS_INTERRUPTS) for sie in (0, r.SIE)]
    for pending, enabled, sie in host.rng.sample(cases, len(cases)):
        hart = host.hart
        vm.vcpu.interrupts.set_external(bool(pending & r.VSEIP))
        hart.write_csr("hvip", pending & ~r.VSTIP)
        hart.write_csr("vstimecmp", host.guest_time() - 1 if pending & r.VSTIP else NEVER)
        hart.write_csr("hie", enabled)
        hart.write_csr("vsstatus", hart.read_csr("vsstatus") & ~r.SIE | sie)
        waits = vm.vcpu.interrupts.wait()
        if waits != (not pending & enabled):
            what = f"{NAMES.get(pending, 'nothing')} pending, hie={enabled:#x} and vsstatus.SIE={int(bool(sie))}"
            raise Lost(
                f"wait to return {not waits} with {what}: an enabled interrupt is {'not ' if waits is False else ''}pending",
                f"it returned {waits}",
                "csr hip",
            )


@CHECKS.add("who sleeps wakes when its timer is due: `deadline` is in the machine's time", 3)
def deadline(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    hart, interrupts = host.hart, vm.vcpu.interrupts
    for enabled, never, delta in host.rng.sample(list(product((True, True, False), (True, False), (0, *_deltas(host)))), 18):
        host.time = host.rng.randrange(1 << 41, 1 << 42)
        hart.write_csr("htimedelta", delta)
        hart.write_csr("hie", host.rng.choice((VSSIP, r.VSEIP)) | (r.VSTIP if enabled else 0))
        away = host.rng.randrange(2, 1 << 30)
        interrupts.set_timer(NEVER if never else host.guest_time() + away)
        wanted = host.time + away if enabled and not never else None
        story = (
            f"vstimecmp={hart.read_csr('vstimecmp'):#x}, the machine's time {host.time:#x}, "
            f"htimedelta={hart.read_csr('htimedelta'):#x} and hie={hart.read_csr('hie'):#x}"
        )
        if not interrupts.wait():
            raise Lost(f"wait to return True with {story}: nothing is pending", "it returned False", "csr hip")
        got = interrupts.deadline
        if got != wanted:
            raise Lost(f"`deadline` to be {_shown(wanted)} with {story}", f"it is {_shown(got)}", "vms")
        _looks(interrupts, [(host.time + away + later, wanted is not None and later >= 0) for later in (-1, 0, 1)], story)


def _looks(interrupts: VirtualInterrupts, times: list[tuple[int, bool]], story: str) -> None:
    for time, wanted in times:
        if interrupts.awake(time) != wanted:
            raise Lost(f"awake({time:#x}) to be {wanted} after WFI with {story}", f"it is {not wanted}", "vms")


def _shown(value: int | None) -> str:
    return "None" if value is None else f"{value:#x}"


@CHECKS.add("who sleeps wakes when a device interrupts it, if it has that enabled", 2)
def device_wakes(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    hart, interrupts = host.hart, vm.vcpu.interrupts
    for enabled in (True, False, True, False):
        hart.write_csr("hvip", 0)
        interrupts.set_external(False)
        hart.write_csr("hie", VSSIP | (r.VSEIP if enabled else 0))
        interrupts.set_timer(NEVER)
        story = f"hie={hart.read_csr('hie'):#x} and no timer"
        if not interrupts.wait():
            raise Lost(f"wait to return True with {story}: nothing is pending", "it returned False", "csr hip")
        vm.vcpu.leave()
        for level in (False, True, False, True):
            interrupts.set_external(level)
            line = f"{story}, and the line {'high' if level else 'low'}"
            _looks(interrupts, [(host.time + host.rng.randrange(1 << 30), level and enabled)], line)
        vm.vcpu.enter()


@CHECKS.add("an exception arrives as if the guest's hart had raised it", 3)
def exception(bench: Bench) -> None:
    host = Host(bench)
    vm = host.on_hart()
    hart, state, rng = host.hart, host.hart.state, host.rng
    kept = [r.field("vsstatus", field) for field in ("FS", "SUM", "MXR")]
    for mode, sie, vectored in rng.sample(list(product((Prv.S, Prv.U), (0, r.SIE), (0, 1))), 8):
        pc, cause, tval = rng.randrange(1 << 38) << 1, rng.choice((2, 5, 7, 13)), rng.getrandbits(64)
        before = sie | sum(bit for bit in (*kept, r.SPP, r.SPIE) if rng.random() < 0.5)
        hart.write_csr("vsstatus", before)
        before = hart.read_csr("vsstatus")
        hart.write_csr("vstvec", rng.randrange(1, 1 << 30) << 8 | vectored)
        state[SLOT["pc"]], state[SLOT["prv"]], state[SLOT["v"]] = pc, mode, 1
        vm.vcpu.preempt()  # it has trapped
        vm.vcpu.interrupts.exception(cause, tval)
        hart.sret()
        after = before & ~(r.SPP | r.SPIE | r.SIE)
        after |= (r.SPP if mode == Prv.S else 0) | (r.SPIE if sie else 0)
        where = f"an exception in {MODES[mode]}-mode with vsstatus.SIE={int(bool(sie))}"
        wanted = {
            "vsepc": (pc, "where the guest was: sepc"),
            "vscause": (cause, "the cause"),
            "vstval": (tval, "tval"),
            "vsstatus": (after, f"it was {before:#x}; SPP says the mode before, SPIE what SIE was, and SIE is 0"),
        }
        for name, (value, what) in wanted.items():
            got = hart.read_csr(name)
            if got != value:
                fields = _fields(got ^ value) if name == "vsstatus" else ""
                raise Lost(f"{name} to be {value:#x} after {where}: {what}", f"it is {got:#x}{fields}", f"csr {name}")
        base = hart.read_csr("vstvec") & ~r.field("vstvec", "MODE")
        if state[SLOT["pc"]] != base:
            raise Lost(
                f"the guest to go on at {base:#x} after {where}: vstvec.BASE, since exceptions are never vectored "
                f"(vstvec is {hart.read_csr('vstvec'):#x})",
                f"sret goes to {state[SLOT['pc']]:#x}",
                "csr vstvec",
            )
        if not state[SLOT["v"]] or state[SLOT["prv"]] != Prv.S:
            raise Lost(f"the guest's handler to run in VS-mode after {where}: sstatus.SPP=1", "it runs in VU-mode", "csr sstatus")


def _fields(wrong: int) -> str:
    names = [field.name for field in ISA.csrs["vsstatus"].fields if field.mask & wrong]
    return f": {', '.join(names)} differ" if len(names) > 1 else f": {names[0]} differs" if names else ""


@CHECKS.add("guests run on it as on ours: one that sleeps beside one that works, and the kernel `tasks`", 2)
def hosts_guests(bench: Bench) -> None:
    rng = bench.rng
    registers = {"a2": rng.randrange(5, 12), "a3": rng.randrange(2_000, 6_000)}
    programs: list[Image | str] = [_image(SLEEPER, registers), "tasks"]
    for program in programs:
        host, ours = Host(bench), Hypervisor("24M", slice_steps=SLICE_STEPS, tier="interp")
        for hv in (host.hv, ours):
            hv.create("vm1", program, memory=MEMORY)
            hv.create("vm2", _image(SPIN, {}), memory=MEMORY)
            hv.run(HOSTED_STEPS)
        vm, other = host.hv.vms[0], ours.vms[0]
        assert other.stopped and not other.failed
        name = program if isinstance(program, str) else "that sleeps"
        if (vm.reason, vm.state) != (other.reason, other.state):
            raise Lost(f"the guest {name} to end with: {other.reason}", f"it ended with: {vm.reason or vm.state}", "exits")
        if vm.trace_hash() != other.trace_hash():
            raise Lost(f"the guest {name} to have these exits: {other.exit_counts}", f"they differ: {vm.exit_counts}", "exits")
