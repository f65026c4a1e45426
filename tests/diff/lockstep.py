"""One program on two machines, state by state: what QEMU logs before each instruction, and our machine one step at a time."""

from __future__ import annotations

import re
import selectors
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from tests.diff.streams import RAM, RAM_SIZE, Stream

QEMU = "qemu-system-riscv64"
VERSION = "7.2"  # later ones have other options and logs, and other differences from the manual
OPTIONS = "Zfh svinval svnapot svpbmt zbkb zbkx".split()
CPU = ",".join(["rv64", *(f"{option}=true" for option in OPTIONS), "pmu-num=0"])
# what the log lists, in its order: `-d cpu,fpu` of a hart with H
CSRS = (
    "mhartid mstatus hstatus vsstatus mip mie mideleg hideleg medeleg hedeleg mtvec stvec vstvec "
    "mepc sepc vsepc mcause scause vscause mtval stval htval mtval2 mscratch sscratch satp"
).split()
NAMES = ("pc", *CSRS, *(f"x{n}" for n in range(32)), *(f"f{n}" for n in range(32)))
SATP, UNSEEN = NAMES.index("satp"), -1
BLOCK = b" V      =   "
NUMBER = re.compile(rb"(?<= )[0-9a-f]{16}(?=[ \n])")
AMO_OPCODE, WRITE, EXECUTE = 0x2F, 2, 4
LOAD_ACCESS_FAULT, STORE_ACCESS_FAULT = 5, 7
FETCH_FAULTS = frozenset({0, 1, 12})
# bits of QEMU 7.2's that are another machine's than ours
IGNORED = {
    NAMES.index("vsstatus"): 3 << 34,  # SXL is mstatus's only: the bits are WPRI
}
# how far tval may differ, by cause; the trap handlers clear it, so that nothing comes of it
TVAL_SLACK = {
    3: (1 << 64) - 1,  # norm: of a breakpoint, tval is 0 or pc
    5: 7,  # norm: tval is where the portion of a misaligned access begins that faulted; QEMU splits accesses outside RAM at
    7: 7,  # aligned addresses, and checks PMP for the whole of an access
}
TVALS = {"mtval": NAMES.index("mcause"), "stval": NAMES.index("scause")}
PC, F0, PRV, TRAP_STEPS = SLOT["pc"], SLOT["f0"], SLOT["prv"], SLOT["trap_steps"]
State = tuple[int, ...]
PROLOGUE = 1000  # instructions at most
PATIENCE = 20.0  # seconds without a word from QEMU


def missing() -> str:
    """Why nothing can be compared; "" when it can."""
    if shutil.which(QEMU) is None:
        return f"{QEMU} is not installed: nothing runs in lockstep with it"
    found = subprocess.run([QEMU, "--version"], capture_output=True, text=True).stdout.partition("\n")[0]
    return "" if f" {VERSION}." in found else f"{found or QEMU} is not {VERSION}: nothing runs in lockstep with it"


def ours(program: Stream, limit: int) -> list[State]:
    """The state before each instruction that is executed or refused, from `begin` until `end` or `limit` states.

    Steps at which no instruction is reached (interrupts and failed fetches) are not among them: QEMU does not log these.
    """
    memory = Memory(RAM_SIZE, RAM)
    machine = Machine(memory)
    for address, data in program.segments.items():
        memory.write(address, data)
    hart = machine.harts[0]
    hart.write_csr("mstateen0", (1 << 64) - 1)  # QEMU 7.2 has no state enables: senvcfg is S-mode's
    state = hart.state
    for _ in range(PROLOGUE):
        if state[PC] == program.begin:
            break
        machine.run(1)
    assert state[PC] == program.begin
    states: list[State] = []
    while len(states) < limit and state[PC] != program.end and machine.end is None:
        before, traps = snapshot(hart), state[TRAP_STEPS]
        outside = amo_outside_ram(hart)
        machine.run(1)
        if state[TRAP_STEPS] != traps:
            slot = SLOT["mcause" if state[PRV] == 3 else "scause"]
            if state[slot] >> 63 or state[slot] in FETCH_FAULTS:
                continue
            if outside and state[slot] == STORE_ACCESS_FAULT:
                state[slot] = LOAD_ACCESS_FAULT
        states.append(before)
    # in a trap loop QEMU fetches nothing more either, and says so only when the next block would begin
    return states if machine.end is None else states[:-2]


def differences(a: State, b: State) -> list[str]:
    """Names of what differs between a state of ours and one of QEMU's."""
    if a == b:
        return []
    found = [name for name, x, y in zip(NAMES, a, b, strict=True) if y not in (x, UNSEEN)]
    at = NAMES.index
    return [n for n in found if n not in TVALS or abs(a[at(n)] - b[at(n)]) > TVAL_SLACK.get(a[TVALS[n]], 0)]


def amo_outside_ram(hart: Hart) -> bool:
    """Whether an AMO is next that no memory answers. norm: an AMO's faults are a store's; QEMU 7.2 says a load's there."""
    pc = hart.find(hart.state[PC], EXECUTE)
    if pc is None or not RAM <= pc < RAM + RAM_SIZE - 4:
        return False
    word = int.from_bytes(hart.memory.read(pc, 4), "little")
    if word & 0x7F != AMO_OPCODE:
        return False
    spa = hart.find(hart.state[word >> 15 & 31], WRITE)
    return spa is not None and not RAM <= spa < RAM + RAM_SIZE


# CSRs that are words of the state as they are
STORED = {n: SLOT[n] for n in CSRS if (ISA.csrs[n].read.op, ISA.csrs[n].read.args) == ("leaf", (n,))}


def snapshot(hart: Hart) -> State:
    """The hart's state in the order of NAMES."""
    state = hart.state
    values = [state[STORED[name]] if name in STORED else hart.read_csr(name) for name in CSRS]
    return (state[PC], *values, *state[:32], *state[F0 : F0 + 32])


def theirs(program: Stream, folder: Path) -> Generator[State, None, None]:
    """The states that QEMU logs from `begin` on, until it says no more.

    It has a second hart, which sleeps: with one only, QEMU makes of an AMO a load and a store, and of its traps a load's.
    """
    command = [QEMU, "-machine", "virt", "-cpu", CPU, "-m", str(RAM_SIZE >> 20), "-smp", "2", "-bios", "none", "-display", "none"]
    command += ["-monitor", "none", "-serial", "none", "-singlestep", "-d", "nochain,cpu,fpu"]
    for address, data in program.segments.items():
        file = folder / f"{address:x}"
        file.write_bytes(data)
        command += ["-device", f"loader,file={file},addr={address:#x},force-raw=on"]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    begin = f"pc       {program.begin:016x}".encode()
    first = b"mhartid  0000000000000000"
    started, rest = False, b""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(process.stderr, selectors.EVENT_READ)
            while selector.select(PATIENCE):
                data = process.stderr.read1(1 << 20)
                if not data:
                    break
                *blocks, rest = (rest + data).split(BLOCK)
                for block in blocks:
                    started = started or begin in block
                    if started and first in block:
                        values = [int(number, 16) for number in NUMBER.findall(block)]
                        if len(values) == len(NAMES) - 1:  # S-mode under mstatus.TVM: its debug read of satp fails
                            values.insert(SATP, UNSEEN)
                        for index, bits in IGNORED.items():
                            values[index] &= ~bits
                        yield tuple(values)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
