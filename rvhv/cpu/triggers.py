"""CSRs of Sdtrig (RISC-V Debug Specification, "Sdtrig"): four triggers on execution, loads and stores, as mcontrol (type 2) or
mcontrol6 (type 6). What they do when they match is in `rvhv.cpu.stops`.

They compare addresses (match 0 equal, 2 ge, 3 lt, and with mcontrol6 1 NAPOT), any size, before the instruction, and raise a
breakpoint exception (action 0). There is no data comparison, chain or Debug Mode: those fields are zero, and so is textra64.

Of the two solutions to reentrancy (norm: "Native Triggers") this is the first: no trigger fires in M-mode while mstatus.MIE
is 0, nor, where breakpoints are delegated to it, in S- or VS-mode while its SIE is 0. So there is no tcontrol.
"""

from __future__ import annotations

from rvhv.cpu.csrs import value
from rvhv.cpu.state import TRIGGERS
from rvhv.isa.expr import MASK64, E, const, eq, leaf, select
from rvhv.isa.rows import Registry, bits

TYPE_SHIFT = 60
MCONTROL, MCONTROL6, DISABLED = 2, 6, 15
LOAD, STORE, EXECUTE, U_MODE, S_MODE, M_MODE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4, 1 << 6
MATCH_SHIFT = 7
MATCH_EQUAL, MATCH_NAPOT, MATCH_GE, MATCH_LT = range(4)
HIT = 1 << 20  # of mcontrol
HIT0, VU_MODE, VS_MODE = 1 << 22, 1 << 23, 1 << 24  # of mcontrol6
COMMON = LOAD | STORE | EXECUTE | U_MODE | S_MODE | M_MODE | 3 << MATCH_SHIFT
WRITABLE = 15 << TYPE_SHIFT | COMMON | HIT
WRITABLE6 = 15 << TYPE_SHIFT | COMMON | HIT0 | VU_MODE | VS_MODE
VERSION = 1  # of Sdtrig: ratified 1.0
INFO = VERSION << 24 | 1 << DISABLED | 1 << MCONTROL6 | 1 << MCONTROL
RESET = DISABLED << TYPE_SHIFT


def legal_tdata1() -> E:
    """A type that is not supported disables the trigger; of mcontrol, NAPOT (maskmax is 0) becomes equal."""
    kind = value >> TYPE_SHIFT
    no_napot = (value >> 1) | (MASK64 ^ 1 << MATCH_SHIFT)
    mcontrol = select(eq(kind, MCONTROL), value & WRITABLE & no_napot, const(RESET))
    return select(eq(kind, MCONTROL6), value & WRITABLE6, mcontrol)


def legal_tdata2(tdata1: E) -> E:
    """norm: the largest NAPOT range is 2^63 bytes (maskmax6 is 63), so a bit below the highest is zero."""
    napot = eq(tdata1 >> TYPE_SHIFT, MCONTROL6) & eq((tdata1 >> MATCH_SHIFT) & 3, MATCH_NAPOT)
    return value ^ ((napot & eq(value | 1 << 63, MASK64)) << 62)


def add_rows(isa: Registry) -> None:
    csr = isa.csr
    selected = leaf("tselect")

    def of_selected(name: str) -> E:
        *others, found = (leaf(f"{name}_{i}") for i in range(TRIGGERS))
        for i, other in reversed(list(enumerate(others))):
            found = select(eq(selected, i), other, found)
        return found

    def written(name: str, i: int, legal: E) -> tuple[str, E]:
        return f"{name}_{i}", select(eq(selected, i), legal, leaf(f"{name}_{i}"))

    next_epoch = ("stops_epoch", leaf("stops_epoch") + 1)
    csr("tselect", 0x7A0, writes=(("tselect", value & TRIGGERS - 1),), plain=True)
    csr("tdata1", 0x7A1, bits("type", 63, 60), bits("dmode", 59), bits("data", 58, 0), read=of_selected("tdata1"),
        writes=(*(written("tdata1", i, legal_tdata1()) for i in range(TRIGGERS)), next_epoch))  # fmt: skip
    csr("tdata2", 0x7A2, read=of_selected("tdata2"),
        writes=(*(written("tdata2", i, legal_tdata2(leaf(f"tdata1_{i}"))) for i in range(TRIGGERS)), next_epoch))  # fmt: skip
    isa.constant("tdata3", 0x7A3)
    isa.constant("tinfo", 0x7A4, INFO)
