"""What is measured, and how. Times are CPU time of this process unless a figure says otherwise."""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rvhv.bench import programs
from rvhv.core.memory import RAM_BASE, Memory
from rvhv.cpu.state import SLOT
from rvhv.errors import InternalError
from rvhv.hart import Hart
from rvhv.hv.hypervisor import Hypervisor
from rvhv.machine.image import Image

if sys.platform == "win32":
    from rvhv.platform_windows import children_cpu_seconds, peak_memory
else:
    from rvhv.platform_posix import children_cpu_seconds, peak_memory

QEMU = "qemu-system-riscv64"
ROUNDS = 5
LOOP_ROUNDS = 4_000_000
FEW_ROUNDS = 1_000
CALL_ROUNDS = 20_000
STARTS = 5
GUESTS = ("hello", "tasks", "disk", "rogue")


@dataclass(frozen=True)
class Figure:
    """One measured value: the median of its samples in `unit`, their least and greatest, and the target (None: none is set)."""

    name: str
    unit: str
    median: float
    least: float
    greatest: float
    target: str | None = None
    note: str = ""


def figure(name: str, unit: str, samples: list[float], target: str | None = None, note: str = "") -> Figure:
    return Figure(name, unit, statistics.median(samples), min(samples), max(samples), target, note)


def _run_guest(image: Image) -> tuple[float, int]:
    """(CPU seconds, instructions) of a VM that powers itself off."""
    with Hypervisor(memory="64M") as hv:
        vm = hv.create(image.name, image, memory="16M")
        start = time.process_time()
        hv.run()
        seconds = time.process_time() - start
        if vm.failed:
            raise InternalError(f"the benchmark {image.name} ended with: {vm.reason}")
        return seconds, vm.instructions


def guest_loop() -> Figure:
    samples = []
    for _ in range(ROUNDS):
        seconds, instructions = _run_guest(programs.paged_loop(LOOP_ROUNDS))
        samples.append(instructions / seconds / 1e6)
    return figure("integer loop, VS-mode, Sv39 over Sv39x4", "M instructions/s", samples, "at least 150")


def null_sbi_call() -> Figure:
    samples = []
    for _ in range(ROUNDS):
        least, _ = _run_guest(programs.sbi_calls(1))
        seconds, _ = _run_guest(programs.sbi_calls(CALL_ROUNDS))
        samples.append((seconds - least) / CALL_ROUNDS * 1e6)
    return figure("null SBI call handled in Python", "µs", samples, "at most 5")


def bare_loops() -> Iterator[Figure]:
    """The same bytes in M-mode here and on QEMU, in turn; QEMU's start-up is taken off."""
    ours, theirs = [], []
    qemu = shutil.which(QEMU)
    code = programs.bare_loop(LOOP_ROUNDS, RAM_BASE)
    instructions = int(LOOP_ROUNDS * programs.LOOP_INSTRUCTIONS)
    with tempfile.TemporaryDirectory(prefix="rvhv-bench-") as folder:
        long, short = Path(folder) / "long.bin", Path(folder) / "short.bin"
        long.write_bytes(code)
        short.write_bytes(programs.bare_loop(FEW_ROUNDS, RAM_BASE))
        for _ in range(ROUNDS):
            hart = Hart(memory := Memory(1 << 20))
            memory.write(memory.base, code)
            hart.state[SLOT["pc"]] = memory.base
            start = time.process_time()
            hart.run(instructions)
            ours.append(instructions / (time.process_time() - start) / 1e6)
            if qemu:
                seconds = _qemu(qemu, long) - _qemu(qemu, short)
                theirs.append(instructions / seconds / 1e6)
    yield figure("the same loop, M-mode", "M instructions/s", ours)
    if qemu:
        yield figure("the same loop, M-mode, on QEMU", "M instructions/s", theirs, note=_version(qemu))


def _qemu(qemu: str, program: Path) -> float:
    """CPU seconds of a QEMU that runs a flat binary at the start of RAM."""
    start = children_cpu_seconds()
    command = [qemu, "-M", "virt", "-m", "16M", "-bios", "none", "-display", "none", "-serial", "none", "-monitor", "none"]
    command += ["-device", f"loader,file={program},addr={RAM_BASE:#x}"]
    subprocess.run(command, check=True, timeout=120, stdin=subprocess.DEVNULL, capture_output=True)
    return children_cpu_seconds() - start


def _version(qemu: str) -> str:
    text = subprocess.run([qemu, "--version"], check=True, capture_output=True, text=True).stdout
    return text.splitlines()[0].partition(" (")[0]


def first_output() -> Figure:
    """Wall time from the command to the first byte a guest prints."""
    samples = []
    for _ in range(STARTS):
        start = time.perf_counter()
        with subprocess.Popen([sys.executable, "-m", "rvhv", "run", "hello"], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            samples.append(time.perf_counter() - start)
            process.stdout.read()
    return figure("from the command to the first guest output", "s", samples, "at most 1.0", "wall time, everything cached")


FOUR_VMS = """
import sys
from rvhv import Hypervisor
from rvhv.bench.figures import GUESTS, peak_memory
with Hypervisor(memory="256M") as hv:
    for name in GUESTS:
        hv.create(name, memory="32M", disk=sys.argv[1] if name == "disk" else None)
    hv.run()
print(peak_memory())
"""


def four_vms() -> Iterator[Figure]:
    """Peak resident memory of a process that hosts the four built-in guests, 32 MiB each."""
    if peak_memory() is None:
        return
    with tempfile.NamedTemporaryFile(prefix="rvhv-bench-", suffix=".img") as disk:
        disk.truncate(1 << 20)
        done = subprocess.run([sys.executable, "-c", FOUR_VMS, disk.name], check=True, capture_output=True, text=True)
    size = int(done.stdout) / 1e6
    yield figure("four VMs of 32 MiB, peak resident memory", "MB", [size], "at most 400")


def all_figures(progress: Callable[[str, float], None]) -> list[Figure]:
    """Measure everything; `progress(text, fraction)` is called before each part."""
    figures: list[Figure] = []
    parts: list[tuple[str, Callable[[], list[Figure]]]] = [
        ("integer loop in a VM", lambda: [guest_loop()]),
        ("SBI calls", lambda: [null_sbi_call()]),
        ("integer loop on the bare machine", lambda: list(bare_loops())),
        ("start-up", lambda: [first_output()]),
        ("memory", lambda: list(four_vms())),
    ]
    for i, (text, measure) in enumerate(parts):
        progress(text, i / len(parts))
        figures += measure()
    progress("done", 1.0)
    return figures
