"""The two legacy SBI calls old guests still print and read with; they return in a0 alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv.sbi.table import ERR_FAILED, SUCCESS, SbiRet, legacy

if TYPE_CHECKING:
    from rvhv.hv.vm import VM


@legacy(0x01, "console putchar")
def console_putchar(vm: VM, ch: int, a1: int, a2: int) -> SbiRet:
    vm.console.write(bytes((ch & 0xFF,)))
    return SUCCESS, None


@legacy(0x02, "console getchar")
def console_getchar(vm: VM, a0: int, a1: int, a2: int) -> SbiRet:
    data = vm.console.read(1)
    return (data[0] if data else ERR_FAILED), None
