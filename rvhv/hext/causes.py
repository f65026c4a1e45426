"""Trap causes that the H extension adds (Privileged ISA, "H" Extension, "Trap Cause Codes")."""

from __future__ import annotations

from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    isa.cause(10, "ecall_vs", "environment call from VS-mode")
    isa.cause(20, "instruction_guest_page_fault", "instruction guest-page fault", tval="gva", guest_page_fault=True)
    isa.cause(21, "load_guest_page_fault", "load guest-page fault", tval="gva", guest_page_fault=True)
    isa.cause(22, "virtual_instruction", "virtual instruction", tval="insn")
    isa.cause(23, "store_guest_page_fault", "store/AMO guest-page fault", tval="gva", guest_page_fault=True)

    for code, name, text in (
        (2, "virtual_supervisor_software_interrupt", "virtual supervisor software interrupt"),
        (6, "virtual_supervisor_timer_interrupt", "virtual supervisor timer interrupt"),
        (10, "virtual_supervisor_external_interrupt", "virtual supervisor external interrupt"),
        (12, "supervisor_guest_external_interrupt", "supervisor guest external interrupt"),
    ):
        isa.cause(code, name, text, interrupt=True)
