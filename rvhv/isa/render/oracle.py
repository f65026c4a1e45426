"""The oracle: rows as Python big-int functions, and a small machine of its own that runs them.

Slow, plain and independent of every njit function: what the interpreter and the translator are compared with. The machine has
M, S and U mode on flat memory, with traps and interrupts, without translation and the modes of the H extension.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rvhv.errors import InternalError
from rvhv.isa.effects import (
    Amo,
    Branch,
    Call,
    CsrAccess,
    Effect,
    Float,
    Jump,
    Load,
    LoadReserved,
    Store,
    StoreConditional,
    UseFloat,
)
from rvhv.isa.expr import MASK64, OPS, E
from rvhv.isa.render import oracle_float
from rvhv.isa.rows import DESTINATIONS, FLOAT_OPERANDS, REGISTER_OPERANDS, Csr, Insn, Registry

U, S, M = 0, 1, 3
MSTATUS_SIE, MSTATUS_MIE, MSTATUS_SPIE, MSTATUS_MPIE, MSTATUS_SPP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8
MSTATUS_MPP_LO, MSTATUS_MPP = 11, 3 << 11
MSTATUS_MPRV, MSTATUS_TVM, MSTATUS_TW, MSTATUS_TSR = 1 << 17, 1 << 20, 1 << 21, 1 << 22
MSTATUS_GVA, MSTATUS_MPV = 1 << 38, 1 << 39
STATUS_FS = 3 << 13
DYNAMIC_ROUNDING = 7
HSTATUS_GVA, HSTATUS_SPV = 1 << 6, 1 << 7
HSTATUS_VGEIN_LO = 12
INTERRUPT = 1 << 63
# Privileged ISA, "Machine Interrupt Registers": the order in which simultaneous interrupts for one mode are taken
INTERRUPT_PRIORITY = (
    "machine_external_interrupt",
    "machine_software_interrupt",
    "machine_timer_interrupt",
    "supervisor_external_interrupt",
    "supervisor_software_interrupt",
    "supervisor_timer_interrupt",
    "supervisor_guest_external_interrupt",
    "virtual_supervisor_external_interrupt",
    "virtual_supervisor_software_interrupt",
    "virtual_supervisor_timer_interrupt",
)
ENVCFG_STCE = 63
ENVCFG_CBZE = 1 << 7
CACHE_BLOCK = 64
STEPS_PER_TICK = 100


class Port(Protocol):
    """What a row's effects act on. Values are unsigned 64-bit ints."""

    def load(self, addr: int, size: int, signed: bool, via: str) -> int: ...
    def store(self, addr: int, value: int, size: int, via: str) -> None: ...
    def amo(self, addr: int, size: int, update: Callable[[int], int]) -> int: ...
    def lr(self, addr: int, size: int) -> int: ...
    def sc(self, addr: int, value: int, size: int) -> int: ...
    def csr(self, csr: int, update: Callable[[int], int], reads: int, writes: int) -> int: ...
    def use_float(self, rm: int) -> int: ...
    def float_op(self, op: str, fmt: str, mode: int, args: tuple[int, ...]) -> int: ...
    def call(self, helper: str, args: tuple[int, ...]) -> int | None:
        """The next pc, or None to go on."""


# (result for rd or None, next pc or None) of one instruction on a port, given its leaves by name
RowFunction = Callable[[Port, Mapping[str, int]], tuple["int | None", "int | None"]]
_NAMESPACE: dict[str, Any] = {f"{op}_": function for op, function in OPS.items()}


def expr_source(e: E, leaf: Callable[[str], str]) -> str:
    """A Python expression of big ints for `e`."""
    if e.op == "const":
        return f"{e.args[0]:#x}"
    if e.op == "leaf":
        return leaf(str(e.args[0]))
    return f"{e.op}_({', '.join(expr_source(kid, leaf) for kid in e.kids)})"


