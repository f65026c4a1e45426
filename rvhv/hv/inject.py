"""Giving a guest an exception: the trap entry to VS-mode that the hart would have made, written by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.hv import registers as r

if TYPE_CHECKING:
    from rvhv.hart import Hart


def exception(hart: Hart, cause: int, tval: int) -> None:
    """The instruction at sepc traps into VS-mode; the next `sret` goes to vstvec (norm:H_trap_vs_csrwrites)."""
    state = hart.state
    vsstatus = state[r.VSSTATUS] & ~(r.SPP | r.SPIE | r.SIE)
    if state[r.HSTATUS] & r.SPVP:
        vsstatus |= r.SPP
    if state[r.VSSTATUS] & r.SIE:
        vsstatus |= r.SPIE
    write = hart.write_csr
    write("vsepc", state[r.SEPC])
    write("vscause", cause)
    write("vstval", tval)
    write("vsstatus", vsstatus)
    write("sepc", state[r.VSTVEC] & ~3)
    write("sstatus", hart.read_csr("sstatus") | r.SPP)  # the handler runs in VS-mode, whoever trapped


def illegal_instruction(hart: Hart) -> None:
    """What a guest gets for an instruction the hypervisor does not emulate: stval already holds its bits."""
    exception(hart, r.ILLEGAL, hart.state[r.STVAL])
