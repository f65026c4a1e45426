"""ISA manual, "Smstateen and Ssstateen": what mstateen and hstateen withhold from less privileged modes and from a guest."""

from __future__ import annotations

from itertools import product

import pytest

from tests.hext.bare import ILLEGAL, MASK64, VIRTUAL, Bare, bits_set

SE, ENVCFG = 1 << 63, 1 << 62
NUMBERS = range(4)


def defined(n: int) -> set[int]:
    """Of the fields that the manual defines, those whose state is here: ENVCFG, and SE of each register."""
    return {62, 63} if n == 0 else {63}


@pytest.mark.parametrize("n", NUMBERS)
def test_what_is_writable(bare: Bare, n: int) -> None:
    """norm:mstateen_zero_initialization, norm:stateen_unimplemented_state_roz, norm:hstateen_bit_63_writable."""
    assert bare[f"mstateen{n}"] == 0
    bare[f"mstateen{n}"] = bare[f"hstateen{n}"] = bare[f"sstateen{n}"] = MASK64
    assert bits_set(bare[f"mstateen{n}"]) - {57} == defined(n)
    assert bits_set(bare[f"hstateen{n}"]) - {57} == defined(n)
    assert bare[f"sstateen{n}"] == 0


@pytest.mark.parametrize("n", NUMBERS)
def test_what_mstateen_hides_is_zero_in_hstateen(bare: Bare, n: int) -> None:
    """norm:mstateen_lower_priv_roz: it reads as zero and ignores writes; the bit is as it was when it comes back."""
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


@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
@pytest.mark.parametrize("n", NUMBERS)
def test_bit_63(bare: Bare, n: int, mode: str) -> None:
    """norm:mstateen_bit_63_op, norm:hstateen_bit_63_op, norm:stateen_illegal_state_access."""
    for m, h in product((0, 1), repeat=2):
        bare[f"mstateen{n}"] = SE
        bare[f"hstateen{n}"] = h * SE
        bare[f"mstateen{n}"] = m * SE
        for name, lowest in ((f"sstateen{n}", "s"), (f"hstateen{n}", "hs")):
            for text in (f"csrr a0, {name}", f"csrs {name}, a0"):
                bare["x10"] = 0
                assert bare.csr(mode, text) == cause(mode, lowest, m, h), (text, m, h)


@pytest.mark.parametrize("mode", ["M", "HS", "U", "VS", "VU"])
def test_envcfg(bare: Bare, mode: str) -> None:
    """norm:mstateen0_envcfg_op, norm:hstateen0_envcfg_op: access to senvcfg and henvcfg; not what they enable."""
    for m, h in product((0, 1), repeat=2):
        bare["mstateen0"] = ENVCFG
        bare["hstateen0"] = h * ENVCFG
        bare["mstateen0"] = m * ENVCFG
        for name, lowest in (("senvcfg", "s"), ("henvcfg", "hs")):
            for text in (f"csrr a0, {name}", f"csrw {name}, a0"):
                assert bare.csr(mode, text) == cause(mode, lowest, m, h), (text, m, h)


def test_a_guest_cannot_reach_mstateen(bare: Bare) -> None:
    bare.allow()
    for mode in ("HS", "U", "VS", "VU"):
        assert bare.csr(mode, "csrr a0, mstateen0") == ILLEGAL
