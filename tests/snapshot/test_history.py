"""Going back: any sequence of runs and returns comes to the identical state, in both kinds of machines and both tiers."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvhv import Hypervisor
from rvhv.boot.loader import Software, prepare
from rvhv.core.memory import Memory
from rvhv.core.registry import ISA
from rvhv.core.stop_table import Access
from rvhv.cpu.state import ARCH_WORDS, SLOT
from rvhv.errors import SnapshotError
from rvhv.images import image_path
from rvhv.isa.render.asm import Assembler
from rvhv.machine import virt_board
from rvhv.machine.disk import DiskImage
from rvhv.machine.virt import Machine
from rvhv.snapshot import History, Why
from rvhv.snapshot import history as module
from rvhv.snapshot.digest import describe, digest
from rvhv.virtio.slots import fill_slots

MEMORY = 32 << 20


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many snapshots, whatever the clock says."""
    monkeypatch.setattr(module, "SPACING", 0.002)
    monkeypatch.setattr(module, "COST_SHARE", 0)


@contextmanager
def hosted(folder: Path, tier: str, clock: str = "machine") -> Iterator[Hypervisor]:
    disk = folder / f"disk-{tier}-{clock}.raw"
    if not disk.exists():
        disk.write_bytes(random.Random(3).randbytes(1 << 18))
    with Hypervisor("20M", tier=tier, clock=clock, slice_steps=20_000, seed=4) as hv:
        for name in ("hello", "tasks", "rogue"):
            hv.create(name, memory="16M")
        hv.create("disk", memory="16M", disk=disk)
        yield hv


@contextmanager
def bare(name: str, harts: int, tier: str, disk: DiskImage | None = None) -> Iterator[Machine]:
    size = 128 << 20 if name == "monitor" else MEMORY
    machine = Machine(Memory(size), harts=harts, tier=tier)
    fill_slots(machine, [] if disk is None else [disk], 0)
    prepare(Software(image_path(name)), memory=size, harts=harts).start(machine)
    yield machine
    machine.close()


class Walk:
    """A random walk through the time of a machine; the same moment is the same state each time."""

    def __init__(self, root: Hypervisor | Machine, **options: Any) -> None:
        self.root = root
        self.said: list[str] = []
        self.history = History(root, say=self.said.append, **options)
        self.seen: dict[Any, tuple[str, list[str]]] = {}
        self.note()

    def note(self) -> None:
        key = (self.history.now, self.history._applied)
        now = digest(self.root), describe(self.root)
        then = self.seen.setdefault(key, now)
        assert then[0] == now[0], (key, [pair for pair in zip(then[1], now[1], strict=False) if pair[0] != pair[1]][:6])

    def do(self, rng: random.Random, reach: int) -> None:
        history = self.history
        steps = rng.choice((0, 1, 2, 17, 1000, 33_333, 400_000))
        match rng.randrange(4):
            case 0 | 1:
                history.run(steps)
            case 2:
                history.back(min(steps, history.now.steps - history.begins))
            case 3:
                history.goto(rng.randrange(history.begins, max(history.begins + 1, min(reach, history.furthest + 1))))
        self.note()
        for _ in range(2):
            if self.seen and rng.random() < 0.3:
                (moment, _), _ = rng.choice(list(self.seen.items()))
                if moment.steps >= history.begins and moment.steps <= history.furthest:
                    history.goto(moment)
                    self.note()


@pytest.mark.parametrize("clock", ["machine", "vm"])
def test_hosted_guests_translated(tmp_path: Path, clock: str) -> None:
    """Translating everything at once is slow: a short walk, and the interpreter goes the same way."""
    hashes = []
    for tier in ("jit", "interp"):
        with hosted(tmp_path, tier, clock) as hv:
            walk = Walk(hv)
            walk.history.run(500_000)
            walk.note()
            rng = random.Random(clock)
            for _ in range(8):
                walk.do(rng, 700_000)
            walk.history.goto(walk.history.furthest)
            hashes.append((digest(hv), walk.history.now))
            walk.history.close()
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize("tier", ["interp", "auto"])
@pytest.mark.parametrize("clock", ["machine", "vm"])
def test_hosted_guests(tmp_path: Path, tier: str, clock: str) -> None:
    with hosted(tmp_path, tier, clock) as hv:
        walk = Walk(hv)
        walk.history.run()
        assert hv.finished
        end, reasons = hv.trace_hash(), [vm.reason for vm in hv.vms]
        walk.note()
        rng = random.Random(f"{tier} {clock}")
        for _ in range(25):
            walk.do(rng, 16_000_000)
        walk.history.run()
        assert (hv.trace_hash(), [vm.reason for vm in hv.vms]) == (end, reasons)
        walk.note()
        walk.history.goto(0)
        assert all(vm.stopped is None for vm in hv.vms)
        walk.note()
        walk.history.close()
    with hosted(tmp_path, tier, clock) as again:
        again.run()
        assert again.trace_hash() == end  # recording changed nothing


