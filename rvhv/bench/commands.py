"""Whole commands, as a person waits for them: wall time, and the memory of a process."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rvhv.bench.figure import Figure, figure
from rvhv.errors import ConfigError

if sys.platform == "win32":
    from rvhv.platform_windows import children_cpu_seconds, peak_memory
else:
    from rvhv.platform_posix import children_cpu_seconds, peak_memory

COMMAND = [sys.executable, "-m", "rvhv"]
SLOWEST = 1800  # seconds
FOUR_VMS = """
import sys
from rvhv import Hypervisor
from rvhv.bench.commands import peak_memory
from rvhv.images import GUESTS
with Hypervisor(memory="256M") as hv:
    for name in GUESTS:
        hv.create(name, memory="32M", disk=sys.argv[1] if name == "disk" else None)
    hv.run()
print(peak_memory())
"""


def first_output(rounds: int) -> Figure:
    """From the command to the first byte a guest prints, everything cached."""
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        with subprocess.Popen([*COMMAND, "run", "hello"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            samples.append(time.perf_counter() - start)
            process.stdout.read()
    return figure("warm start: from the command to the first guest output", "s", samples, "at most 1.0", "wall time")


def four_vms() -> Iterator[Figure]:
    """Peak resident memory of a process that hosts the four built-in guests, 32 MiB each."""
    if peak_memory() is None:
        return
    with tempfile.NamedTemporaryFile(prefix="rvhv-bench-", suffix=".img") as disk:
        disk.truncate(1 << 20)
        done = subprocess.run([sys.executable, "-c", FOUR_VMS, disk.name], check=True, capture_output=True, text=True)
    yield figure("four VMs of 32 MiB, peak resident memory", "MB", [int(done.stdout) / 1e6], "at most 500")


def first_compile() -> Iterator[Figure]:
    """Everything compiled into an empty cache folder."""
    with tempfile.TemporaryDirectory(prefix="rvhv-bench-") as folder:
        cpu, start = children_cpu_seconds(), time.perf_counter()
        subprocess.run(
            [*COMMAND, "warmup"],
            check=True,
            capture_output=True,
            timeout=SLOWEST,
            env={**os.environ, "RVHV_CACHE_DIR": folder},
        )
        wall = time.perf_counter() - start
    yield figure("first compile of everything", "s", [wall], "at most 60", "wall time")
    yield figure("first compile of everything", "s", [children_cpu_seconds() - cpu], note="CPU time")


def suite(path: Path, rounds: int) -> Figure:
    """`rvhv riscv-tests` over a folder. Raises ConfigError when a test fails: then its time means nothing."""
    samples = []
    for _ in range(rounds):
        start = time.perf_counter()
        done = subprocess.run([*COMMAND, "riscv-tests", str(path)], capture_output=True, text=True, timeout=SLOWEST)
        samples.append(time.perf_counter() - start)
        if done.returncode:
            last = (done.stderr or done.stdout).strip().splitlines()[-1:]
            raise ConfigError(f"--suite {path}: not all of it passes: {''.join(last)}")
    return figure(f"riscv-tests {path.name}, start-up included", "s", samples, "at most 8", "wall time")
