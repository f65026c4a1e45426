"""Random page tables of all stages on a bare hart, and making the hart do an access in any mode."""

from __future__ import annotations

import random
from functools import cache

from rvhv.hext.walks.record import Walk
from tests.hext.bare import ASSEMBLER, BASE, CODE, Bare

SUM, MXR, MPRV = 1 << 18, 1 << 19, 1 << 17
ADUE, PBMTE = 61, 62
LEVELS = {8: 3, 9: 4, 10: 5}
PRV = {"U": (0, 0), "S": (1, 0), "VU": (0, 1), "VS": (1, 1)}
# frame i holds tables of level i % 5, so that a walk from a root often arrives
FRAMES = [BASE + 0x8000 + 0x1000 * i for i in range(24)]
G_MID, G_LEAF = BASE + 0x24000, BASE + 0x25000
G_ROOTS = {8: BASE + 0x20000, 9: BASE + 0x28000, 10: BASE + 0x2C000}
PTE_U = 0x10
OPEN = 3 << 3 | 7  # a NAPOT entry with R, W and X


class Scene:
    """A hart with random tables for all stages, and whoever accesses."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.bare = Bare(tlb_bits=rng.choice((1, 4)))
        self.put_tables()
        self.put_protection()
        bare = self.bare
        self.modes = {csr: rng.choice((0, 8, 8, 9, 10)) for csr in ("satp", "vsatp", "hgatp")}
        for csr, mode in self.modes.items():
            root = G_ROOTS.get(mode, 0) if csr == "hgatp" else rng.choice(FRAMES[LEVELS.get(mode, 1) - 1 :: 5])
            if rng.random() < 0.03:
                root = rng.choice((0, BASE + (1 << 20), 1 << 45))
            bare[csr] = mode << 60 | root >> 12 if mode else 0
        bare["menvcfg"] = rng.getrandbits(1) << ADUE | rng.getrandbits(1) << PBMTE
        bare["henvcfg"] = rng.getrandbits(1) << ADUE | rng.getrandbits(1) << PBMTE
        bare["bus"] = rng.getrandbits(1)

    def put_tables(self) -> None:
        rng, put = self.rng, self.bare.memory.write_u64
        for i, frame in enumerate(FRAMES):
            for index in range(32):
                put(frame + 8 * index, self.random_pte(i % 5))
        # the G-stage maps guest physical RAM to itself, with mistakes
        put(G_ROOTS[8] + 8 * (BASE >> 30), G_MID >> 2 | (1 if rng.random() < 0.97 else self.random_pte(2) & 0xFF))
        put(G_MID, G_LEAF >> 2 | 1)
        for page in range(64):
            flags = PTE_U | rng.choice((0xCF, 0xCF, 0xCF, 0xC3, 0xC9, 0xC7, 0xCB, 0x0F))
            if rng.random() < 0.05:
                flags ^= 1 << rng.randrange(8)
            put(G_LEAF + 8 * page, (BASE + 0x1000 * page) >> 2 | flags)
        put(G_ROOTS[9], G_ROOTS[8] >> 2 | 1)
        put(G_ROOTS[10], G_ROOTS[9] >> 2 | 1)

    def random_pte(self, level: int) -> int:
        """Mostly sound, so that walks get far; each bit is wrong now and then."""
        rng = self.rng
        if level and rng.random() < 0.85:
            return FRAMES[rng.randrange(level - 1, len(FRAMES), 5)] >> 2 | 1
        target = rng.choice(FRAMES)
        flags = rng.choice((0xCF, 0xC3, 0xC9, 0xC7, 0xCB, 0x4F, 0x0F)) | rng.choice((0, PTE_U))
        if rng.random() < 0.15:
            flags ^= 1 << rng.randrange(8)
        pte = target >> 2 | flags
        if 0 < level < 3 and rng.random() < 0.7:
            pte = (target >> 12 + 9 * level << 10 + 9 * level) | flags  # an aligned superpage
        for low, high in ((40, 54), (54, 64)):
            if rng.random() < 0.02:
                pte |= 1 << rng.randrange(low, high)
        if rng.random() < 0.04:
            pte = pte & ~(0xF << 10) | 8 << 10 | 1 << 63  # a 64 KiB page
        return pte

    def put_protection(self) -> None:
        """Entry 7 lets everyone do all; before it, now and then, something small."""
        rng, bare = self.rng, self.bare
        bare["pmpcfg0"] = 0
        bare["pmpaddr7"] = (1 << 54) - 1
        config = OPEN << 56
        for i in range(2):
            if rng.random() < 0.4:
                frame = rng.choice([*FRAMES, G_MID, G_LEAF, *G_ROOTS.values()])
                kind = rng.choice((1, 2, 3))
                bare[f"pmpaddr{i}"] = (frame + rng.randrange(0, 4096, 4)) >> 2 if kind == 2 else frame >> 2 | 0x1FF
                config |= (kind << 3 | rng.choice((0, 1, 3, 4, 5, 7))) << 8 * i
        bare["pmpcfg0"] = config

    def address(self, virtual: int) -> int:
        rng = self.rng
        mode = self.modes["vsatp" if virtual else "satp"]
        if not mode or rng.random() < 0.05:
            return rng.choice((*FRAMES, BASE - 4096, BASE + (1 << 20), rng.getrandbits(64) & ~4095)) + rng.randrange(0, 4096, 8)
        address = sum(rng.randrange(32) << 12 + 9 * n for n in range(LEVELS[mode])) | rng.randrange(0, 4096, 8)
        top = 12 + 9 * LEVELS[mode]
        return address | rng.choice((*[0] * 20, 1 << top, (1 << 64) - (1 << top), 1 << 63))


def become(bare: Bare, mode: str, access: str, *, status: int = 0, vsstatus: int = 0, spvp: int = 0) -> None:
    """Loads and stores are M-mode's under MPRV, fetches the mode's own, and HLVX the hypervisor's."""
    prv, v = PRV[mode]
    bare["vsstatus"] = vsstatus
    bare["mstatus"] = status | (MPRV | prv << 11 | v << 39 if access in ("load", "store") else 0)
    bare["hstatus"] = (prv if access == "hlvx" else spvp) << 8
    bare.mode(*(PRV[mode] if access == "fetch" else (3, 0)))


