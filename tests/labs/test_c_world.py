"""Lab 1 in C: mistakes in it, and what a part may not do to the judge."""

from __future__ import annotations

from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.grade.judge import Judge, Result
from rvhv.grade.lab import DEFAULT_SEED, find_lab
from tests.labs.test_c import lost, needs_compiler, reference

LAB = find_lab("1")
SWITCHES = "switch-registers switch-csrs switch-modes side-by-side"

pytestmark = [pytest.mark.usefixtures("compiled"), needs_compiler]


@pytest.mark.parametrize(
    ("old", "new", "loses", "says"),
    [
        ("HSTATUS_SPV | HSTATUS_VTW", "HSTATUS_VTW", f"enter {SWITCHES}", "hstatus.SPV to be 1"),
        ("HSTATUS_SPV | HSTATUS_VTW", "HSTATUS_SPV", "status", "hstatus.VTW to be 1"),
        ("csr_write(hstatus, HSTATUS_SPV", "csr_write(hstatus, csr_read(hstatus) | HSTATUS_SPV",
         "status side-by-side", "another guest's"),
        ("csr_write(sstatus, csr_read(sstatus) | SSTATUS_SPP)", "csr_write(sstatus, SSTATUS_SPP)", f"status {SWITCHES}",
         "sstatus.FS to stay on"),
        ("    csr_write(sstatus, csr_read(sstatus) | SSTATUS_SPP);\n", "", "enter switch-modes side-by-side", "sstatus.SPP=1"),
        ("guest->root >> PAGE_SHIFT", "guest->root", "root side-by-side", "hgatp.PPN to be"),
        ("guest->vmid << HGATP_VMID_SHIFT", "guest->vmid << 40", "root side-by-side", "hgatp.VMID to be 0x1"),
        ("csr_write(vstimecmp, ~0UL)", "csr_write(vstimecmp, 0)", "clean-csrs", "no timer before it asks"),
        ("frame->x[n] = frame->f[n] = 0", "frame->x[n] = 0", "clean-registers", "f0 (ft0) to be 0"),
        ("    frame->x[11] = guest->device_tree;\n", "", "enter side-by-side", "a1 (x11)"),
        (" EACH(vstimecmp) EACH(hgatp)", " EACH(vstimecmp)", "side-by-side", "guest-page fault"),
        (" EACH(sstatus) EACH(sepc)", " EACH(sepc)", "switch-modes side-by-side", "sstatus.SPP"),
        (" EACH(sstatus) EACH(sepc)", " EACH(sstatus)", "switch-registers side-by-side", "pc to be"),
        ("    to->frame = *frame;\n", "    for (int n = 0; n < 32; n++)\n        to->frame.x[n] = frame->x[n];\n",
         "switch-registers", "f0 (ft0) to be"),
        ("*to = &saved[guest->vmid]", "*to = &saved[0]", SWITCHES, "when restore returns"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_and_named(old: str, new: str, loses: str, says: str) -> None:
    source = reference(LAB)
    assert source.count(old) == 1
    results = lost(LAB, source.replace(old, new))
    assert {result.check.name for result in results} == set(loses.split())
    assert says in f"{results[0].expected} {results[0].happened}"


def started(body: str) -> Result:
    """What comes of this in world_start."""
    source = LAB.starter_c()["world.c"].replace("    (void)frame, (void)guest;\n    not_written();\n", f"{body}\n", 1)
    return next(iter(Judge(LAB, DEFAULT_SEED).results({"world.c": source})))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for (;;)\n        csr_write(sepc, guest->entry + frame->x[1]);", "executed more than 100,000,000 instructions"),
        ("frame->x[1] = *(volatile uint64_t *)guest;\n    csr_write(mepc, 0);", "illegal instruction at world_start"),
        ("*(volatile uint64_t *)8 = guest->root + frame->x[1];", "store/AMO access fault at world_start"),
        ("(void)frame, (void)guest;\n    uint64_t frames_alloc(uint64_t, uint64_t);\n    frames_alloc(1, 1);", "no frames"),
        ("(void)frame;\n    csr_write(hstatus, HSTATUS_SPV);\n    csr_write(sepc, guest->entry);\n"
         "    static uint32_t code = 0x10200073; /* sret */\n    ((void (*)(void))(uint64_t)&code)();",
         "instruction page fault at 0x"),
        ("(void)frame, (void)guest;\n    static uint32_t code[] = {0x10200073, 0x62000073}; /* sret to U-mode, hfence.gvma */\n"
         "    csr_write(hstatus, 0);\n    csr_write(sstatus, 0);\n    csr_write(sepc, &code[1]);\n"
         "    ((void (*)(void))(uint64_t)code)();", "mtval 0x62000073"),
        ("(void)frame, (void)guest;\n    static uint32_t code[] = {0x10500073, 0xffdff06f}; /* wfi, again and again */\n"
         "    ((void (*)(void))(uint64_t)code)();", "executed more than"),
        ("(void)frame, (void)guest;\n    csr_write(stvec, 0x80001000);\n    csr_write(satp, 8UL << 60);",
         "instruction access fault"),
        ("(void)frame, (void)guest;\n    csr_write(sie, 0x222);\n    csr_write(stimecmp, 0);\n    csr_write(sstatus, 2);\n"
         "    for (;;)\n        ;", "instruction access fault at 0x0"),
    ],
)  # fmt: skip
def test_what_is_no_part(body: str, says: str) -> None:
    result = started(body)
    assert not result.passed and says in f"{result.expected} {result.happened}"


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "start", "1", str(tmp_path / "c"), "--c"]) == 0
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"world.c", "world.h", "handout.md", "lab.json"}
    (tmp_path / "c" / "world.c").write_text(reference(LAB))
    capsys.readouterr()
    assert main(["lab", "check", str(tmp_path / "c")]) == 0, capsys.readouterr().out
    capsys.readouterr()
    assert main(["grade", "1", str(tmp_path / "c"), "--format", "csv", "--results", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("c,19,19,")
