"""The hart: the state array, the compiled machine over it, and what software outside the guest may do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv import build
from rvhv.core.memory import PAGE, Buffer, Memory, MemoryRangeError
from rvhv.core.ops import Op
from rvhv.core.registry import ISA
from rvhv.core.stop_table import Stop, Stops
from rvhv.cpu import state as layout
from rvhv.cpu import triggers
from rvhv.cpu.csrs import HS_INTERRUPTS
from rvhv.cpu.state import (
    ARCH_BYTES,
    ARCH_WORDS,
    CALL_ROWS,
    CALL_WORDS,
    CALLS_BASE,
    CONTEXTS_BASE,
    FRAME_WORDS,
    HART_STATE,
    LOG_WORDS,
    NO_RESERVATION,
    SLOT,
    TRACE_WORDS,
    TRIGGERS,
    Answer,
    Exit,
    Fence,
    Prv,
)
from rvhv.errors import InternalError
from rvhv.jit.engine import attach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rvhv.hext.walks.address_map import AddressMap
    from rvhv.hext.walks.record import Walk

MASK64 = (1 << 64) - 1
ACCESS_ALL = 7
PMP_ALL = 3 << 3 | 7  # NAPOT; R, W and X
# PMP and the triggers in the architectural block, in bytes: what the TLB bank of a context does not tell apart by itself
PROTECTION = slice(8 * SLOT["pmpcfg0"], 8 * SLOT[f"tdata2_{TRIGGERS - 1}"] + 8)
RUN, SRET, READ_CSR, WRITE_CSR = (int(op) for op in (Op.RUN, Op.SRET, Op.READ_CSR, Op.WRITE_CSR))  # called for every exit
NUMBERS = {name: csr.number for name, csr in ISA.csrs.items()}
# reset: M-mode, everything bare; comparisons that never come; UXL, SXL and VSXL are fixed by their rows; of mideleg the bits
# that are read-only one must be in the slot, which deciding about interrupts looks at
RESET = {
    "prv": Prv.M,
    "mideleg": HS_INTERRUPTS,
    "mtimecmp": MASK64,
    "stimecmp": MASK64,
    "vstimecmp": MASK64,
    "reservation": NO_RESERVATION,
    **{f"tdata1_{i}": triggers.RESET for i in range(TRIGGERS)},
}
SERVICE = int(Exit.SERVICE)
STATE = tuple(SLOT[name] for name in HART_STATE)
TLB_BITS = 8
RUN_END, STEPS = SLOT["run_end"], SLOT["steps"]
BUS, X_SINK = SLOT["bus"], SLOT["x_sink"]
MMIO_VALUE, MMIO_SIZE, MMIO_ANSWER = SLOT["mmio_value"], SLOT["mmio_size"], SLOT["mmio_answer"]
NOT_WAITING, DONE, REFUSED = (int(answer) for answer in (Answer.NONE, Answer.DONE, Answer.REFUSED))


class Hart:
    """One RISC-V hart over a Memory. 2**tlb_bits entries a TLB bank: no size changes what a run does. With room for `log_records`
    it keeps the log of `rvhv.cpu.state.Log`, which somebody must empty. `stops`: breakpoints and watchpoints that it shares with
    other harts. `tier` is a `rvhv.jit.engine.Tier`; None: RVHV_TIER's, or auto.

    `state` is the whole state as a memoryview of format "Q", indexed with `rvhv.cpu.state.SLOT`.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        hartid: int = 0,
        tlb_bits: int = TLB_BITS,
        log_records: int = 0,
        stops: Stops | None = None,
        tier: str | None = None,
    ) -> None:
        self.memory = memory
        self._buffer = Buffer(8 * layout.state_words(tlb_bits, log_records), "Q")
        self.state = self._buffer.view
        state = self.state
        for name, value in RESET.items():
            state[SLOT[name]] = value
        state[SLOT["mhartid"]] = hartid
        state[SLOT["pc"]] = memory.base
        state[SLOT["ram_base"]], state[SLOT["ram_size"]] = memory.base, memory.size
        state[SLOT["shared"]] = memory.size // PAGE * FRAME_WORDS
        state[SLOT["tlb_mask"]] = (1 << tlb_bits) - 1
        state[SLOT["tlb_data"]] = CONTEXTS_BASE  # no bank yet: the first run selects one
        state[SLOT["second"]] = layout.second_base(tlb_bits)
        state[SLOT["trace_base"]] = self._trace_base = layout.trace_base(tlb_bits)
        self._log_base = layout.log_base(tlb_bits)
        if log_records:
            state[SLOT["log_head"]] = self._log_base
            state[SLOT["log_end"]] = self._log_base + log_records * LOG_WORDS
        self.stops = Stops() if stops is None else stops
        self.stops.attach(state)
        self._arch = state[:ARCH_WORDS].cast("B")
        self._entry = build.bind(self._buffer, memory.ram, memory.frames, memory.code)
        memory.forget.append(self.forget)
        # what is logged is what the interpreter does
        self.engine = attach(self, memory, tlb_bits, "interp" if log_records else tier)

    def run(self, budget: int) -> int:
        """Run at most `budget` steps; returns an `rvhv.cpu.state.Exit`."""
        code = self._entry(RUN, budget)
        while code == SERVICE:
            assert self.engine is not None
            self.engine.service(self)
            code = self._entry(RUN, self.state[RUN_END] - self.state[STEPS])
        return code

    def operate(self, op: Op, a: int = 0, b: int = 0) -> int:
        """Ask the compiled machine for something (see `rvhv.core.ops.Op`)."""
        return self._entry(op, a, b)

    @property
    def stop(self) -> Stop:
        """The breakpoint or watchpoint that `run` returned Exit.STOP for. The next run begins with the instruction it stopped."""
        return self.stops.last(self.state)

    # after Exit.MMIO, exactly one of these three; each is one step, and returns what `run` returned for it

    def complete_load(self, value: int) -> int:
        """Finish the load that waits: its row gets `value` from the device."""
        self.state[MMIO_VALUE] = value & (1 << 8 * self.state[MMIO_SIZE]) - 1
        return self._answer(DONE)

    def complete_store(self) -> int:
        """Finish the store that waits: the device has it."""
        return self._answer(DONE)

    def fault_access(self) -> int:
        """No device takes the access: it raises an access fault."""
        return self._answer(REFUSED)

    def _answer(self, answer: int) -> int:
        # the instruction is executed again, and finds the answer: its own row extends and writes what was loaded
        self.state[MMIO_ANSWER] = answer
        code = self._entry(RUN, 1)
        self.state[MMIO_ANSWER] = NOT_WAITING
        return code

    def read_csr(self, name: str) -> int:
        """The CSR as M-mode reads it. Raises KeyError for a name that no row has."""
        return self._entry(READ_CSR, NUMBERS[name])

    def write_csr(self, name: str, value: int) -> None:
        """Write through the row's WARL rule, as M-mode would."""
        self._entry(WRITE_CSR, NUMBERS[name], value)

    def open_pmp(self) -> None:
        """Let every mode access all of memory: entry 0 matches it, which is what firmware does before it leaves M-mode.

        After reset every entry is off, and then only M-mode may access anything.
        """
        self.write_csr("pmpaddr0", MASK64)
        self.write_csr("pmpcfg0", PMP_ALL)

    def sret(self) -> None:
        """Execute the `sret` row as HS-mode: how Python, being the HS-mode software, resumes a guest."""
        self._entry(SRET)

    def mret(self) -> None:
        """Execute the `mret` row: how Python, being the M-mode firmware, resumes what runs on it."""
        self._entry(Op.MRET)

    def answer_calls(self, calls: Sequence[tuple[int, int, int]], *, harts: int = 1, cost: int = 0) -> int:
        """Answer these SBI calls (EID, FID, `rvhv.cpu.state.Call` with CALL_LEGACY or not) without ending `run`, with the result
        that Python would have; returns their number, which is slot `calls` from now on.

        A hart mask may name `harts` of them. With a `cost` in steps a call moves the clock on by it, and makes `slice_end` come
        sooner, at which `run` ends.
        """
        if len(calls) > CALL_ROWS:
            raise InternalError(f"{len(calls)} calls for {CALL_ROWS} rows")
        state = self.state
        for i, row in enumerate(calls):
            for j, word in enumerate(row):
                state[CALLS_BASE + i * CALL_WORDS + j] = word
        state[SLOT["calls"]], state[SLOT["call_harts"]], state[SLOT["call_cost"]] = len(calls), harts, cost
        return len(calls)

    def find(self, address: int, access: int) -> int | None:
        """The spa, in RAM or not, that the current mode reaches; access 1 read, 2 write, 4 execute. None: it faults."""
        spa = self._entry(Op.FIND, address, access)
        return None if spa == MASK64 else spa

    def translate(self, gva: int, access: int) -> int | None:
        """The spa that VS- or VU-mode (hstatus.SPVP) reaches at `gva`; access 1 read, 2 write, 8 execute. None when it faults."""
        spa = self._entry(Op.TRANSLATE, gva, access)
        return None if spa == MASK64 else spa

    def walk(self, address: int, access: str = "load", *, size: int | None = None, mode: str | None = None) -> Walk:
        """Every memory access that translating `address` takes, and where it ends or which rule refuses; changes nothing.

        `access`: "load", "store", "fetch" or "hlvx"; `size` in bytes (None: 2 for a fetch, else 1), cut at the end of the page;
        `mode`: "M", "S", "U", "VS" or "VU" (None: the current one, for loads and stores under MPRV; HLVX is always the
        guest's). Raises ConfigError for another word.
        """
        from rvhv.hext.walks import recorder  # only who looks pays for it

        return recorder.walk(self.state, self.memory, address, access, size=size, mode=mode, devices=bool(self.state[BUS]))

    def map(self, mode: str | None = None) -> AddressMap:
        """The address space of a mode ("S", "U", "VS" or "VU"; None: the current one) in ranges with their rights; changes
        nothing. Empty where nothing is translated.
        """
        from rvhv.hext.walks import address_map, context
        from rvhv.hext.walks.rules import Access

        mode = context.current_mode(self.state, Access.LOAD) if mode is None else mode
        return address_map.address_map(self.state, self.memory, mode)

    def watch(self, spa: int) -> None:
        """End `run` with Exit.WATCH after each store to the frame of `spa`."""
        offset = spa - self.memory.base
        if not 0 <= offset < self.memory.size:
            raise MemoryRangeError(f"{spa:#x} is not in RAM")
        self._entry(Op.WATCH, offset // PAGE, 0)

    def forget(self, spa: int, length: int) -> None:
        """Drop what was derived from bytes that are about to change."""
        self._entry(Op.FORGET, spa, length)

    def flush(self) -> None:
        """Drop every cache; never changes what a run does."""
        self._entry(Op.FLUSH)

    def fence(self, kind: Fence, address: int | None = None, size: int = PAGE, space: int | None = None) -> None:
        """Software outside the guest (Python as HS-mode software or as firmware) fences what this hart may have cached.

        For all addresses or `size` bytes at one, of all address spaces or of an ASID (of HFENCE_GVMA: a VMID). No cache is
        state, so it does nothing; a hart that checks fences takes note of it.
        """

    def save(self, block: bytearray) -> None:
        """Copy the architectural state to `block` (ARCH_BYTES long)."""
        self.state[X_SINK] = 0  # what was written to x0: the tiers differ in it
        block[:] = self._arch

    def restore(self, block: bytes | bytearray) -> None:
        """Make `block` the architectural state. Caches stay: they are kept by context."""
        assert len(block) == ARCH_BYTES
        if bytes(block[PROTECTION]) != bytes(self._arch[PROTECTION]):
            self.state[SLOT["pmp_epoch"]] += 1
            self.state[SLOT["stops_epoch"]] += 1
        self._arch[:] = block

    def capture_state(self) -> tuple[bytes, tuple[int, ...], bytes]:
        """All that it is between two runs: the architectural block, what belongs to the hart, records that were not drained."""
        state, base = self.state, self._trace_base
        state[X_SINK] = 0
        records = bytes(state[base : base + state[SLOT["trace_head"]] * TRACE_WORDS])
        return bytes(self._arch), tuple(state[slot] for slot in STATE), records

    def restore_state(self, captured: tuple[bytes, tuple[int, ...], bytes]) -> None:
        """Be what `capture_state` gave. What was derived from memory is memory's: whoever writes it drops that."""
        block, words, records = captured
        state, base = self.state, self._trace_base
        self.restore(block)
        for slot, word in zip(STATE, words, strict=True):
            state[slot] = word
        count = len(records) // 8
        state[base : base + count] = memoryview(records).cast("Q")
        state[SLOT["trace_head"]] = count // TRACE_WORDS
        # of watched CSRs nobody is told that they were something else at another time
        state[SLOT["fetch_once"]] = state[SLOT["stopped"]] = state[SLOT["csrs_left"]] = 0
        state[SLOT["generation"]] = (state[SLOT["generation"]] - 1) & MASK64  # behind, whoever it was: its TLB is flushed
        state[SLOT["next_sample"]] = state[SLOT["steps"]]
        state[SLOT["sampled_steps"]] = state[SLOT["region_steps"]]

    def pass_stops(self) -> None:
        """Let the instruction at pc pass the host's stops once, as if it had been stopped."""
        state = self.state
        state[SLOT["stopped"]] = ACCESS_ALL
        state[SLOT["stop_pc"]], state[SLOT["stop_steps"]] = state[SLOT["pc"]], state[SLOT["vm_steps"]]

    def drain_trace(self) -> bytes:
        """The trace records (five little-endian words each: vm, cause, pc, gpa, vm_steps) since the last drain."""
        records = self.waiting_trace
        self.state[SLOT["trace_head"]] = 0
        return records

    @property
    def waiting_trace(self) -> bytes:
        """The same, and they stay for the next drain."""
        count = self.state[SLOT["trace_head"]]
        return bytes(self.state[self._trace_base : self._trace_base + count * TRACE_WORDS])
