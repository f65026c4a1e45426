"""Sdtrig: the WARL rules of its CSRs, and that a trigger fires before exactly the instructions that it is for."""

from __future__ import annotations

import random

import pytest

from rvhv.core.registry import ISA
from rvhv.core.stop_table import Access
from rvhv.cpu import triggers as t
from rvhv.cpu.state import SLOT, TRIGGERS, Exit
from tests.hext.bare import BASE, CODE, HANDLER, Bare

MASK64 = (1 << 64) - 1
BREAKPOINT = 3
DATA = BASE + 0x8000
MIE, SIE = 1 << 3, 1 << 1
TYPE2, TYPE6 = t.MCONTROL << 60, t.MCONTROL6 << 60
ALL_MODES = t.U_MODE | t.S_MODE | t.M_MODE
MODES = {"U": (0, 0), "S": (1, 0), "M": (3, 0), "VU": (0, 1), "VS": (1, 1)}
MODE_BITS = {"U": t.U_MODE, "S": t.S_MODE, "M": t.M_MODE, "VU": t.VU_MODE, "VS": t.VS_MODE}


def match(kind: int) -> int:
    return kind << t.MATCH_SHIFT


@pytest.fixture
def bare() -> Bare:
    made = Bare()
    made["mstatus"] = MIE
    made["menvcfg"] = made["senvcfg"] = made["henvcfg"] = 0xF0
    return made


def set_trigger(bare: Bare, number: int, tdata1: int, tdata2: int) -> None:
    bare["tselect"] = number
    bare["tdata1"] = 0
    bare["tdata2"] = tdata2
    bare["tdata1"] = tdata1


# CSRs


def test_four_triggers_that_are_disabled_at_reset(bare: Bare) -> None:
    found = []
    for n in range(8):  # norm: as a debugger enumerates them
        bare["tselect"] = n
        if bare["tselect"] != n:
            break
        assert bare["tinfo"] == 1 << 24 | 1 << 15 | 1 << 6 | 1 << 2
        found.append(bare["tdata1"])
    assert found == [15 << 60] * TRIGGERS


@pytest.mark.parametrize("name", ["tselect", "tdata1", "tdata2", "tdata3", "tinfo"])
def test_only_m_mode_reaches_them(bare: Bare, name: str) -> None:
    assert bare.one(f"csrr x5, {name}") is None
    for mode, expected in (("S", 2), ("U", 2), ("VS", 2), ("VU", 2)):
        bare.mode(*MODES[mode])
        assert bare.one(f"csrr x5, {name}") == expected
        assert bare["mtval"] & 0xFFF0_0000 == ISA.csrs[name].number << 20


def test_there_is_no_tcontrol(bare: Bare) -> None:
    assert bare.one("csrr x5, 0x7a5") == 2


def test_tdata1_keeps_what_is_supported(bare: Bare) -> None:
    rng = random.Random(1)
    for _ in range(2000):
        written = rng.getrandbits(60) | rng.choice((2, 6, rng.randrange(16))) << 60
        n = rng.randrange(4)
        others = [bare.state[SLOT[f"tdata1_{i}"]] for i in range(4) if i != n]
        bare["tselect"] = n | rng.choice((0, 4, 1 << 63))
        bare["tdata1"] = written
        expected = 15 << 60
        if written >> 60 == 6:
            expected = written & (15 << 60 | 0x1C0_01DF)
        elif written >> 60 == 2:
            expected = written & (15 << 60 | 0x10_01DF)
            if expected >> 7 & 3 == 1:
                expected &= ~0x80
        assert bare["tdata1"] == expected, hex(written)
        assert others == [bare.state[SLOT[f"tdata1_{i}"]] for i in range(4) if i != n]


def test_tdata2_holds_any_address_but_no_endless_napot_range(bare: Bare) -> None:
    set_trigger(bare, 2, TYPE6 | match(t.MATCH_NAPOT), 0)
    bare["tdata2"] = MASK64
    assert bare["tdata2"] == MASK64 ^ 1 << 62  # norm: maskmax6 is 63
    bare["tdata2"] = MASK64 >> 1
    assert bare["tdata2"] == MASK64 >> 2
    for value in (MASK64 - 1, MASK64 >> 2, 0, 0x8000_0000_0000_0000):
        bare["tdata2"] = value
        assert bare["tdata2"] == value
    set_trigger(bare, 2, TYPE6 | match(t.MATCH_GE), 0)
    bare["tdata2"] = MASK64
    assert bare["tdata2"] == MASK64


