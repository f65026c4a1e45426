"""Random programs for the whole machine: a prologue, trap handlers that step over what trapped, and a body of random items.

A program runs bare or under Sv39, Sv48 or Sv57. Addresses are mapped to themselves for S-mode, and once more for U-mode with
bit 30 set; so code that is relative to pc runs in every mode. Every mode change, fault and interrupt comes back to the body:

- x3, x4 and x30 belong to the trap handlers. x31 is where a failed fetch resumes; with 1 in it any other trap, mostly an
  ecall, comes back in M-mode (in S-mode where it is delegated).
- x2, x8 and x9 are pointers and x24 counts loops: random rows do not write them.

Everything follows from the seed. What a program must not do, because the outcome is no one's rule, is said where it is avoided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import FS_DIRTY
from rvhv.isa.effects import Branch, CsrAccess, Jump, LoadReserved, StoreConditional
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.syntax import REGISTERS, is_register, tokens
from tests.diff.states import Row, random_word, rng_for, rows, value

RAM, RAM_SIZE = 0x8000_0000, 16 << 20
TABLES = RAM + 0x4_0000
VALUES = RAM + 0x6_0000  # the first values of the registers
DATA, DATA_PAGES = RAM + 0x10_0000, 8
CODE_PAGES = RAM + 0x10_8000, 4  # pages to jump into: address, how many
NAPOT = RAM + 0x12_0000  # a naturally aligned 64 KiB
BIG = RAM + 0x20_0000  # a 2 MiB page
GIANT = 4 << 30  # a virtual GiB that is RAM's
USER = 1 << 30  # where U-mode sees the same
NOWHERE = (0x1_8000_0000, RAM + RAM_SIZE, RAM + RAM_SIZE - 3, 0x50_0000)  # physical addresses without anything
PAGE = 4096
POINTERS, COUNTER, RESUME = (2, 8, 9), 24, 31
KEPT = frozenset((*POINTERS, COUNTER, 3, 4, 30, RESUME))
V, R, W, X, U, G, A, D = (1 << n for n in range(8))
MSIP = 0x200_0000
MPRV, MXR, SUM, TVM, TW, TSR = (1 << n for n in (17, 19, 18, 20, 21, 22))
JR_RESUME = 0x8F82  # c.jr t6
LOW_HALF = 0x0293  # of `addi t0, zero, ...`

# extensions that QEMU 7.2 does not have
UNKNOWN = frozenset({"Zicond", "Zacas", "Zicbom", "Zicboz"})
# wrs may wait for as long as it likes, wfi until an interrupt; H is not part of these programs
EXCLUDED = UNKNOWN | {"Zawrs", "System", "Svinval", "H"}
# ebreak is an item of its own; no c.addi16sp keeps sp; ctzw is compared in tests/diff/test_qemu.py, which knows QEMU's fault
SPECIAL = frozenset({"ebreak", "c.ebreak", "c.addi16sp", "ctzw"})
COUNTERS = frozenset({"cycle", "time", "instret", "mcycle", "minstret"})  # they count other things in QEMU: read into x0 only
PLAIN_CSRS = tuple("fflags frm fcsr sscratch scause stval mscratch mcause mtval".split())  # any value may be written
# what reads differently: the implementation's name and extensions, ADUE, which QEMU 7.2 does not have; and with
# mstatus.TVM QEMU 7.2 lets S-mode read hgatp
DIFFERENT = frozenset({"marchid", "mimpid", "misa", "menvcfg", "hgatp"})

HANDLERS = f"""
.p2align 6
m_vector: {"; ".join(["j m_trap"] * 16)}
.p2align 6
s_vector: {"; ".join(["j s_trap"] * 16)}

m_trap:
    csrr gp, mcause; bltz gp, m_interrupt
    csrw mtval, zero                               # its freedoms would lead to others
    addi tp, gp, -1; beqz tp, m_fetch
    addi tp, gp, -12; beqz tp, m_fetch
    csrr tp, mepc
    li t5, {MPRV | MXR}; csrrs t5, mstatus, t5      # the instruction, as the mode that trapped sees it
    lhu gp, 0(tp)
    csrw mstatus, t5
    andi gp, gp, 3; sltiu gp, gp, 3; slli gp, gp, 1
    addi tp, tp, 4; sub tp, tp, gp; csrw mepc, tp
    addi gp, t6, -1; bnez gp, m_out
    bclri tp, tp, 30; csrw mepc, tp; li gp, 0x1800; csrs mstatus, gp
