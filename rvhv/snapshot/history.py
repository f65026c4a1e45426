"""Going back in time: a machine is remembered now and then, and any other moment is reached by running again from the one before.

A run is a function of its inputs, so what is remembered now and then (the Python objects, `memento`, and the pages that changed,
`pages`), together with what came from outside (what was typed, what the user changed), is enough for every step in between.
"""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import NamedTuple, TypeVar

from rvhv.errors import InternalError, SnapshotError
from rvhv.hv.hypervisor import Hypervisor
from rvhv.machine.virt import Machine
from rvhv.snapshot.difference import Difference, compare
from rvhv.snapshot.memento import Memento, capture
from rvhv.snapshot.pages import Pages
from rvhv.snapshot.world import Why, world_of

LIMIT = 256 << 20  # bytes
SPACING = 0.2  # seconds of the host between two snapshots, at least
MOST_SPACING = 0.8  # so that going back a step takes less than a second
COST_SHARE = 13  # a snapshot comes so many times its own cost after the last one
MOST_SNAPSHOTS = 400

T = TypeVar("T")


class Moment(NamedTuple):
    """Steps that the machine has made, and a phase, which tells apart what happens at the same step (see `world`)."""

    steps: int
    phase: int


@dataclass
class Event:
    """Something from outside, at the moment where it got there."""

    moment: Moment
    text: str
    apply: Callable[[], object]


@dataclass
class Snapshot:
    """A remembered moment; `applied`: events before it; `seconds` of the host that the run took to get there."""

    number: int
    moment: Moment
    applied: int
    seconds: float
    memento: Memento
    pinned: int = 0

    @property
    def place(self) -> tuple[Moment, int]:
        return self.moment, self.applied


@dataclass
class Bookmark:
    """A named moment."""

    name: str
    moment: Moment
    applied: int
    snapshot: Snapshot | None = field(repr=False)


