"""SBI System Reset Extension: how a supervisor powers off."""

from __future__ import annotations

from rvhv.sbi.table import ERR_INVALID_PARAM, SUCCESS, Extension, SbiRet, Supervisor

MASK32 = 0xFFFF_FFFF
RESET_TYPES = {0: "powered off", 1: "asked for a cold reboot", 2: "asked for a warm reboot"}
RESET_REASONS = {0: False, 1: True}  # no reason; system failure. Whether the guest failed.

EXTENSION = Extension(0x5352_5354, "SRST")
function = EXTENSION.function


@function(0)
def system_reset(caller: Supervisor, reset_type: int, reset_reason: int, a2: int) -> SbiRet:
    how = RESET_TYPES.get(reset_type & MASK32)  # both are 32 bits wide
    failed = RESET_REASONS.get(reset_reason & MASK32)
    if how is None or failed is None:
        return ERR_INVALID_PARAM, 0
    caller.power_off(f"{how}: system failure" if failed else how, failed, reset_type & MASK32 != 0)
    return SUCCESS, 0
