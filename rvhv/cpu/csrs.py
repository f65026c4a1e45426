"""CSRs of U, S and M mode (Privileged ISA, "Control and Status Registers"; Sstc; Zicntr), and of floating point.

A leaf is a slot of the hart's state; `pending` is the whole of mip; `time` (in ticks), `cycle` and `instret` are COUNTED.
"""

from __future__ import annotations

from rvhv.cpu.state import STEPS_PER_TICK
from rvhv.isa.expr import MASK64, E, const, eq, leaf, ltu, node, select
from rvhv.isa.rows import CsrField, Registry, bits, write_fields

MISA = 2 << 62 | sum(1 << (ord(letter) - ord("A")) for letter in "ABCDFHIMSU")

SSIP, MSIP, STIP, MTIP, SEIP, MEIP = 1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 9, 1 << 11
VSSIP, VSTIP, VSEIP, SGEIP = 1 << 2, 1 << 6, 1 << 10, 1 << 12
S_INTERRUPTS = SSIP | STIP | SEIP
VS_INTERRUPTS = VSSIP | VSTIP | VSEIP
HS_INTERRUPTS = VS_INTERRUPTS | SGEIP
M_INTERRUPTS = MSIP | MTIP | MEIP
# bits of mip, mie, mideleg and their S, HS and VS views, by the manual's names without the last letter
INTERRUPT_BITS = {"SSI": 1, "VSSI": 2, "MSI": 3, "STI": 5, "VSTI": 6, "MTI": 7, "SEI": 9, "VSEI": 10, "MEI": 11, "SGEI": 12}
EXCEPTIONS_DELEGABLE = sum(1 << c for c in (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 20, 21, 22, 23))

SV39, SV48, SV57 = 8, 9, 10
TRANSLATION_MODES = (0, SV39, SV48, SV57)  # of satp and vsatp; hgatp's are the x4 variants under the same numbers
STCE, PBMTE, ADUE = 63, 62, 61  # menvcfg and henvcfg
FS, SD = 13, 63  # mstatus and vsstatus
FS_DIRTY = 3 << FS
PMP_ENTRIES = 16
PMP_L, PMP_A, PMP_A_TOR, PMP_DEFINED = 0x80, 3 << 3, 1 << 3, 0x9F  # of a pmpcfg byte
PMP_ADDRESS = (1 << 54) - 1
CY, TM, IR = 0, 1, 2  # bits of the counteren CSRs
SE, STATEEN_ENVCFG = 63, 62  # of mstateen and hstateen; the others control state that is not there

prv, v = leaf("prv"), leaf("v")
value = leaf("value")

# the counters out of steps, which `clock` and `vm_steps` have without those of the chunk
_in_chunk = leaf("chunk") - leaf("left")
COUNTED = {
    "time": node("udiv", leaf("clock") + _in_chunk, STEPS_PER_TICK),
    "cycle": leaf("vm_steps") + _in_chunk + leaf("mcycle"),
    "instret": leaf("vm_steps") + _in_chunk - leaf("trap_steps") + leaf("minstret"),
}


def interrupt_fields(mask: int, suffix: str) -> tuple[CsrField, ...]:
    """The bits of `mask` as fields: suffix "P" pending, "E" enable, "" delegation."""
    return tuple(bits(name + suffix, n) for name, n in INTERRUPT_BITS.items() if mask >> n & 1)


def bit(slot: str, n: int) -> E:
    return (leaf(slot) >> n) & 1


def below_m() -> E:
    return ltu(prv, 3)


def counter_guards(n: int) -> tuple[tuple[E, str], ...]:
    """Who may read counter n below M-mode: mcounteren, then hcounteren when V=1, then scounteren in U-mode."""
    refused_by_s = eq(prv, 0) & eq(bit("scounteren", n), 0)
    return (
        (below_m() & eq(bit("mcounteren", n), 0), "illegal"),
        (v & eq(bit("hcounteren", n), 0), "virtual"),
        (eq(v, 0) & refused_by_s, "illegal"),
        (v & refused_by_s, "virtual"),
    )


