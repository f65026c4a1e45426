"""`rvhv jit show`: a region, block by block: guest code, LLVM assembly and host code."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from rvhv.cli.plain import printable
from rvhv.core.registry import ISA
from rvhv.errors import ConfigError
from rvhv.hart import TLB_BITS
from rvhv.isa.render.disasm import Disassembler
from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.form import PAGE, Block, Kind, Region, form
from rvhv.jit.translate import name_of, translate
from rvhv.machine.image import Image, load_image
from rvhv.machine.symbols import Symbols

OFFSET = PAGE - 1
LONGEST_HINT = 2000  # symbols at most among which a mistyped one is looked for
REST = "rest"  # what no block of the guest's is alone in: entering, dispatch, leaving
_DEFINED = re.compile(r"define internal .*@(\w+)\(", re.MULTILINE)
_LABEL = re.compile(r"([\w.]+):")
_TARGET = re.compile(r"label %([\w.]+)")
_BLOCK = re.compile(r"^(?:([\w.$]+):|[#;/]+ %bb\.\d+:)\s*(?:[#;/]+ %([\w.]+))?")
_COMMENT = re.compile(r"(^|\s+)(#|//|;) .*$")  # of x86 and arm64; an immediate of arm64 is #1
NOTES = {Kind.ASSIST: "by the machine, without leaving", Kind.LEAVE: "leaves: the interpreter does it", Kind.NOTHING: "nothing"}


@dataclass
class Shown:
    """A block: `guest` is (address, word, text, note); the others are lines. Of REST, only these."""

    name: str
    notes: list[str] = field(default_factory=list)
    guest: list[tuple[int, str, str, str]] = field(default_factory=list)
    ir: list[str] = field(default_factory=list)
    host: list[str] = field(default_factory=list)


def address_of(image: Image, where: str) -> int:
    """A symbol's value, or a number. Raises ConfigError."""
    if where in image.symbols:
        return image.symbols[where]
    try:
        return int(where, 0)
    except ValueError:
        pass
    if not image.symbols:
        raise ConfigError(f"{where}: {image.name} has no symbols; give an address, 0x80200000")
    near = get_close_matches(where, list(image.symbols)[:LONGEST_HINT], n=1)
    hint = f"did you mean {near[0]!r}?" if near else "give one of its symbols, or an address"
    raise ConfigError(f"{image.name} has no symbol {where!r}; {hint}")


def page_of(image: Image, address: int) -> bytes:
    """The page of an address as it is loaded. Raises ConfigError when nothing is loaded there."""
    if not any(s.addr <= address < s.addr + len(s.data) for s in image.segments):
        raise ConfigError(f"{address:#x} is in no segment that {image.name} is loaded from")
    if address & 1:
        raise ConfigError(f"{address:#x} is odd: no instruction begins there")
    start = address & ~OFFSET
    page = bytearray(PAGE)
    for segment in image.segments:
        low, high = max(start, segment.addr), min(start + PAGE, segment.addr + len(segment.data))
        if low < high:
            page[low - start : high - start] = segment.data[low - segment.addr : high - segment.addr]
    return bytes(page)


def shown_blocks(image: Image, address: int, *, ir: bool, host: bool) -> tuple[Region, list[Shown]]:
    """The region from `address` and its blocks, REST at the end. Raises ConfigError where there is none."""
    page = page_of(image, address)
    region = form(page, (address & OFFSET,))
    symbols = Symbols(image.symbols)
    if region is None:
        raise ConfigError(f"{symbols.place(address)}: the interpreter does what is there; no region can be entered")
    start = address & ~OFFSET
    blocks = {name_of(at): _guest(region, at, block, start, symbols, page) for at, block in sorted(region.blocks.items())}
    blocks[REST] = Shown("entering, dispatch and leaving")
    if ir or host:
        assembly = translate(region, TLB_BITS, host_fma=host_has_fma())
        compiler = Compiler()
        module = str(compiler.optimised(assembly))
        parts, own = ir_blocks(module), _DEFINED.findall(module)
        blocks |= {name: Shown(f"{name}, which is called where it must be") for name in own}
        owners = owners_of(parts, own)
        for label, lines in parts.items() if ir else ():
            blocks[owners[label]].ir += [f"{label}:", *(f"  {line}" for line in lines)]
        for label, line in host_lines(compiler.assembly(assembly), own) if host else ():
            blocks[owners.get(label, REST)].host.append(line)
    return region, list(blocks.values())


def _guest(region: Region, at: int, block: Block, start: int, symbols: Symbols, page: bytes) -> Shown:
    notes = []
    if at in region.entries:
        notes.append("entry")
    if at in region.returns:
        notes.append("behind a call")
    if block.head:
        notes.append(f"checks for {block.need} steps")
    shown = Shown(symbols.place(start + at), notes)
    disassembler = Disassembler(ISA)
    for step in block.steps:
        pc = start + step.offset
        word = int.from_bytes(page[step.offset : step.next], "little")
        text = disassembler.disassemble(word, pc)
        note = NOTES.get(step.kind, "")
        if step.kind in (Kind.BRANCH, Kind.JUMP):
            inside = step.target in region.blocks
            note = f"to {symbols.place(start + step.target)}{'' if inside else ', out of the region'}"
        shown.guest.append((pc, f"{word:0{2 * step.length}x}", text, note))
    return shown


