"""Instructions with symbols and source lines, and source text."""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from rvhv.core.registry import ISA
from rvhv.debug.look.addresses import SPACES, read, readable
from rvhv.debug.look.places import source as source_of
from rvhv.debug.look.places import symbol
from rvhv.debug.look.table import cell, columns, hexadecimal
from rvhv.debug.target import Context
from rvhv.debug.view import Line, Style
from rvhv.errors import DebugError
from rvhv.isa.effects import Branch, Jump
from rvhv.isa.expr import MASK64
from rvhv.isa.render.disasm import Disassembler
from rvhv.machine.source_lines import SourceLines

MOST = 10_000  # instructions of one answer
LONGEST = 4  # bytes of an instruction
LONGEST_FILE = 4 << 20
FURTHEST_BACK = 1 << 12  # bytes from a symbol to where a person looks before it
TARGET = re.compile(r"0x[0-9a-f]+$")
PROJECT_FOLDERS = (".", "guests", "bench")


@cache
def disassembler() -> Disassembler:
    return Disassembler(ISA)


def text_of(context: Context, word: int, address: int) -> str:
    """An instruction with the symbol of where it goes."""
    text = disassembler().disassemble(word, address)
    found = ISA.decode(word)
    target = TARGET.search(text)
    if found is not None and target and any(isinstance(effect, Branch | Jump) for effect in found[0].effects):
        name = symbol(context, int(target[0], 16))
        if name:
            return f"{text} <{name}>"
    return text


def word_at(context: Context, space: str, address: int) -> int:
    """The instruction at an address, 16 or 32 bits of it. Raises DebugError."""
    low = int.from_bytes(read(context, space, address, 2), "little")
    if low & 3 != 3:
        return low
    return low | int.from_bytes(read(context, space, address + 2 & MASK64, 2), "little") << 16


def length_of(word: int) -> int:
    return 4 if word & 3 == 3 else 2


@dataclass(frozen=True)
class Block:
    """Bytes from `start` on, read at once: translating each instruction's address would take most of the time."""

    start: int
    data: bytes

    @classmethod
    def of(cls, context: Context, space: str, start: int, length: int) -> Block:
        return cls(start, readable(context, space, start, length))

    def word(self, address: int) -> int | None:
        """The instruction at an address; None where it is not whole in the block."""
        at = address - self.start
        length = length_of(self.data[at]) if 0 <= at < len(self.data) else 0
        return int.from_bytes(self.data[at : at + length], "little") if length and at + length <= len(self.data) else None


@dataclass(frozen=True)
class Instruction:
    address: int
    word: int
    text: str
    symbol: str
    source: str  # "" also where it is that of the instruction before
    current: bool

    @property
    def raw(self) -> str:
        return f"{self.word:0{2 * length_of(self.word)}x}"


@dataclass(frozen=True)
class Disassembly:
    """Instructions in a row. `failed`: why there are no more."""

    space: str
    instructions: tuple[Instruction, ...]
    failed: str

    def lines(self) -> list[Line]:
        rows: list[Line] = []
        last = ""
        for one in self.instructions:
            function = one.symbol.partition("+")[0]
            if function and function != last:
                rows.append([("symbol", f"{function}:")])
            last = function
            if one.source:
                rows.append([("dim", f"  {one.source}")])
            mark: Style = "good" if one.current else ""
            offset = one.symbol[len(function) :]
            mnemonic, _, operands = one.text.partition(" ")
            rows.append(
                [
                    (mark, "=> " if one.current else "   "),
                    ("address", f"{one.address:#x}"),
                    ("dim", f" {f'<{offset}>' if offset else '':8} {one.raw:8}  "),
                    ("mnemonic", mnemonic),
                    ("", f"{' ' * max(1, 10 - len(mnemonic))}{operands}" if operands else ""),
                ]
            )
        if self.failed:
            rows.append([("bad", self.failed)])
        return rows

    def json(self) -> Any:
        return {
            "space": self.space,
            "instructions": [
                {
                    "address": hexadecimal(i.address), "word": f"0x{i.raw}", "text": i.text, "symbol": i.symbol or None,
                    "source": i.source or None, "current": i.current,
                }
                for i in self.instructions
            ],
            "error": self.failed or None,
        }  # fmt: skip


