"""Random worlds for the tiers: a loop that patches itself, edits the page tables it runs under, faults, is interrupted and calls
code whose mapping changes; in M-, S- or VS-mode, on one hart or two."""

from __future__ import annotations

import random
from collections.abc import Callable

from rvhv.core.registry import ISA
from rvhv.core.stop_table import Access, Space
from rvhv.cpu.state import CODE_ENTRIES, CODE_STRIDE, HEAT_WANTED, LEAST_ENTRY, SLOT
from rvhv.isa.render.asm import Assembler
from tests.diff.states import value
from tests.diff.twins import FS_DIRTY, RAM_START, Twins

ASM = Assembler(ISA)
SIZE = 0x20000
PAGE = 4096


def frame(n: int) -> int:
    return RAM_START + n * PAGE


HANDLER, CODE, CALLEE, OTHER_CALLEE, DATA, OTHER_DATA, WATCHED, TABLES = 0, 1, 2, 3, 8, 9, 10, 11
FIRST_ROOT, SECOND_ROOT, G_ROOT = 16, 24, 20  # each first-stage tree takes three frames; the G-stage's root four
VA = 0x4000_0000
DEVICE = 0x1000_0000
# pages of the first stage by the page's number in the one table of the last level
MAP = {
    0: CODE,
    1: CALLEE,
    4: CODE,
    8: DATA,
    9: OTHER_DATA,
    10: WATCHED,
    11: TABLES,
    13: DATA,
    32: FIRST_ROOT + 2,
    33: SECOND_ROOT + 2,
}
CALLEE_PAGE, ALIAS_PAGE, CHANGING_PAGE, READ_ONLY_PAGE, UNMAPPED_PAGE, DEVICE_PAGE, TABLE_PAGE = 1, 4, 9, 13, 14, 40, 32
MANY = range(64, 96)  # more data pages: in the first tree with one addend, in the second with addends that alternate
V, R, W, X, U, A, D = (1 << i for i in (0, 1, 2, 3, 4, 6, 7))
STCE, ADUE = 1 << 63, 1 << 61
STI = 1 << 5
SKIPPED = sum(1 << cause for cause in (4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 21, 23))

HANDLER_SOURCE = f"""
    csrr x30, mcause
    slli x29, x29, 1
    add x29, x29, x30
    bltz x30, timer
    csrr x31, mtval
    add x29, x29, x31
    li x31, {SKIPPED}
    srl x31, x31, x30
    andi x31, x31, 1
    bnez x31, skip
    csrw mepc, x28
    mret
skip:
    csrr x30, mepc
    addi x30, x30, 4
    csrw mepc, x30
    mret
timer:
    csrr x30, time
    addi x30, x30, 1
    csrw stimecmp, x30
    mret
"""
ALU = (
    "add {d}, {a}, {b}", "sub {d}, {a}, {b}", "xor {d}, {a}, {b}", "addw {d}, {a}, {b}", "mul {d}, {a}, {b}",
    "sltu {d}, {a}, {b}", "addi {d}, {a}, {i}", "addiw {d}, {a}, {i}", "slli {d}, {a}, {s}", "sraiw {d}, {a}, {h}",
    "srl {d}, {a}, {b}", "divu {d}, {a}, {b}", "rem {d}, {a}, {b}", "sh1add {d}, {a}, {b}", "rol {d}, {a}, {b}", "cpop {d}, {a}",
    "c.nop", "c.addi {d}, 3", "lui {d}, {s}", "auipc {d}, 1",
)  # fmt: skip
FLOAT = (
    "fadd.d {f}, {g}, {h}", "fmul.d {f}, {g}, {h}", "fsub.s {f}, {g}, {h}", "fdiv.d {f}, {g}, {h}", "fmadd.d {f}, {g}, {h}, {f}",
    "fcvt.d.l {f}, {a}", "fcvt.w.d {d}, {g}", "fmv.x.d {d}, {g}", "feq.d {d}, {g}, {h}", "fsqrt.d {f}, {g}", "fcvt.s.d {f}, {g}",
    "fld {f}, {o}(x8)", "fsd {f}, {o}(x8)", "csrrwi {d}, frm, {m}", "csrw fflags, x0", "csrr {d}, fcsr", "fsgnjn.d {f}, {g}, {h}",
)  # fmt: skip
# what a site may become: always four bytes
SITE_WORDS = ("addi x10, x10, 1", "xor x11, x11, x10", "addw x12, x11, x10", "lw x13, 8(x8)", "sw x12, 16(x8)", "lui x14, 77")
OTHER_WORDS = (0, 0x0040_006F)  # illegal; jal x0, 4


