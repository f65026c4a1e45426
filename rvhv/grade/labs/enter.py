"""Lab 1: entering a guest, and the world switch. Judged by the registers that the hart has when a guest is entered."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT, Prv
from rvhv.grade.check import Bench, Checks, Lost
from rvhv.grade.registers import offered_registers
from rvhv.hv import VM, Hypervisor
from rvhv.hv import registers as r
from rvhv.hv.cpu import REGISTERS, Registers
from rvhv.hv.world import GUEST_CSRS, MODE_SV39X4, NEVER, PAGE_SHIFT, Guest, hgatp
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.syntax import FLOAT_REGISTERS as ABI_F_NAMES
from rvhv.isa.render.syntax import REGISTERS as ABI_NAMES
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

CHECKS = Checks()
MEMORY = "3M"  # of a VM of which there is nothing but its registers
HOSTED_MEMORY = "4M"
HOSTED_STEPS = 32_000_000
HOSTED = {"hello": "hello", "tasks": "tasks", "twin": "tasks"}  # guests by name
A0, A1 = 10, 11
NAMES = [f"x{n}" for n in range(1, REGISTERS)]
F_NAMES = [f"f{n}" for n in range(REGISTERS)]
FS = r.field("sstatus", "FS")
VSSIP = r.VS_INTERRUPTS & ~(r.VSTIP | r.VSEIP)
SD = 1 << 63  # the summary of FS
MODES = {Prv.S: "VS", Prv.U: "VU"}


@dataclass(frozen=True)
class Entered:
    """What `start` left in the registers, and what it was told."""

    guest: Guest
    csrs: dict[str, int]
    x: list[int]
    f: list[int]


class Host:
    """A hypervisor whose guests are entered, and with `switching` switched too, by the part."""

    def __init__(self, bench: Bench, *, switching: bool = False, slice_steps: int = 1_000_000) -> None:
        self.rng, self.part = bench.rng, bench.part
        self.switching = switching
        self.entered: dict[int, Entered] = {}  # by VMID
        self.sstatus = 0  # before the last `start`
        bench.target = self.hv = Hypervisor("16M", world=self._make, slice_steps=slice_steps, tier="interp")

    def create(self) -> VM:
        """A guest with an entry of its own, which is not run."""
        entry = BOARD.image_base + 4 * self.rng.randrange(200, 900)
        code = Assembler(ISA).program("spin: j spin", entry)
        number = len(self.hv.vms) + 1
        image = Image("nothing", entry, (Segment(entry, code, len(code)),))
        return self.hv.create(f"vm{number}", image, memory=MEMORY)

    # what the hypervisor asks of it

    def _make(self, registers: Registers) -> Host:
        self.cpu = registers
        self.part.make(self.part.offer(offered_registers(registers)))
        return self

    def start(self, guest: Guest) -> None:
        hart_id = guest.hart_id if self.switching else self.rng.randrange(1, 100)
        given = SimpleNamespace(**{**vars(_record(guest)), "hart_id": hart_id})
        self.litter()
        self.part.call("start", given)
        csrs = {name: self.cpu.read_csr(name) for name in (*GUEST_CSRS, "hgatp", "hstatus", "sstatus", "sepc")}
        x, f = ([registers[n] for n in range(REGISTERS)] for registers in (self.cpu.x, self.cpu.f))
        self.entered[guest.vmid] = Entered(given, csrs, x, f)
        self._can_enter(guest, "start")

    def save(self, guest: Guest) -> None:
        if self.switching:
            self.part.call("save", _record(guest))

    def restore(self, guest: Guest) -> None:
        self.part.call("restore", _record(guest))
        self._can_enter(guest, "restore")

    def _can_enter(self, guest: Guest, what: str) -> None:
        if self.switching and not self.cpu.read_csr("hstatus") & r.SPV:
            self.hv.last_run = self.hv.vms[guest.vmid - 1]
            self.hv.last_run.vcpu.loaded = True  # its registers are those of the hart
            raise Lost(
                f"hstatus.SPV to be 1 when {what} returns, so that sret goes to a guest",
                f"it is 0, and sret stays in HS-mode (hstatus is {self.cpu.read_csr('hstatus'):#x})",
                "csr hstatus",
            )

    # what was there before

    def litter(self) -> None:
        """Another guest was on the hart: every register has its value."""
        rng, cpu = self.rng, self.cpu
        values = guest_values(rng)
        values["hstatus"] = rng.choice((r.SPVP, 0)) | _bits(rng, "hstatus", "HU VTVM VTSR GVA") | rng.choice((r.VTW, 0))
        values["hgatp"] = hgatp(rng.randrange(1, 1 << 30) << 14, rng.randrange(100, 1 << 14))
        values["sstatus"] = cpu.read_csr("sstatus") & ~(r.SPP | r.SPIE) | rng.choice((r.SPIE, 0))
        values["sepc"] = rng.getrandbits(63) << 1
        for name, value in values.items():
            cpu.write_csr(name, value)
        for registers, names in ((cpu.x, NAMES), (cpu.f, F_NAMES)):
            for name in names:
                registers[int(name[1:])] = rng.getrandbits(64)
        self.sstatus = cpu.read_csr("sstatus")


def _record(guest: Guest) -> SimpleNamespace:
    return SimpleNamespace(
        vmid=guest.vmid, root=guest.root, entry=guest.entry, device_tree=guest.device_tree, hart_id=guest.hart_id
    )


def _bits(rng: random.Random, csr: str, fields: str) -> int:
    return sum(r.field(csr, field) for field in fields.split() if rng.random() < 0.7)


def guest_values(rng: random.Random) -> dict[str, int]:
    """What a guest may have in its CSRs, none of them as after reset."""
    return {
        "vsstatus": r.field("vsstatus", "SUM") | r.field("vsstatus", "FS") | _bits(rng, "vsstatus", "SIE SPIE SPP MXR"),
        "vstvec": rng.randrange(1, 1 << 38) << 2 | rng.randrange(2),
        "vsscratch": rng.getrandbits(64) | 1,
        "vsepc": rng.randrange(1, 1 << 38) << 1,
        "vscause": rng.randrange(1, 16),
        "vstval": rng.getrandbits(64) | 1,
        "vsatp": 8 << 60 | rng.getrandbits(16) << 44 | rng.randrange(1, 1 << 30),
        "vstimecmp": rng.randrange(1, 1 << 40),
        "hie": rng.choice((r.VSTIP, r.VSEIP, r.VS_INTERRUPTS)),
        "hvip": rng.choice((r.VSTIP, VSSIP | r.VSTIP)),
        "htimedelta": rng.randrange(1, 1 << 64),
        "scounteren": rng.randrange(1, 8),
        "senvcfg": r.field("senvcfg", "CBZE") | _bits(rng, "senvcfg", "FIOM CBCFE"),
        "fcsr": rng.randrange(1, 0x80),
    }


def csr(name: str) -> str:
    """The debugger's command for it."""
    return f"csr {name}"


