"""SBI Timer Extension: the guest's timer is vstimecmp; Sstc makes VSTIP from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv.sbi.table import SUCCESS, SbiRet, extension

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

function = extension(0x5449_4D45, "TIME")


@function(0)
def set_timer(vm: VM, stime_value: int, a1: int, a2: int) -> SbiRet:
    # VSTIP is the comparison itself, so a time in the future also clears it (norm:hip_vstip_clear)
    vm.hart.write_csr("vstimecmp", stime_value)
    return SUCCESS, 0
