"""The codes of the H extension's trap causes, from their rows, for njit code."""

from __future__ import annotations

from rvhv.cpu.trap import cause_code
from rvhv.hext import causes
from rvhv.isa.rows import Registry

_rows = Registry()
causes.add_rows(_rows)

CAUSE_ECALL_VS, CAUSE_VIRTUAL = cause_code("ecall_vs", _rows), cause_code("virtual_instruction", _rows)
CAUSE_FETCH_GUEST_PAGE, CAUSE_LOAD_GUEST_PAGE, CAUSE_STORE_GUEST_PAGE = (
    cause_code(f"{access}_guest_page_fault", _rows) for access in ("instruction", "load", "store")
)
