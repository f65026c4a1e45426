"""The process of the translator: forks of the guests' process, and what goes wrong over there."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rvhv import build
from rvhv.core.memory import PAGE
from rvhv.jit import cache, work, worker
from rvhv.jit.job import Job
from tests.unit.test_jit_engine import LOOP

FORKS = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from rvhv.jit import cache, engine
from tests.unit.test_jit_engine import ASM, BASE, LOOP, engine_of, make_hart, run_until

engine.WORTH_A_WORKER = 1
cache.cache_folder = lambda: Path(sys.argv[2])
hart = make_hart("auto")
assert run_until(hart, "regions")
worker = engine_of(hart)._worker
child = os.fork()
if child == 0:
    signal.alarm(60)
    hart.memory.write(BASE, ASM.program("loop: addi x7, x7, 3; xor x6, x6, x7; j loop", BASE))
    for _ in range(20):
        hart.run(400_000)  # it is served here too
    if sys.argv[3] == "close":
        engine_of(hart).close()
    sys.exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert worker._process.poll() is None, "the child ended it"
made = engine_of(hart).statistics.regions
hart.memory.write(BASE, ASM.program("loop: addi x5, x5, 2; xor x6, x6, x5; j loop", BASE))
end = time.monotonic() + 30
while engine_of(hart).statistics.regions == made:
    assert time.monotonic() < end, "nothing is translated any more"
    hart.run(400_000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
@pytest.mark.parametrize("ends", ["by itself", "close"])
def test_a_child_leaves_the_worker_alone(root: Path, tmp_path: Path, ends: str) -> None:
    """It has no worker, and whatever it does on its way to its end does not touch the one of its parent."""
    script = [sys.executable, "-c", FORKS, str(root), str(tmp_path), ends]
    done = subprocess.run(script, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_a_child_has_its_own_machine(root: Path) -> None:
    script = """
import os
from rvhv.core.memory import Memory
memory = Memory(4096, 0)
child = os.fork()
if child == 0:
    memory.write_u64(8, 1)
    os._exit(0)
os.waitpid(child, 0)
print(memory.read_u64(8))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, cwd=root)
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_a_job_that_fails_is_one_result_without_code(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the next one is done."""
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    real = work.compiler

    def broken() -> Any:
        monkeypatch.setattr(work, "compiler", real)
        raise RuntimeError("LLVM says no")

    monkeypatch.setattr(work, "compiler", broken)
    jobs, results = io.BytesIO(), io.BytesIO()
    for number in (1, 2):
        pickle.dump(Job(number, 0, LOOP.ljust(PAGE, b"\0"), (0,), 8), jobs)
    jobs.seek(0)
    worker.main(jobs, results, cache.translator().hex())
    results.seek(0)
    first, second = pickle.load(results), pickle.load(results)
    assert (first.number, first.code, first.error) == (1, b"", "RuntimeError: LLVM says no")
    assert (second.number, bool(second.code), second.error) == (2, True, "")


def test_another_package_of_that_name_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rvhv").mkdir()
    for name in ("rvhv/__init__.py", "pickle.py", "numba.py"):
        (tmp_path / name).write_text(f"open({str(tmp_path / 'was-run')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", "")
    command, environment = build.module_command("rvhv.jit.worker", cache.translator().hex())
    done = subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert not (tmp_path / "was-run").exists()


def test_a_worker_of_another_version_makes_nothing() -> None:
    """Its files were changed since the guests' process began."""
    results = io.BytesIO()
    worker.main(io.BytesIO(pickle.dumps(Job(1, 0, LOOP.ljust(PAGE, b"\0"), (0,), 8))), results, "0" * 64)
    assert results.getvalue() == b""
