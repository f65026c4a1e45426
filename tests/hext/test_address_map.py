"""Address maps against walks: every range's rights are those that walks find, and what is in no range is not mapped."""

from __future__ import annotations

import random
from bisect import bisect_right

import pytest

from rvhv.hext.walks.address_map import MOST_TABLES, AddressMap, MapRange
from tests.hext.bare import BASE, Bare
from tests.hext.scenes import SUM, Scene
from tests.hext.test_walk_record import G_FLAGS, G_PTE, GVA, PAGE, S_LEAF, SV39, VS_LEAF, VS_PTE, VS_ROOT, U, V, W, tidy, to

OWNED = {"S": ("S", "U"), "VS": ("VS", "VU")}


def range_of(found: AddressMap, address: int) -> MapRange | None:
    i = bisect_right(found.ranges, address, key=lambda one: one.va) - 1
    if i < 0 or address >= found.ranges[i].va + found.ranges[i].size:
        return None
    return found.ranges[i]


def allowed(bare: Bare, address: int, mode: str) -> str | None:
    """The rights that walks find; None when something else than the tables decides."""
    letters = ""
    for access, letter in (("load", "r"), ("store", "w"), ("fetch", "x")):
        fault = bare.hart.walk(address, access, mode=mode).fault
        if fault is not None and fault.rule in ("pma", "pmp"):
            return None
        letters += "-" if fault is not None else letter
    return letters


def expected(one: MapRange | None, mode: str) -> str:
    if one is None:
        return "---"
    user = mode in ("U", "VU")
    first, second = one.first or "rwx-", one.second or "rwxu"
    may = first[:3] if user <= ("u" in first) or not one.first else "---"
    if one.first and not user and "u" in first:
        may = may[:2] + "-"  # with SUM it loads and stores there, and never executes
    return "".join(a if a == b else "-" for a, b in zip(may, second, strict=False))


@pytest.mark.parametrize("mode", ["S", "VS"])
@pytest.mark.parametrize("seed", range(12))
def test_random_tables(seed: int, mode: str) -> None:
    rng = random.Random(f"map {seed} {mode}")
    scene = Scene(rng)
    bare = scene.bare
    bare["pmpcfg0"] = 0x1F << 56
    bare["mstatus"] = bare["vsstatus"] = SUM
    before = bytes(bare.state), bare.memory.read(BASE, 1 << 20)
    found = bare.hart.map(mode)
    assert (bytes(bare.state), bare.memory.read(BASE, 1 << 20)) == before
    text = str(found)
    assert all(len(line) <= 80 for line in text.split("\n")), text
    ends = [(one.va, one.va + one.size) for one in found.ranges]
    assert all(a[1] <= b[0] for a, b in zip(ends, ends[1:], strict=False))
    if not found.complete:
        return  # tables that point to each other: what was not read is not known
    translating = scene.modes["satp" if mode == "S" else "vsatp"] or (mode == "VS" and scene.modes["hgatp"])
    addresses = [one.va + rng.randrange(one.size) for one in rng.sample(found.ranges, min(40, len(found.ranges)))]
    addresses += [scene.address(int(mode == "VS")) for _ in range(20)]
    for address in addresses if translating else ():
        for who in OWNED[mode]:
            rights = allowed(bare, address, who)
            assert rights in (None, expected(range_of(found, address), who)), f"{address:#x} {who}\n{text}"


def test_neighbours_are_one_range() -> None:
    bare = tidy()
    for n in range(2, 6):
        bare.memory.write_u64(VS_LEAF + 8 * n, to(PAGE + 0x1000 * (n - 1), S_LEAF))
    bare.memory.write_u64(VS_LEAF + 8 * 6, to(PAGE + 0x5000, S_LEAF & ~W))
    found = bare.hart.map("VS")
    assert found.complete
    page = GVA & ~0xFFF
    assert found.ranges == (
        MapRange(page, 0x5000, PAGE, PAGE, "rwx-", "rwxu", 1),
        MapRange(page + 0x5000, 0x1000, PAGE + 0x5000, PAGE + 0x5000, "r-x-", "rwxu", 1),
    )
    bare.memory.write_u64(G_PTE + 8, to(BASE + 0x40000, G_FLAGS))  # elsewhere in host memory
    assert bare.hart.map("VS").ranges[0] == MapRange(page, 0x5000, PAGE, PAGE, "rwx-", "rwxu", 3)
    bare.memory.write_u64(G_PTE + 8, 0)
    assert [(one.size, one.spa is None) for one in bare.hart.map("VS").ranges[:3]] == [
        (0x1000, False), (0x1000, True), (0x3000, False),
    ]  # fmt: skip
    assert "nothing" in str(bare.hart.map("VS"))


def test_a_g_stage_leaf_without_u_gives_nothing() -> None:
    bare = tidy()
    bare.memory.write_u64(G_PTE, to(PAGE, G_FLAGS & ~U))
    assert [one.second for one in bare.hart.map("VS").ranges] == ["----"]


def test_the_upper_half_is_sign_extended() -> None:
    bare = tidy()
    bare.memory.write_u64(VS_ROOT + 8 * 511, bare.memory.read_u64(VS_ROOT))
    assert bare.hart.map("S").ranges[-1].va == 0xFFFF_FFFF_C000_0000 | GVA & ~0xFFF


def test_tables_that_point_to_themselves_end() -> None:
    bare = Bare()
    for n in range(512):
        bare.memory.write_u64(VS_ROOT + 8 * n, to(VS_ROOT, V))
    bare.memory.write_u64(VS_PTE, to(PAGE, S_LEAF))
    bare["satp"] = SV39 + (2 << 60) | VS_ROOT >> 12
    found = bare.hart.map("S")
    assert not found.complete and len(found.ranges) <= MOST_TABLES * 512
    assert "there are more" in str(found)
    bare["satp"] = 0
    assert "nothing is translated" in str(bare.hart.map("S"))