def ir_blocks(module: str) -> dict[str, list[str]]:
    """The lines of the functions, by label, as LLVM prints them."""
    blocks: dict[str, list[str]] = {}
    inside, current = False, ""
    for line in module.splitlines():
        if line.startswith("define"):
            inside = True
        elif line.startswith("}"):
            inside = False
        elif inside and (match := _LABEL.match(line)):
            current = match[1]
            blocks[current] = []
        elif inside and line.strip():
            blocks[current].append(line.strip())
    return blocks


def owners_of(blocks: dict[str, list[str]], own: Sequence[str] = ()) -> dict[str, str]:
    """Label -> name of its guest block, of the region's `own` function, or REST: what can be reached from one
    block only by way of parts that have no name of their own belongs to it."""
    heads = {label: label.split(".")[0] for label in blocks}
    owners = {label: head if head.startswith("at_") or head in own else REST for label, head in heads.items()}
    parts = {label for label in blocks if label.startswith("b.")}
    reached: dict[str, set[str]] = {label: set() for label in parts}
    for label in blocks:
        todo = [label] if label not in parts else []
        seen = set[str]()
        while todo:
            for target in _TARGET.findall("\n".join(blocks[todo.pop()])):
                if target in parts and target not in seen:
                    seen.add(target)
                    reached[target].add(owners[label])
                    todo.append(target)
    for label, found in reached.items():
        owners[label] = found.pop() if len(found) == 1 else REST
    return owners


def host_lines(assembly: str, own: Sequence[str] = ()) -> list[tuple[str, str]]:
    """(LLVM label or "", line) of the instructions and labels of `region` and its `own` functions."""
    found: list[tuple[str, str]] = []
    inside, label = False, ""
    function = re.compile(rf"_?(region|{'|'.join(own)}):" if own else r"_?region:")
    for line in assembly.splitlines():
        if function.match(line):
            inside = True
        elif re.match(r"\.?L?\w*func_end", line):
            inside = False
        elif inside and (match := _BLOCK.match(line)):
            label = match[2] or ""
            if match[1]:
                found.append((label, f"{match[1]}:"))
        elif inside and (text := _COMMENT.sub("", line)).strip() and not text.strip().startswith("."):
            found.append((label, f"  {' '.join(text.split())}"))
    return found


def show_region(path: str, where: str, *, ir: bool, host: bool, as_json: bool, no_color: bool) -> int:
    """Print the region from a symbol or address of an image."""
    from rvhv.images import GUESTS, image_path

    image = load_image(image_path(path) if path in GUESTS else path)
    address = address_of(image, where)
    region, blocks = shown_blocks(image, address, ir=ir, host=host)
    if as_json:
        print(json.dumps(_document(address, region, blocks, ir, host), indent=2))
        return 0
    import click

    from rvhv.cli.terminal import wants_color

    color = wants_color(sys.stdout, no_color)
    lines = _lines(Symbols(image.symbols).place(address), region, blocks)
    text = "".join(f"{click.style(printable(line), **style) if color and style else printable(line)}\n" for line, style in lines)
    if sys.stdout.isatty():
        click.echo_via_pager(text, color=color)
    else:
        click.echo(text, nl=False)
    return 0


def _lines(place: str, region: Region, blocks: list[Shown]) -> list[tuple[str, dict[str, Any]]]:
    """What is printed, with styles for `click.style`."""
    count = len(region.blocks)
    lines: list[tuple[str, dict[str, Any]]] = [
        (f"region from {place}: {region.instructions} instructions in {count} block{'s' * (count != 1)}", {"bold": True})
    ]
    for block in blocks:
        if not (block.guest or block.ir or block.host):
            continue
        notes = f"  [{', '.join(block.notes)}]" if block.notes else ""
        lines += [("", {}), (f"{block.name}{notes}", {"bold": True, "fg": "cyan"})]
        for pc, word, text, note in block.guest:
            comment = f"  # {note}" if note else ""
            lines.append((f"  {pc:8x}  {word:<8}  {text:<28}{comment}".rstrip(), {"fg": "green"}))
        for title, part, style in (("LLVM", block.ir, {"fg": "yellow"}), ("host", block.host, {})):
            if part:
                lines += [(f"  -- {title}", {"dim": True}), *((f"     {line}", style) for line in part)]
    return lines


def _document(address: int, region: Region, blocks: list[Shown], ir: bool, host: bool) -> dict[str, Any]:
    shown = []
    for block in blocks:
        one: dict[str, Any] = {"name": block.name, "notes": block.notes}
        one["guest"] = [{"pc": pc, "word": word, "text": text, "note": note} for pc, word, text, note in block.guest]
        shown.append(one | ({"ir": block.ir} if ir else {}) | ({"host": block.host} if host else {}))
    return {"address": address, "instructions": region.instructions, "blocks": shown}