def compile_expr(e: E) -> Callable[[Callable[[str], int]], int]:
    """`e` as a function of what gives a leaf's value."""
    source = f"lambda leaf: {expr_source(e, lambda name: f'leaf({name!r})')}"
    return eval(source, dict(_NAMESPACE))  # type: ignore[no-any-return]


def _effect_source(effect: Effect, value: Callable[[E], str]) -> str:
    match effect:
        case Load(temp, addr, size, signed_, via):
            return f"{temp} = port.load({value(addr)}, {size}, {signed_}, {via!r})"
        case Store(addr, stored, size, via):
            return f"port.store({value(addr)}, {value(stored)}, {size}, {via!r})"
        case Amo(temp, addr, size, update):
            return f"{temp} = port.amo({value(addr)}, {size}, lambda {temp}: {value(update)})"
        case LoadReserved(temp, addr, size):
            return f"{temp} = port.lr({value(addr)}, {size})"
        case StoreConditional(temp, addr, stored, size):
            return f"{temp} = port.sc({value(addr)}, {value(stored)}, {size})"
        case CsrAccess(temp, csr, update, reads, writes):
            return f"{temp} = port.csr({value(csr)}, lambda {temp}: {value(update)}, {value(reads)}, {value(writes)})"
        case Branch(cond, target):
            return f"target = {value(target)} if {value(cond)} else None"
        case Jump(target):
            return f"target = {value(target)}"
        case Call(helper, args):
            return f"target = port.call({helper!r}, ({''.join(value(a) + ', ' for a in args)}))"
        case UseFloat(temp, rm):
            return f"{temp} = port.use_float({value(rm)})"
        case Float(temp, op, fmt, mode, args):
            return f"{temp} = port.float_op({op!r}, {fmt!r}, {value(mode)}, ({''.join(value(a) + ', ' for a in args)}))"


def compile_row(insn: Insn) -> RowFunction:
    """The row as a Python function: effects in their order on the port, then rd's value and where control goes."""
    temps = {effect.temp for effect in insn.effects if hasattr(effect, "temp")}

    def value(e: E) -> str:
        return expr_source(e, lambda name: name if name in temps else f"leaf[{name!r}]")

    body = ["target = None", *(_effect_source(effect, value) for effect in insn.effects)]
    body.append(f"return {'None' if insn.result is None else value(insn.result)}, target")
    namespace = dict(_NAMESPACE)
    exec("def row(port, leaf):\n    " + "\n    ".join(body), namespace)
    return namespace["row"]  # type: ignore[no-any-return]


def operand_leaves(
    insn: Insn, fields: Mapping[str, int], register: Callable[[int], int], float_register: Callable[[int], int]
) -> dict[str, int]:
    """The values of an instruction's operand leaves; `pc` and `npc` are not among them."""
    leaves = {}
    for name, n in fields.items():
        if name in REGISTER_OPERANDS:
            leaves[name] = register(n)
        elif name in FLOAT_OPERANDS:
            leaves[name] = float_register(n)
        else:
            leaves[name] = n & MASK64
    for name in DESTINATIONS:
        leaves.pop(name, None)
    for name in ("rd", "rs1", "rs2"):
        leaves[f"{name}_index"] = fields.get(name, 0)
    leaves["rd_value"] = register(leaves["rd_index"])
    return leaves


@dataclass(frozen=True)
class Trap:
    """A trap that was taken: the cause's name and code (its top bit set for an interrupt), the trap value, and the pc it
    came from."""

    name: str
    code: int
    tval: int
    pc: int


class _Raise(Exception):
    def __init__(self, name: str, tval: int = 0) -> None:
        self.name, self.tval = name, tval


