"""One test of the riscv-tests kind on the bare machine: an ELF in M-mode that says over HTIF how it went.

The suite's environments (`p`: bare, `v`: a small kernel under the test) tell the number of the case that failed; labels
`test_N` say where it begins. The benchmarks tell an exit code and print.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rvhv.cpu.state import SLOT
from rvhv.errors import ImageError
from rvhv.machine import virt_board as board
from rvhv.machine.htif import Htif
from rvhv.machine.image import Image, check_fits
from rvhv.machine.memory import Memory
from rvhv.machine.source_lines import source_line
from rvhv.machine.virt import End, Machine, cause_text

RAM_SIZE = 128 << 20
LONGEST_OUTPUT = 1 << 16  # bytes of its output that a result keeps
EXECUTE = 4
STRIDE = 200_000  # steps between two looks at how many of them were traps
TRAP_SHARE = 5  # more than every fifth step a trap: no handler finds out why and returns with so few instructions

# What the environments tell when a trap comes that the test does not handle, as exit codes (a store of n tells n >> 1): `p`
# ors 1337 to the number of the current case, `v` tells 841.
P_TRAP, P_HANDLER = 1337 >> 1, "other_exception"
V_TRAP, V_HANDLER = 841 >> 1, "wtf"

TRAP_STEPS, PC, MEPC, MCAUSE = (SLOT[n] for n in ("trap_steps", "pc", "mepc", "mcause"))

_LABEL = re.compile(r"test_([0-9]+)")


@dataclass(frozen=True, slots=True)
class Result:
    """How a test ended. `test`: the number of the failed case, where it is known; `line`: that case's `file:line`."""

    passed: bool
    reason: str = "passed"
    test: int | None = None
    line: str | None = None
    steps: int = 0
    instructions: int = 0
    output: str = ""


def run_test(image: Image, max_steps: int, tier: str | None = None) -> Result:
    """Run an ELF on one bare hart in M-mode until it tells how it ended, or for `max_steps` steps; `tier` as of a Machine.

    A test that cannot be run (no `tohost`, too large) has failed, with the reason.
    """
    return _Test(image, tier).result(max_steps)


class _Test:
    def __init__(self, image: Image, tier: str | None) -> None:
        self._image, self._tier = image, tier
        self._output = bytearray()
        self._code: int | None = None

    def result(self, max_steps: int) -> Result:
        try:
            self._machine = self._prepare()
        except ImageError as error:
            return Result(False, str(error).removeprefix(f"{self._image.name}: "))
        going = self._run(max_steps)
        reason, test, at = self._judge(going, max_steps)
        return Result(
            passed=self._code == 0,
            reason=reason,
            test=test,
            line=source_line(self._image, at) if at is not None else None,
            steps=self._machine.steps,
            instructions=self._machine.instructions,
            output=self._output.decode("utf-8", "replace"),
        )

    def _run(self, max_steps: int) -> bool:
        """Whether it could go on."""
        machine, state = self._machine, self._machine.harts[0].state
        while machine.steps < max_steps:
            steps, traps = machine.steps, state[TRAP_STEPS]
            if not machine.run(min(STRIDE, max_steps - steps)):
                return False
            steps, traps = machine.steps - steps, state[TRAP_STEPS] - traps
            if steps == STRIDE and traps * TRAP_SHARE > steps:
                # its handler traps, so that traps without an instruction in between, which the machine counts, do not come
                machine.stop(End(f"trap loop at {self._place(state[MEPC])}, {cause_text(state[MCAUSE])}", 1))
                return False
        return True

    def _prepare(self) -> Machine:
        image = self._image
        check_fits(image, board.RAM_BASE, RAM_SIZE, "the machine")
        machine = Machine(Memory(RAM_SIZE), on_output=self._print, tier=self._tier)
        for segment in image.segments:
            machine.memory.write(segment.addr, segment.data)
        hart = machine.harts[0]
        hart.state[PC] = image.entry
        machine.htif = Htif(machine.memory, image, watch=hart.watch, on_output=self._print, on_exit=self._exit)
        return machine

    def _print(self, data: bytes) -> None:
        self._output += data[: LONGEST_OUTPUT - len(self._output)]

    def _exit(self, code: int) -> None:
        self._code = code
        self._machine.stop(End("exited", code))

    def _judge(self, going: bool, max_steps: int) -> tuple[str, int | None, int | None]:
        """What happened, the number of the case, and the address that a reader should look at."""
        if self._code == 0:
            return "passed", None, None
        if self._code is not None:
            return self._told(self._code)
        if self._machine.end is not None:  # a trap loop
            return self._machine.end.reason, None, None
        hart = self._machine.harts[0]
        pc = hart.state[PC]
        at = hart.find(pc, EXECUTE)
        where = self._place(pc, at)
        if going:
            return f"did not end within {max_steps:,} steps; it is at {where}", None, at
        return f"waits at {where} for an interrupt that nothing will raise", None, at

    def _told(self, code: int) -> tuple[str, int | None, int | None]:
        symbols = self._image.symbols
        label = symbols.get(f"test_{code}")
        if label is not None:
            return f"test {code} failed", code, label
        if P_HANDLER in symbols and code & P_TRAP == P_TRAP or V_HANDLER in symbols and code == V_TRAP:
            return self._trapped()
        if "begin_signature" in symbols and not self._output:  # of the suite; the case has no label, or a stripped one
            return f"test {code} failed", code, None
        return f"exit code {code}", None, None

    def _trapped(self) -> tuple[str, int | None, int | None]:
        """A trap into M-mode that the test did not expect."""
        state = self._machine.harts[0].state
        pc = state[MEPC]
        label = _LABEL.match(self._symbol(pc) or "")
        reason = f"unexpected trap at {self._place(pc)}, {cause_text(state[MCAUSE])}"
        return reason, int(label[1]) if label else None, pc

    def _place(self, pc: int, spa: int | None = None) -> str:
        """A pc with its symbol. `spa`: where it lies, None for at itself."""
        symbol = self._symbol(pc if spa is None else spa)
        return f"pc {pc:#x}" + (f" ({symbol})" if symbol else "")

    def _symbol(self, address: int | None) -> str | None:
        """`symbol+0x8` for an address in the image: the nearest symbol before it, of several a case's label."""
        segment = next((s for s in self._image.segments if address is not None and s.addr <= address < s.end), None)
        if segment is None or address is None:
            return None
        before = (item for item in self._image.symbols.items() if segment.addr <= item[1] <= address)
        near = [(value, _LABEL.fullmatch(name) is not None, name) for name, value in before]
        if not near:
            return None
        value, _, name = max(near)
        return f"{name}+{address - value:#x}" if address > value else name
