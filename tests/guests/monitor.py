"""Booting the monitor of guests/monitor, the C twin of rvhv.hv, and hosting the same guests under both."""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rvhv.boot.loader import Software, prepare
from rvhv.core.registry import ISA
from rvhv.hv import Hypervisor
from rvhv.images import image_path
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import EHDR, EM_RISCV, ET_EXEC, PHDR, PT_LOAD, load_image
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine, StepWatcher

BUILT_IN = ("hello", "tasks")
POWER_OFF = "li a7, 0x53525354; li a6, 0; li a0, 0; li a1, 0; ecall"
MOST_STEPS = 100_000_000
ENDED = re.compile(r"monitor: (\S+) (stopped|failed): (.*)")
RETIRED = re.compile(r"monitor: (\S+): ([\d,]+) instructions")
EXITS = re.compile(r"monitor: ([^:]+): ((?:[\d,]+ of \S+(?:, )?)+)(?:; ([\d,]+) to ([\d,]+) instructions, ([\d,]+) on average)?")
# what a guest says of the machine that it was given, which QEMU's and ours are not alike in
MACHINES_OWN = re.compile(r"(my hart:|my device tree:) .*")


def number(text: str) -> int:
    return int(text.replace(",", ""))


@dataclass
class Outcome:
    """What a host of guests printed and says of them, by VM."""

    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[str, tuple[bool, str]] = field(default_factory=dict)  # failed, why it stopped
    instructions: dict[str, int] = field(default_factory=dict)
    exits: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(dict))  # VM -> cause -> how many
    costs: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # cause -> least, most and mean instructions

    def story(self, name: str) -> list[str]:
        """A VM's lines without what is its machine's."""
        return [MACHINES_OWN.sub(r"\1", line) for line in self.lines[name]]


def read(text: str) -> Outcome:
    """The outcome that the monitor's console tells."""
    outcome = Outcome()
    for line in text.splitlines():
        if " │ " in line:
            name, said = line.split(" │ ", 1)
            outcome.lines[name.strip()].append(said)
        elif ended := ENDED.fullmatch(line):
            outcome.reasons[ended[1]] = (ended[2] == "failed", ended[3])
        elif retired := RETIRED.fullmatch(line):
            outcome.instructions[retired[1]] = number(retired[2])
        elif exits := EXITS.fullmatch(line):
            for part in exits[2].split(", "):
                count, name = part.split(" of ")
                outcome.exits[name][exits[1]] = number(count)
            if exits[3]:
                outcome.costs[exits[1]] = (number(exits[3]), number(exits[4]), number(exits[5]))
    return outcome


def under_monitor(
    guests: Mapping[str, bytes] | None = None, *, memory: int = 128 << 20, watcher: StepWatcher | None = None
) -> Outcome:
    """Boot the monitor on the bare machine, with these ELF files as its guests or with those built in."""
    printed = bytearray()
    with tempfile.TemporaryDirectory() as folder:
        initrd = Path(folder) / "guests.cpio"
        if guests is not None:
            initrd.write_bytes(archive(guests))
        software = Software(image_path("monitor"), initrd=None if guests is None else initrd)
        boot = prepare(software, memory=memory, harts=1)
    machine = Machine(Memory(memory), on_output=printed.extend)
    boot.start(machine)
    machine.watcher = watcher
    while machine.end is None and machine.steps < MOST_STEPS and machine.run(1_000_000):
        pass
    outcome = read(printed.decode())
    assert machine.end is not None, printed.decode()
    assert machine.end.failed == any(failed for failed, _ in outcome.reasons.values())
    return outcome


def under_python(guests: Mapping[str, bytes]) -> Outcome:
    """The same guests under rvhv.hv."""
    printed: dict[str, bytearray] = defaultdict(bytearray)
    outcome = Outcome()
    with Hypervisor() as hv:
        hv.on_console = lambda vm, data: printed[vm.name].extend(data)
        for name, data in guests.items():
            hv.create(name, load_image(data, name))
        hv.run()
        for vm in hv.vms:
            outcome.lines[vm.name] = printed[vm.name].decode().splitlines()
            outcome.reasons[vm.name] = (vm.failed, vm.reason)
            outcome.instructions[vm.name] = vm.instructions
            outcome.exits[vm.name] = vm.exit_counts
    return outcome


def shipped(*names: str) -> dict[str, bytes]:
    """The images of built-in guests."""
    return {name: image_path(name).read_bytes() for name in names}


def elf(source: str) -> bytes:
    """An ELF file of an assembled guest, at the address where guests begin, with a page behind it."""
    at = BOARD.image_base
    code = Assembler(ISA).program(source, at)
    offset = EHDR.size + PHDR.size
    ident = b"\x7fELF" + bytes((2, 1, 1)) + bytes(9)
    header = EHDR.pack(ident, ET_EXEC, EM_RISCV, 1, at, EHDR.size, 0, 0, EHDR.size, PHDR.size, 1, 0, 0, 0)
    return header + PHDR.pack(PT_LOAD, 7, offset, at, at, len(code), len(code) + 4096, 1) + code


def archive(files: Mapping[str, bytes]) -> bytes:
    """A cpio archive ("newc") of files."""
    out = bytearray()
    for name, data in {**files, "TRAILER!!!": b""}.items():
        raw = name.encode() + b"\0"
        fields = [0] * 13
        fields[6], fields[11] = len(data), len(raw)
        out += b"070701" + b"".join(b"%08X" % value for value in fields) + raw
        out += bytes(-len(out) % 4) + data
        out += bytes(-len(out) % 4)
    return bytes(out)
