"""What the hypervisor touches of a hart: slots of `Hart.state`, fields and causes as numbers, taken from the rows."""

from __future__ import annotations

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import S_INTERRUPTS, SGEIP, VS_INTERRUPTS, VSEIP, VSTIP
from rvhv.cpu.state import SLOT, STEPS_PER_TICK

__all__ = ["SGEIP", "STEPS_PER_TICK", "S_INTERRUPTS", "VSEIP", "VSTIP", "VS_INTERRUPTS"]


def field(csr: str, name: str) -> int:
    """The mask of a CSR's field."""
    return next(f.mask for f in ISA.csrs[csr].fields if f.name == name)


def cause(name: str) -> int:
    """The code of an exception."""
    return ISA.causes[name].code


STEPS = SLOT["steps"]
CLOCK = SLOT["clock"]
VM_STEPS = SLOT["vm_steps"]
TRAP_STEPS = SLOT["trap_steps"]
TRAPS_IN_A_ROW = SLOT["traps_in_a_row"]
TRACE_VM = SLOT["trace_vm"]
TRACE_HEAD = SLOT["trace_head"]
HS_HOOK = SLOT["hs_hook"]
CALLS, SLICE_END = SLOT["calls"], SLOT["slice_end"]
PC, PRV, V = SLOT["pc"], SLOT["prv"], SLOT["v"]
SEPC, SCAUSE, STVAL = SLOT["sepc"], SLOT["scause"], SLOT["stval"]
HTVAL, HTINST, HSTATUS, HVIP, HTIMEDELTA = (SLOT[n] for n in ("htval", "htinst", "hstatus", "hvip", "htimedelta"))
VSTVEC, VSTIMECMP, VSCAUSE = (SLOT[n] for n in ("vstvec", "vstimecmp", "vscause"))
X0 = SLOT["x0"]
A0, A1, A2, A6, A7 = (SLOT[f"x{n}"] for n in (10, 11, 12, 16, 17))

SIE, SPIE, SPP = (field("vsstatus", n) for n in ("SIE", "SPIE", "SPP"))  # the same bits in sstatus
SPV, SPVP, VTW, GVA = (field("hstatus", n) for n in ("SPV", "SPVP", "VTW", "GVA"))

INTERRUPT = 1 << 63  # of scause
ECALL_VS = cause("ecall_vs")
FETCH_GUEST_PAGE = cause("instruction_guest_page_fault")
LOAD_GUEST_PAGE = cause("load_guest_page_fault")
STORE_GUEST_PAGE = cause("store_guest_page_fault")
VIRTUAL_INSTRUCTION = cause("virtual_instruction")
ILLEGAL = cause("illegal_instruction")
FETCH_ACCESS, LOAD_ACCESS, STORE_ACCESS = (cause(f"{n}_access_fault") for n in ("instruction", "load", "store"))


def cause_text(scause: int) -> str:
    """What a value of scause (or vscause) means, in the manual's words."""
    interrupt, code = scause >= INTERRUPT, scause & ~INTERRUPT
    for row in ISA.causes.values():
        if row.code == code and row.interrupt == interrupt:
            return row.text
    return f"{'interrupt' if interrupt else 'exception'} {code}"