def timer_guards() -> tuple[tuple[E, str], ...]:
    """Who may access stimecmp (vstimecmp when V=1): menvcfg.STCE and mcounteren.TM, then henvcfg and hcounteren."""
    refused_by_m = eq(bit("menvcfg", STCE) & bit("mcounteren", TM), 0)
    refused_by_h = eq(bit("henvcfg", STCE) & bit("hcounteren", TM), 0)
    return ((below_m() & refused_by_m, "illegal"), (v & refused_by_h, "virtual"))


def translation_guards() -> tuple[tuple[E, str], ...]:
    """satp under mstatus.TVM and hstatus.VTVM."""
    return (
        (eq(v, 0) & eq(prv, 1) & bit("mstatus", 20), "illegal"),
        (v & eq(prv, 1) & bit("hstatus", 20), "virtual"),
    )


def stateen_guards(n: int, field: int) -> tuple[tuple[E, str], ...]:
    """Who may access what bit `field` of mstateen n, and when V=1 that of hstateen n, controls."""
    return (
        (below_m() & eq(bit(f"mstateen{n}", field), 0), "illegal"),
        (v & eq(bit(f"hstateen{n}", field), 0), "virtual"),
    )


def float_guards() -> tuple[tuple[E, str], ...]:
    """Who may access fcsr: no one while floating point is off."""
    off = eq(leaf("mstatus") & FS_DIRTY, 0) | (v & eq(leaf("vsstatus") & FS_DIRTY, 0))
    return ((off, "illegal"),)


def float_writes(fcsr: E) -> tuple[tuple[str, E], ...]:
    """norm: a write of floating-point state makes FS Dirty, with V=1 that of vsstatus too."""
    vsstatus = leaf("vsstatus")
    return (
        ("fcsr", fcsr),
        ("mstatus", leaf("mstatus") | FS_DIRTY),
        ("vsstatus", select(v, vsstatus | FS_DIRTY, vsstatus)),
    )


def with_sd(status: E) -> E:
    """SD says that FS is Dirty; there is no other extension state."""
    return status | (eq(status & FS_DIRTY, FS_DIRTY) << SD)


def keep_if(*reserved: int):  # type: ignore[no-untyped-def]
    """WARL: a reserved value leaves the field as it was."""

    def rule(new: E, old: E) -> E:
        bad: E = const(0)
        for r in reserved:
            bad = bad | eq(new, r) if bad != const(0) else eq(new, r)
        return select(bad, old, new)

    return rule


def is_translation_mode(mode: E) -> E:
    bare, *paged = (eq(mode, m) for m in TRANSLATION_MODES)
    for one in paged:
        bare = bare | one
    return bare


def satp_write(slot: str) -> E:
    """norm: a write with an unsupported MODE has no effect at all."""
    return select(is_translation_mode(value >> 60), value, leaf(slot))


def counter_while_inhibited(name: str, n: int) -> E:
    """A counter as it reads: mcountinhibit's bit n stops it, and its slot then holds its value."""
    return select(bit("mcountinhibit", n), leaf(name if name.startswith("m") else "m" + name), leaf(name.removeprefix("m")))


def counter_write(name: str, n: int, ahead: int) -> E:
    """The slot for a written value: an offset to what is counted, or the value itself while the counter is stopped."""
    counted = leaf(name.removeprefix("m")) - leaf(name)
    return select(bit("mcountinhibit", n), value, value - counted - ahead)


def counter_switch(name: str, n: int) -> E:
    """The slot of a counter when mcountinhibit is written: stopping puts its value there, starting an offset."""
    now, slot = leaf(name.removeprefix("m")), leaf(name)
    stopped, stops = bit("mcountinhibit", n), (value >> n) & 1
    return select(stops, select(stopped, slot, now), select(stopped, slot - (now - slot), slot))


