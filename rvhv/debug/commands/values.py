"""Values and symbols as views."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug import expressions
from rvhv.debug.look.places import symbol
from rvhv.debug.target import Context
from rvhv.debug.view import Line
from rvhv.errors import DebugError
from rvhv.isa.expr import signed

_SMALL = 10  # below it hexadecimal says nothing more


@dataclass(frozen=True)
class Shown:
    """The value of an expression."""

    text: str
    bits: int
    space: str
    signed: bool
    symbol: str
    form: str

    @classmethod
    def of(cls, context: Context, text: str, form: str = "") -> Shown:
        """Raises DebugError."""
        value = expressions.parse(text).evaluate(context)
        name = symbol(context, value.bits) if value.space in ("", "v") else ""
        return cls(text, value.bits, value.space, value.signed, name, form)

    @property
    def _number(self) -> int:
        return signed(self.bits)

    def _formatted(self) -> str:
        match self.form:
            case "d":
                return f"{self._number}"
            case "u":
                return f"{self.bits}"
            case "o":
                return f"{self.bits:#o}"
            case "t":
                return f"{self.bits:#b}"
            case "c":
                return f"{self.bits & 0xFF} {chr(self.bits & 0xFF)!r}"
        return f"{self.space}:{self.bits:#x}" if self.space else f"{self.bits:#x}"

    def lines(self) -> list[Line]:
        line: Line = [("", f"{self.text} = ")]
        if self.form not in ("", "x"):
            return [[*line, ("number", self._formatted())]]
        if self.bits < _SMALL and not self.space:
            line.append(("number", f"{self.bits}"))
        else:
            line.append(("number", self._formatted()))
            if not self.form and not self.space:
                line.append(("", f"  {self._number if self.signed else self.bits:,}"))
                if not self.signed and self._number < 0:
                    line.append(("", f"  {self._number:,}"))
        if self.symbol:
            line += [("", "  "), ("symbol", f"<{self.symbol}>")]
        return [line]

    def json(self) -> Any:
        return {
            "expression": self.text,
            "value": f"{self.bits:#x}",
            "signed": self._number,
            "space": self.space or None,
            "symbol": self.symbol or None,
        }


@dataclass(frozen=True)
class Symbols:
    """(name, value, offset behind it) each."""

    rows: tuple[tuple[str, int, int], ...]

    @classmethod
    def containing(cls, context: Context, part: str) -> Symbols:
        """Those whose name contains `part`, by address. Raises DebugError where none does."""
        found = [(value, name) for name, value in context.symbols.values.items() if part.lower() in name.lower()]
        if not found:
            none = f"no symbol of {context.name} has {part[:40]!r} in its name"
            raise DebugError(none if part else f"{context.name} came without symbols")
        return cls(tuple((name, value, 0) for value, name in sorted(found)))

    def lines(self) -> list[Line]:
        def line(name: str, value: int, offset: int) -> Line:
            behind: Line = [("dim", f" + {offset:#x}")] if offset else []
            return [("address", f"{value:#x}"), ("", "  "), ("symbol", name), *behind]

        return [line(*row) for row in self.rows]

    def json(self) -> Any:
        return [{"name": name, "value": f"{value:#x}", "offset": offset} for name, value, offset in self.rows]
