"""The integer and floating-point registers of a context, and what changed in them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from rvhv.cpu.state import SLOT
from rvhv.debug.look.places import place, placed, source, symbol
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.look.table import hexadecimal
from rvhv.debug.target import Context
from rvhv.debug.view import Line, Style
from rvhv.errors import DebugError
from rvhv.isa.expr import signed
from rvhv.isa.render.syntax import FLOAT_REGISTER_NUMBER, FLOAT_REGISTERS, REGISTER_NUMBER, REGISTERS

PER_LINE = 4
BOXED = 0xFFFF_FFFF << 32  # a single in a 64-bit register
FS_OFF_TEXT = "floating point is off for this context (FS=0): its instructions are illegal there"


@dataclass(frozen=True)
class Registers:
    """x0 to x31 and pc. `changed`: those that have another value than before."""

    context: str
    mode: str
    pc: int
    symbol: str
    line: str
    x: tuple[int, ...]
    changed: frozenset[str]
    head: Line

    def lines(self) -> list[Line]:
        rows = [self.head]
        each = len(REGISTERS) // PER_LINE
        for i in range(each):
            line: Line = []
            for n in range(i, len(REGISTERS), each):
                name, value = REGISTERS[n], self.x[n]
                style: Style = "changed" if name in self.changed else "number" if value else "dim"
                line += [("register", f"{name:>4}"), ("", " "), (style, f"{value:016x}"), ("", "   ")]
            rows.append(line[:-1])
        return rows

    def json(self) -> Any:
        return {
            "context": self.context,
            "mode": self.mode,
            "pc": hexadecimal(self.pc),
            "symbol": self.symbol or None,
            "source": self.line or None,
            "x": {name: hexadecimal(value) for name, value in zip(REGISTERS, self.x, strict=True)},
            "changed": sorted(self.changed),
        }


def registers(context: Context, before: Saved | None = None) -> Registers:
    """All integer registers; `before`: an earlier copy to compare with."""
    now = save(context)
    x = tuple(now[f"x{n}"] for n in range(32))
    changed = set()
    if before is not None:
        changed = {name for n, name in enumerate(REGISTERS) if x[n] != before[f"x{n}"]}
        if now["pc"] != before["pc"]:
            changed.add("pc")
    pc = context.pc
    head: Line = [("register", "  pc"), ("", " "), *placed(context, pc), ("", f"  {context.mode}-mode, {context.name}")]
    return Registers(context.name, context.mode, pc, symbol(context, pc), source(context, pc), x, frozenset(changed), head)


@dataclass(frozen=True)
class Float:
    """An F register: its bits, and what they are as a double and, where they are boxed as one, as a single."""

    name: str
    bits: int
    double: str
    single: str
    changed: bool


@dataclass(frozen=True)
class Floats:
    """f0 to f31. `off`: this mode may not use them now."""

    registers: tuple[Float, ...]
    off: bool

    def lines(self) -> list[Line]:
        rows: list[Line] = [[("warn", FS_OFF_TEXT)]] if self.off else []
        for one in self.registers:
            style: Style = "changed" if one.changed else "number" if one.bits else "dim"
            rows.append(
                [("register", f"{one.name:>4}"), ("", " "), (style, f"{one.bits:016x}"), ("", f"  double {one.double:>24}")]
            )
            if one.single:
                rows[-1].append(("", f"  single {one.single}"))
        return rows

    def json(self) -> Any:
        return {
            "off": self.off,
            "f": {
                one.name: {"bits": hexadecimal(one.bits), "double": one.double, "single": one.single or None}
                for one in self.registers
            },
            "changed": [one.name for one in self.registers if one.changed],
        }


def floats(context: Context, before: Saved | None = None) -> Floats:
    """All floating-point registers."""
    now = save(context)
    found = []
    for n, name in enumerate(FLOAT_REGISTERS):
        bits = now[f"f{n}"]
        found.append(Float(name, bits, as_double(bits), as_single(bits), before is not None and bits != before[f"f{n}"]))
    off = not now.field("mstatus", "FS") or bool(now["v"]) and not now.field("vsstatus", "FS")
    return Floats(tuple(found), off)


def as_double(bits: int) -> str:
    (value,) = struct.unpack("<d", bits.to_bytes(8, "little"))
    return repr(value)


def as_single(bits: int) -> str:
    """Nine digits, which tell singles apart; "" where the register holds no boxed single."""
    if bits & BOXED != BOXED:
        return ""
    (value,) = struct.unpack("<f", (bits & ~BOXED).to_bytes(4, "little"))
    return f"{value:.9g}"


@dataclass(frozen=True)
class Register:
    """One register in all the ways that a number can be read."""

    name: str
    value: int
    place: str
    before: int | None

    def lines(self) -> list[Line]:
        changed = self.before is not None and self.before != self.value
        line: Line = [("register", self.name), ("", " = "), ("changed" if changed else "number", f"{self.value:#x}")]
        line.append(("", f"  {signed(self.value):,}"))
        if self.place:
            line += [("", "  "), ("symbol", self.place)]
        if changed:
            line.append(("dim", f"  was {self.before:#x}"))
        return [line]

    def json(self) -> Any:
        return {"name": self.name, "value": hexadecimal(self.value), "signed": signed(self.value), "place": self.place or None}


def one(context: Context, name: str, before: Saved | None = None) -> Register:
    """An integer register by ABI name or number, pc, or a floating-point register's bits. Raises DebugError."""
    slot = slot_of(name)
    value = context.pc if slot == "pc" else context.state[SLOT[slot]]
    text = place(context, value) if symbol(context, value) else ""
    return Register(name, value, text.partition(" ")[2], None if before is None else before[slot])


def slot_of(name: str) -> str:
    """The slot of a register that a person names. Raises DebugError."""
    if name == "pc":
        return name
    if name in REGISTER_NUMBER:
        return f"x{REGISTER_NUMBER[name]}"
    if name in FLOAT_REGISTER_NUMBER:
        return f"f{FLOAT_REGISTER_NUMBER[name]}"
    raise DebugError(f"{name} is no register: there are {REGISTERS[1]}, {REGISTERS[2]}, ..., x0 to x31, pc and the f registers")
