"""The PLIC: its registers, its gateways, and a run of random operations against a small model."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.errors import InternalError
from rvhv.machine.bus import BusFault
from rvhv.machine.plic import Plic

S = 1  # hart 0's S-mode context
PENDING, ENABLE, THRESHOLD, CLAIM = 0x1000, 0x2080, 0x20_1000, 0x20_1004  # of context 1


class Board:
    """A PLIC whose output changes are recorded."""

    def __init__(self) -> None:
        self.edges: list[tuple[int, bool]] = []
        self.plic = Plic(lambda context, level: self.edges.append((context, level)))

    def get(self, offset: int) -> int:
        return self.plic.load(offset, 4)

    def put(self, offset: int, value: int) -> None:
        self.plic.store(offset, 4, value)

    def enable(self, *sources: int, priority: int = 1) -> None:
        for source in sources:
            self.put(4 * source, priority)
        self.put(ENABLE, self.get(ENABLE) | sum(1 << s for s in sources))


@pytest.fixture
def board() -> Board:
    return Board()


def test_an_interrupt_from_line_to_completion(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    assert board.edges == [(S, True)] and board.plic.output(S)
    assert board.get(PENDING) == 1 << 5
    assert board.get(CLAIM) == 5
    assert board.edges == [(S, True), (S, False)]
    assert board.get(PENDING) == 0
    board.plic.set_level(5, False)
    board.put(CLAIM, 5)
    assert not board.plic.output(S)


def test_completion_raises_again_while_the_level_is_high(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    assert board.get(CLAIM) == 5
    assert board.get(CLAIM) == 0  # one request at a time
    board.put(CLAIM, 5)
    assert board.plic.output(S)
    assert board.get(CLAIM) == 5


def test_a_pulse_while_in_service_is_not_remembered(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    assert board.get(CLAIM) == 5
    board.plic.set_level(5, False)
    board.plic.set_level(5, True)
    board.plic.set_level(5, False)
    board.put(CLAIM, 5)
    assert not board.plic.output(S)


def test_a_request_stays_pending_when_the_level_falls(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    board.plic.set_level(5, False)
    assert board.get(CLAIM) == 5


def test_highest_priority_then_lowest_source(board: Board) -> None:
    board.enable(3, 4, priority=2)
    board.enable(2, priority=1)
    board.enable(9, priority=7)
    for source in (2, 3, 4, 9):
        board.plic.set_level(source, True)
    assert [board.get(CLAIM) for _ in range(5)] == [9, 3, 4, 2, 0]


def test_threshold_masks_the_line_but_not_the_claim(board: Board) -> None:
    board.enable(5, priority=3)
    board.put(THRESHOLD, 3)
    board.plic.set_level(5, True)
    assert not board.plic.output(S)
    board.put(THRESHOLD, 2)
    assert board.plic.output(S)
    board.put(THRESHOLD, 7)
    assert not board.plic.output(S)
    assert board.get(CLAIM) == 5


def test_priority_zero_never_interrupts(board: Board) -> None:
    board.enable(5, priority=0)
    board.plic.set_level(5, True)
    assert board.get(PENDING) == 1 << 5
    assert not board.plic.output(S) and board.get(CLAIM) == 0
    board.put(4 * 5, 1)
    assert board.plic.output(S)


def test_completion_of_a_source_that_is_not_enabled_is_ignored(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    assert board.get(CLAIM) == 5
    board.put(ENABLE, 0)
    board.put(CLAIM, 5)
    board.put(ENABLE, 1 << 5)
    assert not board.plic.output(S)  # still in service
    board.put(CLAIM, 5)
    assert board.plic.output(S)


def test_an_early_completion_lets_the_next_request_through(board: Board) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    board.put(CLAIM, 5)  # nobody claimed it
    assert board.get(CLAIM) == 5
    assert board.get(CLAIM) == 5  # the gateway was open, and the level is still high
    assert board.get(CLAIM) == 0


@pytest.mark.parametrize("value", [0, 4, 32, 33, 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF])
def test_a_wild_completion_changes_nothing(board: Board, value: int) -> None:
    board.enable(5)
    board.plic.set_level(5, True)
    assert board.get(CLAIM) == 5
    board.put(CLAIM, value)
    assert not board.plic.output(S)


def test_contexts_are_separate(board: Board) -> None:
    board.put(4 * 5, 1)
    board.put(0x2000, 1 << 5)  # context 0
    board.plic.set_level(5, True)
    assert board.edges == [(0, True)]
    assert board.get(CLAIM) == 0
    assert board.get(0x20_0004) == 5


def test_registers_are_warl(board: Board) -> None:
    for offset, kept in ((4 * 31, 7), (ENABLE, 0xFFFF_FFFE), (THRESHOLD, 7), (0, 0), (PENDING, 0)):
        board.put(offset, 0xFFFF_FFFF)
        assert board.get(offset) == kept, hex(offset)


@pytest.mark.parametrize(
    "offset", [4 * 32, 0xFFC, 0x1004, 0x1FFC, 0x2004, 0x2084, 0x2100, 0x1F_FFFC, 0x20_0008, 0x20_2000, 0x5F_FFFC]
)
def test_reserved_offsets_read_zero(board: Board, offset: int) -> None:
    board.plic.set_level(1, True)
    board.put(offset, 0xFFFF_FFFF)
    assert board.get(offset) == 0
    assert board.edges == []


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 1), (0, 2), (0, 8), (2, 4), (CLAIM, 8), (CLAIM + 1, 1), (CLAIM + 2, 4)]
)
def test_only_aligned_words(board: Board, offset: int, size: int) -> None:
    with pytest.raises(BusFault):
        board.plic.load(offset, size)
    with pytest.raises(BusFault):
        board.plic.store(offset, size, 0)


@pytest.mark.parametrize("source", [0, 32, -1])
def test_a_source_that_does_not_exist_is_our_bug(board: Board, source: int) -> None:
    with pytest.raises(InternalError):
        board.plic.set_level(source, True)


@dataclass
class Source:
    level: bool = False
    pending: bool = False
    gateway_open: bool = True
    priority: int = 0
    enabled: dict[int, bool] = field(default_factory=lambda: {0: False, 1: False})

    def request(self) -> None:
        if self.level and self.gateway_open and not self.pending:
            self.pending, self.gateway_open = True, False


class Model:
    """The PLIC's rules, one source at a time."""

    def __init__(self, count: int) -> None:
        self.sources = {n: Source() for n in range(1, count + 1)}
        self.threshold = {0: 0, 1: 0}

    def ready(self, context: int) -> list[tuple[int, int]]:
        return sorted(
            (-s.priority, n) for n, s in self.sources.items() if s.pending and s.enabled[context] and s.priority
        )

    def output(self, context: int) -> bool:
        return any(-p > self.threshold[context] for p, _ in self.ready(context))

    def claim(self, context: int) -> int:
        ready = self.ready(context)
        if not ready:
            return 0
        source = ready[0][1]
        self.sources[source].pending = False
        self.sources[source].request()
        return source

    def complete(self, context: int, number: int) -> None:
        source = self.sources.get(number)
        if source and source.enabled[context]:
            source.gateway_open = True
            source.request()