def test_tdata3_is_all_zero(bare: Bare) -> None:
    bare["tdata3"] = MASK64
    assert bare["tdata3"] == 0


# firing

# instruction, offset of its first byte from x8, bytes, kinds; x8 points into data, x9 is 7
ACCESSES = [
    ("lb x5, 0(x8)", 0, 1, t.LOAD), ("lhu x5, 2(x8)", 2, 2, t.LOAD), ("lw x5, 4(x8)", 4, 4, t.LOAD),
    ("ld x5, 8(x8)", 8, 8, t.LOAD),
    ("sb x9, 0(x8)", 0, 1, t.STORE), ("sh x9, 2(x8)", 2, 2, t.STORE), ("sw x9, 4(x8)", 4, 4, t.STORE),
    ("sd x9, 8(x8)", 8, 8, t.STORE), ("ld x5, 3(x8)", 3, 8, t.LOAD), ("sd x9, 5(x8)", 5, 8, t.STORE),
    ("c.ld x9, 8(x8)", 8, 8, t.LOAD), ("c.sw x9, 4(x8)", 4, 4, t.STORE), ("fld f1, 16(x8)", 16, 8, t.LOAD),
    ("fsw f1, 16(x8)", 16, 4, t.STORE), ("lr.d x5, (x8)", 0, 8, t.LOAD), ("amoadd.w x5, x9, (x8)", 0, 4, t.LOAD | t.STORE),
    ("amocas.q x10, x12, (x8)", 0, 16, t.LOAD | t.STORE), ("cbo.zero (x8)", 0, 64, t.STORE),
    ("cbo.clean (x8)", 0, 64, t.STORE), ("cbo.flush (x8)", 0, 64, t.STORE),
]  # fmt: skip


def machine_state(bare: Bare) -> tuple[bytes, bytes]:
    """Registers and the data page."""
    return bytes(bare.state[1:32]), bytes(bare.memory.read(DATA - 4096, 3 * 4096))


