"""`rvhv riscv-tests` over a small suite of our own: what is run, counted, reported."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from rvhv.cli import progress, workers
from rvhv.cli.main import main
from rvhv.machine.virt import Machine
from tests.unit import riscv_elfs
from tests.unit.riscv_elfs import elf, prints

pytestmark = pytest.mark.usefixtures("compiled")

PASSES = elf(riscv_elfs.PASSES)
ELF32 = PASSES[:4] + b"\x01" + PASSES[5:]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """Five tests that pass, and two files that are none."""
    folder = tmp_path / "isa"
    (folder / "deep").mkdir(parents=True)
    for name in ("rv64ui-p-add", "rv64ui-v-add", "deep/rv64ui-p-sub", "rv64um-p-mul", "rv64um-v-mul"):
        (folder / name).write_bytes(PASSES)
    (folder / "rv64ui-p-add.dump").write_text("text")
    (folder / "rv32ui-p-add").write_bytes(ELF32)
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main(["riscv-tests", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def document(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code, out, _ = run(capsys, *arguments, "--json")
    return code, json.loads(out)


@pytest.mark.parametrize("jobs", [1, 2, 9])
def test_all_pass(jobs: int, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, suite, "--jobs", jobs)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0
    assert ["family", "p", "v"] in lines and ["rv64ui", "2/2", "1/1"] in lines and ["rv64um", "1/1", "1/1"] in lines
    assert lines[-1][:-2] == "5 passed, 0 failed, 2 files not run;".split()
    assert f"not run (is not an ELF file): {suite / 'rv64ui-p-add.dump'}" in out
    assert f"not run (is a 32-bit ELF: guests are 64-bit RISC-V, build it for rv64): {suite / 'rv32ui-p-add'}" in out


def test_the_tier(suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from rvhv.boot import riscv_test

    made: list[Machine] = []

    def noted(*arguments: Any, **options: Any) -> Machine:
        made.append(Machine(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(riscv_test, "Machine", noted)
    assert run(capsys, suite, "--jobs", 1, "--tier", "jit")[0] == 0
    assert run(capsys, suite, "--jobs", 1, "--tier", "interp")[0] == 0
    engines = [machine.harts[0].engine for machine in made]
    assert [engine is not None and engine.tier for engine in engines] == ["jit"] * 5 + [False] * 5
    monkeypatch.setenv("RVHV_TIER", "slow")
    code, out, err = run(capsys, suite)
    assert code == 2 and out == "" and "tier 'slow' does not exist" in err


def test_a_family_may_have_a_hyphen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("hypervisor-p-2-stage_translation", "hypervisor-svadu-p-2-stage_translation"):
        (tmp_path / name).write_bytes(PASSES)
    code, out, _ = run(capsys, tmp_path)
    lines = [line.split() for line in out.splitlines()]
    assert code == 0 and ["hypervisor", "1/1"] in lines and ["hypervisor-svadu", "1/1"] in lines


def reason(source: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    """What is said about a test that fails."""
    path = tmp_path / "rv64ui-p-bad"
    path.write_bytes(source)
    code, out, _ = run(capsys, path, *options)
    assert code == 1 and out.splitlines()[-1].startswith("0 passed, 1 failed, 0 files not run")
    (line,) = [line for line in out.splitlines() if line.startswith("rv64ui-p-bad: ")]
    return line.removeprefix("rv64ui-p-bad: ")


@pytest.mark.parametrize(
    ("source", "dwarf", "said"),
    [
        (riscv_elfs.FAILS, None, "test 3 failed"),
        (riscv_elfs.FAILS, 4, "test 3 failed, rv64ui/add.S:30"),
        (riscv_elfs.FAILS, 5, "test 3 failed, rv64ui/add.S:30"),
        (riscv_elfs.TRAPS, None, "unexpected trap at pc 0x80000014 (test_2+0x4), cause 0x2 (illegal instruction)"),
        (riscv_elfs.TRAPS, 5, "unexpected trap at pc 0x80000014 (test_2+0x4), cause 0x2 (illegal instruction), rv64ui/add.S:20"),
        (riscv_elfs.INTO_NOTHING, None, "trap loop at pc 0x0, cause 0x1 (instruction access fault)"),
        (riscv_elfs.TRAPPING_HANDLER, None, "trap loop at pc 0x80000010 (handler+0x4), cause 0x7 (store/AMO access fault)"),
        (riscv_elfs.WAITS, None, "waits at pc 0x80000004 (again+0x4) for an interrupt that nothing will raise"),
        (riscv_elfs.ENDLESS, None, "did not end within 1,000,000 steps; it is at pc 0x80000000 (forever)"),
        (prints("", 7), None, "exit code 7"),
    ],
)
def test_a_failure_is_explained(
    source: str, dwarf: int | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert reason(elf(source, dwarf=dwarf), tmp_path, capsys, "--timeout-steps", "1M") == said


def test_a_case_without_a_label_has_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert reason(elf(riscv_elfs.FAILS, hidden=["test_3"]), tmp_path, capsys) == "test 3 failed"


def test_a_program_without_tohost_is_a_failed_test(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = reason(elf(riscv_elfs.PASSES, hidden=["tohost"]), tmp_path, capsys)
    assert said == "it has no symbol tohost, so nothing can tell how it ends"


def test_a_program_may_trap_often(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "calls").write_bytes(elf(riscv_elfs.CALLS))
    code, found = document(capsys, tmp_path)
    assert code == 0 and found["tests"][0]["steps"] > 700_000


def test_a_program_that_does_not_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    low = PASSES.replace(riscv_elfs.BASE.to_bytes(8, "little"), (0x1000).to_bytes(8, "little"))
    assert "begins below the machine's memory" in reason(low, tmp_path, capsys)


@pytest.mark.parametrize("version", [4, 5])
def test_a_damaged_line_table_says_nothing(version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = elf(riscv_elfs.FAILS, dwarf=version)
    at = good.index(b"rv64ui\0")
    for patch in (at - 24, at - 20, at - 4, at + 40):
        bad = bytearray(good)
        bad[patch : patch + 4] = b"\xff" * 4
        assert reason(bytes(bad), tmp_path, capsys).startswith("test 3 failed")


def test_what_a_program_prints_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "median.riscv").write_bytes(elf(prints("mcycle = 5\nminstret = 6\n", 0)))
    (tmp_path / "qsort.riscv").write_bytes(elf(prints("one\n\x1b[2Jtwo\n", 3)))
    code, out, _ = run(capsys, tmp_path)
    assert code == 1 and "benchmarks   1/2" in out
    assert "qsort.riscv: exit code 3\n  | one\n  | ␛[2Jtwo\n" in out and "mcycle" not in out
    code, out, _ = run(capsys, tmp_path, "--show-output")
    assert "median.riscv:\n  | mcycle = 5\n  | minstret = 6\n" in out
    _, tests = document(capsys, tmp_path)
    assert [test["output"] for test in tests["tests"]] == ["mcycle = 5\nminstret = 6\n", "one\n\x1b[2Jtwo\n"]


def test_json(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "rv64ui-p-bad").write_bytes(elf(riscv_elfs.FAILS, dwarf=5))
    code, found = document(capsys, suite)
    (bad,) = [test for test in found["tests"] if not test["passed"]]
    assert code == 1 and (found["passed"], found["failed"], found["left_out"]) == (5, 1, 0)
    assert (bad["family"], bad["variant"], bad["test"], bad["line"]) == ("rv64ui", "p", 3, "rv64ui/add.S:30")
    assert bad["steps"] == bad["instructions"] > 5
    assert sorted(found["not_run"]) == [str(suite / "rv32ui-p-add"), str(suite / "rv64ui-p-add.dump")]


def test_results_do_not_depend_on_the_number_of_processes(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "rv64ui-p-bad").write_bytes(elf(riscv_elfs.FAILS))

    def told(jobs: int) -> list[Any]:
        tests = document(capsys, suite, "--jobs", jobs)[1]["tests"]
        return [{key: value for key, value in test.items() if key != "host_seconds"} for test in tests]

    assert told(1) == told(3)


def test_junit(suite: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (suite / "rv64ui-p-bad").write_bytes(elf(riscv_elfs.FAILS, dwarf=5))
    (suite / "\ufffe<&.riscv").write_bytes(elf(prints("\x01]]>\n<b>&", 3)))
    report = tmp_path / "report.xml"
    assert run(capsys, suite, "--junit", report)[0] == 1
    root = ElementTree.parse(report).getroot()
    assert (root.get("tests"), root.get("failures")) == ("7", "2")
    suites = {s.get("name"): s for s in root}
    assert list(suites) == ["rv64ui-p", "rv64ui-v", "rv64um-p", "rv64um-v", "benchmarks-p"]
    assert {s.get("tests") for s in suites.values()} == {"1", "3"}
    (failure,) = suites["rv64ui-p"].iterfind("testcase/failure")
    assert failure.get("message") == "test 3 failed, rv64ui/add.S:30"
    (case,) = suites["benchmarks-p"]
    assert case.findtext("system-out") == "␁]]>\n<b>&"


@pytest.mark.parametrize(
    ("globs", "count"), [(["*-p-*"], 3), (["rv64um-*", "*-sub"], 3), (["rv64u[im]-v-???"], 2), (["*"], 5)]
)
def test_filter(globs: list[str], count: int, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = [option for glob in globs for option in ("--filter", glob)]
    assert len(document(capsys, suite, *options)[1]["tests"]) == count


def test_a_file_that_is_named_twice_is_run_once(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = document(capsys, suite, suite / "rv64ui-p-add", suite)
    assert len(found["tests"]) == 5


@pytest.mark.parametrize("what", ["missing", "no ELF", "empty folder", "filtered", "jobs", "no junit"])
def test_bad_input(what: str, tmp_path: Path, suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, options, said = tmp_path / "x", [], str(tmp_path / "x")
    if what == "no ELF":
        path.write_text("text")
    if what == "empty folder":
        path.mkdir()
    if what == "filtered":
        path, options, said = suite, ["--filter", "rv128*"], "no RISC-V test named like rv128* to run in"
    if what == "jobs":
        path, options, said = suite, ["--jobs", "0"], "--jobs: "
    if what == "no junit":
        path, options, said = suite, ["--junit", str(tmp_path / "x" / "y.xml")], str(tmp_path / "x" / "y.xml")
    code, out, err = run(capsys, path, *options)
    assert code == 2 and out == "" and err.count("\n") == 1 and said in err


def test_a_missing_path_beside_a_good_one_stops_before_anything_runs(suite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, suite, suite / "nothing")
    assert code == 2 and out == "" and "there is no such file" in err


def test_ctrl_c_here_shows_what_was_run(
    suite: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from rvhv.boot import riscv_test

    real = riscv_test.run_test

    def interrupted(image: Any, max_steps: int, tier: str) -> riscv_test.Result:
        if "mul" in image.name:
            raise KeyboardInterrupt
        return real(image, max_steps, tier)

    monkeypatch.setattr(riscv_test, "run_test", interrupted)
    code, out, _ = run(capsys, suite, "--jobs", 1)
    assert code == 130 and "3 passed, 0 failed, 2 left out (Ctrl-C)" in out


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends SIGINT to processes")
def test_ctrl_c_ends_the_processes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("rv64ui-p-a", "rv64ui-p-b"):
        (tmp_path / name).write_bytes(PASSES)
    for i in range(4):
        (tmp_path / f"rv64ui-p-endless{i}").write_bytes(elf(riscv_elfs.ENDLESS))
    updates: list[str] = []

    def update(self: progress.LateBar, what: str, fraction: float) -> None:
        updates.append(what)
        if len(updates) == 2:  # a terminal sends it to all
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGINT)
            raise KeyboardInterrupt

    monkeypatch.setattr(progress.LateBar, "update", update)
    code = main(["riscv-tests", str(tmp_path), "--jobs", "2", "--timeout-steps", "1000G"])
    out, err = capfd.readouterr()
    assert code == 130 and err == "" and multiprocessing.active_children() == []
    assert updates == ["1 of 6 tests", "2 of 6 tests"]
    assert "2 passed, 0 failed, 4 left out (Ctrl-C)" in out


def test_a_crash_takes_one_test_with_it() -> None:
    jobs = list(range(20))
    with workers.Crew(_work, jobs, 2, lambda job, reason: f"{job}: {reason}") as crew:
        answers = dict(crew)
    assert [answers[i] for i in jobs] == [
        f"{i}: the process that ran it ended with exit code 9" if i in (0, 7, 8, 19) else str(i) for i in jobs
    ]


def _work(job: int) -> str:
    if job in (0, 7, 8, 19):
        os._exit(9)
    return str(job)


def test_an_error_of_ours_is_an_error() -> None:
    from rvhv.errors import InternalError

    with pytest.raises(InternalError, match="ZeroDivisionError"), workers.Crew(_divide, [1, 0, 2, 3], 2, _never) as crew:
        list(crew)


def _divide(job: int) -> float:
    return 1 / job


def _never(job: int, reason: str) -> float:
    raise AssertionError(reason)
