"""Lab 3: the SBI. Judged by what calls return, and by what they do to console, memory, registers and the machine."""

from __future__ import annotations

from typing import Any

from rvhv.core.registry import ISA
from rvhv.grade.check import AnyPart, Bench, Checks, Lost
from rvhv.grade.part import Offered, attribute, data, items, method, u64, whole
from rvhv.hv import VM, Hypervisor, SbiExit
from rvhv.hv import registers as r
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment
from rvhv.sbi.base import IMPL_ID, IMPL_VERSION, SPEC_VERSION
from rvhv.sbi.dbcn import MOST_BYTES
from rvhv.sbi.table import ERR_INVALID_PARAM, ERR_NOT_SUPPORTED, MASK64, SUCCESS, error_name

CHECKS = Checks()
MEMORY = 4 << 20  # of the VM
CODE = BOARD.image_base
RAM, RAM_END = BOARD.ram_base, BOARD.ram_base + MEMORY
BUFFERS = RAM + 0x30_0000  # where calls have their data: the rest of RAM
BASE, TIME, DBCN, SRST = 0x10, 0x5449_4D45, 0x4442_434E, 0x5352_5354
WRITE, READ, WRITE_BYTE = 0, 1, 2  # functions of DBCN
RESET = 0  # of SRST
PROBE = 3  # of BASE
NAMES = {
    (BASE, 0): "get_spec_version", (BASE, 1): "get_impl_id", (BASE, 2): "get_impl_version", (BASE, PROBE): "probe_extension",
    (BASE, 4): "get_mvendorid", (BASE, 5): "get_marchid", (BASE, 6): "get_mimpid", (TIME, 0): "set_timer",
    (DBCN, WRITE): "debug_console_write", (DBCN, READ): "debug_console_read", (DBCN, WRITE_BYTE): "debug_console_write_byte",
    (SRST, RESET): "system_reset",
}  # fmt: skip
EXTENSIONS = {BASE: "BASE", TIME: "TIME", DBCN: "DBCN", SRST: "SRST"}
LONGEST = 1 << 16  # bytes that a part may move at once
GUEST_STEPS = 30_000_000
EXTENSIONS_LINE = b"SBI extensions:"  # of `hello`: a part may have more of them than is asked for, or than we have


def flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("True or False")
    return value


def text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > 100:
        raise ValueError("text, 100 characters at most")
    return value


class Caller:
    """A VM as the part knows it, with notes on what was done."""

    def __init__(self, part: AnyPart, vm: VM) -> None:
        self.part, self.vm = part, vm
        self.resumed: list[int] = []
        self.off: tuple[str, bool, bool] | None = None
        x = vm.hart.state[r.X0 : r.X0 + 32]
        ram = Offered(
            "ram",
            {
                "covers": method(vm.ram.covers, 1, gpa=u64, n=u64),
                "read": method(self._read, gpa=u64, n=whole(0, LONGEST)),
                "write": method(self._write, gpa=u64, data=data(LONGEST)),
            },
        )
        console = Offered(
            "console",
            {"write": method(vm.console.write, data=data(LONGEST)), "read": method(vm.console.read, n=whole(0, MASK64))},
        )
        guest = Offered(
            "guest",
            {
                "x": items(lambda n: x[n], lambda n, value: x.__setitem__(n, value), whole(0, 31)),
                "ram": attribute(lambda: ram),
                "console": attribute(lambda: console),
                "resume": method(self._resume, pc=u64),
                "set_timer": method(vm.set_timer, stime_value=u64),
                "power_off": method(self._power_off, 2, how=text, failed=flag, reboot=flag),
            },
        )
        for offered in (ram, console, guest):
            part.offer(offered)
        part.make(guest)

    def ecall(self) -> None:
        self.resumed, self.off = [], None
        self.part.call("ecall", self.vm.hart.state[r.SEPC])

    def _covered(self, gpa: int, n: int) -> None:
        if not self.vm.ram.covers(gpa, n):
            raise ValueError(f"{n} bytes at gpa {gpa:#x} are not all RAM of the guest")

    def _read(self, gpa: int, n: int) -> bytes:
        self._covered(gpa, n)
        return self.vm.ram.read(gpa, n)

    def _write(self, gpa: int, data: bytes) -> None:
        self._covered(gpa, len(data))
        self.vm.ram.write(gpa, data)

    def _resume(self, pc: int) -> None:
        self.resumed.append(pc)
        self.vm.vcpu.resume(pc)

    def _power_off(self, how: str, failed: bool, reboot: bool = False) -> None:
        self.off = how, failed, reboot


