"""`--tier`, `--profile`, `rvhv jit stats` and `rvhv jit show`, and the end of the translator's process."""

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
from rvhv.cli import jit_show
from rvhv.cli.config import read_config
from rvhv.cli.group import TIERS
from rvhv.cli.main import main
from rvhv.cli.profile import EVERY, Look, Profile
from rvhv.core.memory import Memory
from rvhv.errors import ConfigError
from rvhv.hart import Hart
from rvhv.hv import Hypervisor
from rvhv.images import image_path
from rvhv.jit.cache import ObjectCache
from rvhv.jit.engine import Engine, Tier
from rvhv.machine.image import load_image
from tests.devices.bare import assembled

ROOT = Path(__file__).resolve().parents[2]
# a loop of 3 steps, two million times, and power off
LOOP = """
    li s0, 2000000
again:
    addi s1, s1, 3
    addi s0, s0, -1
    bne s0, x0, again
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
    j .
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


def test_statistics_of_guests(capsys: pytest.CaptureFixture[str]) -> None:
    stats = document(capsys, "jit", "stats", "--guest", "tasks", "--guest", "hello", "--max-steps", "2M", "--tier", "jit")
    assert stats["steps"] == 2_000_000 and stats["regions"] >= 1
    assert stats["ended"][0] == "tasks: still running"


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
        (["stats", "smp", "--guest", "hello"], "one too many"),
        (["stats", "smp", "--clear"], "--clear"),
        (["stats", "nothing.elf"], "no such file"),
        (["stats", "smp", "--smp", "99"], "--smp"),
        (["stats", "--guest", "taks"], "did you mean 'tasks'?"),
        (["show", "tasks", "user_fibonaci"], "did you mean 'user_fibonacci'?"),
        (["show", "tasks", "zzzz"], "no symbol 'zzzz'"),
        (["show", "tasks", "0x1000"], "in no segment"),
        (["show", "tasks", "0x80202477"], "odd"),
        (["show", "nothing.elf", "main"], "no such file"),
    ],
)
def test_bad_input(argv: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint in refused(capsys, "jit", *argv)


# rvhv jit show


def test_a_region_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jit", "show", "tasks", "user_fibonacci"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("region from user_fibonacci (0x") and "\x1b" not in out
    assert "ecall" in out and "leaves: the interpreter does it" in out
    assert "-- LLVM" in out and "-- host" in out
    assert main(["jit", "show", "tasks", "user_fibonacci", "--ir"]) == 0
    out = capsys.readouterr().out
    assert "-- LLVM" in out and "-- host" not in out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--guest", "hello", "--disk", "x"], "--disk is of a machine that boots an IMAGE"),
        (["--guest", "hello", "--smp", "4"], "--smp is of a machine"),
        (["--append", "quiet"], "--append is of a machine"),
        (["--max-steps", "1M"], "--max-steps is of a run: give an IMAGE or --guest"),
        (["--tier", "jit"], "--tier is of a run"),
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jit", "stats", *arguments]) == 2
    assert says in capsys.readouterr().err


def test_parts_belong_to_their_blocks(capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", "tasks", "user_fibonacci")
    blocks = [b for b in shown["blocks"] if b["guest"]]
    rest, *own = shown["blocks"][len(blocks) :]
    assert sum(len(b["guest"]) for b in blocks) == shown["instructions"]
    assert blocks[0]["guest"][0]["pc"] == shown["address"]
    for block in blocks:
        offset = block["guest"][0]["pc"] & 4095
        assert not block["ir"] or block["ir"][0].startswith(f"at_{offset:03x}.")
    (fibonacci,) = (b for b in blocks if any(i["text"].startswith("sltu") for i in b["guest"]))
    assert any("icmp ult" in line for line in fibonacci["ir"])
    assert fibonacci["host"] and rest["ir"] and rest["host"]
    assert {b["name"].partition(",")[0] for b in own} <= {"missed_load", "missed_store", "do_row"} and own
    assert all(b["ir"] and b["host"] for b in own)
    whole = [line for b in shown["blocks"] for line in b["ir"]]
    image = load_image(image_path("tasks"))
    page = jit_show.page_of(image, shown["address"])
    region = jit_show.form(page, (shown["address"] & 4095,))
    assert region is not None
    assembly = jit_show.translate(region, jit_show.TLB_BITS, host_fma=jit_show.host_has_fma())
    parts = jit_show.ir_blocks(str(jit_show.Compiler().optimised(assembly)))
    assert len(whole) == sum(1 + len(lines) for lines in parts.values())  # nothing is lost, nothing is there twice


def test_what_is_between_two_blocks_is_neither_s() -> None:
    parts = {
        "entry.0": ["br label %at_000.1"],
        "at_000.1": ["br i1 %a, label %b.3, label %b.4"],
        "at_004.2": ["br label %b.4"],
        "b.3": ["br label %b.5"],
        "b.4": ["ret i64 0"],
        "b.5": ["br label %at_004.2"],
    }
    assert jit_show.owners_of(parts) == {
        "entry.0": "rest", "at_000.1": "at_000", "at_004.2": "at_004", "b.3": "at_000", "b.4": "rest", "b.5": "at_000",
    }  # fmt: skip


ASSEMBLY = """
region:                 {c} @region
{c} %bb.0:              {c} %entry.0
    {move}              {c} =0x3
    .cfi_def_cfa_offset 16
.LBB0_1:                {c} %at_000.1
                        {c} =>This Inner Loop Header: Depth=1
    ret
.Lfunc_end0:
    .size region, 4
"""


@pytest.mark.parametrize(("mark", "move"), [("#", "movl $3, %eax"), ("//", "ldr x0, [x1, #3]")])
def test_host_code_is_cut_into_blocks(mark: str, move: str) -> None:
    assert jit_show.host_lines(ASSEMBLY.format(c=mark, move=move)) == [
        ("entry.0", f"  {move}"), ("at_000.1", ".LBB0_1:"), ("at_000.1", "  ret"),
    ]  # fmt: skip


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