def regs(name: str) -> str:
    """The same for a register: pc, fcsr, x1 to x31 and f0 to f31."""
    return csr(name) if name == "fcsr" else "regs f" if name in F_NAMES else "regs"


def called(name: str) -> str:
    """A register with the name that the debugger has for it, in parentheses; another name as it is."""
    if name in NAMES:
        return f"{name} ({ABI_NAMES[int(name[1:])]})"
    return f"{name} ({ABI_F_NAMES[int(name[1:])]})" if name in F_NAMES else name


@CHECKS.add("sret enters the guest: VS-mode, at its entry, with a0 and a1", 3)
def enter(bench: Bench) -> None:
    host = Host(bench)
    for _ in range(2):
        vm = host.create()
        entered, state = host.entered[vm.number], vm.vcpu.state
        guest = entered.guest
        hstatus, sstatus = entered.csrs["hstatus"], entered.csrs["sstatus"]
        if not hstatus & r.SPV:
            raise Lost(
                "hstatus.SPV to be 1, so that sret sets V=1 and a guest runs", f"hstatus is {hstatus:#x}", csr("hstatus")
            )
        if state[SLOT["prv"]] != Prv.S:
            raise Lost(
                "sret to go to VS-mode: with sstatus.SPP=1", f"it goes to VU-mode: sstatus is {sstatus:#x}", csr("sstatus")
            )
        if state[SLOT["pc"]] != guest.entry:
            raise Lost(f"the first pc to be the entry, {guest.entry:#x}", f"it is {state[SLOT['pc']]:#x}: sepc", "regs")
        for n, wanted, what in ((A0, guest.hart_id, "the hart id"), (A1, guest.device_tree, "the device tree's gpa")):
            if entered.x[n] != wanted:
                raise Lost(f"a{n - A0} (x{n}) to be {what}, {wanted:#x}", f"it is {entered.x[n]:#x}", "regs")