@pytest.mark.parametrize(
    ("name", "harts", "tier"),
    [("smp", 2, "interp"), ("smp", 2, "jit"), ("smp", 4, "jit"), ("monitor", 1, "interp"), ("monitor", 1, "auto")],
)
def test_bare_machines(name: str, harts: int, tier: str) -> None:
    with bare(name, harts, tier) as machine:
        walk = Walk(machine)
        walk.history.run(3_000_000)
        walk.note()
        rng = random.Random(f"{tier} {name} {harts}")
        for _ in range(20):
            walk.do(rng, 4_000_000)
        walk.history.run()
        end = machine.trace_hash()
        walk.history.close()
    with bare(name, harts, tier) as again:
        while again.end is None:
            again.run(1_000_000)
        assert again.trace_hash() == end


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.sampled_from(["hosted", "bare"]),
    st.sampled_from(["interp", "jit"]),
    st.lists(st.one_of(st.tuples(st.sampled_from(["run", "back", "goto"]), st.integers(0, 300_000)),
                       st.tuples(st.sampled_from(["type", "mark", "poke"]), st.integers(0, 255))), max_size=14),
)  # fmt: skip
def test_any_sequence_with_input(tmp_path_factory: pytest.TempPathFactory, kind: str, tier: str, sequence: list[Any]) -> None:
    """What is typed and changed happens again where it did; in the past it makes another future."""
    folder = tmp_path_factory.mktemp("disks")
    with hosted(folder, tier) if kind == "hosted" else bare("smp", 2, tier) as root:
        walk = Walk(root, limit=8 << 20)
        history = walk.history
        for what, n in sequence:
            if what == "run":
                history.run(n)
            elif what == "back":
                history.back(min(n, history.now.steps - history.begins))
            elif what == "goto":
                history.goto(min(max(n, history.begins), history.furthest))
            elif what == "mark":
                history.bookmark(str(n % 3))
            else:
                walk.seen = {k: v for k, v in walk.seen.items() if k <= (history.now, history._applied)}
                if what == "type":
                    (root.vms[1] if isinstance(root, Hypervisor) else root).feed(bytes([n]))
                else:
                    spa = root.memory.base + root.memory.size - 4096 + n
                    history.change(lambda spa=spa, n=n: root.memory.write(spa, bytes([n])), "poke")  # type: ignore[misc]
            walk.note()
        for mark in list(history.bookmarks.values()):
            history.goto(mark)
            walk.note()
        for (moment, applied), _ in list(walk.seen.items()):
            if moment.steps >= history.begins and applied == sum(e.moment <= moment for e in history.events):
                history.goto(moment)
                walk.note()
        history.close()


def test_a_disk_goes_back_and_the_file_stays(tmp_path: Path) -> None:
    with hosted(tmp_path, "interp") as hv:
        disk = hv.vms[3].disk
        assert disk is not None
        before = Path(disk.path).read_bytes()
        history = History(hv)
        history.run()
        assert disk.closed and "powered off" in hv.vms[3].reason
        history.goto(0)
        assert not disk.closed
        history.run()
        assert "powered off" in hv.vms[3].reason
        history.goto(1)
        disk.write_sectors(3, b"z" * 512)
        assert disk.read_sectors(2, 3)[512:1024] == b"z" * 512
        history.goto(0)
        assert disk.read_sectors(3, 1) == before[3 * 512 : 4 * 512]
        history.close()
    assert Path(disk.path).read_bytes() == before


