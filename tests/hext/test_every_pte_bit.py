"""Two-stage translation enumerated: each of the low eight bits of a leaf and of a pointer of either stage, under every
combination of privilege, SUM and MXR, for each kind of access, against the plain-Python walker."""

from __future__ import annotations

from itertools import product

import pytest

from rvhv.cpu.state import SLOT
from tests.hext.bare import ASSEMBLER, BASE, CODE, Bare
from tests.hext.rules import rule
from tests.hext.tables import ALL, DATA, GVA, PAGE, USER_ALL, TwoStage
from tests.hext.walker import Guest, R, Refused, W, X

SIZE = 1 << 20
SUM, MXR = 1 << 18, 1 << 19
ADUE = 1 << 61
G_DATA = BASE + 0x20_0000  # where the guest has DATA: none of its PTEs is CODE's
USER_CODE = 0x5555_0000  # a second mapping of CODE, for VU-mode
# kind: (instruction, access, whether HLVX)
KINDS = {
    "load": ("ld a0, 0(a1)", R, False),
    "store": ("sd a0, 0(a1)", W, False),
    "amo": ("amoadd.d a0, a0, (a1)", W, False),
    "fetch": ("jr a1", X, False),
    "hlv": ("hlv.d a0, (a1)", R, False),
    "hlvx": ("hlvx.wu a0, (a1)", R, True),
    "hsv": ("hsv.d a0, (a1)", W, False),
}

FEW_MODES = [(0, 0, 0, 0), (1, 0, 1, 0), (0, 1, 0, 1)]  # user, vsstatus.SUM and MXR, sstatus.MXR
KEEPS = {"load": 0x0000_7FFF, "store": 0x01F0_707F}  # of the transformed instruction; of the others all but rs1


def place_of(two: TwoStage, which: str) -> int:
    assert two.vs is not None
    stage, level = which.split()
    return (two.vs.entry(GVA, int(level))) if stage == "vs" else two.g.entry(G_DATA, int(level))


@rule("norm:H_vm_twostage", "norm:H_vm_gpatrans", "norm:H_vm_gpapriv", "norm:vsstatus_mxr_vm", "norm:sstatus_mxr_vm")
@rule("norm:H_vm_gstagetrans", "norm:H_vm_gpa_g", "norm:hlsv_trans", "norm:H_guest_page_fault", "norm:henvcfg_adue_op")
@pytest.mark.parametrize("which", ["vs 0", "vs 1", "g 0", "g 1"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adue", [0, 1])
def test_every_combination(bare: Bare, which: str, kind: str, adue: int) -> None:
    text, access, hlvx = KINDS[kind]
    two = TwoStage(bare)
    assert two.vs is not None
    state, run, memory = bare.state, bare.hart.run, bare.memory
    two.vs.map(CODE, CODE, ALL)
    two.vs.map(USER_CODE, CODE, USER_ALL)
    two.vs.map(GVA, G_DATA, ALL)
    two.g.map(G_DATA, DATA)
    word = ASSEMBLER.assemble(text)
    memory.write(CODE, word.to_bytes(4, "little"))
    memory.write(DATA, b"\x01\0" * (PAGE // 2))  # c.nop, for fetches
    bare["menvcfg"] = bare["henvcfg"] = adue * ADUE
    vsatp, hgatp = bare["vsatp"], bare["hgatp"]
    place = place_of(two, which)
    sound = memory.read_u64(place)
    tables = range(BASE + 0x10000, BASE + 0x30000, 8)
    words = {at: w for at in tables if (w := memory.read_u64(at))}
    virtual = kind in ("load", "store", "amo", "fetch")
    slots = [SLOT[n] for n in ("mcause", "mtval", "mtval2", "mtinst", "mepc")]
    mcause, steps = SLOT["mcause"], 2 if kind == "fetch" else 1
    modes = list(product((0, 1), repeat=4)) if which.endswith("0") and not adue else FEW_MODES
    for flags, (user, vs_sum, vs_mxr, hs_mxr) in product(range(256), modes):
        pte = sound & ~255 | flags
        memory.write_u64(place, pte)
        guest = Guest(
            {**words, place: pte}, range(BASE, BASE + SIZE), vsatp=vsatp, hgatp=hgatp, user=bool(user), vs_sum=bool(vs_sum),
            vs_mxr=bool(vs_mxr), hs_mxr=bool(hs_mxr), g_adue=bool(adue), vs_adue=bool(adue),
        )  # fmt: skip
        state[SLOT["vsstatus"]] = vs_sum * SUM | vs_mxr * MXR
        state[SLOT["mstatus"]] = hs_mxr * MXR
        state[SLOT["hstatus"]] = 0 if user else 1 << 8
        state[SLOT["prv"]], state[SLOT["v"]] = (0 if user else 1, 1) if virtual else (1, 0)
        pc = USER_CODE if user and virtual else CODE
        state[SLOT["pc"]], state[SLOT["x11"]], state[mcause] = pc, GVA, 99
        state[SLOT["traps_in_a_row"]] = 0  # nearly all of these trap
        want: tuple[int, ...]
        try:
            if virtual:
                guest.translate(pc, X)
            try:
                guest.translate(GVA, access, hlvx=hlvx)
                want = ()
            except Refused as refused:
                epc, kept = (GVA, 0) if kind == "fetch" else (pc, word & KEEPS.get(kind, ~(31 << 15)))
                tinst = (refused.pseudo or kept) if refused.cause >= 20 else 0
                want = (refused.cause, GVA, refused.gpa >> 2, tinst, epc)
        except Refused as refused:  # what the fetch of the instruction needs is broken too
            want = (refused.cause, pc, refused.gpa >> 2, refused.pseudo, pc)
        run(steps)
        got = () if state[mcause] == 99 else tuple(state[s] for s in slots)
        assert got == want, f"{which} {kind} {flags=:#010b} {user=} {vs_sum=} {vs_mxr=} {hs_mxr=} {adue=}"
        if adue:
            changed = {at: w for at, w in guest.words.items() if words.get(at) != w or at == place}
            for at, w in changed.items():
                assert memory.read_u64(at) == w, f"{which} {kind} {flags=:#010b}: the PTE at {at:#x}"
            for at in changed:
                memory.write_u64(at, words[at])
