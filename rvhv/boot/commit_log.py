"""Every retired instruction as a line of Spike's commit log (`spike --log-commits`), so that two logs can be diffed.

    core   0: 3 0x0000000080000000 (0x00000297) x5  0x0000000080000000

is hart, privilege, pc, instruction, then what was written, registers and CSRs in the order of their numbers, and memory (`mem
ADDRESS` for a load, with the value for a store). A CSR is named that holds the bits: a write of sstatus shows as one of mstatus.
xRET and floating point show the CSRs that they write. An instruction that traps has no line. The machine is run one step at a
time for it: slowly.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO

from rvhv.core.registry import ISA
from rvhv.cpu.cache_blocks import BLOCK_BYTES
from rvhv.cpu.csrs import VSSIP
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.isa.effects import Amo, Call, CsrAccess, Float, Load, LoadReserved, Store, StoreConditional
from rvhv.isa.expr import MASK64, E
from rvhv.isa.render.oracle import compile_expr
from rvhv.isa.rows import Csr, Insn
from rvhv.machine.virt import Machine

READ, WRITE, EXECUTE = 1, 2, 4
PAGE_OFFSET = 4095
PC, PRV, V, TRAP_STEPS, RESERVATION = (SLOT[n] for n in ("pc", "prv", "v", "trap_steps", "reservation"))
FCSR, MSTATUS, VSSTATUS = (SLOT[n] for n in ("fcsr", "mstatus", "vsstatus"))
FFLAGS = 31
# the CSRs that a write of one shows as, where that is not itself alone: those that hold the bits
SHOWN_AS = {
    "fcsr": ("fflags", "frm"),
    "sstatus": ("mstatus",),
    "sie": ("sie", "mie"),
    "hie": ("mie",),
    "vsie": ("mie",),
    "sip": ("mip",),
    "hip": ("mip",),
    "vsip": ("mip",),
    "hvip": ("mip", "hvip"),
}
# constants whose writes are shown
CONSTANTS_SHOWN = frozenset({"misa", *(f"mhpmevent{n}" for n in range(3, 32)), *(f"sstateen{n}" for n in range(4))})
Value = Callable[[Callable[[str], int]], int]


@dataclass(frozen=True)
class _Decoded:
    """What a log line needs of an instruction word; `values` are its operands that are no registers."""

    insn: Insn
    length: int
    destination: tuple[str, int] | None  # the letter and the number of the register that is written
    registers: dict[str, int]  # operand -> slot
    values: dict[str, int]
    address: Value | None
    size: int
    effect: object
    stored: Value | None
    csr: Csr | None
    csr_writes: Value | None
    computes: bool  # in floating point
    helper: str  # what does an instruction that is no expression

    @property
    def pair(self) -> bool:
        """It compares and swaps pairs of registers."""
        return self.helper == "amocas_q"


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
    effect = next((e for e in insn.effects if isinstance(e, Load | Store | Amo | LoadReserved | StoreConditional)), None)
    access = next((e for e in insn.effects if isinstance(e, CsrAccess)), None)
    call = next((e for e in insn.effects if isinstance(e, Call)), None)
    address = effect.addr if effect is not None else call.args[0] if call is not None and call.memory else None
    written = insn.result is not None or (call is not None and call.memory)  # the bits of rd in a fence are no register
    destination = ("f", fields["frd"]) if "frd" in fields else ("x", fields["rd"]) if written and fields.get("rd") else None
    stored = effect.value if isinstance(effect, Store | StoreConditional) else None
    return _Decoded(
        insn,
        2 if compressed else 4,
        destination,
        registers,
        values,
        None if address is None else _compiled(address),
        0 if effect is None else effect.size,
        effect,
        None if stored is None else _compiled(stored),
        ISA.csr_by_number.get(fields["csr"]) if access is not None else None,
        None if access is None else _compiled(access.writes),
        any(isinstance(e, Float) for e in insn.effects),
        "" if call is None else call.helper,
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
        # how it was before the step
        self._traps = self._v = self._mstatus = self._vsstatus = self._flags = self._pending = 0
        self._address = self._stored = self._csr_writes = 0
        self._matches = False  # a compare-and-swap will find what it looks for
        self._reserved = False  # an SC whose result nobody sees will store

    def before(self, number: int, hart: Hart) -> None:
        """A step is about to be made."""
        state = hart.state
        pc = state[PC]
        word = self._fetch(hart, pc)
        self._decoded = decoded = None if word is None else _decode(word)
        if decoded is None or word is None:
            return
        self._traps, self._v, self._mstatus, self._vsstatus = (state[slot] for slot in (TRAP_STEPS, V, MSTATUS, VSSTATUS))
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
        if decoded.csr is not None and decoded.csr_writes is not None:
            self._csr_writes = decoded.csr_writes(leaf)
            self._pending = hart.read_csr("mip") if decoded.csr.name == "hvip" else 0
        if decoded.computes:  # flags are sticky: it raises those that are set when it began without any
            self._flags = state[FCSR] & FFLAGS
            state[FCSR] -= self._flags
        if decoded.insn.extension == "Zacas":
            self._matches = self._finds(hart, decoded)
        if isinstance(decoded.effect, StoreConditional):
            self._reserved = decoded.destination is None and state[RESERVATION] == hart.find(self._address, WRITE)

    def after(self, number: int, hart: Hart) -> None:
        """The step was made."""
        decoded = self._decoded
        state = hart.state
        if decoded is None:
            return
        raised = state[FCSR] & FFLAGS
        if decoded.computes:
            state[FCSR] |= self._flags
        if state[TRAP_STEPS] != self._traps:
            return  # a trap or an interrupt
        written = [(csr.number, f"c{csr.number}_{csr.name}", value) for csr, value in self._csrs(hart, decoded, raised)]
        shown = sorted([*self._registers(state, decoded), *written], key=lambda r: r[0])
        parts = [self._line, *(f"{label} 0x{value:016x}" for _, label, value in shown), *self._accesses(hart, decoded)]
        self._out.write(" ".join(parts) + "\n")

    def _registers(self, state: memoryview[int], decoded: _Decoded) -> list[tuple[int, str, int]]:
        """(number, label, value) of the registers written."""
        if decoded.destination is None:
            return []
        letter, number = decoded.destination
        return [(n, f"{letter}{n:<2}", state[SLOT[f"{letter}{n}"]]) for n in range(number, number + 1 + decoded.pair)]

    def _csrs(self, hart: Hart, decoded: _Decoded, raised: int) -> list[tuple[Csr, int]]:
        """The CSRs written, and their values. `raised`: the flags of a floating-point operation."""
        state = hart.state
        names: list[str] = []
        values: dict[str, int] = {}
        if decoded.helper in ("mret", "sret"):
            to_vu = not self._v and state[V] and not state[PRV]
            names = ["vsstatus"] if self._v else ["mstatus", *["vsstatus"] * to_vu, *["hstatus"] * (decoded.helper == "sret")]
        elif decoded.csr is not None and self._csr_writes:
            name = decoded.csr.vs if decoded.csr.vs and self._v else decoded.csr.name
            if ISA.csrs[name].writes or name in CONSTANTS_SHOWN:
                names = list(SHOWN_AS.get(name, (name,)))
            if name == "hvip":  # what it changes in mip is VSSIP; the rest is or-ed in where mip is read
                values["mip"] = self._pending & ~VSSIP | state[SLOT["hvip"]] & VSSIP
        elif decoded.computes and raised:
            names = ["fflags"]
        # what makes floating-point state dirty writes both, or neither when both were
        if state[VSSTATUS] != self._vsstatus or state[MSTATUS] != self._mstatus:
            if decoded.insn.uses_float or "fflags" in names or "frm" in names:
                names += ["mstatus", "vsstatus"] if self._v else ["mstatus"]
        return [(ISA.csrs[name], values.get(name, hart.read_csr(name))) for name in names]

    def _accesses(self, hart: Hart, decoded: _Decoded) -> list[str]:
        """The memory accesses, loads first."""
        effect, state = decoded.effect, hart.state
        parts = [f"mem 0x{self._address:016x}"] if isinstance(effect, Load | LoadReserved | Amo) or decoded.pair else []
        if isinstance(effect, Store) or (isinstance(effect, StoreConditional) and self._succeeded(state)):
            parts.append(self._store(self._address, self._stored, decoded.size))
        elif isinstance(effect, Amo):
            if decoded.insn.extension != "Zacas" or self._matches:
                parts.append(self._store(self._address, self._reread(hart, self._address, decoded.size), decoded.size))
        elif decoded.pair and self._matches:
            words = (self._address, self._address + 8)
            parts += [self._store(at, self._reread(hart, at, 8), 8) for at in words]
        elif decoded.insn.name == "cbo.zero":
            block = self._address & -BLOCK_BYTES
            parts += [self._store(at, 0, 1) for at in range(block, block + BLOCK_BYTES)]
        return parts

    def _succeeded(self, state: memoryview[int]) -> bool:
        """Whether an SC stored: norm: it writes zero to rd then."""
        decoded = self._decoded
        assert decoded is not None
        return self._reserved if decoded.destination is None else state[SLOT[f"x{decoded.destination[1]}"]] == 0

    def _finds(self, hart: Hart, decoded: _Decoded) -> bool:
        """Whether the compare-and-swap about to be executed finds in memory what it looks for."""
        low = decoded.values["rd_index"]
        high = low + 1 if decoded.pair and low else 0
        size = 16 if decoded.pair else decoded.size
        wanted = hart.state[SLOT[f"x{low}"]] | hart.state[SLOT[f"x{high}"]] << 64
        return self._reread(hart, self._address, size, WRITE) == wanted & (1 << 8 * size) - 1

    @staticmethod
    def _store(address: int, value: int, size: int) -> str:
        return f"mem 0x{address:016x} 0x{value & (1 << 8 * size) - 1:0{2 * size}x}"

    def _reread(self, hart: Hart, address: int, size: int, access: int = READ) -> int:
        """What an access of that kind finds in memory: it may set A and D as the instruction's own access does."""
        spa = hart.find(address, access)
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
