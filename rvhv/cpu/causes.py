"""Trap causes of M and S mode (Privileged ISA, "Machine Cause Register")."""

from __future__ import annotations

from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    def exception(code: int, name: str, text: str, tval: str = "zero") -> None:
        isa.cause(code, name, text, tval=tval)

    exception(0, "instruction_address_misaligned", "instruction address misaligned", "gva")
    exception(1, "instruction_access_fault", "instruction access fault", "gva")
    exception(2, "illegal_instruction", "illegal instruction", "insn")
    exception(3, "breakpoint", "breakpoint", "pc")
    exception(4, "load_address_misaligned", "load address misaligned", "gva")
    exception(5, "load_access_fault", "load access fault", "gva")
    exception(6, "store_address_misaligned", "store/AMO address misaligned", "gva")
    exception(7, "store_access_fault", "store/AMO access fault", "gva")
    exception(8, "ecall_u", "environment call from U-mode or VU-mode")
    exception(9, "ecall_s", "environment call from HS-mode")
    exception(11, "ecall_m", "environment call from M-mode")
    exception(12, "instruction_page_fault", "instruction page fault", "gva")
    exception(13, "load_page_fault", "load page fault", "gva")
    exception(15, "store_page_fault", "store/AMO page fault", "gva")

    for code, name, text in (
        (1, "supervisor_software_interrupt", "supervisor software interrupt"),
        (3, "machine_software_interrupt", "machine software interrupt"),
        (5, "supervisor_timer_interrupt", "supervisor timer interrupt"),
        (7, "machine_timer_interrupt", "machine timer interrupt"),
        (9, "supervisor_external_interrupt", "supervisor external interrupt"),
        (11, "machine_external_interrupt", "machine external interrupt"),
    ):
        isa.cause(code, name, text, interrupt=True)
