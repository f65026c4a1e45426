"""The G-stage: real Sv39x4 tables, read back here by a walker written from the manual's algorithm."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.hv.gstage import LEAF, ROOT_FRAMES, Sv39x4
from rvhv.hv.ram import Ram
from rvhv.hv.world import hgatp
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


def leaves(memory: Memory, table: int, level: int = 2, base: int = 0) -> dict[int, tuple[int, int, int]]:
    """gpa -> (size, spa, flags) of every leaf."""
    found: dict[int, tuple[int, int, int]] = {}
    for index in range(2048 if level == 2 else 512):
        pte, gpa = memory.read_u64(table + 8 * index), base + (index << 12 + 9 * level)
        if pte & 0b1010:
            found[gpa] = (1 << 12 + 9 * level, pte >> 10 << 12, pte & 0x3FF)
        elif pte & 1:
            found |= leaves(memory, pte >> 10 << 12, level - 1, gpa)
    return found


class TestRanges:
    MIB = 1 << 20

    @pytest.fixture
    def stage(self) -> Sv39x4:
        memory = Memory(16 * self.MIB)
        self.fences: list[int | None] = []
        return Sv39x4(memory, FrameAllocator(memory, memory.base, memory.base + memory.size), self.fences.append)

    def test_superpages_where_both_are_aligned(self, stage: Sv39x4) -> None:
        spa = stage.frames.alloc(1536, 512)
        stage.map_range(BASE - PAGE, spa + 511 * PAGE, 514 * PAGE, "rw")
        found = leaves(stage.memory, stage.root)
        assert [(gpa, size) for gpa, (size, _, _) in found.items()] == [
            (BASE - PAGE, PAGE), (BASE, 2 * self.MIB), (BASE + 2 * self.MIB, PAGE),
        ]  # fmt: skip
        assert found[BASE] == (2 * self.MIB, spa + 2 * self.MIB, 0b1101_0111)
        assert self.fences == []  # nothing was there before

    def test_unmap_splits_fences_and_frees(self, stage: Sv39x4) -> None:
        before = stage.frames.available
        spa = stage.frames.alloc(512, 512)
        stage.map_range(BASE, spa, 2 * self.MIB, "rwx")
        stage.unmap(BASE + PAGE, 2 * PAGE)
        found = leaves(stage.memory, stage.root)
        assert len(found) == 510 and BASE in found and BASE + PAGE not in found and found[BASE + 3 * PAGE][1] == spa + 3 * PAGE
        assert self.fences == [BASE, BASE + PAGE, BASE + 2 * PAGE]
        assert stage.frames.available == before - 512 + 2 - len(stage.tables)
        assert stage.frame(BASE + PAGE) is None and stage.frame(BASE + 3 * PAGE + 5) == spa + 3 * PAGE
        # superpages do not come where there is a table
        stage.unmap(BASE, 2 * self.MIB)
        stage.map_range(BASE, stage.frames.alloc(512, 512), 2 * self.MIB, "rwx")
        assert len(leaves(stage.memory, stage.root)) == 512
        stage.release()
        assert stage.frames.available == before + ROOT_FRAMES

    def test_protect(self, stage: Sv39x4) -> None:
        stage.map(BASE)
        stage.map(BASE + 2 * PAGE)
        stage.protect(BASE, 2 * PAGE, "r")
        assert [flags & 0xF for _, _, flags in leaves(stage.memory, stage.root).values()] == [0b0011, 0b1111]
        assert self.fences == [BASE]


class TestOfVms:
    def test_reserved_memory_takes_no_faults(self) -> None:
        from rvhv import Hypervisor

        with Hypervisor("64M", check_fences=True) as hv:
            vm, other = hv.create("hello", memory="16M", reserve=True), hv.create("other", "hello", memory="16M")
            assert {size for size, _, _ in leaves(hv.memory, vm.gstage.root).values()} == {2 << 20}
            hv.run()
            assert not vm.failed and vm.instructions == other.instructions
            ram = [name for name in other.exit_counts if "guest-page" in name]
            assert ram and sum(vm.exit_counts.get(n, 0) for n in ram) < sum(other.exit_counts[n] for n in ram)
            assert hv.fences is not None and hv.fences.reports == []
            assert hv.frames.available * PAGE == hv.memory_size

    def test_discarded_pages_come_back_empty(self) -> None:
        from rvhv import Hypervisor
        from rvhv.errors import ConfigError

        with Hypervisor("64M", check_fences=True) as hv:
            vm = hv.create("hello", memory="16M")
            last = BASE + (16 << 20) - PAGE
            vm.ram.write(last, b"secret")
            before = hv.frames.available
            vm.discard(last, PAGE)
            assert hv.frames.available == before + 1 and vm.ram.read(last, 6) == bytes(6)
            for gpa, size in ((last + 1, PAGE), (last, 2 * PAGE), (last, 100), (0, PAGE)):
                with pytest.raises(ConfigError, match="not whole pages of the RAM of hello"):
                    vm.discard(gpa, size)
            with pytest.raises(ConfigError, match="'w' are no rights of a page"):
                vm.protect(last, PAGE, "w")

    def test_protected_pages_stop_the_guest(self) -> None:
        from rvhv import Hypervisor

        with Hypervisor("64M", check_fences=True) as hv:
            vm = hv.create("tasks", memory="16M")
            hv.run(2_000_000)
            vm.protect(BASE, 16 << 20, "rx")
            hv.run()
            assert vm.failed and "although its page is mapped: W=0" in vm.reason
            assert hv.fences is not None and hv.fences.reports == []
