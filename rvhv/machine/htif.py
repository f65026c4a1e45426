"""HTIF, as far as riscv-tests need it: a store to `tohost` says how a test ended (Berkeley Host-Target Interface, by symbol)."""

from __future__ import annotations

from dataclasses import dataclass

from rvhv.core.memory import Memory
from rvhv.cpu.state import SLOT, Exit
from rvhv.errors import ImageError
from rvhv.hart import Hart
from rvhv.machine.image import Image, check_fits

RAM_SIZE = 16 << 20
TOHOST_BYTES = 8
NEVER_ENDED = "did not end"


@dataclass(frozen=True)
class HtifResult:
    """How a bare-metal test ended. `test`: number of the failed case, where it told one."""

    passed: bool
    test: int | None
    steps: int
    reason: str


def run_elf(image: Image, max_steps: int) -> HtifResult:
    """Run an ELF on a bare hart in M-mode until it stores to `tohost`, or for `max_steps` steps.

    Raises ImageError when it has no symbol `tohost` in RAM or does not fit.
    """
    memory = Memory(RAM_SIZE)
    check_fits(image, memory.base, memory.size)
    tohost = image.symbols.get("tohost")
    if tohost is None:
        raise ImageError(f"{image.name}: it has no symbol tohost, so nothing can tell how it ends")
    if not memory.base <= tohost <= memory.base + memory.size - TOHOST_BYTES or tohost % TOHOST_BYTES:
        raise ImageError(f"{image.name}: its tohost at {tohost:#x} is not an aligned place in RAM")
    for segment in image.segments:
        memory.write(segment.addr, segment.data)
    hart = Hart(memory)
    hart.state[SLOT["pc"]] = image.entry
    hart.watch(tohost)
    steps = hart.state[SLOT["steps"]]
    while steps < max_steps:
        code = hart.run(max_steps - steps)
        steps = hart.state[SLOT["steps"]]
        if code == Exit.WATCH:
            value = memory.read_u64(tohost)
            if value & 1:
                return _ended(value, steps)
            if value:
                return HtifResult(False, None, steps, f"asked the host for {value:#x}, which is not supported")
        elif code == Exit.TRACE_FULL:
            hart.drain_trace()
        elif code == Exit.WFI:
            return HtifResult(False, None, steps, "waits for an interrupt that nothing will raise")
        elif code == Exit.TRAP_LOOP:
            state = hart.state
            return HtifResult(False, None, steps, f"trap loop at pc {state[SLOT['pc']]:#x}, cause {state[SLOT['mcause']]}")
    return HtifResult(False, None, steps, f"{NEVER_ENDED} within {max_steps} steps")


def _ended(value: int, steps: int) -> HtifResult:
    """The exit code is shifted left by one; riscv-tests pass with 0 and fail with the number of the case."""
    code = value >> 1
    if code == 0:
        return HtifResult(True, None, steps, "passed")
    return HtifResult(False, code, steps, f"test case {code} failed")


