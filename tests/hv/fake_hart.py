"""A hart without an interpreter: it plays a script of events for the VM on it; Python's part can be tested alone.

A script is a generator over (hart) that yields events; each event is a number of plain steps to make, or a `Trap`.
Scripts belong to VMs and are found by hgatp.VMID; they see the guest's registers as Python left them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Generator
from dataclasses import dataclass

from rvhv.core.memory import PAGE, Memory
from rvhv.cpu.state import ARCH_BYTES, ARCH_WORDS, SLOT, Exit, Fence
from rvhv.hv import registers as r

MASK64 = (1 << 64) - 1


@dataclass
class Trap:
    """A trap into HS-mode: one step."""

    cause: int
    tval: int = 0
    gpa: int = 0
    tinst: int = 0


@dataclass
class Stop:
    """`run` returns this exit instead."""

    code: Exit


Event = int | Trap | Stop
Script = Generator[Event, None, None]


class FakeHart:
    """The contract of `Hart` that the hypervisor relies on; CSR rules are left out except where tests need them."""

    memory: Memory

    def __init__(self, scripts: dict[int, Callable[[FakeHart], Script]]) -> None:
        self.raw = bytearray(8 * (len(SLOT) + 8))
        self.state = memoryview(self.raw).cast("Q")
        self._makers = scripts
        self._running: dict[int, Script] = {}
        self._left: dict[int, int] = {}  # plain steps still to make, by VMID
        self._records: list[bytes] = []
        self.ring = 1 << 30  # records until TRACE_FULL
        self.flushes = 0
        self.fences: list[tuple[Fence, int | None, int, int | None]] = []
        self.switches: list[int] = []  # VMIDs, as blocks were restored
        self.writes: list[tuple[str, int]] = []

    # what the hypervisor calls

    def run(self, budget: int) -> int:
        assert budget > 0
        vmid = self.state[SLOT["hgatp"]] >> 44 & 0x3FFF
        script = self._running.get(vmid)
        if script is None:
            script = self._running[vmid] = self._makers[vmid](self)
        while budget:
            left = min(self._left.get(vmid, 0), budget)
            if left:
                self._step(left)
                self._left[vmid] -= left
                budget -= left
                continue
            if len(self._records) >= self.ring:
                return Exit.TRACE_FULL
            event = next(script)
            if isinstance(event, int):
                self._left[vmid] = event
            elif isinstance(event, Stop):
                return event.code
            else:
                self._trap(event)
                return Exit.HS
        return Exit.BUDGET

    def _step(self, n: int) -> None:
        for name in ("steps", "clock", "vm_steps"):
            self.state[SLOT[name]] += n
        self.state[SLOT["traps_in_a_row"]] = 0

    def _trap(self, trap: Trap) -> None:
        state = self.state
        self._step(1)
        state[SLOT["trap_steps"]] += 1
        state[SLOT["sepc"]] = state[SLOT["pc"]]
        state[SLOT["scause"]] = trap.cause
        state[SLOT["stval"]] = trap.tval
        state[SLOT["htval"]] = trap.gpa >> 2
        state[SLOT["htinst"]] = trap.tinst
        state[SLOT["hstatus"]] |= r.SPV | r.SPVP
        state[SLOT["mstatus"]] |= r.SPP
        state[SLOT["pc"]] = state[SLOT["stvec"]]
        state[SLOT["v"]] = 0
        self._records.append(
            struct.pack(
                "<5Q", state[SLOT["trace_vm"]], trap.cause, state[SLOT["sepc"]], trap.gpa, state[SLOT["vm_steps"]]
            )
        )

    def open_pmp(self) -> None:
        """As the hart's: entry 0 matches everything."""
        self.state[SLOT["pmpaddr0"]], self.state[SLOT["pmpcfg0"]] = MASK64 >> 10, 0x1F

    def sret(self) -> None:
        state = self.state
        state[SLOT["pc"]] = state[SLOT["sepc"]]
        state[SLOT["v"]] = 1

    def read_csr(self, name: str) -> int:
        state = self.state
        if name == "sstatus":
            return state[SLOT["mstatus"]]
        if name == "time":
            return state[r.CLOCK] // r.STEPS_PER_TICK
        if name == "hie":
            return state[SLOT["mie"]] & r.VS_INTERRUPTS
        if name == "hip":
            time = state[r.CLOCK] // r.STEPS_PER_TICK
            timer = r.VSTIP if (time + state[r.HTIMEDELTA]) & MASK64 >= state[r.VSTIMECMP] else 0
            return state[r.HVIP] | timer
        return state[SLOT[name]]

    def write_csr(self, name: str, value: int) -> None:
        assert 0 <= value <= MASK64
        self.writes.append((name, value))
        self.state[SLOT[{"sstatus": "mstatus", "hie": "mie"}.get(name, name)]] = value

    def answer_calls(self, calls: object, *, cost: int) -> int:
        return 0  # of them, it leaves all to Python

    def flush(self) -> None:
        self.flushes += 1

    def fence(self, kind: Fence, address: int | None = None, size: int = PAGE, space: int | None = None) -> None:
        self.fences.append((kind, address, size, space))

    def save(self, block: bytearray) -> None:
        block[:] = self.raw[:ARCH_BYTES]

    def restore(self, block: bytearray) -> None:
        assert len(block) == 8 * ARCH_WORDS
        self.raw[:ARCH_BYTES] = block
        self.switches.append(self.state[SLOT["hgatp"]] >> 44 & 0x3FFF)

    def drain_trace(self) -> bytes:
        records = b"".join(self._records)
        self._records.clear()
        return records

    # what scripts use

    def ecall(self, eid: int, fid: int, *args: int) -> Trap:
        """An ecall with its registers set."""
        for i, arg in enumerate(args):
            self.state[SLOT["x10"] + i] = arg & MASK64
        self.state[SLOT["x16"]], self.state[SLOT["x17"]] = fid, eid
        return Trap(r.ECALL_VS)

    @property
    def ret(self) -> tuple[int, int]:
        """a0 as a signed number, and a1."""
        a0 = self.state[SLOT["x10"]]
        return a0 - (1 << 64) if a0 >> 63 else a0, self.state[SLOT["x11"]]