class OracleMachine:
    """One hart. `x`, `f` and `pc` are ints, `csrs` maps the slots that CSR rows name to ints; `map` adds memory."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.x = [0] * 32
        self.f = [0] * 32
        self.pc = 0
        self.csrs: dict[str, int] = {"prv": M, "v": 0}
        self.regions: list[tuple[int, bytearray]] = []
        self.reservation: tuple[int, int] | None = None
        self.steps = 0
        self.retired = 0
        self._word = 0
        self._rows: dict[str, RowFunction] = {}
        self._decoded: dict[int, tuple[Insn, dict[str, int], int] | None] = {}
        self._reads: dict[str, Callable[[Callable[[str], int]], int]] = {}
        self._writes: dict[str, list[tuple[str, Callable[[Callable[[str], int]], int]]]] = {}

    # -- memory

    def map(self, base: int, data: bytes | bytearray) -> bytearray:
        """Add RAM at `base` with these contents; the bytearray returned is the memory itself."""
        memory = bytearray(data)
        self.regions.append((base, memory))
        return memory

    def _find(self, addr: int, size: int, fault: str) -> tuple[bytearray, int]:
        """Where `size` bytes at `addr` are; raises `fault` at the first byte that is in no region."""
        for base, memory in self.regions:
            offset = addr - base
            if 0 <= offset < len(memory):
                if offset + size <= len(memory):
                    return memory, offset
                raise _Raise(fault, base + len(memory))
        raise _Raise(fault, addr)

    def _bare(self, via: str) -> None:
        if via != "data":
            raise InternalError(f"the oracle has no access by {via}")

    def load(self, addr: int, size: int, signed: bool, via: str) -> int:
        self._bare(via)
        memory, offset = self._find(addr, size, "load_access_fault")
        return int.from_bytes(memory[offset : offset + size], "little", signed=signed) & MASK64

    def store(self, addr: int, value: int, size: int, via: str) -> None:
        self._bare(via)
        memory, offset = self._find(addr, size, "store_access_fault")
        memory[offset : offset + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    def _aligned(self, addr: int, size: int, fault: str) -> None:
        if addr % size:
            raise _Raise(fault, addr)

    def amo(self, addr: int, size: int, update: Callable[[int], int]) -> int:
        self._aligned(addr, size, "store_address_misaligned")
        memory, offset = self._find(addr, size, "store_access_fault")
        old = int.from_bytes(memory[offset : offset + size], "little", signed=True) & MASK64
        self.store(addr, update(old), size, "data")
        return old

    def lr(self, addr: int, size: int) -> int:
        self._aligned(addr, size, "load_address_misaligned")
        value = self.load(addr, size, True, "data")
        self.reservation = (addr, size)
        return value

    def sc(self, addr: int, value: int, size: int) -> int:
        self._aligned(addr, size, "store_address_misaligned")
        self._find(addr, size, "store_access_fault")
        held, self.reservation = self.reservation == (addr, size), None
        if held:
            self.store(addr, value, size, "data")
        return 0 if held else 1

    # -- CSRs

    @property
    def prv(self) -> int:
        return self.csrs["prv"]

    def pending(self) -> int:
        """The whole of mip: software's bits, hvip's, the guests' lines, and what Sstc drives."""
        value, now = self.csrs.get("mip", 0) | self.csrs.get("irq_lines", 0) | self.csrs.get("hvip", 0), self._slot("time")
        guests = self.csrs.get("hgeip", 0)
        if guests >> (self.csrs.get("hstatus", 0) >> HSTATUS_VGEIN_LO & 63) & 1:
            value |= 1 << self.registry.causes["virtual_supervisor_external_interrupt"].code
        if guests & self.csrs.get("hgeie", 0):
            value |= 1 << self.registry.causes["supervisor_guest_external_interrupt"].code
        if self.csrs.get("menvcfg", 0) >> ENVCFG_STCE & 1:
            stip = 1 << self.registry.causes["supervisor_timer_interrupt"].code
            value = value | stip if now >= self.csrs.get("stimecmp", 0) else value & ~stip
            if self.csrs.get("henvcfg", 0) >> ENVCFG_STCE & 1:
                guest_now = (now + self.csrs.get("htimedelta", 0)) & MASK64
                if guest_now >= self.csrs.get("vstimecmp", 0):
                    value |= 1 << self.registry.causes["virtual_supervisor_timer_interrupt"].code
        return value

    def _interrupt(self) -> str | None:
        """The name of the interrupt that is taken before the next instruction."""
        ready = self.pending() & self.csrs.get("mie", 0)
        status, to_s = self.csrs.get("mstatus", 0), self.csrs.get("mideleg", 0)
        for_m, for_s = ready & ~to_s, ready & to_s & ~self.csrs.get("hideleg", 0)
        if self.prv == M and not status & MSTATUS_MIE:
            for_m = 0
        if self.prv == M or (self.prv == S and not status & MSTATUS_SIE):
            for_s = 0
        for chosen in (for_m, for_s):
            for name in INTERRUPT_PRIORITY:
                cause = self.registry.causes.get(name)
                if cause is not None and chosen >> cause.code & 1:
                    return name
        return None

    def _slot(self, name: str) -> int:
        match name:
            case "pending":
                return self.pending()
            case "time":
                return self.steps // STEPS_PER_TICK
            case "cycle":
                return (self.steps + self.csrs.get("mcycle", 0)) & MASK64
            case "instret":
                return (self.retired + self.csrs.get("minstret", 0)) & MASK64
        return self.csrs.get(name, 0)

    def read_csr(self, name: str) -> int:
        """The value of a CSR as its row reads it, without any check of access."""
        if name not in self._reads:
            self._reads[name] = compile_expr(self.registry.csrs[name].read)
        return self._reads[name](self._slot)

    def write_csr(self, name: str, value: int) -> None:
        """Write a CSR by its row's rule, without any check of access."""
        if name not in self._writes:
            self._writes[name] = [(slot, compile_expr(e)) for slot, e in self.registry.csrs[name].writes]

        def leaf(slot: str) -> int:
            return value & MASK64 if slot == "value" else self._slot(slot)

        self.csrs.update([(slot, rule(leaf)) for slot, rule in self._writes[name]])

    def _check_csr(self, number: int, writes: int) -> Csr:
        row = self.registry.csr_by_number.get(number)
        if row is None or (writes and row.read_only) or self.prv < (S if row.privilege == 2 else row.privilege):
            raise _Raise("illegal_instruction")
        if any(compile_expr(guard)(self._slot) for guard, _ in row.guards):
            raise _Raise("illegal_instruction")
        return row

    def csr(self, csr: int, update: Callable[[int], int], reads: int, writes: int) -> int:
        row = self._check_csr(csr, writes)
        old = self.read_csr(row.name) if reads else 0
        if writes:
            start = old if row.modify is None else compile_expr(row.modify)(self._slot)
            self.write_csr(row.name, update(start))
        return old

    # -- floating point

    def use_float(self, rm: int) -> int:
        virtual = self.csrs.get("v", 0)
        if not self.csrs.get("mstatus", 0) & STATUS_FS or (virtual and not self.csrs.get("vsstatus", 0) & STATUS_FS):
            raise _Raise("illegal_instruction")
        mode = self.csrs.get("fcsr", 0) >> 5 if rm == DYNAMIC_ROUNDING else rm
        if mode > oracle_float.RMM:
            raise _Raise("illegal_instruction")
        return mode

    def float_dirty(self) -> None:
        self.csrs["mstatus"] = self.csrs.get("mstatus", 0) | STATUS_FS
        if self.csrs.get("v", 0):
            self.csrs["vsstatus"] = self.csrs.get("vsstatus", 0) | STATUS_FS

    def float_op(self, op: str, fmt: str, mode: int, args: tuple[int, ...]) -> int:
        result, flags = oracle_float.compute_registers(op, fmt, mode, *args)
        if flags:
            self.csrs["fcsr"] = self.csrs.get("fcsr", 0) | flags
            self.float_dirty()
        return result

    # -- traps and system instructions

    def call(self, helper: str, args: tuple[int, ...]) -> int | None:
        status = self.csrs.get("mstatus", 0)
        match helper:
            case "ecall":
                raise _Raise({U: "ecall_u", S: "ecall_s", M: "ecall_m"}[self.prv])
            case "ebreak":
                raise _Raise("breakpoint")
            case "mret":
                return self._mret(status)
            case "sret":
                return self._sret(status)
            case "wfi":
                self._require(M if status & MSTATUS_TW else S)
            case "sfence_vma" | "hfence_gvma":
                self._require(M if status & MSTATUS_TVM else S)
            case "hfence_vvma":
                self._require(S)
            case "sfence_inval":
                self._require(S)
            case "fence_i":
                pass
            case "wrs_nto":
                if self.reservation is not None and not self.pending() & self.csrs.get("mie", 0):
                    self._require(M if status & MSTATUS_TW else U)
            case "cache_block":
                self._cache_block(*args)
            case "amocas_q":
                self._amocas_q(*args)
            case _:
                raise InternalError(f"the oracle has no helper {helper}")
        return None

    def _cache_block(self, addr: int, enable: int) -> None:
        """Whether this mode may execute a cbo, and whether there is anything at the address."""
        registers = {M: (), S: ("menvcfg",), U: ("menvcfg", "senvcfg")}[self.prv]
        if any(not self.csrs.get(name, 0) & enable for name in registers):
            raise _Raise("illegal_instruction")
        self._find(addr, 1, "store_access_fault")
        if enable == ENVCFG_CBZE:
            self.store(addr & -CACHE_BLOCK, 0, CACHE_BLOCK, "data")

    def _amocas_q(self, addr: int, rd: int, rs2: int) -> None:
        self._aligned(addr, 16, "store_address_misaligned")
        memory, offset = self._find(addr, 16, "store_access_fault")
        old, expected, new = memory[offset : offset + 16], self._pair(rd), self._pair(rs2)
        if old == expected:
            memory[offset : offset + 16] = new
        if rd:
            self.x[rd], self.x[rd + 1] = (int.from_bytes(old[i : i + 8], "little") for i in (0, 8))

    def _pair(self, n: int) -> bytes:
        """A register pair as memory holds it; the pair at x0 is zero."""
        return b"".join(self.x[i].to_bytes(8, "little") for i in (n, n + 1)) if n else bytes(16)

    def _require(self, prv: int) -> None:
        if self.prv < prv:
            raise _Raise("illegal_instruction")

    def _mret(self, status: int) -> int:
        self._require(M)
        prv = (status & MSTATUS_MPP) >> MSTATUS_MPP_LO
        self.csrs["v"] = int(prv != M and status & MSTATUS_MPV != 0)
        new = status & ~(MSTATUS_MIE | MSTATUS_MPP | MSTATUS_MPV) | MSTATUS_MPIE
        if status & MSTATUS_MPIE:
            new |= MSTATUS_MIE
        return self._return_to(prv, new, self.csrs.get("mepc", 0))

    def _sret(self, status: int) -> int:
        self._require(M if status & MSTATUS_TSR else S)
        prv = S if status & MSTATUS_SPP else U
        hstatus = self.csrs.get("hstatus", 0)
        self.csrs["v"] = int(hstatus & HSTATUS_SPV != 0)
        self.csrs["hstatus"] = hstatus & ~HSTATUS_SPV
        new = status & ~(MSTATUS_SIE | MSTATUS_SPP) | MSTATUS_SPIE
        if status & MSTATUS_SPIE:
            new |= MSTATUS_SIE
        return self._return_to(prv, new, self.csrs.get("sepc", 0))

    def _return_to(self, prv: int, status: int, pc: int) -> int:
        self.csrs["mstatus"] = status if prv == M else status & ~MSTATUS_MPRV
        self.csrs["prv"] = prv
        self.reservation = None
        return pc

    def _take(self, name: str, gva: int) -> Trap:
        cause = self.registry.causes[name]
        tval = {"zero": 0, "pc": self.pc, "gva": gva, "insn": self._word}[cause.tval]
        status, prv, pc = self.csrs.get("mstatus", 0), self.prv, self.pc
        delegated = self.csrs.get("mideleg" if cause.interrupt else "medeleg", 0) >> cause.code & 1
        if prv != M and delegated:
            mode, self.csrs["prv"] = "s", S
            status = self._stack(status, MSTATUS_SIE, MSTATUS_SPIE) & ~MSTATUS_SPP | (MSTATUS_SPP if prv else 0)
            self.csrs["hstatus"] = self.csrs.get("hstatus", 0) & ~(HSTATUS_SPV | HSTATUS_GVA)
            self.csrs["htval"] = self.csrs["htinst"] = 0
        else:
            mode, self.csrs["prv"] = "m", M
            status = self._stack(status, MSTATUS_MIE, MSTATUS_MPIE) & ~(MSTATUS_MPP | MSTATUS_MPV | MSTATUS_GVA)
            status |= prv << MSTATUS_MPP_LO
            self.csrs["mtval2"] = self.csrs["mtinst"] = 0
        code = cause.code | (INTERRUPT if cause.interrupt else 0)
        self.csrs |= {"mstatus": status, f"{mode}cause": code, f"{mode}epc": pc, f"{mode}tval": tval}
        vector = self.csrs.get(f"{mode}tvec", 0)
        offset = 4 * cause.code if cause.interrupt and vector & 1 else 0
        self.pc = ((vector & ~3) + offset) & MASK64
        self.reservation = None
        return Trap(name, code, tval, pc)

    @staticmethod
    def _stack(status: int, enable: int, previous: int) -> int:
        return status & ~(enable | previous) | (previous if status & enable else 0)

    # -- running

    def _fetch(self) -> int:
        """The instruction at pc: 16 bits, or 32 that may come from two places."""
        fault = "instruction_access_fault"
        memory, offset = self._find(self.pc, 2, fault)
        low = int.from_bytes(memory[offset : offset + 2], "little")
        if low & 3 != 3:
            return low
        memory, offset = self._find((self.pc + 2) & MASK64, 2, fault)
        return low | int.from_bytes(memory[offset : offset + 2], "little") << 16

    def _decode(self, word: int) -> tuple[Insn, dict[str, int], int] | None:
        if word not in self._decoded:
            found = self.registry.decode(word)
            self._decoded[word] = found and (found[0], found[1], 2 if found[2] else 4)
        return self._decoded[word]

    def step(self) -> Trap | None:
        """Take a pending interrupt or run one instruction; the trap, if any, has been taken."""
        if self.csrs.get("mie", 0) and (interrupt := self._interrupt()) is not None:
            self.steps += 1
            return self._take(interrupt, 0)
        try:
            self._word = self._fetch()
            decoded = self._decode(self._word)
            if decoded is None:
                raise _Raise("illegal_instruction")
            insn, fields, length = decoded
            if insn.name not in self._rows:
                self._rows[insn.name] = compile_row(insn)
            leaves = operand_leaves(insn, fields, self.x.__getitem__, self.f.__getitem__)
            leaves["pc"], leaves["npc"] = self.pc, (self.pc + length) & MASK64
            result, target = self._rows[insn.name](self, leaves)
        except _Raise as trap:
            self.steps += 1
            return self._take(trap.name, trap.tval)
        if result is not None and "frd" in fields:
            self.f[fields["frd"]] = result
            self.float_dirty()
        elif result is not None and fields["rd"]:
            self.x[fields["rd"]] = result
        self.pc = leaves["npc"] if target is None else target
        self.steps += 1
        self.retired += 1
        return None

    def run(self, steps: int, until: Sequence[int] = ()) -> list[Trap]:
        """Run at most `steps` steps, or until pc is one of `until`; the traps taken on the way."""
        traps = []
        for _ in range(steps):
            if self.pc in until:
                break
            if (trap := self.step()) is not None:
                traps.append(trap)
        return traps