m_out: sfence.vma; mret
m_fetch: csrw mepc, t6; j m_out
m_interrupt:
    li t5, {MPRV}; csrrc t5, mstatus, t5
    li gp, {MSIP}; sw zero, 0(gp); csrw mie, zero; csrw mip, zero
    csrw mstatus, t5
    mret

s_trap:
    csrr gp, scause; bltz gp, s_interrupt
    csrw stval, zero
    addi tp, gp, -1; beqz tp, s_fetch
    addi tp, gp, -12; beqz tp, s_fetch
    csrr tp, sepc
    li t5, {SUM | MXR}; csrrs t5, sstatus, t5
    lhu gp, 0(tp)
    csrw sstatus, t5
    andi gp, gp, 3; sltiu gp, gp, 3; slli gp, gp, 1
    addi tp, tp, 4; sub tp, tp, gp; csrw sepc, tp
    addi gp, t6, -1; bnez gp, s_out
    bclri tp, tp, 30; csrw sepc, tp; li gp, 0x100; csrs sstatus, gp
s_out: sret
    csrr gp, sepc; bclri gp, gp, 30; jr gp          # mstatus.TSR: M-mode stepped over it
s_fetch: csrw sepc, t6; j s_out
s_interrupt: csrw sie, zero; csrci sip, 2; sret
"""


@dataclass(frozen=True)
class Stream:
    """A program: the bytes to place at addresses, where comparing begins and where the program ends (pc)."""

    segments: dict[int, bytes]
    begin: int
    end: int
    source: str


def keeps(row: Row, fields: dict[str, int]) -> bool:
    """Whether the instruction leaves the kept registers alone."""
    writes = row.insn.result is not None or any(isinstance(e, Jump | CsrAccess) for e in row.insn.effects)
    return not (writes and fields.get("rd") in KEPT)


@cache
def rows_by_kind() -> dict[str, list[Row]]:
    kinds: dict[str, list[Row]] = {}
    for row in rows(ISA):
        effects = {type(e) for e in row.insn.effects}
        if row.insn.extension in EXCLUDED or row.name in SPECIAL:
            continue
        if effects & {LoadReserved, StoreConditional}:
            kind = "reserved"
        elif row.touches_memory:
            kind = "memory"
        elif CsrAccess in effects:
            kind = "csr"
        elif Branch in effects or (Jump in effects and "imm" in row.encoding.by_name and "rs1" not in row.encoding.by_name):
            kind = "branch"
        elif Jump in effects:
            kind = "indirect"
        elif row.insn.privileged or (row.insn.calls and not row.insn.uses_float):
            continue
        else:
            kind = "float" if row.insn.uses_float else "plain"
        kinds.setdefault(kind, []).append(row)
    return kinds


class StreamMaker:
    """One program. `paging` is satp.MODE: 0, 8 (Sv39), 9 or 10."""

    def __init__(self, seed: int, count: int) -> None:
        self.draw = draw = rng_for("lockstep", seed)
        self.paging = draw.choice((0, 8, 8, 8, 9, 10))
        # an S-mode handler cannot step over its own sret or fence: either illegal instructions are delegated, or these trap
        self.traps_s = draw.random() < 0.5
        self.delegable = 0xB1FA if not self.traps_s else 0xB1FA & ~4  # not ecalls from S-mode: they lead to M-mode
        # after a fence that mstatus.TVM refused, old translations may still be used
        self.changes_tables = not self.traps_s and bool(self.paging)
        # one interrupt, because QEMU 7.2 takes the one with the lowest number first; norm: MEI, MSI, MTI, SEI, SSI, STI
        self.interrupts = draw.choice((1 << 1, 1 << 1, 1 << 3, 1 << 9))
        self.uses_pmp = draw.random() < 0.5
        self.lines: list[str] = []
        self.labels = 0
        self.count = count

    # -- what items are made of

    def word(self, row: Row, **fixed: int) -> str:
        """A directive with a legal instruction of this row that keeps the kept registers."""
        while True:
            word = random_word(row.encoding, self.draw, **fixed)
            decoded = ISA.decode(word)
            if decoded is not None and decoded[0] is row.insn and decoded[2] is row.compressed and keeps(row, decoded[1]):
                return f".{'half' if row.length == 2 else 'word'} {word:#x}"

    def register(self) -> str:
        """A register that may be written."""
        return REGISTERS[self.draw.choice([n for n in range(32) if n not in KEPT])]

    def delegation(self) -> int:
        """A value of medeleg. Loads' and stores' access faults go to the same mode: see `amo_outside_ram`."""
        chosen = self.draw.getrandbits(16) & self.delegable
        return chosen | 1 << 7 if chosen >> 5 & 1 else chosen & ~(1 << 7)

    def pointer(self) -> int:
        draw = self.draw
        kind = draw.random()
        if kind < 0.6:
            address = DATA + draw.randrange(DATA_PAGES * PAGE)
        elif kind < 0.75:
            address = DATA + draw.randrange(1, DATA_PAGES) * PAGE - draw.randrange(9)  # across two pages
        elif kind < 0.85:
            return draw.choice(NOWHERE)
        elif self.paging:
            address = draw.choice((NAPOT, NAPOT, BIG, GIANT + DATA - RAM)) + draw.randrange(1 << 16)
            if draw.random() < 0.1:
                return address | draw.choice((1 << 38, 1 << 40, 1 << 47, 1 << 56, 1 << 63))  # not canonical in some mode
        else:
            address = BIG + draw.randrange(1 << 16)
        if draw.random() < 0.7:
            address &= -8
        return address ^ (USER if self.paging and draw.random() < 0.4 else 0)

    def label(self) -> str:
        self.labels += 1
        return f"label_{self.labels}"

    # -- items: each gives lines of assembly

    def plain(self) -> list[str]:
        return [self.word(self.draw.choice(rows_by_kind()["plain"]))]

    def float(self) -> list[str]:
        return [self.word(self.draw.choice(rows_by_kind()["float"]))]

    def memory(self) -> list[str]:
        row = self.draw.choice(rows_by_kind()["memory"])
        fixed = {"rs1": self.draw.choice(POINTERS if row.length == 4 else POINTERS[1:])}
        small = self.draw.random() < 0.8 and row.length == 4 and "imm" in row.encoding.by_name
        return [self.word(row, **fixed, **({"imm": self.draw.randint(-16, 16)} if small else {}))]

    def set_pointer(self) -> list[str]:
        return [f"li {REGISTERS[self.draw.choice(POINTERS)]}, {self.pointer():#x}"]

    def set_value(self) -> list[str]:
        return [f"li {self.register()}, {value(self.draw):#x}"]

    def reservation(self) -> list[str]:
        """LR and SC as a pair with nothing in between that could end the reservation, and sometimes an SC that has none.

        Whether an SC that must fail looks at its address is no one's rule: none comes after an LR or SC that trapped.
        """
        draw, label = self.draw, self.label()
        base, width, order = REGISTERS[draw.choice(POINTERS)], draw.choice("wd"), draw.choice(("", ".aq", ".rl", ".aqrl"))
        between = [line for _ in range(draw.randint(0, 3)) for line in self.plain()]
        lines = ["li t6, 0x55", f"lr.{width}{order} t6, ({base})", "addi t6, t6, -0x55", f"beqz t6, {label}", *between]
        lines += [f"sc.{width}{order} t6, {self.register()}, ({base})"]
        if draw.random() < 0.3:
            lines += [f"bnez t6, {label}", f"sc.{width} {self.register()}, {self.register()}, ({base})"]
        return [*lines, f"{label}:"]

    def branch(self, label: str, compressed: bool) -> str:
        row = self.draw.choice([r for r in rows_by_kind()["branch"] if (r.length == 2) is compressed])
        syntax = row.compressed.syntax if row.compressed else row.insn.syntax
        low, high = (8, 15) if compressed else (0, 31)

        def operand(text: str) -> str:
            if text == "rd":
                return self.register()
            return REGISTERS[self.draw.randint(low, high)] if is_register(text) else label

        return f"{row.name} " + "".join(operand(text) if placeholder else text for placeholder, text in tokens(syntax))

    def forward(self) -> list[str]:
        """A branch or jump over some items."""
        label, compressed = self.label(), self.draw.random() < 0.5
        body = [line for _ in range(self.draw.randint(0, 2 if compressed else 6)) for line in self.simple()]
        return [self.branch(label, compressed), *body, f"{label}:"]

    def loop(self) -> list[str]:
        label, counter = self.label(), REGISTERS[COUNTER]
        body = [line for _ in range(self.draw.randint(1, 5)) for line in self.simple()]
        start = [f"li {counter}, {self.draw.randint(1, 4)}", f"{label}:"]
        return [*start, *body, f"addi {counter}, {counter}, -1", f"bnez {counter}, {label}"]

    def call(self) -> list[str]:
        """A function that the code jumps over, and a jump through a register to it and back."""
        function, back = self.label(), self.label()
        row = self.draw.choice(("jalr ra, 0(t6)", "jalr ra, 2(t6)", "c.jalr t6"))
        offset = 2 if "2(" in row else 0
        body = [line for _ in range(self.draw.randint(0, 3)) for line in self.plain()]
        leave = self.draw.choice(("jr t6", "c.jr t6", "jalr t0, 0(t6)", "jalr t6, 0(t6)"))
        return [
            f"j {back}", f"{function}: mv t6, ra", *body, leave,
            f"{back}: auipc t6, 0", f"addi t6, t6, {function} - {back} - {offset}", row,
        ]  # fmt: skip

    def wild_jump(self) -> list[str]:
        """Into a page that may not be executable, or does not exist; its code, if any, jumps to where t6 says."""
        label = self.label()
        page = CODE_PAGES[0] + PAGE * self.draw.randrange(CODE_PAGES[1])
        target = self.draw.choice((page + 2 * self.draw.randrange(2047), page + PAGE - 2, self.draw.choice(NOWHERE), 1 << 46, 0))
        target ^= USER if self.paging and target >= RAM and self.draw.random() < 0.5 else 0
        target |= self.draw.random() < 0.1  # jalr clears it
        back = f"addi t6, t6, {label}_end - {label}"
        return [f"{label}: auipc t6, 0", f"li a5, {target:#x}", back, "jalr t0, 0(a5)", f"{label}_end:"]

    def illegal(self) -> list[str]:
        while True:
            word = self.draw.choice((0, 0xFFFF_FFFF, self.draw.getrandbits(32), self.draw.getrandbits(32)))
            if ISA.decode(word) is None:
                return [f".half {word & 0xFFFF:#x}" if word & 3 != 3 else f".word {word:#x}"]

    def trap(self) -> list[str]:
        return [self.draw.choice(("ecall", "ebreak", "c.ebreak", "li t6, 1; ecall", "li t6, 1; ecall"))]

    def fence(self) -> list[str]:
        # not Svinval's: in U-mode, where they are illegal, QEMU 7.2 does the fences, and leaves tval 0 for sinval.vma
        a, b = self.register(), self.register()
        choices = ("fence", "fence.i", "fence rw, w", "fence.tso", "sfence.vma", f"sfence.vma {a}, {b}", "pause")  # fmt: skip
        return [self.draw.choice(choices)]

    def csr(self) -> list[str]:
        """Any CSR is read; only those that do not steer the program are written with random values."""
        draw = self.draw
        kind = draw.random()
        row = draw.choice(rows_by_kind()["csr"])
        if kind < 0.5:
            return [self.word(row, csr=ISA.csrs[draw.choice(PLAIN_CSRS)].number)]
        set_or_clear = draw.choice([r for r in rows_by_kind()["csr"] if "rw" not in r.name])
        source = {"uimm": 0} if "uimm" in set_or_clear.encoding.by_name else {"rs1": 0}
        if kind < 0.8:
            name = draw.choice(READ_CSRS)
            if name in COUNTERS:
                source["rd"] = 0
            return [self.word(set_or_clear, csr=ISA.csrs[name].number, **source)]
        number = draw.getrandbits(12)
        return [] if number in ISA.csr_by_number else [self.word(row, csr=number)]

    def status(self) -> list[str]:
        """Bits of mstatus or sstatus, set or cleared. FS is Off or Dirty: QEMU 7.2 forgets that raised flags make it Dirty."""
        draw = self.draw
        bits = [1 << 1, 1 << 3, 1 << 5, 1 << 7, 1 << 8, 3 << 11, FS_DIRTY, SUM, MXR, TW]
        bits += [TVM, TSR] if self.traps_s else []
        mask = sum({draw.choice(bits) for _ in range(draw.randint(1, 4))})
        name = draw.choice(("mstatus", "sstatus"))
        return [f"li a5, {mask:#x}", f"{draw.choice(('csrrs', 'csrrs', 'csrrc'))} {self.register()}, {name}, a5"]

    def machine_as_other(self) -> list[str]:
        """Accesses under mstatus.MPRV. It is cleared before an xRET could have to (which QEMU 7.2 forgets)."""
        makers = (self.memory, self.memory, self.set_pointer, self.reservation)
        body = [line for _ in range(self.draw.randint(1, 4)) for line in self.draw.choice(makers)()]
        return [
            f"li a4, {self.draw.choice((0, 0x800)):#x}", "li a5, 0x1800", "csrc mstatus, a5", "csrs mstatus, a4",
            f"li a5, {MPRV:#x}", "csrs mstatus, a5", *body, f"li a5, {MPRV:#x}", "csrc mstatus, a5",
        ]  # fmt: skip

    def steering(self) -> list[str]:
        """CSRs that steer traps and protection, with values that bring the program back."""
        draw = self.draw

        def change(names: tuple[str, ...], value: int) -> list[str]:
            how = draw.choice(("csrrw", "csrrs", "csrrc"))
            return [f"li a5, {value:#x}", f"{how} {self.register()}, {draw.choice(names)}, a5"]

        def change_bits(names: tuple[str, ...], bits: int) -> list[str]:
            how = draw.choice(("csrrwi", "csrrsi", "csrrci"))
            return [f"{how} {self.register()}, {draw.choice(names)}, {bits}"]

        choices: list[Callable[[], list[str]]] = [
            lambda: [f"li a5, {self.delegation():#x}", f"csrrw {self.register()}, medeleg, a5"],
            lambda: [f"li a5, {draw.getrandbits(16) & 0x222:#x}", "csrw mideleg, a5"],
            lambda: change(("mie", "sie"), draw.choice((0, self.interrupts))),
            # QEMU 7.2 has Sscofpmf's bit 13 always, and bit 10 is written there; norm: that is hvip's
            lambda: change(("mip", "sip"), value(draw) & ~(1 << 13 | 1 << 10)),
            lambda: change_bits(("mcounteren", "scounteren"), draw.randrange(8)),  # the other counters exist in QEMU
            lambda: change(("mepc", "sepc"), value(draw) & ~1),  # norm: bit 0 is zero; QEMU 7.2 keeps it
            self.interrupt,
            self.interrupt,
            lambda: [f"{draw.choice(('csrsi', 'csrci'))} {draw.choice(('mtvec', 'stvec'))}, {draw.choice((1, 1, 2, 3))}"],
            lambda: [f"li a5, {MSIP:#x}", "li a4, 1", "sw a4, 0(a5)"],
            lambda: [f"csrsi {draw.choice(('mip', 'sip'))}, 2"],
        ]
        if self.uses_pmp:
            choices += [self.pmp] * 3
        return draw.choice(choices)()

    def interrupt(self) -> list[str]:
        """An interrupt, pending and enabled: taken at once, or when a mode is entered that takes them."""
        draw = self.draw
        pend = draw.choice(("csrsi mip, 2", "csrsi sip, 2", f"li a5, {1 << 9:#x}; csrs mip, a5"))
        if self.interrupts == 1 << 3:
            pend = f"li a5, {MSIP:#x}; li a4, 1; sw a4, 0(a5)"
        enable = [f"li a5, {self.interrupts:#x}", f"csrs {draw.choice(('mie', 'mie', 'sie'))}, a5"]
        enable += [draw.choice(("csrsi mstatus, 8", "csrsi mstatus, 8", "csrsi mstatus, 2", "csrsi sstatus, 2", "nop"))]
        return [pend, *enable] if draw.random() < 0.5 else [*enable, pend]

    def pmp(self) -> list[str]:
        """An entry before the last (which allows everything) changes, over data and the pages to jump into; seldom locked.

        No address is 0: as the end of a TOR entry, QEMU 7.2 takes it for the end of all memory.
        """
        draw = self.draw
        entry = draw.randrange(6)
        if draw.random() < 0.5:
            size = draw.choice((0, 1, 4, 8, 9, 10))  # NAPOT: 8 << size bytes
            address = (DATA + draw.randrange(12 * PAGE)) >> 2
            return [f"li a5, {address & -(1 << size) | (1 << size) - 1:#x}", f"csrrw {self.register()}, pmpaddr{entry}, a5"]
        ranges = (0, 1, 2, 3) if entry else (0, 2, 3)  # TOR in entry 0 would be all that is below, code and tables too
        config = draw.choice((0, 1, 3, 4, 5, 7)) | draw.choice(ranges) << 3 | (0x80 if draw.random() < 0.04 else 0)
        values = [f"li a5, {0xFF << 8 * entry:#x}", f"li a4, {config << 8 * entry:#x}"]
        return [*values, "csrc pmpcfg0, a5", f"csrrs {self.register()}, pmpcfg0, a4"]

    def entry(self, target: int) -> int:
        """A page table entry for the page at `target`: mostly a good one."""
        draw = self.draw
        flags = V | A | D | draw.choice((R, R | W, R | W, R | W | X, R | W | X, X, R | X)) | draw.choice((0, U))
        kind = draw.random()
        if kind < 0.15:
            flags ^= draw.choice((V, A, D, A | D, G, R, W, X, U))
        elif kind < 0.2:  # not bits 54 to 60, nor PBMT = 3: reserved, and QEMU 7.2 ignores them
            flags |= draw.choice((1 << 61, 1 << 62, 1 << 63, 1 << 8, 1 << 9))
        elif kind < 0.23:
            target = target + PAGE
        return target >> 2 & ~0x3FF | flags

    def change_table(self) -> list[str]:
        page = self.draw.randrange(DATA_PAGES + CODE_PAGES[1])
        address = self.draw.choice(self.leaf_tables) + 8 * ((DATA - RAM) // PAGE + page)
        return [f"li a5, {address:#x}", f"li a4, {self.entry(DATA + page * PAGE):#x}", "sd a4, 0(a5)", "sfence.vma"]

    def go(self) -> list[str]:
        """xRET to the next item in a random mode; below its own mode it is illegal, and the next item comes all the same."""
        draw, label = self.draw, self.label()
        mode = draw.choice((0, 0, 1, 1, 3))
        alias = f"{'bseti' if mode == 0 and self.paging else 'bclri'} t6, t6, 30"
        machine = draw.random() < 0.6 or mode == 3
        status, epc, pp = ("mstatus", "mepc", 11) if machine else ("sstatus", "sepc", 8)
        mask = 3 << 11 if machine else 1 << 8
        return [
            f"{label}: auipc t6, 0", alias, f"addi t6, t6, {label}_end - {label}", f"csrw {epc}, t6",
            f"li a5, {mask:#x}", f"csrc {status}, a5", f"li a5, {mode << pp:#x}", f"csrs {status}, a5",
            "mret" if machine else "sret", f"{label}_end:",
        ]  # fmt: skip

    def simple(self) -> list[str]:
        weights = {
            self.plain: 25, self.float: 12, self.memory: 30, self.set_pointer: 8, self.set_value: 6, self.reservation: 5,
            self.csr: 8, self.trap: 2, self.fence: 2, self.illegal: 1,
        }  # fmt: skip
        return self.draw.choices(list(weights), list(weights.values()))[0]()

    def item(self) -> list[str]:
        weights = {
            self.simple: 55, self.forward: 10, self.loop: 5, self.call: 4, self.wild_jump: 4, self.status: 7, self.steering: 8,
            self.go: 7, self.machine_as_other: 3, self.change_table: 4 if self.changes_tables else 0,
        }  # fmt: skip
        return self.draw.choices(list(weights), list(weights.values()))[0]()

    # -- the program

    def tables(self) -> tuple[bytes, int]:
        """The page tables, at TABLES, and the root's address."""
        system, user = 0, 1
        memory = bytearray(10 * PAGE)

        def put(table: int, index: int, entry: int) -> None:
            memory[table * PAGE + 8 * index : table * PAGE + 8 * index + 8] = entry.to_bytes(8, "little")

        def link(table: int, index: int, to: int) -> None:
            put(table, index, TABLES + to * PAGE >> 2 | V)

        leaves = {system: 0, user: 1}
        self.leaf_tables = [TABLES + t * PAGE for t in leaves.values()]
        for view, leaf in leaves.items():
            middle = 2 + view
            for page in range(512):
                address = RAM + page * PAGE
                flags = V | R | W | X | A | D | (U if view else 0)
                if address >= TABLES and view:
                    flags = 0
                if address >= DATA:
                    put(leaf, page, self.entry(address) if address < DATA + 12 * PAGE else 0)
                else:
                    put(leaf, page, address >> 2 | flags if flags else 0)
            napot = self.entry(NAPOT | 0x8000) | self.draw.choice((1 << 63, 1 << 63, 0))
            for page in range(16):
                put(leaf, (NAPOT - RAM) // PAGE + page, napot)
            link(middle, 0, leaf)
            put(middle, 1, self.entry(self.draw.choice((BIG, BIG, BIG, BIG + PAGE))))
            link(4, 2 + view, middle)
        put(4, GIANT >> 30, self.entry(self.draw.choice((RAM, RAM, RAM, BIG))))
        link(5, 0, 4)
        link(6, 0, 5)
        return bytes(memory), TABLES + {0: 4, 8: 4, 9: 5, 10: 6}[self.paging] * PAGE

    def prologue(self, root: int) -> list[str]:
        draw = self.draw
        medeleg = draw.choice((0, self.delegable, self.delegation()))
        pmp = {f"pmpaddr{i}": DATA + i * PAGE >> 2 for i in range(6)} | {"pmpaddr7": (1 << 54) - 1, "pmpcfg0": 0x1F << 56}
        csrs = {
            "mtvec": "m_vector", "stvec": "s_vector", "medeleg": medeleg, "mideleg": draw.choice((0, 0x222)), "mie": 0,
            "mip": 0, "stimecmp": -1, "satp": self.paging << 60 | root >> 12 if self.paging else 0,
            "mcounteren": draw.choice((0, 7)), "scounteren": draw.choice((0, 7)), **pmp, "fcsr": draw.randrange(5) << 5,
        }  # fmt: skip
        lines = ["csrr t0, mhartid; beqz t0, first; other: wfi; j other; first:"]
        lines += [f"li t0, {MSIP + 0x4000:#x}; li t1, -1; sd t1, 0(t0)"]
        lines += [f"li t0, {FS_DIRTY:#x}; csrs mstatus, t0"]
        # hardware sets A and D (which QEMU 7.2 always does); stimecmp exists and Svpbmt's bits mean something
        lines += [f"li t0, {7 << 61:#x}; csrw menvcfg, t0"]
        for name, number in csrs.items():
            lines.append(f"{'la' if isinstance(number, str) else 'li'} t0, {number}; csrw {name}, t0")
        lines += [f"li gp, {VALUES:#x}"]
        lines += [f"fld f{n}, {8 * (32 + n)}(gp)" for n in range(32)]
        lines += [f"ld x{n}, {8 * n}(gp)" for n in range(1, 32) if n != 3]
        lines += ["li gp, 0", "csrw fcsr, zero" if draw.random() < 0.5 else "nop"]
        return lines

    def make(self) -> Stream:
        draw = self.draw
        tables, root = self.tables()
        x = [value(draw) for _ in range(32)]
        for n in POINTERS:
            x[n] = self.pointer()
        x += [value(draw) if draw.random() < 0.6 else 0xFFFF_FFFF_0000_0000 | draw.getrandbits(32) for _ in range(32)]
        lines = self.prologue(root) + ["j begin", HANDLERS, "begin:"]
        for _ in range(self.count):
            lines += self.item()
        source = "\n".join([*lines, "end: j end"])
        image = Assembler(ISA).image(source, RAM)
        assert RAM + len(image.code) < TABLES
        code_pages = bytearray()
        for _ in range(CODE_PAGES[1]):
            code_pages += JR_RESUME.to_bytes(2, "little") * 2047 + LOW_HALF.to_bytes(2, "little")
        segments = {
            RAM: image.code,
            TABLES: tables,
            VALUES: b"".join(v.to_bytes(8, "little") for v in x),
            DATA: draw.randbytes(DATA_PAGES * PAGE) + bytes(code_pages),
            BIG: draw.randbytes(1 << 16),
            NAPOT: draw.randbytes(1 << 16),
        }
        return Stream(segments, image.symbols["begin"], image.symbols["end"], source)


# QEMU has some of the other counters, and triggers, but 7.2 no state enables; the VS-mode copies are not part of these programs
ELSEWHERE = ("hpm", "stateen", "tdata", "tselect", "tinfo")
READ_CSRS = tuple(
    name
    for name in ISA.csrs
    if name not in DIFFERENT and not name.startswith("vs") and not any(part in name for part in ELSEWHERE)
)


def stream(seed: int, count: int = 70) -> Stream:
    return StreamMaker(seed, count).make()
