"""The benchmark programs: each computes what Python computes, in the mode that was asked for, and says so when it does not."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

import pytest

from rvhv.bench.emulators import QEMU, others, run
from rvhv.bench.images import OPERATIONS, PROGRAMS, Mode, Single, program, with_words
from rvhv.boot.loader import Software, prepare
from rvhv.cli.main import main
from rvhv.core.memory import Memory as BareMemory
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT, Exit
from rvhv.hart import Hart
from rvhv.machine.image import load_image
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from tests.guests.bench_reference import CHECKSUMS

RAM = 128 << 20
MOST_STEPS = 400_000_000
NOT_THERE = {(Single.HFENCES, Mode.VS), (Single.PTE_WRITES, Mode.M)}
ENDS_BY = {Mode.S: "ecall_s", Mode.VS: "ecall_vs"}

every_mode = pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.name)


@cache
def checksum(name: str) -> int:
    return CHECKSUMS[name]()


def ran(elf: bytes, folder: Path) -> tuple[Machine, str]:
    """The machine that ran it to its end, and what it printed."""
    file = folder / "program.elf"
    file.write_bytes(elf)
    printed = bytearray()
    machine = Machine(Memory(RAM), on_output=printed.extend)
    prepare(Software(image=file), memory=RAM, harts=1).start(machine)
    machine.run(MOST_STEPS)
    assert machine.end is not None
    return machine, printed.decode()


def test_every_program_has_a_reference() -> None:
    assert set(CHECKSUMS) == set(PROGRAMS)


@every_mode
@pytest.mark.parametrize("name", PROGRAMS)
def test_computes_what_python_computes(name: str, mode: Mode, tmp_path: Path) -> None:
    machine, printed = ran(program(name, mode, 1), tmp_path)
    assert printed == f"{name} {checksum(name):016x} ok\n"
    assert machine.end is not None and (machine.end.reason, machine.end.code) == ("powered off", 0)
    state = machine.harts[0].state
    if mode is Mode.M:
        assert state[SLOT["trap_steps"]] == 0
    else:  # its only trap tells where it came from; the stages were on
        assert state[SLOT["trap_steps"]] == 1
        assert state[SLOT["mcause"]] == ISA.causes[ENDS_BY[mode]].code
        assert state[SLOT["satp" if mode is Mode.S else "vsatp"]] >> 60 == 8
        assert (state[SLOT["hgatp"]] >> 60 == 8) == (mode is Mode.VS)


def test_the_scale_is_how_long_it_runs(tmp_path: Path) -> None:
    one, three = (ran(program("nbody", Mode.M, scale), tmp_path)[0].instructions for scale in (1, 3))
    assert one > 2_000_000 and abs(three - 3 * one) < 1000


@every_mode
def test_a_wrong_result_is_said(mode: Mode, tmp_path: Path) -> None:
    machine, printed = ran(with_words(program("bytecode", mode, 1), {"bench_expected": 5}), tmp_path)
    assert printed == f"bytecode {checksum('bytecode'):016x} WRONG\n"
    assert machine.end is not None and machine.end.code == 1


@pytest.mark.parametrize(
    ("test", "mode"),
    [(test, mode) for test in Single for mode in Mode if (test, mode) not in NOT_THERE],
    ids=lambda value: value.name,
)
def test_single_things(test: Single, mode: Mode, tmp_path: Path) -> None:
    machine, printed = ran(program("micro", mode, 1, test), tmp_path)
    assert printed == f"micro {OPERATIONS:016x} ok\n"
    traps = machine.harts[0].state[SLOT["trap_steps"]]
    assert traps == (OPERATIONS if test is Single.ECALLS else 0) + (mode is not Mode.M)


def test_an_unexpected_trap_is_said(tmp_path: Path) -> None:
    """An hfence in VS-mode is a virtual instruction."""
    machine, printed = ran(program("micro", Mode.VS, 1, Single.HFENCES), tmp_path)
    assert "a trap that nobody expected: mcause 0000000000000016" in printed
    assert machine.end is not None and machine.end.code == 1


@pytest.mark.parametrize(("expected", "tohost"), [(checksum("bytecode"), 1), (5, 3)])
def test_where_there_is_no_board_it_ends_by_htif(expected: int, tohost: int) -> None:
    """A hart and RAM, as on Spike: stores to the UART and the finisher fault."""
    image = load_image(with_words(program("bytecode", Mode.VS, 1), {"bench_expected": expected}), "bytecode")
    hart = Hart(memory := BareMemory(RAM))
    for segment in image.segments:
        memory.write(segment.addr, segment.data)
    hart.watch(image.symbols["tohost"])
    assert hart.run(MOST_STEPS) == Exit.WATCH
    assert memory.read_u64(image.symbols["tohost"]) == tohost


@pytest.mark.skipif(shutil.which(QEMU) is None, reason=f"{QEMU} is not installed")
@every_mode
@pytest.mark.parametrize("name", [name for name in PROGRAMS if name != "memory"])
def test_the_same_on_qemu(name: str, mode: Mode, tmp_path: Path) -> None:
    assert run(others()[0], program(name, mode, 1), tmp_path) is not None


@pytest.mark.usefixtures("compiled")
def test_by_hand(capfd: pytest.CaptureFixture[str]) -> None:
    """`rvhv boot` knows the programs by name, and unchanged they run for some seconds."""
    assert main(["boot", "bench-nbody", "--max-steps", "1M"]) == 1
    assert "the 1,000,000 steps of --max-steps are used up" in capfd.readouterr().err
