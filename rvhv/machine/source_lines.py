"""Which source line an instruction comes from, and where a line's instructions are, as far as an ELF's DWARF line table says."""

from __future__ import annotations

import posixpath
from bisect import bisect_right
from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
from typing import Any

from rvhv.machine.image import Image

SECTION = b".debug_line"
FILES_FROM_ZERO = 5  # the DWARF version since which file and directory numbers count from 0
IMAGES_KEPT = 16


def source_line(image: Image, address: int) -> str | None:
    """`file:line` of the instruction at a link address; None without a line table, or with a damaged one."""
    found = SourceLines(image).at(address)
    return None if found is None else f"{found[0]}:{found[1]}"


class SourceLines:
    """An image's line table, read when it is first asked and once for all who ask. Addresses are link addresses.

    A file is named as the compiler was given it, from the folder that it ran in (`folder`). An image without a line table, or
    with a damaged one, has no files.
    """

    def __init__(self, image: Image) -> None:
        self._image = image

    @property
    def files(self) -> list[str]:
        """The source files that instructions come from, sorted."""
        return sorted(self._table.lines)

    def folder(self, file: str) -> str | None:
        """The folder in which the compiler ran that was given this file; None where nobody says."""
        return self._table.folders.get(file)

    def at(self, address: int) -> tuple[str, int] | None:
        """File and line of the instruction at an address."""
        block = self.block(address)
        return None if block is None else (block[2], block[3])

    def block(self, address: int) -> tuple[int, int, str, int] | None:
        """The run of addresses around this one that comes from the same line: first, behind the last, file and line."""
        table = self._table
        i = bisect_right(table.starts, address) - 1
        if i < 0 or address >= table.rows[i].end:
            return None
        row = table.rows[i]
        return row.start, row.end, row.file, row.line

    def matching(self, file: str) -> list[str]:
        """The files that a person means: of this path, or ending with it."""
        wanted = posixpath.normpath(file)
        return [known for known in self.files if known == wanted or known.endswith("/" + wanted)]

    def addresses(self, file: str, line: int) -> list[int]:
        """Where statements of a line begin, in every file that `file` matches; sorted. Empty when the line has no code."""
        lines = self._table.lines
        return sorted({at for known in self.matching(file) for at in lines[known].get(line, ())})

    def lines_with_code(self, file: str) -> list[int]:
        """The lines of the files that `file` matches which have code; sorted."""
        lines = self._table.lines
        return sorted({line for known in self.matching(file) for line in lines[known]})

    def statements(self, file: str, line: int) -> list[int]:
        """Where statements of a line of one of `files` begin."""
        return self._table.lines.get(file, {}).get(line, [])

    def line_with_code(self, file: str, line: int) -> int | None:
        """The line itself or the next one behind it that has code; None when there is none."""
        lines = self._table.lines
        return min((known for name in self.matching(file) for known in lines[name] if known >= line), default=None)

    @property
    def _table(self) -> _Table:
        return _table_of(self._image)


@dataclass(frozen=True, slots=True)
class _Row:
    """Neighbouring instructions of one line."""

    start: int
    end: int
    file: str
    line: int


@dataclass
class _Table:
    rows: list[_Row] = field(default_factory=list)  # sorted; none reaches into the next
    starts: list[int] = field(default_factory=list)
    lines: dict[str, dict[int, list[int]]] = field(default_factory=dict)  # where statements of a file's line begin
    folders: dict[str, str] = field(default_factory=dict)


@lru_cache(IMAGES_KEPT)
def _table_of(image: Image) -> _Table:
    if SECTION not in image.elf:
        return _Table()
    from elftools.elf.elffile import ELFFile

    table = _Table()
    try:
        elf = ELFFile(BytesIO(image.elf))
        _read(elf.get_dwarf_info(relocate_dwarf_sections=False), table)
        _drop_outside(table, _ranges(elf))
    except Exception:  # pyelftools lets anything out on damaged sections, assertions included
        return _Table()
    table.rows.sort(key=lambda row: row.start)
    table.starts = [row.start for row in table.rows]
    return table


def _read(dwarf: Any, table: _Table) -> None:
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        folder = unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        names: dict[int, str] = {}
        last: tuple[int, str, int] | None = None  # address, file and line of the row before, in a run of rising addresses
        said = None  # the file and line that the row before began a statement of
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if last is not None and last[0] < state.address:
                _extend(table.rows, *last, state.address)
            if state.end_sequence:
                last = said = None
                continue
            if state.file not in names:
                names[state.file] = name = _file(program.header, state.file)
                table.lines.setdefault(name, {})
                if folder is not None:
                    table.folders.setdefault(name, folder.value.decode("utf-8", "backslashreplace"))
            last = state.address, names[state.file], state.line
            if said != last[1:]:
                said = None
            if state.is_stmt and state.line and said is None:
                said = last[1:]
                table.lines[said[0]].setdefault(state.line, []).append(state.address)


def _ranges(elf: Any) -> list[tuple[int, int]]:
    """First address and the one behind the last of every part that is loaded."""
    loaded = [part.header for part in elf.iter_segments() if part.header.p_type == "PT_LOAD"]
    return [(part.p_vaddr, part.p_vaddr + part.p_memsz) for part in loaded]


def _drop_outside(table: _Table, ranges: list[tuple[int, int]]) -> None:
    """Without what the linker left out: its lines are still there, from address 0 on."""

    def loaded(address: int) -> bool:
        return any(first <= address < end for first, end in ranges)

    table.rows = [row for row in table.rows if loaded(row.start)]
    for file, lines in table.lines.items():
        kept = {line: [at for at in places if loaded(at)] for line, places in lines.items()}
        table.lines[file] = {line: places for line, places in kept.items() if places}
    table.lines = {file: lines for file, lines in table.lines.items() if lines}


def _extend(rows: list[_Row], start: int, file: str, line: int, end: int) -> None:
    """Add a row, or make the last one longer."""
    if rows and rows[-1].end == start and (rows[-1].file, rows[-1].line) == (file, line):
        start = rows.pop().start
    rows.append(_Row(start, end, file, line))


def _file(header: Any, number: int) -> str:
    """The path as the assembler was given it, from the folder that it ran in."""
    first = 0 if header["version"] >= FILES_FROM_ZERO else 1
    entry = header["file_entry"][number - first]
    folder = header["include_directory"][entry.dir_index - first] if entry.dir_index else b""  # 0: that folder itself
    return posixpath.normpath(posixpath.join(folder, entry.name).decode("utf-8", "backslashreplace"))
