"""Effects: what an instruction does besides computing a value, recorded in program order.

A row's semantics is run once with a `Recorder` for its parameter `m` and leaves for its operands. Each method of the recorder
appends one effect; those that produce a value return a leaf (`t0`, `t1`, ...). The function's own result is what rd gets,
after every effect has succeeded: an instruction completes or leaves no trace.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rvhv.isa.expr import E, Operand, leaf, lift


@dataclass(frozen=True)
class Load:
    """t = `size` bytes at gva `addr`, sign- or zero-extended. `via` "data" obeys the current mode; "hlv" and "hlvx" the
    VS-stage view."""

    temp: str
    addr: E
    size: int
    signed: bool
    via: str = "data"


@dataclass(frozen=True)
class Store:
    """The low `size` bytes of `value` at gva `addr`; `via` "data" or "hsv"."""

    addr: E
    value: E
    size: int
    via: str = "data"


@dataclass(frozen=True)
class Amo:
    """t = old value at `addr` (sign-extended); memory gets `update`, an expression over leaf `t` and the operands."""

    temp: str
    addr: E
    size: int
    update: E


@dataclass(frozen=True)
class LoadReserved:
    temp: str
    addr: E
    size: int


@dataclass(frozen=True)
class StoreConditional:
    """t = 0 when the reservation held and the value was stored, else 1; the reservation ends in both cases."""

    temp: str
    addr: E
    value: E
    size: int


@dataclass(frozen=True)
class CsrAccess:
    """t = old value of the CSR numbered `csr` if `reads`; it gets `update` (over leaf `t`) if `writes`."""

    temp: str
    csr: E
    update: E
    reads: E
    writes: E


@dataclass(frozen=True)
class Branch:
    """pc = target if cond, else the next instruction."""

    cond: E
    target: E


@dataclass(frozen=True)
class Jump:
    target: E


@dataclass(frozen=True)
class Call:
    """A named helper that both tiers share, for what is too irregular for an expression; it may trap, jump or stop the hart.
    `memory`: it accesses memory or registers, so it gets all that the access functions need."""

    helper: str
    args: tuple[E, ...]
    memory: bool = False


@dataclass(frozen=True)
class UseFloat:
    """t = the rounding mode: `rm`, or fcsr.frm where that is 7. Illegal when it is reserved or floating point is off.

    Off is what mstatus.FS says, and when V=1 vsstatus.FS too. Every row with an F register has this effect, first of all."""

    temp: str
    rm: E


@dataclass(frozen=True)
class Float:
    """t = what operation `op` of `FLOAT_OPS` gives in format `fmt`; its flags are accrued in fcsr.

    Numbers are as F registers hold them: a narrower format boxed in ones, and what is not boxed read as the canonical NaN."""

    temp: str
    op: str
    fmt: str
    mode: E
    args: tuple[E, ...]


FLOAT_MODE = "mode"  # the temporary of UseFloat
FLOAT_FORMATS = ("s", "d", "h")  # numbered as the fmt field of encodings
# operation: number of operands. madd is a*b+c, msub a*b-c, nmsub -(a*b)+c, nmadd -(a*b)-c, rounded once; to.w .. to.lu give an
# integer; from.w .. from.lu take one, from.s .. from.h a number of that format
FLOAT_OPS = {
    "add": 2, "sub": 2, "mul": 2, "div": 2, "sqrt": 1, "madd": 3, "msub": 3, "nmsub": 3, "nmadd": 3,
    "sgnj": 2, "sgnjn": 2, "sgnjx": 2, "min": 2, "max": 2, "eq": 2, "lt": 2, "le": 2, "class": 1,
    "to.w": 1, "to.wu": 1, "to.l": 1, "to.lu": 1, "from.w": 1, "from.wu": 1, "from.l": 1, "from.lu": 1,
    "from.s": 1, "from.d": 1, "from.h": 1,
}  # fmt: skip

Effect = Load | Store | Amo | LoadReserved | StoreConditional | CsrAccess | Branch | Jump | Call | UseFloat | Float


class Recorder:
    """The `m` of a row's semantics."""

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self._temps = 0

    def _temp(self) -> str:
        name = f"t{self._temps}"
        self._temps += 1
        return name

    def load(self, addr: E, size: int, *, signed: bool = False, via: str = "data") -> E:
        temp = self._temp()
        self.effects.append(Load(temp, addr, size, signed, via))
        return leaf(temp)

    def store(self, addr: E, value: E, size: int, *, via: str = "data") -> None:
        self.effects.append(Store(addr, value, size, via))

    def amo(self, addr: E, size: int, update: Callable[[E], E]) -> E:
        temp = self._temp()
        self.effects.append(Amo(temp, addr, size, update(leaf(temp))))
        return leaf(temp)

    def lr(self, addr: E, size: int) -> E:
        temp = self._temp()
        self.effects.append(LoadReserved(temp, addr, size))
        return leaf(temp)

    def sc(self, addr: E, value: E, size: int) -> E:
        temp = self._temp()
        self.effects.append(StoreConditional(temp, addr, value, size))
        return leaf(temp)

    def csr(self, csr: E, update: Callable[[E], E], *, reads: Operand, writes: Operand) -> E:
        temp = self._temp()
        self.effects.append(CsrAccess(temp, csr, update(leaf(temp)), lift(reads), lift(writes)))
        return leaf(temp)

    def use_float(self, rm: E) -> None:
        """Recorded by the registry, not by rows."""
        self.effects.append(UseFloat(FLOAT_MODE, rm))

    def fp(self, op: str, fmt: str, *args: Operand) -> E:
        temp = self._temp()
        self.effects.append(Float(temp, op, fmt, leaf(FLOAT_MODE), tuple(lift(a) for a in args)))
        return leaf(temp)

    def branch(self, cond: E, target: E) -> None:
        self.effects.append(Branch(cond, target))

    def jump(self, target: E) -> None:
        self.effects.append(Jump(target))

    def call(self, helper: str, *args: Operand, memory: bool = False) -> None:
        self.effects.append(Call(helper, tuple(lift(a) for a in args), memory))
