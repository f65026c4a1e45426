"""ISA manual, H extension, "Hypervisor Interrupt (hvip, hip, and hie) Registers", "Guest External Interrupt Registers",
"vsip and vsie", "mip and mie": one pending set, seen through many registers; and which interrupt is taken."""

from __future__ import annotations

import itertools
import random

import pytest

from tests.hext.bare import HS_HANDLER, INTERRUPT, MASK64, VS_HANDLER, Bare, bits_set
from tests.hext.rules import rule

VSS, VST, VSE, SGE = 2, 6, 10, 12
VS_LEVEL = 1 << VSS | 1 << VST | 1 << VSE
HS_VIEW = VS_LEVEL | 1 << SGE
GEILEN = 8


@rule("norm:hvip_sz_op", "norm:hvip_img", "norm:hvip_acc")
def test_hvip(bare: Bare) -> None:
    bare["hvip"] = MASK64
    assert bits_set(bare["hvip"]) == {VSS, VST, VSE}
    assert bare["hip"] == VS_LEVEL
    bare["hvip"] = 0
    assert bare["hip"] == 0


@rule("norm:hip_hie_sz_acc", "norm:hip_op", "norm:hip_img", "norm:hip_acc", "norm:hip_vssip_vssie_op", "norm:hie_op")
def test_only_vssip_is_writable_in_hip(bare: Bare) -> None:
    """An alias of hvip's; the others are cleared through hvip or at their source."""
    bare["hip"] = MASK64
    assert bare["hip"] == bare["hvip"] == 1 << VSS
    bare["hvip"] = VS_LEVEL
    bare["hip"] = 0
    assert bare["hip"] == bare["hvip"] == 1 << VST | 1 << VSE


@rule("norm:hie_acc", "norm:hie_img", "norm:hie_op", "norm:hip_hie_sz_acc", "norm:mip_mie_alias", "norm:mip_mie_vs")
def test_hie_is_mie(bare: Bare) -> None:
    bare["hie"] = MASK64
    assert bits_set(bare["hie"]) == {VSS, VST, VSE, SGE}
    assert bare["mie"] == HS_VIEW
    bare["mie"] = MASK64
    bare["hie"] = 0
    assert bits_set(bare["mie"]) == {1, 3, 5, 7, 9, 11}
    bare["mie"] = 1 << VST
    assert bare["hie"] == 1 << VST


@rule("norm:mip_mie_alias", "norm:mip_mie_vs", "norm:hip_op")
def test_hip_is_mip(bare: Bare) -> None:
    bare["mip"] = MASK64
    assert bits_set(bare["mip"]) == {1, VSS, 5, 9}, "only VSSIP of the VS-level ones"
    assert bare["hvip"] == bare["hip"] == 1 << VSS
    bare["hvip"], bare["hgeie"] = VS_LEVEL, 2
    bare.guest_lines(2)
    assert bare["mip"] & HS_VIEW == bare["hip"] == HS_VIEW


@rule("norm:sie_hip_hie_mutex")
def test_sie_and_hie_share_nothing(bare: Bare) -> None:
    bare["mideleg"] = MASK64
    bare["hvip"] = bare["hgeie"] = bare["mip"] = MASK64
    bare.guest_lines(2)
    for s, h in (("sie", "hie"), ("sip", "hip")):
        bare["mie"] = MASK64
        assert bare[s] and bare[h]
        assert bare[s] & bare[h] == 0
    bare["hie"] = 0
    bare["sie"] = MASK64
    assert (bits_set(bare["sie"]), bare["hie"]) == ({1, 5, 9}, 0)


@rule(
    "norm:vsip_vsie_sz_acc_op",
    "norm:vsip_img",
    "norm:vsie_img",
    "norm:vsip_vsie_sei",
    "norm:vsip_vsie_sti",
    "norm:vsip_vsie_ssi",
    "norm:vsip_vsie_lcofi",
)
@pytest.mark.parametrize("hideleg", [sum(c) for n in range(4) for c in itertools.combinations((1 << VSS, 1 << VST, 1 << VSE), n)])
def test_vsip_and_vsie(bare: Bare, hideleg: int) -> None:
    """What hideleg delegates, one bit lower; the rest is read-only zero. Of vsip SSIP alone is writable."""
    bare["hideleg"] = hideleg
    bare["hvip"], bare["hie"] = VS_LEVEL, HS_VIEW
    assert bare["vsip"] == bare["vsie"] == hideleg >> 1
    bare["vsie"] = 0
    assert bare["hie"] == HS_VIEW & ~hideleg
    bare["hie"] = 0
    bare["vsie"] = MASK64
    assert bare["hie"] == hideleg
    bare["vsip"] = 0
    assert bare["hvip"] == VS_LEVEL & ~(hideleg & 1 << VSS)
    bare["hvip"] = 0
    bare["vsip"] = MASK64
    assert bare["hvip"] == hideleg & 1 << VSS


