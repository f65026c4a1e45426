"""SBI Debug Console Extension: text to and from the supervisor's console, by physical address."""

from __future__ import annotations

from rvhv.sbi.table import ERR_INVALID_PARAM, SUCCESS, Extension, SbiRet, Supervisor

MOST_BYTES = 4096  # moved by one call: the specification lets us do a part, and no guest can keep the host busy

EXTENSION = Extension(0x4442_434E, "DBCN")
function = EXTENSION.function


@function(0)
def console_write(caller: Supervisor, num_bytes: int, base_addr_lo: int, base_addr_hi: int) -> SbiRet:
    if base_addr_hi or not caller.ram.covers(base_addr_lo, num_bytes):
        return ERR_INVALID_PARAM, 0
    n = min(num_bytes, MOST_BYTES)
    caller.console.write(caller.ram.read(base_addr_lo, n))
    return SUCCESS, n


@function(1)
def console_read(caller: Supervisor, num_bytes: int, base_addr_lo: int, base_addr_hi: int) -> SbiRet:
    if base_addr_hi or not caller.ram.covers(base_addr_lo, num_bytes):
        return ERR_INVALID_PARAM, 0
    data = caller.console.read(min(num_bytes, MOST_BYTES))
    caller.ram.write(base_addr_lo, data)
    return SUCCESS, len(data)


@function(2)
def console_write_byte(caller: Supervisor, byte: int, a1: int, a2: int) -> SbiRet:
    caller.console.write(bytes((byte & 0xFF,)))
    return SUCCESS, 0
