"""docs/riscv-tests.md is code: its commands run, over a suite of our own in the same places."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit import riscv_elfs
from tests.unit.riscv_elfs import elf, prints

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/riscv-tests.md").read_text("utf-8")
COMMANDS = [line for body in re.findall(r"^```shell\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in body.splitlines()]


def test_there_are_commands() -> None:
    assert len(COMMANDS) >= 4


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_runs(command: str, tmp_path: Path) -> None:
    isa, benchmarks = tmp_path / "riscv-tests" / "isa", tmp_path / "riscv-tests" / "benchmarks"
    isa.mkdir(parents=True)
    benchmarks.mkdir()
    for name in ("rv64ui-p-add", "rv64ui-v-add", "rv64si-p-csr", "hypervisor-svadu-p-store"):
        (isa / name).write_bytes(elf(riscv_elfs.PASSES))
    (benchmarks / "median.riscv").write_bytes(elf(prints("mcycle = 5\n", 0)))
    script = f'rvhv() {{ PYTHONPATH="{ROOT}" "{sys.executable}" -m rvhv "$@"; }}\n{command}'
    done = subprocess.run(["sh", "-euc", script], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout + "".join(path.read_text() for path in tmp_path.glob("results.*"))
