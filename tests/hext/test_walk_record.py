"""The walk recorder against the hart: where a translation ends or which exception it raises, down to htval and htinst, and
which A and D bits change; over random and enumerated tables, all modes and accesses. The recorder itself changes nothing.
"""

from __future__ import annotations

import dataclasses
import json
import random

import pytest

from rvhv.errors import ConfigError
from rvhv.hext.walks.rules import LEAF_RULES, PTE_RULES
from tests.hext.bare import BASE, CODE, Bare
from tests.hext.scenes import MXR, PRV, SUM, Scene, become, check

CONTEXT = ("satp", "vsatp", "hgatp", "menvcfg", "henvcfg", "vsstatus", "mstatus", "hstatus", "pmpcfg0", "pmpaddr0")
RAM = 1 << 20


@pytest.mark.parametrize("seed", range(40))
def test_random_tables(seed: int) -> None:
    rng = random.Random(f"walk {seed}")
    scene = Scene(rng)
    bare = scene.bare
    for n in range(60):
        access = rng.choice(("load", "store", "fetch", "hlvx"))
        mode = rng.choice(("VS", "VU") if access == "hlvx" else ("U", "S", "VU", "VS", "VS"))
        address = scene.address(PRV[mode][1])
        status, vsstatus = (rng.choice((0, SUM)) | rng.choice((0, MXR)) for _ in range(2))
        become(bare, mode, access, status=status, vsstatus=vsstatus, spvp=rng.getrandbits(1))
        size = 2 if access == "fetch" else rng.choice((2, 4) if access == "hlvx" else (1, 2, 4, 8))
        before = bytearray(bare.memory.read(BASE, RAM))
        state = bytes(bare.state)
        walk = bare.hart.walk(address, access, size=size)
        assert bytes(bare.state) == state and bare.memory.read(BASE, RAM) == before
        where = f"seed {seed}, access {n}:\n{walk}\n" + " ".join(f"{csr}={bare[csr]:#x}" for csr in CONTEXT)
        assert walk.mode == mode
        assert all(len(line) <= 80 for line in str(walk).split("\n")), where
        json.dumps(dataclasses.asdict(walk))
        for spa, pte in walk.updates.items():
            before[spa - BASE : spa - BASE + 8] = pte.to_bytes(8, "little")
        check(bare, walk, size, where)
        before[CODE - BASE : CODE - BASE + 4] = bare.memory.read(CODE, 4)
        assert bare.memory.read(BASE, RAM) == before, where


# one tidy pair of stages, in which one thing at a time is wrong
VS_ROOT, VS_MID, VS_LEAF, PAGE = BASE + 0x8000, BASE + 0x9000, BASE + 0xA000, BASE + 0x10000
G_ROOT, G_MID, G_LEAF = BASE + 0x20000, BASE + 0x24000, BASE + 0x25000
GVA = 0x1238  # by the second entry of VS_LEAF to PAGE
VS_PTE, G_PTE, G_TABLE_PTE = VS_LEAF + 8, G_LEAF + 8 * 0x10, G_LEAF + 8 * 0xA  # the last one: of the page of VS_LEAF itself
SV39 = 8 << 60
ADUE, PBMTE = 1 << 61, 1 << 62
NAPOT = 3 << 3
D, A, G, U, X, W, R, V = (1 << n for n in (7, 6, 5, 4, 3, 2, 1, 0))
S_LEAF = D | A | X | W | R | V
G_FLAGS = S_LEAF | U


def to(spa: int, flags: int) -> int:
    return spa >> 2 | flags


def tidy() -> Bare:
    """VS-stage, G-stage and, by satp, the VS-stage's tables as the only stage, all Sv39; the G-stage is the identity."""
    bare = Bare()
    put = bare.memory.write_u64
    for table, below in ((VS_ROOT, VS_MID), (VS_MID, VS_LEAF), (G_MID, G_LEAF)):
        put(table, to(below, V))
    put(G_ROOT + 8 * (BASE >> 30), to(G_MID, V))
    put(VS_PTE, to(PAGE, S_LEAF))
    for n in range(RAM >> 12):
        put(G_LEAF + 8 * n, to(BASE + 0x1000 * n, G_FLAGS))
    bare["satp"] = bare["vsatp"] = SV39 | VS_ROOT >> 12
    bare["hgatp"] = SV39 | G_ROOT >> 12
    return bare


