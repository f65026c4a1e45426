"""Guest images: statically linked 64-bit RISC-V ELF files, checked before a byte of them is used.

Headers and symbols are read with `struct`, every field checked here; pyelftools (40 ms to import) only names foreign machines
in error messages.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

from rvhv.errors import ImageError

ELF_MAGIC = b"\x7fELF"
EI_CLASS, ELFCLASS32, ELFCLASS64 = 4, 1, 2
EI_DATA, ELFDATA2LSB, ELFDATA2MSB = 5, 1, 2
EM_RISCV = 243
ET_EXEC = 2
PT_LOAD = 1
PN_XNUM = 0xFFFF  # the number of program headers is kept elsewhere

EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
SHDR = struct.Struct("<IIQQQQIIQQ")
SYM = struct.Struct("<IBBHQQ")

SHT_SYMTAB = 2
STT_SECTION, STT_FILE = 3, 4
STB_LOCAL = 0
SHN_UNDEF = 0
MAX_SYMBOL_NAME = 4096  # bytes

_TYPE_REFUSALS = {
    1: "is an object file that was not linked: link it with the guests' linker script",
    3: "is position-independent (ET_DYN), and nobody here would relocate it: link it with -static -no-pie",
    4: "is a core dump, not a program",
}


@dataclass(frozen=True, slots=True)
class Segment:
    """Bytes to load at a guest physical address (p_paddr), followed by zeros up to memsz bytes.

    Symbols are virtual: nothing here maps them, but an operating system's kernel may be linked where it will map itself.
    """

    addr: int
    data: bytes = field(repr=False)
    memsz: int
    linked_above: int = 0  # p_vaddr - p_paddr

    @property
    def end(self) -> int:
        return self.addr + self.memsz

    @property
    def vaddr(self) -> int:
        """The virtual address it was linked at (p_vaddr). Unlike `addr` it is unchecked: it may wrap, and segments overlap."""
        return self.addr + self.linked_above


@dataclass(frozen=True)
class Image:
    """A loadable guest: segments sorted by address and disjoint, the entry inside one of them."""

    NOT_STATE: ClassVar = ("*",)

    name: str
    entry: int
    segments: tuple[Segment, ...]
    elf: bytes = field(default=b"", repr=False)  # the whole file; a made image has none

    @cached_property
    def symbols(self) -> dict[str, int]:
        """Symbol name -> value; empty when the image was stripped. Raises ImageError when the table is damaged."""
        return {name: values[0] for name, values in self.symbol_values.items()}

    @cached_property
    def symbol_values(self) -> dict[str, tuple[int, ...]]:
        """The same, but a name that is local to several files has a value for each. Raises ImageError as `symbols` does."""
        return _read_symbols(self.elf, self.name) if self.elf else {}


def load_image(source: str | os.PathLike[str] | bytes, name: str | None = None) -> Image:
    """Read and check an ELF file, given by path or as bytes; `name` defaults to the file's stem.

    Raises ImageError with one line that says what is wrong, whatever the bytes are.
    """
    if isinstance(source, bytes):
        label = _shown(name or "image")
        elf = source
    else:
        label = _shown(os.fspath(source))
        elf = _read_file(source, label)
    entry, headers = _check_headers(elf, label)
    segments = _check_segments(elf, headers, label)
    if not any(s.addr <= entry < s.end for s in segments):
        raise ImageError(
            f"{label}: its entry point {entry:#x} is in none of its segments: set ENTRY in the linker script"
        )
    stem = name if name is not None else "image" if isinstance(source, bytes) else Path(source).stem
    return Image(stem, entry, segments, elf)


def is_elf(data: bytes) -> bool:
    return data[: len(ELF_MAGIC)] == ELF_MAGIC


def read_binary(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a file that may be anything but empty. Raises ImageError."""
    label = _shown(os.fspath(path))
    data = _read_file(path, label, any_kind=True)
    if not data:
        raise ImageError(f"{label}: is empty")
    return data