@rule("norm:vsip_vsie_sz_acc_op")
def test_hs_level_interrupts_are_not_in_vsip(bare: Bare) -> None:
    bare["mideleg"], bare["hideleg"], bare["mip"], bare["mie"] = MASK64, MASK64, 0x222, MASK64
    bare["hvip"] = 0
    assert bare["vsip"] == 0
    assert bare["sip"] == 0x222
    bare.enter("VS")
    bare["mie"] = 0
    bare.one("csrr a0, sip")
    assert bare["x10"] == 0


@rule("norm:hgeip_sz_acc_op", "norm:hgeie_sz_acc_op", "norm:hgeie_img", "norm:geilen", "norm:hgeip_hgeie_fields")
def test_guest_external_interrupt_registers(bare: Bare) -> None:
    """GEILEN is 8: bits 8 to 1 of hgeie are writable, hgeip is read-only (it is the lines)."""
    bare["hgeie"] = MASK64
    assert bits_set(bare["hgeie"]) == set(range(1, GEILEN + 1))
    assert bare["hgeip"] == 0
    bare.guest_lines(0x1FE)
    bare["hgeip"] = 0
    assert bare["hgeip"] == 0x1FE


@rule(
    "norm:hip_sgeip_sgeie_acc_op", "norm:hgeie_op", "norm:hip_vseip_vseie_op", "norm:hgeip_hgeie_fields", "norm:hstatus_vgein_op"
)
@pytest.mark.parametrize("line", range(1, GEILEN + 1))
def test_a_guest_external_line(bare: Bare, line: int) -> None:
    """SGEIP is hgeip & hgeie; VSEIP is the line that VGEIN selects, whatever hgeie says, or hvip's bit."""
    bare.guest_lines(1 << line)
    for vgein in range(GEILEN + 1):
        for hgeie in (0, 1 << line, 0x1FE & ~(1 << line)):
            for injected in (0, 1 << VSE):
                bare["hstatus"], bare["hgeie"], bare["hvip"] = vgein << 12, hgeie, injected
                expected = (vgein == line or injected != 0) << VSE | (hgeie >> line & 1) << SGE
                assert bare["hip"] == expected
                assert bare["hvip"] == injected, "hvip does not show the line"
    bare["hip"] = 0
    assert bare["hip"] & 1 << SGE == 0 and bare["hgeip"] == 1 << line
    bare.guest_lines(0)
    bare["hgeie"] = MASK64
    assert bare["hip"] & 1 << SGE == 0


@rule("norm:hip_sgeip_sgeie_acc_op", "norm:hideleg_hs")
def test_a_guest_external_interrupt_is_taken_by_hs_mode(bare: Bare) -> None:
    bare.delegate()
    bare["hgeie"] = bare["hie"] = MASK64
    bare.guest_lines(4)
    bare.enter("VS")
    bare.load("nop")
    bare.hart.run(1)
    assert (bare["scause"], bare["pc"]) == (INTERRUPT | SGE, HS_HANDLER)


@rule("norm:hip_vseip_vseie_op")
def test_the_selected_line_interrupts_the_guest(bare: Bare) -> None:
    bare.delegate()
    bare["hideleg"] = bare["hie"] = VS_LEVEL
    bare["hstatus"] = 5 << 12
    bare["vsstatus"] = 2
    bare.guest_lines(1 << 5)
    bare.enter("VS")
    bare.load("nop")
    bare.hart.run(1)
    assert (bare["vscause"], bare["pc"]) == (INTERRUPT | 9, VS_HANDLER)


@rule("norm:hideleg_hs")
@pytest.mark.parametrize("mode", ["HS", "U", "VS", "VU", "M"])
@pytest.mark.parametrize("sie", [0, 1])
@pytest.mark.parametrize("vssie", [0, 1])
@pytest.mark.parametrize("hideleg", [0, VS_LEVEL])
def test_when_a_vs_level_interrupt_is_taken(bare: Bare, mode: str, sie: int, vssie: int, hideleg: int) -> None:
    """Not delegated: in HS-mode with SIE, and always in less privileged modes. Delegated: in VS-mode with vsstatus.SIE, and
    always in VU-mode, but nowhere outside the guest."""
    bare.delegate()
    bare["hideleg"], bare["hvip"], bare["hie"] = hideleg, 1 << VSS, VS_LEVEL
    bare["mstatus"], bare["vsstatus"] = sie << 1 | 1 << 3, vssie << 1
    bare.enter(mode)
    bare.load("nop")
    bare.hart.run(1)
    if hideleg:
        taken = {"VS": bool(vssie), "VU": True}.get(mode, False)
        assert (bare["vscause"] == INTERRUPT | 1) == taken
        assert bare["scause"] == 0
    else:
        taken = {"HS": bool(sie), "M": False}.get(mode, True)
        assert (bare["scause"] == INTERRUPT | 2) == taken
        assert bare["vscause"] == 0
    assert bare["mcause"] == 0