class History:
    """The history of a Hypervisor or a Machine from now on. `limit`: bytes that it may hold; `say` gets a sentence when something
    is lost. Disks keep what guests write in memory from now on. VMs are created before. Raises SnapshotError for a machine
    whose run depends on more than its inputs. It begins sooner where `Memory.track` was called before anything was loaded.
    """

    def __init__(
        self, root: Hypervisor | Machine, *, limit: int = LIMIT, say: Callable[[str], None] = lambda sentence: None
    ) -> None:
        self.world = world_of(root)
        self.limit = limit
        self.say = say
        self.bookmarks: dict[str, Bookmark] = {}
        self.events: list[Event] = []
        self.snapshots: list[Snapshot] = []
        self.recording_seconds = 0.0  # of the processor, spent on snapshots
        self._pages = Pages(self.world.memory)
        self._blobs: dict[int, list[int]] = {}  # id of a long object -> [its size, mementos that hold it]
        self._applied = 0  # events before the present
        self._seconds = 0.0  # of the run up to the present
        self._due = 0.0  # `_seconds` at which the next snapshot is taken
        self._waiting: list[tuple[Callable[[], object], str]] = []  # came while something ran
        self._running = self._asked = self._pressed = False
        self._told_short = False
        self._since: set[int] = set()  # frames stored to since `_head`, as far as it was looked
        self._number = 0  # of the newest snapshot
        self._furthest = self.now
        for disk in self.world.disks():
            disk.hold()
        self.world.drain()
        self._head = self._remember()  # what the present descends from
        self._pages.begin(0, self.world.written())
        self.world.memory.track()
        self.world.take_feeds(self._take_feed)

    def close(self) -> None:
        """Forget everything; the machine goes on without."""
        self.world.take_feeds(None)
        self.world.memory.untrack()
        for disk in self.world.disks():
            disk.let_go()
        self.snapshots.clear()
        self.bookmarks.clear()

    # where it is

    @property
    def now(self) -> Moment:
        return Moment(self.world.steps, self.world.phase)

    @property
    def begins(self) -> int:
        """Steps of the first moment that can be gone back to."""
        return self.snapshots[0].moment.steps

    @property
    def furthest(self) -> int:
        """Steps of the latest moment that was seen."""
        return max(self._furthest, self.now).steps

    @property
    def in_the_past(self) -> bool:
        return self.now < self._furthest

    def written(self) -> frozenset[int]:
        """Addresses of the frames that were stored to since the snapshot before now."""
        self._look()
        return frozenset(self._since)

    @property
    def size(self) -> int:
        """Bytes held."""
        mementos = sum(s.memento.size for s in self.snapshots)
        return self._pages.size + mementos + sum(length for length, _ in self._blobs.values())

    # running

    def run(self, steps: int | None = None) -> Why:
        """Run so many steps exactly (None: without a limit), and remember. What was typed in this past is typed again."""
        if steps is not None and steps < 0:
            raise SnapshotError(f"{steps} steps are none to run: go back for that")
        with self._guarded():
            return self._forward(None if steps is None else Moment(self.world.steps + steps, -1))

    def interrupt(self) -> None:
        """Have what runs, or the next that does, end at an exact step. For signal handlers, callbacks and other threads."""
        self._asked = True
        self.world.interrupt()

    def clear_interrupt(self) -> None:
        """Nobody wants the next run to end any more."""
        self._asked = False
        self.world.root.clear_interrupt()

    def goto(self, steps: int | Moment | Bookmark) -> Why:
        """Be at that step, in silence: in the past by running again; behind the furthest moment by running on. At a step at which
        something was typed, after that. Raises SnapshotError for a time before the history begins."""
        applied = None
        if isinstance(steps, Bookmark):
            target, applied = steps.moment, steps.applied
        else:
            target = steps if isinstance(steps, Moment) else Moment(steps, -1)
        if target.steps == self._furthest.steps and target.phase < 0:
            target = self._furthest
        first = self.snapshots[0].moment
        if target.phase < 0 and target.steps == first.steps:
            target = first
        if target < first:
            raise SnapshotError(f"step {target.steps} is before the history begins, at step {self.begins}")
        with self._guarded():
            if target.steps > self._furthest.steps:
                self._goto(self._furthest)
                why = Why.INTERRUPTED if self.now < self._furthest else self._forward(target)
            else:
                why = self._goto(target, applied)
            self.world.pass_stops()
        return why

    def back(self, steps: int = 1) -> Why:
        """Be so many steps earlier."""
        if steps > self.world.steps - self.begins:
            raise SnapshotError(f"{steps} steps back is before the history begins, at step {self.begins}")
        return self.goto(self.world.steps - steps)

    def last_hit(self, hit: Callable[[], T | None], frames: Collection[int] | None = None) -> tuple[Moment, T] | None:
        """Go back to the last moment before now at which a stop (or an interrupt of an observer) ended the run and `hit()` is not
        None; that, and what it said. The machine is there then, and goes on past it; without one, where the history begins.
        `frames`: addresses of host pages to which a store is about to be made at every such moment; it looks at less then.

        Interrupted, it is where it was then: see `interrupted`."""
        with self._guarded():
            here = end = self.now
            found: list[tuple[Moment, int, T]] = []

            def look() -> None:
                if self.now < here and (what := hit()) is not None:
                    found.append((self.now, self._applied, what))

            before = [s for s in self.snapshots if s.place < (here, self._applied)]
            for i in reversed(range(len(before))):
                snapshot = before[i]
                if frames is not None and not self._may_store(before[i : i + 3], frames):
                    end = snapshot.moment
                    continue
                self._restore(snapshot)
                if self._replay(end, look) is Why.INTERRUPTED:
                    self._asked = True
                    return None
                if found:
                    moment, applied, what = found[-1]
                    self._goto(moment, applied)
                    self.world.pass_stops()
                    return moment, what
                end = snapshot.moment
            self._restore(self.snapshots[0])
            return None

    def _may_store(self, snapshots: list[Snapshot], frames: Collection[int]) -> bool:
        """Whether one of these frames may be stored to from the first snapshot to the second, or the third, where a store is
        that the run is about to make at the second. The last ones, behind which nothing was looked at, are too few."""
        return len(snapshots) < 3 or self._pages.stored_to(snapshots[0].number, snapshots[2].number, frames)

    def change(self, apply: Callable[[], object], text: str) -> None:
        """Do something to the machine from outside, such as writing a register: `apply()`, now and whenever this moment is run
        through again. In the past, it makes another future: what came after is forgotten."""
        if self._running:
            raise SnapshotError(f"{text}: the machine runs: interrupt it first")
        self._do(apply, text)

    # bookmarks

    def bookmark(self, name: str) -> Bookmark:
        """Name the present; a name that is taken moves here."""
        self.forget_bookmark(name)
        snapshot = None
        if not self.in_the_past:
            snapshot = self._remember_now()
            snapshot.pinned += 1
        mark = self.bookmarks[name] = Bookmark(name, self.now, self._applied, snapshot)
        return mark

    def forget_bookmark(self, name: str) -> None:
        mark = self.bookmarks.pop(name, None)
        if mark is not None and mark.snapshot is not None:
            mark.snapshot.pinned -= 1

    def moment_of(self, name: str) -> Moment:
        """Raises SnapshotError for a name that no bookmark has."""
        if name not in self.bookmarks:
            known = ", ".join(self.bookmarks) or "none yet"
            raise SnapshotError(f"there is no bookmark {name!r} (there are: {known})")
        return self.bookmarks[name].moment

    def diff(self, name: str) -> Difference:
        """What differs between a bookmark and now: words of the guest harts, pages. Goes there and comes back."""
        there, here, applied = self.moment_of(name), self.now, self._applied
        mark = self.bookmarks[name]
        with self._guarded():
            if not self.in_the_past:
                self._remember_now()
            self._look()
            head, memory = self._head, self.world.memory
            pages = {spa: memory.read(spa, len(self._pages.at(head.number, spa))) for spa in self._since}
            harts = {name: bytes(words) for name, words in self.world.contexts()}
            if self._goto(there, mark.applied) is Why.INTERRUPTED:
                raise KeyboardInterrupt
            self._look()
            for spa in self._since | self._pages.between(head.number, self._head.number):
                pages.setdefault(spa, self._pages.at(head.number, spa))
            difference = compare(there.steps, here.steps, self.world.contexts(), harts, memory, pages)
            self._goto(here, applied)
        return difference

    # being interrupted

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        """While something runs, Ctrl-C waits for an exact step, and so does what is typed."""
        if self._running:
            raise SnapshotError("the machine runs already")
        self._forget_press()  # of one that came while the last guard went down
        main = threading.current_thread() is threading.main_thread()
        ours = main and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if ours:
            signal.signal(signal.SIGINT, self._on_ctrl_c)
        try:  # from here on, until the handler is Python's again, nothing is raised between two bytecodes
            self._running = True
            yield
        finally:
            self._running = False
            self._take_waiting()
            if ours:
                signal.signal(signal.SIGINT, signal.default_int_handler)
            if self._forget_press() and sys.exc_info()[0] is None:
                raise KeyboardInterrupt

    def _forget_press(self) -> bool:
        """Whether Ctrl-C was pressed; the run that it asked to end has ended."""
        if not self._pressed:
            return False
        self._asked = False
        self.world.root.clear_interrupt()
        self._pressed = False
        return True

    def _on_ctrl_c(self, signum: int, frame: FrameType | None) -> None:
        self._pressed = True
        self.interrupt()

    @property
    def interrupted(self) -> bool:
        """Whether somebody asked for an end, and none was made yet."""
        return self._asked

    # what comes from outside

    def _take_feed(self, apply: Callable[[], object], text: str) -> None:
        if not self._running or self.world.takes_input:
            self._do(apply, text)
        else:
            self._waiting.append((apply, text))
            self.world.root.run_until = 0.0

    def _take_waiting(self) -> None:
        while self._waiting:
            self._do(*self._waiting.pop(0))

    def _do(self, apply: Callable[[], object], text: str) -> None:
        """Something from outside happens now."""
        now = self.now
        if now < self._furthest or self._applied < len(self.events):
            self._cut(now)
        self.events.append(Event(now, text, apply))
        self._applied += 1
        apply()
        self._furthest = self.now

    def _cut(self, now: Moment) -> None:
        """Another future begins."""
        lost = self._furthest.steps - now.steps
        self._look()
        place = (now, self._applied)
        while len(self.snapshots) > 1 and self.snapshots[-1].place > place:
            self._drop(self.snapshots.pop())
        self._pages.cut(self.snapshots[-1].number)
        del self.events[self._applied :]
        gone = [mark.name for mark in self.bookmarks.values() if (mark.moment, mark.applied) > place]
        for name in gone:
            self.forget_bookmark(name)
        self._furthest = now
        self._due = self._seconds + SPACING
        if lost:
            marks = f", with {', '.join(gone)}" if gone else ""
            self.say(f"the {lost:,} steps after step {now.steps:,} are forgotten{marks}: this is another future")

    # forward

    def _forward(self, target: Moment | None, look: Callable[[], None] | None = None, applied: int | None = None) -> Why:
        """Run to a moment (phase -1: when the step is reached), and let at most the first `applied` events happen. With `look`
        the run goes on after stops, and it is called."""
        while True:
            self._take_waiting()
            now = self.now
            if self._asked:
                self._asked = False
                self.world.root.clear_interrupt()  # it may not have begun a run since
                return Why.INTERRUPTED
            end = len(self.events) if applied is None else applied
            event = self.events[self._applied] if self._applied < end else None
            if event is not None and event.moment <= now:
                if event.moment != now:
                    raise InternalError(f"history: {event.text} was at {event.moment}, and the run is at {now}")
                if target is None or event.moment <= target or target.phase < 0 and target.steps == event.moment.steps:
                    self._applied += 1
                    event.apply()
                    continue
            if target is not None and now.steps == target.steps and now.phase >= target.phase:
                return Why.BUDGET
            record = now >= self._furthest
            bounds = (target, None if event is None else event.moment, None if record else self._furthest)
            why = self._run_towards(min((b for b in bounds if b is not None), default=None), record)
            if why in (Why.STOPPED, Why.INTERRUPTED) and look is not None and not self.interrupted:
                look()
            elif why is Why.INTERRUPTED and self.interrupted:
                continue
            elif why is not None and why is not Why.BUDGET:
                return why

    def _run_towards(self, bound: Moment | None, record: bool) -> Why | None:
        world = self.world
        left = None if bound is None else bound.steps - world.steps
        until = None
        began = time.perf_counter()
        if record:
            until = began + max(0.0, self._due - self._seconds)
        if left == 0:
            left = 1  # only the phase is to change
        elif left is not None and left < 0:
            raise InternalError(f"history: the run is at {self.now}, behind {bound}")
        log = logging.getLogger("rvhv")
        level = log.level
        if not record:
            log.setLevel(logging.ERROR)  # what guests were warned of, they were warned of
        try:
            why = world.run(left, until)
        finally:
            log.setLevel(level)
            self._seconds += time.perf_counter() - began
            self._furthest = max(self._furthest, self.now)
        if why is Why.BUDGET and bound is not None and world.steps > bound.steps:
            raise InternalError(f"history: nothing happened at {bound}, as it did before")
        if record and why is not Why.INTERRUPTED and (self._seconds >= self._due or why is Why.FINISHED):
            self._remember_now()
        return why

    # backward

    def _goto(self, target: Moment, applied: int | None = None) -> Why:
        """`applied`: events before it; None: all up to then."""
        place = (target, len(self.events) if applied is None else applied)
        best = self.snapshots[max(bisect_right(self.snapshots, place, key=lambda s: s.place) - 1, 0)]
        if not best.place <= (self.now, self._applied) <= place:
            self._restore(best)  # else the way is shorter from here
        return self._replay(target, None, applied)

    def _replay(self, target: Moment, look: Callable[[], None] | None, applied: int | None = None) -> Why:
        with self.world.quiet(all_callbacks=look is None):
            return self._forward(target, look if look is not None else _nothing, applied)

    def _restore(self, snapshot: Snapshot) -> None:
        self._look()
        spas = self._since | self._pages.between(self._head.number, snapshot.number)
        self._pages.write_back(snapshot.number, spas)
        self.world.memory.take_dirty()  # that was us
        snapshot.memento.restore()
        self._since = set()
        self._head = snapshot
        self._applied, self._seconds = snapshot.applied, snapshot.seconds

    # snapshots

    def _look(self) -> None:
        self._since.update(self.world.memory.take_dirty())

    def _remember_now(self) -> Snapshot:
        """A snapshot of the present, which is the furthest moment."""
        began = time.thread_time()
        newest = self.snapshots[-1]
        self._look()
        if newest.place == (self.now, self._applied) and not self._since:
            self._due = self._seconds + SPACING
            return newest
        self.world.drain()
        self._number += 1
        self._pages.add(self._number, self._since | self._pages.between(self._head.number, newest.number))
        self._since = set()
        self._head = self._remember()
        self._thin()
        cost = time.thread_time() - began
        self.recording_seconds += cost
        self._due = self._seconds + min(max(SPACING, COST_SHARE * cost), MOST_SPACING)
        return self._head

    def _remember(self) -> Snapshot:
        memento = capture(self.world.root)
        for blob, size in memento.blobs:
            self._blobs.setdefault(id(blob), [size, 0])[1] += 1
        if self.snapshots:
            self._seconds = max(self._seconds, self.snapshots[-1].seconds)  # it may have been faster the second time
        snapshot = Snapshot(self._number, self.now, self._applied, self._seconds, memento)
        self.snapshots.append(snapshot)
        return snapshot

    def _drop(self, snapshot: Snapshot) -> None:
        for blob, _ in snapshot.memento.blobs:
            count = self._blobs[id(blob)]
            count[1] -= 1
            if not count[1]:
                del self._blobs[id(blob)]

    def _thin(self) -> None:
        """Forget snapshots until the rest fits; the older, the sparser."""
        snapshots = self.snapshots
        while len(snapshots) > 2 and (len(snapshots) > MOST_SNAPSHOTS or self.size > self.limit):
            now = self._seconds + SPACING
            free = [i for i in range(1, len(snapshots) - 1) if not snapshots[i].pinned]
            if not free:
                break
            gaps = {i: snapshots[i + 1].seconds - snapshots[i - 1].seconds for i in free}
            self._merge(min(free, key=lambda i: gaps[i] / (now - snapshots[i].seconds)))
        while len(snapshots) > 1 and self.size > self.limit:
            self._merge(0)
            gone = [mark.name for mark in self.bookmarks.values() if mark.moment < snapshots[0].moment]
            for name in gone:
                self.forget_bookmark(name)
            if not self._told_short or gone:
                self._told_short = True
                marks = f" (and the bookmarks {', '.join(gone)} are gone)" if gone else ""
                self.say(f"history does not fit into {self.limit >> 20} MiB: it begins at step {self.begins} now{marks}")

    def _merge(self, i: int) -> None:
        snapshot = self.snapshots.pop(i)
        self._pages.merge(snapshot.number, self.snapshots[i].number)
        self._drop(snapshot)
        for mark in self.bookmarks.values():
            if mark.snapshot is snapshot:
                mark.snapshot = None


def _nothing() -> None:
    pass
