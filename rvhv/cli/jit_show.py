"""`rvhv jit show`: a region: each instruction of the guest beside the LLVM assembly and the host code made for it."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from difflib import get_close_matches
from operator import attrgetter
from typing import Any

from rvhv.cli.columns import INDENT, NARROWEST, Column, Row, Spans, Table, fold
from rvhv.cli.plain import printable
from rvhv.cli.terminal import can_show, terminal_columns, wants_color
from rvhv.core.registry import ISA
from rvhv.errors import ConfigError
from rvhv.hart import TLB_BITS
from rvhv.isa.render.disasm import Disassembler
from rvhv.jit import located
from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.form import PAGE, Block, Kind, Region, form
from rvhv.jit.located import AROUND, REGION, WITHIN
from rvhv.machine.image import Image, load_image
from rvhv.machine.symbols import Symbols

OFFSET = PAGE - 1
SPACES = attrgetter("vaddr"), attrgetter("addr")  # where a segment is, in the order in which an address is looked for
LONGEST_HINT = 2000  # symbols at most among which a mistyped one is looked for
PIPE_COLUMNS, MOST_COLUMNS = 160, 1000  # of the output: in a file or a pipe, on a terminal at most
NOTES = {Kind.ASSIST: "by the machine, without leaving", Kind.LEAVE: "leaves: the interpreter does it", Kind.NOTHING: "nothing"}
GUEST = Column("guest", 38, 46, {"fg": "green"})
IR, HOST = Column("LLVM", 36, 80, {"fg": "yellow"}), Column("host", 28, 46)
OWN = "counts its steps"  # what a block does for itself
LEGEND = (f"{WITHIN}           of no instruction alone; shown where it stands", "label: ...  goes on in that block")


@dataclass
class Part:
    """What was made for something: lines of LLVM assembly and of host code."""

    owner: tuple[str, int]  # of the lines: a function, and a line of its locations
    ir: list[str] = field(default_factory=list)
    host: list[str] = field(default_factory=list)


@dataclass
class Instruction(Part):
    """One of the guest's."""

    pc: int = 0
    word: str = ""
    text: str = ""
    note: str = ""


@dataclass
class Shown(Part):
    """A block of the guest's, with what it does for itself; or, with no instructions, what is around them."""

    name: str = ""
    notes: list[str] = field(default_factory=list)
    guest: list[Instruction] = field(default_factory=list)


