"""Addresses in words: symbols and source lines of what a context runs."""

from __future__ import annotations

from rvhv.debug.target import Context
from rvhv.debug.view import Line
from rvhv.machine.source_lines import SourceLines


def symbol(context: Context, address: int) -> str:
    """`main+0x8`, or "" where no symbol is near."""
    nearest = context.symbols.nearest(address)
    if nearest is None:
        return ""
    value, name = nearest
    return f"{name}+{address - value:#x}" if address > value else name


def source(context: Context, address: int) -> str:
    """`main.c:12`, or "" where no line table says."""
    for image in context.images:
        found = SourceLines(image).at(address)
        if found is not None:
            return f"{found[0]}:{found[1]}" if found[1] else ""  # 0: what the compiler made by itself
    return ""


def place(context: Context, address: int) -> str:
    """Symbol and source line behind the address: `0x80200150 main+0x8 (main.c:12)`."""
    return "".join(text for _, text in placed(context, address))


def placed(context: Context, address: int) -> Line:
    """The same with styles."""
    line: Line = [("address", f"{address:#x}")]
    if name := symbol(context, address):
        line += [("", " "), ("symbol", name)]
    if at := source(context, address):
        line += [("", " "), ("dim", f"({at})")]
    return line
