"""Every retired instruction as a line of Spike's commit log (`spike --log-commits`), so that two logs can be diffed.

    core   0: 3 0x0000000080000000 (0x00000297) x5  0x0000000080000000

is hart, privilege, pc, instruction, then what was written: registers, CSRs by CSR instructions, and memory (`mem ADDRESS` for a
load, with the value for a store). An instruction that traps has no line. The machine is run one step at a time for it: slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.isa.effects import Amo, CsrAccess, Load, LoadReserved, Store, StoreConditional
from rvhv.isa.expr import MASK64, E
from rvhv.isa.render.oracle import compile_expr
from rvhv.isa.rows import Csr, Insn
from rvhv.machine.virt import Machine

EXECUTE, READ = 4, 1
PAGE_OFFSET = 4095
PC, PRV, V, TRAP_STEPS = (SLOT[n] for n in ("pc", "prv", "v", "trap_steps"))
Value = Callable[[Callable[[str], int]], int]


@dataclass(frozen=True)
class _Decoded:
    """What a log line needs of an instruction word; `values` are its operands that are no registers."""

    insn: Insn
    length: int
    destination: int | None  # the slot that is written, and how it is called
    label: str
    registers: dict[str, int]  # operand -> slot
    values: dict[str, int]
    address: Value | None
    size: int
    effect: object
    stored: Value | None
    csr: Csr | None
    csr_writes: Value | None


@lru_cache(maxsize=1 << 14)
def _decode(word: int) -> _Decoded | None:
    found = ISA.decode(word)
    if found is None:
        return None
    insn, fields, compressed = found
    registers, values = {}, {}
    for name, value in fields.items():
        if name in ("rs1", "rs2"):
            registers[name] = SLOT[f"x{value}"]
        elif name.startswith("frs"):
            registers[name] = SLOT[f"f{value}"]
        else:
            values[name] = value & MASK64
        values[f"{name}_index"] = value
    destination, label = None, ""
    for name, letter in (("rd", "x"), ("frd", "f")):
        if name in fields and (letter == "f" or fields[name]):
            destination, label = SLOT[f"{letter}{fields[name]}"], f"{letter}{fields[name]:<2}"
    effect = next((e for e in insn.effects if isinstance(e, Load | Store | Amo | LoadReserved | StoreConditional)), None)
    access = next((e for e in insn.effects if isinstance(e, CsrAccess)), None)
    stored = effect.value if isinstance(effect, Store | StoreConditional) else None
    csr = ISA.csr_by_number.get(fields["csr"]) if access is not None else None
    return _Decoded(
        insn,
        2 if compressed else 4,
        destination,
        label,
        registers,
        values,
        None if effect is None else _compiled(effect.addr),
        0 if effect is None else effect.size,
        effect,
        None if stored is None else _compiled(stored),
        csr,
        None if access is None else _compiled(access.writes),
    )


@lru_cache(maxsize=4096)
def _compiled(e: E) -> Value:
    return compile_expr(e)


class CommitLog:
    """Watches the steps of `machine` and writes to `out`."""

    def __init__(self, machine: Machine, out: TextIO) -> None:
        self._memory = machine.memory
        self._out = out
        self._line = ""
        self._decoded: _Decoded | None = None
        self._traps = 0
        self._address = self._stored = self._csr_writes = 0

    def before(self, number: int, hart: Hart) -> None:
        """A step is about to be made."""
        state = hart.state
        pc = state[PC]
        self._traps = state[TRAP_STEPS]
        word = self._fetch(hart, pc)
        self._decoded = decoded = None if word is None else _decode(word)
        if decoded is None or word is None:
            return
        digits = 2 * decoded.length
        self._line = f"core{number:4d}: {state[PRV]:d} 0x{pc:016x} (0x{word & (1 << 4 * digits) - 1:0{digits}x})"

        def leaf(name: str) -> int:
            if name in decoded.registers:
                return state[decoded.registers[name]]
            return pc if name == "pc" else (pc + decoded.length) & MASK64 if name == "npc" else decoded.values[name]

        if decoded.address is not None:
            self._address = decoded.address(leaf) & MASK64
        if decoded.stored is not None:
            self._stored = decoded.stored(leaf)
        if decoded.csr_writes is not None:
            self._csr_writes = decoded.csr_writes(leaf)

    def after(self, number: int, hart: Hart) -> None:
        """The step was made."""
        decoded = self._decoded
        state = hart.state
        if decoded is None or state[TRAP_STEPS] != self._traps:
            return  # a trap or an interrupt
        parts = [self._line]
        if decoded.destination is not None:
            parts.append(f"{decoded.label} 0x{state[decoded.destination]:016x}")
        if decoded.csr is not None and self._csr_writes:
            csr = decoded.csr
            name = csr.vs if csr.vs and state[V] else csr.name
            parts.append(f"c{csr.number}_{name} 0x{hart.read_csr(name):016x}")
        effect = decoded.effect
        if isinstance(effect, Load | LoadReserved | Amo):
            parts.append(f"mem 0x{self._address:016x}")
        if isinstance(effect, Store) or (isinstance(effect, StoreConditional) and self._succeeded(state)):
            parts.append(self._store(self._stored, decoded.size))
        elif isinstance(effect, Amo):
            parts.append(self._store(self._reread(hart, decoded.size), decoded.size))
        self._out.write(" ".join(parts) + "\n")

    def _succeeded(self, state: memoryview[int]) -> bool:
        decoded = self._decoded
        assert decoded is not None
        # norm: an SC writes zero to rd when it stored; with x0 as rd nobody can tell, so it counts as done
        return decoded.destination is None or state[decoded.destination] == 0

    def _store(self, value: int, size: int) -> str:
        return f"mem 0x{self._address:016x} 0x{value & (1 << 8 * size) - 1:0{2 * size}x}"

    def _reread(self, hart: Hart, size: int) -> int:
        spa = hart.find(self._address, READ)
        return 0 if spa is None else int.from_bytes(self._read(spa, size) or b"", "little")

    def _fetch(self, hart: Hart, pc: int) -> int | None:
        """The instruction at pc; None when it cannot be fetched."""
        spa = hart.find(pc, EXECUTE)
        low = None if spa is None else self._read(spa, 2)
        if low is None:
            return None
        if low[0] & 3 != 3:
            return int.from_bytes(low, "little")
        spa = hart.find(pc + 2, EXECUTE) if pc + 2 & PAGE_OFFSET == 0 else spa + 2 if spa is not None else None
        high = None if spa is None else self._read(spa, 2)
        return None if high is None else int.from_bytes(low + high, "little")

    def _read(self, spa: int, n: int) -> bytes | None:
        if not self._memory.base <= spa <= self._memory.base + self._memory.size - n:
            return None
        return self._memory.read(spa, n)
