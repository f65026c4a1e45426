"""ISA manual, "Smstateen and Ssstateen": what mstateen and hstateen withhold from less privileged modes and from a guest."""

from __future__ import annotations

from itertools import product

import pytest

from rvhv.core.registry import ISA
from tests.hext.bare import ILLEGAL, MASK64, VIRTUAL, Bare, bits_set
from tests.hext.rules import rule

SE, ENVCFG = 1 << 63, 1 << 62
NUMBERS = range(4)


def defined(n: int) -> set[int]:
    """Of the fields that the manual defines, those whose state is here: ENVCFG, and SE of each register."""
    return {62, 63} if n == 0 else {63}


@rule("norm:mstateen_rv64_csrs", "norm:sstateen_rv64_csrs", "norm:hstateen_rv64_csrs", "norm:stateen_warl_access")
@rule("norm:mstateen_zero_initialization", "norm:stateen_unimplemented_state_roz", "norm:stateen_reserved_roz")
@rule("norm:hstateen_bit_63_writable", "norm:mstateen_bit_63_roz", "norm:hstateen_encoding")
@rule("norm:mstateen_bit_correspondence", "norm:sstateen_ro1_bits", "norm:hstateen_ro1_bits")
@rule("norm:sstateen_encroachment_bits_roz", "norm:sstateen_vsmode_access_roz")
@pytest.mark.parametrize("n", NUMBERS)
def test_what_is_writable(bare: Bare, n: int) -> None:
    """The fields whose state is here; sstateen has none."""
    assert bare[f"mstateen{n}"] == 0
    bare[f"mstateen{n}"] = bare[f"hstateen{n}"] = bare[f"sstateen{n}"] = MASK64
    assert bits_set(bare[f"mstateen{n}"]) - {57} == defined(n)
    assert bits_set(bare[f"hstateen{n}"]) - {57} == defined(n)
    assert bare[f"sstateen{n}"] == 0


@rule("norm:mstateen_lower_priv_roz")
@pytest.mark.parametrize("n", NUMBERS)
def test_what_mstateen_hides_is_zero_in_hstateen(bare: Bare, n: int) -> None:
    """It reads as zero and ignores writes; the bit is as it was when it comes back."""
    bare[f"hstateen{n}"] = MASK64
    bare[f"mstateen{n}"] = MASK64
    assert bare[f"hstateen{n}"] == 0
    bare[f"hstateen{n}"] = MASK64
    bare[f"mstateen{n}"] = 0
    assert bare[f"hstateen{n}"] == 0
    bare[f"hstateen{n}"] = 0
    bare[f"mstateen{n}"] = MASK64
    assert bits_set(bare[f"hstateen{n}"]) - {57} == defined(n)


def cause(mode: str, lowest: str, m: int, h: int) -> int | None:
    """For state of HS-mode ("hs", mstateen controls it) or of S-mode ("s", hstateen too)."""
    if mode == "M":
        return None
    if not m or mode == "U":
        return ILLEGAL
    if mode == "HS":
        return None
    return None if mode == "VS" and lowest == "s" and h else VIRTUAL


@rule("norm:mstateen_bit_63_op", "norm:hstateen_bit_63_op", "norm:stateen_illegal_state_access", "norm:stateen_op")
@rule("norm:mstateen0_se0_op", "norm:hstateen0_SE0_op")
@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
@pytest.mark.parametrize("n", NUMBERS)
def test_bit_63(bare: Bare, n: int, mode: str) -> None:
    for m, h in product((0, 1), repeat=2):
        bare[f"mstateen{n}"] = SE
        bare[f"hstateen{n}"] = h * SE
        bare[f"mstateen{n}"] = m * SE
        for name, lowest in ((f"sstateen{n}", "s"), (f"hstateen{n}", "hs")):
            for text in (f"csrr a0, {name}", f"csrs {name}, a0"):
                bare["x10"] = 0
                assert bare.csr(mode, text) == cause(mode, lowest, m, h), (text, m, h)


@rule("norm:mstateen0_envcfg_op", "norm:hstateen0_envcfg_op", "norm:stateen_illegal_state_access", "norm:stateen_op")
@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
def test_envcfg(bare: Bare, mode: str) -> None:
    """Access to senvcfg and henvcfg; not what they enable."""
    for m, h in product((0, 1), repeat=2):
        bare["mstateen0"] = ENVCFG
        bare["hstateen0"] = h * ENVCFG
        bare["mstateen0"] = m * ENVCFG
        for name, lowest in (("senvcfg", "s"), ("henvcfg", "hs")):
            for text in (f"csrr a0, {name}", f"csrw {name}, a0"):
                assert bare.csr(mode, text) == cause(mode, lowest, m, h), (text, m, h)


@rule("norm:stateen_rv32_upper_bits_csrs")
def test_there_are_no_high_halves() -> None:
    assert not {0x31C, 0x61C, 0x31D, 0x61D, 0x31E, 0x61E, 0x31F, 0x61F} & ISA.csr_by_number.keys()


def test_a_guest_cannot_reach_mstateen(bare: Bare) -> None:
    bare.allow()
    for mode in ("HS", "U", "VS", "VU"):
        assert bare.csr(mode, "csrr a0, mstateen0") == ILLEGAL
