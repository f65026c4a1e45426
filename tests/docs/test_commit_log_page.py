"""docs/commit-log.md is code: its commands run, and where Spike is installed its log is the same as ours."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import TRIGGERS
from rvhv.isa.render.asm import Assembler
from tests.diff import spike
from tests.elf_file import elf

pytestmark = [pytest.mark.usefixtures("compiled"), pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")]

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/commit-log.md").read_text("utf-8")
RAM, TOHOST = 0x8000_0000, 0x8000_1000
USER, HANDLER = RAM + 0x400, RAM + 0x800
MAIN = f"""
    li t0, 0x2004000; li t1, -1; sd t1, 0(t0)
    csrw pmpaddr0, t1; csrwi pmpcfg0, 0x1f
    li t0, {HANDLER}; csrw mtvec, t0
    li t0, 0x6000; csrs mstatus, t0; csrwi medeleg, 2
    li t0, 0x444; csrw hvip, t0; fcvt.d.w f1, t0; fsqrt.d f1, f1
    li a0, {RAM}; amoadd.d x1, x0, (a0)
    li t0, {USER}; csrw sepc, t0; sret
"""
FINISH = f"li a0, {TOHOST}; li a1, 1; sd a1, 0(a0); halt: j halt"


def commands(kind: str) -> list[str]:
    return [line for body in re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) for line in body.splitlines()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    script = f'rvhv() {{ PYTHONPATH="{ROOT}" "{sys.executable}" -m rvhv "$@"; }}\n{command}'
    return subprocess.run(["sh", "-euc", script], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    texts = {RAM: MAIN, USER: "nop; ecall", HANDLER: FINISH}
    segments = {at: Assembler(ISA).program(text, at) for at, text in texts.items()} | {TOHOST: bytes(16)}
    program = elf(segments, RAM, {"tohost": TOHOST, "fromhost": TOHOST + 8})
    (tmp_path / "program.elf").write_bytes(program)
    return tmp_path


def test_it_writes_a_log(folder: Path) -> None:
    (command,) = commands("shell")
    done = run(command, folder)
    assert done.returncode == 0, done.stderr
    lines = (folder / "ours.log").read_text().splitlines()
    assert any("c768_mstatus" in line and "c1536_hstatus" in line for line in lines) and "mem" in lines[-1]


def test_the_page_runs_spike_with_what_we_have() -> None:
    command = next(line for line in commands("shell spike") if line.startswith("spike "))
    assert f"--isa={'_'.join(spike.EXTENSIONS)} " in command
    assert f"--triggers={TRIGGERS} " in command


@pytest.mark.skipif(not spike.installed(), reason="spike is not installed: nothing was compared with it")
def test_the_logs_are_the_same(folder: Path) -> None:
    for command in (*commands("shell"), *commands("shell spike")):
        done = run(command, folder)
        assert done.returncode == 0 and done.stdout == "", done.stdout + done.stderr
