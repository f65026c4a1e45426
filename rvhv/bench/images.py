"""The benchmark programs' ELF files with their words set: the mode they run in, how long, and what (bench/runtime/start.S)."""

from __future__ import annotations

import io
from enum import IntEnum
from typing import Any

from rvhv.images import BENCHMARKS, image_path

PREFIX, MICRO = "bench-", "micro"
PROGRAMS = tuple(name.removeprefix(PREFIX) for name in BENCHMARKS if name != PREFIX + MICRO)
WORD_BYTES = 8


class Mode(IntEnum):
    """Where a program drops to: page tables map RAM to itself in pages of 4 KiB."""

    M = 0
    S = 1  # Sv39
    VS = 2  # Sv39 over Sv39x4


class Test(IntEnum):
    """What `bench-micro` does OPERATIONS of in a round; scale is its number of rounds."""

    NOPS = 0
    ECALLS = 1
    SFENCES = 2
    HFENCES = 3
    HITS = 4
    MISSES = 5
    STORES = 6
    PTE_WRITES = 7


OPERATIONS = 100_000


def program(name: str, mode: Mode, scale: int, test: Test = Test.NOPS) -> bytes:
    """The ELF file of a program that will run in `mode`; 100 is the usual scale, and 1 the least."""
    from elftools.elf.elffile import ELFFile

    data = bytearray(image_path(PREFIX + name).read_bytes())
    elf = ELFFile(io.BytesIO(bytes(data)))
    symbols: Any = elf.get_section_by_name(".symtab")
    for symbol, value in (("bench_mode", mode), ("bench_scale", scale), ("bench_test", test)):
        (entry,) = symbols.get_symbol_by_name(symbol)
        (offset,) = elf.address_offsets(entry["st_value"], WORD_BYTES)
        data[offset : offset + WORD_BYTES] = int(value).to_bytes(WORD_BYTES, "little")
    return bytes(data)
