"""Lab 2: the G-stage. Judged by walks through the tables in memory and by accesses that a hart makes."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence

from rvhv.core.memory import RAM_BASE
from rvhv.errors import InternalError
from rvhv.grade.check import Bench, Checks, Lost, number
from rvhv.grade.probe import PROGRAMS, Probe, offered_fence, offered_frames, offered_memory
from rvhv.hext.walks.record import Walk
from rvhv.hv import Hypervisor
from rvhv.hv.gstage import PAGE, RIGHTS, Fencer, GStage, Sv39x4, block
from rvhv.machine.memory import FrameAllocator, Memory

CHECKS = Checks()
MIB, GIB = 1 << 20, 1 << 30
LOW_BITS = 39  # gpas that the first 512 entries of the root are enough for
NEEDS = {"load": "r", "store": "w", "fetch": "x"}
ROOT = 16 << 10
SIZES = {PAGE: "4 KiB", block(1): "2 MiB", block(2): "1 GiB"}
HELLO_STEPS = 10_000_000
VMID_BITS = 14


class Stage:
    """The student's G-stage on a machine of its own."""

    def __init__(self, bench: Bench, size: int = 8 * MIB, *, start: int = 0, crooked: bool = False) -> None:
        self.rng, self.part = bench.rng, bench.part
        self.probe = Probe(size, bench.rng.randrange(1, 1 << VMID_BITS), start=start)
        bench.target, bench.look = self.probe, "map"
        self.frames = self.probe.frames
        # another VM's. What comes next is aligned like a root, but in the check that is about that
        while self.frames.available * PAGE % ROOT != (self.rng.choice((1, 2, 3)) * PAGE if crooked else 0):
            self.frames.alloc()
        self.others = set(self.frames.out)
        part = bench.part
        part.make(
            part.offer(offered_memory(self.probe.memory)),
            part.offer(offered_frames(self.frames)),
            part.offer(offered_fence(self.probe.hfence_gvma)),
        )
        self.root = number(part.get("root"), "`root`")
        if self.root % PAGE or self.root not in self.frames.out:
            raise Lost("`root` to be the address of frames from `frames.alloc`", f"it is {self.root:#x}")
        self.probe.use(self.root)

    # what the hypervisor asks of it

    def map(self, gpa: int) -> int:
        spa = number(self.part.call("map", gpa), f"what map({gpa:#x}) returns")
        if spa % PAGE or spa not in self.frames.out or spa in self.others:
            raise Lost(
                f"map({gpa:#x}) to return the address of the frame behind the page, one of those it has from frames.alloc()",
                f"it returned {spa:#x}",
                walk(gpa),
            )
        return spa

    def frame(self, gpa: int) -> int | None:
        spa = self.part.call("frame", gpa)
        return None if spa is None else number(spa, f"what frame({gpa:#x}) returns")

    def give(self, gpa: int, size: int, rights: str = "rwx", *, align: int = PAGE) -> int:
        """map_range, with frames of a spa aligned like that."""
        spa = self.frames.alloc(size // PAGE, align // PAGE)
        self.part.call("map_range", gpa, spa, size, rights)
        return spa

    def unmap(self, gpa: int, size: int) -> None:
        self.probe.fenced.clear()
        self.part.call("unmap", gpa, size)

    def protect(self, gpa: int, size: int, rights: str) -> None:
        self.probe.fenced.clear()
        self.part.call("protect", gpa, size, rights)

    # what is looked at

    def must_reach(self, gpa: int, spa: int, rights: str = "rwx", after: str = "") -> None:
        """Each access that the rights allow arrives, on the hart too; each other is refused."""
        after = after or f"map({gpa:#x})"
        for kind, need in NEEDS.items():
            wanted = f"a {kind} at gpa {gpa:#x} to arrive at {spa:#x} after {after}"
            walk_, answer = self.probe.walk(gpa, kind), self.probe.access(kind, gpa & -8, 0x5A)
            if need in rights:
                if walk_.spa is None or answer.cause is not None:
                    raise Lost(wanted, refusal(walk_), walk(gpa, kind))
                if walk_.spa != spa:
                    raise Lost(wanted, f"it arrives at {walk_.spa:#x}: {steps(walk_)}", walk(gpa, kind))
            elif walk_.spa is not None or answer.cause is None:
                raise Lost(
                    f'a {kind} at gpa {gpa:#x} to be refused, since its rights are "{rights}" after {after}',
                    f"it arrives: {steps(walk_)}",
                    walk(gpa, kind),
                )

    def must_refuse(self, gpas: Iterable[int], after: str) -> None:
        for gpa in gpas:
            found = self.probe.walk(gpa)
            if found.spa is not None:
                raise Lost(
                    f"gpa {gpa:#x} to have no page after {after}",
                    f"a load arrives at {found.spa:#x}: {steps(found)}",
                    walk(gpa),
                )

    def must_be_fenced(self, after: str) -> None:
        if self.probe.missing:
            report = self.probe.missing[0]
            gpa = report.address & -PAGE
            came = [f"hfence_gvma({'' if at is None else hex(at)})" for at in self.probe.fenced[-4:]]
            raise Lost(
                f"a fence for gpa {gpa:#x} after its PTE was changed, by {after}: a hart may still use the old one",
                f"the hart went on with the PTE {report.old:#x} from its TLB, while memory has {report.new:#x}; "
                f"fences that came: {', '.join(came) if came else 'none'}",
                walk(gpa),
            )


def walk(gpa: int, kind: str = "load") -> str:
    """The debugger's command for it."""
    return f"walk g:{gpa:#x}" + ("" if kind == "load" else f" {kind}")


def refusal(found: Walk) -> str:
    return f"it is refused: {found.refused}" if found.refused else "the hart raised an exception"


def steps(found: Walk) -> str:
    """The PTEs of a walk in a line."""
    ptes = [f"level {a.level} index {a.index}: {a.pte:#x}" for a in found.accesses if a.pte is not None]
    return "PTEs " + ", ".join(ptes)


def pages(rng: random.Random, count: int, *, least: int = 0, most: int = 1 << LOW_BITS) -> list[int]:
    """Different page addresses."""
    return [PAGE * n for n in rng.sample(range(least // PAGE, most // PAGE), count)]


def inside(rng: random.Random, gpa: int, size: int = PAGE) -> int:
    """An address in it, aligned to 8 bytes."""
    return gpa + 8 * rng.randrange(size // 8)


@CHECKS.add("the root table is 16 KiB at a 16 KiB boundary", 1)
def root(bench: Bench) -> None:
    stage = Stage(bench, crooked=True)
    if stage.root % ROOT:
        raise Lost(
            "`root` to be a multiple of 16 KiB: hgatp has no room for its low bits",
            f"it is {stage.root:#x}, so the hart would use {stage.root & -ROOT:#x}",
            "csr hgatp",
        )
    missing = [f for f in range(stage.root, stage.root + ROOT, PAGE) if f not in stage.frames.out]
    if missing:
        raise Lost("the root to be four frames, allocated together", f"{missing[0]:#x} belongs to nobody", f"x {missing[0]:#x}")
    stage.must_refuse(pages(stage.rng, 4), "nothing was mapped")


@CHECKS.add("a page that is touched for the first time gets a frame, for loads, stores and fetches", 3)
def map_pages(bench: Bench) -> None:
    stage = Stage(bench)
    gpas = pages(stage.rng, 12, most=1 << 32)
    gpas += [gpas[0] ^ PAGE, gpas[1] ^ block(1), gpas[2] ^ block(2)]
    spas: dict[int, int] = {}
    for gpa in gpas:
        asked = gpa + stage.rng.randrange(PAGE)
        spa = stage.map(asked)
        if spa in spas.values():
            raise Lost(f"map({asked:#x}) to take a frame", f"it gave {spa:#x}, which is another page's", walk(gpa))
        spas[gpa] = spa
        at = inside(stage.rng, gpa)
        stage.must_reach(at, spa + at - gpa, after=f"map({asked:#x})")
    for gpa, spa in spas.items():
        at = inside(stage.rng, gpa)
        stage.must_reach(at, spa + at - gpa, after="other pages were mapped")
        if (again := stage.map(gpa)) != spa:
            raise Lost(f"map({gpa:#x}) to return {spa:#x} again: the page has a frame", f"it returned {again:#x}", walk(gpa))
    neighbours = {gpa + d for gpa in gpas for d in (PAGE, block(1), block(2))} - set(gpas)
    stage.must_refuse(sorted(neighbours)[:12], "only other pages were mapped")
    stage.must_be_fenced("map")


@CHECKS.add("guest physical addresses of 41 bits: the root has 2048 entries", 2)
def wide_root(bench: Bench) -> None:
    stage = Stage(bench)
    low = pages(stage.rng, 1)[0]
    for gpa in [low, *(low | high << 39 for high in (1, 2, 3))]:
        spa = stage.map(gpa)
        stage.must_reach(gpa, spa, after=f"map({gpa:#x}), whose index in the root is {gpa >> 30} of 2048")
    stage.must_refuse([(low | high << 39) ^ PAGE for high in range(4)], "only their neighbours were mapped")


@CHECKS.add("`frame` knows which pages have a frame, and takes none", 1)
def frame(bench: Bench) -> None:
    stage = Stage(bench, 16 * MIB)
    gpas = pages(stage.rng, 6)
    before = set(stage.frames.out)
    for gpa in gpas:
        if (got := stage.frame(gpa)) is not None:
            raise Lost(f"frame({gpa:#x}) to be None: nothing is mapped there", f"it is {got:#x}", walk(gpa))
    if stage.frames.out != before:
        raise Lost("frame to look only", "frames were allocated in it")
    for gpa in gpas:
        spa = stage.map(gpa)
        at = gpa + stage.rng.randrange(PAGE)
        if (got := stage.frame(at)) != spa:
            raise Lost(f"frame({at:#x}) to be {spa:#x}, which map({gpa:#x}) returned", f"it is {shown(got)}", walk(gpa))
    gpa = block(1) * stage.rng.randrange(1 << 16, 1 << 17)
    spa = stage.give(gpa, block(1), align=block(1))
    at = gpa + PAGE * stage.rng.randrange(1, 512)
    if (got := stage.frame(at)) != spa + at - gpa:
        raise Lost(f"frame({at:#x}) to be {spa + at - gpa:#x}, in the superpage at {spa:#x}", f"it is {shown(got)}", walk(at))


def shown(spa: int | None) -> str:
    return "None" if spa is None else f"{spa:#x}"


@CHECKS.add("map_range uses the largest leaves that fit: 1 GiB, 2 MiB, 4 KiB", 3)
def superpages(bench: Bench) -> None:
    rng = bench.rng
    stage = Stage(bench, 2 * GIB + 64 * MIB, start=GIB)
    # 2 MiB with ragged ends
    head, tail = rng.randrange(1, 8) * PAGE, rng.randrange(1, 8) * PAGE
    gpa = block(1) * rng.randrange(1 << 17) + block(1) - head
    _range(stage, gpa, 2 * block(1) + head + tail, stage.frames.alloc(3 * 512 + 512, 512) + block(1) - head)
    # gpa and spa that are not aligned to each other: small pages only
    gpa = (1 << 38) + block(1) * rng.randrange(1 << 16)
    _range(stage, gpa, block(1), stage.frames.alloc(1024, 512) + PAGE * rng.randrange(1, 512))
    # a gigabyte, and 2 MiB behind it
    gpa = block(2) * rng.randrange(400, 500)
    _range(stage, gpa, block(2) + block(1), stage.probe.memory.base + GIB, allocated=False)
    stage.must_be_fenced("map_range")


def _range(stage: Stage, gpa: int, size: int, spa: int, *, allocated: bool = True) -> None:
    """Map it, and look at its leaves."""
    if not allocated:
        stage.frames.out.update(range(spa, spa + size, PAGE))
    stage.part.call("map_range", gpa, spa, size, "rwx")
    called = f"map_range({gpa:#x}, {spa:#x}, {size:#x}, 'rwx')"
    for at, leaf in _probes(stage.rng, gpa, spa, size):
        stage.must_reach(at, spa + at - gpa, after=called)
        found = stage.probe.walk(at)
        if found.reached is not None and found.reached.page_size != leaf:
            raise Lost(
                f"a leaf of {SIZES[leaf]} at gpa {at:#x} after {called}",
                f"it is one of {SIZES[found.reached.page_size]}: {steps(found)}",
                walk(at),
            )
    stage.must_refuse((gpa - PAGE, gpa + size), called)


def _probes(rng: random.Random, gpa: int, spa: int, size: int) -> Sequence[tuple[int, int]]:
    """(gpa, size of the leaf) in each stretch of leaves of a size."""
    found, at = [], gpa
    while at < gpa + size:
        leaf = max(n for n in SIZES if (at | spa + at - gpa) % n == 0 and at + n <= gpa + size)
        if leaf > PAGE or rng.random() < 0.03 or at in (gpa, gpa + size - PAGE):
            found.append((inside(rng, at, leaf), leaf))
        at += leaf
    return found


@CHECKS.add("rights: what map_range and protect do not allow is refused, in small pages and superpages", 3)
def rights(bench: Bench) -> None:
    stage = Stage(bench, 32 * MIB)
    rng = stage.rng
    for given in rng.sample(list(RIGHTS), len(RIGHTS)):
        gpa = pages(rng, 1)[0]
        spa = stage.give(gpa, 2 * PAGE, given)
        at = inside(rng, gpa, 2 * PAGE)
        stage.must_reach(at, spa + at - gpa, given, f"map_range of it with {given!r}")
    gpa = block(1) * rng.randrange(1 << 16, 1 << 17)
    spa = stage.give(gpa, block(1), "rwx", align=block(1))
    for given in rng.sample(list(RIGHTS), 3):
        at = inside(rng, gpa, block(1))
        stage.probe.warm = [at]
        stage.protect(gpa, block(1), given)
        stage.must_reach(at, spa + at - gpa, given, f"protect({gpa:#x}, {block(1):#x}, {given!r})")
        stage.must_be_fenced("protect")
    first = rng.randrange(1, 500)
    part = gpa + first * PAGE
    stage.protect(gpa, block(1), "rw")
    stage.protect(part, 3 * PAGE, "r")
    for at, wanted in ((part - 8, "rw"), (part, "r"), (part + 3 * PAGE - 8, "r"), (part + 3 * PAGE, "rw")):
        stage.must_reach(at, spa + at - gpa, wanted, f"protect({part:#x}, {3 * PAGE:#x}, 'r') in a superpage")
    stage.must_be_fenced("protect of a part of a superpage")


@CHECKS.add("unmap takes every page of the range away, and no other", 2)
def unmap(bench: Bench) -> None:
    stage = Stage(bench, 32 * MIB)
    rng = stage.rng
    gpa = pages(rng, 1)[0] // block(1) * block(1) + PAGE * rng.randrange(1, 256)
    spas = {at: stage.map(at) for at in range(gpa, gpa + 12 * PAGE, PAGE) if at == gpa or rng.random() < 0.8}
    first = rng.randrange(1, 4)
    start, size = gpa + first * PAGE, rng.randrange(4, 8) * PAGE
    stage.unmap(start, size)
    called = f"unmap({start:#x}, {size:#x})"
    stage.must_refuse((at for at in spas if start <= at < start + size), called)
    for at, spa in spas.items():
        if start <= at < start + size:
            if stage.frame(at) is not None:
                raise Lost(f"frame({at:#x}) to be None after {called}", "it still names a frame", walk(at))
        else:
            stage.must_reach(at, spa, after=called)
    # the same in a superpage: what is left of it stays
    gpa = block(1) * rng.randrange(1 << 16, 1 << 17)
    spa = stage.give(gpa, block(1), "rw", align=block(1))
    part, size = gpa + PAGE * rng.randrange(1, 400), PAGE * rng.randrange(1, 9)
    stage.unmap(part, size)
    called = f"unmap({part:#x}, {size:#x}) in a superpage"
    stage.must_refuse(range(part, part + size, PAGE), called)
    for at in (gpa, part - PAGE, part + size, gpa + block(1) - PAGE):
        stage.must_reach(at, spa + at - gpa, "rw", called)


@CHECKS.add("unmap fences what it took away", 3)
def unmap_fences(bench: Bench) -> None:
    stage = Stage(bench, 32 * MIB)
    rng = stage.rng
    gpa = pages(rng, 1, least=1 << 32)[0]
    size = 5 * PAGE
    for at in range(gpa, gpa + size, PAGE):
        stage.map(at)
    stage.probe.warm = list(range(gpa, gpa + size, PAGE))
    for at in stage.probe.warm:
        stage.probe.access("load", at)
    stage.unmap(gpa, size)
    for at in stage.probe.warm:
        stage.probe.access("load", at)
    stage.must_be_fenced(f"unmap({gpa:#x}, {size:#x})")
    gpa = block(1) * rng.randrange(1 << 16, 1 << 17)
    stage.give(gpa, block(1), "rwx", align=block(1))
    part = gpa + PAGE * rng.randrange(1, 500)
    stage.probe.warm = [part, gpa]
    for at in stage.probe.warm:
        stage.probe.access("load", at)
    stage.unmap(part, PAGE)
    for at in stage.probe.warm:
        stage.probe.access("load", at)
    stage.must_be_fenced(f"unmap({part:#x}, {PAGE:#x}) in a superpage")


@CHECKS.add("a page that comes back is empty: nobody sees what was there before", 1)
def fresh_pages(bench: Bench) -> None:
    stage = Stage(bench)
    gpas = pages(stage.rng, 4, most=1 << 38)
    secret = stage.rng.getrandbits(64) | 1
    for gpa in gpas:
        stage.map(gpa)
        stage.probe.access("store", gpa + 8, secret)
        stage.unmap(gpa, PAGE)
        spa = stage.map(gpa)
        answer = stage.probe.access("load", gpa + 8)
        if answer.cause is not None or answer.value:
            raise Lost(
                f"the page at gpa {gpa:#x} to be all zeros when it is mapped again: its frame may have been another VM's",
                "it faults" if answer.cause else f"the guest reads {answer.value:#x} in it, which was stored before unmap",
                walk(gpa) if answer.cause else f"x h:{spa:#x}",
            )


@CHECKS.add("release gives every frame back, tables too, and each once", 2)
def release(bench: Bench) -> None:
    stage = Stage(bench, 32 * MIB)
    rng = stage.rng
    for gpa in pages(rng, 10):
        stage.map(gpa)
    gpa = block(1) * rng.randrange(1 << 16)
    stage.give(gpa, block(1), align=block(1))
    stage.unmap(gpa + PAGE * rng.randrange(1, 500), PAGE)
    given = pages(rng, 1, most=1 << 36)[0]
    stage.unmap(given, 0)
    stage.part.call("release")
    left = stage.frames.out - stage.others
    if left:
        first = min(left)
        raise Lost("every frame to be free after release()", f"{len(left)} are still in use, {first:#x} first", f"x h:{first:#x}")
    if stage.others - stage.frames.out:
        raise Lost("release() to free its own frames", "it freed another VM's")


@CHECKS.add("a guest runs on it from its first instruction to its last, with the exits that it has on ours", 3)
def hosts_a_guest(bench: Bench) -> None:
    ours = _host(bench, Sv39x4)
    theirs = _host(bench, lambda *machine: _Hosting(bench, *machine))
    vm, other = theirs.vms[0], ours.vms[0]
    if vm.reason != other.reason:
        raise Lost(f"the guest `hello` to end with: {other.reason}", f"it ended with: {vm.reason}", "exits")
    if theirs.trace_hash() != ours.trace_hash():
        raise Lost(f"the same exits: {other.exit_counts}", f"exits that differ: {vm.exit_counts}", "exits")
    assert theirs.fences is not None
    if theirs.fences.reports:
        raise Lost("no access to depend on a missing fence", theirs.fences.reports[0].sentence(), "exits")


def _host(bench: Bench, make: Callable[[Memory, FrameAllocator, Fencer], GStage]) -> Hypervisor:
    hv = bench.target = Hypervisor("16M", gstage=make, check_fences=True)
    hv.create("hello", memory="4M")
    hv.run(HELLO_STEPS)
    return hv


class _Hosting:
    """The part as the G-stage of a VM."""

    def __init__(self, bench: Bench, memory: Memory, frames: FrameAllocator, hfence_gvma: Fencer) -> None:
        part = self._part = bench.part
        if frames.alloc(PROGRAMS // PAGE) != RAM_BASE:  # where a part in C is
            raise InternalError("the part's own memory is not where it is linked to be")
        part.make(
            part.offer(offered_memory(memory)),
            part.offer(offered_frames(frames)),
            part.offer(offered_fence(hfence_gvma)),
        )
        self._memory = memory
        self.root = self._inside(part.get("root"), "`root`")

    def _inside(self, spa: object, what: str) -> int:
        value = number(spa, what)
        if value % PAGE or not self._memory.base <= value < self._memory.base + self._memory.size:
            raise Lost(f"{what} to be the address of a frame", f"it is {value:#x}")
        return value

    def map(self, gpa: int) -> int:
        return self._inside(self._part.call("map", gpa), f"what map({gpa:#x}) returns")

    def frame(self, gpa: int) -> int | None:
        spa = self._part.call("frame", gpa)
        return None if spa is None else self._inside(spa, f"what frame({gpa:#x}) returns")

    def map_range(self, gpa: int, spa: int, size: int, rights: str) -> None:
        self._part.call("map_range", gpa, spa, size, rights)

    def unmap(self, gpa: int, size: int) -> None:
        self._part.call("unmap", gpa, size)

    def protect(self, gpa: int, size: int, rights: str) -> None:
        self._part.call("protect", gpa, size, rights)

    def release(self) -> None:
        self._part.call("release")
