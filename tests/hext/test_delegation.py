"""ISA manual, H extension, "Hypervisor Trap Delegation (hedeleg and hideleg) Registers", "mideleg", "Trap Entry" as to where a
trap goes."""

from __future__ import annotations

import pytest

from tests.hext.bare import CODE, HANDLER, HS_HANDLER, INTERRUPT, MASK64, VS_HANDLER, Bare, bits_set
from tests.hext.rules import rule

VS_LEVEL = {2, 6, 10}
MUST_BE_WRITABLE = {1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 15, 18, 19}
MUST_BE_ZERO = {9, 10, 11, 16, 20, 21, 22, 23}


@rule("norm:hedeleg_sz_acc", "norm:hedeleg_img", "norm:hedeleg_acc")
def test_hedeleg(bare: Bare) -> None:
    """Table "Bits of hedeleg that must be writable or must be read-only zero"; bit 0 is writable too."""
    bare["hedeleg"] = MASK64
    assert MUST_BE_WRITABLE <= bits_set(bare["hedeleg"])
    assert not MUST_BE_ZERO & bits_set(bare["hedeleg"])
    assert bits_set(bare["hedeleg"]) == MUST_BE_WRITABLE | {0}
    bare["hedeleg"] = 0
    assert bare["hedeleg"] == 0


def test_medeleg(bare: Bare) -> None:
    """Bits of exceptions that cannot occur below M-mode should be read-only zero: with C no fetch is misaligned."""
    bare["medeleg"] = MASK64
    assert bits_set(bare["medeleg"]) == {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 15, 20, 21, 22, 23}


@rule("norm:hideleg_sz_acc", "norm:hideleg_img", "norm:hideleg_acc", "norm:mideleg_hroz", "norm:vsip_vsie_lcofi")
def test_hideleg(bare: Bare) -> None:
    """The three VS-level interrupts; never an S-level one, whatever mideleg has."""
    for mideleg in (0, MASK64):
        bare["mideleg"] = mideleg
        bare["hideleg"] = MASK64
        assert bits_set(bare["hideleg"]) == VS_LEVEL
        bare["hideleg"] = 0
        assert bare["hideleg"] == 0


@rule("norm:mideleg_acc_h")
def test_mideleg_has_ones_that_stay(bare: Bare) -> None:
    """VS-level and guest external interrupts always go past M-mode."""
    assert bits_set(bare["mideleg"]) == VS_LEVEL | {12}
    for value in (0, MASK64):
        bare["mideleg"] = value
        assert VS_LEVEL | {12} <= bits_set(bare["mideleg"])
    assert bits_set(bare["mideleg"]) == VS_LEVEL | {12} | {1, 5, 9}


@rule("norm:hedeleg_op", "norm:H_trap_deleg", "norm:H_cause_ecall")
@pytest.mark.parametrize("mode", ["U", "HS", "M", "VU", "VS"])
@pytest.mark.parametrize("cause", [2, 3, 5, 8])
@pytest.mark.parametrize("by_m", [False, True])
@pytest.mark.parametrize("by_hs", [False, True])
def test_where_an_exception_goes(bare: Bare, mode: str, cause: int, by_m: bool, by_hs: bool) -> None:
    """To M-mode, unless medeleg says HS-mode, unless V was 1 and hedeleg says VS-mode: never to a mode less privileged."""
    text = {2: ".word 0xffffffff", 3: "ebreak", 5: "lb a0, 0(zero)", 8: "ecall"}[cause]
    if cause == 8:
        cause = {"U": 8, "VU": 8, "HS": 9, "VS": 10, "M": 11}[mode]
    bare.delegate()
    bare["medeleg"], bare["hedeleg"] = by_m << cause, by_hs << cause
    bare.enter(mode)
    bare.load(text)
    bare.hart.run(1)
    to_hs = by_m and mode != "M" and cause != 11
    to_vs = to_hs and by_hs and mode[0] == "V" and cause != 10
    if to_vs:
        assert (bare["pc"], bare["prv"], bare["v"], bare["vscause"], bare["vsepc"]) == (VS_HANDLER, 1, 1, cause, CODE)
        assert (bare["scause"], bare["mcause"]) == (0, 0)
    elif to_hs:
        assert (bare["pc"], bare["prv"], bare["v"], bare["scause"], bare["sepc"]) == (HS_HANDLER, 1, 0, cause, CODE)
        assert (bare["vscause"], bare["mcause"]) == (0, 0)
    else:
        assert (bare["pc"], bare["prv"], bare["v"], bare["mcause"], bare["mepc"]) == (HANDLER, 3, 0, cause, CODE)
        assert (bare["vscause"], bare["scause"]) == (0, 0)


