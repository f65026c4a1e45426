"""A hart whose log goes to a checker. It runs as any other does, to the same trace, in shorter turns."""

from __future__ import annotations

from rvhv.core.memory import PAGE, Memory
from rvhv.core.ops import Op
from rvhv.core.stop_table import Stops
from rvhv.cpu.state import SLOT, Exit, Fence
from rvhv.fences.checker import FenceChecker
from rvhv.hart import Hart

TURN = 512  # steps between two looks at the log
# of one instruction, at most: two pages fetched and two accessed, each with 35 PTEs, A and D set, and the stores of a block
RECORDS_A_STEP = 256
LOG_HEAD, STEPS, HGATP, TRACE_VM = (SLOT[n] for n in ("log_head", "steps", "hgatp", "trace_vm"))
BUDGET, RUN = Exit.BUDGET.value, Op.RUN.value


class CheckedHart(Hart):
    """A hart that `checker` follows."""

    def __init__(
        self, memory: Memory, checker: FenceChecker, *, hartid: int = 0, tlb_bits: int = 8, stops: Stops | None = None
    ) -> None:
        super().__init__(memory, hartid=hartid, tlb_bits=tlb_bits, log_records=TURN * RECORDS_A_STEP, stops=stops)
        self._checker = checker
        self._number = hartid
        checker.add_hart(hartid)

    def run(self, budget: int) -> int:
        state, entry = self.state, self._entry
        end = state[STEPS] + budget
        while True:
            code = entry(RUN, min(TURN, end - state[STEPS]))
            self._drain_log()
            if code != BUDGET or state[STEPS] >= end:
                return code

    def _answer(self, answer: int) -> int:
        code = super()._answer(answer)
        self._drain_log()
        return code

    def _drain_log(self) -> None:
        state = self.state
        if (head := state[LOG_HEAD]) != self._log_base:
            state[LOG_HEAD] = self._log_base
            self._checker.take(self._number, state[TRACE_VM], state[self._log_base : head])

    def find(self, address: int, access: int) -> int | None:
        found = super().find(address, access)
        self.state[LOG_HEAD] = self._log_base  # to look is not to use
        return found

    def translate(self, gva: int, access: int) -> int | None:
        found = super().translate(gva, access)
        self.state[LOG_HEAD] = self._log_base
        return found

    def fence(self, kind: Fence, address: int | None = None, size: int = PAGE, space: int | None = None) -> None:
        self._checker.fence(self._number, kind, self.state[HGATP], address, size, space)
        if kind is not Fence.FENCE_I:
            self.flush()  # what is used from now on walks again, so that the log has it
