"""`ISA`: every row of the machine, in one registry. Importing it costs milliseconds; nothing here needs numba."""

from __future__ import annotations

from rvhv.cpu import bitmanip, cache_blocks, causes, csrs, hints, rv64a, rv64c, rv64fd, rv64i, rv64m, system, triggers
from rvhv.hext import causes as hext_causes
from rvhv.hext import csrs as hext_csrs
from rvhv.hext import insns as hext_insns
from rvhv.isa.rows import Registry


def compose() -> Registry:
    """A new registry with every row. Source: the modules it is composed of."""
    isa = Registry()
    for room in (rv64i, rv64m, rv64a, rv64fd, rv64c, hints, bitmanip, cache_blocks, system, hext_insns):
        room.add_rows(isa)
    for room in (csrs, triggers, hext_csrs, causes, hext_causes):
        room.add_rows(isa)
    return isa


ISA = compose()
