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


Effect = Load | Store | Amo | LoadReserved | StoreConditional | CsrAccess | Branch | Jump | Call


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

    def branch(self, cond: E, target: E) -> None:
        self.effects.append(Branch(cond, target))

    def jump(self, target: E) -> None:
        self.effects.append(Jump(target))

    def call(self, helper: str, *args: Operand, memory: bool = False) -> None:
        self.effects.append(Call(helper, tuple(lift(a) for a in args), memory))
