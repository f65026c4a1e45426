"""The cache of the compiled machine: one compilation among many, atomic, never stale, never fatal."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from rvhv import build
from rvhv.core.blob import Blob

ROOT = Path(__file__).resolve().parents[2]
FAKE = Blob(b"tables!!", b"object code")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RVHV_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Compilations done, with numba's part replaced by nothing."""
    done: list[int] = []

    def fake() -> Blob:
        done.append(1)
        return FAKE

    monkeypatch.setattr(build, "compile_machine", fake)
    return done


def machines(folder: Path) -> list[Path]:
    return sorted(folder.glob("machine-*.bin"))


def test_the_second_time_nothing_is_compiled(folder: Path, compiled: list[int]) -> None:
    for _ in range(2):
        assert build._obtain(None).code == FAKE.code
    assert len(compiled) == 1
    assert len(machines(folder)) == 1


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b + b"x", lambda b: b"", lambda b: b[:60] + b"\0\0" + b[62:]])
def test_a_damaged_file_is_built_anew(folder: Path, compiled: list[int], damage) -> None:  # type: ignore[no-untyped-def]
    build._obtain(None)
    (file,) = machines(folder)
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert build._obtain(None).code == FAKE.code
    assert len(compiled) == 2
    assert file.read_bytes() == whole


def test_nothing_is_left_behind_when_writing_fails(
    folder: Path, compiled: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with caplog.at_level(logging.WARNING):
        assert build._obtain(None).code == FAKE.code
    assert "No space left" in caplog.text
    assert [p.suffix for p in folder.iterdir()] == [".lock"]


def test_a_folder_that_cannot_be_made_is_a_warning(
    tmp_path: Path, compiled: list[int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("RVHV_CACHE_DIR", str(tmp_path / "file" / "cache"))
    with caplog.at_level(logging.WARNING):
        assert build._obtain(None).code == FAKE.code
    assert "compiling for this run only" in caplog.text
    assert len(compiled) == 1


def test_processes_that_start_cold_together_compile_once(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys, time
        from rvhv import build
        from rvhv.core.blob import Blob
        def slow():
            with open(sys.argv[1], "a") as log:
                log.write("compiled\\n")
            time.sleep(0.7)
            return Blob(b"tables!!", b"object code")
        build.compile_machine = slow
        assert build._obtain(None).code == b"object code"
    """)
    log = tmp_path / "log"
    environment = os.environ | {"RVHV_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    together = [subprocess.Popen([sys.executable, "-c", script, str(log)], env=environment) for _ in range(4)]
    assert [p.wait(timeout=60) for p in together] == [0] * 4
    assert log.read_text() == "compiled\n"


def test_a_process_killed_while_it_compiles_blocks_nobody(folder: Path, compiled: list[int]) -> None:
    """The lock is the operating system's: it ends with the process that held it."""
    script = textwrap.dedent("""
        import time
        from rvhv import build
        build.compile_machine = lambda: print("in", flush=True) or time.sleep(60)
        build._obtain(None)
    """)
    environment = os.environ | {"RVHV_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    victim = subprocess.Popen([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE)
    assert victim.stdout is not None
    assert victim.stdout.readline() == b"in\n"
    victim.kill()
    victim.wait()
    assert build._obtain(None).code == FAKE.code
    assert len(compiled) == 1


def test_every_source_is_part_of_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed row, runtime or renderer is another machine."""
    import shutil

    copy = tmp_path / "rvhv"
    shutil.copytree(build.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(build, "PACKAGE", copy)
    build.fingerprint.cache_clear()
    before = build.fingerprint()
    try:
        for name in ("isa/expr.py", "cpu/walk.py", "hext/two_stage.py", "core/source.py"):
            path = copy / name
            path.write_text(path.read_text() + "\n# changed\n")
            build.fingerprint.cache_clear()
            after = build.fingerprint()
            assert after != before, name
            before = after
    finally:
        build.fingerprint.cache_clear()


def test_progress_is_told_while_it_compiles(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setattr(build, "compile_machine", lambda: time.sleep(0.35) or FAKE)
    told: list[tuple[str, float]] = []
    build._obtain(lambda text, fraction: told.append((text, fraction)))
    fractions = [f for _, f in told]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert len(fractions) > 3


def test_what_the_key_leaves_out_is_not_compiled() -> None:
    """Compiled sources must not import the folder whose changes keep the machine."""
    hidden = ".".join(("rvhv", *build.PLAIN.relative_to(build.PACKAGE).parts))
    sources = [path for room in build.SOURCES for path in (build.PACKAGE / room).rglob("*.py") if build.PLAIN not in path.parents]
    assert (build.PLAIN / "recorder.py").is_file() and len(sources) > 50
    assert [path for path in sources if hidden in path.read_text("utf-8") or "import walks" in path.read_text("utf-8")] == []
