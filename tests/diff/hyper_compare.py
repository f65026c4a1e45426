"""Runs a program on our machine and on Spike, and finds where their commit logs differ."""

from __future__ import annotations

import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rvhv.boot.commit_log import CommitLog
from rvhv.boot.loader import Software, prepare
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.isa.render.disasm import Disassembler
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from tests.diff import spike
from tests.diff.hyper_programs import HyperProgram

MIB = 1 << 20
MAX_STEPS = 40_000
ENOUGH = 10_000  # lines: a program in which a handler goes back to what faults again and again may not end within its steps
ALL = (1 << 64) - 1
# bits that may differ, by the CSR that an instruction accesses, and why; the programs overwrite such a register at once
ALLOWED = {
    "cycle": (ALL, "counts the boot ROM"),
    "instret": (ALL, "counts the boot ROM"),
    "time": (ALL, "Spike's clock ticks in bursts"),
    "mvendorid": (ALL, "whose it is"),
    "htinst": (ALL, "Spike does not transform instructions: zero, as the manual permits"),
    "mtinst": (ALL, "as htinst"),
}


TINST_READ = re.compile(r"\(0x(34a029f3|64a02af3)\)")  # the M and HS handlers'


@dataclass
class Comparison:
    lines: int  # compared
    difference: str  # empty: none
    modes: Counter[str] = field(default_factory=Counter)  # lines by mode


class _Modes:
    """A commit log that also counts modes."""

    def __init__(self, log: CommitLog) -> None:
        self.log, self.count = log, Counter[str]()

    def before(self, number: int, hart: object) -> None:
        state = hart.state  # type: ignore[attr-defined]
        self.count[("U", "S", "?", "M")[state[SLOT["prv"]]] + "v" * state[SLOT["v"]]] += 1
        self.log.before(number, hart)  # type: ignore[arg-type]

    def after(self, number: int, hart: object) -> None:
        self.log.after(number, hart)  # type: ignore[arg-type]


def our_log(executable: Path) -> tuple[list[str], Counter[str], Machine]:
    out = io.StringIO()
    machine = Machine(Memory(spike.MEMORY_MIB * MIB))
    prepare(Software(image=executable), memory=spike.MEMORY_MIB * MIB, harts=1).start(machine)
    modes = _Modes(CommitLog(machine, out))
    machine.watcher = modes
    machine.run(MAX_STEPS)
    return out.getvalue().splitlines(), modes.count, machine


def normal(line: str, *, ours: str | None = None) -> str:
    """A line without what may differ. Given ours, this is Spike's: what its handlers read of htinst is zero, or as ours."""
    line = re.sub(r" c777_mvip 0x\w+", "", line)  # a register of the interrupt architecture, which Spike shows
    match = re.match(r"core   0: \d 0x\w+ \(0x(\w{8})\)", line)
    csr = _csr(int(match[1], 16)) if match else None
    if csr not in ALLOWED:
        return line
    if ours is not None and TINST_READ.search(line) and not line.endswith(" 0x0000000000000000"):
        return line
    keep = ~ALLOWED[csr][0]
    return re.sub(r"( [xc]\d+\S* +)0x(\w+)", lambda m: f"{m[1]}{int(m[2], 16) & keep:x}", line)


def _csr(word: int) -> str | None:
    """The CSR that this instruction accesses, if it is one that does."""
    csr = ISA.csr_by_number.get(word >> 20) if word & 0x7F == 0x73 and word >> 12 & 3 else None
    return csr.name if csr else None


def lockstep(program: HyperProgram, folder: Path) -> Comparison:
    executable, log = folder / "program.elf", folder / "spike.log"
    executable.write_bytes(program.executable)
    ours, modes, machine = our_log(executable)
    theirs = spike.commit_log(executable, log)
    last = f" 0x{program.last:016x} "
    for i, (our, their) in enumerate(zip(ours, theirs, strict=False)):
        if our != their and normal(our) != normal(their, ours=our):
            return Comparison(i, _report(ours, theirs, i), modes)
        if last in our:
            return Comparison(i + 1, "", modes)
    compared = min(len(ours), len(theirs))
    if compared >= ENOUGH:
        return Comparison(compared, "", modes)
    why = machine.end.reason if machine.end else "still running"
    return Comparison(compared, f"{len(ours)} lines of ours and {len(theirs)} of Spike's, and no end ({why})", modes)


def _report(ours: list[str], theirs: list[str], i: int) -> str:
    disassembler = Disassembler(ISA)

    def text(line: str) -> str:
        match = re.match(r"core   0: \d 0x\w+ \(0x(\w+)\)", line)
        return line + "   # " + (disassembler.text(int(match[1], 16)) if match else "?")

    before = [f"  both  {text(line)}" for line in theirs[max(0, i - 12) : i]]
    return "\n".join([*before, f"  ours  {text(ours[i])}", f"  Spike {text(theirs[i])}"])
