"""What an exit costs under the two hypervisors: the table of docs/type1-and-type2.md."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rvhv.hv import EXIT_COST
from tests.guests.monitor import POWER_OFF, Outcome, elf, under_monitor, under_python

FEW, MANY = 500, 4500  # exits of a run; the time of one is that of the difference
TEXT = 0x8020_0800  # behind the code

HEAD = (
    "| the guest | cause | monitor: instructions | Python: steps charged | monitor: host µs | Python: host µs |\n"
    "|---|---|--:|--:|--:|--:|\n"
)


@dataclass(frozen=True)
class Row:
    """Something a guest does in a loop, each time with one exit; `prepare` runs once, s0 counts."""

    what: str
    cause: str
    body: str
    prepare: str = ""

    def guests(self, exits: int) -> Mapping[str, bytes]:
        loop = f"{self.prepare}\nli s0, {exits}\nagain:\n{self.body}\naddi s0, s0, -1\nbne s0, x0, again\n{POWER_OFF}"
        return {"guest": elf(loop)}


LETTERS = "; ".join(f"sw t0, {offset}(s1)" for offset in range(0, 32, 4))
STORE_TEXT = f"li s1, {TEXT}; li t0, 0x61616161; {LETTERS}; li t0, 10; sb t0, 31(s1)"
PRINT_TEXT = "li a7, 0x4442434e; li a6, 0; li a0, 32; mv a1, s1; li a2, 0; ecall"
SKIP = "la t0, skip; csrw stvec, t0; j begin\n.balign 4\nskip: csrr t0, sepc; addi t0, t0, 4; csrw sepc, t0; sret\nbegin:"
ECALL, LOAD, STORE = "environment call from VS-mode", "load guest-page fault", "store/AMO guest-page fault"
VIRTUAL, TIMER = "virtual instruction", "supervisor timer interrupt"
ROWS = (
    Row("asks for a timer interrupt (SBI)", ECALL, "li a7, 0x54494d45; li a6, 0; li a0, -1; ecall"),
    Row("prints a line of 31 characters (SBI)", ECALL, PRINT_TEXT, STORE_TEXT),
    Row("reads a device's register", LOAD, "lw t0, 4(s1)", "li s1, 0x0c000000"),
    Row("reads where nothing is, and gets an access fault", LOAD, "lw t0, 0(s1)", f"{SKIP}\nli s1, 0x40000000"),
    Row("touches a page of its RAM for the first time", STORE, "sd s0, 0(s1); add s1, s1, s2", "li s1, 0x80400000; li s2, 4096"),
    Row("uses a hypervisor's CSR, and gets an illegal instruction", VIRTUAL, ".word 0x600022f3", SKIP),
    Row("waits, with an interrupt pending", VIRTUAL, "wfi", "li t0, 2; csrw sie, t0; csrw sip, t0"),
)
SPINS = f"li s0, 2000000; again: addi s0, s0, -1; bne s0, x0, again; {POWER_OFF}"


def instructions(row: Row, outcome: Outcome) -> int:
    """What the monitor says that an exit of this row took it, all but a few of which were this row's."""
    assert outcome.exits["guest"][row.cause] >= FEW
    return outcome.costs[row.cause][2]


def microseconds(host: Callable[[Mapping[str, bytes]], Outcome], row: Row) -> float:
    """Host time of one exit: the best of three differences."""

    def seconds(exits: int) -> float:
        guests = row.guests(exits)
        start = time.perf_counter()
        host(guests)
        return time.perf_counter() - start

    return (min(seconds(MANY) for _ in range(3)) - min(seconds(FEW) for _ in range(3))) / (MANY - FEW) * 1e6


def figures() -> list[tuple[str, str, str, str]]:
    """The columns that are the same on every computer, by row."""
    table = []
    for row in ROWS:
        outcome = under_monitor(row.guests(FEW))
        table.append((row.what, row.cause, f"{instructions(row, outcome):,}", f"{EXIT_COST:,}"))
    switch = under_monitor({"one": elf(SPINS), "two": elf(SPINS)}).costs[TIMER][2]
    table.append(("is not asked: its slice ends, the neighbour's begins", TIMER, f"{switch:,}", "none: no exit"))
    return table


def table() -> str:
    """The table with the host's times as they are now."""
    lines = []
    for i, columns in enumerate(figures()):
        times = [microseconds(host, ROWS[i]) for host in (under_monitor, under_python)] if i < len(ROWS) else []
        lines.append("| " + " | ".join([*columns, *(f"{t:.1f}" for t in times), *["-"] * (2 - len(times))]) + " |\n")
    return HEAD + "".join(lines)
