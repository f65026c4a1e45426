"""Tests in the manner of riscv-tests, written here: assembled, and made ELF files with symbols and DWARF line tables."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from rvhv.core.registry import ISA
from rvhv.isa.render.asm import Assembler
from rvhv.machine.image import EHDR, PHDR, SHDR, SYM

BASE = 0x8000_0000
TOHOST = BASE + 0x1000  # 64 bytes behind it: fromhost
ASM = Assembler(ISA)

# Cases as the suite's macros make them: a label, the number in gp. `{body}` jumps to `fail` or falls through.
CASES = """
begin_signature:
test_2:
    li gp, 2
    li a0, 40
    addi a0, a0, 2
    li a1, 42
    bne a0, a1, fail
test_3:
    li gp, 3
    {body}
    li a0, 1
    j tell
fail:
    slli a0, gp, 1
    ori a0, a0, 1
tell:
    la t0, tohost
    sd a0, 0(t0)
forever:
    j forever
"""
PASSES, FAILS = CASES.format(body="nop"), CASES.format(body="j fail")

TRAPS = """
begin_signature:
    la t0, other_exception
    csrw mtvec, t0
    li gp, 0
test_2:
    li gp, 2
    .word 0
other_exception:
    ori gp, gp, 1337
    la t0, tohost
    sd gp, 0(t0)
forever:
    j forever
"""
# As many traps a step as a handler can make that returns behind what trapped
CALLS = """
begin_signature:
    la t0, handler
    csrw mtvec, t0
    li s0, 100000
again:
    ecall
    addi s0, s0, -1
    bne s0, zero, again
    li a0, 1
    la t0, tohost
    sd a0, 0(t0)
forever:
    j forever
    .balign 4
handler:
    csrr t1, mepc
    addi t1, t1, 4
    csrw mepc, t1
    mret
"""
ENDLESS = "forever:\n    j forever"
INTO_NOTHING = "li t0, 0x1000\n    jr t0"
TRAPPING_HANDLER = """
    la t0, handler
    csrw mtvec, t0
    .balign 4
handler:
    li a0, 841
    sd ra, 8(zero)
"""
WAITS = "again:\n    wfi\n    j again"

# Like the benchmarks: prints by the system-call proxy's write, then its exit code
PRINTS = """
    la a0, magic
    li a1, 64
    sd a1, 0(a0)
    li a1, 1
    sd a1, 8(a0)
    la a1, text
    sd a1, 16(a0)
    li a1, {length}
    sd a1, 24(a0)
    la t0, tohost
    sd a0, 0(t0)
answered:
    la t1, fromhost
    ld t2, 0(t1)
    beq t2, zero, answered
    sd zero, 0(t1)
    li a0, {told}
    sd a0, 0(t0)
forever:
    j forever
    .balign 64
magic:
    .zero 64
text:
    .ascii "{text}"
"""


def prints(text: str, code: int) -> str:
    return PRINTS.format(text=text.encode("unicode_escape").decode(), length=len(text), told=code << 1 | 1)


def elf(source: str, *, dwarf: int | None = None, hidden: Sequence[str] = (), file: str = "add.S") -> bytes:
    """An executable of `source` at BASE. `dwarf`: the version of a line table in which every label of a case begins a line, test
    n at line 10 * n; `hidden` are symbols that it does not tell."""
    image = ASM.image(source, BASE, {"tohost": TOHOST, "fromhost": TOHOST + 64})
    symbols = {name: value for name, value in image.symbols.items() if name not in hidden}
    body = image.code.ljust(TOHOST - BASE, b"\0") + bytes(128)
    sections: list[tuple[str, int, int, bytes, int]] = [("", 0, 0, b"", 0)]  # name, type, link, data, size of an entry
    if dwarf is not None:
        cases = sorted((value, int(name[5:])) for name, value in symbols.items() if name.startswith("test_"))
        end = BASE + len(image.code)
        sections += [
            (".debug_abbrev", 1, 0, bytes((1, 0x11, 0, 0x10, 0x17, 0, 0, 0)), 0),  # a unit: its DW_AT_stmt_list
            (".debug_info", 1, 0, struct.pack("<IHIBBI", 12, 4, 0, 8, 1, 0), 0),
            (".debug_line", 1, 0, _lines(cases, end, dwarf, file.encode()), 0),
        ]
    strings, table = b"\0", bytes(SYM.size)
    for name, value in symbols.items():
        table += SYM.pack(len(strings), 0x10, 0, 1, value, 0)
        strings += name.encode() + b"\0"
    sections += [(".symtab", 2, len(sections) + 1, table, SYM.size), (".strtab", 3, 0, strings, 0)]
    names = b"".join(name.encode() + b"\0" for name, *_ in sections) + b".shstrtab\0"
    sections.append((".shstrtab", 3, 0, names, 0))
    at = EHDR.size + PHDR.size
    whole = PHDR.pack(1, 7, at, BASE, BASE, len(body), len(body), 0x1000) + body
    headers, name_at = b"", 0
    for name, kind, link, data, entry_size in sections:
        headers += SHDR.pack(name_at, kind, 0, 0, EHDR.size + len(whole), len(data), link, 0, 1, entry_size)
        whole += data
        name_at += len(name) + 1
    ident = b"\x7fELF\2\1\1" + bytes(9)
    last = len(sections) - 1
    header = EHDR.pack(ident, 2, 243, 1, BASE, EHDR.size, EHDR.size + len(whole), 0, 64, PHDR.size, 1, 64, last + 1, last)
    return header + whole + headers


def _lines(cases: Sequence[tuple[int, int]], end: int, version: int, file: bytes) -> bytes:
    """A .debug_line section: each case's (address, number) at line 10 * number of rv64ui/`file`."""
    rows, line = b"", 1
    for address, number in cases:
        rows += b"\0\x09\2" + address.to_bytes(8, "little") + b"\3" + _signed(10 * number - line) + b"\1"
        line = 10 * number
    rows += b"\0\x09\2" + end.to_bytes(8, "little") + b"\0\1\1"
    common = struct.pack("<BBBbBB12B", 1, 1, 1, -5, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1)
    if version >= 5:
        folders = bytes((1, 1, 8, 2)) + b"/built/here\0rv64ui\0"
        files = bytes((2, 1, 8, 2, 15, 2)) + b"main.S\0\0" + file + b"\0\1"
        rest, first = folders + files, struct.pack("<HBB", version, 8, 0)
    else:
        rest, first = b"rv64ui\0\0" + file + b"\0\1\0\0\0", struct.pack("<H", version)
    unit = first + struct.pack("<I", len(common) + len(rest)) + common + rest + rows
    return struct.pack("<I", len(unit)) + unit


def _signed(value: int) -> bytes:
    """SLEB128."""
    out = b""
    while True:
        byte, value = value & 0x7F, value >> 7
        if value == -(byte >> 6):
            return out + bytes((byte,))
        out += bytes((byte | 0x80,))
