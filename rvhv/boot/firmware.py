"""The built-in firmware: M-mode in Python, which serves the SBI to an S-mode payload on the bare machine.

It delegates everything but the supervisor's ecall, sets up what S-mode may use, and after that only answers calls.
"""

from __future__ import annotations

from collections.abc import Iterable

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import SSIP
from rvhv.cpu.state import SLOT, Fence, Prv
from rvhv.hart import Hart
from rvhv.machine.isa_string import SUPERVISOR_ENVCFG
from rvhv.machine.virt import End, Machine, last_cause
from rvhv.sbi import Sbi, base, dbcn, hsm, ipi, legacy, rfence, srst, time
from rvhv.sbi.table import Console, Ram

MASK64 = (1 << 64) - 1
MACHINE_SBI = Sbi(
    [
        *(room.EXTENSION for room in (base, time, ipi, rfence, hsm, srst, dbcn)),
        legacy.TIMER,
        *legacy.CONSOLE,
        *legacy.FENCES,
        legacy.SHUTDOWN,
    ]
)
ECALL_LENGTH = 4
MPP_SHIFT, MPP = 11, 3 << 11
MPIE = 1 << 7
CAUSE_ECALL_S = ISA.causes["ecall_s"].code
A0, A1, MCAUSE, MEPC, MIP, MHARTID, TRAPS_IN_A_ROW = (
    SLOT[n] for n in ("x10", "x11", "mcause", "mepc", "mip", "mhartid", "traps_in_a_row")
)


class BuiltIn:
    """The firmware of `machine`; the first hart starts the payload, which starts the others."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self._callers = [_Hart(self, hart) for hart in machine.harts]
        machine.firmware = self

    def boot(self, entry: int, device_tree: int) -> None:
        """Hart 0 is about to execute the payload's first instruction; the others are stopped."""
        self._callers[0].enter(entry, device_tree)

    def trap(self, hart: Hart) -> None:
        """A hart has trapped into M-mode."""
        state = hart.state
        caller = self._callers[state[MHARTID]]
        if state[MCAUSE] != CAUSE_ECALL_S:
            self.machine.stop(End(f"a trap that the firmware does not expect at pc {state[MEPC]:#x}: {last_cause(hart)}", 1))
            return
        state[MEPC] = (state[MEPC] + ECALL_LENGTH) & MASK64
        state[TRAPS_IN_A_ROW] = 0  # an answered call is progress
        MACHINE_SBI.call(caller, state)
        if caller.is_started(state[MHARTID]):
            hart.mret()

    def started(self, hart: int) -> bool:
        return self._callers[hart].started

    def start(self, hart: int, address: int, opaque: int) -> None:
        self._callers[hart].enter(address, opaque)

    def send_ipi(self, hart: int) -> None:
        self.machine.harts[hart].state[MIP] |= SSIP


class _Hart:
    """A hart's supervisor, as the SBI's functions know it."""

    sbi = MACHINE_SBI

    def __init__(self, firmware: BuiltIn, hart: Hart) -> None:
        self._firmware = firmware
        self._machine = firmware.machine
        self._hart = hart
        self.started = False
        self.ram: Ram = self._machine.ram
        self.console: Console = _UartConsole(self._machine)
        self._delegate()

    def _delegate(self) -> None:
        """From reset to what S-mode expects."""
        write = self._hart.write_csr
        self._hart.open_pmp()
        write("medeleg", MASK64 & ~(1 << CAUSE_ECALL_S))
        write("mideleg", MASK64)
        write("mcounteren", MASK64)
        write("menvcfg", SUPERVISOR_ENVCFG)
        for n in range(4):
            write(f"mstateen{n}", MASK64)  # one supervisor on the hart: nothing to hide from it
        self._hart.state[SLOT["m_hook"]] = 1
        if self._machine.fences is None:  # else who checks them wants to know of each
            self._hart.answer_calls(MACHINE_SBI.calls, harts=self.hart_count)

    def enter(self, address: int, opaque: int) -> None:
        """Start in S-mode at `address` with the MMU off and interrupts masked."""
        hart = self._hart
        hart.write_csr("satp", 0)
        hart.write_csr("sie", 0)
        hart.write_csr("mstatus", hart.read_csr("mstatus") & ~(MPP | 1 << 1) | Prv.S << MPP_SHIFT)
        hart.write_csr("mepc", address)
        hart.state[A0], hart.state[A1] = hart.state[MHARTID], opaque
        self.started = True
        hart.mret()

    # what calls do

    @property
    def hart_count(self) -> int:
        return len(self._machine.harts)

    def set_timer(self, stime_value: int) -> None:
        self._hart.write_csr("stimecmp", stime_value)

    def power_off(self, how: str, failed: bool, reboot: bool) -> None:
        self._machine.stop(End(how, int(failed), reboot))

    def send_ipi(self, hart: int) -> None:
        self._firmware.send_ipi(hart)

    def remote_fence(self, harts: Iterable[int], kind: Fence, start_addr: int | None, one_space: bool) -> None:
        what = rfence.operands(self._hart.state, start_addr, one_space)
        for hart in harts:
            self._machine.harts[hart].fence(kind, *what)

    def is_started(self, hart: int) -> bool:
        return self._firmware.started(hart)

    def start(self, hart: int, address: int, opaque: int) -> None:
        self._firmware.start(hart, address, opaque)

    def stop(self) -> None:
        self.started = False

    def suspend(self) -> None:
        self._machine.suspend(self._hart)


class _UartConsole:
    """The debug console is the UART."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def write(self, data: bytes) -> None:
        self._machine.on_output(data)

    def read(self, n: int) -> bytes:
        return self._machine.uart.take(n)


