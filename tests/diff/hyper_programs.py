"""Random programs over M, HS, U, VS and VU, for lockstep runs against a simulator that logs what it commits.

A program is a sequence of slots. A slot first sets s11 to its own end; whatever trap its payload ends in, to whatever mode,
the handler there reads the CSRs that describe it and goes on at s11: back in the mode that trapped, or, every now and then, in
its own. So programs end, and wander through all modes. U-mode code is a copy at another address (`hyper_tables`), and handlers
go on in the copy that the mode may execute.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import EXCEPTIONS_DELEGABLE, SEIP, SGEIP, SSIP, STIP, VSEIP, VSSIP, VSTIP
from rvhv.isa.effects import Branch, Call, CsrAccess, Jump
from rvhv.isa.render.asm import Assembler
from rvhv.isa.rows import Compressed, Insn
from tests.diff.hyper_tables import (
    DATA,
    EXECUTED,
    FAR,
    GIGA,
    HUGE,
    LARGE,
    LARGE_PAGES,
    MEGA,
    NOWHERE,
    PAGE,
    PAGES,
    S_CODE,
    SV39,
    SV48,
    SV57,
    TABLES,
    U_CODE,
    Tables,
    pte,
    view,
)
from tests.diff.states import Row, random_word, value
from tests.elf_file import elf

ENTRY = S_CODE
TOHOST = S_CODE + MEGA - PAGE
HANDLERS = S_CODE + 0x1000
SLOTS = S_CODE + 0x4000
# gp: 1 at the end; s2 to s7: the handlers'; s10: random bits for the handlers; s11: where to go on
KEPT = frozenset({3, 18, 19, 20, 21, 22, 23, 26, 27})
MODES = (0, SV39, SV48, SV57)
ALL = (1 << 64) - 1
TAIL = 16  # bytes at the end of each page of data, which are always zero
# what a trap into a mode leaves behind
RECORDED = {
    "m": ("mcause", "mepc", "mtval", "mtval2", "mtinst", "mstatus", "hstatus", "vsstatus"),
    "s": ("scause", "sepc", "stval", "htval", "htinst", "sstatus", "hstatus", "vsstatus"),
    "vs": ("scause", "sepc", "stval", "sstatus"),
}
END = """
    li gp, 1
    ecall
