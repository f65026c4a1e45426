"""`--tier`, `--profile`, `rvhv jit stats` and `rvhv jit show`, and the end of the translator's process."""

from __future__ import annotations

import gc
import json
import os
import platform
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rvhv import build
from rvhv.cli import jit_show
from rvhv.cli.columns import fold
from rvhv.cli.config import read_config
from rvhv.cli.group import TIERS
from rvhv.cli.main import main
from rvhv.cli.profile import EVERY, Look, Profile
from rvhv.core.memory import Memory
from rvhv.cpu.state import Leaving
from rvhv.errors import ConfigError
from rvhv.hart import TLB_BITS, Hart
from rvhv.hv import Hypervisor
from rvhv.images import image_path
from rvhv.jit.cache import ObjectCache
from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.engine import Engine, Tier
from rvhv.jit.form import Region, form
from rvhv.jit.located import AROUND, by_owner, host_lines, translate_located
from rvhv.jit.translate import translate
from rvhv.machine.image import Image, Segment, load_image
from tests.devices.bare import assembled
from tests.elf_file import elf

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


# rvhv jit show


def test_a_region_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jit", "show", "tasks", "user_fibonacci"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("region from user_fibonacci (0x") and "\x1b" not in out
    assert "ecall" in out and "leaves: the interpreter does it" in out
    assert re.search(r"^  guest +\u2502 LLVM +\u2502 host$", out, re.MULTILINE)
    assert re.search(r"^  \w{8} 973e     add a4, a4, a5 +\u2502   %\w+ = add i64 %[\w.]+, %[\w.]+ +\u2502  ", out, re.MULTILINE)
    assert re.search(r" = getelementptr i64, ptr %state, i64 14  ; x14 ", out)
    assert "!dbg" not in out and "!prof" not in out and "align 8" not in out
    assert main(["jit", "show", "tasks", "user_fibonacci", "--ir"]) == 0
    assert re.search(r"^  guest +\u2502 LLVM$", capsys.readouterr().out, re.MULTILINE)
    assert main(["jit", "show", "tasks", "user_fibonacci", "--host"]) == 0
    assert re.search(r"^  guest +\u2502 host$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(("columns", "beside"), [(40, False), (80, False), (110, True), (160, True), (300, True)])
def test_a_region_fits_the_output(columns: int, beside: bool, capsys: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    def text(*arguments: str) -> str:
        assert main(["jit", "show", "bench-integer", "crc32", *arguments]) == 0
        return capsys.readouterr().out

    def characters(out: str) -> Counter[str]:
        return Counter(re.sub(r"\u2502|LLVM|host|guest|\s", "", out))

    piped = text()
    monkeypatch.setattr(jit_show, "terminal_columns", lambda out, **_: columns)
    out = text()
    assert max(map(len, out.splitlines())) <= columns
    assert ("\u2502" in out) is beside
    assert ("\n    LLVM  " in out and "\n    host  " in out) is not beside
    assert characters(out) == characters(piped)
    one = text("--host")
    assert ("\u2502" in one) is (columns >= 80) and max(map(len, one.splitlines())) <= columns


def test_a_narrow_terminal_is_asked_for_its_width(capfd: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((40, 24)))
    assert main(["jit", "show", "bench-integer", "crc32"]) == 0
    assert 30 < max(map(len, capfd.readouterr().out.splitlines())) <= 40


def test_a_bar_that_the_output_cannot_show(capsys: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    monkeypatch.setattr(jit_show, "can_show", lambda out, text: False)
    assert main(["jit", "show", "bench-integer", "crc32"]) == 0
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize(
    ("line", "width", "folded"),
    [
        ("  ret", 10, ["  ret"]),
        ("  %t1 = phi [ 1, %b.1 ], [ 2, %b.2 ]", 30, ["  %t1 = phi [ 1, %b.1 ],", "      [ 2, %b.2 ]"]),
        ("  call @f(ptr %state, i64 %a)", 24, ["  call @f(ptr %state,", "      i64 %a)"]),
        ("  gep %state, i64 231  ; ram", 21, ["  gep %state, i64 231", "      ; ram"]),
        ("  gep %state, i64 231  ; ram", 20, ["  gep %state,", "      i64 231  ; ram"]),
        ("  gep %state, i64 231  ; ram", 26, ["  gep %state, i64 231", "      ; ram"]),
        ("  movabsq $something, %rax", 22, ["  movabsq $something,", "      %rax"]),
        ("abcdefghij", 6, ["abcdef", "   ghi", "   j"]),
    ],
)  # fmt: skip
def test_a_line_folds(line: str, width: int, folded: list[str]) -> None:
    assert fold(line, width) == folded


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


def region_of(page: bytes, at: int) -> Region:
    region = form(page, (at,))
    assert region is not None
    return region


def whole(region: Region) -> tuple[list[str], list[str]]:
    """All instructions of a region made without locations: LLVM's without what is not shown, and the host's."""
    assembly, compiler = translate(region, TLB_BITS, host_fma=host_has_fma()), Compiler()
    module = str(compiler.optimised(assembly))
    ir = [re.sub(r", (!prof !\d+|align 8(?=,|$))", "", line[2:]) for line in module.splitlines() if re.match("  [^ ]", line)]
    code = compiler.assembly(assembly).splitlines()
    host = [" ".join(re.sub(r"(^|\s)(#|//) .*", "", line).split()) for line in code if re.match(r"\t[^.#/]", line)]
    return ir, host


def lines(blocks: list[dict[str, Any]], part: str) -> list[str]:
    """The instructions shown, without the names of slots."""
    parts = [one for block in blocks for one in (block, *block["guest"])]
    return [line[2:].partition("  ; ")[0] for one in parts for line in one[part] if line[:2] in ("  ", "~ ")]


PLACES = [
    ("tasks", "user_fibonacci"), ("bench-integer", "crc32"), ("bench-nbody", "bench_round"), ("bench-bytecode", "bench_round"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "symbol"), PLACES)
def test_locations_change_nothing_and_nothing_is_lost(image: str, symbol: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", image, symbol)
    at = shown["address"] & 4095
    region = region_of(jit_show.page_of(load_image(image_path(image)), shown["address"]), at)
    ir, host = whole(region)
    assert "!dbg" not in translate(region, TLB_BITS, host_fma=host_has_fma())
    located = Compiler().assembly(translate_located(region, TLB_BITS, host_fma=host_has_fma()))
    there = [line.text for line in host_lines(located, ["region", "missed_load", "missed_store", "do_row"])]
    assert there == host and len(host) > 100
    assert Counter(lines(shown["blocks"], "host")) == Counter(host)
    assert sorted(line for line in lines(shown["blocks"], "ir") if "switch" not in line) == sorted(
        line for line in ir if "switch" not in line and line != "]"
    )
    assert sum(len(b["guest"]) for b in shown["blocks"]) == shown["instructions"]


def test_code_is_beside_its_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", "bench-integer", "crc32")
    assert shown["blocks"][0]["guest"][0]["pc"] == shown["address"]
    guest = [one for block in shown["blocks"] for one in block["guest"]]

    def made_for(text: str, part: str) -> str:
        one = next(one for one in guest if one["text"].startswith(text))
        return "\n".join(one[part])

    assert re.search(r"^  %\w+ = xor i64 ", made_for("xor ", "ir"), re.MULTILINE)
    assert re.search(r"; x13$", made_for("xor ", "ir"), re.MULTILINE)
    assert "call" not in made_for("xor ", "ir")
    load = made_for("lbu ", "ir")
    assert "load i8, ptr " in load and "zext i8 " in load and "@missed_load(" in load and "@missed_store" not in load
    if platform.machine() in ("x86_64", "AMD64"):
        assert re.search(r"^  xor[ql] ", made_for("xor ", "host"), re.MULTILINE)
        assert "movzbl" in made_for("lbu ", "host") and "missed_load" in made_for("lbu ", "host")
        assert "movslq" in made_for("lw ", "host") and "movzbl" not in made_for("lw ", "host")
    counted = [block for block in shown["blocks"] if block["guest"]]
    assert all(re.search(r"= sub i64 ", "\n".join(block["ir"])) for block in counted)
    around, *own = shown["blocks"][len(counted) :]
    assert around["name"] == "entering, dispatch and leaving"
    assert "musttail call" in "\n".join(around["ir"]) and around["host"] and around["ir"][0] == "entry.0:"
    assert [block["name"].partition(",")[0] for block in own] == ["missed_store", "missed_load"]
    assert all(block["ir"] and block["host"] and not block["guest"] for block in own)
    assert "host" not in document(capsys, "jit", "show", "bench-integer", "crc32", "--ir")["blocks"][0]["guest"][0]


def test_code_that_overlaps_is_shown_in_both_its_blocks() -> None:
    branch = 6 << 20 | 5 << 15 | 6 << 7 | 0x63  # beq x5, x6, .+6: into the lui, where there is c.addi x8, 1
    code = struct.pack("<4I", branch, 0x0405_03B7, 0x0014_8493, 0x0010_0073)  # lui x7; addi x9, x9, 1; ebreak
    image = Image("overlap", 0x8000_0000, (Segment(0x8000_0000, code, len(code)),))
    region, blocks = jit_show.shown_blocks(image, 0x8000_0000, ir=True, host=True)
    twice = [one for block in blocks for one in block.guest if one.pc == 0x8000_0008]
    assert len(twice) == 2 and twice[0].ir != twice[1].ir
    assert all("; x9" in "\n".join(one.ir) for one in twice)
    shown = [line[2:] for block in blocks for part in (block, *block.guest) for line in part.host if line[:2] in ("  ", "~ ")]
    assert Counter(shown) == Counter(whole(region)[1])


VIRTUAL, PHYSICAL = 0xFFFF_FFFF_8000_0000, 0x8020_0000
ONE_STEP = struct.pack("<3I", 0x0014_8493, 0xFE04_9EE3, 0x0010_0073)  # addi x9, x9, 1; bnez x9, back; ebreak


def linked_elsewhere(folder: Path, overlay: bytes = b"") -> str:
    """An ELF as that of an operating system's kernel: its addresses are not those it is loaded at. With code that has the same
    virtual addresses, loaded elsewhere, on demand."""
    path = folder / "kernel.elf"
    segments = {PHYSICAL: ONE_STEP} | ({PHYSICAL + 0x1_0000: overlay} if overlay else {})
    linked = {PHYSICAL: VIRTUAL, PHYSICAL + 0x1_0000: VIRTUAL + 0x4}
    path.write_bytes(elf(segments, PHYSICAL, {"start": VIRTUAL, "behind": VIRTUAL + 8}, linked))
    return str(path)


@pytest.mark.parametrize("where", ["start", hex(VIRTUAL), str(VIRTUAL)])
def test_code_is_found_where_it_was_linked(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", linked_elsewhere(tmp_path), where)
    assert shown["address"] == VIRTUAL and shown["blocks"][0]["name"] == f"start ({VIRTUAL:#x})"
    one, branch = (one for block in shown["blocks"][:1] for one in block["guest"])
    assert (one["pc"], one["word"], one["text"]) == (VIRTUAL, "00148493", "addi s1, s1, 1")
    assert branch["text"] == f"bnez s1, {VIRTUAL:#x}" and branch["note"] == f"to start ({VIRTUAL:#x})"


def test_code_is_found_where_it_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", linked_elsewhere(tmp_path), hex(PHYSICAL))
    assert shown["address"] == PHYSICAL and shown["blocks"][0]["name"] == f"{PHYSICAL:#x}"
    assert [one["pc"] for one in shown["blocks"][0]["guest"]] == [PHYSICAL, PHYSICAL + 4]
    assert shown["blocks"][0]["guest"][1]["text"] == f"bnez s1, {PHYSICAL:#x}"


def test_code_that_is_linked_over_other_code_hides_nothing_of_it(tmp_path: Path) -> None:
    nops = struct.pack("<I", 0x13) * 4
    image = load_image(linked_elsewhere(tmp_path, nops))
    assert jit_show.page_of(image, VIRTUAL)[: len(ONE_STEP) + 4] == ONE_STEP + nops[:4]
    assert jit_show.page_of(image, VIRTUAL + 0x10)[: 4 + len(nops)] == ONE_STEP[:4] + nops
    assert jit_show.page_of(image, PHYSICAL)[: len(ONE_STEP) + 4] == ONE_STEP + bytes(4)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ([0x0000_006F], "1 instruction in 1 block"),
        ([0x0014_8493, 0x0010_0073], "2 instructions in 1 block"),
    ],
)  # fmt: skip
def test_one_is_no_plural(code: list[int], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.elf"
    path.write_bytes(elf({PHYSICAL: struct.pack(f"<{len(code)}I", *code)}, PHYSICAL, {"start": PHYSICAL}))
    assert main(["jit", "show", str(path), "start", "--ir"]) == 0
    out = capsys.readouterr().out
    assert f": {says}\n" in out and "[entry, checks for 1 step]" in out


ASSEMBLY = """
    .file 1 "page"
region:                 {c} @region
.Lfunc_begin0:
{c} %bb.0:              {c} %entry.0
    {move}              {c} =0x3
    .cfi_def_cfa_offset 16
.Ltmp0:
    .loc 1 7 0 prologue_end {c} page:7
.LBB0_1:                {c} %at_000.1
                        {c} =>This Inner Loop Header: Depth=1
    one
    .loc 1 0 0 is_stmt 0
    spill
    .loc 1 9 0
    two
{c} %bb.2:
    .loc 1 0 0
    copy
    .loc 1 7 0
    ret
.Lfunc_end0:
    .size region, 4
own:
    ret
.Lfunc_end1:
    .section .debug_line
.Lline_table_start0:
    no instruction
"""


@pytest.mark.parametrize(("mark", "move"), [("#", "movl $3, %eax"), ("//", "ldr x0, [x1, #3]")])
def test_host_code_is_told_apart_by_locations(mark: str, move: str) -> None:
    found = host_lines(ASSEMBLY.format(c=mark, move=move), ["region", "own"])
    around = ("region", AROUND)
    order = [("region", 9), ("region", 7), around, ("own", AROUND)]
    assert by_owner(found, order) == {
        ("region", 9): [".LBB0_1: ...", "  two"],
        ("region", 7): [".LBB0_1:  # %at_000.1", "  one", "~ spill", "~ copy", "  ret"],
        around: ["region:", f"  {move}"],
        ("own", AROUND): ["own:", "  ret"],
    }


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
