"""Zicsr, the privileged instructions, Zawrs and Svinval (Privileged ISA, "Machine-Level ISA", "Supervisor-Level ISA", "Svinval").

What they check and do depends on the mode and on many CSR bits: each is a named helper that both tiers share.
"""

from __future__ import annotations

from rvhv.cpu.state import Fence
from rvhv.isa.expr import MASK64, ne
from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    def csr(name, funct3, update, conditional):  # type: ignore[no-untyped-def]
        """`conditional`: a source of x0 (or a zero immediate) does not write at all."""

        def register(m, csr, rs1, rs1_index, rd_index):  # type: ignore[no-untyped-def]
            reads, writes = (1, ne(rs1_index, 0)) if conditional else (ne(rd_index, 0), 1)
            return m.csr(csr, lambda old: update(old, rs1), reads=reads, writes=writes)

        def immediate(m, csr, uimm, rd_index):  # type: ignore[no-untyped-def]
            reads, writes = (1, ne(uimm, 0)) if conditional else (ne(rd_index, 0), 1)
            return m.csr(csr, lambda old: update(old, uimm), reads=reads, writes=writes)

        isa.insn("Zicsr", name, f"csr:12 rs1 0{funct3} rd 1110011", "rd, csr, rs1", register, hot=False)
        isa.insn("Zicsr", name + "i", f"csr:12 uimm:5 1{funct3} rd 1110011", "rd, csr, uimm", immediate, hot=False)

    csr("csrrw", "01", lambda old, new: new, False)
    csr("csrrs", "10", lambda old, new: old | new, True)
    csr("csrrc", "11", lambda old, new: old & (new ^ MASK64), True)

    def system(name, encoding, helper, *args, extension="System"):  # type: ignore[no-untyped-def]
        isa.insn(extension, name, encoding, "", lambda m: m.call(helper, *args), hot=False, privileged=True)

    def fence(name, funct7, kind, extension="System"):  # type: ignore[no-untyped-def]
        isa.insn(
            extension, name, f"{funct7} rs2 rs1 000 00000 1110011", "rs1, rs2",
            lambda m, rs1_index, rs1, rs2_index, rs2: m.call("sfence_vma", kind, rs1_index, rs1, rs2_index, rs2),
            hot=False, privileged=True,
        )  # fmt: skip

    system("mret", "0011000 00010 00000 000 00000 1110011", "mret")
    system("sret", "0001000 00010 00000 000 00000 1110011", "sret")
    system("wfi", "0001000 00101 00000 000 00000 1110011", "wfi")
    # no cache is state: a store to a page table drops what was derived from it, so a fence checks privilege and says in the log
    # what it orders
    fence("sfence.vma", "0001001", Fence.SFENCE_VMA.value)
    fence("sinval.vma", "0001011", Fence.SINVAL_VMA.value, "Svinval")
    for name, rs2, kind in (("w.inval", "00000", Fence.SFENCE_W_INVAL), ("inval.ir", "00001", Fence.SFENCE_INVAL_IR)):
        system(f"sfence.{name}", f"0001100 {rs2} 00000 000 00000 1110011", "sfence_inval", kind.value, extension="Svinval")
    system("wrs.nto", "000000001101 00000 000 00000 1110011", "wrs_nto", extension="Zawrs")
    # norm:Zawrs_stall_terminate: a stall may end at once; the short one ends before anything can trap
    isa.insn("Zawrs", "wrs.sto", "000000011101 00000 000 00000 1110011", "", lambda: None, hot=False)