"""


def _handler(mode: str, address: str, base: str, quiet: str) -> str:
    """The trap handler of a mode: `address` and `base` are its registers, `quiet` turns its interrupts off."""
    x = "m" if mode == "m" else "s"
    last = """
        li s2, 1 << 17
        csrc mstatus, s2
        li s2, TOHOST
        li s3, 1
        sd s3, 0(s2)
    m_end: j m_end
    """
    user = f"csrr {base}, mstatus; srli {base}, {base}, 11; andi {base}, {base}, 3" if mode == "m" else (
        f"csrr {base}, sstatus; andi {base}, {base}, 0x100"
    )  # fmt: skip
    return f"""
    {mode}_vector:
        {"; ".join([f"j {mode}_handler"] * 16)}
    {mode}_handler:
        bnez gp, {mode}_last
        {"; ".join(f"csrr {base}, {csr}" for csr in RECORDED[mode])}
        csrr {base}, {x}cause
        mv {address}, s11
        bgez {base}, {mode}_go
        csrr {address}, {x}epc
        {quiet}
    {mode}_go:
        {user}
        rori s10, s10, 1
        bltz s10, {mode}_stay
        bnez {base}, {mode}_supervisor
        lui {base}, {MEGA >> 12}
        or {address}, {address}, {base}
        j {mode}_return
    {mode}_supervisor:
        lui {base}, {MEGA >> 12}
        andn {address}, {address}, {base}
    {mode}_return:
        csrw {x}epc, {address}
        {x}ret
    {mode}_stay:
        lui {base}, {MEGA >> 12}
        andn {address}, {address}, {base}
        jr {address}
    {mode}_last:
        {last if mode == "m" else "ecall"}
    """


@cache
def _assembler() -> Assembler:
    return Assembler(ISA)


@cache
def _handlers() -> tuple[bytes, dict[str, int]]:
    text = (
        _handler("m", "s2", "s3", "csrw mie, x0")
        + _handler("s", "s4", "s5", "csrw sie, x0; csrw hie, x0")
        + _handler("vs", "s6", "s7", "csrw sie, x0")
    )
    image = _assembler().image(text.replace("1 << 17", str(1 << 17)), HANDLERS, {"TOHOST": TOHOST})
    return image.code, image.symbols


@dataclass(frozen=True)
class HyperProgram:
    """An executable, and the address of its last instruction: the store to tohost."""

    executable: bytes
    last: int


def _rows() -> dict[str, list[Row]]:
    """Instructions by kind."""
    kinds: dict[str, list[Row]] = {"plain": [], "float": [], "memory": [], "guest": []}
    for row in _every_row():
        insn = row.insn
        effects = {type(e) for e in insn.effects}
        calls = [e for e in insn.effects if isinstance(e, Call)]
        if insn.extension == "H" and row.touches_memory:
            kinds["guest"].append(row)
        elif row.touches_memory or any(c.memory for c in calls):
            if not insn.name.startswith("sc."):  # an LR's slot has the SC
                kinds["memory"].append(row)
        elif not effects & {Branch, Call, CsrAccess, Jump}:
            kinds["float" if insn.uses_float else "plain"].append(row)
    return kinds


def _every_row() -> list[Row]:
    rows: list[tuple[str, Insn, Compressed | None]] = [(i.name, i, None) for i in ISA.insns.values()]
    rows += [(c.name, ISA.insns[c.base], c) for c in ISA.compressed.values()]
    return [Row(*r) for r in rows]


class HyperMaker:
    """Makes programs."""

    def __init__(self) -> None:
        self.rows = _rows()

    def make(self, rng: random.Random, slots: int) -> HyperProgram:
        """A program of so many slots."""
        tables = Tables(rng)
        handlers, symbols = _handlers()
        slot = _Slot(self.rows, rng, tables, symbols)
        code = slot.setup()
        for _ in range(slots):
            code += slot.any()
        code += slot.wrapped(_assembler().program(END))
        entry = _assembler().program(f"li t0, {SLOTS}; jr t0", ENTRY)
        segments = {
            ENTRY: entry,
            HANDLERS: handlers,
            SLOTS: code,
            SLOTS - S_CODE + U_CODE: code,
            TOHOST: bytes(16),
            TABLES: tables.image(),
            DATA: b"".join(rng.randbytes(PAGE - TAIL) + bytes(TAIL) for _ in range(PAGES)),
            EXECUTED: _executed(),
        }
        return HyperProgram(elf(segments, ENTRY, {"tohost": TOHOST, "fromhost": TOHOST + 8}), symbols["m_end"] - 4)


def _executed() -> bytes:
    """Pages full of c.jr s11, but that a whole jr s11 crosses from each to the next."""
    page = bytearray(0x8D82.to_bytes(2, "little") * (PAGE // 2))
    page[-2:], page[:2] = 0x8067.to_bytes(2, "little"), 0x000D.to_bytes(2, "little")
    return bytes(page) * PAGES + bytes(page[:2])


class _Slot:
    """Makes slots, as bytes that run at any address."""

    def __init__(self, rows: dict[str, list[Row]], rng: random.Random, tables: Tables, symbols: dict[str, int]) -> None:
        self._rows, self._rng, self._tables, self._symbols = rows, rng, tables, symbols
        self._makers = {
            self.plain: 20, self.float: 8, self.memory: 30, self.reserved: 2, self.guest: 10, self.csr: 26, self.fence: 3,
            self.switch_m: 12, self.switch_s: 12, self.call: 6, self.execute: 6, self.table: 10, self.interrupts: 6,
            self.sleep: 1,
        }  # fmt: skip

    def any(self) -> bytes:
        (maker,) = self._rng.choices(list(self._makers), list(self._makers.values()))
        return self.wrapped(maker())

    def wrapped(self, payload: bytes) -> bytes:
        """s11 is the address behind the payload when that begins."""
        return self._text(f"auipc s11, 0; addi s11, s11, {8 + len(payload)}") + payload

    @staticmethod
    def _text(text: str) -> bytes:
        return _assembler().program(text)

    def _li(self, register: int, number: int) -> bytes:
        return self._text(f"li x{register}, {number}")

    def setup(self) -> bytes:
        """From reset: nothing that differs between machines, everything open, and handlers everywhere."""
        rng = self._rng
        lines = [
            "li t0, 0x2004000; li t1, -1; sd t1, 0(t0)",  # mtimecmp: never
            "csrw stimecmp, t1; csrw vstimecmp, t1",
            "csrw pmpcfg0, x0; csrw pmpaddr0, x0; csrw pmpaddr15, t1; li t0, 0x1f; slli t0, t0, 56; csrw pmpcfg2, t0",
            f"li t0, {rng.getrandbits(64) & rng.getrandbits(64) & rng.getrandbits(64)}; mv s10, t0",
            *(f"li t0, {self._value(csr)}; csrw {csr}, t0" for csr in SETTABLE),
            *(f"li x{i}, {value(rng)}" for i in range(1, 32) if i not in KEPT),
            *(f"fmv.d.x f{i}, x{rng.randrange(1, 18)}" for i in range(32)),
        ]
        return self._text("li t0, 0x6000; csrs mstatus, t0\n" + "\n".join(lines))

    def _value(self, csr: str) -> int:
        """A value that a program may write to a CSR: whatever it is, handlers still work."""
        rng, tables = self._rng, self._tables
        if csr in ("mtvec", "stvec", "vstvec"):
            return self._symbols[{"m": "m", "s": "s", "v": "vs"}[csr[0]] + "_vector"] | rng.randrange(2)
        if csr == "satp":
            return tables.s.atp(rng, rng.choice(MODES), 16)
        if csr == "vsatp":
            return tables.vs.atp(rng, rng.choice(MODES), 16)
        if csr == "hgatp":
            if rng.random() < 0.96:
                return tables.g.atp(rng, rng.choice(MODES), 14)
            # a root that belongs to another mode: nothing is mapped, and guest-page faults go to HS- or M-mode
            return tables.g.atp(rng, rng.choice(MODES[1:]), 14) ^ rng.randrange(4) << 60
        if csr in ("medeleg", "hedeleg"):
            return self._bits() & DELEGABLE
        if csr in ("mstatus", "sstatus", "vsstatus"):
            return self._status()
        if csr in ("menvcfg", "henvcfg", "senvcfg"):
            # FIOM, which Spike lacks, stays zero; CBIE of 2 is reserved
            on = self._bits() & 7 << 61 | rng.choice((0, 1 << 61))
            return rng.choice((0, 1, 3)) << 4 | rng.randrange(4) << 6 | on
        if csr in STATEEN:
            return self._bits() & (3 << 62 if csr.endswith("0") else 1 << 63)
        if csr == "hstatus":  # without VGEIN: not everyone has guest external interrupts
            return self._bits() & ~(63 << 12)
        if csr in ("stimecmp", "vstimecmp"):
            return ALL
        if csr == "pmpcfg0":
            return rng.choice((0, 0x10, 0x18, 0x18, 0x98 if rng.random() < 0.1 else 0)) | rng.choice((0, 1, 3, 4, 5, 7))
        if csr == "pmpaddr0":  # with A of NAPOT and NA4: never the code
            return DATA + rng.randrange(2 * PAGES) * PAGE >> 2 | rng.choice((0, 1, 3, 0x1FF))
        if csr == "htimedelta":
            return rng.randrange(3) << 40
        return self._bits() if rng.random() < 0.7 else value(rng)

    def _bits(self) -> int:
        """Many ones, or many zeros, or neither."""
        rng = self._rng
        one, other = rng.getrandbits(64), rng.getrandbits(64)
        return rng.choice((one, one & other, one | other))

    def _status(self) -> int:
        mpp = self._rng.choice((0, 1, 3)) << 11
        return self._bits() & ~(3 << 11) & ~(3 << 13) | mpp | self._rng.choice((0, 1, 2, 3, 3)) << 13

    # addresses

    def _address(self, *, executed: bool = False) -> int:
        """Where data, or what may be executed, is seen in some mode, or is not."""
        rng = self._rng
        kind = rng.random()
        page = rng.randrange(PAGES + 1) * PAGE + (EXECUTED if executed else DATA) - DATA
        some = rng.randrange(PAGE)
        offset = rng.choice((0, 8, 64, 2048, some & -8, some & -2, some, PAGE - 1, PAGE - 2, PAGE - 4, PAGE - 6))
        at = page + (offset & -2 if executed else offset)
        if kind < 0.6:
            return DATA + at
        if kind < 0.75:
            return LARGE + rng.randrange(LARGE_PAGES) * MEGA + at
        if kind < 0.85:
            return HUGE + DATA % GIGA + at
        if kind < 0.93:
            return rng.choice(FAR) + DATA + at
        if kind < 0.95:
            return rng.choice((NOWHERE, -GIGA & ALL, 1 << 63, 1 << 38, 1 << 41, 1 << 50, 1 << 59)) + at & ALL
        return DATA + at

    # payloads

    def _row_word(self, kind: str) -> tuple[Row, int, dict[str, int]]:
        """An instruction that writes none of the kept registers, with its base instruction's fields."""
        rng = self._rng
        while True:
            row = rng.choice(self._rows[kind])
            word = random_word(row.encoding, rng)
            decoded = ISA.decode(word)
            if decoded is None or decoded[0] is not row.insn or decoded[2] is not row.compressed:
                continue
            fields = decoded[1]
            pair = row.insn.name == "amocas.q"
            if fields.get("rd") in KEPT or (pair and fields["rd"] + 1 in KEPT):
                continue
            return row, word, fields

    def plain(self) -> bytes:
        row, word, _ = self._row_word("plain")
        return word.to_bytes(row.length, "little")

    def float(self) -> bytes:
        row, word, _ = self._row_word("float")
        return word.to_bytes(row.length, "little")

    def memory(self, kind: str = "memory") -> bytes:
        rng = self._rng
        while True:
            row, word, fields = self._row_word(kind)
            if fields["rs1"] not in KEPT and fields["rs1"]:
                break
        address = self._address()
        if row.insn.name.startswith("cbo"):  # Spike's cbo.zero gives the block's first byte as tval, not the operand
            address &= -64
        elif row.insn.name.startswith(("amo", "lr")):  # else it may be an access fault or a misaligned address
            address &= -16
        elif rng.random() < 0.6:
            address &= -8
        if row.insn.result is None and address % PAGE >= PAGE - TAIL:
            # only zeros are stored there: Spike has stored the first page's part when the second page faults
            if row.compressed or "rs2" not in fields:
                address -= TAIL
            else:
                word = row.encoding.build(row.encoding.extract(word) | {"rs2": 0})
        elif row.insn.result is not None and row.insn.extension in ("A", "Zacas"):
            address -= TAIL if address % PAGE >= PAGE - TAIL else 0
        return self._li(fields["rs1"], address - fields.get("imm", 0)) + word.to_bytes(row.length, "little")

    def guest(self) -> bytes:
        return self.memory("guest")

    def reserved(self) -> bytes:
        size = self._rng.choice("wd")
        return self._text(f"li t0, {self._address() & -2 * TAIL}; lr.{size} t1, (t0); sc.{size} t2, t3, (t0)")

    def csr(self) -> bytes:
        rng = self._rng
        if rng.random() < 0.08:  # one that may not exist
            number = rng.randrange(4096)
            if any(number in r for r in UNCOMPARED_NUMBERS) or number in {ISA.csrs[name].number for name in UNCOMPARED}:
                return b""
            return self._text(f"csrr t0, {number}")
        csr = rng.choice(CSRS)
        rd = rng.choice((0, 5, 10, 15, 30))
        number = ISA.csrs[csr].number
        kind = rng.random()
        if kind < 0.35 or csr in READ_ONLY:
            written = rng.random() < 0.1 and csr in READ_ONLY and csr != "misa"
            text = f"csrw {number}, t0" if written else f"csrr x{rd}, {number}"
        elif kind < 0.7 or csr not in FREE:
            text = f"li t0, {self._value(csr)}; csrrw x{rd}, {number}, t0"
        elif kind < 0.9:
            mask = self._value(csr)
            text = f"li t0, {mask}; {rng.choice(('csrrs', 'csrrc'))} x{rd}, {number}, t0"
        else:
            text = f"{rng.choice(('csrrsi', 'csrrci'))} x{rd}, {number}, {rng.randrange(32)}"
        if csr == "menvcfg":
            # what was hidden in henvcfg meanwhile may be anything; Spike keeps software's STIP until its clock ticks
            text += f"; li t1, {self._value('henvcfg')}; csrw henvcfg, t1"
            text += f"; li t1, -1; csrw stimecmp, t1; li t1, {STIP}; csrc mip, t1"
        if csr in UNCOMPARED and rd:
            text += f"; li x{rd}, 0"
        return self._text(text)

    def fence(self) -> bytes:
        return self._text(self._rng.choice(FENCES))

    def _target(self, register: str, user: bool) -> str:
        """Where to go on: in the copy that U-mode may execute or in the other, and rarely U-mode in the wrong one."""
        wanted = user and self._rng.random() < 0.95
        return f"lui {register}, {MEGA >> 12}; {'or' if wanted else 'andn'} {register}, s11, {register}"

    def switch_m(self) -> bytes:
        """mret to some mode."""
        rng = self._rng
        mpp, mpv = rng.choice(((0, 0), (0, 1), (0, 1), (1, 0), (1, 1), (1, 1), (3, rng.randrange(2))))
        return self._text(
            f"{self._target('t0', mpp == 0)}; csrw mepc, t0; li t1, {3 << 11 | 1 << 39}; csrc mstatus, t1;"
            f"li t1, {mpp << 11 | mpv << 39}; csrs mstatus, t1; mret"
        )

    def switch_s(self) -> bytes:
        """sret to some mode; from HS-mode with hstatus.SPV."""
        rng = self._rng
        spp, spv = rng.randrange(2), rng.randrange(2)
        virtual = f"li t1, {1 << 7}; {'csrs' if spv else 'csrc'} hstatus, t1;" if rng.random() < 0.7 else ""
        return self._text(
            f"{self._target('t0', spp == 0)}; csrw sepc, t0; li t1, 0x100;{'csrs' if spp else 'csrc'} sstatus, t1; {virtual} sret"
        )

    def call(self) -> bytes:
        return self._text(self._rng.choice(("ecall", "ecall", "ecall", "ebreak", "c.ebreak", ".word 0", ".word 0xffffffff")))

    def execute(self) -> bytes:
        """Go where s11 is jumped to."""
        return self._text(f"li t0, {self._address(executed=True)}; jr t0")

    def table(self) -> bytes:
        """Change a page table, and fence: Spike remembers entries until then, or until the mode changes."""
        rng, tables = self._rng, self._tables
        stage = rng.choice((tables.s, tables.vs, tables.g))
        at = rng.choice(stage.entries)
        entry = pte(rng, DATA + rng.randrange(2 * PAGES) * PAGE, user=0.97 if stage is tables.g else 0.5)
        if rng.random() < 0.2:
            at, entry = tables.g.view, view(rng, tables.vs.leaves)
        return self._text(f"li t0, {at}; li t1, {entry}; sd t1, 0(t0); sfence.vma")

    def interrupts(self) -> bytes:
        """Make some pending, or enable some."""
        rng = self._rng
        pending = rng.choice((SSIP, STIP, SEIP, VSSIP, VSTIP, VSEIP, self._bits()))
        bits = (self._value("mie") | pending) & ~SGEIP
        enables = tuple(f"li t0, {bits}; csrs {csr}, t0" for csr in ("mie", "sie", "hie"))
        enables = (*enables, "csrwi vsie, 2", f"li t0, {pending >> 1}; csrs sie, t0", "csrsi mstatus, 8", "csrsi sstatus, 2")
        enable = rng.choice(enables)
        csr = rng.choice(("mip", "hvip", "hvip", "hip", "sip", "vsip"))
        make = f"li t0, {pending}; {rng.choice(('csrw', 'csrs'))} {csr}, t0"
        return self._text(f"{enable}; {make}" if rng.random() < 0.5 else f"{make}; {enable}")

    def sleep(self) -> bytes:
        """wfi where it traps for certain: in U- and VU-mode, which the copy tells."""
        return self._text(f"auipc t0, 0; bexti t0, t0, {MEGA.bit_length() - 1}; beqz t0, over; wfi\nover: nop")


