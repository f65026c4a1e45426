"""Lab 6: the scheduler. Judged by who was on the hart, for how many steps, and who else was ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rvhv.core.registry import ISA
from rvhv.grade.check import AnyPart, Bench, Checks, Lost
from rvhv.hv import VM, Hypervisor
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

CHECKS = Checks()
MEMORY = "4M"  # of a VM
RUN = 5_000  # steps of the hypervisor between two looks at the schedule
TOO_LONG = 100_000_000  # steps after which a schedule that does not come is given up
HEAVY = 1000

SPIN = "spin: addi t0, t0, 1\n j spin"
# works, then sleeps, for ever; a2 is the work (turns of a loop of two instructions), a3 the sleep (ticks)
WORK_AND_SLEEP = """
    li t0, 32
    csrw sie, t0
again:
    mv t0, a2
work:
    addi t0, t0, -1
    bnez t0, work
    rdtime a0
    add a0, a0, a3
    li a7, 0x54494d45
    li a6, 0
    ecall
    wfi
    j again
"""
WORK_AND_STOP = """
work:
    addi a2, a2, -1
    bnez a2, work
    li a7, 0x53525354
    li a6, 0
    li a0, 0
    li a1, 0
    ecall
"""
STEPS_PER_TICK = 100


@dataclass(frozen=True)
class Slice:
    """Who was picked among whom, for how many steps, and how many it used."""

    vm: int
    ready: tuple[int, ...]
    steps: int
    used: int


class Scheduled:
    """The part as a hypervisor's scheduler, with a log of what it did. Machines are VMs, or records in place of them."""

    def __init__(self, part: AnyPart, slice_steps: int) -> None:
        self._part = part
        self.slice_steps = slice_steps
        self.log: list[Slice] = []
        self._picked: tuple[Any, tuple[int, ...], int] | None = None
        part.make(slice_steps)

    def pick(self, ready: Sequence[Any]) -> tuple[Any, int]:
        names = ", ".join(vm.name for vm in ready)
        answer = self._part.call("pick", [_record(vm) for vm in ready])
        if not isinstance(answer, list) or len(answer) != 2:
            raise Lost(
                "pick to return a machine and the length of its slice: (vm, steps)", f"it returned {_shown(answer)}", "vms"
            )
        number = getattr(answer[0], "number", None)
        vm = next((vm for vm in ready if vm.number == number), None)
        if vm is None:
            raise Lost(f"pick to return one of the ready machines: {names}", f"it returned {_shown(answer[0])}", "vms")
        if answer[1] != self.slice_steps or isinstance(answer[1], bool):
            raise Lost(
                f"a slice of {self.slice_steps} steps, as long as `slice_steps` says", f"it was {_shown(answer[1])}", "vms"
            )
        self._picked = vm, tuple(vm.number for vm in ready), self.slice_steps
        return vm, self.slice_steps

    def ran(self, vm: Any, steps: int) -> None:
        assert self._picked is not None
        self.log.append(Slice(vm.number, self._picked[1], self._picked[2], steps))
        self._part.call("ran", _record(vm), steps)


def _record(vm: Any) -> SimpleNamespace:
    return SimpleNamespace(number=vm.number, name=vm.name, weight=vm.weight)


def _shown(value: object) -> str:
    name = getattr(value, "name", None)
    return name[:60] if isinstance(name, str) and name else f"{value!r:.60}"