class Calls:
    """A VM whose guest makes one call after the other."""

    def __init__(self, bench: Bench) -> None:
        self.rng = bench.rng
        bench.target = self.hv = Hypervisor("16M", tier="interp")
        assembler = Assembler(ISA)
        code = assembler.program("nop", CODE)
        image = Image("calls", CODE, (Segment(CODE, code, len(code)),))
        self.vm = self.hv.create("vm1", image, memory=MEMORY, reserve=True)
        self.printed = bytearray()
        self.hv.on_console = lambda vm, data: self.printed.extend(data)
        self.hv.run(1)  # the VM is on the hart now
        self.pc = CODE + 2 * self.rng.randrange(1 << 16)
        self.vm.ram.write(self.pc, assembler.program("ecall", self.pc))
        self.caller = Caller(bench.part, self.vm)
        self.hv.on(SbiExit, lambda exit_: self.caller.ecall())

    def call(self, eid: int, fid: int, *args: int) -> tuple[int, int]:
        """a0 and a1 after the call."""
        state = self.hv.hart.state
        for n in range(1, 32):
            state[r.X0 + n] = self.rng.getrandbits(64)
        for n, value in enumerate(args):
            state[r.A0 + n] = value
        state[r.A7], state[r.A6], state[r.PC] = eid, fid, self.pc
        self.before = [state[r.X0 + n] for n in range(32)]
        self.printed.clear()
        self.hv.run(1)
        return state[r.A0], state[r.A1]

    def must(self, error: int, value: int | None, eid: int, fid: int, *args: int, why: str = "") -> int:
        """A call that returns this; a1 counts where `value` is not None. a1 is returned."""
        a0, a1 = self.call(eid, fid, *args)
        wanted = f"{described(eid, fid, args)} to return {error_name(error)} (a0 = {signed(error)})"
        wanted += f" and the value {value:#x} (a1)" if value is not None else ""
        if a0 != error:
            raise Lost(wanted + (f": {why}" if why else ""), f"a0 is {named(a0)}", "registers")
        if value is not None and a1 != value:
            raise Lost(wanted + (f": {why}" if why else ""), f"a1 is {a1:#x}", "registers")
        return a1

    def place(self, n: int) -> int:
        """A gpa of n bytes in RAM."""
        return self.rng.randrange(BUFFERS, RAM_END - n + 1)

    def must_print(self, wanted: bytes, what: str) -> None:
        if bytes(self.printed) != wanted:
            raise Lost(f"{what} to print {shown(wanted)}", f"the console got {shown(bytes(self.printed))}")

    def must_stay_on(self, what: str) -> None:
        if self.caller.off is not None:
            raise Lost(f"the machine to stay on after {what}", f"it was powered off: {self.caller.off[0]}")


def described(eid: int, fid: int, args: tuple[int, ...]) -> str:
    listed = ", ".join(f"{arg:#x}" for arg in args)
    name = NAMES.get((eid, fid))
    if name is not None:
        return f"{name}({listed})"
    extension = EXTENSIONS.get(eid)
    return f"function {fid:#x} of {extension}" if extension else f"a call with a7 = {eid:#x}, a6 = {fid:#x}"


def signed(value: int) -> int:
    return value - (1 << 64) if value >> 63 else value


def named(value: int) -> str:
    name = error_name(value)
    return f"{signed(value)}, {name}" if name.startswith("SBI_") else f"{value:#x}"


def shown(found: bytes) -> str:
    count = f"{len(found)} byte{'s' * (len(found) != 1)}"
    return f"{count}, {found[:12].hex(' ')}{' ...' * (len(found) > 12)}" if found else count


@CHECKS.add("BASE says which SBI this is, and whose", 2)
def base(bench: Bench) -> None:
    calls = Calls(bench)
    values = {0: SPEC_VERSION, 1: IMPL_ID, 2: IMPL_VERSION, 4: 0, 5: 0, 6: 0}
    for fid in calls.rng.sample(list(values), len(values)):
        calls.must(SUCCESS, values[fid], BASE, fid)


@CHECKS.add("probe_extension tells what there is from what there is not", 2)
def probe(bench: Bench) -> None:
    calls = Calls(bench)
    there = [*EXTENSIONS] * 2
    absent = [stranger(calls) for _ in range(6)] + [eid ^ 1 << calls.rng.randrange(31) for eid in (DBCN, SRST)]
    for eid in calls.rng.sample(there + absent, len(there) + len(absent)):
        value = calls.must(SUCCESS, None, BASE, PROBE, eid)
        wanted = f"{described(BASE, PROBE, (eid,))} to return "
        if eid in EXTENSIONS and not value:
            raise Lost(f"{wanted}something else than 0 in a1: there is {EXTENSIONS[eid]}", "a1 is 0", "registers")
        if eid not in EXTENSIONS and value:
            raise Lost(f"{wanted}0 in a1: there is no such extension", f"a1 is {value:#x}", "registers")