def check_fits(image: Image, ram_base: int, ram_size: int, whose: str = "the VM") -> None:
    """Raise ImageError when a segment lies outside [ram_base, ram_base + ram_size)."""
    ram_end = ram_base + ram_size
    for segment in image.segments:
        if segment.addr < ram_base:
            raise ImageError(
                f"{_shown(image.name)}: its segment {segment.addr:#x}..{segment.end:#x} begins below {whose}'s memory, "
                f"{ram_base:#x}..{ram_end:#x}: link it higher"
            )
        if segment.end > ram_end:
            raise ImageError(
                f"{_shown(image.name)}: its segment {segment.addr:#x}..{segment.end:#x} ends outside {whose}'s memory, "
                f"{ram_base:#x}..{ram_end:#x}: give {whose} more memory"
            )


def _read_file(path: str | os.PathLike[str], label: str, *, any_kind: bool = False) -> bytes:
    try:
        mode = os.stat(path).st_mode
        if stat.S_ISDIR(mode):
            raise ImageError(f"{label}: is a directory, not a guest image: name a file in it")
        if not stat.S_ISREG(mode):
            raise ImageError(f"{label}: is not a regular file")
        with open(path, "rb") as file:
            magic = file.read(len(ELF_MAGIC))
            if magic and not ELF_MAGIC.startswith(magic) and not any_kind:
                raise ImageError(f"{label}: is not an ELF file")  # without reading the rest of, say, a disk image
            return magic + file.read()
    except FileNotFoundError:
        raise ImageError(f"{label}: there is no such file") from None
    except (OSError, ValueError, MemoryError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
        raise ImageError(f"{label}: cannot be read: {reason}") from None


@dataclass(frozen=True, slots=True)
class _Load:
    """A PT_LOAD program header."""

    offset: int
    vaddr: int
    paddr: int
    filesz: int
    memsz: int


def _check_headers(elf: bytes, label: str) -> tuple[int, list[_Load]]:
    """The entry and the PT_LOAD headers of a 64-bit little-endian RISC-V executable."""
    if not elf:
        raise ImageError(f"{label}: is empty")
    if elf[:4] != ELF_MAGIC:
        raise ImageError(f"{label}: is not an ELF file")
    if len(elf) <= EI_DATA:
        raise ImageError(f"{label}: is truncated: it ends inside the ELF header")
    if elf[EI_CLASS] == ELFCLASS32:
        raise ImageError(f"{label}: is a 32-bit ELF: guests are 64-bit RISC-V, build it for rv64")
    if elf[EI_CLASS] != ELFCLASS64:
        raise ImageError(f"{label}: is damaged: ELF class {elf[EI_CLASS]} does not exist")
    if elf[EI_DATA] == ELFDATA2MSB:
        raise ImageError(f"{label}: is a big-endian ELF: guests are little-endian")
    if elf[EI_DATA] != ELFDATA2LSB:
        raise ImageError(f"{label}: is damaged: ELF data encoding {elf[EI_DATA]} does not exist")
    if len(elf) < EHDR.size:
        raise ImageError(f"{label}: is truncated: it ends inside the ELF header")
    _, e_type, machine, _, entry, phoff, _, _, _, phentsize, phnum, _, _, _ = EHDR.unpack_from(elf)
    if machine != EM_RISCV:
        raise ImageError(f"{label}: is for {_machine_name(machine)}, not for RISC-V")
    if e_type != ET_EXEC:
        raise ImageError(f"{label}: {_TYPE_REFUSALS.get(e_type, f'is not an executable (ELF type {e_type})')}")
    if phnum == PN_XNUM:
        raise ImageError(f"{label}: has more than {PN_XNUM - 1} program headers")
    if phnum and phentsize != PHDR.size:
        raise ImageError(f"{label}: is damaged: its program headers are {phentsize} bytes long, not {PHDR.size}")
    if phoff + phnum * PHDR.size > len(elf):
        raise ImageError(f"{label}: is truncated: it ends before its program headers do")
    loads = []
    for index in range(phnum):
        p_type, _, offset, vaddr, paddr, filesz, memsz, _ = PHDR.unpack_from(elf, phoff + index * PHDR.size)
        if p_type == PT_LOAD and memsz | filesz:
            loads.append(_Load(offset, vaddr, paddr, filesz, memsz))
    if not loads:
        raise ImageError(f"{label}: has nothing to load (no PT_LOAD segment)")
    return entry, loads


def _check_segments(elf: bytes, loads: list[_Load], label: str) -> tuple[Segment, ...]:
    for load in loads:
        where = f"its segment at {load.paddr:#x}"
        if load.offset + load.filesz > len(elf):
            raise ImageError(f"{label}: is truncated: it ends before the bytes of {where} do")
        if load.filesz > load.memsz:
            raise ImageError(f"{label}: is damaged: {where} has more bytes in the file than in memory")
        if load.paddr + load.memsz > 1 << 64:
            raise ImageError(f"{label}: is damaged: {where} wraps around the end of the address space")
    loads.sort(key=lambda load: load.paddr)
    for low, high in pairwise(loads):
        if low.paddr + low.memsz > high.paddr:
            raise ImageError(f"{label}: its segments at {low.paddr:#x} and {high.paddr:#x} overlap")
    # many headers that name the same bytes of the file would multiply a small file into a huge image
    if sum(load.filesz for load in loads) > len(elf):
        raise ImageError(f"{label}: is damaged: its segments hold more bytes than the file has")
    return tuple(
        Segment(load.paddr, elf[load.offset : load.offset + load.filesz], load.memsz, load.vaddr - load.paddr) for load in loads
    )


def _read_symbols(elf: bytes, name: str) -> dict[str, tuple[int, ...]]:
    sections = _sections(elf, name)
    symbols: dict[str, tuple[int, ...]] = {}
    for section in sections:
        if section.kind != SHT_SYMTAB:
            continue
        if section.link >= len(sections):
            raise ImageError(f"{_shown(name)}: its symbol table is damaged")
        strings = sections[section.link]
        if section.end > len(elf) or section.size % SYM.size or strings.end > len(elf):
            raise ImageError(f"{_shown(name)}: its symbol table is damaged")
        table = memoryview(elf)[section.offset : section.end]
        _collect_symbols(table, elf, strings.offset, strings.end, symbols)
    return symbols


@dataclass(frozen=True, slots=True)
class _Section:
    """A section header."""

    kind: int
    offset: int
    size: int
    link: int

    @property
    def end(self) -> int:
        return self.offset + self.size


def _sections(elf: bytes, name: str) -> list[_Section]:
    """The section headers; none where there are none."""
    header = EHDR.unpack_from(elf)
    shoff, shentsize, shnum = header[6], header[11], header[12]
    if shoff == 0:
        return []
    if shentsize != SHDR.size or shoff + SHDR.size > len(elf):
        raise ImageError(f"{_shown(name)}: its section headers are damaged")
    if shnum == 0:  # more than fit into the field: the first header knows
        shnum = SHDR.unpack_from(elf, shoff)[5]
    if shoff + shnum * SHDR.size > len(elf):
        raise ImageError(f"{_shown(name)}: its section headers are damaged")
    found = []
    for _, kind, _, _, offset, size, link, _, _, _ in SHDR.iter_unpack(elf[shoff : shoff + shnum * SHDR.size]):
        found.append(_Section(kind, offset, size, link))
    return found


def _collect_symbols(table: memoryview, elf: bytes, strings: int, strings_end: int, into: dict[str, tuple[int, ...]]) -> None:
    """Add the named, defined symbols of a table; a global symbol hides a local one of the same name."""
    local: dict[str, dict[int, None]] = {}
    for name_offset, info, _, section, value, _ in SYM.iter_unpack(table):
        if section == SHN_UNDEF or info & 0xF in (STT_SECTION, STT_FILE):
            continue
        start = strings + name_offset
        end = elf.find(b"\0", start, min(strings_end, start + MAX_SYMBOL_NAME))
        if end <= start:
            continue  # no name, or a damaged one
        name = elf[start:end].decode("utf-8", "backslashreplace")
        if name[0] != "$":  # mapping symbols ($x, $d) say what the bytes are, not where something is
            if info >> 4 == STB_LOCAL:
                local.setdefault(name, {})[value] = None
            else:
                into.setdefault(name, (value,))
    for name, values in local.items():
        into.setdefault(name, tuple(values))


def _machine_name(machine: int) -> str:
    """A name for e_machine: "x86_64", or its number."""
    from elftools.elf.enums import ENUM_E_MACHINE

    for name, number in ENUM_E_MACHINE.items():
        if number == machine and isinstance(name, str) and name.startswith("EM_"):
            return name.removeprefix("EM_").lower()
    return f"machine {machine}"


def _shown(text: str) -> str:
    """A path or name as one printable line."""
    return text if text.isprintable() else repr(text)[1:-1]
