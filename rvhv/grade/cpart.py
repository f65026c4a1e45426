"""A part in C: compiled, put into the machine's memory, and run there by a hart of its own in HS-mode, call by call.

It needs no process: what it does, it does to an emulated machine. Its budget is instructions. HFENCE.GVMA and ecalls trap to
M-mode, which is us (mstatus.TVM = 1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rvhv.cpu.state import SLOT, Exit
from rvhv.errors import RvhvError
from rvhv.grade.cell import PartFailed
from rvhv.grade.part import MASK64, Offered
from rvhv.hart import Hart
from rvhv.hv import registers as r
from rvhv.hv.gstage import RIGHTS
from rvhv.machine.image import Image
from rvhv.machine.memory import Memory
from rvhv.machine.symbols import Symbols

BASE, END = 0x8000_1000, 0x8008_0000  # of the part, its data and its stack; twin: bare/bare.ld
STACK = 0x8007_0000  # from here to END
RETURN, FRAMES_ALLOC, FRAMES_FREE, NOT_WRITTEN = range(4)  # twin: bare/bare.c
MOST_INSTRUCTIONS = 100_000_000  # of all calls in a check
MOST_REQUESTS = 20_000  # to the machine, in a check
ILLEGAL, ECALL_FROM_HS = 2, 9
HFENCE_GVMA, HFENCE_GVMA_MASK = 0x6200_0073, 0xFE00_7FFF
HARTID = 7
ARGUMENTS = [SLOT[f"x{n}"] for n in range(10, 16)]
A7, SP, RA, PC, PRV, MCAUSE, MTVAL, MEPC, STEPS = (
    SLOT[n] for n in ("x17", "x2", "x1", "pc", "prv", "mcause", "mtval", "mepc", "steps")
)


class CPart:
    """As `rvhv.grade.part.Part`. `prefix`: what the names of its functions begin with; `struct`: bytes that the first argument of
    each points to, made by `init`."""

    def __init__(self, image: Image, prefix: str, file: str, struct: int = 64) -> None:
        self.image, self.prefix, self.file = image, prefix, file
        self.symbols = Symbols(image.symbols)
        self.doing = "it was loaded"
        self._function = ""  # that was called last
        self.loaded = True
        self._this = END - struct  # above the stack
        self._offered: dict[str, Offered] = {}
        self._memory: Memory | None = None
        self._hart: Hart | None = None
        self._requests = 0

    def offer(self, offered: Offered) -> Offered:
        self._offered[offered.name] = offered
        return offered

    def make(self, *args: Any) -> None:
        """Load it into the memory that is offered, and call its init. Raises PartFailed."""
        memory = self._offered["memory"].stands_for
        assert isinstance(memory, Memory)
        self._load(memory).write_csr("mstatus", r.field("mstatus", "TVM"))
        if not self.call("init") & 0xFF:
            raise PartFailed(f"not written yet: {self.prefix}init returned false")

    def _load(self, memory: Memory) -> Hart:
        """Write it into this memory; the hart that it runs on."""
        self._memory = memory
        memory.write(BASE, bytes(END - BASE))
        for segment in self.image.segments:
            memory.write(segment.addr, segment.data)
        self._hart = Hart(memory, hartid=HARTID, tier="interp")
        self._hart.open_pmp()
        self._take_traps()
        return self._hart

    def _take_traps(self) -> None:
        """All of them go to M-mode, and that is us."""
        assert self._hart is not None
        self._hart.write_csr("medeleg", 0)
        self._hart.state[SLOT["m_hook"]] = 1

    def get(self, name: str) -> Any:
        """A field of the struct; there is one."""
        assert self._memory is not None
        return self._memory.read_u64(self._this)

    def call(self, name: str, *args: Any) -> Any:
        """Call a function with the struct's address and these numbers. Raises PartFailed."""
        numbers = [RIGHTS[arg] if isinstance(arg, str) else int(arg) for arg in args]
        value = self._call(name, [self._this, *numbers], ["this", *(f"{n:#x}" for n in numbers)])
        if name == "frame":
            return value or None
        return value

    def _call(self, name: str, numbers: list[int], shown: list[str]) -> int:
        """Call a function with these arguments, of which a message says what is `shown`; a0."""
        symbol = f"{self.prefix}{name}"
        at = self.image.symbols.get(symbol)
        if at is None:
            raise PartFailed(f"{self.file} has no function {symbol}")
        assert self._hart is not None
        self._function = symbol
        self.doing = f"{symbol}({', '.join(shown)}) was called"
        state = self._hart.state
        for slot, number in zip(ARGUMENTS, numbers, strict=False):
            state[slot] = number
        state[SP], state[RA], state[PC] = self._this, self.image.symbols["lab_return"], at
        state[PRV], state[SLOT["v"]] = 1, 0
        return self._run()

    def _run(self) -> int:
        """Until it returns: a0."""
        assert self._hart is not None
        hart, state = self._hart, self._hart.state
        while (left := MOST_INSTRUCTIONS - state[STEPS]) > 0:
            code = hart.run(left)
            if code == Exit.TRACE_FULL:
                hart.drain_trace()
            elif code not in (Exit.M, Exit.BUDGET):
                raise PartFailed(f"when {self.doing}: the hart stopped at {self.symbols.place(state[PC])} ({Exit(code).name})")
            if code != Exit.M:
                continue
            cause = state[MCAUSE]
            if cause == ECALL_FROM_HS:
                what, first, second = state[A7], state[ARGUMENTS[0]], state[ARGUMENTS[1]]
                if what == RETURN:
                    return first
                state[ARGUMENTS[0]] = self._ask(what, first, second)
            elif "hfence_gvma" in self._offered and cause == ILLEGAL and state[MTVAL] & HFENCE_GVMA_MASK == HFENCE_GVMA:
                register = state[MTVAL] >> 15 & 31
                self._fence(state[SLOT["x0"] + register] << 2 & MASK64 if register else None)
            else:
                raise PartFailed(
                    f"when {self.doing}: {r.cause_text(cause)} at {self.symbols.place(state[MEPC])}, mtval {state[MTVAL]:#x}"
                )
            hart.write_csr("mepc", state[MEPC] + 4)
            hart.mret()
        raise PartFailed(
            f"when {self.doing}: it executed more than {MOST_INSTRUCTIONS:,} instructions: an endless loop?", endless=True
        )

    def _fence(self, gpa: int | None) -> None:
        self._machine(lambda: self._offered["hfence_gvma"].ask("", "call", [gpa], {}))

    def _ask(self, what: int, first: int, second: int) -> int:
        if what == NOT_WRITTEN:
            raise PartFailed(f"not written yet: {self._function}")
        frames = self._offered.get("frames")
        if frames is None:
            raise PartFailed(f"when {self.doing}: this lab has no frames to ask for")
        if what == FRAMES_ALLOC:
            return int(self._machine(lambda: frames.ask("alloc", "call", [first, second], {})))
        if what == FRAMES_FREE:
            self._machine(lambda: frames.ask("free", "call", [first, second], {}))
            return 0
        raise PartFailed(f"when {self.doing}: it made an ecall that means nothing")

    def _machine(self, ask: Callable[[], Any]) -> Any:
        """What the machine answers; what it refuses is what happened."""
        self._requests += 1
        if self._requests > MOST_REQUESTS:
            raise PartFailed(f"it asked the machine for more than {MOST_REQUESTS:,} things: an endless loop?", endless=True)
        try:
            return ask()
        except (RvhvError, ValueError) as error:
            raise PartFailed(f"when {self.doing}: {error}") from None
