"""Places in code as a person names them: `main`, `main+8`, `main.c:42`, `42`, `*0x80200000`, nothing for where the guest is."""

from __future__ import annotations

import re

from rvhv.debug.expressions import ExpressionError, Name, parse, source_places, symbol_values
from rvhv.debug.target import Context
from rvhv.errors import DebugError
from rvhv.machine.source_lines import SourceLines

LINE = re.compile(r"(?P<file>[^:\s]+\.\w+):(?P<line>\d+)", re.ASCII)
FUNCTION = re.compile(r"(?P<file>[^:\s]+\.\w+):(?P<name>[A-Za-z_][\w.$]*)", re.ASCII)


def locate(text: str, context: Context) -> list[int]:
    """The addresses of a place: more than one where a line has code in several functions. Raises DebugError."""
    text = text.strip()
    if not text:
        return [context.pc]
    if text.startswith("*"):
        return [parse(text[1:]).value(context)]
    if text.isascii() and text.isdigit():
        return source_places(context, _current_file(context), int(text), text, 0)
    if match := LINE.fullmatch(text):
        return source_places(context, match["file"], int(match["line"]), text, 0)
    if match := FUNCTION.fullmatch(text):
        return [_function(match["file"], match["name"], context, text)]
    expression = parse(text)
    if isinstance(expression.root, Name) and len(values := symbol_values(context, text)) == 1:
        return values  # a place is rather a symbol than a register or a CSR
    found = expression.evaluate(context)
    if found.space not in ("", "v"):
        raise ExpressionError("code is found by virtual addresses only", text, 0)
    return [found.bits]


def source_of(context: Context, address: int) -> tuple[str, int] | None:
    """File and line of an instruction."""
    for image in context.images:
        found = SourceLines(image).at(address)
        if found is not None and found[1]:
            return found
    return None


def line_range(context: Context, address: int) -> tuple[int, int] | None:
    """The addresses around an instruction that come from its line: first, and behind the last."""
    for image in context.images:
        found = SourceLines(image).block(address)
        if found is not None and found[3]:
            return found[0], found[1]
    return None


def starts_line(context: Context, address: int) -> bool:
    """Whether a statement of a source line begins at an instruction."""
    for image in context.images:
        lines = SourceLines(image)
        found = lines.at(address)
        if found is not None and found[1]:
            return address in lines.statements(*found)
    return False


def _current_file(context: Context) -> str:
    found = source_of(context, context.pc)
    if found is None:
        raise DebugError(f"{context.name} is not in code with source lines: write FILE:LINE, or *ADDRESS")
    return found[0]


def _function(file: str, name: str, context: Context, text: str) -> int:
    values = symbol_values(context, name)
    if not values:
        parse(f"&{name}").value(context)  # says what is near
    for value in values:
        found = source_of(context, value)
        if found is not None and (found[0] == file or found[0].endswith("/" + file)):
            return value
    raise ExpressionError(f"{name} is not in {file}", text, 0)
