"""SBI System Reset Extension: how a guest powers off."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv.sbi.table import ERR_INVALID_PARAM, SbiRet, extension
from rvhv.hv.stopped import GuestStopped

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MASK32 = 0xFFFF_FFFF
RESET_TYPES = {0: "powered off", 1: "asked for a cold reboot", 2: "asked for a warm reboot"}
RESET_REASONS = {0: False, 1: True}  # no reason; system failure. Whether the guest failed.

function = extension(0x5352_5354, "SRST")


@function(0)
def system_reset(vm: VM, reset_type: int, reset_reason: int, a2: int) -> SbiRet:
    how = RESET_TYPES.get(reset_type & MASK32)  # both are 32 bits wide
    failed = RESET_REASONS.get(reset_reason & MASK32)
    if how is None or failed is None:
        return ERR_INVALID_PARAM, 0
    raise GuestStopped(f"{how}: system failure" if failed else how, failed=failed)