@dataclasses.dataclass
class Case:
    """`words` are put over the tidy tables, `csrs` written; the walk must be refused by `rule`, and say `says`."""

    rule: str
    says: str
    cause: int
    words: dict[int, int] = dataclasses.field(default_factory=dict)
    access: str = "load"
    mode: str = "VS"
    address: int = GVA
    status: int = 0
    vsstatus: int = 0
    csrs: dict[str, int] = dataclasses.field(default_factory=dict)
    stage: str | None = "G"
    htinst: int | None = None
    also: str = ""


def g(flags: int, rule: str, says: str, cause: int = 21, **more: object) -> Case:
    return Case(rule, says, cause, {G_PTE: to(PAGE, flags)}, **more)  # type: ignore[arg-type]


def vs(flags: int, rule: str, says: str, cause: int = 13, **more: object) -> Case:
    return Case(rule, says, cause, {VS_PTE: to(PAGE, flags)}, stage="VS", htinst=0, **more)  # type: ignore[arg-type]


def table_g(flags: int, rule: str, says: str, htinst: int, **more: object) -> Case:
    return Case(rule, says, 21, {G_TABLE_PTE: to(VS_LEAF, flags)}, htinst=htinst, **more)  # type: ignore[arg-type]


PROTECT_PAGE = {"pmpaddr0": PAGE >> 2 | 0x1FF, "pmpaddr1": (1 << 54) - 1}
CASES = [
    # the G-stage: one bit that is wrong
    g(G_FLAGS & ~U, "g-user", "U=0: a G-stage leaf needs U=1, because all G-stage accesses are made as if from U-mode"),
    g(G_FLAGS & ~V, "valid", "V=0"),
    g(G_FLAGS & ~R, "write-only", "W=1 with R=0"),
    g(G_FLAGS & ~X, "executable", "X=0: the page is not executable", 20, access="fetch", htinst=0),
    g(G_FLAGS & ~W, "writable", "W=0: the page is not writable", 23, access="store"),
    g(G_FLAGS & ~A, "accessed", "A=0: the hart does not set it itself while menvcfg.ADUE=0 (Svade)"),
    g(G_FLAGS & ~D, "dirty", "D=0: the hart does not set it itself for a store while menvcfg.ADUE=0", 23, access="store"),
    g(G_FLAGS & ~(R | W | X), "pointer-bits", "A=1, D=1, U=1: reserved in a PTE that points to a table"),
    g(V, "no-leaf", "R=0 and X=0 at level 0"),
    g(G_FLAGS & ~(R | W), "readable", "execute-only, and sstatus.MXR=0 (vsstatus.MXR does not count in the G-stage)",
      vsstatus=MXR),
    g(A | D | U | V | R, "hlvx", "X=0: HLVX needs X=1 where a load needs R=1", access="hlvx"),
    g(G_FLAGS | 1 << 54 | 1 << 60, "reserved", "reserved bits are set: bit 54, bit 60"),
    g(G_FLAGS | 1 << 61, "pbmt-off", "PBMT=1: reserved while menvcfg.PBMTE=0"),
    g(G_FLAGS | 3 << 61, "pbmt-reserved", "PBMT=3: a reserved memory type", csrs={"menvcfg": PBMTE}),
    g(G_FLAGS | 1 << 63, "napot", "N=1 with PPN[3:0]=0000"),
    g(G_FLAGS & ~(U | A), "g-user", "U=0", also="A=0"),
    Case("napot", "N=1: reserved in a leaf of level 1", 21, {G_MID: to(BASE, G_FLAGS) | 1 << 63}, htinst=0x3000),
    Case("napot", "N=1: reserved in a PTE that points to a table", 21, {G_MID: to(G_LEAF, V) | 1 << 63}, htinst=0x3000),
    Case("pbmt-pointer", "PBMT=2: reserved in a PTE that points", 21, {G_MID: to(G_LEAF, V) | 2 << 61},
         csrs={"menvcfg": PBMTE}, htinst=0x3000),
    *(Case("pointer-bits", f"{name}=1: reserved in a PTE that points", 21, {G_MID: to(G_LEAF, V | bit)}, htinst=0x3000)
      for name, bit in (("A", A), ("D", D), ("U", U))),
    Case("aligned", "misaligned superpage: the low 9 bits of its PPN are 0x25", 21, {G_MID: to(G_LEAF, G_FLAGS)}, htinst=0x3000),
    # addresses and roots
    *(Case("gpa-width", f"bits 63:{bits} of the gpa are not all 0: {name} translates {bits} bits", 21, address=1 << bits,
           csrs={"vsatp": 0, "hgatp": mode << 60 | G_ROOT >> 12})
      for mode, bits, name in ((8, 41, "Sv39x4"), (9, 50, "Sv48x4"), (10, 59, "Sv57x4"))),
    *(Case("canonical", f"bits 63:{bits} of the address are not all equal to bit {bits - 1}", 13, address=1 << bits - 1,
           csrs={"vsatp": mode << 60 | VS_ROOT >> 12}, stage="VS", htinst=0)
      for mode, bits in ((8, 39), (9, 48), (10, 57))),
    Case("pma", "not in RAM, where hgatp.PPN puts the root table", 5, csrs={"hgatp": SV39}, htinst=0),
    Case("gpa-width", "bits 63:41", 21, csrs={"vsatp": SV39 | 1 << 32}, htinst=0x3000),
    Case("pma", "not in RAM, where satp.PPN puts the root table", 13 - 8, csrs={"satp": SV39}, mode="S", stage="S", htinst=0),
    Case("pma", "is not in RAM, and no device answers a load there", 5, {G_PTE: to(0x1000, G_FLAGS)}, stage=None, htinst=0),
    # the VS-stage
    vs(S_LEAF | U, "user", "U=1 with vsstatus.SUM=0: VS-mode may not touch a user page", status=SUM),
    vs(S_LEAF | U, "user", "U=1: VS-mode never executes a user page", 12, access="fetch", vsstatus=SUM),
    vs(S_LEAF, "user", "U=0: VU-mode may only use pages with U=1", mode="VU"),
    vs(S_LEAF & ~(R | W), "readable", "execute-only, and neither vsstatus.MXR nor sstatus.MXR is 1"),
    vs(A | V | R, "hlvx", "X=0: HLVX needs X=1", access="hlvx"),
    vs(S_LEAF & ~A, "accessed", "while henvcfg.ADUE=0", csrs={"menvcfg": ADUE}),
    vs(S_LEAF & ~A, "accessed", "while henvcfg.ADUE=0", csrs={"henvcfg": ADUE}),  # read-only zero while menvcfg's is 0
    vs(S_LEAF | 1 << 61, "pbmt-off", "PBMT=1: reserved while henvcfg.PBMTE=0", csrs={"menvcfg": PBMTE}),
    # the VS-stage's tables are read and written through the G-stage
    table_g(G_FLAGS & ~U, "g-user", "U=0: a G-stage leaf needs U=1", 0x3000),
    table_g(G_FLAGS & ~(R | W), "readable", "MXR never counts for a walk's own reads", 0x3000, status=MXR, vsstatus=MXR),
    Case("writable", "W=0: the page is not writable", 21,
         {G_TABLE_PTE: to(VS_LEAF, G_FLAGS & ~W), VS_PTE: to(PAGE, S_LEAF & ~A)},
         csrs={"menvcfg": ADUE, "henvcfg": ADUE}, htinst=0x3020),
    # a single stage
    Case("user", "U=1 with sstatus.SUM=0: S-mode may not touch a user page", 13, {VS_PTE: to(PAGE, S_LEAF | U)}, mode="S",
         vsstatus=SUM, stage="S", htinst=0),
    Case("readable", "execute-only, and sstatus.MXR=0", 13, {VS_PTE: to(PAGE, A | X | V)}, mode="S", vsstatus=MXR, stage="S",
         htinst=0),
    # protection: of what is accessed, and of the tables
    Case("pmp", "a load needs R at h:0x80010238: PMP entry 0 (NAPOT 0x80010000 to 0x80010fff, --x)", 5, stage=None, htinst=0,
         csrs={**PROTECT_PAGE, "pmpcfg0": NAPOT | 4 | (NAPOT | 7) << 8}),
    Case("pmp", "HLVX needs R and X at h:0x80010238: PMP entry 0", 5, access="hlvx", stage=None, htinst=0,
         csrs={**PROTECT_PAGE, "pmpcfg0": NAPOT | 1 | (NAPOT | 7) << 8}),
    Case("pmp", "page tables are read as S-mode, which needs R: PMP entry 0", 5, htinst=0,
         csrs={**PROTECT_PAGE, "pmpaddr0": G_MID >> 2 | 0x1FF, "pmpcfg0": NAPOT | (NAPOT | 7) << 8}),
    Case("pmp", "A and D are written as S-mode, which needs W: PMP entry 0", 7, {G_PTE: to(PAGE, G_FLAGS & ~D)}, access="store",
         csrs={**PROTECT_PAGE, "pmpaddr0": G_LEAF >> 2 | 0x1FF, "pmpcfg0": NAPOT | 1 | (NAPOT | 7) << 8, "menvcfg": ADUE},
         htinst=0),
]  # fmt: skip


