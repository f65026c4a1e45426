"""The benchmark programs' ELF files with their words set: the mode they run in, how long, and what (bench/runtime/start.S)."""

from __future__ import annotations

import io
from collections.abc import Mapping
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


class Single(IntEnum):
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


def program(name: str, mode: Mode, scale: int, test: Single = Single.NOPS) -> bytes:
    """The ELF file of a program that will run in `mode`; 100 is the usual scale, and 1 the least."""
    data = image_path(PREFIX + name).read_bytes()
    return with_words(data, {"bench_mode": mode, "bench_scale": scale, "bench_test": test})


def with_words(elf: bytes, words: Mapping[str, int]) -> bytes:
    """An ELF file with other values in the 64-bit words of these symbols."""
    from elftools.elf.elffile import ELFFile

    file = ELFFile(io.BytesIO(elf))
    symbols: Any = file.get_section_by_name(".symtab")
    data = bytearray(elf)
    for symbol, value in words.items():
        (entry,) = symbols.get_symbol_by_name(symbol)
        (offset,) = file.address_offsets(entry["st_value"], WORD_BYTES)
        data[offset : offset + WORD_BYTES] = int(value).to_bytes(WORD_BYTES, "little")
    return bytes(data)
