"""Which source line an instruction comes from, as far as an ELF's DWARF line table says."""

from __future__ import annotations

import posixpath
from io import BytesIO
from typing import Any

from rvhv.machine.image import Image

SECTION = b".debug_line"
FILES_FROM_ZERO = 5  # the DWARF version since which file and directory numbers count from 0


def source_line(image: Image, address: int) -> str | None:
    """`file:line` of the instruction at a link address; None without a line table, or with a damaged one."""
    if SECTION not in image.elf:
        return None
    from elftools.elf.elffile import ELFFile

    try:
        return _find(ELFFile(BytesIO(image.elf)).get_dwarf_info(relocate_dwarf_sections=False), address)
    except Exception:  # pyelftools lets anything out on damaged sections, assertions included
        return None


def _find(dwarf: Any, address: int) -> str | None:
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        last = None  # the row before, in the same run of rising addresses
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if last is not None and last.address <= address < state.address:
                return f"{_file(program.header, last.file)}:{last.line}"
            last = None if state.end_sequence else state
    return None


def _file(header: Any, number: int) -> str:
    """The path as the assembler was given it, from the folder that it ran in."""
    first = 0 if header["version"] >= FILES_FROM_ZERO else 1
    entry = header["file_entry"][number - first]
    folder = header["include_directory"][entry.dir_index - first] if entry.dir_index else b""  # 0: that folder itself
    return posixpath.normpath(posixpath.join(folder, entry.name).decode("utf-8", "backslashreplace"))
