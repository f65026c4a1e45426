"""ISA manual, H extension, henvcfg.CBIE, CBCFE and CBZE: cache-block instructions in all five modes, and their faults."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import BASE, CODE, ILLEGAL, MODES, VIRTUAL, Bare, M
from tests.hext.rules import rule

BLOCK = 64
DATA = BASE + 0x8000


def one_at_data(bare: Bare, text: str, mode: str, offset: int = 0) -> int | None:
    bare.mode(*MODES[mode])
    bare["x10"] = DATA + offset
    return bare.one(text)


def refusal(mode: str, menvcfg: bool, henvcfg: bool, senvcfg: bool) -> int | None:
    """Unprivileged ISA, "CSR controls for CMO instructions"."""
    if (mode != "M" and not menvcfg) or (mode == "U" and not senvcfg):
        return ILLEGAL
    if (mode == "VS" and not henvcfg) or (mode == "VU" and not (henvcfg and senvcfg)):
        return VIRTUAL
    return None


FIELDS = [
    ("cbo.clean (a0)", (0, 1 << 6)),
    ("cbo.flush (a0)", (0, 1 << 6)),
    ("cbo.zero (a0)", (0, 1 << 7)),
    ("cbo.inval (a0)", (0, 1 << 4, 3 << 4)),
]


@rule("norm:henvcfg_cbze", "norm:henvcfg_cbcfe", "norm:henvcfg_cbie", "norm:cbo-inval_h-mode_veq1_op")
@pytest.mark.parametrize(("text", "values"), FIELDS, ids=[f[0] for f in FIELDS])
@pytest.mark.parametrize("mode", MODES)
def test_envcfg_enables_cache_block_instructions(bare: Bare, text: str, values: tuple[int, ...], mode: str) -> None:
    others = 0xF0 & ~values[-1]
    for m, h, s in product(values, repeat=3):
        bare.mode(M)
        bare["menvcfg"], bare["henvcfg"], bare["senvcfg"] = m | others, h | others, s | others
        cause = one_at_data(bare, text, mode)
        assert cause == refusal(mode, bool(m), bool(h), bool(s)), (m, h, s)
        if cause is not None:
            assert bare["mtval"] == int.from_bytes(bare.memory.read(CODE, 4), "little")


@pytest.mark.parametrize("offset", [0, 1, 32, 63])
def test_cbo_zero_clears_its_block_alone(bare: Bare, offset: int) -> None:
    bare.memory.write(DATA - BLOCK, b"\xa5" * 3 * BLOCK)
    assert one_at_data(bare, "cbo.zero (a0)", "M", offset) is None
    assert bare.memory.read(DATA - BLOCK, 3 * BLOCK) == b"\xa5" * BLOCK + bytes(BLOCK) + b"\xa5" * BLOCK
    for text in ("cbo.clean (a0)", "cbo.flush (a0)", "cbo.inval (a0)"):
        assert one_at_data(bare, text, "M", BLOCK + offset) is None
    assert bare.memory.read(DATA + BLOCK, BLOCK) == b"\xa5" * BLOCK


@rule("norm:cbo-inval_h-mode_op0", "norm:cbo-inval_h-mode_op1", "norm:cbo-inval_h-mode_op2")
@pytest.mark.parametrize("h", [1, 3])
@pytest.mark.parametrize("m", [1, 3])
def test_invalidation_loses_nothing(bare: Bare, m: int, h: int) -> None:
    """There is no cache: flush and invalidate are the same, and memory keeps what was stored."""
    bare["menvcfg"], bare["henvcfg"] = m << 4, h << 4
    bare.memory.write(DATA, b"\xa5" * BLOCK)
    assert one_at_data(bare, "cbo.inval (a0)", "VS") is None
    assert bare.memory.read(DATA, BLOCK) == b"\xa5" * BLOCK


def test_cbo_zero_changes_code_that_was_decoded(bare: Bare) -> None:
    bare.load("j first; .balign 64; block: li a1, 7; j clear; .balign 64; clear: cbo.zero (a0); first: j block")
    bare["x10"] = CODE + BLOCK + 4
    bare["mcause"] = 99
    bare.hart.run(6)
    assert (bare["pc"], bare["mcause"]) == (CODE + BLOCK, 99)
    bare.hart.run(1)
    assert (bare["mcause"], bare["mepc"]) == (ILLEGAL, CODE + BLOCK), "the block holds zeros now"


SV39 = 8 << 60
ROOT = BASE + 0x20000
LEAVES = ROOT + 0x2000
V, R, W, X, USER, A, D = (1 << n for n in (0, 1, 2, 3, 4, 6, 7))


def map_page(bare: Bare, root: int, leaves: int, page: int, flags: int) -> None:
    """One page of the first gigabyte of RAM, mapped to itself."""
    middle = root + 0x4000
    bare.memory.write_u64(root + 8 * (BASE >> 30), middle >> 2 | V)
    bare.memory.write_u64(middle, leaves >> 2 | V)
    bare.memory.write_u64(leaves + 8 * (page - BASE >> 12), page >> 2 | flags)


# leaf flags, and whether a load and a store are permitted
PAGES = [
    (V | R | W | A | D, True, True),
    (V | R | A, True, False),
    (V | R | W | A, True, False),  # D is clear: only what writes needs it
    (V | R | W | D, False, False),
    (V | X | A, False, False),
    (0, False, False),
]
CBOS = [("cbo.clean (a0)", False), ("cbo.flush (a0)", False), ("cbo.inval (a0)", False), ("cbo.zero (a0)", True)]


@pytest.mark.parametrize(("flags", "loads", "stores"), PAGES)
@pytest.mark.parametrize(("text", "writes"), CBOS, ids=[c[0] for c in CBOS])
def test_faults_are_those_of_a_store(bare: Bare, text: str, writes: bool, flags: int, loads: bool, stores: bool) -> None:
    """norm:cbm_access, cbz_access: what may load may be managed, what may store may be zeroed; tval is rs1, not the block."""
    leaves = ROOT + 0x8000
    map_page(bare, ROOT, leaves, CODE, V | R | X | A)
    map_page(bare, ROOT, leaves, DATA, flags)
    bare["menvcfg"] = 0xF0
    bare["satp"] = SV39 | ROOT >> 12
    cause = one_at_data(bare, text, "HS", 5)
    if stores if writes else loads:
        assert cause is None
    else:
        assert (cause, bare["mtval"]) == (15, DATA + 5)


@pytest.mark.parametrize(("flags", "loads", "stores"), PAGES)
@pytest.mark.parametrize(("text", "writes"), CBOS, ids=[c[0] for c in CBOS])
def test_guest_page_faults(bare: Bare, text: str, writes: bool, flags: int, loads: bool, stores: bool) -> None:
    """Store guest-page faults, with the transformed instruction: rs1 is replaced by zero, the operation stays."""
    leaves = ROOT + 0x8000
    map_page(bare, ROOT, leaves, CODE, V | R | X | A | USER)
    map_page(bare, ROOT, leaves, DATA, flags | USER)
    bare["menvcfg"] = bare["henvcfg"] = 0xF0
    bare["hgatp"] = SV39 | ROOT >> 12
    cause = one_at_data(bare, text, "VS", 5)
    if stores if writes else loads:
        assert cause is None
        return
    assert (cause, bare["mtval"], bare["mtval2"]) == (23, DATA + 5, DATA + 5 >> 2)
    word = int.from_bytes(bare.memory.read(CODE, 4), "little")
    assert bare["mtinst"] == word & ~(31 << 15)


@pytest.mark.parametrize(("text", "writes"), CBOS, ids=[c[0] for c in CBOS])
def test_outside_memory_is_a_store_access_fault(bare: Bare, text: str, writes: bool) -> None:
    bare.mode(M)
    bare["x10"] = 0x1003
    assert bare.one(text) == 7
    assert bare["mtval"] == 0x1003


@pytest.mark.parametrize("letter", ["i", "r", "w"])
def test_prefetches_never_trap(bare: Bare, letter: str) -> None:
    bare["x10"] = 0x1003
    for mode in MODES.values():
        bare.mode(*mode)
        assert bare.one(f"prefetch.{letter} 32(a0)") is None