@pytest.mark.parametrize("page_offset", [0x100, 0xFF8], ids=["inside", "at-the-end"])
@pytest.mark.parametrize("access", ACCESSES, ids=lambda a: a[0].split()[0] + str(a[1]))
def test_data_triggers(bare: Bare, access: tuple[str, int, int, int], page_offset: int) -> None:
    """Every byte of an access counts, none beside it; nothing is done, and tval is the access's address."""
    text, offset, size, kinds = access
    x8 = DATA + (page_offset & -64 if size > 8 else page_offset)
    bare["mstatus"] = MIE | 3 << 13
    start = x8 + offset & ~(size - 1) if text.startswith("cbo") else x8 + offset
    for kind in (t.LOAD, t.STORE, t.EXECUTE):
        for at in (start - 1, start, start + size // 2, start + size - 1, start + size):
            bare.hart.flush()
            for again in range(2):  # the second time over what the first one cached
                bare["x8"], bare["x9"] = x8, 7
                bare["reservation"] = MASK64
                set_trigger(bare, again, TYPE2 | t.M_MODE | kind, at)
                bare["tselect"] = 1 - again
                bare["tdata1"] = 0
                bare["mstatus"] = MIE | 3 << 13
                before = machine_state(bare)
                cause = bare.one(text)
                hits = start <= at < start + size and bool(kinds & kind)
                assert cause == (BREAKPOINT if hits else None), (kind, at - start)
                bare["tselect"] = again
                assert bool(bare["tdata1"] & t.HIT) == hits
                if hits:
                    assert (bare["mtval"], bare["mepc"]) == (start, CODE)
                    assert machine_state(bare) == before


def test_an_address_is_compared_before_it_is_translated(bare: Bare) -> None:
    """norm: above misaligned atomics and page faults in priority, and below an illegal instruction."""
    bare["mstatus"] = MIE
    set_trigger(bare, 0, TYPE6 | t.M_MODE | t.LOAD | t.STORE, 0x1233)
    bare["x8"] = 0x1233
    assert bare.one("ld x5, 0(x8)") == BREAKPOINT  # else an access fault
    bare["mstatus"] = MIE
    assert bare.one("amoadd.w x5, x9, (x8)") == BREAKPOINT  # else misaligned
    bare["mstatus"] = 0
    assert bare.one("ld x5, 0(x8)") == 5
    bare["mstatus"] = MIE
    bare["pc"] = 0x1233_0000
    set_trigger(bare, 0, TYPE6 | t.M_MODE | t.EXECUTE, 0x1233_0000)
    bare["mcause"] = 99
    bare.hart.run(1)
    assert (bare["mcause"], bare["mtval"], bare["mepc"]) == (BREAKPOINT, 0x1233_0000, 0x1233_0000)


@pytest.mark.parametrize("of", MODES)
@pytest.mark.parametrize("kind", [t.EXECUTE, t.LOAD, t.STORE])
def test_modes(bare: Bare, of: str, kind: int) -> None:
    """Each mode bit is for its mode alone, whatever the others cached of the page."""
    text = {t.EXECUTE: "nop", t.LOAD: "lw x5, 0(x8)", t.STORE: "sw x5, 0(x8)"}[kind]
    bare["mcause"] = 99
    set_trigger(bare, 3, TYPE6 | kind | MODE_BITS[of], CODE if kind == t.EXECUTE else DATA)
    for _ in range(2):
        for name, (prv, v) in MODES.items():
            bare["mstatus"], bare["x8"] = MIE, DATA
            bare.mode(prv, v)
            assert bare.one(text) == (BREAKPOINT if name == of else None), name
            if name == of:
                assert bare["mtval"] == (CODE if kind == t.EXECUTE else DATA)
                assert bare["mstatus"] >> 38 & 1 == v  # GVA


def test_mcontrol_knows_no_guests(bare: Bare) -> None:
    set_trigger(bare, 0, TYPE2 | t.EXECUTE | ALL_MODES, CODE)
    for name, (prv, v) in MODES.items():
        bare["mstatus"] = MIE
        bare.mode(prv, v)
        assert bare.one("nop") == (None if v else BREAKPOINT), name


# mode, medeleg[3], hedeleg[3], its enable: whether it fires. norm: "Native Triggers", the first solution
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("medeleg", [0, 1])
@pytest.mark.parametrize("hedeleg", [0, 1])
@pytest.mark.parametrize("enabled", [0, 1])
def test_no_trigger_fires_in_a_handler(bare: Bare, mode: str, medeleg: int, hedeleg: int, enabled: int) -> None:
    set_trigger(bare, 0, TYPE6 | t.EXECUTE | t.VS_MODE | t.VU_MODE | ALL_MODES, CODE)
    prv, v = MODES[mode]
    bare["medeleg"], bare["hedeleg"] = medeleg << 3, hedeleg << 3
    bare["mstatus"] = (MIE if mode == "M" else SIE if mode == "S" else 0) if enabled else 0
    bare["vsstatus"] = SIE if mode == "VS" and enabled else 0
    for name in ("scause", "vscause"):
        bare[name] = 99
    bare.mode(prv, v)
    cause = bare.one("nop")
    held_back = not enabled and (
        mode == "M" or (mode == "S" and medeleg == 1) or (mode == "VS" and medeleg == 1 and hedeleg == 1)
    )
    took = [name for name, c in (("m", cause), ("s", bare["scause"]), ("vs", bare["vscause"])) if c == BREAKPOINT]
    where = "m" if not medeleg or mode == "M" else "vs" if hedeleg and v else "s"
    assert took == ([] if held_back else [where])
    if took:
        assert bare[f"{took[0]}tval"] == CODE


def test_matches(bare: Bare) -> None:
    """Equal, NAPOT, ge and lt against their definitions."""
    rng = random.Random(2)
    for _ in range(300):
        kind = rng.choice((t.MATCH_EQUAL, t.MATCH_NAPOT, t.MATCH_GE, t.MATCH_LT))
        tdata2 = DATA + rng.randint(-5000, 5000)
        if kind == t.MATCH_NAPOT:
            tdata2 |= (1 << rng.randrange(14)) - 1
        set_trigger(bare, rng.randrange(4), TYPE6 | t.M_MODE | t.LOAD | match(kind), tdata2)
        at = rng.choice((DATA, tdata2)) + rng.choice((rng.randint(-9, 9), rng.randint(-5000, 5000)))
        size = rng.choice((1, 2, 4, 8))
        wanted = {
            t.MATCH_EQUAL: lambda a, t2=tdata2: a == t2,
            t.MATCH_NAPOT: lambda a, t2=tdata2: (a ^ t2) & ~(t2 ^ t2 + 1) == 0,
            t.MATCH_GE: lambda a, t2=tdata2: a >= t2,
            t.MATCH_LT: lambda a, t2=tdata2: a < t2,
        }[kind]
        bare["x8"], bare["mstatus"] = at, MIE
        cause = bare.one({1: "lbu", 2: "lhu", 4: "lwu", 8: "ld"}[size] + " x5, 0(x8)")
        assert cause == (BREAKPOINT if any(wanted(a) for a in range(at, at + size)) else None)
        bare["tdata1"] = 0


def test_lt_zero_matches_nothing_and_ge_zero_everything(bare: Bare) -> None:
    set_trigger(bare, 0, TYPE2 | t.M_MODE | t.LOAD | match(t.MATCH_LT), 0)
    bare["x8"] = DATA
    assert bare.one("ld x5, 0(x8)") is None
    set_trigger(bare, 0, TYPE2 | t.M_MODE | t.LOAD | match(t.MATCH_GE), 0)
    assert bare.one("ld x5, 0(x8)") == BREAKPOINT


def test_hlv_and_hsv(bare: Bare) -> None:
    """They are loads and stores of the mode that executes them, at guest virtual addresses."""
    set_trigger(bare, 0, TYPE6 | t.M_MODE | t.LOAD, DATA)
    set_trigger(bare, 1, TYPE6 | t.VS_MODE | t.VU_MODE | t.STORE, DATA)
    bare["x8"] = DATA
    assert bare.one("hlv.w x5, (x8)") == BREAKPOINT
    assert (bare["mtval"], bare["mstatus"] >> 38 & 1) == (DATA, 1)
    bare["mstatus"] = MIE
    assert bare.one("hlvx.wu x5, (x8)") == BREAKPOINT
    bare["mstatus"] = MIE
    assert bare.one("hsv.w x5, (x8)") is None


def test_several_triggers_say_that_they_fired(bare: Bare) -> None:
    set_trigger(bare, 0, TYPE2 | t.M_MODE | t.LOAD, DATA)
    set_trigger(bare, 1, TYPE6 | t.M_MODE | t.STORE, DATA)
    set_trigger(bare, 2, TYPE6 | t.M_MODE | t.LOAD, DATA + 3)
    set_trigger(bare, 3, TYPE6 | t.M_MODE | t.LOAD, DATA + 4)
    bare["x8"] = DATA
    assert bare.one("lw x5, 0(x8)") == BREAKPOINT
    hits = []
    for n in range(4):
        bare["tselect"] = n
        hits.append(bare["tdata1"] & (t.HIT | t.HIT0))
    assert hits == [t.HIT, 0, t.HIT0, 0]


@pytest.mark.parametrize("at", [CODE + 6, CODE + 0xFFE, CODE + 0x1002], ids=["compressed", "across", "next-page"])
def test_execution_in_the_middle_of_code_that_runs(bare: Bare, at: int) -> None:
    """Armed while its code is decoded already, and disarmed again."""
    bare.memory.write(CODE, bytes.fromhex("0100") * 0x7FF + bytes.fromhex("13000000") + bytes.fromhex("0100") * 9)
    before = (at - CODE) // 2 - (at > CODE + 0xFFE)  # instructions: the one across the pages is a long one

    def run(steps: int) -> tuple[int, ...]:
        bare["pc"], bare["mcause"], bare["mtval"], bare["mstatus"] = CODE, 99, 0, MIE
        bare.hart.run(steps)
        return bare["mcause"], bare["mtval"], bare["pc"]

    behind = at + (4 if at == CODE + 0xFFE else 2)
    assert run(before + 1) == (99, 0, behind)
    for _ in range(2):
        set_trigger(bare, 0, TYPE2 | t.M_MODE | t.EXECUTE, at)
        assert run(before) == (99, 0, at)
        assert run(before + 1) == (BREAKPOINT, at, HANDLER)
        bare["tdata1"] = 0
        assert run(before + 1) == (99, 0, behind)


def test_the_host_is_asked_first_and_the_guest_never_knows(bare: Bare) -> None:
    number = bare.hart.stops.add_breakpoint(CODE)
    set_trigger(bare, 0, TYPE2 | t.M_MODE | t.EXECUTE, CODE)
    bare.load("nop")
    bare["mcause"] = 99
    assert bare.hart.run(5) == Exit.STOP
    assert (bare.hart.stop.number, bare.hart.stop.access) == (number, Access.EXECUTE)
    assert bare["mcause"] == 99
    bare.hart.run(1)
    assert (bare["mcause"], bare["mepc"], bare["pc"]) == (BREAKPOINT, CODE, HANDLER)
