"""ISA manual, H extension, "hcounteren", "htimedelta", "vstimecmp" (Sstc): what a guest reads of time and counters; its timer."""

from __future__ import annotations

from itertools import product

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from tests.hext.bare import CODE, HS_HANDLER, ILLEGAL, INTERRUPT, MASK64, VIRTUAL, VS_HANDLER, Bare
from tests.hext.rules import rule

COUNTERS = {"cycle": 1, "time": 2, "instret": 4}
STCE, TM = 1 << 63, 2
VST = 6


@rule("norm:hcounteren_sz", "norm:hcounteren_warl")
def test_hcounteren(bare: Bare) -> None:
    """CY, TM and IR; the bits of the counters that are read-only zero are zero."""
    bare["hcounteren"] = MASK64
    assert bare["hcounteren"] == 7


def counter_cause(mode: str, m: int, h: int, s: int) -> int | None:
    if mode != "M" and not m:
        return ILLEGAL
    if mode == "U":
        return None if s else ILLEGAL
    if mode == "VS":
        return None if h else VIRTUAL
    if mode == "VU":
        return None if h and s else VIRTUAL
    return None


@rule(
    "norm:hcounteren_op",
    "norm:H_virtinst_vs_nonhighctr_h0_m1",
    "norm:H_virtinst_vu_nonhighctr_h0_s0_m1",
    "norm:H_cause_virtual_instruction",
)
@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
@pytest.mark.parametrize("name", COUNTERS)
def test_who_may_read_a_counter(bare: Bare, name: str, mode: str) -> None:
    bit = COUNTERS[name]
    for m, h, s in product((0, bit), repeat=3):
        bare["mcounteren"], bare["hcounteren"], bare["scounteren"] = m, h, s
        assert bare.csr(mode, f"csrr a0, {name}") == counter_cause(mode, m, h, s), (m, h, s)


@rule("norm:H_cause_virtual_instruction")
@pytest.mark.parametrize("name", ["cycle", "time", "instret", "hpmcounter3"])
def test_a_write_of_a_counter_is_illegal_in_a_guest_too(bare: Bare, name: str) -> None:
    """HS-mode could not do it either."""
    bare.allow()
    for mode in ("VS", "VU"):
        assert bare.csr(mode, f"csrw {name}, a0") == ILLEGAL
    assert bare.csr("VS", "csrr a0, hpmcounter3") == ILLEGAL, "mcounteren's bit is read-only zero"


HIGH_HALVES = {
    "cycleh": 0xC80,
    "htimedeltah": 0x615,
    "henvcfgh": 0x61A,
    "hedelegh": 0x612,
    "vstimecmph": 0x25D,
    "stimecmph": 0x15D,
    "hstateen0h": 0x61C,
    "mstatush": 0x310,
}


@rule("norm:H_illegal_high_half", "norm:hedelegh_sz_acc_op", "norm:henvcfgh_sz_acc_op", "norm:htimedeltah_sz_acc_op")
@pytest.mark.parametrize("number", HIGH_HALVES.values(), ids=HIGH_HALVES.keys())
def test_there_are_no_high_halves(bare: Bare, number: int) -> None:
    """XLEN is 64: illegal in every mode."""
    bare.allow()
    bare["hcounteren"] = bare["scounteren"] = MASK64
    assert number not in ISA.csr_by_number
    for mode in ("M", "HS", "U", "VS", "VU"):
        assert bare.csr(mode, f"csrr a0, {number}") == ILLEGAL


@rule("norm:htimedelta_sz_acc_op", "norm:time_htimedelta_req")
@pytest.mark.parametrize("delta", [0, 1000, MASK64, 1 << 63, MASK64 - 100])
def test_time_in_a_guest(bare: Bare, delta: int) -> None:
    bare.allow()
    bare["hcounteren"] = bare["scounteren"] = 7
    bare["htimedelta"] = delta
    assert bare["htimedelta"] == delta
    for mode in ("VS", "VU", "HS", "U", "M"):
        bare["clock"] = 12_300
        assert bare.csr(mode, "csrr a0, time") is None
        assert bare["x10"] == (123 + (delta if mode[0] == "V" else 0)) & MASK64


def timer_cause(mode: str, name: str, m: int, h: int, tm: int, htm: int) -> int | None:
    """Sstc: what M-mode withholds is illegal; what HS-mode withholds from a guest, and vstimecmp by its number, are virtual."""
    if mode == "M":
        return None
    if not (m and tm):
        return ILLEGAL
    if mode == "U":
        return ILLEGAL
    if mode == "HS":
        return None
    if mode == "VU" or name == "vstimecmp":
        return VIRTUAL
    return None if h and htm else VIRTUAL