def trap(bare: Bare, address: int, access: str, size: int) -> int:
    """Have the hart do it; the instruction."""
    bare["mcause"] = 99
    bare["traps_in_a_row"] = 0  # this many in a row are meant
    bare.hart.drain_trace()
    if access == "fetch":
        bare["pc"] = address
        bare.hart.run(1)
        return 0
    width = {1: "b", 2: "h", 4: "w", 8: "d"}[size]
    bare["x10"] = address
    code = assembled(f"hlvx.{width}u a1, (a0)" if access == "hlvx" else f"{access[0]}{width} a1, 0(a0)")
    if bare.memory.read(CODE, 4) != code:
        bare.memory.write(CODE, code)
    bare["pc"] = CODE
    bare.hart.run(1)
    return int.from_bytes(code, "little")


@cache
def assembled(text: str) -> bytes:
    return ASSEMBLER.program(text, CODE)


def find(bare: Bare, address: int, access: str) -> int | None:
    """Where the hart's own translation arrives."""
    if access == "hlvx":
        return bare.hart.translate(address, 8)
    return bare.hart.find(address, {"load": 1, "store": 2, "fetch": 4}[access])


def check(bare: Bare, walk: Walk, size: int, where: str = "") -> None:
    """The hart, made to do what was walked, must agree: address, or cause, tval, tval2, tinst and GVA."""
    fault = walk.fault
    if fault is None:
        assert find(bare, walk.address, walk.access) == walk.spa, where or str(walk)
        return
    insn = trap(bare, walk.address, walk.access, size)
    kept = {"load": 0x0000_7FFF, "store": 0x01F0_707F, "hlvx": ~(31 << 15), "fetch": 0}[walk.access]
    htinst = insn & kept if fault.htinst is None else fault.htinst
    expected = (fault.cause, fault.stval, fault.htval, htinst, int(fault.gva))
    actual = (bare["mcause"], bare["mtval"], bare["mtval2"], bare["mtinst"], bare["mstatus"] >> 38 & 1)
    assert actual == expected, where or str(walk)