def stranger(calls: Calls) -> int:
    """An EID for experiments, vendors or firmware: nobody here has one."""
    return int(calls.rng.choice((0x0800_0000, 0x0900_0000, 0x0A00_0000)) + calls.rng.randrange(1 << 24))


@CHECKS.add("what there is not is SBI_ERR_NOT_SUPPORTED: extensions, and functions of those that there are", 2)
def unknown(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    several = [(stranger(calls), rng.randrange(8)) for _ in range(4)]
    several += [(BASE, rng.randrange(7, 1 << 20)), (BASE, 7), (DBCN, 3), (DBCN, rng.randrange(3, 1 << 20))]
    several += [(SRST, 1), (SRST, rng.randrange(1, 1 << 20)), (TIME, rng.randrange(1, 1 << 20))]
    for eid, fid in rng.sample(several, len(several)):
        calls.must(ERR_NOT_SUPPORTED, None, eid, fid, 0, 0, 0)
        calls.must_stay_on(described(eid, fid, ()))
        calls.must_print(b"", described(eid, fid, ()))


@CHECKS.add("DBCN writes bytes of the guest's memory to its console, 4096 a call at most, and single ones", 3)
def write(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    for n in (1, rng.randrange(2, 80), rng.randrange(1000, MOST_BYTES), MOST_BYTES, rng.randrange(MOST_BYTES + 1, 40_000), 0):
        gpa, sent = calls.place(n), rng.randbytes(n)
        calls.vm.ram.write(gpa, sent)
        moved = min(n, MOST_BYTES)
        calls.must(SUCCESS, moved, DBCN, WRITE, n, gpa, 0, why=f"{moved} of {n} bytes are written")
        calls.must_print(sent[:moved], described(DBCN, WRITE, (n, gpa, 0)))
    for _ in range(3):
        byte = rng.getrandbits(64)
        calls.must(SUCCESS, 0, DBCN, WRITE_BYTE, byte)
        calls.must_print(bytes((byte & 0xFF,)), f"{described(DBCN, WRITE_BYTE, (byte,))}, the low byte of it,")


@CHECKS.add("DBCN reads what was typed into the guest's memory: as much as there is, and nothing else is touched", 2)
def read(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    typed = b""
    few = rng.randrange(3, 60)
    for asked, type_ in ((few, 0), (few, rng.randrange(1, few)), (few, few + rng.randrange(20, 50)), (60_000, 5000), (60_000, 0)):
        new = rng.randbytes(type_)
        calls.vm.console.feed(new)
        typed += new
        moved = min(asked, len(typed), MOST_BYTES)
        gpa, filler = calls.place(asked), rng.randbytes(asked)
        calls.vm.ram.write(gpa, filler)
        why = f"{len(typed)} bytes were typed and not read yet"
        calls.must(SUCCESS, moved, DBCN, READ, asked, gpa, 0, why=why)
        found = calls.vm.ram.read(gpa, asked)
        wanted = f"{described(DBCN, READ, (asked, gpa, 0))} to put {moved} bytes into memory"
        if found[:moved] != typed[:moved]:
            raise Lost(f"{wanted}: {shown(typed[:moved])}", f"there is {shown(found[:moved])}", f"x g:{gpa:#x}")
        if found[moved:] != filler[moved:]:
            raise Lost(f"{wanted}, and leave what follows as it was", "it was changed", f"x g:{gpa + moved:#x}")
        typed = typed[moved:]


@CHECKS.add("memory that is not the guest's is SBI_ERR_INVALID_PARAM, and nothing is written or read", 3)
def ranges(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    typed = rng.randbytes(rng.randrange(5, 50))
    calls.vm.console.feed(typed)
    n = rng.randrange(2, 200)
    inside = calls.place(n)
    several: list[tuple[int, int, int, str]] = [
        (n, RAM_END - n + rng.randrange(1, n), 0, "its end is behind the RAM"),
        (n, RAM_END - n + 1, 0, "its last byte is behind the RAM"),
        (n, RAM - rng.randrange(1, n), 0, "it begins before the RAM"),
        (n, BOARD.virtio.window(0).base, 0, "a device is there"),
        (n, rng.randrange(1 << 40, 1 << 63), 0, "nothing is there"),
        (n, inside, 1 << rng.randrange(64), "addr_hi has the upper 64 bits of an address of 128"),
        (MASK64 - rng.randrange(100), inside, 0, "it is longer than the RAM, and its end wraps around"),
        (RAM_END - inside + 4096, inside, 0, "its end is behind the RAM, although the first 4096 bytes are not"),
        (n, MASK64 - rng.randrange(n - 1), 0, "it wraps around"),
    ]
    for number, address, high, why in rng.sample(several, len(several)):
        for fid in (WRITE, READ):
            calls.must(ERR_INVALID_PARAM, None, DBCN, fid, number, address, high, why=why)
            calls.must_print(b"", described(DBCN, fid, (number, address, high)))
    calls.must(SUCCESS, n, DBCN, WRITE, n, RAM_END - n, 0, why="these are the last bytes of the RAM")
    gpa = calls.place(len(typed))
    calls.must(SUCCESS, len(typed), DBCN, READ, len(typed), gpa, 0, why=f"{len(typed)} bytes were typed and not read yet")


@CHECKS.add("SRST ends the machine, and says how; reserved types and reasons do not", 3)
def reset(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    good = [(kind, reason) for kind in range(3) for reason in range(2)]
    upper = rng.getrandbits(32) << 32
    for kind, reason, more in (*((*pair, 0) for pair in rng.sample(good, len(good))), (0, 1, upper)):
        what = described(SRST, RESET, (more | kind, more | reason))
        a0, _ = calls.call(SRST, RESET, more | kind, more | reason)
        if calls.caller.off is None:
            wide = ": type and reason are 32 bits wide, 0 and 1" if more else ""
            raise Lost(f"{what} to power the machine off{wide}", f"it stays on, and a0 is {named(a0)}", "registers")
        _, failed, reboot = calls.caller.off
        if failed != bool(reason):
            said = "a failure" if reason else "no failure"
            raise Lost(f"{what} to be {said}: reset_reason is {reason}", f"power_off was told failed={failed}")
        if reboot != bool(kind):
            said = "a reboot" if kind else "a shutdown"
            raise Lost(f"{what} to be {said}: reset_type is {kind}", f"power_off was told reboot={reboot}")
    bad = [(3, 0), (rng.randrange(3, 0xF000_0000), rng.randrange(2)), (0, 2), (rng.randrange(3), rng.randrange(2, 0xE000_0000))]
    for kind, reason in rng.sample(bad, len(bad)):
        calls.must(ERR_INVALID_PARAM, None, SRST, RESET, kind, reason, why="the one or the other is reserved")
        calls.must_stay_on(described(SRST, RESET, (kind, reason)))


@CHECKS.add("a0 and a1 are the answer, no other register changes, and the guest goes on behind its ecall", 1)
def registers(bench: Bench) -> None:
    calls = Calls(bench)
    rng = calls.rng
    several = [(BASE, 0), (BASE, PROBE, DBCN), (DBCN, WRITE, 5, calls.place(5), 0), (DBCN, READ, 5, 0, 0), (DBCN, WRITE_BYTE, 65)]
    several += [(stranger(calls), 0), (BASE, 99), (SRST, RESET, 7, 7)]
    for eid, fid, *args in rng.sample(several, len(several)):
        calls.call(eid, fid, *args)
        what, state = described(eid, fid, tuple(args)), calls.hv.hart.state
        for n in range(32):
            if n not in (10, 11) and state[r.X0 + n] != calls.before[n]:
                is_, was = state[r.X0 + n], calls.before[n]
                state[r.X0] = 0
                raise Lost(f"x{n} to stay {was:#x} in {what}: only a0 and a1 may change", f"it is {is_:#x}", "registers")
        if calls.caller.resumed != [calls.pc + 4]:
            got = ", ".join(f"{pc:#x}" for pc in calls.caller.resumed)
            wanted = f"resume({calls.pc + 4:#x}) after {what}: behind the ecall at sepc {calls.pc:#x}, which is 4 bytes long"
            raise Lost(wanted, f"resume was called with {got}" if got else "resume was not called", "csr sepc")


@CHECKS.add("guests run on it: `hello` and `tasks`, from the first instruction to the last", 2)
def hosts_guests(bench: Bench) -> None:
    for name in ("hello", "tasks"):
        ours, theirs = Hypervisor("16M", tier="interp"), Hypervisor("16M", tier="interp")
        bench.target = theirs
        other, vm = ours.create(name, memory=MEMORY), theirs.create(name, memory=MEMORY)
        caller = Caller(bench.part, vm)

        def answer(exit_: SbiExit, caller: Caller = caller) -> None:
            caller.ecall()
            if caller.off is not None:
                caller.vm.power_off(*caller.off)

        theirs.on(SbiExit, answer)
        ours.run(GUEST_STEPS)
        theirs.run(GUEST_STEPS)
        got, wanted = ([line for line in lines(one) if EXTENSIONS_LINE not in line] for one in (vm, other))
        for mine, line in zip([*got, b""], [*wanted, b""], strict=False):
            if mine != line:
                printed = mine.decode("utf-8", "replace")
                raise Lost(f"`{name}` to print the line {line.decode()!r}", f"it printed {printed!r}", "exits")
        if vm.stopped is None or vm.failed:
            raise Lost(f"`{name}` to power off", f"it ended with: {vm.reason or 'nothing, it still runs'}", "exits")


def lines(vm: VM) -> list[bytes]:
    return vm.console.transcript.splitlines()
