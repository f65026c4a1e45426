"""A small loop on a bare hart in this process, and the same bytes on QEMU, whose start-up is taken off."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rvhv.bench import programs
from rvhv.bench.emulators import QEMU, others
from rvhv.bench.figure import Figure, figure
from rvhv.bench.vms import LOOP_ROUNDS
from rvhv.core.memory import RAM_BASE, Memory
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart

if sys.platform == "win32":
    from rvhv.platform_windows import children_cpu_seconds
else:
    from rvhv.platform_posix import children_cpu_seconds

FEW_ROUNDS = 1_000


def loops(rounds: int, scale: int) -> Iterator[Figure]:
    """In M-mode."""
    ours, theirs = [], []
    qemu = shutil.which(QEMU)
    turns = LOOP_ROUNDS * scale // 100
    code = programs.bare_loop(turns, RAM_BASE)
    instructions = int(turns * programs.LOOP_INSTRUCTIONS)
    with tempfile.TemporaryDirectory(prefix="rvhv-bench-") as folder:
        long, short = Path(folder) / "long.bin", Path(folder) / "short.bin"
        long.write_bytes(code)
        short.write_bytes(programs.bare_loop(FEW_ROUNDS, RAM_BASE))
        for _ in range(rounds):
            hart = Hart(memory := Memory(1 << 20))
            memory.write(memory.base, code)
            hart.state[SLOT["pc"]] = memory.base
            start = time.process_time()
            hart.run(instructions)
            ours.append(instructions / (time.process_time() - start) / 1e6)
            if qemu:
                theirs.append(instructions / max(1e-3, _qemu(qemu, long) - _qemu(qemu, short)) / 1e6)
    yield figure("the same loop, M-mode", "M instructions/s", ours)
    if qemu:
        yield figure("the same loop, M-mode, on QEMU", "M instructions/s", theirs, note=others()[0].version)


def _qemu(qemu: str, program: Path) -> float:
    """CPU seconds of a QEMU that runs a flat binary at the start of RAM."""
    start = children_cpu_seconds()
    command = [qemu, "-M", "virt", "-m", "16M", "-bios", "none", "-display", "none", "-serial", "none", "-monitor", "none"]
    command += ["-device", f"loader,file={program},addr={RAM_BASE:#x}"]
    subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL, capture_output=True)
    return children_cpu_seconds() - start
