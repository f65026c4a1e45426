"""Memory item by item, as gdb's x shows it; where some bytes are; and whose a page is."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rvhv.cpu.pte import PAGE
from rvhv.debug.look.addresses import check, pieces, read, readable, write
from rvhv.debug.look.places import symbol
from rvhv.debug.look.table import hexadecimal
from rvhv.debug.target import Context, Target
from rvhv.debug.view import Line, Style, vm_style
from rvhv.errors import DebugError
from rvhv.isa.expr import MASK64, signed

__all__ = ["Examined", "Found", "Owner", "examine", "find", "owner", "read", "write"]

SIZES = {"b": 1, "h": 2, "w": 4, "g": 8}
FORMS = {
    "x": "hexadecimal", "d": "signed decimal", "u": "unsigned decimal", "o": "octal", "t": "binary", "a": "address",
    "c": "character", "s": "string", "f": "floating point",
}  # fmt: skip
MOST = 1 << 20  # bytes that one answer shows
MOST_SEARCHED = 1 << 30
LONGEST_STRING = 256
PER_LINE = {1: 16, 2: 8, 4: 4, 8: 2}


@dataclass(frozen=True)
class Item:
    address: int
    text: str
    value: int | None
    symbol: str


@dataclass(frozen=True)
class Examined:
    """Memory item by item. `failed`: why it ends early."""

    space: str
    form: str
    size: int
    items: tuple[Item, ...]
    data: bytes
    failed: str

    def lines(self) -> list[Line]:
        per_line = 1 if self.form in ("s", "a") else 2 if self.form == "t" and self.size > 2 else PER_LINE[self.size]
        rows: list[Line] = []
        width = max((len(item.text) for item in self.items), default=0)
        for i in range(0, len(self.items), per_line):
            some = self.items[i : i + per_line]
            row: Line = [("address", f"{self.space}:{some[0].address:#x}")]
            if some[0].symbol:
                row += [("", " "), ("symbol", f"<{some[0].symbol}>")]
            row.append(("", ":"))
            for item in some:
                style: Style = "number" if item.value else "" if item.value is None else "dim"
                row += [("", "  "), (style, item.text if self.form in ("s", "a") else f"{item.text:>{width}}")]
            if self.form == "x" and self.size == 1:
                row += [("", "  "), ("dim", _printable(self.data[i : i + per_line]))]
            rows.append(row)
        if self.failed:
            rows.append([("bad", self.failed)])
        return rows

    def json(self) -> Any:
        return {
            "space": self.space,
            "items": [
                {"address": hexadecimal(i.address), "value": hexadecimal(i.value), "text": i.text, "symbol": i.symbol or None}
                for i in self.items
            ],
            "bytes": self.data.hex(),
            "error": self.failed or None,
        }


def examine(context: Context, space: str, address: int, count: int = 1, form: str = "x", size: str = "g") -> Examined:
    """`count` items as gdb's x shows them: form one of FORMS, size one of SIZES. Raises DebugError where none is there."""
    if form not in FORMS:
        raise DebugError(f"{form} is no format: there are {', '.join(f'{f} ({text})' for f, text in FORMS.items())}")
    if size not in SIZES:
        raise DebugError(f"{size} is no size: there are b (1 byte), h (2), w (4) and g (8)")
    step = SIZES[size]
    if not 0 < count * step <= MOST:
        raise DebugError(f"{count} items of {step} bytes are too many or too few: ask for 1 to {MOST // step}")
    if form == "s":
        return _strings(context, space, address, count)
    failed = ""
    data = readable(context, space, address, count * step)
    if len(data) < count * step:
        at = address + len(data) // step * step
        data = data[: len(data) // step * step]
        try:
            read(context, space, at, step)
        except DebugError as error:
            failed = str(error)
        if not data:
            raise DebugError(failed)
    show = _shown(context, form, step)
    items = []
    for i in range(0, len(data), step):
        value = int.from_bytes(data[i : i + step], "little")
        at = address + i & MASK64
        items.append(Item(at, show(value), value, symbol(context, at) if space == "v" else ""))
    return Examined(space, form, step, tuple(items), data, failed)


def _shown(context: Context, form: str, size: int) -> Callable[[int], str]:
    bits = 8 * size
    floats = {2: "<e", 4: "<f", 8: "<d"}

    def character(value: int) -> str:
        low = signed(value, 8)
        return f"{low} {chr(low)!r}" if 32 <= low < 127 else f"{low} '\\x{value & 255:02x}'"

    def address(value: int) -> str:
        name = symbol(context, value)
        return f"{value:#x} <{name}>" if name else f"{value:#x}"

    def number(value: int) -> str:
        if size not in floats:
            return f"{value:#x}"
        (found,) = struct.unpack(floats[size], value.to_bytes(size, "little"))
        return f"{found:.{ {2: 5, 4: 9, 8: 17}[size] }g}"

    shows: dict[str, Callable[[int], str]] = {
        "x": lambda value: f"0x{value:0{2 * size}x}",
        "d": lambda value: str(signed(value, bits)),
        "u": str,
        "o": lambda value: f"0{value:o}",
        "t": lambda value: f"{value:0{bits}b}",
        "a": address,
        "c": character,
        "f": number,
    }
    return shows[form]


def _strings(context: Context, space: str, address: int, count: int) -> Examined:
    items: list[Item] = []
    start = address
    for _ in range(count):
        data = readable(context, space, address, LONGEST_STRING)
        if not data:
            if not items:
                read(context, space, address, 1)  # says why not
            break
        text, zero, _rest = data.partition(b"\0")
        items.append(Item(address, f'"{_escaped(text)}"' + ("" if zero else "..."), None, symbol(context, address)))
        address += len(text) + len(zero)
    return Examined(space, "s", 1, tuple(items), readable(context, space, start, address - start), "")


def _escaped(data: bytes) -> str:
    named = {10: "\\n", 9: "\\t", 13: "\\r", 34: '\\"', 92: "\\\\"}
    return "".join(named.get(b) or (chr(b) if 32 <= b < 127 else f"\\x{b:02x}") for b in data)


def _printable(data: bytes) -> str:
    return "".join(chr(b) if 32 <= b < 127 else "." for b in data)


@dataclass(frozen=True)
class Found:
    """Where some bytes are."""

    space: str
    addresses: tuple[int, ...]
    symbols: tuple[str, ...]
    more: bool

    def lines(self) -> list[Line]:
        if not self.addresses:
            return [[("", "not found")]]
        rows: list[Line] = []
        for address, name in zip(self.addresses, self.symbols, strict=True):
            row: Line = [("address", f"{self.space}:{address:#x}")]
            rows.append([*row, ("", " "), ("symbol", f"<{name}>")] if name else row)
        return rows + ([[("dim", "and more")]] if self.more else [])

    def json(self) -> Any:
        return {"space": self.space, "addresses": [hexadecimal(a) for a in self.addresses], "more": self.more}


def find(context: Context, space: str, address: int, length: int, data: bytes, most: int = 50) -> Found:
    """Where `data` is in a range; what is not mapped is passed over. Raises DebugError."""
    if not data:
        raise DebugError("find what? give at least one byte")
    if not 0 < length <= MOST_SEARCHED:
        raise DebugError(f"a range of {length:,} bytes cannot be searched: give 1 to {MOST_SEARCHED:,}")
    check(context, space)
    memory = context.target.memory
    hits: list[int] = []
    kept, kept_at = b"", address  # what may hold the beginning of a hit
    at, end = address, address + length
    while at < end and len(hits) <= most:
        take = min(end - at, PAGE - at % PAGE)
        try:
            (piece,) = pieces(context, space, at, take)
            block = kept + memory.read(*piece)
            start = kept_at if kept else at
        except DebugError:
            kept, at = b"", at + take
            continue
        i = block.find(data)
        while i >= 0:
            hits.append(start + i)
            i = block.find(data, i + 1)
        kept = block[-(len(data) - 1) :] if len(data) > 1 else b""
        at += take
        kept_at = at - len(kept)
    named = tuple(symbol(context, a) if space == "v" else "" for a in hits[:most])
    return Found(space, tuple(hits[:most]), named, len(hits) > most)


# whose it is


@dataclass(frozen=True)
class Owner:
    """What a page of host memory is used for. `vm` is None where no VM has it; `gpa`: of a VM's page."""

    spa: int
    use: str
    vm: str | None
    number: int
    gpa: int | None
    flags: tuple[str, ...]

    def lines(self) -> list[Line]:
        line: Line = [("address", f"h:{self.spa:#x}"), ("", " is "), (vm_style(self.number) if self.vm else "", self.use)]
        if self.gpa is not None:
            line += [("", ", "), ("address", f"g:{self.gpa:#x}")]
        if self.flags:
            line.append(("dim", f"; {', '.join(self.flags)} derived from it"))
        return [line]

    def json(self) -> Any:
        return {
            "spa": hexadecimal(self.spa), "use": self.use, "vm": self.vm, "gpa": hexadecimal(self.gpa), "flags": list(self.flags),
        }  # fmt: skip


def owner(target: Target, spa: int) -> Owner:
    """What the page of a host physical address belongs to. Raises DebugError outside RAM."""
    from rvhv.debug.look.frames import Frames  # who asks for one page pays for a map of all

    memory = target.memory
    if not memory.base <= spa < memory.base + memory.size:
        raise DebugError(f"h:{spa:#x} is no memory: RAM is from h:{memory.base:#x} to h:{memory.base + memory.size - 1:#x}")
    return Frames.of(target).owner(spa)