SOURCES = 4
contexts = st.integers(0, 1)
numbers = st.integers(1, SOURCES)
OPERATIONS = st.one_of(
    st.tuples(st.just("level"), numbers, st.integers(0, 1)),
    st.tuples(st.just("priority"), numbers, st.integers(0, 7)),
    st.tuples(st.just("enable"), contexts, st.integers(0, 2 ** (SOURCES + 1) - 1)),
    st.tuples(st.just("threshold"), contexts, st.integers(0, 7)),
    st.tuples(st.just("claim"), contexts, st.just(0)),
    st.tuples(st.just("complete"), contexts, st.integers(0, SOURCES + 2)),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(OPERATIONS, min_size=20, max_size=60))
def test_like_the_model(operations: list[tuple[str, int, int]]) -> None:
    outputs = {0: False, 1: False}

    def on_output(context: int, level: bool) -> None:
        assert outputs[context] != level, "a callback without a change"
        outputs[context] = level

    plic, model = Plic(on_output, sources=SOURCES), Model(SOURCES)
    for what, which, value in operations:
        match what:
            case "level":
                plic.set_level(which, bool(value))
                model.sources[which].level = bool(value)
                model.sources[which].request()
            case "priority":
                plic.store(4 * which, 4, value)
                model.sources[which].priority = value
            case "enable":
                plic.store(0x2000 + 0x80 * which, 4, value)
                for n, source in model.sources.items():
                    source.enabled[which] = bool(value >> n & 1)
            case "threshold":
                plic.store(0x20_0000 + 0x1000 * which, 4, value)
                model.threshold[which] = value
            case "claim":
                assert plic.load(0x20_0004 + 0x1000 * which, 4) == model.claim(which)
            case "complete":
                plic.store(0x20_0004 + 0x1000 * which, 4, value)
                model.complete(which, value)
        assert outputs == {c: model.output(c) for c in (0, 1)} == {c: plic.output(c) for c in (0, 1)}
        assert plic.load(0x1000, 4) == sum(s.pending << n for n, s in model.sources.items())