def address_of(image: Image, where: str) -> int:
    """A symbol's value, or a number. Raises ConfigError."""
    if where in image.symbols:
        return image.symbols[where]
    try:
        address = int(where, 0)
    except ValueError:
        pass
    else:
        if address < 0:
            raise ConfigError(f"{where} is no address: they begin at 0")
        return address
    if not image.symbols:
        raise ConfigError(f"{where}: {image.name} has no symbols; give an address, 0x80200000")
    near = get_close_matches(where, list(image.symbols)[:LONGEST_HINT], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give one of its symbols, or an address"
    raise ConfigError(f"{image.name} has no symbol {where!r}; {hint}")


def page_of(image: Image, address: int) -> bytes:
    """The page of a virtual address, or of a physical one where no segment has that virtual address. What lies around the segment
    that has it is from the same space. Raises ConfigError when nothing is loaded there."""
    for space in SPACES:
        parts = [(space(segment), segment.data) for segment in image.segments]
        there = [(at, data) for at, data in parts if at <= address < at + len(data)]
        if there:
            break
    else:
        raise ConfigError(f"{address:#x} is in no segment that {image.name} is loaded from")
    if address & 1:
        raise ConfigError(f"{address:#x} is odd: no instruction begins there")
    start = address & ~OFFSET
    page = bytearray(PAGE)
    for at, data in (*parts, there[0]):  # it hides those that overlap it, as overlays do
        low, high = max(start, at), min(start + PAGE, at + len(data))
        if low < high:
            page[low - start : high - start] = data[low - at : high - at]
    return bytes(page)


def shown_blocks(image: Image, address: int, *, ir: bool, host: bool) -> tuple[Region, list[Shown]]:
    """The region from `address`: its blocks, what is around them, its own functions. Raises ConfigError where there is none."""
    page = page_of(image, address)
    region = form(page, (address & OFFSET,))
    symbols = Symbols(image.symbols)
    if region is None:
        raise ConfigError(f"{symbols.place(address)}: the interpreter does what is there; no region can be entered")
    start = address & ~OFFSET
    blocks = [_guest(region, at, block, start, symbols, page) for at, block in sorted(region.blocks.items())]
    if ir or host:
        assembly = located.translate_located(region, TLB_BITS, host_fma=host_has_fma())
        compiler = Compiler()
        module = str(compiler.optimised(assembly))
        functions = located.functions_of(module)
        blocks.append(Shown((REGION, AROUND), name="entering, dispatch and leaving"))
        own = [name for name in functions if name != REGION]
        blocks += [Shown((name, AROUND), name=f"{name}, which is called where it must be") for name in own]
        parts = [part for block in blocks for part in (block, *block.guest)]
        owners = [part.owner for part in parts]
        of_ir = located.by_owner(located.ir_lines(module), owners) if ir else {}
        of_host = located.by_owner(located.host_lines(compiler.assembly(assembly), functions), owners) if host else {}
        for part in parts:
            part.ir, part.host = of_ir.get(part.owner, []), of_host.get(part.owner, [])
    return region, blocks


def _guest(region: Region, at: int, block: Block, start: int, symbols: Symbols, page: bytes) -> Shown:
    notes = []
    if at in region.entries:
        notes.append("entry")
    if at in region.returns:
        notes.append("behind a call")
    if block.head:
        notes.append(f"checks for {_count(block.need, 'step')}")
    shown = Shown((REGION, located.of_block(at)), name=symbols.place(start + at), notes=notes)
    disassembler = Disassembler(ISA)
    for step in block.steps:
        pc = start + step.offset
        word = int.from_bytes(page[step.offset : step.next], "little")
        text = disassembler.disassemble(word, pc)
        note = NOTES.get(step.kind, "")
        if step.kind in (Kind.BRANCH, Kind.JUMP):
            inside = step.target in region.blocks
            note = f"to {symbols.place(start + step.target)}{'' if inside else ', out of the region'}"
        owner = REGION, located.of_instruction(at, step.offset)
        shown.guest.append(Instruction(owner, pc=pc, word=f"{word:0{2 * step.length}x}", text=text, note=note))
    return shown


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def show_region(path: str, where: str, *, ir: bool, host: bool, as_json: bool, no_color: bool) -> int:
    """Print the region from a symbol or address of an image, with `ir`, `host` or both."""
    from rvhv.images import GUESTS, image_path

    image = load_image(image_path(path) if path in GUESTS else path)
    address = address_of(image, where)
    region, blocks = shown_blocks(image, address, ir=ir, host=host)
    if as_json:
        print(json.dumps(_document(address, region, blocks, ir, host), indent=2))
        return 0
    import click

    color = wants_color(sys.stdout, no_color)
    columns = terminal_columns(sys.stdout, piped=PIPE_COLUMNS, narrowest=NARROWEST, widest=MOST_COLUMNS)
    bar = "│" if can_show(sys.stdout, "│") else "|"
    lines = _lines(Symbols(image.symbols).place(address), region, blocks, [GUEST, *[IR] * ir, *[HOST] * host], columns, bar)
    text = "".join(f"{_line(spans, color)}\n" for spans in lines)
    if sys.stdout.isatty():
        click.echo_via_pager(text, color=None if color else False)  # None: where the pager shows it, and less is told to
    else:
        click.echo(text, nl=False)
    return 0


def _line(spans: Spans, color: bool) -> str:
    import click

    if not color:
        return "".join(text for text, _ in spans).rstrip()
    return "".join(click.style(text, **style) if style and text.strip() else text for text, style in spans)


def _rows(columns: list[Column], block: Shown) -> list[Row]:
    found: list[tuple[list[str], Part]] = [([OWN] if block.guest else [], block)] if block.ir or block.host else []
    for one in block.guest:
        note = [f"  # {one.note}"] if one.note else []
        found.append(([printable(line) for line in (f"{one.pc:8x} {one.word:<8} {one.text}", *note)], one))
    return [[{GUEST: left, IR: part.ir, HOST: part.host}[column] for column in columns] for left, part in found]


def _lines(place: str, region: Region, blocks: list[Shown], columns: list[Column], room: int, bar: str) -> list[Spans]:
    """What is printed, of so many columns of text."""
    first = f"region from {place}: {_count(region.instructions, 'instruction')} in {_count(len(region.blocks), 'block')}"
    shown = [(block, _rows(columns, block)) for block in blocks]
    table = Table(columns, [row for _, rows in shown for row in rows], room, bar)
    lines: list[Spans] = [[(text, {"bold": True})] for text in fold(printable(first), table.room)]
    if any(line.startswith(WITHIN) for block in blocks for part in (block, *block.guest) for line in part.ir + part.host):
        legend = [f for text in LEGEND for f in fold(text, table.room - INDENT)]
        lines += [[(f"{' ' * INDENT}{text}", {"dim": True})] for text in legend]
    lines += table.heading()
    for block, rows in shown:
        if rows:
            notes = f"  [{', '.join(block.notes)}]" if block.notes else ""
            heading = fold(printable(f"{block.name}{notes}"), table.room)
            lines += [[], *([(text, {"bold": True, "fg": "cyan"})] for text in heading)]
            lines += [line for row in rows for line in table.lines(row)]
    return lines


def _document(address: int, region: Region, blocks: list[Shown], ir: bool, host: bool) -> dict[str, Any]:
    """For machines. `ir` and `host` of a block are those of no instruction in it."""

    def code(part: Part) -> dict[str, Any]:
        return ({"ir": part.ir} if ir else {}) | ({"host": part.host} if host else {})

    shown = []
    for block in blocks:
        guest = [{"pc": one.pc, "word": one.word, "text": one.text, "note": one.note} | code(one) for one in block.guest]
        shown.append({"name": block.name, "notes": block.notes, "guest": guest} | code(block))
    return {"address": address, "instructions": region.instructions, "blocks": shown}
