"""CSRs of the H extension and the VS-mode copies (Privileged ISA, "Hypervisor and Virtual Supervisor CSRs"; Smstateen).

The vs* CSRs are what V=1 reaches under the numbers of the s* CSRs: the `vs` of those rows names them.
"""

from __future__ import annotations

from rvhv.cpu.csrs import (
    ATP,
    CAUSE,
    COUNTEREN,
    ENVCFG,
    ENVCFG_BELOW_M,
    EPC,
    HS_INTERRUPTS,
    S_INTERRUPTS,
    SD_FIELD,
    SE,
    STATEEN,
    STATEEN_ENVCFG,
    STATUS_S,
    TVEC,
    VS_INTERRUPTS,
    VSSIP,
    bit,
    interrupt_fields,
    is_translation_mode,
    satp_write,
    stateen_guards,
    timer_guards,
    value,
    with_sd,
)
from rvhv.isa.expr import MASK64, E, const, eq, leaf, ltu, select
from rvhv.isa.rows import Registry, bits, write_fields

HEDELEG_WRITABLE = sum(1 << c for c in (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 18, 19))
GEILEN = 8  # guest external interrupt lines of a hart
HGEIE_WRITABLE = (1 << GEILEN + 1) - 2
HGATP_VMID = ((1 << 14) - 1) << 44
HGATP_PPN = ((1 << 44) - 1) & ~3  # the root is 16 KiB: its two low bits are always zero


def _hgatp_write() -> E:
    """norm: an unsupported MODE is not written, the other fields are (unlike satp)."""
    legal = select(is_translation_mode(value >> 60), value, leaf("hgatp")) & (15 << 60)
    return legal | (value & (HGATP_VMID | HGATP_PPN))


def _vgein(new: E, old: E) -> E:
    """WLRL: a number of no line leaves the field as it was."""
    return select(ltu(GEILEN, new), old, new)


def _keep(slot: str, mask: E) -> E:
    return (leaf(slot) & (mask ^ const(-1))) | (value & mask)


def add_rows(isa: Registry) -> None:
    csr = isa.csr

    csr("hstatus", 0x600, bits("GVA", 6), bits("SPV", 7), bits("SPVP", 8), bits("HU", 9), bits("VGEIN", 17, 12, warl=_vgein),
        bits("VTVM", 20), bits("VTW", 21), bits("VTSR", 22), bits("VSXL", 33, 32, fixed=2))  # fmt: skip
    csr("hedeleg", 0x602, writes=(("hedeleg", value & HEDELEG_WRITABLE),), plain=True)
    csr("hideleg", 0x603, *interrupt_fields(VS_INTERRUPTS, ""), writes=(("hideleg", value & VS_INTERRUPTS),))
    csr("hie", 0x604, *interrupt_fields(HS_INTERRUPTS, "E"), read=leaf("mie") & HS_INTERRUPTS,
        writes=(("mie", _keep("mie", const(HS_INTERRUPTS))),))  # fmt: skip
    csr("htimedelta", 0x605)
    csr("hcounteren", 0x606, *COUNTEREN, plain=True)
    csr("hgeie", 0x607, writes=(("hgeie", value & HGEIE_WRITABLE),))
    # norm: STCE, PBMTE and ADUE are read-only zero while menvcfg's are; norm:cbxe_unaffected: the CB* fields are not
    there = leaf("menvcfg") | (sum(f.mask for f in ENVCFG_BELOW_M) ^ MASK64)
    fields = (*ENVCFG, *ENVCFG_BELOW_M)
    csr("henvcfg", 0x60A, *fields, read=leaf("henvcfg") & there,
        writes=(("henvcfg", write_fields(fields, _keep("henvcfg", there), leaf("henvcfg"))),),
        guards=stateen_guards(0, STATEEN_ENVCFG)[:1])  # fmt: skip
    for n, defined in enumerate(STATEEN):
        # norm:mstateen_lower_priv_roz: read-only zero while mstateen's bit is zero
        there = leaf(f"mstateen{n}") & sum(f.mask for f in defined)
        csr(f"hstateen{n}", 0x60C + n, *defined, read=leaf(f"hstateen{n}") & there,
            writes=((f"hstateen{n}", _keep(f"hstateen{n}", there)),), guards=stateen_guards(n, SE)[:1], plain=True)  # fmt: skip
    csr("htval", 0x643, plain=True)
    csr("hip", 0x644, *interrupt_fields(HS_INTERRUPTS, "P"), read=leaf("pending") & HS_INTERRUPTS,
        writes=(("hvip", _keep("hvip", const(VSSIP))),))  # fmt: skip
    csr("hvip", 0x645, *interrupt_fields(VS_INTERRUPTS, "P"), writes=(("hvip", value & VS_INTERRUPTS),))
    csr("htinst", 0x64A, plain=True)
    csr("hgatp", 0x680, bits("MODE", 63, 60), bits("VMID", 57, 44), bits("PPN", 43, 0), writes=(("hgatp", _hgatp_write()),),
        guards=((eq(leaf("v"), 0) & eq(leaf("prv"), 1) & bit("mstatus", 20), "illegal"),))  # fmt: skip
    csr("hgeip", 0xE12)

    fixed = sum(f.fixed << f.lo for f in STATUS_S if f.fixed)
    csr("vsstatus", 0x200, *STATUS_S, SD_FIELD, read=with_sd(leaf("vsstatus") | fixed),
        writes=(("vsstatus", write_fields(STATUS_S, value, leaf("vsstatus"))),))  # fmt: skip
    vs_view = leaf("hideleg") & VS_INTERRUPTS
    csr("vsie", 0x204, *interrupt_fields(S_INTERRUPTS, "E"), read=(leaf("mie") & vs_view) >> 1,
        writes=(("mie", (leaf("mie") & (vs_view ^ const(-1))) | ((value << 1) & vs_view)),))  # fmt: skip
    csr("vstvec", 0x205, *TVEC, plain=True)
    csr("vsscratch", 0x240, plain=True)
    csr("vsepc", 0x241, *EPC, plain=True)
    csr("vscause", 0x242, *CAUSE, plain=True)
    csr("vstval", 0x243, plain=True)
    vssip = leaf("hideleg") & VSSIP
    csr("vsip", 0x244, *interrupt_fields(S_INTERRUPTS, "P"), read=(leaf("pending") & vs_view) >> 1,
        writes=(("hvip", (leaf("hvip") & (vssip ^ const(-1))) | ((value << 1) & vssip)),))  # fmt: skip
    csr("vstimecmp", 0x24D, guards=timer_guards())
    csr("vsatp", 0x280, *ATP, writes=(("vsatp", satp_write("vsatp")),))
