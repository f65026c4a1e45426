"""Two-stage translation against a plain-Python walker: random tables, every access kind, down to mtval2 and mtinst."""

from __future__ import annotations

import random

import pytest

from tests.hext.bare import BASE, CODE, Bare
from tests.hext.rules import rule
from tests.hext.walker import LEVELS, Guest, R, Refused, W, X

SV39 = 8 << 60
RAM = range(BASE, BASE + (1 << 20))
MXR, SUM = 1 << 19, 1 << 18
# all guest tables and pages live in a few frames, so that random pointers often hit something; frame i holds tables of level
# i % 5
FRAMES = [BASE + 0x8000 + 0x1000 * i for i in range(24)]
G_ROOT = BASE + 0x20000  # 16 KiB: of Sv39x4, and the level below of the wider modes, whose roots point to each other
G_ROOTS = {8: G_ROOT, 9: BASE + 0x28000, 10: BASE + 0x2C000}
LOADS = {"hlv.b": 1, "hlv.hu": 2, "hlv.w": 4, "hlv.d": 8}
STORES = {"hsv.b": 1, "hsv.h": 2, "hsv.w": 4, "hsv.d": 8}


# D A G U X W R V of leaves: everything, read-only, execute-only, read and write, read and execute
LEAVES = (0b1100_1111, 0b1100_0011, 0b1100_1001, 0b1100_0111, 0b1100_1011)
PTE_U = 0b1_0000


def random_pte(rng: random.Random, level: int) -> int:
    """Mostly sound, so that walks get far; each bit is wrong now and then."""
    target = rng.choice(FRAMES)
    flags = rng.choice(LEAVES) | rng.choice((0, PTE_U)) if level == 0 or rng.random() < 0.1 else 1
    if rng.random() < 0.1:
        flags ^= 1 << rng.randrange(8)
    pte = target >> 2 | flags
    if 0 < level < 3 and flags & 0b1010 and rng.random() < 0.7:
        pte = (target >> 12 + 9 * level << 10 + 9 * level) | flags  # an aligned superpage
    if rng.random() < 0.02:
        pte |= 1 << rng.randrange(54, 64)
    if rng.random() < 0.02:
        pte |= 1 << rng.randrange(40, 54)
    return pte


def random_guest(rng: random.Random, bare: Bare) -> Guest:
    words: dict[int, int] = {}

    def put(spa: int, pte: int) -> None:
        words[spa] = pte
        bare.memory.write_u64(spa, pte)

    # each frame holds tables of one level, so that a walk from a root often arrives
    for i, frame in enumerate(FRAMES):
        for index in range(32):
            pte = random_pte(rng, i % 5)
            if pte & 0b1111 == 1 and rng.random() < 0.93:
                pte = FRAMES[rng.randrange(i % 5 - 1, len(FRAMES), 5)] >> 2 | 1
            put(frame + 8 * index, pte)
    # the G-stage maps guest physical RAM to itself, through tables in the first frames, with mistakes
    g_mid, g_leaf = BASE + 0x24000, BASE + 0x25000
    put(G_ROOT + 8 * (BASE >> 30), g_mid >> 2 | (1 if rng.random() < 0.97 else random_pte(rng, 2) & 0xFF))
    put(g_mid, g_leaf >> 2 | 1)
    for page in range(64):
        flags = PTE_U | (LEAVES[0] if rng.random() < 0.7 else rng.choice(LEAVES))
        if rng.random() < 0.05:
            flags ^= 1 << rng.randrange(8)
        put(g_leaf + 8 * page, (BASE + 0x1000 * page) >> 2 | flags)
    put(G_ROOTS[9], G_ROOT >> 2 | 1)
    put(G_ROOTS[10], G_ROOTS[9] >> 2 | 1)
    vs_mode, g_mode = rng.choice((0, 8, 8, 9, 10)), rng.choice((0, 8, 8, 9, 10))
    by_m = rng.random() < 0.5, rng.random() < 0.5
    return Guest(
        words,
        RAM,
        vsatp=vs_mode << 60 | rng.choice(FRAMES[LEVELS[vs_mode] - 1 :: 5]) >> 12 if vs_mode else 0,
        hgatp=g_mode << 60 | G_ROOTS[g_mode] >> 12 if g_mode else 0,
        g_adue=by_m[0],
        g_pbmte=by_m[1],
        vs_adue=by_m[0] and rng.random() < 0.6,
        vs_pbmte=by_m[1] and rng.random() < 0.6,
        user=rng.random() < 0.5,
        vs_sum=rng.random() < 0.5,
        vs_mxr=rng.random() < 0.5,
        hs_mxr=rng.random() < 0.5,
    )


def random_gva(rng: random.Random, guest: Guest) -> int:
    if guest.vsatp == 0 or rng.random() < 0.1:
        return rng.choice(FRAMES) + rng.randrange(4096)
    levels = LEVELS[guest.vsatp >> 60]
    gva = sum(rng.randrange(32) << 12 + 9 * level for level in range(levels)) | rng.randrange(4096)
    top = 12 + 9 * levels
    return gva | rng.choice((0, 0, 0, 0, 0, 0, 1 << top, (1 << 64) - (1 << top), 1 << 63))


