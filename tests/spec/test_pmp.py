"""PMP against a plain-Python reading of the manual: every mode, size and matching kind, locks, MPRV, pages covered in part."""

from __future__ import annotations

import random

import pytest

from tests.hext.bare import BASE, CODE, Bare

R, W, X, L = 1, 2, 4, 0x80
OFF, TOR, NA4, NAPOT = 0, 1, 2, 3
U, S, M = 0, 1, 3
DATA = BASE + 0x8000  # two pages for accesses
LOADS = {1: "lb", 2: "lh", 4: "lw", 8: "ld"}
STORES = {1: "sb", 2: "sh", 4: "sw", 8: "sd"}


def matches(config: list[int], addresses: list[int], i: int, byte: int) -> bool:
    """Whether entry i matches the byte at this physical address."""
    kind = config[i] >> 3 & 3
    word = byte >> 2
    if kind == TOR:
        return (addresses[i - 1] if i else 0) <= word < addresses[i]
    if kind == NA4:
        return word == addresses[i]
    if kind == NAPOT:
        ones = (~addresses[i] & addresses[i] + 1).bit_length() - 1
        return word >> ones + 1 == addresses[i] >> ones + 1
    return False


def allowed(config: list[int], addresses: list[int], spa: int, size: int, prv: int, need: int) -> bool:
    """norm: the lowest entry that matches any byte decides, and must match all; without one only M-mode may."""
    for i in range(16):
        hits = [matches(config, addresses, i, spa + n) for n in range(size)]
        if any(hits):
            if not all(hits):
                return False
            return (prv == M and not config[i] & L) or bool(config[i] & need)
    return prv == M


def random_entries(rng: random.Random) -> tuple[list[int], list[int]]:
    """Entries around the data pages, small ones too; entry 15 opens the code for everyone."""
    config, addresses = [], []
    for _ in range(15):
        kind = rng.choice((OFF, OFF, TOR, NA4, NAPOT))
        rights = rng.choice((0, R, R | W, R | X, R | W | X, X))
        config.append(kind << 3 | rights | (L if rng.random() < 0.15 else 0))
        word = (DATA + rng.randrange(-16, 0x2010, 4)) >> 2
        if kind == NAPOT:
            ones = rng.choice((0, 1, 2, 5, 8, 9, 10))
            word = word >> ones + 1 << ones + 1 | (1 << ones) - 1
        addresses.append(word)
    return [*config, NAPOT << 3 | R | W | X], [*addresses, (BASE >> 2) | (1 << 12) - 1]


def write(bare: Bare, config: list[int], addresses: list[int]) -> None:
    for i, address in enumerate(addresses):
        bare[f"pmpaddr{i}"] = address
    for csr, first in (("pmpcfg0", 0), ("pmpcfg2", 8)):
        bare[csr] = sum(config[first + n] << 8 * n for n in range(8))


def fresh() -> Bare:
    bare = Bare()
    bare["pmpcfg0"] = 0
    return bare


@pytest.mark.parametrize("seed", range(40))
def test_loads_and_stores(seed: int) -> None:
    rng = random.Random(f"pmp {seed}")
    bare = fresh()
    config, addresses = random_entries(rng)
    write(bare, config, addresses)
    for _ in range(60):
        prv, mprv = rng.choice((U, S, M)), rng.random() < 0.3
        size = rng.choice((1, 2, 4, 8))
        spa = DATA + rng.choice((rng.randrange(0x1FF0), rng.choice(addresses[:15]) * 4 - DATA + rng.randrange(-8, 9)))
        if not BASE + 0x4000 <= spa < BASE + 0xC000 or (spa & 4095) + size > 4096:
            continue  # the crossing of pages is two accesses, each checked on its own
        if not allowed(config, addresses, CODE, 4, prv, X):
            continue
        store = rng.random() < 0.5
        effective = prv
        bare["mstatus"] = 0
        if mprv and prv == M:
            effective = rng.choice((U, S))
            bare["mstatus"] = 1 << 17 | effective << 11
        bare.mode(prv)
        bare["x10"] = spa
        cause = bare.one(f"{STORES[size] if store else LOADS[size]} x11, 0(x10)")
        want = allowed(config, addresses, spa, size, effective, W if store else R)
        what = f"seed {seed}: {'store' if store else 'load'} of {size} at {spa:#x} as {effective}"
        assert cause == (None if want else 7 if store else 5), what
        if cause is not None:
            assert bare["mtval"] == spa, what


