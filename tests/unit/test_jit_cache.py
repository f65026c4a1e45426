"""The cache of objects on disk: damage, folders that are not ours, full disks, two processes, and its size."""

from __future__ import annotations

import errno
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rvhv.core.memory import PAGE
from rvhv.jit import cache
from rvhv.jit.cache import MAGIC, ObjectCache
from rvhv.jit.job import Job, Spec, spec_of
from rvhv.jit.work import find, find_again, work
from tests.unit.test_jit_engine import ASM, BASE, LOOP, engine_of, make_hart

JOB = Job(1, 0, LOOP.ljust(PAGE, b"\0"), (0,), 8)


def test_an_object_is_found_again(own_cache: Path) -> None:
    assert find(JOB, ObjectCache()) is None
    first = work(JOB, ObjectCache())
    second = find(JOB, ObjectCache())
    assert second is not None
    assert (second.code, second.ranges, second.cached) == (first.code, first.ranges, True)
    assert find_again(JOB, spec_of(JOB, first), ObjectCache()) == second
    assert find(Job(2, 0, JOB.page, (0,), 3), ObjectCache()) is None  # of other TLBs
    assert find(Job(3, 0, JOB.page[:4] + JOB.page, (0,), 8), ObjectCache()) is None  # of other bytes


@pytest.mark.parametrize("in_the_way", ["folder", "file"])
def test_what_is_in_the_way_of_one_object_is_in_no_other_s(own_cache: Path, in_the_way: str) -> None:
    objects = ObjectCache()
    names = ["aa" + "0" * 38, "bb" + "0" * 38]
    if in_the_way == "folder":
        (own_cache / "aa" / ("0" * 38)).mkdir(parents=True)
    else:
        own_cache.mkdir()
        (own_cache / "aa").write_bytes(b"")
    for name in names:
        objects.put(name, b"code")
    assert objects.warning == "" and [objects.get(name) for name in names] == [None, b"code"]
    assert list(own_cache.glob("*/*.tmp")) == []


@pytest.mark.parametrize("damage", ["empty", "truncated", "bit", "foreign", "folder"])
def test_damage_counts_as_absent(own_cache: Path, damage: str) -> None:
    good = work(JOB, ObjectCache()).code
    (path,) = [p for p in own_cache.glob("*/*") if p.is_file()]
    data = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    else:
        flipped = data[:-9] + bytes([data[-9] ^ 1]) + data[-8:]
        path.write_bytes({"empty": b"", "truncated": data[:-100], "bit": flipped, "foreign": MAGIC + os.urandom(5000)}[damage])
    assert find(JOB, ObjectCache()) is None
    assert work(JOB, ObjectCache()).code == good
    assert (find(JOB, ObjectCache()) is None) == (damage == "folder")  # else it was written anew


GOOD: list[object] = [[0], [2], [4], 8, "0" * 40, [0], 1, [[0, 12]], 3]
WRONG: list[tuple[int, object]] = [
    (0, ["0"]), (0, [1]), (0, [0.0]), (0, [True]), (1, [4096]), (2, [-2]), (3, 0), (3, 2049), (3, True), (3, [8]), (4, 7),
    (4, "0" * 39), (4, "../" + "0" * 37), (5, [4096]), (5, []), (5, [12]), (6, -1), (6, 1 << 64), (7, [[0]]),
    (7, [[0, 0]]), (7, [[4094, 4]]), (7, [["0", 2]]), (7, 3), (8, 0),
]  # fmt: skip
SHAPES = [
    "{", "[[", "null", "7", '{"a": 1}', "[1]", "[[1, 2, 3, 4]]", "[[[0], [], [], 8]]", "[" * 100_000, "\xff",
    *(json.dumps([[*GOOD[:i], wrong, *GOOD[i + 1 :]]]) for i, wrong in WRONG),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: s[:20])
def test_a_list_of_another_shape_counts_as_absent(own_cache: Path, shape: str) -> None:
    objects = ObjectCache()
    spec = Spec((0,), (2,), (4,), 8, "0" * 40, (0,), 1, ((0, 12),), 3)
    objects.remember(JOB.page, JOB.tlb_bits, [spec])
    assert objects.recall(JOB.page, JOB.tlb_bits) == [spec]
    assert objects.recall(JOB.page, JOB.tlb_bits + 1) == []  # the code would be another
    objects.put(cache._page_name(JOB.page, JOB.tlb_bits), shape.encode("latin-1"))
    assert objects.recall(JOB.page, JOB.tlb_bits) == []


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    """Even root cannot write there: a file is in the way."""
    (tmp_path / "file").write_text("")
    objects = ObjectCache(tmp_path / "file" / "regions")
    result = work(JOB, objects)
    assert result.code
    assert "cannot be kept" in result.warning
    assert work(JOB, objects).warning == result.warning


def test_a_full_disk(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(cache.os, "replace", full)
    result = work(JOB, ObjectCache())
    assert result.code
    assert "No space left" in result.warning
    assert not [p for p in own_cache.glob("*/*") if p.is_file()]


def test_the_warning_is_given_once(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    hart = make_hart("jit")
    made = engine_of(hart)
    monkeypatch.setattr("rvhv.jit.work.work", lambda job: work(job, ObjectCache(Path(__file__) / "regions")))
    with caplog.at_level(logging.WARNING):
        for i in range(3):
            hart.memory.write(BASE, ASM.program(f"loop: addi x5, x5, {i}; xor x6, x6, x5; j loop", BASE))
            hart.run(5_000)
    assert made.statistics.regions >= 2
    assert len(caplog.records) == 1


def test_its_size_is_bounded(own_cache: Path) -> None:
    objects = ObjectCache(most=10_000)
    for i in range(40):
        objects.put(f"{i:040x}", bytes(1000))
        path = objects._path(f"{i:040x}")
        os.utime(path, (i, i))
    objects.prune()
    left = sorted(int(p.parent.name + p.name, 16) for _, _, p in objects.files())
    assert sum(size for _, size, _ in objects.files()) <= 10_000
    assert left == list(range(40 - len(left), 40))  # the last used
    assert objects.get(f"{39:040x}") == bytes(1000)


WRITER = """
import sys
from pathlib import Path
from rvhv.jit.cache import ObjectCache
objects = ObjectCache(Path(sys.argv[1]), most=60_000)
wrong = 0
for i in range(400):
    name = f"{i % 20:040x}"
    code = objects.get(name)
    wrong += code is not None and code != bytes([i % 20]) * 5000
    objects.put(name, bytes([i % 20]) * 5000)
    if i % 50 == 0:
        objects.prune()
sys.exit(wrong or bool(objects.warning))
"""


def test_two_processes_at_once(tmp_path: Path, root: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", WRITER, str(tmp_path)]
    processes = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [p.wait(timeout=60) for p in processes] == [0, 0]
    assert not list(tmp_path.glob("*/*.tmp"))


def test_what_cannot_be_removed_is_no_failure(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = ObjectCache(most=10)

    def refuse(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "unlink", refuse)
    objects.put("0" * 40, bytes(100))
    assert objects.get("0" * 40) == bytes(100)
