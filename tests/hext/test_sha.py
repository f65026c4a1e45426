"""ISA manual, the small extensions that Sha is made of beside H and Ssstateen: no WARL freedom is used to leave something out."""

from __future__ import annotations

import pytest

from tests.hext.bare import CODE, MASK64, VS_HANDLER, Bare
from tests.hext.rules import rule
from tests.hext.tables import DATA, GVA, TwoStage


@rule("norm:shcounterenw_hpmcounter_hcounteren")
def test_every_counter_can_be_given_to_a_guest(bare: Bare) -> None:
    bare["mcounteren"] = bare["hcounteren"] = MASK64
    assert bare["hcounteren"] == bare["mcounteren"] == 7, "cycle, time and instret: the others are read-only zero"


@rule("norm:shgatpa_satp_hgatp_mode_support", "norm:shgatpa_hgatp_bare_mode", "norm:shvsatpa_satp_vsatp_modes")
@pytest.mark.parametrize("mode", range(16))
def test_all_three_have_the_same_modes(bare: Bare, mode: int) -> None:
    for name in ("satp", "vsatp", "hgatp"):
        bare[name] = 8 << 60
        bare[name] = mode << 60
        assert (bare[name] >> 60 == mode) == (mode in (0, 8, 9, 10)), name


@rule("norm:shvstvecd_vstvec_mode_direct", "norm:shvstvecd_vstvec_base_aligned_address")
def test_any_aligned_handler(bare: Bare) -> None:
    for bit in range(2, 64):
        bare["vstvec"] = 1 << bit
        assert bare["vstvec"] == 1 << bit


@rule("norm:shtvala_htval_faulting_gpa")
@pytest.mark.parametrize("gpa", [DATA, 1 << 40, (1 << 41) - 8, 1 << 55])
def test_htval_is_never_left_out(bare: Bare, gpa: int) -> None:
    guest = TwoStage(bare, 0)
    guest.g.map(DATA, DATA, 0)
    bare.delegate()
    bare["x11"] = gpa
    bare.enter("VS")
    bare.one("ld a0, 0(a1)")
    assert (bare["scause"], bare["htval"] << 2) == (21, gpa)


@rule("norm:shvstvala_vstval_written")
@pytest.mark.parametrize(
    ("text", "cause", "tval"),
    [
        ("ld a0, 0(a1)", 13, "gva"),
        ("sd a0, 0(a1)", 15, "gva"),
        ("lr.w a0, (a2)", 4, "a2"),
        ("sc.w a0, a0, (a2)", 6, "a2"),
        (".word 0xfffff07b", 2, "insn"),
        ("mret", 2, "insn"),
        ("jr a1", 12, "gva"),
        ("lb a0, 0(a3)", 5, "a3"),
        ("sb a0, 0(a3)", 7, "a3"),
    ],
)
def test_vstval(bare: Bare, text: str, cause: int, tval: str) -> None:
    """Of traps that go to VS-mode: the address, or the instruction."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    guest.vs.map(GVA, DATA, 0)
    guest.vs.map(GVA + 0x1000, 1 << 40, 0xC7)
    guest.g.map(1 << 40, 1 << 40)
    bare.delegate()
    bare["hedeleg"] = MASK64
    bare["x11"], bare["x12"], bare["x13"] = GVA, CODE + 2, GVA + 0x1000
    bare.enter("VS")
    bare.load(text)
    bare.hart.run(2 if text.startswith("jr") else 1)
    assert (bare["pc"], bare["vscause"]) == (VS_HANDLER, cause)
    assert bare["vstval"] == {"gva": GVA, "a2": CODE + 2, "a3": GVA + 0x1000, "insn": bare.word()}[tval]