@pytest.mark.parametrize("seed", range(40))
def test_fetches(seed: int) -> None:
    """One instruction at a place that entries may cover in part: two or four bytes must be executable."""
    rng = random.Random(f"pmp fetch {seed}")
    bare = fresh()
    config, addresses = random_entries(rng)
    write(bare, config, addresses)
    nop, c_nop = (0x13).to_bytes(4, "little"), (1).to_bytes(2, "little")
    for _ in range(60):
        prv = rng.choice((U, S, M))
        size = rng.choice((2, 4))
        pc = DATA + rng.randrange(0, 0x1FF8, 2)
        if rng.random() < 0.6:
            pc = rng.choice(addresses[:15]) * 4 + rng.choice((-4, -2, 0, 2))
        if not DATA <= pc < DATA + 0x1FF8 or (pc & 4095) + size > 4096:
            continue
        bare.memory.write(pc, nop if size == 4 else c_nop)
        bare.mode(prv)
        bare["pc"], bare["mcause"] = pc, 99
        bare.hart.run(1)
        parts = [allowed(config, addresses, pc, 2, prv, X)]
        if size == 4:
            parts = [*parts, allowed(config, addresses, pc + 2, 2, prv, X)]
        what = f"seed {seed}: fetch of {size} at {pc:#x} as {prv}"
        if all(parts):
            assert bare["mcause"] == 99, what
            assert bare["pc"] == pc + size, what
        else:
            assert (bare["mcause"], bare["mepc"]) == (1, pc), what


@pytest.mark.parametrize("budgets", [[5], [1] * 5, [2, 3]])
def test_a_run_through_a_page_covered_in_part(budgets: list[int]) -> None:
    """Straight code up to the end of what is executable: it stops at the first byte that is not, in any budgets."""
    bare = fresh()
    bare["pmpaddr0"] = (DATA + 0x20) >> 2
    bare["pmpcfg0"] = TOR << 3 | R | W | X
    bare.load("\n".join(["addi x5, x5, 1"] * 16), DATA)
    bare["pc"] = DATA + 0x10
    bare.mode(S)
    for budget in budgets:
        bare.hart.run(budget)
    assert (bare["x5"], bare["mcause"], bare["mepc"]) == (4, 1, DATA + 0x20)


def test_after_reset_only_m_mode_may_access() -> None:
    """norm: no entry matches, so S- and U-mode fail."""
    bare = fresh()
    assert bare.one("lw x11, 0(x10)") == 5  # address 0 is not RAM
    bare["x10"] = DATA
    assert bare.one("lw x11, 0(x10)") is None
    bare.mode(S)
    assert bare.one("lw x11, 0(x10)") == 1


@pytest.mark.parametrize("rights", [R, X, R | X])
def test_hlvx_needs_read_and_execute(rights: int) -> None:
    """norm:hlsv_u_op: what physical memory protection grants must have both."""
    bare = fresh()
    bare["pmpaddr0"], bare["pmpcfg0"] = (1 << 54) - 1, NAPOT << 3 | rights
    bare["hstatus"], bare["x10"] = 1 << 8, DATA
    assert bare.one("hlvx.hu x11, (x10)") == (None if rights == R | X else 5)


def test_locks() -> None:
    """norm: a locked entry keeps its byte and its address, and the address below a locked TOR; R = 0 with W = 1 is not taken."""
    bare = fresh()
    bare["pmpaddr2"], bare["pmpaddr3"] = 0x100, 0x200
    bare["pmpcfg0"] = (L | TOR << 3 | R) << 24
    for name, value in (("pmpaddr2", 0x100), ("pmpaddr3", 0x200), ("pmpcfg0", (L | TOR << 3 | R) << 24)):
        bare[name] = 0
        assert bare[name] == value, name
    bare["pmpcfg0"] = W
    assert bare["pmpcfg0"] & 0xFF == 0
    bare["pmpaddr0"] = (1 << 64) - 1
    assert bare["pmpaddr0"] == (1 << 54) - 1


def test_a_changed_entry_counts_at_once() -> None:
    """What the TLB and the fetch entries were made with is dropped by the write."""
    bare = fresh()
    bare["pmpaddr0"], bare["pmpcfg0"] = (1 << 54) - 1, NAPOT << 3 | R | W | X
    bare["x10"] = DATA
    bare.mode(S)
    assert bare.one("lw x11, 0(x10)") is None
    bare.mode(M)
    bare["pmpcfg0"] = NAPOT << 3 | X
    bare.mode(S)
    bare["pc"], bare["mcause"] = CODE, 99
    bare.hart.run(1)
    assert bare["mcause"] == 5


@pytest.mark.parametrize("table", ["root", "middle", "leaf"])
def test_page_tables_are_protected_too(table: str) -> None:
    """norm: a walk's accesses are S-mode's; one that is refused is an access fault of the original access's kind."""
    bare = Bare(1 << 20)
    places = {"root": BASE + 0x10000, "middle": BASE + 0x11000, "leaf": BASE + 0x12000}
    bare.memory.write_u64(places["root"], places["middle"] >> 2 | 1)
    bare.memory.write_u64(places["middle"], places["leaf"] >> 2 | 1)
    bare.memory.write_u64(places["leaf"], DATA >> 2 | 0xDF)
    bare["satp"] = 8 << 60 | places["root"] >> 12
    bare["pmpcfg0"] = 0
    bare["pmpaddr0"] = places[table] >> 2 | 0x1FF
    bare["pmpaddr1"] = (1 << 54) - 1
    bare["pmpcfg0"] = NAPOT << 3 | (NAPOT << 3 | R | W | X) << 8
    bare["mstatus"] = 1 << 17  # MPRV as U-mode
    bare["x10"] = 0
    assert bare.one("sw x11, 0(x10)") == 7
