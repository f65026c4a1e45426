"""What runs the benchmark programs: rvhv itself, and QEMU and Spike where they are installed. Each run is a process."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rvhv.bench import OTHERS
from rvhv.errors import InternalError

if sys.platform == "win32":
    from rvhv.platform_windows import children_cpu_seconds
else:
    from rvhv.platform_posix import children_cpu_seconds

QEMU, SPIKE = "qemu-system-riscv64", "spike"
RVHV = "rvhv"
RAM_MIB = 128
LONGEST = 600  # seconds of a run
RIGHT = " ok\n"  # how a program's line ends when its checksum is right


@dataclass(frozen=True)
class Emulator:
    """`command(elf)` runs a benchmark program and ends with it."""

    name: str
    version: str
    command: Callable[[Path], list[str]]


@dataclass(frozen=True)
class Run:
    """User and system time of a whole process in seconds, start-up included; instructions retired where it tells."""

    seconds: float
    instructions: int | None


def rvhv() -> Emulator:
    program = [sys.executable, "-m", "rvhv"]
    boot = [*program, "boot", "--memory", f"{RAM_MIB}M", "--json"]
    return Emulator(RVHV, _version(*program, "--version"), lambda elf: [*boot, str(elf)])


def others() -> list[Emulator]:
    """What else is installed."""
    found = []
    of_qemu, of_spike = OTHERS
    if qemu := shutil.which(QEMU):
        machine = ["-M", "virt", "-cpu", "rv64,h=true", "-m", f"{RAM_MIB}M", "-bios", "none"]
        quiet = ["-display", "none", "-serial", "stdio", "-monitor", "none"]
        found.append(Emulator(of_qemu, _version(qemu, "--version"), lambda elf: [qemu, *machine, *quiet, "-kernel", str(elf)]))
    if spike := shutil.which(SPIKE):
        memory = f"-m0x80000000:{RAM_MIB << 20:#x}"
        found.append(Emulator(of_spike, _version(spike, "--help"), lambda elf: [spike, "--isa=rv64gch", memory, str(elf)]))
    return found


def _version(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    first = (done.stdout + done.stderr).splitlines()[0]
    return first.partition(" (")[0]


def run(emulator: Emulator, elf: bytes, folder: Path) -> Run | None:
    """Run a benchmark program. None when another emulator cannot (it lacks the hypervisor extension, say).

    Raises InternalError when rvhv computes something wrong.
    """
    file = folder / "program.elf"
    file.write_bytes(elf)
    start = children_cpu_seconds()
    ours = emulator.name == RVHV
    try:
        done = subprocess.run(
            emulator.command(file), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST
        )
    except subprocess.TimeoutExpired:
        if ours:
            raise InternalError(f"a benchmark program was still running after {LONGEST} seconds") from None
        return None
    seconds = children_cpu_seconds() - start
    if not ours:
        return None if done.returncode or not done.stdout.endswith(RIGHT) else Run(seconds, None)
    report: dict[str, Any] = json.loads(done.stdout) if done.stdout else {"console": "", "reason": done.stderr.strip()}
    if done.returncode or not report["console"].endswith(RIGHT):
        raise InternalError(f"a benchmark program failed: {report['console']}{report['reason']}")
    return Run(seconds, report["instructions"])
