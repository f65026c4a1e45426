"""What Python can ask the compiled machine for. Nothing here needs numba."""

from __future__ import annotations

from enum import IntEnum


class Op(IntEnum):
    """What Python can ask the compiled code for; arguments a and b as noted."""

    RUN = 0  # a: budget in steps; returns an Exit
    READ_CSR = 1  # a: number
    WRITE_CSR = 2  # a: number, b: value
    SRET = 3  # return from HS-mode
    STORE = 4  # a: spa, b: value; eight bytes inside a frame
    FORGET = 5  # a: spa, b: length in bytes; before Python writes there
    FLUSH = 6  # drop every cache
    WATCH = 7  # a: frame number
    TRANSLATE = 8  # a: gva, b: ACCESS bits; the guest's view (as HLV has it); returns the spa or all ones
    MRET = 9  # return from M-mode
    FIND = 10  # a: address, b: ACCESS bits; the current mode's view; returns the spa, in RAM or not, or all ones
    COVER = 11  # a: frame number, b: lines of it that a region about to be installed was made from
    INSTALL = 12  # a: offset into RAM where the region can be entered, b: its address; its lines are those of the last COVER


class Assist(IntEnum):
    """What a translated region can ask for; arguments a, b and c as noted. Returns 0: done, else: the interpreter must do it."""

    LOAD = 0  # a: gva, b: size
    STORE = 1  # a: gva, b: value, c: size
    ROW = 2  # a: the predecoded word, b: pc, c: npc