ORDER = (11, 3, 7, 9, 1, 5, 12, 10, 2, 6)  # MEI MSI MTI SEI SSI STI SGEI VSEI VSSI VSTI


def make_pending(bare: Bare, codes: set[int]) -> None:
    bare["mip"] = sum(1 << c for c in codes & {1, 5, 9})
    bare["irq_lines"] = sum(1 << c for c in codes & {3, 11})
    bare["mtimecmp"] = 0 if 7 in codes else MASK64
    bare["hvip"] = sum(1 << c for c in codes & {2, 6, 10})
    bare.guest_lines(2 if 12 in codes else 0)
    bare["hgeie"] = 2


@rule("norm:hsint_priority", "norm:hideleg_hs")
@pytest.mark.parametrize("seed", range(40))
def test_priorities_over_three_modes(bare: Bare, seed: int) -> None:
    """Random sets of pending, enabled and delegated interrupts in every mode: first what goes to M-mode, then to HS-mode, then
    to VS-mode, and within a mode the table's order."""
    rng = random.Random(seed)
    for _ in range(12):
        codes = {c for c in ORDER if rng.random() < 0.6}
        bare.enter("M")
        make_pending(bare, codes)
        bare["mideleg"], bare["hideleg"], bare["mie"] = rng.getrandbits(13), rng.getrandbits(13), rng.getrandbits(13)
        bare["stvec"], bare["vstvec"] = HS_HANDLER, VS_HANDLER
        mie, sie, vssie = (rng.randrange(2) for _ in range(3))
        bare["mstatus"], bare["vsstatus"] = mie << 3 | sie << 1, vssie << 1
        mode = rng.choice(("U", "HS", "M", "VU", "VS"))
        ready = [c for c in ORDER if c in codes and bare["mie"] >> c & 1]
        to_m = [c for c in ready if not bare["mideleg"] >> c & 1]
        to_vs = [c for c in ready if c not in to_m and bare["hideleg"] >> c & 1]
        to_hs = [c for c in ready if c not in to_m and c not in to_vs]
        expected = None
        if to_m and (mode != "M" or mie):
            expected = "mcause", to_m[0]
        elif to_hs and (mode in ("U", "VU", "VS") or (mode == "HS" and sie)):
            expected = "scause", to_hs[0]
        elif to_vs and (mode == "VU" or (mode == "VS" and vssie)):
            expected = "vscause", to_vs[0] - 1
        bare["mcause"] = bare["scause"] = bare["vscause"] = 0
        bare.enter(mode)
        bare.load("nop")
        bare.hart.run(1)
        found = [(n, bare[n] & 63) for n in ("mcause", "scause", "vscause") if bare[n] >> 63]
        assert found == ([expected] if expected else []), (codes, mode)


@rule("norm:hideleg_hs")
def test_an_interrupt_that_becomes_enabled_is_taken_before_the_next_instruction(bare: Bare) -> None:
    """A write of hie, hvip, hgeie, hstatus.VGEIN or hideleg is looked at at once."""
    for text, value in (
        ("csrw hie, a0", VS_LEVEL | 1 << SGE),
        ("csrw hvip, a0", 4),
        ("csrw hgeie, a0", 2),
        ("csrw hstatus, a0", 1 << 12),
    ):
        fresh = Bare()
        fresh.delegate()
        fresh["mstatus"] = 2
        fresh.guest_lines(2)
        if "hie" not in text:
            fresh["hie"] = HS_VIEW
        else:
            fresh["hgeie"] = 2
        fresh["x10"] = value
        fresh.enter("HS")
        fresh.load(f"{text}\nnop\nnop")
        fresh.hart.run(2)
        assert fresh["pc"] == HS_HANDLER, text


def test_external_line_does_not_stick_in_mip(bare: Bare) -> None:
    """A read-modify-write of mip sets SEIP from software's own bit, not from the line's."""
    bare["irq_lines"] = 1 << 9
    bare["x10"] = 1 << 5
    assert bare.one("csrrs a1, mip, a0") is None
    assert bare["x11"] >> 9 & 1 == 1
    bare["irq_lines"] = 0
    assert bare["mip"] & 1 << 9 == 0


@rule("norm:hip_vseip_vseie_op", "norm:mip_mie_alias")
def test_a_guest_line_does_not_stick(bare: Bare) -> None:
    """A read-modify-write of hip, mip, hvip or vsip with the line up leaves no bit behind."""
    bare["hideleg"], bare["hstatus"], bare["x10"] = VS_LEVEL, 1 << 12, 4
    for name in ("hip", "mip", "hvip", "vsip"):
        bare.guest_lines(2)
        assert bare.one(f"csrrs a1, {name}, a0") is None
        bare.guest_lines(0)
        assert bare["hip"] & 1 << VSE == 0, name
