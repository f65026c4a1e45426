"""SBI Debug Console Extension: text to and from the VM's console, by guest physical address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv.sbi.table import ERR_INVALID_PARAM, SUCCESS, SbiRet, extension

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MOST_BYTES = 4096  # moved by one call: the specification lets us do a part, and no guest can keep the host busy

function = extension(0x4442_434E, "DBCN")


@function(0)
def console_write(vm: VM, num_bytes: int, base_addr_lo: int, base_addr_hi: int) -> SbiRet:
    if base_addr_hi or not vm.ram.covers(base_addr_lo, num_bytes):
        return ERR_INVALID_PARAM, 0
    n = min(num_bytes, MOST_BYTES)
    vm.console.write(vm.ram.read(base_addr_lo, n))
    return SUCCESS, n


@function(1)
def console_read(vm: VM, num_bytes: int, base_addr_lo: int, base_addr_hi: int) -> SbiRet:
    if base_addr_hi or not vm.ram.covers(base_addr_lo, num_bytes):
        return ERR_INVALID_PARAM, 0
    data = vm.console.read(min(num_bytes, MOST_BYTES))
    vm.ram.write(base_addr_lo, data)
    return SUCCESS, len(data)


@function(2)
def console_write_byte(vm: VM, byte: int, a1: int, a2: int) -> SbiRet:
    vm.console.write(bytes((byte & 0xFF,)))
    return SUCCESS, 0
