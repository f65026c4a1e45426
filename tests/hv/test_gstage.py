"""The G-stage: real Sv39x4 tables, read back here by a walker written from the manual's algorithm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.hv.gstage import LEAF, ROOT_FRAMES, Sv39x4, hgatp
from rvhv.hv.ram import Ram
from rvhv.machine.bus import GuestMemoryFault
from rvhv.machine.memory import FrameAllocator, Memory, OutOfFrames

PAGE = 4096
SIZE = 2 << 20
BASE = 0x8000_0000


@pytest.fixture
def memory() -> Memory:
    return Memory(SIZE)


@pytest.fixture
def frames(memory: Memory) -> FrameAllocator:
    return FrameAllocator(memory, memory.base, memory.base + SIZE)


def walk(memory: Memory, root: int, gpa: int) -> tuple[int, int] | None:
    """(spa, PTE) of a gpa, or None (Privileged ISA, "Virtual Address Translation Process", with a root of 16 KiB)."""
    table, index = root, gpa >> 30
    assert index < 2048
    for level in (2, 1, 0):
        pte = memory.read_u64(table + 8 * index)
        if not pte & 1:
            return None
        base = (pte >> 10) << 12
        if pte & 0b1010:
            return base | gpa & (1 << 12 + 9 * level) - 1, pte
        table, index = base, gpa >> 12 + 9 * (level - 1) & 511
    raise AssertionError("no leaf at level 0")


def test_the_root_is_16_kib_and_aligned(memory: Memory, frames: FrameAllocator) -> None:
    frames.alloc()
    before = frames.available
    stage = Sv39x4(memory, frames, lambda gpa: None)
    assert stage.root % (16 << 10) == 0
    assert before - frames.available == ROOT_FRAMES == 4


def test_hgatp() -> None:
    value = hgatp(0x8000_4000, 0x1234)
    assert value >> 60 == 8  # Sv39x4
    assert value >> 44 & 0x3FFF == 0x1234
    assert (value & (1 << 44) - 1) << 12 == 0x8000_4000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, (1 << 41) - 1), max_size=40))
def test_what_is_mapped_translates(gpas: list[int]) -> None:
    memory = Memory(SIZE)
    frames = FrameAllocator(memory, memory.base, memory.base + SIZE)
    before = frames.available
    stage = Sv39x4(memory, frames, lambda gpa: None)
    spas = {}
    for gpa in gpas:
        assert (walk(memory, stage.root, gpa) is None) == (gpa >> 12 not in spas)
        spas[gpa >> 12] = stage.map(gpa)
    assert len(set(spas.values())) == len(spas)
    for gpa in gpas:
        spa, pte = walk(memory, stage.root, gpa) or (0, 0)
        assert spa == spas[gpa >> 12] | gpa & PAGE - 1
        assert stage.frame(gpa) == spas[gpa >> 12]
        assert pte & 0xFF == LEAF == 0b1101_1111  # D A - U X W R V
    stage.release()
    assert frames.available == before


def test_out_of_frames_leaves_nothing_behind(memory: Memory, frames: FrameAllocator) -> None:
    before = frames.available
    stage = Sv39x4(memory, frames, lambda gpa: None)
    with pytest.raises(OutOfFrames):
        for n in range(SIZE // PAGE):
            stage.map(BASE + n * PAGE)
    stage.release()
    assert frames.available == before


class TestRam:
    @pytest.fixture
    def ram(self, memory: Memory, frames: FrameAllocator) -> Ram:
        return Ram(memory, Sv39x4(memory, frames, lambda gpa: None), BASE, 64 * PAGE)

    def test_a_write_across_pages_is_read_back(self, ram: Ram) -> None:
        data = bytes(range(256)) * 40
        ram.write(BASE + 4000, data)
        assert ram.read(BASE + 4000, len(data)) == data
        assert ram.read(BASE + 3999, 2) == b"\0\0"

    def test_reading_takes_no_frames(self, ram: Ram, frames: FrameAllocator) -> None:
        before = frames.available
        assert ram.read(BASE, 64 * PAGE) == bytes(64 * PAGE)
        assert frames.available == before

    @pytest.mark.parametrize(
        ("gpa", "n"), [(BASE - 1, 1), (BASE - 1, 2), (BASE + 64 * PAGE, 1), (BASE + 64 * PAGE - 1, 2)]
    )
    def test_outside(self, ram: Ram, frames: FrameAllocator, gpa: int, n: int) -> None:
        before = frames.available
        with pytest.raises(GuestMemoryFault):
            ram.read(gpa, n)
        with pytest.raises(GuestMemoryFault):
            ram.write(gpa, bytes(n))
        assert frames.available == before

    def test_edges(self, ram: Ram) -> None:
        ram.write(BASE + 64 * PAGE - 1, b"x")
        assert ram.read(BASE + 64 * PAGE, 0) == b"" and ram.covers(BASE + 64 * PAGE, 0)
        assert not ram.covers(BASE, 1 << 64)
