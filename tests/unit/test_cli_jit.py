"""`--tier`, `--profile` and `rvhv jit stats`, and the end of the translator's process."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rvhv import build
from rvhv.cli.config import read_config
from rvhv.cli.group import TIERS
from rvhv.cli.main import main
from rvhv.cli.profile import EVERY, Look, Profile
from rvhv.core.memory import Memory
from rvhv.cpu.state import Leaving
from rvhv.errors import ConfigError
from rvhv.hart import Hart
from rvhv.hv import Hypervisor
from rvhv.jit.cache import ObjectCache
from rvhv.jit.engine import Engine, Tier
from tests.devices.bare import assembled

Monkey = pytest.MonkeyPatch
ROOT = Path(__file__).resolve().parents[2]
POWER_OFF = """
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
    j .
"""
# a loop of 3 steps, two million times, and power off
LOOP = f"""
    li s0, 2000000
again:
    addi s1, s1, 3
    addi s0, s0, -1
    bne s0, x0, again
    {POWER_OFF}
"""

pytestmark = pytest.mark.usefixtures("compiled")


@pytest.fixture
def loop(tmp_path: Path) -> list[str]:
    path = tmp_path / "loop.bin"
    path.write_bytes(assembled(LOOP))
    return [str(path), "--firmware", "none"]


def document(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*argv, "--json"]) == code
    parsed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return parsed


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert main(list(argv)) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("rvhv: error: ") and err.count("\n") == 1
    return err


# --tier


def test_the_tiers_are_the_translator_s() -> None:
    assert set(TIERS) == set(Tier)


@pytest.mark.parametrize("command", [["boot", "smp", "--smp", "2"], ["run", "tasks", "hello"]])
def test_every_tier_gives_the_same_run(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    hashes = {document(capsys, *command, "--trace-hash", "--tier", tier)["trace_hash"] for tier in TIERS}
    assert len(hashes) == 1


@pytest.mark.parametrize(("tier", "translates"), [("interp", False), ("jit", True)])
def test_the_tier_gets_through(tier: str, translates: bool, loop: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert (document(capsys, "jit", "stats", *loop, "--tier", tier)["region_steps"] > 0) is translates
    assert (document(capsys, "jit", "stats", "--guest", "tasks", "--tier", tier)["region_steps"] > 0) is translates


def test_a_tier_that_does_not_exist(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--tier" in refused(capsys, "run", "hello", "--tier", "fast")
    with pytest.raises(ConfigError, match="fast"):
        Hypervisor("16M", tier="fast")
    monkeypatch.setenv("RVHV_TIER", "slow")
    assert "slow" in refused(capsys, "boot", "smp")


def test_the_tier_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "vms.toml"
    path.write_text('tier = "interp"\n[vm.hello]\n')
    assert read_config(path).options == {"tier": "interp"}
    path.write_text('\ntier = "fast"\n[vm.hello]\n')
    with pytest.raises(ConfigError, match="line 2: tier: 'fast' is no tier: choose interp, jit, auto"):
        read_config(path)


# --profile


def test_a_profile_is_the_same_on_every_tier(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "profile.json"
    texts = set()
    for tier in TIERS:
        top = document(capsys, "run", "tasks", "hello", "--tier", tier, "--profile", str(path))["profile"]
        texts.add(path.read_text())
    assert len(texts) == 1
    assert top["file"] == str(path) and top["every_steps"] == EVERY
    assert top["top"][0]["name"] == "tasks" and top["top"][0]["symbol"] == "user_fibonacci" and top["top"][0]["mode"] == "VU"
    written = json.loads(texts.pop())
    frames = [frame["name"] for frame in written["shared"]["frames"]]
    assert {"VU-mode", "user_fibonacci", "user_checksum"} <= set(frames)
    tasks, hello = written["profiles"]
    assert (tasks["name"], hello["name"], tasks["type"]) == ("tasks", "hello", "sampled")
    assert len(tasks["samples"]) + len(hello["samples"]) == top["samples"] >= 100
    for profile in (tasks, hello):
        assert len(profile["weights"]) == len(profile["samples"])
        assert profile["endValue"] == sum(profile["weights"])
        assert all(0 <= frame < len(frames) for stack in profile["samples"] for frame in stack)


def test_a_profile_of_harts_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "profile.json"
    plain = document(capsys, "boot", "smp", "--smp", "2", "--trace-hash")
    profiled = document(capsys, "boot", "smp", "--smp", "2", "--trace-hash", "--profile", str(path))
    assert profiled["trace_hash"] == plain["trace_hash"] and profiled["steps"] == plain["steps"]
    assert profiled["profile"]["samples"] == plain["steps"] // EVERY
    assert [p["name"] for p in json.loads(path.read_text())["profiles"]] == ["hart 0", "hart 1"]


def test_the_table_of_a_profile(tmp_path: Path, loop: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", *loop, "--profile", str(tmp_path / "p.json")]) == 0
    err = capsys.readouterr().err
    assert "100.0%   M      0x80000000 (page)" in err
    assert f"profile: 59 samples, one every {EVERY:,} steps, in " in err


def test_a_profile_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no/p.json" in refused(capsys, "run", "hello", "--profile", str(tmp_path / "no/p.json"))


def test_many_samples_become_fewer() -> None:
    profile = Profile(every=10, most=8)
    hart = Hart(Memory(1 << 20), tier="interp")
    at = []

    def go(part: int) -> int:
        at.append(part)
        return part

    regions = iter(range(0, 1000, 3))
    profile.run(go, 205, 0, lambda: Look(0, hart.state, hart, next(regions)))
    assert profile.every == 40 and len(profile.samples) == 5  # 40 ... 200
    assert sum(at) == 205 and at[-1] == 5
    assert sum(s.translated for s in profile.samples) == 3 * (8 + 4 + 1 - 1)


# rvhv jit stats


def test_statistics_of_a_machine(loop: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    stats = document(capsys, "jit", "stats", *loop, "--tier", "jit")
    assert stats["regions"] >= 1 and stats["installs"] >= stats["regions"] and stats["code_bytes"] > 0
    assert stats["steps"] > 6_000_000 and 0 < stats["region_share"] <= 1
    assert stats["region_steps"] == pytest.approx(stats["steps_an_entry"] * stats["region_entries"], rel=1e-3)
    assert stats["hot"][0]["symbol"] == "0x80000000 (page)" and stats["hot"][0]["translated"] > 0
    assert main(["jit", "stats", *loop, "--tier", "jit"]) == 0
    out = capsys.readouterr().out
    assert "regions made" in out and "powered off" in out and "\x1b" not in out


# two regions in pages of their own, one of which calls the other a hundred thousand times, and an instruction that leaves
CALLS = f"""
    li s0, 100000