def pte(spa: int, flags: int) -> int:
    return spa >> 12 << 10 | flags | V


class Maker:
    """Makes the loop's source, by what may be in it."""

    def __init__(self, rng: random.Random, floats: bool, paged: bool) -> None:
        self.rng, self.floats, self.paged = rng, floats, paged
        self.sites = 0

    def fill(self, template: str) -> str:
        rng = self.rng
        x = [f"x{rng.randrange(10, 18)}" for _ in range(3)]
        f = [f"f{rng.randrange(8)}" for _ in range(3)]
        return template.format(
            d=x[0], a=x[1], b=x[2], i=rng.randrange(-2048, 2048), s=rng.randrange(64),
            h=f[2] if template in FLOAT else rng.randrange(32), f=f[0], g=f[1], o=8 * rng.randrange(64), m=rng.randrange(8),
        )  # fmt: skip

    def plain(self) -> list[str]:
        return [self.fill(self.rng.choice(ALU)) for _ in range(self.rng.randint(1, 4))]

    def floating(self) -> list[str]:
        return [self.fill(self.rng.choice(FLOAT)) for _ in range(self.rng.randint(1, 3))] if self.floats else self.plain()

    def access(self) -> list[str]:
        rng = self.rng
        size = rng.choice("bhwd")
        offset = rng.randrange(0, 512) if rng.random() < 0.2 else 8 * rng.randrange(0, 64)
        base = rng.choices(("x8", "x19", "x20", "x21", "x22", "x23", "x24"), (12, 6, 2, 1, 1, 1, 1))[0]
        offset = rng.randrange(8) if base == "x20" else offset
        name = f"l{size}" + rng.choice(("", "u") if size != "d" else ("",)) if rng.random() < 0.6 else f"s{size}"
        return [f"{name} x{rng.randrange(10, 18)}, {offset}({base})"]

    def walk(self) -> list[str]:
        """A load from, and a store to, the next of many pages."""
        return [
            "andi x7, x5, 31",
            "slli x7, x7, 12",
            "add x7, x7, x25",
            f"ld x10, {8 * self.rng.randrange(8)}(x7)",
            "sw x11, 128(x7)",
        ]

    def atomic(self) -> list[str]:
        rng = self.rng
        base = rng.choices(("x8", "x19", "x21", "x22", "x23", "x24"), (8, 2, 1, 1, 1, 1))[0]
        kind = rng.random()
        if kind < 0.5:
            return [f"{rng.choice(('amoadd', 'amoswap', 'amomaxu', 'amocas'))}.{rng.choice('wd')} x10, x11, ({base})"]
        between = self.rng.choice(([], self.plain(), [f"sd x10, {8 * rng.randrange(4)}({base})"]))
        size = rng.choice("wd")
        return [f"lr.{size} x12, ({base})", *between, f"sc.{size} x13, x11, ({base})", "add x14, x14, x13"]

    def patch(self) -> list[str]:
        """A store into a site: which one of its words follows from the loop's counter."""
        rng = self.rng
        index = ["andi x7, x5, 28", "add x7, x7, x6"]
        base = rng.choice(("x9", "x18"))
        site = rng.randrange(self.sites or 1)
        if rng.random() < 0.2:
            return [*index, "lh x7, 0(x7)", f"sh x7, site{site} - start({base})"]
        lines = [*index, "lw x7, 0(x7)", f"sw x7, site{site} - start({base})"]
        return [*lines, "fence.i"] if rng.random() < 0.3 else lines

    def site(self) -> list[str]:
        # sometimes across a line; sometimes the very next instruction after its patch
        pad = self.rng.choice(([], [], ["c.nop"], ["c.nop"] * 15))
        label = f"site{self.sites}:"
        self.sites += 1
        return [*pad, label, self.rng.choice(SITE_WORDS)]

    def remap(self) -> list[str]:
        """A store into the page tables: the callee's page or a data page."""
        if not self.paged:
            return self.patch()
        rng = self.rng
        page, words = rng.choice(((CALLEE_PAGE, 64), (CHANGING_PAGE, 96)))
        root = rng.choice(("x26", "x26", "x27"))
        lines = ["andi x7, x5, 24", f"addi x7, x7, {words}", "add x7, x7, x6", "ld x7, 0(x7)", f"sd x7, {8 * page}({root})"]
        return [*lines, "sfence.vma"] if rng.random() < 0.5 else lines

    def switch(self) -> list[str]:
        """To the other address space, or a change of what is allowed in this one."""
        if not self.paged:
            return ["csrw sscratch, x10", "csrr x11, sscratch"]
        if self.rng.random() < 0.3:
            return ["li x7, 0xc0000", self.rng.choice(("csrs", "csrc")) + " sstatus, x7"]
        return ["andi x7, x5, 8", "add x7, x7, x6", "ld x7, 128(x7)", "csrw satp, x7"]

    def csr(self) -> list[str]:
        return [
            self.rng.choice(
                ("rdtime x15", "rdinstret x16", "rdcycle x17", "csrrw x10, sscratch, x11", "csrr x12, sepc", "fence.i", "ecall")
            )
        ]

    def call(self) -> list[str]:
        return ["jalr x1, 0(x4)"]

    def branch(self) -> list[str]:
        n = self.rng.randrange(1 << 30)
        a, b = (f"x{self.rng.randrange(10, 18)}" for _ in range(2))
        return [f"{self.rng.choice(('beq', 'bltu', 'bge'))} {a}, {b}, over{n}", *self.plain(), f"over{n}:"]

    def inner(self) -> list[str]:
        n = self.rng.randrange(1 << 30)
        return [
            f"li x3, {self.rng.randint(1, 9)}",
            f"inner{n}:",
            *self.plain(),
            *self.access(),
            "addi x3, x3, -1",
            f"bnez x3, inner{n}",
        ]

    def loop(self) -> str:
        rng = self.rng
        self.sites = sites = rng.randint(1, 3)
        makers: tuple[Callable[[], list[str]], ...] = (
            self.plain, self.floating, self.access, self.walk, self.atomic, self.patch, self.remap, self.switch, self.csr,
            self.call, self.branch, self.inner,
        )  # fmt: skip
        weights = [rng.choice((0, 1, 3)) for _ in makers]
        weights[0] += 1
        parts = []
        for maker in rng.choices(makers, weights, k=rng.randint(6, 14)):
            part = maker()
            if maker in (self.patch, self.remap, self.switch) and rng.random() < 0.7:  # seldom, so that regions live
                n = rng.randrange(1 << 30)
                part = [f"andi x7, x5, {rng.choice((0x3C, 0xFC, 0x7FC))}", f"bnez x7, seldom{n}", *part, f"seldom{n}:"]
            parts.append(part)
        self.sites = 0
        for _ in range(sites):
            parts.insert(rng.randrange(len(parts) + 1), self.site())
        lines = [line for part in parts for line in part]
        return "\n".join(["start:", "again:", "addi x5, x5, 4", *lines, "j again"])

    def callee(self) -> str:
        return "\n".join([*self.plain(), *self.plain(), *self.access(), "ret", "c.nop"])


