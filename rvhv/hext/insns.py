"""Instructions of the H extension (Privileged ISA, "Hypervisor Instructions").

HLV, HLVX and HSV access memory as VS-mode or VU-mode (hstatus.SPVP) would; `hypervisor_access` checks who may execute them.
"""

from __future__ import annotations

from rvhv.cpu.state import Fence
from rvhv.isa.rows import Registry


def add_rows(isa: Registry) -> None:
    def fence(name, funct7, helper, kind, extension="H"):  # type: ignore[no-untyped-def]
        isa.insn(
            extension, name, f"{funct7} rs2 rs1 000 00000 1110011", "rs1, rs2",
            lambda m, rs1_index, rs1, rs2_index, rs2: m.call(helper, kind, rs1_index, rs1, rs2_index, rs2),
            hot=False, privileged=True,
        )  # fmt: skip

    def load(name, funct7, kind, size, signed, via="hlv"):  # type: ignore[no-untyped-def]
        isa.insn(
            "H", name, f"{funct7} {kind} rs1 100 rd 1110011", "rd, (rs1)",
            lambda m, rs1: m.load(rs1, size, signed=signed, via=via), hot=False, privileged=True,
        )  # fmt: skip

    def store(name, funct7, size):  # type: ignore[no-untyped-def]
        isa.insn(
            "H", name, f"{funct7} rs2 rs1 100 00000 1110011", "rs2, (rs1)",
            lambda m, rs1, rs2: m.store(rs1, rs2, size, via="hsv"), hot=False, privileged=True,
        )  # fmt: skip

    fence("hfence.vvma", "0010001", "hfence_vvma", Fence.HFENCE_VVMA.value)
    fence("hfence.gvma", "0110001", "hfence_gvma", Fence.HFENCE_GVMA.value)
    fence("hinval.vvma", "0010011", "hfence_vvma", Fence.HINVAL_VVMA.value, "Svinval")
    fence("hinval.gvma", "0110011", "hfence_gvma", Fence.HINVAL_GVMA.value, "Svinval")
    load("hlv.b", "0110000", "00000", 1, True)
    load("hlv.bu", "0110000", "00001", 1, False)
    load("hlv.h", "0110010", "00000", 2, True)
    load("hlv.hu", "0110010", "00001", 2, False)
    load("hlvx.hu", "0110010", "00011", 2, False, via="hlvx")
    load("hlv.w", "0110100", "00000", 4, True)
    load("hlv.wu", "0110100", "00001", 4, False)
    load("hlvx.wu", "0110100", "00011", 4, False, via="hlvx")
    load("hlv.d", "0110110", "00000", 8, False)
    store("hsv.b", "0110001", 1)
    store("hsv.h", "0110011", 2)
    store("hsv.w", "0110101", 4)
    store("hsv.d", "0110111", 8)