again:
    jal double
    fence.i
    csrw satp, x0
    addi s0, s0, -1
    bne s0, x0, again
    {POWER_OFF}
    .balign 4096
double:
    add s1, s1, s1
    ret
"""


def test_what_regions_were_entered_and_left_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "calls.bin"
    path.write_bytes(assembled(CALLS))
    argv = ["jit", "stats", str(path), "--firmware", "none", "--tier", "jit"]
    stats = document(capsys, *argv)
    assert set(stats["left"]) == {why.name.lower() for why in Leaving}
    assert sum(stats["left"].values()) == stats["region_entries"] > 100_000
    by_reason = sorted(stats["left"], key=lambda why: -stats["left"][why])
    assert by_reason[0] == "instruction" and 99_000 <= stats["left"]["instruction"] <= 100_000
    regions = {region["address"]: region for region in stats["hot_regions"]}
    callee = regions[0x8000_1000]
    assert 99_000 <= callee["entered"] <= 100_000 and callee["instructions"] == 2 and callee["bytes"] > 0
    assert sum(region["share"] for region in stats["hot_regions"]) == pytest.approx(1, abs=0.01)
    first = stats["left_at"][0]
    assert first["instruction"] == "csrw satp, zero"
    assert 99_000 <= first["times"] <= 100_000 and first["place"] == hex(first["address"])
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "why a region was left" in out and "for an instruction that is always the interpreter's" in out
    assert "csrw satp" in out and "region, by where it is entered most" in out


def test_regions_of_a_guest_have_its_names(capsys: pytest.CaptureFixture[str]) -> None:
    stats = document(capsys, "jit", "stats", "--guest", "tasks", "--guest", "tasks", "--tier", "jit")
    places = {(region["vm"], region["place"].split("+")[0].split(" ")[0]) for region in stats["hot_regions"]}
    assert {("tasks", "user_fibonacci"), ("tasks-2", "user_fibonacci")} <= places
    assert {left["vm"] for left in stats["left_at"]} == {"tasks", "tasks-2"}
    assert all(left["times"] > 0 and left["place"].startswith(("user_", "_start")) for left in stats["left_at"])
    assert not any(left["instruction"].startswith("unimp") for left in stats["left_at"]), "their memory is gone"


def test_statistics_of_guests(capsys: pytest.CaptureFixture[str]) -> None:
    stats = document(capsys, "jit", "stats", "--guest", "tasks", "--guest", "hello", "--max-steps", "2M", "--tier", "jit")
    assert stats["steps"] == 2_000_000 and stats["regions"] >= 1
    assert stats["ended"][0] == "tasks: still running"
    assert 0 < sum(left["times"] for left in stats["left_at"]) <= sum(stats["left"].values())


def test_the_object_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RVHV_CACHE_DIR", str(tmp_path))
    cache = ObjectCache()
    for name in ("aa11", "bb22"):
        cache.put(name, b"code")
    before = document(capsys, "jit", "stats")
    assert before["folder"] == str(tmp_path / "regions") and before["files"] == 2 and before["bytes"] > 8
    assert main(["jit", "stats", "--clear"]) == 0
    out = capsys.readouterr().out
    assert "removed 2 files" in out and "files   0" in out
    assert cache.files() == []


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["stat"], "no such command 'stat'"),
        (["show", "tasks"], "SYMBOL|ADDRESS is missing; see rvhv jit show --help"),
        (["stats", "smp", "--guest", "hello"], "--guest goes without an IMAGE: there is one run"),
        (["stats", "--firmware", "none", "--guest", "hello"], "--guest goes without --firmware: there is one run"),
        (["stats", "--kernel", "x", "--guest", "hello"], "--guest goes without --kernel: there is one run"),
        (["stats", "smp", "--kernel", "x", "--guest", "hello"], "--guest goes without an IMAGE and --kernel: there"),
        (["stats", "smp", "--clear"], "--clear goes without an IMAGE\n"),
        (["stats", "--guest", "hello", "--clear"], "--clear goes without --guest\n"),
        (["stats", "--kernel", "x", "--firmware", "none", "--clear"], "--clear goes without --kernel and --firmware\n"),
        (["stats", "nothing.elf"], "no such file"),
        (["stats", "smp", "--smp", "99"], "--smp"),
        (["stats", "--guest", "taks"], "did you mean 'tasks'?"),
        (["show", "tasks", "user_fibonaci"], "did you mean 'user_fibonacci'?"),
        (["show", "tasks", "zzzz"], "no symbol 'zzzz'"),
        (["show", "tasks", "0x1000"], "in no segment"),
        (["show", "tasks", "0x80202477"], "odd"),
        (["show", "tasks", "--", "-5"], "-5 is no address: they begin at 0"),
        (["show", "tasks", "--", "-0x10"], "-0x10 is no address: they begin at 0"),
        (["show", "nothing.elf", "main"], "no such file"),
    ],
)
def test_bad_input(argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint in refused(capsys, "jit", *argv)


# the translator's process


def workers(parent: int) -> list[int]:
    """Processes that a process started, zombies too (Linux)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            found.append(int(path.parent.name))
    return found


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def gone(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


needs_proc = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def busy(cache: Path) -> subprocess.Popen[bytes]:
    """A machine that computes until it is stopped, with its translator: nothing of it is translated in `cache`."""
    shutil.copy(build._file(), cache)
    command = [sys.executable, "-m", "rvhv", "boot", "bench-bytecode", "--tier", "auto"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "RVHV_CACHE_DIR": str(cache)}
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
    )
    until(lambda: workers(process.pid))
    return process


@needs_proc
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_the_translator_ends_with_the_run(how: signal.Signals, tmp_path: Path) -> None:
    process = busy(tmp_path)
    started = workers(process.pid)
    process.send_signal(how)
    _, err = process.communicate(timeout=30)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    assert b"Traceback" not in err and b"Fatal" not in err
    until(lambda: all(gone(pid) for pid in started))


@needs_proc
def test_a_closed_or_forgotten_hypervisor_leaves_no_process() -> None:
    def hot() -> Hypervisor:
        hv = Hypervisor("64M", tier="auto")
        hv.create("tasks")
        engine = hv.memory.engine
        assert isinstance(engine, Engine)
        engine._start_worker()
        hv.run(max_steps=2_000_000)
        return hv

    before = set(workers(os.getpid()))
    hv = hot()
    assert set(workers(os.getpid())) > before
    hv.run(max_steps=1_000_000)
    hv.close()
    hv.close()
    assert set(workers(os.getpid())) == before
    hot()
    gc.collect()
    assert set(workers(os.getpid())) == before
