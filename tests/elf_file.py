"""A 64-bit RISC-V executable, byte by byte: segments and absolute symbols."""

from __future__ import annotations

import struct

HEADER, PROGRAM_HEADER = 64, 56
ABSOLUTE = 0xFFF1


def elf(segments: dict[int, bytes], entry: int, symbols: dict[str, int], linked: dict[int, int] | None = None) -> bytes:
    """`segments` are bytes by physical address, `linked` virtual addresses by it where they differ; each symbol is global and has
    8 bytes."""
    names = b"\0" + b"".join(name.encode() + b"\0" for name in symbols)
    section_names = b"\0.symtab\0.strtab\0.shstrtab\0"
    symtab = bytes(24) + b"".join(
        struct.pack("<IBBHQQ", names.index(b"\0" + name.encode() + b"\0") + 1, 0x10, 0, ABSOLUTE, value, 8)
        for name, value in symbols.items()
    )
    at = HEADER + PROGRAM_HEADER * len(segments)
    headers, contents = b"", b""
    for address, data in segments.items():
        virtual = (linked or {}).get(address, address)
        headers += struct.pack("<IIQQQQQQ", 1, 5, at + len(contents), virtual, address, len(data), len(data), 8)
        contents += data
    symtab_at = at + len(contents)
    names_at = symtab_at + len(symtab)
    section_names_at = names_at + len(names)
    sections = bytes(64)
    sections += struct.pack("<IIQQQQIIQQ", 1, 2, 0, 0, symtab_at, len(symtab), 2, 1, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 9, 3, 0, 0, names_at, len(names), 0, 0, 1, 0)
    sections += struct.pack("<IIQQQQIIQQ", 17, 3, 0, 0, section_names_at, len(section_names), 0, 0, 1, 0)
    identity = b"\x7fELF\x02\x01\x01" + bytes(9)
    header = identity + struct.pack(
        "<HHIQQQIHHHHHH", 2, 243, 1, entry, HEADER, section_names_at + len(section_names), 0, HEADER, PROGRAM_HEADER,
        len(segments), 64, 4, 3,
    )  # fmt: skip
    return header + headers + contents + symtab + names + section_names + sections