class Host:
    """A hypervisor with the part as its scheduler, and guests of a few instructions."""

    def __init__(self, bench: Bench) -> None:
        self.rng = bench.rng
        self.slice_steps = 1000 * self.rng.randrange(20, 40)
        self.scheduler = Scheduled(bench.part, self.slice_steps)
        bench.target = self.hv = Hypervisor("32M", scheduler=self.scheduler, tier="interp")
        self._assembler = Assembler(ISA)

    def create(self, program: str = SPIN, weight: int = 1, **registers: int) -> VM:
        """A guest; `registers` get values before its first instruction."""
        setup = "".join(f"    li {name}, {value}\n" for name, value in registers.items())
        base = BOARD.image_base
        code = self._assembler.program(setup + program, base)
        number = len(self.hv.vms) + 1
        image = Image("program", base, (Segment(base, code, len(code)),))
        return self.hv.create(f"vm{number}", image, memory=MEMORY, weight=weight)

    def run(self, slices: int) -> list[Slice]:
        """Until so many more slices are over; these."""
        log = self.scheduler.log
        begin, start = len(log), self.hv.steps
        while len(log) < begin + slices:
            self.hv.run(RUN)
            if self.hv.steps - start > TOO_LONG or self.hv.finished:
                raise Lost(f"{slices} slices", f"there were {len(log) - begin}", "vms")
        return log[begin : begin + slices]

    def share(self, log: Iterable[Slice]) -> dict[int, float]:
        """Time by VM, in slices."""
        times: Counter[int] = Counter()
        for slice_ in log:
            times[slice_.vm] += slice_.used
        return {vm.number: times[vm.number] / self.slice_steps for vm in self.hv.vms}


def turns(log: Sequence[Slice], most: int = 14) -> str:
    """The schedule as text."""
    return " ".join(f"vm{slice_.vm}" for slice_ in log[:most]) + (" ..." if len(log) > most else "")


@CHECKS.add("machines of equal weight take turns: round robin", 3)
def round_robin(bench: Bench) -> None:
    host = Host(bench)
    count = host.rng.randrange(3, 6)
    for _ in range(count):
        host.create()
    log = host.run(10 * count)
    for first in range(len(log) - count + 1):
        window = log[first : first + count]
        if len({slice_.vm for slice_ in window}) < count:
            raise Lost(
                f"{count} equal machines that are always ready to have one of {count} slices each",
                f"they ran as {turns(window)}",
                "vms",
            )