def arrange(case: Case) -> Bare:
    bare = tidy()
    for spa, pte in case.words.items():
        bare.memory.write_u64(spa, pte)
    if "pmpcfg0" in case.csrs:
        bare["pmpcfg0"] = 0
    for csr, value in case.csrs.items():
        bare[csr] = value
    become(bare, case.mode, case.access, status=case.status, vsstatus=case.vsstatus)
    return bare


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.stage}-{case.rule}-{case.access}")
def test_what_is_wrong_is_named(case: Case) -> None:
    bare = arrange(case)
    walk = bare.hart.walk(case.address, case.access, mode=case.mode)
    fault = walk.fault
    assert fault is not None, walk
    assert (fault.rule, fault.cause, fault.stage, fault.htinst) == (case.rule, case.cause, case.stage, case.htinst), walk
    assert case.says in fault.text
    assert case.says in walk.explain() and f"cause {case.cause}" in walk.explain()
    if fault.level is not None:
        last = walk.accesses[-1]
        assert (last.verdict, last.rule, last.stage, last.step) == ("refused", case.rule, case.stage, fault.step)
        assert case.also in " ".join(last.also)
        assert bool(last.also) == bool(case.also)
    assert case.says in " ".join(str(walk).split()), "the table says it too"
    check(bare, walk, 2 if case.access == "hlvx" else 1)


