"""Who decides what is translated, and puts regions where the interpreter finds them. One engine a memory, for all its harts.

The machine notes in a ring which code is hot (`rvhv.cpu.regions.heat`) and asks for service between two chunks. The engine sends
a page's bytes and where it is hot to a worker process; what comes back is kept by content, so that the same code in another
frame or VM, or the same code again, is installed without being translated a second time.
"""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from rvhv.build import CHECKED
from rvhv.core.memory import PAGE, Memory
from rvhv.core.ops import Op
from rvhv.cpu.state import (
    CODE_COVER,
    CODE_ENTRIES,
    CODE_FRAME,
    CODE_QUIET,
    CODE_STRIDE,
    FETCH_WORDS,
    FRAME_CODE,
    FRAME_WORDS,
    HEAT_NEVER,
    LEAST_ENTRY,
    SLOT,
    WANTED_AGAIN,
    WANTED_SAMPLED,
    wanted_base,
)
from rvhv.errors import ConfigError
from rvhv.jit import frame_code
from rvhv.jit.frame_code import FrameCode, Loaded
from rvhv.jit.job import LEAST_LENGTH, LINE, Job, Result, Spec, failed, spec_of
from rvhv.jit.lull import Lull

if TYPE_CHECKING:
    from rvhv.jit.cache import ObjectCache

log = logging.getLogger(__name__)

SAMPLE_STEPS = 1 << 17  # how often the run loop looks where pc is: half a millisecond of interpretation
EAGER_SAMPLE_STEPS = 64
WORTH_A_WORKER = 6  # places that are hot before a process is started
MOST_CODE = 64 << 20  # bytes of regions that are kept
LEAST_CODE = 16 << 10  # bytes that a region costs, however short
MOST_SPECS = 16  # regions of a page's bytes that are remembered for later runs: where there are more, each is worth little
MOST_VARIANTS = 64  # regions that start alike, which are looked at when one is wanted
MOST_UNITED = 1024  # instructions of a region that is made of a frame's regions
UNITE_AT = 8  # with the tier JIT, which has no lulls: at this translation of a frame
ATTENTION, WANTED, SAMPLE, STEPS = (SLOT[name] for name in ("attention", "wanted", "sample", "steps"))


class Tier(StrEnum):
    """How guests run. All three give the same result, step by step."""

    AUTO = "auto"  # interpreted, and translated in the background where it is hot
    INTERP = "interp"  # interpreted only
    JIT = "jit"  # translated at once, before it goes on: for tests


def chosen_tier(tier: str | None) -> Tier:
    """The tier of that name; None: RVHV_TIER's, or auto. Raises ConfigError."""
    name = tier or os.environ.get("RVHV_TIER") or Tier.AUTO
    if name not in list(Tier):
        raise ConfigError(f"tier {name!r} does not exist: choose {', '.join(Tier)}")
    return Tier(name)


class HartPart(Protocol):
    """What the engine needs of a hart."""

    state: memoryview[int]

    def operate(self, op: Op, a: int = 0, b: int = 0) -> int: ...
    def flush(self) -> None: ...


def attach(hart: HartPart, memory: Memory, tlb_bits: int, tier: str | None) -> Engine | None:
    """The engine of the memory, made if there is none; None when the hart stays with the interpreter."""
    chosen = chosen_tier(tier)
    if chosen is Tier.INTERP or CHECKED:
        leave_to_interpreter(memory)
        return None
    if memory.engine is LEFT_ALONE:
        return None
    if memory.engine is None:
        memory.engine = Engine(memory, tlb_bits, chosen)
    engine = memory.engine
    assert isinstance(engine, Engine)
    if not engine.attach(hart, tlb_bits):
        leave_to_interpreter(memory)
        return None
    return engine


LEFT_ALONE = object()  # in place of an engine


def leave_to_interpreter(memory: Memory) -> None:
    """A hart of the memory is not served. Code pages are the memory's, so then none is."""
    if isinstance(memory.engine, Engine):
        memory.engine.stop()
    memory.engine = LEFT_ALONE


def close_engine(memory: Memory) -> None:
    """End the translator of a memory, if it has one."""
    if isinstance(memory.engine, Engine):
        memory.engine.close()