@CHECKS.add("one that is asleep, or gone, is not waited for", 2)
def comings_and_goings(bench: Bench) -> None:
    host = Host(bench)
    rng = host.rng
    host.create(WORK_AND_STOP, a2=rng.randrange(host.slice_steps, 3 * host.slice_steps))
    host.create()
    host.create(WORK_AND_SLEEP, a2=100, a3=rng.randrange(3, 6) * host.slice_steps // STEPS_PER_TICK)
    log = host.run(40)
    if 2 not in {slice_.vm for slice_ in log[-5:]}:
        raise Lost(
            "vm2, which is always ready, to run when vm1 is gone and vm3 asleep", f"the last slices were {turns(log[-5:])}", "vms"
        )
    host.create()
    log = host.run(12)
    if sum(slice_.vm == 4 for slice_ in log) < 3:
        raise Lost("vm4, which was created later, to have its turns", f"the schedule was {turns(log)}", "vms")


@CHECKS.add("time is shared by weight", 4)
def weights(bench: Bench) -> None:
    host = Host(bench)
    chosen = host.rng.sample(range(1, 10), host.rng.randrange(3, 5))
    for weight in chosen:
        host.create(weight=weight)
    slices, total = 40 * len(chosen), sum(chosen)
    log = host.run(slices)
    shares = host.share(log)
    for vm in host.hv.vms:
        wanted = slices * vm.weight / total
        if abs(shares[vm.number] - wanted) > len(chosen):
            raise Lost(
                f"{vm.name} to have {vm.weight}/{total} of the time: {wanted:.0f} of {slices} slices, with the weights {chosen}",
                f"it had {shares[vm.number]:.0f}; the schedule began {turns(log)}",
                "vms",
            )


@CHECKS.add("the same weights, large or small, mean the same turns: nobody has its share in one piece", 2)
def smooth(bench: Bench) -> None:
    host = Host(bench)
    weight = host.rng.randrange(4, 12)
    for factor in (1, 1, 2):
        host.create(weight=weight * factor)
    log = host.run(40)
    for first in range(len(log) - 3):
        window = log[first : first + 4]
        missing = {1, 2, 3} - {slice_.vm for slice_ in log[first : first + 6]}
        if missing and first + 6 <= len(log):
            raise Lost(
                f"each of three machines to run within six slices, with the weights {[vm.weight for vm in host.hv.vms]}",
                f"vm{min(missing)} did not: {turns(log[first : first + 6])}",
                "vms",
            )
        if sum(slice_.vm == 3 for slice_ in window) > 3:
            raise Lost("vm3, with half of all weight, not to run four times in a row", f"it did: {turns(window)}", "vms")


@CHECKS.add("nobody starves, however light", 2)
def starvation(bench: Bench) -> None:
    host = Host(bench)
    heavy = HEAVY // host.rng.randrange(8, 12)
    host.create(weight=1)
    host.create(weight=heavy)
    slices = 3 * (heavy + 1)
    log = host.run(slices)
    light = sum(slice_.vm == 1 for slice_ in log)
    if not 2 <= light <= 5:
        raise Lost(f"vm1, of weight 1 beside {heavy}, to have about 3 of {slices} slices", f"it had {light}", "vms")


@CHECKS.add("who gives way early is charged for what it used, not for a whole slice", 2)
def early(bench: Bench) -> None:
    slice_steps = 1000 * bench.rng.randrange(20, 40)
    scheduler = Scheduled(bench.part, slice_steps)
    parts = bench.rng.randrange(3, 6)
    machines = [SimpleNamespace(number=n, name=f"vm{n}", weight=1) for n in (1, 2, 3)]
    times = dict.fromkeys((1, 2, 3), 0.0)
    for _ in range(20 * parts):
        vm, steps = scheduler.pick(machines)
        # the last one waits for a device that answers at once: it gives way, and is ready again
        used = steps // parts if vm.number == 3 else steps
        times[vm.number] += used / slice_steps
        scheduler.ran(vm, used)
    fair = sum(times.values()) / 3
    if abs(times[3] - fair) > 2:
        raise Lost(
            f"vm3, which uses 1/{parts} of each slice, to have the same time as the two others: {fair:.0f} slices' worth of it",
            f"it had {times[3]:.0f}, and vm1 {times[1]:.0f}: {turns(scheduler.log)}",
        )


@CHECKS.add("sleep saves nothing up: who was away gets its share from now on, and no more", 3)
def sleepers(bench: Bench) -> None:
    host = Host(bench)
    long = host.rng.randrange(30, 40) * host.slice_steps
    host.create()
    host.create()
    # sleeps first: then its work is a dozen slices
    host.create(
        "mv a4, a2\n li a2, 1\n" + WORK_AND_SLEEP.replace("wfi\n", "wfi\n    mv a2, a4\n"),
        a2=6 * host.slice_steps,
        a3=long // STEPS_PER_TICK,
    )
    log = host.run(80)
    woken = next((i for i, s in enumerate(log) if i > 10 and s.vm == 3), None)
    if woken is None:
        raise Lost("vm3 to run once it has woken up", f"it did not: {turns(log[-12:])}", "vms")
    _fair_from(host, log[woken : woken + 12], 3, "slept")


@CHECKS.add("who comes later begins level with the others", 2)
def newcomers(bench: Bench) -> None:
    host = Host(bench)
    host.create()
    host.create()
    host.run(host.rng.randrange(30, 40))
    host.create()
    _fair_from(host, host.run(12), 3, "was not there")


def _fair_from(host: Host, log: Sequence[Slice], number: int, what: str) -> None:
    got = sum(slice_.vm == number for slice_ in log)
    wanted = len(log) // 3
    if got > wanted + 2:
        raise Lost(
            f"vm{number}, which {what} while the others ran, to have about {wanted} of the next {len(log)} slices",
            f"it had {got}: {turns(log)}",
            "vms",
        )
    if got < wanted - 2:
        raise Lost(f"vm{number} to have about {wanted} of {len(log)} slices", f"it had {got}: {turns(log)}", "vms")
