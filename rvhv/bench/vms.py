"""VMs in this process: throughput, exits, and many at once. Times are CPU time of this process."""

from __future__ import annotations

import time
from collections.abc import Iterator

from rvhv.bench import programs
from rvhv.bench.figure import Figure, figure
from rvhv.errors import InternalError
from rvhv.hv.hypervisor import Hypervisor
from rvhv.machine.image import Image
from rvhv.sbi import base, ipi, rfence
from rvhv.sbi import time as time_

LOOP_ROUNDS = 4_000_000
NULL = base.EXTENSION.eid  # its function 0 gives a constant
# name, EID, first argument, how often, target in ns. The fast ones need no Python: an mtime that never comes, hart 0
CALLS = (
    ("null SBI call, answered in Python", NULL, 0, 20_000, "at most 3,000"),
    ("set_timer SBI call", time_.EXTENSION.eid, -1, 400_000, "at most 200"),
    ("send_ipi SBI call, to itself", ipi.EXTENSION.eid, 1, 400_000, "at most 200"),
    ("remote_fence_i SBI call", rfence.EXTENSION.eid, 1, 400_000, "at most 200"),
)
VM_COUNTS = (1, 4, 16, 64)
SLICE_STEPS = 1_000_000
STEPS_TOGETHER = 192_000_000  # whole slices for every one of them
ENDLESS = 1 << 40


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


def guest_loop(rounds: int, scale: int) -> Figure:
    samples = []
    for _ in range(rounds):
        seconds, instructions = _run_guest(programs.paged_loop(LOOP_ROUNDS * scale // 100))
        samples.append(instructions / seconds / 1e6)
    return figure("integer loop, VS-mode, Sv39 over Sv39x4", "M instructions/s", samples, "at least 150")


def sbi_calls(rounds: int, scale: int) -> Iterator[Figure]:
    """What a guest's call takes from its ecall to the instruction behind it, the loop around it included."""
    for name, eid, a0, count, target in CALLS:
        calls = max(1, count * scale // 100)
        samples = []
        for _ in range(rounds):
            least, _ = _run_guest(programs.sbi_calls(1, eid, a0))
            seconds, _ = _run_guest(programs.sbi_calls(calls + 1, eid, a0))
            samples.append((seconds - least) / calls * 1e9)
        yield figure(name, "ns", samples, target)
        if eid == NULL:
            yield figure("exits to Python a second", "thousand", [1e6 / ns for ns in samples])


def scaling(rounds: int, scale: int) -> Iterator[Figure]:
    """Throughput of many VMs, each in its own slices, against that of one; in turn."""
    rates: dict[int, list[float]] = {count: [] for count in VM_COUNTS}
    for _ in range(rounds):
        for count in VM_COUNTS:
            rates[count].append(_together(count, STEPS_TOGETHER * scale // 100))
    targets = {4: "at least 95", 64: "at least 90"}
    for count in VM_COUNTS[1:]:
        relative = [100 * rate / one for rate, one in zip(rates[count], rates[1], strict=True)]
        yield figure(f"throughput of {count} VMs, slices of a million steps", "% of one VM's", relative, targets.get(count))


def _together(count: int, steps: int) -> float:
    """Steps a second of `count` VMs that compute."""
    with Hypervisor(memory="64M", slice_steps=SLICE_STEPS) as hv:
        for i in range(count):
            hv.create(f"vm{i}", programs.paged_loop(ENDLESS), memory="4M")
        # every VM has had its turn, so that nothing is touched for the first time, and what is hot is translated, for one VM too
        hv.run(max_steps=steps)
        start = time.process_time()
        hv.run(max_steps=steps)
        return steps / (time.process_time() - start)
