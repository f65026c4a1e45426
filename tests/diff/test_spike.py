"""Random programs over M, HS, U, VS and VU in lockstep with Spike's commit log: every register, CSR and memory access.

Spike has no package in most distributions; where it is absent the comparison is skipped, and the programs only run here. A
failure names its seed, and RVHV_DIFF_SEED and RVHV_DIFF_SCALE (`tests.diff.states`) begin and lengthen a hunt elsewhere.
"""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.diff import spike
from tests.diff.hyper_compare import lockstep, our_log
from tests.diff.hyper_programs import HyperMaker
from tests.diff.states import SCALE, SEED

pytestmark = pytest.mark.usefixtures("compiled")

SLOTS = 150
BATCHES = 8
PROGRAMS = max(1, int(6 * SCALE))  # of a batch


def seeds(batch: int) -> list[int]:
    return [SEED + batch * PROGRAMS + i for i in range(PROGRAMS)]


@pytest.fixture(scope="module")
def maker() -> HyperMaker:
    return HyperMaker()


@pytest.mark.skipif(not spike.installed(), reason="spike is not installed: nothing was compared with it")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_lockstep(batch: int, maker: HyperMaker, tmp_path: Path) -> None:
    for seed in seeds(batch):
        found = lockstep(maker.make(random.Random(seed), SLOTS), tmp_path)
        assert not found.difference, f"seed {seed}\n{found.difference}"


def test_programs_end_and_reach_every_mode(maker: HyperMaker, tmp_path: Path) -> None:
    """Also without Spike: or the comparison could quietly become one of nothing."""
    modes: Counter[str] = Counter()
    for seed in seeds(0):
        executable = tmp_path / "program.elf"
        executable.write_bytes(maker.make(random.Random(seed), SLOTS).executable)
        _, found, machine = our_log(executable)
        assert machine.end is not None and machine.end.reason == "exited", seed
        modes += found
    assert all(modes[mode] > 100 for mode in ("M", "S", "U", "Sv", "Uv")), modes