def disassemble(context: Context, address: int | None = None, count: int = 10, space: str = "v") -> Disassembly:
    """`count` instructions from an address on (None: around pc). Raises DebugError where there is not even one."""
    if not 0 < count <= MOST:
        raise DebugError(f"{count} instructions are too many or too few: ask for 1 to {MOST:,}")
    if space not in SPACES:
        raise DebugError(f"{space}: is no address space: there are v, g and h")
    pc = context.pc
    start = _before(context, pc, count // 3) if address is None else address & ~1
    block = Block.of(context, space, start, LONGEST * count)
    found: list[Instruction] = []
    failed = line = ""
    while len(found) < count:
        word = block.word(start)
        if word is None:
            try:
                word = word_at(context, space, start)
            except DebugError as error:
                if not found:
                    raise
                failed = str(error)
                break
        at = source_of(context, start) if space == "v" else ""
        name = symbol(context, start) if space == "v" else ""
        shown = at if at != line else ""
        line = at or line
        text = text_of(context, word, start) if space == "v" else disassembler().disassemble(word, start)
        found.append(Instruction(start, word, text, name, shown, start == pc and space == "v"))
        start = start + length_of(word) & MASK64
    return Disassembly(space, tuple(found), failed)


def _before(context: Context, pc: int, count: int) -> int:
    """Where the instruction `count` before pc begins; from the symbol on, since lengths are only known forwards."""
    nearest = context.symbols.nearest(pc)
    start = pc if nearest is None or pc - nearest[0] > FURTHEST_BACK else nearest[0]
    data = readable(context, "v", start, pc - start)
    if len(data) < pc - start:
        return pc
    starts = []
    at = 0
    while at < len(data):
        starts.append(start + at)
        at += length_of(data[at])
    if start + at != pc:
        return pc  # pc is in the middle of what the symbol's code seems to be
    return starts[max(0, len(starts) - count)] if starts else pc


# source text


@dataclass(frozen=True)
class Source:
    """Lines of a file; `current` is pc's, where it is in this file."""

    file: str
    first: int
    text: tuple[str, ...]
    current: int | None

    def lines(self) -> list[Line]:
        rows = []
        for number, text in enumerate(self.text, self.first):
            here = number == self.current
            rows.append([cell("=>" if here else "", "good"), cell(number, "dim"), cell(text.expandtabs(4))])
        return [[("title", self.file)], *columns(rows, right=(1,), gap=1)]

    def json(self) -> Any:
        return {"file": self.file, "first": self.first, "lines": list(self.text), "current": self.current}


def source(
    context: Context, address: int | None = None, *, file: str | None = None, line: int | None = None, around: int = 5
) -> Source:
    """The text around a line of a file, or of an address (None: pc). Raises DebugError: no line table, no file."""
    here = source_of(context, context.pc).rpartition(":")
    if file is None:
        address = context.pc if address is None else address
        at = source_of(context, address)
        if not at:
            what = symbol(context, address) or f"{address:#x}"
            raise DebugError(f"{what} has no source line: the image has none (build it with -g1), or it is not its code")
        file, _, number = at.rpartition(":")
        line = int(number)
    else:
        file = _meant(context, file)
    line = 1 if line is None else line
    text = source_text(context, file)
    if not 1 <= line <= len(text):
        raise DebugError(f"{file} has {len(text)} lines, and none is {line}")
    first = max(1, line - around)
    same = bool(here[0]) and (here[0] == file or here[0].endswith("/" + file))
    return Source(file, first, text[first - 1 : line + around], int(here[2]) if same else None)


def _meant(context: Context, file: str) -> str:
    """The file of the line table that a part of its path means; as it is where none is meant. Raises DebugError for several."""
    known = sorted({name for image in context.images for name in SourceLines(image).matching(file)})
    if len(known) > 1 and file not in known:
        raise DebugError(f"{file} is one of {', '.join(known)}: write more of it")
    return known[0] if len(known) == 1 else file


def source_text(context: Context, file: str) -> tuple[str, ...]:
    """The lines of a source file, found by the path that the compiler was given. Raises DebugError."""
    for candidate in _candidates(context, file):
        found = _text(candidate)
        if found is not None:
            return found
    raise DebugError(f"the source file {file} is not here: start where it can be found, or build the image here")


def _candidates(context: Context, file: str) -> list[Path]:
    folders = [Path(folder) for image in context.images if (folder := SourceLines(image).folder(file))]
    near = [root / f for root in (Path.cwd(), Path(__file__).parents[3]) for f in PROJECT_FOLDERS]
    name = posixpath.normpath(file)
    short = name.partition("/")[2]  # without the folder that stands for where the compiler ran
    return [root / part for root in (*folders, *near) for part in (name, short) if part]


@lru_cache(64)
def _text(path: Path) -> tuple[str, ...] | None:
    try:
        if not path.is_file() or path.stat().st_size > LONGEST_FILE:
            return None
        return tuple(path.read_text("utf-8", "replace").splitlines())
    except OSError:
        return None
