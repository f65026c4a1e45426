"""The small devices of the bare machine: CLINT, finisher, real-time clock, event queue, empty virtio slots, entropy."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rvhv.machine.bus import BusFault
from rvhv.machine.events import Events
from rvhv.machine.finisher import Finisher
from rvhv.machine.rtc import START, Rtc
from rvhv.virtio.entropy import MOST_BYTES, Entropy
from rvhv.virtio.slots import EmptySlot
from tests.devices.bare import Bare
from tests.devices.virtio_driver import RAM_BASE as DRIVER_RAM
from tests.devices.virtio_driver import Guest

SHUT_DOWN = "sw t1, 0(t0)\n j .\n"


@pytest.mark.parametrize(
    ("value", "reason", "code", "reboot"),
    [
        (0x5555, "powered off", 0, False),
        (0x3333, "powered off as failed, code 0", 1, False),
        (0x7_3333, "powered off as failed, code 7", 7, False),
        (0x7777, "asked for a reboot", 0, True),
    ],
)
def test_finisher(value: int, reason: str, code: int, reboot: bool) -> None:
    bare = Bare(f"li t0, 0x100000\n li t1, {value}\n {SHUT_DOWN}").run(1000)
    end = bare.machine.end
    assert end is not None and (end.reason, end.code, end.reboot) == (reason, code, reboot)
    assert end.failed == bool(code)


def test_finisher_ignores_other_values_and_refuses_odd_widths() -> None:
    calls: list[object] = []
    finisher = Finisher(lambda how, code: calls.append(how), lambda: calls.append("reboot"))
    finisher.store(0, 4, 0x1234)
    finisher.store(4, 4, 0x5555)
    assert finisher.load(0, 4) == 0 and calls == []
    for size in (1, 8):
        with pytest.raises(BusFault):
            finisher.store(0, size, 0x55)


class Timeline:
    def __init__(self) -> None:
        self.clock = 0
        self.events = Events()

    def at(self, clock: int, event: Callable[[], None]) -> None:
        self.events.add(clock, event)

    def go(self, clock: int) -> None:
        self.clock = clock
        self.events.fire(clock)


def test_rtc_counts_from_its_fixed_date() -> None:
    timeline = Timeline()
    rtc = Rtc(timeline, lambda level: None)
    timeline.clock = 5_000_000_000
    low = rtc.load(0, 4)
    timeline.clock = 1 << 40
    assert rtc.load(4, 4) << 32 | low == START + 5_000_000_000, "the high half is that of the low one"
    rtc.store(4, 4, 1)
    rtc.store(0, 4, 2)
    assert rtc.load(0, 4) == 2 and rtc.load(4, 4) == 1
    with pytest.raises(BusFault):
        rtc.load(0, 8)
    with pytest.raises(BusFault):
        rtc.store(2, 2, 0)


def test_rtc_alarm() -> None:
    timeline = Timeline()
    levels: list[bool] = []
    rtc = Rtc(timeline, levels.append, start=0)

    def set_alarm(ns: int) -> None:
        rtc.store(0xC, 4, ns >> 32)
        rtc.store(0x8, 4, ns & 0xFFFF_FFFF)

    rtc.store(0x10, 4, 1)
    set_alarm(1000)
    set_alarm(3000)
    assert rtc.load(0x18, 4) == 1 and rtc.load(8, 4) == 3000
    timeline.go(2000)
    assert True not in levels, "the first alarm was replaced"
    timeline.go(3000)
    assert levels[-1] is True and rtc.load(0x18, 4) == 0
    rtc.store(0x1C, 4, 1)
    assert levels[-1] is False
    set_alarm(4000)
    rtc.store(0x14, 4, 1)
    timeline.go(5000)
    assert levels[-1] is False, "the alarm was cleared"
    set_alarm(10)
    timeline.go(5000)
    assert levels[-1] is True, "an alarm in the past rings at once"


def test_events_of_one_time_keep_their_order() -> None:
    events, done = Events(), list[int]()
    for i, clock in enumerate((5, 3, 5, 9)):
        events.add(clock, lambda i=i: done.append(i))  # type: ignore[misc]
    events.fire(5)
    assert done == [1, 0, 2] and events.next == 9


def test_clint_registers() -> None:
    bare = Bare("j .\n", harts=3)
    clint, harts = bare.machine.clint, bare.machine.harts
    assert clint.load(0x4000, 8) == (1 << 64) - 1
    clint.store(0x4008, 8, 0x1122_3344_5566_7788)
    assert clint.load(0x400C, 4) == 0x1122_3344 and clint.load(0x4008, 4) == 0x5566_7788
    clint.store(0x400C, 4, 9)
    assert clint.load(0x4008, 8) == 0x9_5566_7788
    clint.store(0x4, 4, 0xFFFF_FFFF)
    assert [hart.read_csr("mip") >> 3 & 1 for hart in harts] == [0, 1, 0]
    assert clint.load(0, 8) == 1 << 32 and clint.load(4, 4) == 1
    clint.store(0, 8, 1)
    assert [hart.read_csr("mip") >> 3 & 1 for hart in harts] == [1, 0, 0]
    assert clint.load(0x4018, 8) == clint.load(0x20, 4) == 0, "there is no fourth hart"
    clint.store(0x4018, 8, 1)
    clint.store(0x20, 4, 1)
    for offset, size in ((0, 1), (0x4000, 2), (0xBFFC, 8)):
        with pytest.raises(BusFault):
            clint.load(offset, size)
        with pytest.raises(BusFault):
            clint.store(offset, size, 0)


def test_clint_time_is_the_clock() -> None:
    bare = Bare("j .\n")
    bare.machine.clock = 12345
    assert bare.machine.clint.load(0xBFF8, 8) == 123
    bare.machine.clint.store(0xBFF8, 8, (1 << 64) - 1)
    assert bare.machine.clock < 1 << 64


def test_empty_slots_say_that_they_are_empty() -> None:
    from rvhv.machine.board import Window

    slot = EmptySlot(3, Window(0x1000, 0x1000))
    assert [slot.load(offset, 4) for offset in (0, 4, 8)] == [0x74726976, 2, 0]
    slot.store(0x70, 4, 1)
    assert slot.load(0x70, 4) == 0 and slot.load(0xFFC, 4) == 0
    with pytest.raises(BusFault):
        slot.load(0, 1)


def entropy(seed: int, *requests: int) -> list[bytes]:
    guest = Guest(Entropy(seed, "me"))
    guest.start()
    queue = guest.queues[0]
    got = []
    for n in requests:
        queue.add((DRIVER_RAM + 0x8000, n, True))
        guest.notify(0)
        (_, written), = queue.take_used()
        got.append(guest.memory.read(DRIVER_RAM + 0x8000, written))
    return got


def test_entropy_follows_from_the_seed() -> None:
    first = entropy(1, 16, 16, 64)
    assert [len(data) for data in first] == [16, 16, 64]
    assert first[0] != first[1] and first == entropy(1, 16, 16, 64) and first != entropy(2, 16, 16, 64)


def test_entropy_is_bounded() -> None:
    assert MOST_BYTES <= 1 << 16