def pmpcfg_write(slot: str) -> E:
    """Eight entries at once, without a branch: a locked one keeps its byte; norm: R = 0 with W = 1 is reserved, and then
    nothing of the byte is written.
    """
    each = 0x0101_0101_0101_0101
    old, new = leaf(slot), value & PMP_DEFINED * each
    locked, reserved = (old >> 7) & each, (new >> 1) & (new ^ MASK64) & each
    keep = (locked | reserved) * 0xFF
    return (old & keep) | (new & (keep ^ MASK64))


def pmp_config(i: int) -> E:
    """The configuration byte of entry i, shifted down but not masked."""
    return leaf("pmpcfg0" if i < 8 else "pmpcfg2") >> 8 * (i % 8)


def pmpaddr_write(i: int) -> E:
    """norm: locked by its own entry, or by the next one if that is a locked TOR, whose lower bound it is."""
    locked = (pmp_config(i) >> 7) & 1
    if i + 1 < PMP_ENTRIES:
        locked = locked | eq(pmp_config(i + 1) & (PMP_L | PMP_A), PMP_L | PMP_A_TOR)
    keep = const(0) - locked
    return (leaf(f"pmpaddr{i}") & keep) | (value & PMP_ADDRESS & (keep ^ MASK64))


STATUS_S: tuple[CsrField, ...] = (
    bits("SIE", 1), bits("SPIE", 5), bits("SPP", 8), bits("FS", FS + 1, FS), bits("SUM", 18), bits("MXR", 19),
    bits("UXL", 33, 32, fixed=2),
)  # fmt: skip
STATUS_M: tuple[CsrField, ...] = (
    bits("SIE", 1), bits("MIE", 3), bits("SPIE", 5), bits("MPIE", 7), bits("SPP", 8), bits("MPP", 12, 11, warl=keep_if(2)),
    bits("FS", FS + 1, FS), bits("MPRV", 17), bits("SUM", 18), bits("MXR", 19), bits("TVM", 20), bits("TW", 21), bits("TSR", 22),
    bits("UXL", 33, 32, fixed=2), bits("SXL", 35, 34, fixed=2), bits("GVA", 38), bits("MPV", 39),
)  # fmt: skip
SSTATUS_MASK = sum(f.mask for f in STATUS_S)
# SD is computed: nothing writes it
SD_FIELD = bits("SD", SD)
CAUSE = (bits("Interrupt", 63), bits("Code", 62, 0))
ATP = (bits("MODE", 63, 60), bits("ASID", 59, 44), bits("PPN", 43, 0))
FFLAGS = (bits("NV", 4), bits("DZ", 3), bits("OF", 2), bits("UF", 1), bits("NX", 0))
TVEC = (bits("BASE", 63, 2), bits("MODE", 1, 0, warl=keep_if(2, 3)))
EPC = (bits("PC", 63, 1),)
# of menvcfg, senvcfg and henvcfg
ENVCFG = (bits("FIOM", 0), bits("CBIE", 5, 4, warl=keep_if(2)), bits("CBCFE", 6), bits("CBZE", 7))
# of menvcfg and henvcfg: what henvcfg has only while menvcfg has it
ENVCFG_BELOW_M = (bits("ADUE", ADUE), bits("PBMTE", PBMTE), bits("STCE", STCE))
# of mstateen and hstateen, by their number
STATEEN = ((bits("ENVCFG", STATEEN_ENVCFG), bits("SE", SE)), *((bits("SE", SE),),) * 3)
COUNTEREN = (bits("CY", CY), bits("TM", TM), bits("IR", IR))


