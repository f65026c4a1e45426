"""ISA manual, H extension, "Hypervisor Environment Configuration Register (henvcfg)". What its CB fields do is in
test_cache_blocks.py, ADUE and PBMTE in test_g_stage.py, STCE in test_counters.py."""

from __future__ import annotations

import pytest

from tests.hext.bare import MASK64, Bare
from tests.hext.rules import rule

FIOM, CBIE, CBCFE, CBZE = 1, 3 << 4, 1 << 6, 1 << 7
ADUE, PBMTE, STCE = 1 << 61, 1 << 62, 1 << 63
BELOW_M = ADUE | PBMTE | STCE


@rule(
    "norm:henvcfg_sz_acc_op",
    "norm:henvcfg_fiom_op",
    "norm:henvcfg_pmm_op",
    "norm:henvcfg_lpe_op",
    "norm:henvcfg_sse_op",
    "norm:henvcfg_dte_op",
)
def test_fields(bare: Bare) -> None:
    """PMM, LPE, SSE and DTE are read-only zero: what they enable is not there."""
    bare["menvcfg"] = bare["henvcfg"] = MASK64
    assert bare["henvcfg"] == FIOM | CBIE | CBCFE | CBZE | BELOW_M
    bare["henvcfg"] = 0
    assert bare["henvcfg"] == 0


@rule("norm:henvcfg_pbmte_op", "norm:henvcfg_adue_op", "norm:henvcfg_stce")
@pytest.mark.parametrize("bit", [ADUE, PBMTE, STCE])
def test_what_menvcfg_does_not_have_is_read_only_zero(bare: Bare, bit: int) -> None:
    """It reads zero and ignores writes; what it held comes back with menvcfg's bit."""
    bare["henvcfg"] = MASK64
    assert bare["henvcfg"] & BELOW_M == 0
    bare["menvcfg"] = bit
    assert bare["henvcfg"] & BELOW_M == 0, "a write while it was read-only changed nothing"
    bare["henvcfg"] = MASK64
    assert bare["henvcfg"] & BELOW_M == bit
    bare["menvcfg"] = 0
    bare["henvcfg"] = 0
    assert bare["henvcfg"] == 0
    bare["menvcfg"] = bit
    assert bare["henvcfg"] == bit


@rule("norm:henvcfg_cbie")
@pytest.mark.parametrize("name", ["menvcfg", "henvcfg", "senvcfg"])
def test_cbie_of_two_is_reserved(bare: Bare, name: str) -> None:
    for kept in (0, 1, 3):
        bare[name] = kept << 4
        bare[name] = 2 << 4
        assert bare[name] == kept << 4


@rule("norm:henvcfg_fiom_op")
@pytest.mark.parametrize("text", ["fence", "fence.i", "fence iorw, iorw", "fence.tso"])
def test_fences_run_with_fiom(bare: Bare, text: str) -> None:
    """All accesses are in order anyway."""
    bare["menvcfg"] = bare["henvcfg"] = bare["senvcfg"] = FIOM
    for mode in ("VS", "VU"):
        assert bare.csr(mode, text) is None
