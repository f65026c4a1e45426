"""SBI Base Extension: which SBI this is and what it has."""

from __future__ import annotations

from rvhv.sbi.table import SUCCESS, Extension, SbiRet, Supervisor

SPEC_VERSION = 3 << 24 | 0  # 3.0: major in bits 30:24, minor in 23:0
IMPL_ID = 0x7276_6876  # "rvhv" in ASCII; the specification assigns small numbers and has none for rvhv
IMPL_VERSION = 1

EXTENSION = Extension(0x10, "BASE")
function = EXTENSION.function


@function(0)
def get_spec_version(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, SPEC_VERSION


@function(1)
def get_impl_id(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, IMPL_ID


@function(2)
def get_impl_version(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, IMPL_VERSION


@function(3)
def probe_extension(caller: Supervisor, extension_id: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, int(extension_id in caller.sbi)


@function(4)
def get_mvendorid(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, 0


@function(5)
def get_marchid(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, 0


@function(6)
def get_mimpid(caller: Supervisor, a0: int, a1: int, a2: int) -> SbiRet:
    return SUCCESS, 0