@CHECKS.add("hgatp names the guest's tables: MODE, VMID and PPN", 3)
def root(bench: Bench) -> None:
    host = Host(bench)
    for _ in range(host.rng.randrange(2, 4)):
        vm = host.create()
        entered = host.entered[vm.number]
        guest, value = entered.guest, entered.csrs["hgatp"]
        parts = {
            "MODE": (MODE_SV39X4, "Sv39x4"),
            "VMID": (guest.vmid, "guest.vmid"),
            "PPN": (guest.root >> PAGE_SHIFT, f"the frame number of guest.root, {guest.root:#x}"),
        }
        for name, (wanted, what) in parts.items():
            mask = r.field("hgatp", name)
            got = (value & mask) // (mask & -mask)
            if got != wanted:
                raise Lost(f"hgatp.{name} to be {wanted:#x}: {what}", f"it is {got:#x} (hgatp is {value:#x})", csr("hgatp"))


@CHECKS.add("hstatus traps WFI and nothing else, and the rest of sstatus stays as it was", 2)
def status(bench: Bench) -> None:
    host = Host(bench)
    for _ in range(3):
        vm = host.create()
        csrs = host.entered[vm.number].csrs
        value = csrs["hstatus"]
        if not value & r.VTW:
            raise Lost("hstatus.VTW to be 1: a guest's WFI must not stall the hart", f"hstatus is {value:#x}", csr("hstatus"))
        for field, what in (
            ("VTVM", "the guest's satp and SFENCE.VMA would trap"),
            ("VTSR", "the guest's sret would trap"),
            ("HU", "a guest's user could use HLV and HSV"),
            ("VGEIN", "no guest external interrupt line is given to it"),
        ):
            if value & r.field("hstatus", field):
                raise Lost(f"hstatus.{field} to be 0: {what}", f"another guest's is still there: {value:#x}", csr("hstatus"))
        if not csrs["sstatus"] & FS:
            raise Lost(
                "sstatus.FS to stay on: where it is Off, no guest has floating point",
                f"it is Off: sstatus is {csrs['sstatus']:#x}",
                csr("sstatus"),
            )
        changed = (csrs["sstatus"] ^ host.sstatus) & ~(r.SPP | r.SPIE | FS | SD)
        if changed:
            raise Lost(
                f"sstatus to stay {host.sstatus:#x} but for SPP: the rest is the hypervisor's own",
                f"it is {csrs['sstatus']:#x}: bits {changed:#x} changed",
                csr("sstatus"),
            )


@CHECKS.add("a new guest finds no CSR as another guest left it", 2)
def clean_csrs(bench: Bench) -> None:
    host = Host(bench)
    vm = host.create()
    csrs = host.entered[vm.number].csrs
    for name in GUEST_CSRS:
        wanted = NEVER if name == "vstimecmp" else 0
        kept = r.field("vsstatus", "UXL") if name == "vsstatus" else 0  # a read-only field: nobody can write it to zero
        if (got := csrs[name]) & ~kept != wanted:
            wanted |= got & kept
            why = "no timer before it asks for one" if name == "vstimecmp" else "as after reset"
            raise Lost(f"{name} to be {wanted:#x} when a guest starts: {why}", f"it is {got:#x}", csr(name))


@CHECKS.add("a new guest finds no register as another guest left it", 1)
def clean_registers(bench: Bench) -> None:
    host = Host(bench)
    vm = host.create()
    entered = host.entered[vm.number]
    for values, names in ((entered.x[1:], NAMES), (entered.f, F_NAMES)):
        for name, value in zip(names, values, strict=True):
            if value and name not in ("x10", "x11"):
                happened = f"it is {value:#x}, which another guest left there"
                raise Lost(f"{called(name)} to be 0 when a guest starts", happened, regs(name))


