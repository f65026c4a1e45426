"""The context: what Python hands to the compiled machine, as 64-bit words. Buffers are an address and a length each."""

from __future__ import annotations

from enum import IntEnum


class Context(IntEnum):
    STATE = 0
    RAM = 2
    FRAMES = 4
    CODE = 6
    TABLES = 8
    OP = 10  # rvhv.core.ops.Op
    A = 11
    B = 12
    RESULT = 13
    ERROR = 14  # numba's, never set


CONTEXT_LENGTH = len(Context) + 5  # five of them are two words
DOOR = "rvhv_machine"  # the symbol of the compiled machine
ASSIST_DOOR = "rvhv_assist"  # and of what translated regions call