def frame_at(memory: Memory, state: memoryview[int], pc: int) -> int:
    """The frame that pc was executed from in the context that a hart, by its state, ran last; -1: the hart has it not at hand."""
    at = state[SLOT["tlb_fetch"]] + FETCH_WORDS * (pc // PAGE & state[SLOT["tlb_mask"]])
    return memory.code.view[state[at + 1] + CODE_FRAME] if state[at] == pc & -PAGE else -1


@dataclass
class Statistics:
    """What the translator did, for people."""

    regions: int = 0
    instructions: int = 0
    code_bytes: int = 0
    installs: int = 0
    reused: int = 0  # installs in another place, or again, of what was translated
    requests: int = 0
    refused: int = 0
    from_cache: int = 0
    failed: int = 0  # by a mistake of the translator
    worker_seconds: float = 0.0


class Engine:
    """See the module. `tlb_bits`: of all harts of the memory."""

    def __init__(self, memory: Memory, tlb_bits: int, tier: Tier) -> None:
        self.memory, self.tlb_bits, self.tier = memory, tlb_bits, tier
        self.statistics = Statistics()
        self.harts: list[HartPart] = []
        self._by_entry: dict[tuple[int, bytes], list[Loaded]] = {}
        self._bytes_kept = 0  # of the code of these
        self._stopped = False
        self._process = os.getpid()
        self._frames: dict[int, FrameCode] = {}
        self._wanted: dict[int, FrameCode] = {}  # those with starts or hints, the last one first
        self._refused: dict[int, FrameCode] = {}
        self._maybe_apart: set[int] = set()  # frames
        self._asked: Job | None = None
        ready = weakref.WeakMethod(self._ready)  # another thread keeps no engine, and no guests' memory, alive

        def tell() -> None:
            if (call := ready()) is not None:
                call()

        self._tell = tell
        self._lull = Lull(tell)
        self._worker: Any = None
        self._end_worker: Callable[[], object] = lambda: None
        self._early = 0
        self._warned = False
        self._names = 0
        self._loader: Any = None
        self._cache: ObjectCache | None = None

    def attach(self, hart: HartPart, tlb_bits: int) -> bool:
        """Serve this hart. False: it stays with the interpreter."""
        if tlb_bits != self.tlb_bits:
            return False
        hart.state[SAMPLE] = EAGER_SAMPLE_STEPS if self.tier is Tier.JIT else SAMPLE_STEPS
        self.harts.append(hart)
        return True

    def translate(self, hart: HartPart, spa: int, starts: Iterable[int]) -> Loaded | None:
        """Translate, here and now, what can be reached from these offsets into the page of `spa`, and install it."""
        from rvhv.jit.work import work

        self._names += 1
        frame = (spa - self.memory.base) // PAGE
        return self._install(hart, work(Job(self._names, frame, self._bytes(frame), tuple(starts), self.tlb_bits)))

    def stop(self) -> None:
        """From now on everything is interpreted."""
        self._stopped = True
        for hart in self.harts:
            hart.state[SAMPLE] = 0
            hart.flush()
        self.close()

    def live(self, frame: int) -> dict[int, Result]:
        """The regions that can be entered in a frame, by the offsets where each can."""
        code = self._frames.get(frame)
        return {at: loaded.result for at, loaded in self._live(frame, code).items()} if code is not None else {}

    # -- between chunks

    def service(self, hart: HartPart) -> None:
        """Take what is wanted from the ring, and install what is ready."""
        hart.state[ATTENTION] = 0
        if self._process != os.getpid() and not self._stopped:
            self._worker, self._lull = None, Lull(self._tell)  # those are the parent's
            self.stop()
        if self._stopped:
            hart.state[WANTED] = 0
            return
        self._collect(hart)
        self._pardon(hart.state[STEPS])
        if self.tier is Tier.JIT:
            from rvhv.jit.work import work

            while (job := self._next_job()) is not None:
                self._finish(hart, job, work(job))
            return
        if self._worker is None and not self._is_worth_a_worker():
            return
        if self._worker is not None and self._worker.dead:
            self._give_up("its process ended")
        while self._worker is not None and (result := self._worker.take()) is not None:
            if self._asked is not None and self._asked.number == result.number:
                job, self._asked = self._asked, None
                self._finish(hart, job, result)
        while self._asked is None and (job := self._next_job() or self._union(hart)) is not None:
            if self._worker is None:
                if (found := self._find(job)) is not None:  # the worker looks for itself
                    self._finish(hart, job, found)
                    continue
                self._start_worker()
            self._asked = job
            self._worker.send(job)
        if self._refused or (self._asked is None and self._any_apart()):
            self._lull.watch()

    def _is_worth_a_worker(self) -> bool:
        """Many hot places, or few that have been hot for a while: one loop is a place or two, which is told once."""
        if self._early >= WORTH_A_WORKER or self._any_apart() or (self._wanted and self._lull.now):
            return True
        if self._wanted:
            self._lull.watch()
        return False

    def _objects(self) -> ObjectCache:
        if self._cache is None:
            from rvhv.jit.cache import ObjectCache

            self._cache = ObjectCache()
        return self._cache

    def _find(self, job: Job, spec: Spec | None = None) -> Result | None:
        """The result that an earlier run left, or of a failure."""
        from rvhv.jit.work import find, find_again

        try:
            return find(job, self._objects()) if spec is None else find_again(job, spec, self._objects())
        except Exception as error:
            return failed(job, error)

    def _collect(self, hart: HartPart) -> None:
        state = hart.state
        base = wanted_base(self.tlb_bits)
        count = state[WANTED]
        places = list(state[base : base + count])
        state[WANTED] = 0
        for place in places:
            frame, offset = divmod(place & ~(WANTED_SAMPLED | WANTED_AGAIN), PAGE)
            code = self._frames.setdefault(frame, FrameCode())
            if place & WANTED_AGAIN and self._waits(frame, code, offset):
                if frame in self._wanted:
                    self._next_is(frame, code)
                continue
            self._early += 1
            self._lull.disturb()
            self.statistics.requests += 1
            if not code.page:
                self._recall(hart, frame, code)
            if frame in self._wanted:
                self._next_is(frame, code)
            if place & WANTED_SAMPLED and self._covers(frame, code, offset):
                self._cool(frame, (offset,))  # it runs there on its way to where a region can be entered
                continue
            refused = code.is_spent(state[STEPS])
            if not refused and (
                self._reuse(hart, frame, offset) or (self._recall(hart, frame, code) and self._reuse(hart, frame, offset))
            ):
                continue
            (code.hints if place & WANTED_SAMPLED else code.starts).add(offset)
            if refused:
                self.statistics.refused += 1
                self._refused[frame] = code
                self._quieten(frame, state[STEPS])
            else:
                self._next_is(frame, code)

    def _waits(self, frame: int, code: FrameCode, offset: int) -> bool:
        """Whether a place is wanted already, refused or just being translated."""
        asked = self._asked
        return (
            offset in code.starts
            or offset in code.hints
            or (asked is not None and asked.frame == frame and (offset in asked.starts or offset in asked.hints))
        )

    def _pardon(self, steps: int) -> None:
        """What was refused, and may be translated by now."""
        for frame, code in list(self._refused.items()):
            if not code.is_spent(steps):
                self._wanted[frame] = self._refused.pop(frame)

    def _next_is(self, frame: int, code: FrameCode) -> None:
        """What runs now is translated first: a kernel that boots leaves many pages behind that were hot for a moment, and what
        is hot for longer is told again."""
        self._wanted.pop(frame, None)
        self._wanted[frame] = code

    def _entries(self, frame: int) -> int | None:
        """Where the words about entering the frame's code begin; None: none of it is decoded."""
        page = self.memory.frames.view[frame * FRAME_WORDS + FRAME_CODE]
        return CODE_ENTRIES + (page - 1) * CODE_STRIDE if page else None

    def _live(self, frame: int, code: FrameCode) -> dict[int, Loaded]:
        """The regions of the frame that no store has dropped, by the offsets where they can be entered."""
        base, words = self._entries(frame), self.memory.code.view
        live: dict[int, Loaded] = {}
        for address, loaded in list(code.installed.items()):
            entries = [] if base is None else [at for at in loaded.result.entries if words[base + at // 2] == address]
            if not entries:
                del code.installed[address]
            live |= dict.fromkeys(entries, loaded)
        return live

    def _covers(self, frame: int, code: FrameCode, offset: int) -> bool:
        """Whether a region that is there was made from the instruction at `offset`."""
        base, words = self._entries(frame), self.memory.code.view
        line = offset // LINE
        return base is not None and any(
            loaded.result.cover >> line & 1
            and any(start <= offset < start + len(data) for start, data in loaded.result.ranges)
            and any(words[base + at // 2] == address for at in loaded.result.entries)
            for address, loaded in code.installed.items()
        )

    def _look_up(self, code: FrameCode, page: bytes) -> bool:
        """What was translated of a page with these bytes, if they are not those that were looked up last."""
        if self.tier is not Tier.AUTO or page == code.page:
            return False
        code.page, code.specs = page, self._objects().recall(page, self.tlb_bits)
        return True

    def _recall(self, hart: HartPart, frame: int, code: FrameCode) -> bool:
        """Install what an earlier run translated of the page, when it is new. Whether there was anything."""
        changed, page = bool(code.page), self._bytes(frame)
        if not self._look_up(code, page) or not code.specs:
            return False
        code.translations += changed  # it takes as long as finding out what a short one is made of
        for i, spec in enumerate(code.specs):
            self._names += 1
            job = Job(self._names, frame, page, spec.starts, self.tlb_bits, spec.hints, spec.stops, spec.most)
            found = self._find(job, spec)
            if found is None or not found.code:
                del code.specs[i:]
                break
            self._install(hart, found)
            self._cool(frame, (*spec.starts, *spec.hints))
        return True

    def _bytes(self, frame: int, start: int = 0, length: int = PAGE) -> bytes:
        return self.memory.read(self.memory.base + frame * PAGE + start, length)

    def _reuse(self, hart: HartPart, frame: int, offset: int) -> bool:
        """Install a region that is known already, if the bytes of this frame are those it was made from."""
        first = self._bytes(frame, offset, LEAST_LENGTH)
        for loaded in reversed(self._by_entry.get((offset, first), [])[-MOST_VARIANTS:]):
            if self._matches(frame, loaded.result):
                self.statistics.reused += 1
                self._enter(hart, frame, loaded)
                self._frames[frame].note_install()
                return True
        return False

    def _quieten(self, frame: int, steps: int) -> None:
        """Asking costs the guests something too: nothing of the frame is asked for until a translation is forgotten."""
        if (base := self._entries(frame)) is not None:
            self.memory.code.view[base - CODE_ENTRIES + CODE_QUIET] = steps + frame_code.STEPS_A_TRANSLATION

    def _known(self, result: Result) -> Loaded | None:
        """The same region, from earlier."""
        for loaded in self._by_entry.get((result.entries[0], next(result.firsts())), ()):
            if loaded.result.same(result):
                return loaded
        return None

    def _matches(self, frame: int, result: Result) -> bool:
        return all(self._bytes(frame, start, len(data)) == data for start, data in result.ranges)

    def _next_job(self) -> Job | None:
        if not self._wanted:
            return None
        frame, code = self._wanted.popitem()
        starts, hints = tuple(sorted(code.starts)), tuple(sorted(code.hints))
        code.starts, code.hints = set(), set()
        code.translations += 1
        self._names += 1
        page = self._bytes(frame)
        self._look_up(code, page)
        if self.tier is Tier.JIT and code.translations == UNITE_AT:
            before = self._roots(frame, code)
            starts, hints = tuple(sorted({*starts, *before[0]})), tuple(sorted({*hints, *before[1]}))
            return Job(self._names, frame, page, starts, self.tlb_bits, hints, (), MOST_UNITED)
        return Job(self._names, frame, page, starts, self.tlb_bits, hints, tuple(sorted(self._live(frame, code))))

    def _roots(self, frame: int, code: FrameCode) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """The starts and hints of the regions that no store has dropped."""
        results = [loaded.result for loaded in {id(loaded): loaded for loaded in self._live(frame, code).values()}.values()]
        return tuple(sorted({s for r in results for s in r.starts})), tuple(sorted({h for r in results for h in r.hints}))

    def _any_apart(self) -> bool:
        self._maybe_apart = {frame for frame in self._maybe_apart if self._frames[frame].is_apart}
        return bool(self._maybe_apart)

    def _union(self, hart: HartPart) -> Job | None:
        """One region in place of a frame's. Only where the hart is found running in a lull: it takes as long as they did."""
        frame = frame_at(self.memory, hart.state, hart.state[SLOT["pc"]])
        code = self._frames.get(frame)
        if not self._lull.now or code is None or not code.is_apart:
            return None
        starts, hints = self._roots(frame, code)
        code.apart = 0
        if len(code.installed) < 2:
            return None
        code.apart = -1  # it is one itself
        code.united += 1
        code.translations += 1
        self._names += 1
        page = self._bytes(frame)
        self._look_up(code, page)
        return Job(self._names, frame, page, starts, self.tlb_bits, hints, (), MOST_UNITED)

    def _cool(self, frame: int, offsets: Iterable[int]) -> None:
        """What was not made an entry may become hot again."""
        base, words = self._entries(frame), self.memory.code.view
        if base is None:
            return
        for offset in offsets:
            if words[base + offset // 2] < LEAST_ENTRY:
                words[base + offset // 2] = 0

    def _forgo(self, job: Job) -> None:
        """These places are not asked for again, unless a store changes them."""
        base, words = self._entries(job.frame), self.memory.code.view
        if base is None or self._bytes(job.frame) != job.page:
            return
        for offset in (*job.starts, *job.hints):
            if words[base + offset // 2] < LEAST_ENTRY:
                words[base + offset // 2] = HEAT_NEVER
                # an instruction may go on in the next line
                words[base - CODE_ENTRIES + CODE_COVER + offset // 2] = 1 << offset // LINE | 1 << (offset + 2) % PAGE // LINE

    def _finish(self, hart: HartPart, job: Job, result: Result) -> None:
        if result.error:
            self.statistics.failed += 1
            self._warn(f"a region cannot be translated ({result.error}): it is interpreted")
        if not result.code:
            self._frames.setdefault(job.frame, FrameCode()).translations -= 1
            if not result.for_now:
                self._forgo(job)
            return
        self._install(hart, result)
        code = self._frames.setdefault(job.frame, FrameCode())
        if self.tier is Tier.AUTO and job.page == code.page:
            # a union takes the place of what it was made of
            specs = [] if job.most == MOST_UNITED else code.specs
            spec = spec_of(job, result)
            specs = specs if spec in specs else [*specs, spec]
            if specs != code.specs and len(specs) <= MOST_SPECS:
                code.specs = specs
                self._objects().remember(job.page, self.tlb_bits, specs)
        self._cool(job.frame, (*job.starts, *job.hints))

    def _warn(self, why: str) -> None:
        """Once: what follows has the same reason."""
        if not self._warned:
            self._warned = True
            log.warning("%s", why)

    def _install(self, hart: HartPart, result: Result) -> Loaded | None:
        if not result.code:
            return None
        if result.warning:
            self._warn(result.warning)
        if (known := self._known(result)) is not None:
            self.statistics.reused += 1
            if self._matches(result.frame, result):
                self._enter(hart, result.frame, known)
            return known
        statistics = self.statistics
        statistics.worker_seconds += result.seconds
        statistics.regions += 1
        statistics.from_cache += result.cached
        statistics.instructions += result.instructions
        statistics.code_bytes += len(result.code)
        size = max(len(result.code), LEAST_CODE)
        if self._bytes_kept + size > MOST_CODE:
            self._drop_all()
        self._bytes_kept += size
        loaded = self._load(result)
        for entry in zip(result.entries, result.firsts(), strict=True):
            self._by_entry.setdefault(entry, []).append(loaded)
        if self._matches(result.frame, result):
            self._enter(hart, result.frame, loaded)
        return loaded

    def _load(self, result: Result) -> Loaded:
        if self._loader is None:
            from rvhv.jit.loader import Loader

            self._loader = Loader()
        address, tracker = self._loader.load(result.code)
        return Loaded(result, address, tracker)

    def _enter(self, hart: HartPart, frame: int, loaded: Loaded) -> None:
        self.statistics.installs += 1
        code = self._frames.setdefault(frame, FrameCode())
        if loaded.address not in code.installed:
            self._live(frame, code)
            code.installed[loaded.address] = loaded
            code.apart += 1
            self._maybe_apart.add(frame)
        hart.operate(Op.COVER, frame, loaded.result.cover)
        for entry in loaded.result.entries:
            hart.operate(Op.INSTALL, frame * PAGE + entry, loaded.address)

    def _drop_all(self) -> None:
        """Give the memory of all regions back; what is still hot comes again."""
        for hart in self.harts:
            hart.flush()
        self._by_entry.clear()
        self._loader = None  # LLVM keeps something of each library
        self._bytes_kept = 0
        for code in self._frames.values():
            code.installed.clear()

    # -- the worker

    def _start_worker(self) -> None:
        from rvhv.jit.worker import Worker

        try:
            self._worker = Worker(self._tell)
        except OSError as error:
            self._give_up(str(error))
            return
        self._end_worker = weakref.finalize(self, self._worker.close)

    def _give_up(self, why: str) -> None:
        """What is translated stays; the rest is interpreted from now on."""
        log.warning("no process for the translator (%s): guests are interpreted", why)
        self._asked = None
        self.close()

    def _ready(self) -> None:
        """From the worker's thread: a result has come."""
        for hart in self.harts:
            hart.state[ATTENTION] = 1

    def close(self) -> None:
        """End the worker. Guests may go on, and what is hot stays with the interpreter. May be called twice."""
        from rvhv.jit.worker import NoWorker

        self._lull.end()
        self._end_worker()
        self._worker = NoWorker()
