"""`rvhv run` from end to end, with the guests that ship: what a person sees, and that it is the same every time."""

from __future__ import annotations

import json
import re
from hashlib import sha256, shake_128
from pathlib import Path
from typing import Any

import pytest

from rvhv.cli.main import main

HOST_TIME = re.compile(r"host time \S+ \S+")


def run(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> str:
    capsys.readouterr()
    assert main(["run", *argv]) == code
    return HOST_TIME.sub("host time", capsys.readouterr().out)


def document(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(run(capsys, *argv, "--json", "--trace-hash", code=code))
    return parsed


@pytest.mark.boundscheck
def test_hello(capsys: pytest.CaptureFixture[str]) -> None:
    out = run(capsys, "hello", "--memory", "16M")
    assert "hello │ my memory: 0x80000000 to 0x81000000, 16384 KiB\n" in out and "stopped: powered off" in out


def test_the_same_command_gives_the_same_output(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (run(capsys, "hello", "tasks", "--trace-hash", "--slice", "10K") for _ in range(2))
    assert first == second and re.search(r"\ntrace-hash [0-9a-f]{64}\n$", first)


def test_another_slice_or_seed_is_another_run(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [["--slice", "10K"], ["--slice", "20K"], ["--slice", "10K", "--seed", "1"]]
    hashes = {document(capsys, "hello", "tasks", *options)["trace_hash"] for options in runs}
    assert len(hashes) >= 2


@pytest.mark.boundscheck
@pytest.mark.parametrize("sectors", [1, 7, 256])
def test_disk_agrees_with_the_host(sectors: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "image.raw"
    data = shake_128(b"%d" % sectors).digest(512 * sectors)
    image.write_bytes(data)
    out = run(capsys, "disk", "--disk", str(image))
    assert f"sha256 {sha256(data).hexdigest()}" in out
    assert image.read_bytes() == data


@pytest.mark.boundscheck
def test_rogue_is_stopped_and_its_neighbour_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    out = document(capsys, "hello", "rogue", "--memory", "8M", code=1)
    hello, rogue = out["vms"]
    assert not hello["failed"] and "goodbye" in hello["console"]
    assert rogue["failed"] and "trap loop at pc" in rogue["reason"]


def test_max_steps(capsys: pytest.CaptureFixture[str]) -> None:
    (vm,) = document(capsys, "tasks", "--max-steps", "1M", code=1)["vms"]
    assert vm["steps"] == 1_000_000 and "--max-steps" in vm["reason"]


def test_when_the_host_s_frames_run_out_the_others_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    guests = ["hello", *["tasks"] * 8]
    vms = document(capsys, *guests, "--memory", "3M", "--host-memory", "3M", code=1)["vms"]
    assert vms[0]["reason"] == "powered off"
    reasons = {vm["reason"] for vm in vms}
    assert "powered off" in reasons and any("frames" in reason for reason in reasons)