def prepare(bare: Bare, guest: Guest) -> None:
    bare["vsatp"], bare["hgatp"] = guest.vsatp, guest.hgatp
    bare["menvcfg"] = guest.g_adue << 61 | guest.g_pbmte << 62
    bare["henvcfg"] = guest.vs_adue << 61 | guest.vs_pbmte << 62
    bare["vsstatus"] = (MXR if guest.vs_mxr else 0) | (SUM if guest.vs_sum else 0)
    bare["mstatus"] = MXR if guest.hs_mxr else 0
    bare["hstatus"] = 0 if guest.user else 1 << 8  # SPVP


def expected(guest: Guest, gva: int, access: str, size: int = 1, *, hlvx: bool = False) -> tuple[int, ...]:
    """("done", spa) or (cause, tval, gpa, implicit); a page-crossing access fails at its first bad part."""
    try:
        spa = guest.translate(gva, access, hlvx=hlvx)
        last = gva + size - 1 & (1 << 64) - 1
        if last >> 12 != gva >> 12:
            gva = last & ~4095
            guest.translate(gva, access, hlvx=hlvx)
    except Refused as refused:
        return refused.cause, gva, refused.gpa, refused.pseudo
    return -1, spa


@rule(
    "norm:H_vm_twostage",
    "norm:hlsv_trans",
    "norm:H_vm_gpatrans",
    "norm:H_vm_gpapriv",
    "norm:hgatp_mode_x4",
    "norm:H_guest_page_fault",
)
@pytest.mark.parametrize("seed", range(120))
def test_hlv_and_hsv_against_the_walker(seed: int) -> None:
    """norm: HLV, HLVX and HSV translate as VS- or VU-mode would; cause, mtval, mtval2, mtinst and GVA of each refusal."""
    rng = random.Random(f"hlv {seed}")
    bare = Bare(tlb_bits=rng.choice((1, 4, 8)))
    guest = random_guest(rng, bare)
    for _ in range(100):
        guest.user, guest.vs_sum = rng.random() < 0.5, rng.random() < 0.5
        guest.vs_mxr, guest.hs_mxr = rng.random() < 0.5, rng.random() < 0.5
        prepare(bare, guest)
        gva = random_gva(rng, guest)
        name, size, access, hlvx = rng.choice(
            [(n, s, R, False) for n, s in LOADS.items()]
            + [(n, s, W, False) for n, s in STORES.items()]
            + [("hlvx.hu", 2, R, True), ("hlvx.wu", 4, R, True)]
        )
        want = expected(guest, gva, access, size, hlvx=hlvx)
        if access == W and want[0] == -1:
            continue  # it would overwrite the tables; test_stores_reach_memory does it on a page of its own
        bare.mode(3)
        bare["x10"] = gva
        cause = bare.one(f"{name} a1, (a0)")
        where = f"seed {seed}: {name} of {gva:#x}, {guest.user=} {guest.vsatp=:#x} {guest.hgatp=:#x}"
        if want[0] == -1:
            assert cause is None, f"{where} trapped with {cause}"
            continue
        assert cause == want[0], where
        assert bare["mtval"] == want[1], where
        assert bare["mstatus"] >> 38 & 1 == 1, f"{where}: GVA"
        guest_page_fault = cause in (21, 23)
        assert bare["mtval2"] == (want[2] >> 2 if guest_page_fault else 0), where
        insn = bare.memory.read(CODE, 4)
        offset = want[1] - gva & (1 << 64) - 1
        transformed = int.from_bytes(insn, "little") & ~(31 << 15) | offset << 15
        tinst = (want[3] or transformed) if guest_page_fault else 0
        assert bare["mtinst"] == tinst, where
    for spa, pte in guest.words.items():
        assert bare.memory.read_u64(spa) == pte, f"seed {seed}: the PTE at {spa:#x}"


@rule("norm:H_vm_twostage", "norm:H_guest_page_fault", "norm:H_trap_xtinst_guestpage")
@pytest.mark.parametrize("seed", range(80))
def test_fetch_against_the_walker(seed: int) -> None:
    """A jump into VS- or VU-mode: mtinst is zero for the fetch itself and the pseudo-instruction for a table."""
    rng = random.Random(f"fetch {seed}")
    bare = Bare()
    guest = random_guest(rng, bare)
    bare["medeleg"] = 0
    for _ in range(40):
        guest.user, guest.hs_mxr = rng.random() < 0.5, rng.random() < 0.5
        prepare(bare, guest)
        pc = random_gva(rng, guest) & ~3
        want = expected(guest, pc, X)
        if want[0] == -1:
            continue
        bare.mode(0 if guest.user else 1, 1)
        bare["pc"] = pc
        bare["mcause"] = 99
        bare.hart.run(1)
        where = f"seed {seed}: fetch of {pc:#x}"
        assert bare["mcause"] == want[0], where
        assert (bare["mtval"], bare["mepc"]) == (want[1], pc), where
        assert bare["mtval2"] == (want[2] >> 2 if want[0] == 20 else 0), where
        assert bare["mtinst"] == (want[3] if want[0] == 20 else 0), where
        assert bare["mstatus"] >> 39 & 1 == 1, f"{where}: MPV"
