"""Compiling the machine: `python -m rvhv.core.compile FILE` writes it; `rvhv.build` runs that in a process of its own."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

from rvhv.core.assist import make_assist
from rvhv.core.blob import Blob
from rvhv.core.registry import ISA
from rvhv.core.runtime import make_entry
from rvhv.core.source import interpreter_source
from rvhv.cpu.njit import compile_machine
from rvhv.cpu.predecode import build_tables


def build_entry() -> tuple[Any, Any, list[int]]:
    """The njit functions behind the two doors and the decode tables, from the rows."""
    names: dict[str, Any] = {"__name__": "rvhv_interpreter"}
    exec(compile(interpreter_source(ISA), "<interpreter>", "exec"), names)
    entry = make_entry(names["interpret"], names["csr_read"], names["csr_write"])
    return entry, make_assist(names["assist_row"]), build_tables(ISA)


def main(out: Path) -> None:
    entry, assist, tables = build_entry()
    code = compile_machine(entry, assist)
    out.write_bytes(Blob(struct.pack(f"<{len(tables)}Q", *tables), code).pack())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