def add_rows(isa: Registry) -> None:
    csr, constant = isa.csr, isa.constant

    def masked(name: str, number: int, mask: int, *fields: CsrField, plain: bool = False) -> None:
        old = leaf(name)
        csr(name, number, *fields, writes=((name, (old & ~mask) | (value & mask)),), plain=plain)

    # floating point
    fcsr = leaf("fcsr")
    csr("fflags", 0x001, *FFLAGS, read=fcsr & 31,
        writes=float_writes((fcsr & ~31) | (value & 31)), guards=float_guards(), plain=True)  # fmt: skip
    csr("frm", 0x002, bits("frm", 2, 0), read=fcsr >> 5,
        writes=float_writes((fcsr & 31) | ((value & 7) << 5)), guards=float_guards(), plain=True)  # fmt: skip
    csr("fcsr", 0x003, bits("frm", 7, 5), *FFLAGS, read=fcsr,
        writes=float_writes(value & 0xFF), guards=float_guards(), plain=True)  # fmt: skip

    # user counters
    csr("cycle", 0xC00, read=counter_while_inhibited("cycle", CY), guards=counter_guards(CY))
    csr("time", 0xC01, read=select(v, leaf("time") + leaf("htimedelta"), leaf("time")), guards=counter_guards(TM))
    csr("instret", 0xC02, read=counter_while_inhibited("instret", IR), guards=counter_guards(IR))

    # supervisor
    uxl_sxl = next(f.fixed << f.lo for f in STATUS_S if f.fixed)
    csr("sstatus", 0x100, *STATUS_S, SD_FIELD, vs="vsstatus",
        read=with_sd(leaf("mstatus") & (SSTATUS_MASK & ~(3 << 32)) | uxl_sxl),
        writes=(("mstatus", write_fields(STATUS_M, value, leaf("mstatus"), only=[f.name for f in STATUS_S])),))  # fmt: skip
    s_view = leaf("mideleg") & S_INTERRUPTS
    csr("sie", 0x104, *interrupt_fields(S_INTERRUPTS, "E"), vs="vsie", read=leaf("mie") & s_view,
        writes=(("mie", (leaf("mie") & (s_view ^ const(-1))) | (value & s_view)),))  # fmt: skip
    csr("stvec", 0x105, *TVEC, vs="vstvec", plain=True)
    csr("scounteren", 0x106, *COUNTEREN, plain=True)
    csr("senvcfg", 0x10A, *ENVCFG, guards=stateen_guards(0, STATEEN_ENVCFG), plain=True)
    for n in range(4):  # no state below S-mode is under their control
        constant(f"sstateen{n}", 0x10C + n, guards=stateen_guards(n, SE))
    csr("sscratch", 0x140, vs="vsscratch", plain=True)
    csr("sepc", 0x141, *EPC, vs="vsepc", plain=True)
    csr("scause", 0x142, *CAUSE, vs="vscause", plain=True)
    csr("stval", 0x143, vs="vstval", plain=True)
    ssip = leaf("mideleg") & SSIP
    csr("sip", 0x144, *interrupt_fields(S_INTERRUPTS, "P"), vs="vsip", read=leaf("pending") & s_view,
        writes=(("mip", (leaf("mip") & (ssip ^ const(-1))) | (value & ssip)),))  # fmt: skip
    csr("stimecmp", 0x14D, vs="vstimecmp", guards=timer_guards())
    csr("satp", 0x180, *ATP, vs="vsatp",
        writes=(("satp", satp_write("satp")),), guards=translation_guards())  # fmt: skip

    # machine
    constant("mvendorid", 0xF11)
    constant("marchid", 0xF12)
    constant("mimpid", 0xF13)
    csr("mhartid", 0xF14)
    constant("mconfigptr", 0xF15)
    fixed = sum(f.fixed << f.lo for f in STATUS_M if f.fixed)
    csr("mstatus", 0x300, *STATUS_M, SD_FIELD, read=with_sd(leaf("mstatus") | fixed),
        writes=(("mstatus", write_fields(STATUS_M, value, leaf("mstatus"))),))  # fmt: skip
    constant("misa", 0x301, MISA, bits("MXL", 63, 62), bits("Extensions", 25, 0))
    masked("medeleg", 0x302, EXCEPTIONS_DELEGABLE, plain=True)
    old = leaf("mideleg")
    csr("mideleg", 0x303, *interrupt_fields(S_INTERRUPTS | HS_INTERRUPTS, ""), read=old | HS_INTERRUPTS,
        writes=(("mideleg", (value & S_INTERRUPTS) | HS_INTERRUPTS),))  # fmt: skip
    all_interrupts = S_INTERRUPTS | M_INTERRUPTS | HS_INTERRUPTS
    masked("mie", 0x304, all_interrupts, *interrupt_fields(all_interrupts, "E"))
    csr("mtvec", 0x305, *TVEC, plain=True)
    csr("mcounteren", 0x306, *COUNTEREN)
    csr("menvcfg", 0x30A, *ENVCFG, *ENVCFG_BELOW_M)
    for n in range(4):
        csr(f"mstateen{n}", 0x30C + n, *STATEEN[n], plain=True)
    csr("mcountinhibit", 0x320, bits("CY", CY), bits("IR", IR), writes=(
        ("mcycle", counter_switch("mcycle", CY)),
        ("minstret", counter_switch("minstret", IR)),
        ("mcountinhibit", value & (1 << CY | 1 << IR)),
    ), plain=True)  # fmt: skip
    csr("mscratch", 0x340, plain=True)
    csr("mepc", 0x341, *EPC, plain=True)
    csr("mcause", 0x342, *CAUSE, plain=True)
    csr("mtval", 0x343, plain=True)
    # STIP is software's only while Sstc does not drive it; VSSIP is hvip's
    writable = select(bit("menvcfg", STCE), SSIP | SEIP, S_INTERRUPTS)
    # norm: the external line shows in SEIP, but only software's own bit takes part in a read-modify-write
    software = (leaf("pending") & ~SEIP) | (leaf("mip") & SEIP)
    csr("mip", 0x344, *interrupt_fields(all_interrupts, "P"), read=leaf("pending"), modify=software, writes=(
        ("mip", (leaf("mip") & (writable ^ const(-1))) | (value & writable)),
        ("hvip", (leaf("hvip") & ~VSSIP) | (value & VSSIP)),
    ))  # fmt: skip
    csr("mtinst", 0x34A, plain=True)
    csr("mtval2", 0x34B, plain=True)
    # a write retires after it wrote: minstret is one short of it then
    csr("mcycle", 0xB00, read=counter_while_inhibited("mcycle", CY), plain=True,
        writes=(("mcycle", counter_write("mcycle", CY, 0)),))  # fmt: skip
    csr("minstret", 0xB02, read=counter_while_inhibited("minstret", IR), plain=True,
        writes=(("minstret", counter_write("minstret", IR, 1)),))  # fmt: skip
    next_epoch = ("pmp_epoch", leaf("pmp_epoch") + 1)
    for i in (0, 2):
        entries = (bits(f"pmp{4 * i + n}cfg", 8 * n + 7, 8 * n) for n in range(8))
        csr(f"pmpcfg{i}", 0x3A0 + i, *entries, writes=((f"pmpcfg{i}", pmpcfg_write(f"pmpcfg{i}")), next_epoch))
    for i in range(PMP_ENTRIES):
        csr(f"pmpaddr{i}", 0x3B0 + i, writes=((f"pmpaddr{i}", pmpaddr_write(i)), next_epoch))
    for n in range(3, 32):
        constant(f"mhpmcounter{n}", 0xB00 + n)
        constant(f"mhpmevent{n}", 0x320 + n)
    for n in range(3, 32):  # bit n of mcounteren is a constant zero
        constant(f"hpmcounter{n}", 0xC00 + n, guards=((below_m(), "illegal"),))
