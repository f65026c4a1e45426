"""The index of an ELF's line table, against tables whose rows are known."""

from __future__ import annotations

import pytest

from rvhv.machine.image import load_image
from rvhv.machine.source_lines import SourceLines, source_line
from tests.unit.riscv_elfs import BASE, elf

PROGRAM = """
_start:
    nop
test_2:
    nop
    nop
test_3:
    nop
    j _start
tohost_:
"""


@pytest.mark.parametrize("dwarf", [4, 5])
def test_both_ways(dwarf: int) -> None:
    """Each case begins a line, 10 times its number: it reaches up to the next one."""
    image = load_image(elf(PROGRAM, dwarf=dwarf), "t")
    second, third = (image.symbols[f"test_{n}"] for n in (2, 3))
    lines = SourceLines(image)
    file = "rv64ui/add.S"
    assert lines.files == [file]
    assert lines.at(BASE) is None
    assert [lines.at(at) for at in (second, third - 2, third)] == [(file, 20), (file, 20), (file, 30)]
    assert lines.block(second + 2) == (second, third, file, 20)
    assert lines.addresses("add.S", 20) == [second]
    assert lines.addresses(file, 30) == [third]
    assert lines.addresses("add.S", 25) == lines.addresses("d.S", 20) == lines.addresses("other.S", 20) == []
    assert (lines.line_with_code("add.S", 21), lines.line_with_code("add.S", 31)) == (30, None)
    assert source_line(image, third) == f"{file}:30"


def test_without_a_table_and_with_a_damaged_one_there_are_no_lines() -> None:
    whole = elf(PROGRAM, dwarf=5)
    at = whole.index(b"/built/here")
    for made in (whole[:at] + b"\xff" * 40 + whole[at + 40 :], elf(PROGRAM)):
        lines = SourceLines(load_image(made, "t"))
        assert lines.files == []
        assert lines.at(BASE + 4) is None
        assert lines.line_with_code("add.S", 1) is None