@rule("norm:henvcfg_stce", "norm:hcounteren_acc", "norm:vstimecmp_sz", "norm:H_virtinst_vu_nonhigh_supervisor_allowedhs_tvm0")
@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
@pytest.mark.parametrize("name", ["stimecmp", "vstimecmp"])
def test_who_may_access_the_timer_comparisons(bare: Bare, name: str, mode: str) -> None:
    for m, h, tm, htm in product((0, 1), repeat=4):
        bare["menvcfg"], bare["henvcfg"] = m * STCE, STCE
        bare["henvcfg"] = h * STCE
        bare["mcounteren"], bare["hcounteren"] = tm * TM, htm * TM
        for text in (f"csrr a0, {name}", f"csrw {name}, a0"):
            assert bare.csr(mode, text) == timer_cause(mode, name, m, h and m, tm, htm), (m, h, tm, htm)


@rule("norm:H_vscsrs_sub", "norm:vstimecmp_sz")
def test_stimecmp_is_vstimecmp_in_a_guest(bare: Bare) -> None:
    bare.allow()
    bare["henvcfg"], bare["hcounteren"] = STCE, 7
    bare["x10"] = 0x1234_5678_9ABC_DEF0
    assert bare.csr("VS", "csrw stimecmp, a0") is None
    assert (bare["vstimecmp"], bare["stimecmp"]) == (0x1234_5678_9ABC_DEF0, MASK64)


@rule("norm:hip_vstip_op", "norm:hip_vstip_vstie_acc_op", "norm:hip_vstip_clear", "norm:henvcfg_stce")
@pytest.mark.parametrize("v", [0, 1])
@pytest.mark.parametrize("delta", [0, 50, MASK64 - 9, 1 << 63])
def test_vstip_is_a_comparison(bare: Bare, v: int, delta: int) -> None:
    """time + htimedelta, truncated and unsigned, with vstimecmp; in V=0 as well; hvip's bit is or-ed; off without STCE."""
    bare["menvcfg"] = bare["henvcfg"] = STCE
    bare["htimedelta"], bare["clock"] = delta, 12_300
    bare.mode(1, v)
    now = (123 + delta) & MASK64
    for compare in {0, now, (now - 1) & MASK64, (now + 1) & MASK64, MASK64, 1 << 63}:
        bare["vstimecmp"] = compare
        assert bare["hip"] >> VST & 1 == (now >= compare)
        assert bare["hvip"] == 0
        bare["hvip"] = 1 << VST
        assert bare["hip"] >> VST & 1
        bare["hvip"] = 0
    bare["vstimecmp"] = 0
    for off in ("henvcfg", "menvcfg"):
        bare[off] = 0
        assert bare["hip"] >> VST & 1 == 0
        bare[off] = STCE


@rule("norm:hip_vstip_op", "norm:hip_vstip_enable")
def test_the_timer_interrupt_is_taken_at_its_own_step(bare: Bare) -> None:
    """Also right behind the instruction that sets the comparison."""
    bare.delegate()
    bare["menvcfg"] = bare["henvcfg"] = STCE
    bare["hideleg"] = bare["hie"] = 0x444
    bare["vstimecmp"], bare["htimedelta"] = 5, 2
    bare["vsstatus"] = 2
    bare.enter("VS")
    bare.load("loop: j loop")
    bare.hart.run(300)
    assert bare["pc"] == CODE
    bare.hart.run(1)
    assert (bare["pc"], bare["vscause"], bare["clock"]) == (VS_HANDLER, INTERRUPT | 5, 301)


@rule("norm:hip_vstip_enable")
@pytest.mark.parametrize(
    ("text", "value"), [("csrw vstimecmp, a0", 0), ("csrw htimedelta, a0", 1 << 40), ("csrw henvcfg, a0", STCE)]
)
def test_a_write_that_makes_it_pend_interrupts_at_once(bare: Bare, text: str, value: int) -> None:
    bare.delegate()
    bare.allow()
    bare["henvcfg"] = 0 if "henvcfg" in text else STCE
    bare["vstimecmp"] = 1 << 30 if "htimedelta" in text else MASK64
    if "henvcfg" in text:
        bare["vstimecmp"] = 0
    bare["hie"], bare["mstatus"], bare["x10"] = 1 << VST, 2, value
    bare.enter("HS")
    bare.load(f"{text}\nnop\nnop")
    bare.hart.run(2)
    assert (bare["pc"], bare["scause"], bare["sepc"]) == (HS_HANDLER, INTERRUPT | VST, CODE + 4)


@rule("norm:hstatus_vtw_op")
@pytest.mark.parametrize("mode", ["VS", "HS"])
def test_wfi_waits_for_an_enabled_interrupt(bare: Bare, mode: str) -> None:
    """Pending and enabled in mie ends the wait, whatever SIE, vsstatus.SIE and delegation say."""
    from rvhv.cpu.state import Exit

    bare["hideleg"] = 0x444
    bare.enter(mode)
    bare.load("wfi\nnop")
    assert bare.hart.run(5) == Exit.WFI
    assert bare["pc"] == CODE + 4
    bare.state[SLOT["hvip"]] = 4
    bare["hie"] = 4
    bare.load("wfi\nnop")
    assert bare.hart.run(2) == Exit.BUDGET
    assert bare["pc"] == CODE + 8
