"""Objects set back in place: identity is kept, what cannot be set back is refused by name."""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
import threading
import weakref
from array import array
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, ClassVar

import pytest

from rvhv.errors import InternalError
from rvhv.snapshot.memento import capture


class Colour(IntEnum):
    RED = 1


@dataclass(slots=True)
class Slotted:
    number: int
    other: Any = None


class Holder:
    NOT_STATE: ClassVar = ("host",)

    def __init__(self) -> None:
        self.numbers = [1, [2, 3]]
        self.table: dict[Any, Any] = {"a": [1], (1, 2): Colour.RED}
        self.members = {1, 2, 3}
        self.queue = deque([1, Slotted(5)], maxlen=4)
        self.block = bytearray(b"abcd")
        self.view = memoryview(self.block).cast("H")
        self.words = array("Q", [1, 2])
        self.counts = Counter({1: 2})
        self.hash = hashlib.sha256(b"x")
        self.hashes = {1: hashlib.sha256(b"y")}
        self.random = random.Random(1)
        self.slotted = Slotted(1, self)
        self.call: Callable[[], int] = self.bump
        self.weak = weakref.ref(self)
        self.host: Any = threading.Lock()
        self.on_output: Any = threading.Lock()
        count = 0

        def closure() -> int:
            nonlocal count
            count += 1
            return count

        self.closure = closure
        self.partial = functools.partial(self.numbers.append, 9)

    def bump(self) -> int:
        self.slotted.number += 1
        return self.slotted.number


def story(h: Holder) -> Any:
    return (
        h.numbers, h.table, h.members, list(h.queue), bytes(h.block), list(h.view), h.words, h.counts, h.hash.hexdigest(),
        h.hashes[1].hexdigest(), h.random.getstate(), h.slotted.number, getattr(h, "new", None),
    )  # fmt: skip


def spoil(h: Holder) -> None:
    h.numbers[1].append(4)  # type: ignore[attr-defined]
    h.numbers.append(5)
    h.table["a"].append(2)
    h.table["b"] = 1
    h.members.add(9)
    h.queue[1].number = 6  # type: ignore[union-attr]
    h.queue.append(8)
    h.view[0] = 7
    h.words[0] = 9
    h.counts[1] += 1
    h.hash.update(b"more")
    h.hashes[1].update(b"more")
    h.random.random()
    h.call()
    h.closure()
    h.partial()
    h.new = 1  # type: ignore[attr-defined]
    h.slotted = Slotted(99)


def test_everything_is_set_back_where_it_is() -> None:
    h = Holder()
    ids = {name: id(value) for name, value in vars(h).items()}
    before = repr(story(h))
    memento = capture(h)
    for _ in range(3):  # a memento can be used again
        spoil(h)
        assert repr(story(h)) != before
        memento.restore()
        assert repr(story(h)) == before
        now = {name: id(value) for name, value in vars(h).items() if name != "hash"}
        assert now == {name: was for name, was in ids.items() if name != "hash"}
        assert h.slotted.other is h and h.call() == 2
        assert h.closure() == 1
        assert list(h.members) == [1, 2, 3]
    memento.restore()
    assert h.queue.maxlen == 4 and isinstance(h.counts, Counter)


def test_what_is_the_hosts_stays() -> None:
    h = Holder()
    memento = capture(h)
    h.host, h.on_output = "other", print
    memento.restore()
    assert (h.host, h.on_output) == ("other", print)


@pytest.mark.parametrize("thing", [iter([1]), (i for i in ()), threading.Lock(), itertools.count(), map(str, [])])
def test_what_cannot_be_set_back_is_refused(thing: object) -> None:
    h = Holder()
    h.numbers.append(Slotted(1, thing))  # type: ignore[arg-type]
    with pytest.raises(InternalError, match=r"Slotted \(other\) holds a .*cannot be set back"):
        capture(h)


@dataclass(frozen=True)
class Own:
    kept: list[int] = field(default_factory=list)

    def capture_state(self) -> tuple[int, ...]:
        return tuple(self.kept)

    def restore_state(self, captured: tuple[int, ...]) -> None:
        self.kept[:] = captured


def test_an_object_may_do_it_itself() -> None:
    h = Holder()
    own = Own([1])
    h.table["own"] = own
    memento = capture(h)
    own.kept.append(2)
    del h.table["own"]
    memento.restore()
    assert h.table["own"] is own and own.kept == [1]


def test_long_bytes_are_shared_and_told() -> None:
    h = Holder()
    blob = bytes(5000)
    h.queue.append(blob)  # type: ignore[arg-type]
    memento = capture(h)
    assert (blob, 5000) in memento.blobs and memento.size < 20_000