@rule("norm:H_guest_page_fault", "norm:H_cause", "norm:H_virtinst_xtval")
@pytest.mark.parametrize(("text", "cause"), [("lb a0, 0(zero)", 21), ("sb a0, 0(zero)", 23), ("csrr a0, hstatus", 22)])
def test_what_the_guest_never_sees(bare: Bare, text: str, cause: int) -> None:
    """Guest-page faults and virtual instructions stop at HS-mode."""
    bare.delegate()
    bare["hedeleg"] = MASK64
    root = 0x8002_0000
    bare.memory.write_u64(root + 16, 0x8000_0000 >> 2 | 0xDF)
    bare["hgatp"] = 8 << 60 | root >> 12
    bare.enter("VS")
    bare.load(text)
    bare.hart.run(1)
    assert (bare["pc"], bare["scause"]) == (HS_HANDLER, cause)
    assert bare["stval"] == (bare.word() if cause == 22 else 0)


@rule("norm:hideleg_op", "norm:hideleg_trans", "norm:H_trap_deleg")
@pytest.mark.parametrize("code", sorted(VS_LEVEL))
@pytest.mark.parametrize("delegated", [False, True])
@pytest.mark.parametrize("vectored", [False, True])
def test_where_a_vs_level_interrupt_goes(bare: Bare, code: int, delegated: bool, vectored: bool) -> None:
    """HS-mode sees code 2, 6, 10; VS-mode 1, 5, 9, in vscause and in its vector."""
    bare.delegate()
    bare["hideleg"] = delegated << code
    bare["hvip"] = bare["hie"] = 1 << code
    bare["stvec"] |= vectored
    bare["vstvec"] |= vectored
    bare["vsstatus"] = 2
    bare.enter("VS")
    bare.load("nop")
    bare.hart.run(1)
    if delegated:
        assert bare["vscause"] == INTERRUPT | code - 1
        assert (bare["pc"], bare["v"]) == (VS_HANDLER + vectored * 4 * (code - 1), 1)
    else:
        assert bare["scause"] == INTERRUPT | code
        assert (bare["pc"], bare["v"]) == (HS_HANDLER + vectored * 4 * code, 0)


@rule("norm:mideleg_acc_h")
@pytest.mark.parametrize("code", [2, 6, 10, 12])
def test_m_mode_never_takes_them(bare: Bare, code: int) -> None:
    """Also while M-mode runs with everything enabled."""
    bare["mideleg"] = 0
    bare["mie"] = MASK64
    bare["mstatus"] = 1 << 3
    bare["hvip"] = 1 << code
    bare["hgeie"] = 2
    bare.guest_lines((code == 12) << 1)
    assert bare["mip"] >> code & 1
    bare["mcause"] = 0
    bare.load("nop")
    bare.hart.run(1)
    assert (bare["mcause"], bare["pc"]) == (0, CODE + 4)


@rule("norm:H_cause", "norm:H_cause_ecall")
def test_ecall_codes(bare: Bare) -> None:
    assert {mode: bare.csr(mode, "ecall") for mode in ("U", "HS", "M", "VU", "VS")} == {
        "U": 8,
        "HS": 9,
        "M": 11,
        "VU": 8,
        "VS": 10,
    }