FENCES = (
    "sfence.vma", "sfence.vma t0, t1", "sinval.vma x0, x0", "sfence.w.inval", "sfence.inval.ir", "hfence.vvma", "hfence.gvma",
    "hfence.gvma t0, x0", "hinval.vvma x0, x0", "hinval.gvma x0, x0", "fence.i", "fence",
)  # fmt: skip
# without ecall from HS-mode, which is the way to M-mode, and without misaligned fetches, which cannot be
DELEGABLE = EXCEPTIONS_DELEGABLE & ~(1 << 9)
STATEEN = tuple(name for mode in "mhs" for name in ISA.csrs if name.startswith(f"{mode}stateen"))
SETTABLE = (
    *STATEEN,
    "mtvec", "stvec", "vstvec", "satp", "vsatp", "hgatp", "medeleg", "hedeleg", "mideleg", "hideleg", "mcounteren", "hcounteren",
    "scounteren", "menvcfg", "henvcfg", "senvcfg", "hstatus", "vsstatus", "htimedelta",
)  # fmt: skip
READ_ONLY = ("cycle", "time", "instret", "hgeip", "mhartid", "mvendorid", "misa")  # misa: Spike turns extensions off
# read, written, set and cleared bit by bit with any value
FREE = (
    "hstatus", "hideleg", "hie", "hip", "hvip", "hcounteren", "htval", "htinst", "vsscratch", "vsepc", "vscause",
    "vstval", "vsie", "vsip", "sie", "sip", "sscratch", "scause", "stval", "scounteren", "sepc", "mscratch", "mcause", "mtval",
    "mtval2", "mtinst", "mideleg", "mie", "mip", "mcounteren", "fcsr", "frm", "fflags", "mepc",
)  # fmt: skip
CSRS = (
    *FREE, *FREE, *READ_ONLY, *SETTABLE, "mstatus", "mstatus", "mstatus", "sstatus", "sstatus", "sstatus", "vsstatus", "vsstatus",
    "hstatus", "hstatus", "hstatus", "hgatp", "hgatp", "vsatp", "vsatp", "satp", "satp", "satp", "stimecmp", "vstimecmp",
    "pmpcfg0", "pmpaddr0",
)  # fmt: skip
# what two machines may read differently
UNCOMPARED = ("cycle", "time", "instret", "mvendorid", "htinst", "mtinst")
# numbers that only one of two machines knows, or knows otherwise: more PMP entries, contexts, triggers, counters, identities
UNCOMPARED_NUMBERS = (
    range(0x3A1, 0x3F0), range(0x5A8, 0x5A9), range(0x6A8, 0x6A9), range(0x7A0, 0x7B0), range(0xB00, 0xB03), range(0xC03, 0xC20),
    range(0xF11, 0xF14),
)  # fmt: skip
