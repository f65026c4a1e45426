"""The built-in programs: ELF images that `make -C guests` builds from `guests/`, and `make -C bench` from `bench/`."""

from __future__ import annotations

from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path

from rvhv.errors import ConfigError

GUESTS = {
    "hello": "reads its device tree, prints who and where it is, powers off",
    "tasks": "a small kernel: three user tasks in address spaces of their own, preempted by a timer",
    "disk": "a virtio-blk driver: prints the disk's SHA-256, changes its last block and restores it",
    "rogue": "tries to break out of its VM in every way it knows, and ends in a trap loop",
}

BROKEN = {  # guests too, each with a fault to find: docs/debugging.md
    "broken-page": "a task dies of one wrong bit in a page table",
    "broken-ring": "a driver's queue is overwritten, and the device gives up",
    "broken-irq": "a kernel waits for an interrupt that is lost",
}

PROGRAMS = {  # for the bare machine
    "smp": "two harts that wake each other with IPIs and count together; powers off",
    "monitor": "a type-1 hypervisor in C, the twin of the one in Python: hosts hello and tasks, or the guests in its initrd",
}

BENCHMARKS = {  # for the bare machine too; what `rvhv bench` runs
    "bench-integer": "a list, matrices, a state machine and a CRC",
    "bench-strings": "records found by name, copied, formatted, parsed and sorted",
    "bench-memory": "a sieve and copies over 16 MiB",
    "bench-bytecode": "an interpreter with an indirect jump for each instruction",
    "bench-nbody": "five bodies under gravity, in double precision",
    "bench-micro": "what single things cost: traps, fences, TLB misses, page-table writes",
}


def image_path(name: str) -> Path:
    """The ELF file of the built-in guest or program `name`; raises ConfigError when there is no such one."""
    if not any(name in listed for listed in (GUESTS, BROKEN, PROGRAMS, BENCHMARKS)):
        near = get_close_matches(name, GUESTS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(GUESTS)}"
        raise ConfigError(f"no built-in guest is called {name!r}: {hint}")
    return Path(str(files(__name__) / f"{name}.elf"))