def test_thinned_to_little_and_still_exact(tmp_path: Path) -> None:
    with hosted(tmp_path, "interp") as hv:
        walk = Walk(hv, limit=1_500_000)
        for _ in range(60):
            walk.history.run(100_000)
            walk.note()
        assert walk.history.size <= 1_500_000
        assert walk.history.begins == 0 and 2 <= len(walk.history.snapshots)
        gaps = [b.moment.steps - a.moment.steps for a, b in zip(walk.history.snapshots, walk.history.snapshots[1:], strict=False)]
        assert len(gaps) < 4 or max(gaps[: len(gaps) // 2]) >= min(gaps[len(gaps) // 2 :])  # the older, the sparser
        for (moment, _), _ in random.Random(1).sample(list(walk.seen.items()), 15):
            walk.history.goto(moment)
            walk.note()
        walk.history.close()


def test_what_does_not_fit_is_said(tmp_path: Path) -> None:
    with hosted(tmp_path, "interp") as hv:
        said: list[str] = []
        history = History(hv, limit=100_000, say=said.append)
        history.run(2_000_000)
        assert history.begins > 0 and "does not fit" in said[0] and len(said) == 1
        with pytest.raises(SnapshotError, match="before the history begins"):
            history.goto(0)
        history._due = float("inf")  # no snapshot more: the next would move the beginning on
        here = digest(hv)
        now = history.now
        history.run(1000)
        history.goto(now)
        assert digest(hv) == here
        history.close()


def test_running_from_the_past_into_the_future_is_recorded() -> None:
    with Hypervisor("17M", tier="interp") as hv:
        hv.create("tasks", memory="16M")
        history = History(hv)
        history.run(50_000)
        history.goto(10_000)
        history.run(2_000_000)
        assert history.now.steps == 2_010_000 == history.furthest
        assert history.snapshots[-1].moment.steps > 100_000
        history.close()


def test_warned_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Hypervisor("17M", tier="interp") as hv:
        hv.create("rogue", memory="16M")
        shown: list[bytes] = []
        hv.on_console = lambda vm, data: shown.append(data)
        history = History(hv)
        history.run()
        warned, said = len(caplog.records), len(shown)
        assert warned and said
        history.goto(100)
        history.goto(history.furthest)
        assert (len(caplog.records), len(shown)) == (warned, said)
        history.goto(100)
        history.run()
        assert len(caplog.records) == warned
        history.close()


@pytest.mark.parametrize("software", ["htif", "firmware"])
def test_other_bare_machines(software: str, tmp_path: Path) -> None:
    """HTIF and the built-in firmware hold closures and bound methods; a disk is set back too."""
    path = tmp_path / "disk.raw"
    path.write_bytes(bytes(4096))
    with DiskImage(path) as disk:
        machine = Machine(Memory(MEMORY), tier="interp")
        machine.memory.track()  # so that it is known what was ever written
        fill_slots(machine, [disk], 0)
        if software == "htif":
            prepare(Software(image_path("bench-integer")), memory=MEMORY, harts=1).start(machine)
            assert machine.htif is not None
        else:
            flat = tmp_path / "payload.bin"
            flat.write_bytes(Assembler(ISA).program(PAYLOAD, virt_board.KERNEL_BASE))
            prepare(Software(flat), memory=MEMORY, harts=1).start(machine)
            assert machine.firmware is not None
        walk = Walk(machine)
        rng = random.Random(software)
        for _ in range(10):
            walk.do(rng, 1_000_000)
        walk.history.goto(5000)
        assert machine.end is None
        assert walk.history.now.steps == 5000
        walk.history.change(lambda: disk.write_sectors(1, b"w" * 512), "disk")
        walk.seen.clear()
        walk.history.run(100)
        size = walk.history.size
        walk.history.change(lambda: disk.write_sectors(0, bytes(4096)), "all of it")
        walk.history.bookmark("written")
        assert walk.history.size > size + 4096  # what disks hold is counted
        walk.history.goto(0)
        assert disk.read_sectors(1, 1) == bytes(512)
        walk.history.goto(walk.history.furthest)
        assert disk.read_sectors(0, 8) == bytes(4096)
        walk.history.goto(5000)
        assert disk.read_sectors(1, 1) == b"w" * 512
        walk.history.close()
    assert path.read_bytes() == bytes(4096)


# S-mode: prints, asks for a timer interrupt and sleeps until then, for ever; what was typed is read and counted
PAYLOAD = """
    li s0, 0
    li t0, 32; csrs sie, t0
again:
    li a7, 1; andi a0, s0, 63; addi a0, a0, 64; ecall
    li a7, 2; ecall
    add s1, s1, a0
    rdtime a0; addi a0, a0, 200; li a7, 0x54494d45; li a6, 0; ecall
    wfi
    addi s0, s0, 1
    j again
"""


class Lottery:
    """A scheduler with a state of its own."""

    def __init__(self) -> None:
        self.random = random.Random(7)
        self.picked: dict[str, int] = {}

    def pick(self, ready: Any) -> tuple[Any, int]:
        vm = self.random.choice(ready)
        self.picked[vm.name] = self.picked.get(vm.name, 0) + 1
        return vm, self.random.randrange(100, 20_000)

    def ran(self, vm: Any, steps: int) -> None:
        self.picked[vm.name] += steps


def test_policies_and_handlers_of_the_user_go_back_too() -> None:
    from rvhv.hv.exits import SbiExit

    with Hypervisor("40M", tier="interp", scheduler=Lottery()) as hv:
        for name in ("hello", "tasks"):
            hv.create(name, memory="16M")
        calls: list[int] = []

        def handler(exit: SbiExit) -> bool:
            calls.append(exit.eid)
            return False

        hv.on(SbiExit, handler)
        walk = Walk(hv)
        walk.history.run()
        end, all_calls = hv.trace_hash(), list(calls)
        rng = random.Random(1)
        for _ in range(15):
            walk.do(rng, walk.history.furthest)
        walk.history.goto(0)
        assert calls == []
        walk.history.goto(walk.history.furthest)
        assert (hv.trace_hash(), calls) == (end, all_calls)
        walk.history.close()


# what comes from outside


def test_input_in_the_past_is_another_future() -> None:
    with Hypervisor("17M") as hv:
        vm = hv.create("tasks", memory="16M")
        said: list[str] = []
        history = History(hv, say=said.append)
        history.run(200_000)
        vm.feed(b"one")
        history.run(100_000)
        history.bookmark("later")
        history.goto(250_000)
        vm.feed(b"two")
        assert len(history.events) == 2 and history.furthest == 250_000
        assert said == ["the 50000 steps after step 250000 are forgotten, with later: this is another future"]
        with pytest.raises(SnapshotError, match="no bookmark 'later'"):
            history.moment_of("later")
        history.goto(100_000)
        assert bytes(vm.console._typed) == b""
        history.goto(200_000)
        assert bytes(vm.console._typed) == b"one"
        history.run(50_000)
        assert bytes(vm.console._typed) == b"onetwo"
        history.goto(100_000)
        vm.feed(b"x")
        assert len(history.events) == 1
        history.close()
        vm.feed(b"y")
        assert bytes(vm.console._typed) == b"xy"


def test_input_while_it_runs_waits_for_an_exact_step() -> None:
    """`on_console` types an answer in the middle of an exit."""
    with Hypervisor("17M") as hv:
        vm = hv.create("tasks", memory="16M")
        hv.on_console = lambda vm, data: vm.feed(data[:1])
        history = History(hv)
        history.run()
        assert history.events and hv.finished
        typed, end = bytes(vm.console._typed), digest(hv)
        for _ in range(3):
            history.goto(random.Random(1).randrange(history.furthest))
            history.goto(history.furthest)
            assert (bytes(vm.console._typed), digest(hv)) == (typed, end)
        history.close()


def test_a_changed_register_is_changed_again() -> None:
    with Hypervisor("17M") as hv:
        vm = hv.create("hello", memory="16M")
        history = History(hv)
        history.run(3000)

        def change() -> None:
            vm.vcpu.state[SLOT["x31"]] = 0x1234

        history.change(change, "x31")
        history.run(5)
        after = digest(hv)
        history.goto(0)
        assert vm.vcpu.state[SLOT["x31"]] != 0x1234
        history.goto(3005)
        assert digest(hv) == after
        history.close()


@pytest.mark.parametrize("option", ["realtime", "check_fences"])
def test_what_depends_on_more_than_its_inputs_is_refused(option: str) -> None:
    machine = Machine(Memory(MEMORY), **{option: True})  # type: ignore[arg-type]
    with pytest.raises(SnapshotError):
        History(machine)


# stops


def test_the_last_hit_before_now(tmp_path: Path) -> None:
    """Found backwards, over snapshots, as a forward run finds the same."""
    with Hypervisor("17M") as hv:
        vm = hv.create("tasks", memory="16M")
        history = History(hv)
        history.run(400_000)
        hits = []
        hv.stops.add_watchpoint(vm.vcpu.x[2] & ~0xFFF, 4096, Access.WRITE)
        history.goto(0)
        while (why := history.run(400_000 - history.now.steps)) is Why.STOPPED:
            hits.append((history.now.steps, hv.stopped_at))
        assert why is Why.BUDGET and len(hits) > 3
        history.goto(400_000)
        for want in [hits[-1], hits[-2], hits[-3]]:
            found = history.last_hit(lambda: hv.stopped_at)
            assert found is not None
            assert found[0].steps == want[0] == history.now.steps and found[1][1].pc == want[1][1].pc
        third = history.now.steps
        assert history.run(1) is Why.BUDGET  # past the stop that it is at
        assert history.now.steps == third + 1
        hv.stops.clear()
        hv.stops.add_breakpoint(0x4)
        assert history.last_hit(lambda: hv.stopped_at) is None and history.now.steps == 0
        history.close()


# bookmarks


def test_bookmarks_and_differences() -> None:
    with Hypervisor("17M") as hv:
        vm = hv.create("tasks", memory="16M")
        history = History(hv)
        history.run(150_000)
        history.bookmark("a")
        words, pages = list(vm.vcpu.state[:ARCH_WORDS]), hv.memory.read(hv.memory.base, hv.memory.size)
        history.run(50_001)
        here = digest(hv)
        later = hv.memory.read(hv.memory.base, hv.memory.size)
        difference = history.diff("a")
        assert digest(hv) == here and history.now.steps == 200_001
        assert (difference.then, difference.now) == (150_000, 200_001)
        names = {word.name for word in difference.harts["tasks"]}
        assert names == {n for n, i in SLOT.items() if i < ARCH_WORDS and words[i] != vm.vcpu.state[i]} - {"x_sink"} != set()
        spas = {hv.memory.base + at for at in range(0, len(pages), 4096) if pages[at : at + 4096] != later[at : at + 4096]}
        assert {page.spa for page in difference.pages} == spas and spas
        history.goto(180_000)
        assert history.diff("a").now == 180_000 == history.now.steps
        with pytest.raises(SnapshotError, match="there are: a"):
            history.diff("b")
        history.close()


# interrupted


def test_interrupted_anywhere_it_is_at_an_exact_step() -> None:
    with Hypervisor("17M", tier="interp") as hv:
        hv.create("tasks", memory="16M")
        history = History(hv)
        assert history.run() is Why.FINISHED
        rng = random.Random(5)
        actions: list[Callable[[], object]] = [
            lambda: history.goto(rng.randrange(history.furthest)),
            lambda: history.run(),
            lambda: history.back(1),
            lambda: history.last_hit(lambda: None),
        ]
        interrupted = 0
        for i in range(40):
            timer = threading.Timer(rng.random() * 0.02, signal.raise_signal, (signal.SIGINT,))
            try:
                timer.start()
                actions[i % len(actions)]()
                time.sleep(0.05)
            except KeyboardInterrupt:
                interrupted += 1
            timer.join()
            now, here = history.now, digest(hv)
            history.goto(0)
            history.goto(now)
            assert digest(hv) == here
        assert interrupted > 10
        history.close()


def test_interrupt_from_elsewhere() -> None:
    with Hypervisor("17M") as hv:
        hv.create("tasks", memory="16M")
        history = History(hv)
        history.interrupt()
        assert history.run(1000) is Why.INTERRUPTED
        assert history.run(1000) is Why.BUDGET and history.now.steps == 1000
        history.close()