def test_every_rule_has_a_case() -> None:
    named = {rule.name for rule in (*PTE_RULES, *LEAF_RULES)}
    assert named <= {case.rule for case in CASES}


@pytest.mark.parametrize("stage", ["S", "VS", "G"])
def test_every_combination_of_flags(stage: str) -> None:
    """All 256 values of a leaf's low byte, for every access, privilege, SUM and MXR, and as a superpage."""
    bare = tidy()
    memory = bare.memory
    for level in (0, 1):
        place = {0: G_PTE if stage == "G" else VS_PTE, 1: G_MID if stage == "G" else VS_MID}[level]
        sound = memory.read_u64(place)
        target = PAGE if level == 0 else BASE
        address = {0: GVA, 1: 0x1_0238}[level]  # both of PAGE
        if stage == "G" and level == 1:
            memory.write_u64(VS_PTE, to(PAGE, S_LEAF | U))
        for flags in range(256):
            if stage == "G" and level == 1 and flags & (V | R | U | A) != V | R | U | A:
                continue  # the tables of the VS-stage lie behind it as well
            memory.write_u64(place, to(target, flags))
            for access in ("load", "store", "fetch", "hlvx"):
                for mode in ("VS", "VU") if access == "hlvx" else ("S", "U") if stage == "S" else ("VS", "VU"):
                    for status, vsstatus in ((0, 0), (SUM | MXR, 0), (0, SUM | MXR)):
                        if status | vsstatus and (level or flags & (V | A | D) != V | A | D):
                            continue
                        become(bare, mode, access, status=status, vsstatus=vsstatus)
                        where = GVA if stage == "G" else address
                        walk = bare.hart.walk(where, access)
                        check(bare, walk, 2)
        memory.write_u64(place, sound)


