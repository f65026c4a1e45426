"""`--check-fences` of `rvhv run` and `rvhv boot`: what is printed, the exit code, and that the run is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.images import image_path
from tests.devices.bare import assembled
from tests.guests.test_fences import FENCE_I, NOP, SFENCE_VMA, SFENCE_VMA_MASK

pytestmark = pytest.mark.usefixtures("compiled")

# under the built-in firmware: a page of 2 MiB is remapped; devices and RAM are mapped to themselves
REMAPS = """
    li s0, 0x80300000
    li t0, 0x000000c7
    sd t0, 0(s0)
    li t0, 0x200000cf
    sd t0, 16(s0)
    li t0, 0x200c0401
    sd t0, 8(s0)
    li s1, 0x80301000
    li t0, 0x201000cf
    sd t0, (s1)
    li t0, 0x8000000000080300
    csrw satp, t0
    sfence.vma x0, x0
    li s2, 0x40000000
    ld a0, (s2)
    li t0, 0x201800cf
    sd t0, (s1)
    {fence}
    ld a0, (s2)
    li t0, 0x100000
    li t1, 0x5555
    sw t1, 0(t0)
    j .
"""


def program(folder: Path, fence: str) -> str:
    path = folder / "program.bin"
    path.write_bytes(assembled(REMAPS.format(fence=fence), 0x8020_0000))
    return str(path)


def tasks_without_fences(folder: Path) -> str:
    data = bytearray(image_path("tasks").read_bytes())
    for at in range(0, len(data) - 3, 2):
        word = int.from_bytes(data[at : at + 4], "little")
        if word == FENCE_I or word & SFENCE_VMA_MASK == SFENCE_VMA:
            data[at : at + 4] = NOP
    path = folder / "bare.elf"
    path.write_bytes(data)
    return str(path)


def test_boot_in_s_mode(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", program(tmp_path, "nop"), "--check-fences", "--trace-hash"]) == 1
    out, err = capfd.readouterr()
    ended, count, sentence = err.splitlines()
    assert count == "rvhv: 1 missing fence, 1 use that could have gone otherwise:"
    assert "changed its S-stage level 1 PTE at 0x80301000 from 0x201000cf to 0x201800cf" in sentence
    assert "no sfence.vma with rs1 = 0x40000000 or x0, rs2 = ASID 0 or x0" in sentence
    assert main(["boot", str(tmp_path / "program.bin"), "--trace-hash"]) == 0
    assert capfd.readouterr() == (out, ended + "\n")


def test_boot_json(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["boot", program(tmp_path, "nop"), "--check-fences", "--json"]) == 1
    (missing,) = json.loads(capfd.readouterr().out)["missing_fences"]
    assert (missing["va"], missing["stage"], missing["level"], missing["count"]) == (0x4000_0000, "S", 1, 1)
    assert missing["old"] == 0x2010_00CF and missing["sentence"].startswith(hex(missing["use_pc"]))
    assert main(["boot", program(tmp_path, "sfence.vma s2, x0"), "--check-fences", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["missing_fences"] == []


def test_run_names_vms_and_symbols(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bare = tasks_without_fences(tmp_path)
    assert main(["run", "hello", bare, "--check-fences"]) == 1
    lines = capfd.readouterr().out.splitlines()
    first = next(i for i, line in enumerate(lines) if "missing fences" in line)
    assert all(line.startswith(("- bare: user_", "- bare: memcpy")) for line in lines[first + 1 :])
    assert "after on_trap+" in lines[first + 1] and "changed vsatp" in lines[first + 1]
    assert main(["run", bare, "--check-fences", "--json"]) == 1
    missing = json.loads(capfd.readouterr().out)["missing_fences"]
    assert {m["fence"] for m in missing} == {"sfence.vma with rs1 = x0, rs2 = ASID 0 or x0"}


def test_nothing_missing(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "hello", "--check-fences"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "no missing fences"