def _switch(
    host: Host,
    change: Callable[[VM], dict[str, int]],
    look: Callable[[VM, Sequence[str]], dict[str, int]],
    show: Callable[[str], str] = csr,
) -> None:
    """Guests come and go. Each changes its registers while it is on the hart, and must find them so when it is back."""
    vms = [host.create() for _ in range(3)]
    wanted: dict[str, dict[str, int]] = {}
    for vm in host.rng.sample(vms, 3) + [host.rng.choice(vms) for _ in range(3)] + vms:
        vm.vcpu.enter()
        host.hv.last_run = vm
        got = look(vm, list(wanted.get(vm.name, ())))
        for name, value in wanted.get(vm.name, {}).items():
            if got[name] != value:
                others = [other for other, values in wanted.items() if other != vm.name and values[name] == got[name]]
                whose = f", {others[0]}'s" if others and got[name] else ""
                raise Lost(
                    f"{vm.name}'s {called(name)} to be {value:#x} when it is on the hart again",
                    f"it is {got[name]:#x}{whose}",
                    show(name),
                )
        wanted[vm.name] = change(vm)
        vm.vcpu.leave()


@CHECKS.add("world switch: x, f, fcsr and pc are there again when a guest goes on", 2)
def switch_registers(bench: Bench) -> None:
    host = Host(bench, switching=True)
    state, rng = host.hv.hart.state, host.rng

    def change(vm: VM) -> dict[str, int]:
        for name in (*NAMES, *F_NAMES):
            state[SLOT[name]] = rng.getrandbits(64)
        state[SLOT["pc"]] = rng.getrandbits(37) << 1
        state[SLOT["fcsr"]] = rng.randrange(1, 0x80)
        return look(vm, ())

    def look(vm: VM, names: Sequence[str]) -> dict[str, int]:
        return {name: state[SLOT[name]] for name in ("pc", *NAMES, *F_NAMES, "fcsr")}

    _switch(host, change, look, regs)


@CHECKS.add("world switch: each guest has its own CSRs, its time and its interrupts", 2)
def switch_csrs(bench: Bench) -> None:
    host = Host(bench, switching=True)
    hart, rng = host.hv.hart, host.rng
    names = [name for name in (*GUEST_CSRS, "hgatp") if name != "fcsr"]

    def change(vm: VM) -> dict[str, int]:
        for name, value in guest_values(rng).items():
            hart.write_csr(name, value)
        return look(vm, ())

    def look(vm: VM, _: Sequence[str]) -> dict[str, int]:
        return {name: hart.read_csr(name) for name in names}

    _switch(host, change, look)


@CHECKS.add("world switch: who was in VU-mode goes on in VU-mode, who was in VS-mode in VS-mode", 1)
def switch_modes(bench: Bench) -> None:
    host = Host(bench, switching=True)
    state, rng = host.hv.hart.state, host.rng
    vms = [host.create() for _ in range(3)]
    was = dict.fromkeys((vm.name for vm in vms), Prv.S)
    for turn in range(4):
        for vm in rng.sample(vms, 3):
            vm.vcpu.enter()
            host.hv.last_run = vm
            mode = Prv(state[SLOT["prv"]])
            if mode != was[vm.name]:
                raise Lost(
                    f"{vm.name} to go on in {MODES[was[vm.name]]}-mode, where it was when it left",
                    f"it goes on in {MODES[mode]}-mode: sret goes by sstatus.SPP",
                    csr("sstatus"),
                )
            was[vm.name] = rng.choice((Prv.S, Prv.U)) if turn else (Prv.S, Prv.U, Prv.S)[vm.number - 1]
            state[SLOT["prv"]] = was[vm.name]
            vm.vcpu.leave()


@CHECKS.add("three guests run side by side, with the exits that they have on ours", 3)
def side_by_side(bench: Bench) -> None:
    slice_steps = bench.rng.randrange(400_000, 600_000)
    ours = Hypervisor("16M", slice_steps=slice_steps, tier="interp")
    host = Host(bench, switching=True, slice_steps=slice_steps)
    for hv in (ours, host.hv):
        for name, image in HOSTED.items():
            hv.create(name, image, memory=HOSTED_MEMORY)
        hv.run(HOSTED_STEPS)
    for vm, other in zip(host.hv.vms, ours.vms, strict=True):
        if vm.reason != other.reason:
            raise Lost(f"the guest `{vm.name}` to end with: {other.reason}", f"it ended with: {vm.reason or vm.state}", "exits")
        if vm.trace_hash() != other.trace_hash():
            raise Lost(f"`{vm.name}` to have these exits: {other.exit_counts}", f"they differ: {vm.exit_counts}", "exits")