def test_a_good_walk_says_everything() -> None:
    """Both stages of Sv39: fifteen accesses, the PTEs by name, and where it ends."""
    bare = tidy()
    become(bare, "VS", "load")
    walk = bare.hart.walk(GVA, "load", size=8)
    assert len(walk.accesses) == 15
    last_vs = [one for one in walk.accesses if one.stage == "VS"][-1]
    assert (last_vs.table_gpa, last_vs.table_spa, last_vs.index) == (VS_LEAF, VS_LEAF, 1)
    assert (last_vs.pte_gpa, last_vs.pte_spa, last_vs.pte) == (VS_PTE, VS_PTE, to(PAGE, S_LEAF))
    assert last_vs.bits == ("V", "R", "W", "X", "A", "D") and last_vs.verdict == "leaf"
    assert [one.level for one in walk.accesses if one.stage == "VS"] == [2, 1, 0]
    assert walk.reached is not None
    assert (walk.reached.spa, walk.reached.gpa, walk.reached.page_size) == (PAGE + 0x238, PAGE + 0x238, 4096)
    assert walk.reached.rights == "rwx" and walk.reached.stage_rights == {"VS": "rwx", "G": "rwx"}
    assert walk.refused is None
    assert walk.explain().endswith("in a page of 4 KiB, rights rwx.")


def test_rights_are_composed() -> None:
    bare = tidy()
    bare.memory.write_u64(VS_PTE, to(PAGE, S_LEAF & ~X))
    bare.memory.write_u64(G_PTE, to(PAGE, G_FLAGS & ~W))
    reached = bare.hart.walk(GVA, mode="VS").reached
    assert reached is not None
    assert (reached.rights, reached.stage_rights) == ("r--", {"VS": "rw-", "G": "r-x"})


def test_svadu_is_recorded_and_not_done() -> None:
    bare = tidy()
    bare["menvcfg"] = bare["henvcfg"] = ADUE
    bare.memory.write_u64(VS_PTE, to(PAGE, S_LEAF & ~(A | D)))
    become(bare, "VS", "store")
    walk = bare.hart.walk(GVA, "store")
    assert walk.updates == {VS_PTE: to(PAGE, S_LEAF)}
    written = [one for one in walk.accesses if one.kind == "write"]
    assert [(one.verdict, one.pte_spa, one.pte) for one in written] == [("updated", VS_PTE, to(PAGE, S_LEAF))]
    assert "sets A, D" in str(walk)
    assert bare.memory.read_u64(VS_PTE) == to(PAGE, S_LEAF & ~(A | D))
    check(bare, walk, 1)
    assert bare.memory.read_u64(VS_PTE) == to(PAGE, S_LEAF)


def test_a_pte_that_the_walk_updated_is_read_back() -> None:
    """The page of the VS-stage's table is the page accessed: its A bit, set for the read of the table, is set once."""
    bare = tidy()
    bare["menvcfg"] = ADUE
    bare.memory.write_u64(VS_PTE, to(VS_LEAF, S_LEAF))
    bare.memory.write_u64(G_TABLE_PTE, to(VS_LEAF, G_FLAGS & ~A))
    become(bare, "VS", "load")
    walk = bare.hart.walk(GVA)
    assert [one.verdict for one in walk.accesses if one.pte_spa == G_TABLE_PTE] == ["leaf", "updated", "leaf"]
    assert walk.spa == VS_LEAF + 0x238


def test_bare_and_m_mode_translate_nothing() -> None:
    bare = Bare()
    bare["bus"] = 1
    for mode in ("M", "S", "VS"):
        walk = bare.hart.walk(BASE + 8, mode=mode)
        assert walk.accesses == () and walk.spa == BASE + 8
    device = bare.hart.walk(0x1000_0000, "store").reached
    assert device is not None and device.memory == "device"
    assert bare.hart.walk(0x1000_0000, "fetch").fault is not None


@pytest.mark.parametrize("access, mode, complaint", [("amo", None, "no kind of access"), ("load", "HS", "no mode")])
def test_unknown_words(access: str, mode: str | None, complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        Bare().hart.walk(0, access, mode=mode)