class World:
    """Twins with such a loop in them."""

    def __init__(self, rng: random.Random, *, floats: bool = False, harts: int = 1) -> None:
        self.rng = rng
        self.mode = rng.choice(("M", "S", "VS"))
        self.twins = Twins(SIZE, tlb_bits=rng.choice((0, 1, 2, 3, 5, 8)), harts=harts, sample=rng.choice((0, 16, 64, 1000)))
        maker = Maker(rng, floats, self.mode != "M")
        self.source = maker.loop()
        self.image = ASM.image(self.source, frame(CODE))
        assert len(self.image.code) < 1800
        self.words = [ASM.assemble(word) for word in SITE_WORDS] + list(OTHER_WORDS)
        rng.shuffle(self.words)
        self._fill(maker)
        self._start()

    @property
    def what(self) -> str:
        return f"{self.mode}\n{self.source}"

    def _fill(self, maker: Maker) -> None:
        twins, rng = self.twins, self.rng
        twins.write(frame(HANDLER), ASM.program(HANDLER_SOURCE, frame(HANDLER)))
        twins.write(frame(CODE), self.image.code)
        for n in (CALLEE, OTHER_CALLEE):
            twins.write(frame(n), ASM.program(maker.callee(), frame(n)))
        for n in (DATA, OTHER_DATA, WATCHED):
            twins.write(frame(n), rng.randbytes(PAGE))
        code = [pte(frame(n), f) for n, f in ((CALLEE, R | X), (OTHER_CALLEE, R | W | X), (CALLEE, X), (OTHER_CALLEE, R | X))]
        data = [pte(frame(n), f) for n, f in ((OTHER_DATA, R | W), (DATA, R | W), (OTHER_DATA, R), (WATCHED, R | W))]
        if rng.random() < 0.5:
            code[3] = data[3] = 0
        self.ptes = [entry | rng.choice((A | D, A | D, A, 0)) if entry else 0 for entry in code + data]
        first, second = (8 << 60 | frame(root) >> 12 for root in (FIRST_ROOT, SECOND_ROOT))
        table = b"".join(word.to_bytes(4, "little") for word in self.words).ljust(64, b"\0")
        table += b"".join(entry.to_bytes(8, "little") for entry in self.ptes)
        table += b"".join(root.to_bytes(8, "little") for root in (first, second))
        twins.write(frame(TABLES), table)
        for root, flip in ((FIRST_ROOT, 0), (SECOND_ROOT, 1)):
            twins.write(frame(root) + 8 * (VA >> 30), pte(frame(root + 1), 0).to_bytes(8, "little"))
            twins.write(frame(root + 1), pte(frame(root + 2), 0).to_bytes(8, "little"))
            entries = {page: pte(frame(n), R | W | X | A | D) for page, n in MAP.items()}
            entries[READ_ONLY_PAGE] = pte(frame(DATA), R | A | D)
            entries[DEVICE_PAGE] = pte(DEVICE, R | W | A | D)
            for i, page in enumerate(MANY):
                entries[page] = pte(frame(4 + (i ^ flip) % 4), R | W | A | D)
            for page, entry in entries.items():
                twins.write(frame(root + 2) + 8 * page, entry.to_bytes(8, "little"))
        for index, spa in ((0, 0), (2, RAM_START)):  # gigabytes
            twins.write(frame(G_ROOT) + 8 * index, pte(spa, R | W | X | U | A | D).to_bytes(8, "little"))

    def va(self, page: int) -> int:
        """Where the loop finds a page of MAP."""
        if self.mode != "M":
            return VA + page * PAGE
        others = {READ_ONLY_PAGE: frame(DATA), UNMAPPED_PAGE: 0x100, DEVICE_PAGE: DEVICE, 64: frame(4)}
        return others.get(page) or frame(MAP[page])

    def _start(self) -> None:
        twins, rng = self.twins, self.rng
        twins.registers(rng)
        registers = {
            4: self.va(CALLEE_PAGE), 5: 0, 6: self.va(11), 8: self.va(8), 9: self.va(0), 18: self.va(ALIAS_PAGE),
            19: self.va(CHANGING_PAGE), 20: self.va(8) + 0xFF8, 21: self.va(UNMAPPED_PAGE), 22: self.va(READ_ONLY_PAGE),
            23: self.va(DEVICE_PAGE), 24: self.va(10), 25: self.va(64), 26: self.va(TABLE_PAGE), 27: self.va(33), 28: self.va(0),
            29: 0,
        }  # fmt: skip
        for n, v in registers.items():
            twins.set(f"x{n}", v)
        if self.mode == "M":
            twins.set("x25", frame(DATA))  # not many pages: some of them are outside of RAM
        twins.set("bus", 1)
        twins.write_csr("mtvec", frame(HANDLER))
        twins.write_csr("menvcfg", STCE | rng.choice((0, ADUE)))
        for name in ("mcounteren", "hcounteren", "scounteren"):
            twins.write_csr(name, 7)
        twins.write_csr("mie", STI)
        twins.write_csr("stimecmp", rng.choice((1, 5, 1 << 40)))
        root = 8 << 60 | frame(FIRST_ROOT) >> 12
        fs = rng.choice((FS_DIRTY, FS_DIRTY, FS_DIRTY, 2 << 13, 1 << 13, 0))
        twins.set("mstatus", fs | (1 << 3 if self.mode == "M" else 0))
        twins.set("vsstatus", rng.choice((FS_DIRTY, FS_DIRTY, 1 << 13, 0)))
        twins.set("fcsr", rng.choice((0, 1, 1, 1 | rng.randrange(8) << 5)))
        twins.set("prv", 3 if self.mode == "M" else 1)
        twins.set("v", int(self.mode == "VS"))
        if self.mode == "S":
            twins.write_csr("satp", root)
        elif self.mode == "VS":
            twins.write_csr("vsatp", root)
            twins.write_csr("hgatp", rng.choice((0, 8 << 60 | frame(G_ROOT) >> 12)))
        twins.set("pc", self.va(0))
        for number, pair in enumerate(zip(*twins.sides, strict=True)):
            for hart in pair:
                hart.state[SLOT["x5"]] = 8 * number
                hart.state[SLOT["x10"]] = number
        if rng.random() < 0.3:
            for hart in twins.harts:
                hart.watch(frame(WATCHED))

    # -- what happens from outside

    def translate(self) -> None:
        labels = [address - frame(CODE) for name, address in self.image.symbols.items()]
        self.twins.translate(frame(CODE), sorted({0, self.rng.choice(labels)}))

    def ripen(self) -> None:
        """Have everything be nearly hot: what leaves a region is translated at once."""
        code = self.twins.memories[1].code.view
        for at in range(CODE_ENTRIES, CODE_ENTRIES + 4 * CODE_STRIDE):
            if code[at] < LEAST_ENTRY and at % CODE_STRIDE < PAGE // 2:
                code[at] = HEAT_WANTED - 1

    def disturb(self) -> None:
        """One of the things that may happen to a machine between two steps."""
        twins, rng = self.twins, self.rng
        kind = rng.randrange(9)
        if kind == 0:
            twins.flush()
        elif kind == 1:  # Python patches code
            site = self.image.symbols[rng.choice([n for n in self.image.symbols if n.startswith("site")])]
            twins.write(site, rng.choice(self.words).to_bytes(4, "little"))
        elif kind == 2:  # a device writes over the whole page what was there, or data
            n = rng.choice((CODE, DATA, OTHER_DATA))
            twins.write(frame(n), twins.memories[0].read(frame(n), PAGE) if n == CODE else rng.randbytes(PAGE))
        elif kind == 3:
            for root in (FIRST_ROOT, SECOND_ROOT):
                page, entries = rng.choice(((CALLEE_PAGE, self.ptes[:4]), (CHANGING_PAGE, self.ptes[4:])))
                twins.write(frame(root + 2) + 8 * page, rng.choice(entries).to_bytes(8, "little"))
        elif kind == 4:
            step = rng.randrange(1, 500)
            for hart in twins.harts:
                hart.state[SLOT["clock"]] += step
        elif kind == 5:
            self.translate()
        elif kind == 6:
            self.ripen()
        else:
            now = twins.plain.state[SLOT["clock"]] // 100
            twins.write_csr("stimecmp", now + rng.choice((0, 1, 2, 1 << 30)))

    def stop_somewhere(self) -> None:
        """A breakpoint or watchpoint, or none any more."""
        rng = self.rng
        choice = rng.randrange(7)
        address = value(rng)
        if choice < 2:
            address = self.va(0) + 2 * rng.randrange(len(self.image.code) // 2)
        elif choice < 4:
            address = self.va(rng.choice((8, CHANGING_PAGE))) + rng.randrange(512)
        access = rng.choice((Access.READ, Access.WRITE, Access.READ | Access.WRITE))
        csr = rng.choice(("mstatus", "sstatus", "vsstatus", "fflags", "fcsr", "mepc", "mcause", "stimecmp", "satp", "vsatp"))
        causes = rng.choice((None, [rng.randrange(24)], [1 << 63 | rng.randrange(12)]))
        for stops in self.twins.stops:
            if choice == 4:
                stops.clear()
            elif choice == 5:
                stops.add_csr_watch(csr)
            elif choice == 6:
                stops.add_trap_catch(causes)
            elif choice < 2:
                stops.add_breakpoint(address)
            elif choice == 2:
                stops.add_watchpoint(address, 8, access)
            else:
                stops.add_watchpoint(frame(DATA) + address % 512, 16, access, space=Space.HOST_PHYSICAL)
