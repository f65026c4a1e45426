"""The bus finds the device that holds a whole access, and refuses overlaps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rvhv.errors import ConfigError
from rvhv.machine.bus import Bus


@dataclass
class Stub:
    name: str
    base: int
    size: int

    def load(self, offset: int, size: int) -> int:
        return 0

    def store(self, offset: int, size: int, value: int) -> None:
        pass


def test_find_gives_device_and_offset() -> None:
    bus = Bus()
    low, high = Stub("low", 0x1000, 0x100), Stub("high", 0x2000, 0x10)
    bus.attach(high)
    bus.attach(low)
    assert bus.devices == (low, high)
    assert bus.find(0x1000, 8) == (low, 0)
    assert bus.find(0x200C, 4) == (high, 12)


@pytest.mark.parametrize(("gpa", "size"), [(0xFFF, 1), (0x1100, 1), (0x10FC, 8), (0xFFC, 8), (0, 4), (1 << 63, 4)])
def test_nothing_answers_outside_or_across_the_end(gpa: int, size: int) -> None:
    bus = Bus()
    bus.attach(Stub("low", 0x1000, 0x100))
    assert bus.find(gpa, size) is None
    assert Bus().find(gpa, size) is None


@pytest.mark.parametrize("base, size", [(0xF00, 0x101), (0x1000, 1), (0x10FF, 1), (0x1080, 0x1000), (0, 0x10000)])
def test_overlap_is_refused(base: int, size: int) -> None:
    bus = Bus()
    bus.attach(Stub("old", 0x1000, 0x100))
    with pytest.raises(ConfigError, match="new at .* overlaps old"):
        bus.attach(Stub("new", base, size))
    assert len(bus.devices) == 1


@pytest.mark.parametrize("base, size", [(0x1000, 0), (-1, 4)])
def test_a_device_without_addresses_is_refused(base: int, size: int) -> None:
    with pytest.raises(ConfigError, match="has no addresses"):
        Bus().attach(Stub("odd", base, size))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 8)), max_size=12), st.integers(0, 70), st.integers(1, 8))
def test_like_a_linear_search(ranges: list[tuple[int, int]], gpa: int, size: int) -> None:
    bus = Bus()
    kept: list[Stub] = []
    for base, length in ranges:
        stub = Stub("s", base, length)
        clash = any(base < k.base + k.size and k.base < base + length for k in kept)
        if clash:
            with pytest.raises(ConfigError):
                bus.attach(stub)
        else:
            bus.attach(stub)
            kept.append(stub)
    expected = [(k, gpa - k.base) for k in kept if k.base <= gpa and gpa + size <= k.base + k.size]
    assert bus.find(gpa, size) == (expected[0] if expected else None)
