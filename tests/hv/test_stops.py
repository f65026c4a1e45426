"""Breakpoints and watchpoints under a hypervisor and on the bare machine: they end a run, and change nothing that it does."""

from __future__ import annotations

import hashlib
import random
from functools import cache

import pytest

from rvhv.boot.firmware import BuiltIn
from rvhv.core.registry import ISA
from rvhv.core.stop_table import Access, Bound, Modes, Space, TrapStop
from rvhv.cpu.state import SLOT
from rvhv.hv import Hypervisor
from rvhv.hv.exits import VmExit
from rvhv.machine.board import BOARD
from rvhv.machine.virt import Machine
from tests.devices.bare import DEVICE, POWER_OFF, RAM, Bare
from tests.hv.test_random_guests import INSTRUCTIONS, image

STEPS = 8000
SINK = SLOT["x_sink"]  # no register: what the interpreter writes to x0


def add_stop(draw: random.Random, hv: Hypervisor) -> int:
    bound = draw.choice((Bound(), Bound(Modes(draw.randrange(64))), *(vm.bound for vm in hv.vms)))
    if draw.random() < 0.1:
        return hv.stops.add_csr_watch(draw.choice(("vsstatus", "vsepc", "vscause", "vsscratch", "fcsr", "satp")), bound=bound)
    if draw.random() < 0.1:
        return hv.stops.add_trap_catch(draw.choice((None, [12, 13, 15], [2, 8])), bound=bound)
    if draw.random() < 0.6:
        reach = draw.choice((14, 14, 1000, 2 * INSTRUCTIONS + 1000))  # halfwords: the guests' trap handler, what they begin with
        return hv.stops.add_breakpoint(BOARD.image_base + 2 * draw.randrange(reach), bound)
    space = draw.choice(list(Space))
    at = (hv.memory.base if space == Space.HOST_PHYSICAL else BOARD.ram_base) + draw.randrange(8 << 20)
    length = draw.choice((1, 8, 5000, 1 << 20))
    return hv.stops.add_watchpoint(at, length, Access(draw.randint(1, 3)), space=space, bound=bound)


@cache
def outcome(seed: int, stops: bool) -> tuple[object, ...]:
    """What is left of two random guests; with `stops` that come and go, and how many there were."""
    draw = random.Random(seed)
    hits = 0
    with Hypervisor("16M", clock=draw.choice(("machine", "vm")), slice_steps=1000) as hv:
        for name in "ab":
            hv.create(name, image(draw), memory="4M")
        numbers: list[int] = []
        while hv.steps < STEPS and not hv.finished:
            if stops and draw.random() < 0.5:
                numbers.append(add_stop(draw, hv))
                if len(numbers) > 30:
                    hv.stops.remove(numbers.pop(draw.randrange(30)))
            made = hv.run(max_steps=STEPS - hv.steps if not stops else min(STEPS - hv.steps, 100))
            if hv.stopped_at is not None:
                hits += 1
                vm, stop = hv.stopped_at
                if stop.access != Access.NONE:  # else it stopped behind a step, which may have been its slice's last
                    assert vm.vcpu.loaded
                    assert vm.vcpu.pc == stop.pc
            else:
                assert made or hv.finished
        memory = hashlib.sha256(hv.memory.read(hv.memory.base, hv.memory_size)).digest()
        registers = [[word for i, word in enumerate(vm.vcpu.state[: len(vm.vcpu._off_hart)]) if i != SINK] for vm in hv.vms]
        result = hv.trace_hash(), hv.virtual_ns, registers, memory, [(vm.reason, vm.steps) for vm in hv.vms]
    return *result, hits if stops else 0


@pytest.mark.parametrize("seed", range(16))
def test_stops_change_nothing(seed: int) -> None:
    *with_them, _ = outcome(seed, stops=True)
    *without, _ = outcome(seed, stops=False)
    assert with_them == without


def test_stops_are_met() -> None:
    assert sum(outcome(seed, stops=True)[-1] > 0 for seed in range(16)) > 8  # type: ignore[operator]


def test_a_stop_in_a_vm() -> None:
    """Only that VM's; `exits` ends too, and goes on."""
    with Hypervisor("64M") as hv:
        for name in "ab":
            hv.create(name, "hello", memory="8M")
        number = hv.stops.add_breakpoint(hv.vms[1].image.entry, hv.vms[1].bound)
        hv.run()
        assert hv.stopped_at is not None
        assert (hv.stopped_at[0].name, hv.stopped_at[1].number, hv.vms[1].steps) == ("b", number, 0)
        seen = list(hv.exits())
        assert hv.stopped_at is None
        assert seen
        assert hv.finished


SUM = """
    li t1, 0x80010000
    li t0, 100
loop:
    sd t0, 0(t1)
    ld t2, 0(t1)
    add t3, t3, t2
    addi t0, t0, -1
    bnez t0, loop
    bnez a0, wait
"""


@pytest.mark.parametrize("harts", [1, 2])
def test_the_bare_machine(harts: int) -> None:
    """Every hart stops; steps, clock and trace are those of a run without stops."""
    source = SUM + POWER_OFF + "wait: j wait"
    plain = Bare(source, harts=harts, quantum=77).run()
    bare = Bare(source, harts=harts, quantum=77)
    machine = bare.machine
    write = machine.stops.add_watchpoint(0x8001_0000, 8)
    breakpoint_ = machine.stops.add_breakpoint(RAM + 16)
    seen = []
    while machine.end is None:
        machine.run(100_000)
        if machine.stopped_at is not None:
            hart, stop = machine.stopped_at
            seen.append((hart, stop.number))
            assert bare.slot("pc", hart) == stop.pc
            if len(seen) == 50:
                machine.stops.remove(breakpoint_)
    assert set(seen) >= {(hart, write) for hart in range(harts)}
    assert {hart for hart, number in seen if number == breakpoint_} == set(range(harts))
    assert bare.reason == plain.reason == "powered off"
    assert (machine.steps, machine.clock, machine.trace_hash()) == (
        plain.machine.steps, plain.machine.clock, plain.machine.trace_hash(),
    )  # fmt: skip


def test_a_watched_device() -> None:
    """The machine's bus sees the access once."""
    bare = Bare("li t0, 0x50000000\nli t1, 5\nsw t1, 8(t0)\nlw t2, 4(t0)\n" + POWER_OFF)
    bare.machine.stops.add_watchpoint(DEVICE, 16, Access.READ | Access.WRITE)
    stops = []
    while bare.machine.end is None:
        bare.machine.run(1000)
        if bare.machine.stopped_at:
            stops.append((bare.machine.stopped_at[1].access, len(bare.device.seen)))
    assert stops == [(Access.WRITE, 0), (Access.READ, 1)]
    assert bare.device.seen == [("store", 8, 4, 5), ("load", 4, 4, 0)]


def test_a_trap_to_the_firmware_stops_before_it() -> None:
    """`run` ends with the call not answered; the next one answers it, and all is as without the catch."""

    def machine() -> Machine:
        bare = Bare(SUM + "li a7, 16\nli a6, 3\nli a0, 1\necall\nmv s1, a1\nli t1, 5\n" + POWER_OFF + "wait: j wait")
        BuiltIn(bare.machine).boot(RAM, 0)
        return bare.machine

    plain, caught = machine(), machine()
    while plain.end is None:
        plain.run(100_000)
    ecall = ISA.causes["ecall_s"].code
    number = caught.stops.add_trap_catch([ecall])
    caught.run(100_000)
    assert caught.stopped_at is not None
    hart, stop = caught.stopped_at
    assert (hart, stop.number, isinstance(stop, TrapStop) and stop.cause) == (0, number, ecall)
    assert caught.harts[0].state[SLOT["x10"]] == 1  # the argument, not the answer
    while caught.end is None:
        caught.run(100_000)
    assert (caught.steps, caught.clock, caught.trace_hash()) == (plain.steps, plain.clock, plain.trace_hash())


@pytest.mark.parametrize("name", ["hello", "rogue"])
def test_on_exit_sees_what_exits_yields(name: str) -> None:
    """Each exit, handled; the last one stops the VM. Nothing of the run changes, interrupted after each exit or not."""

    def exits(how: str) -> tuple[list[str], str, int]:
        seen: list[str] = []
        with Hypervisor("64M") as hv:
            hv.create(name, memory="8M")
            if how == "iterated":
                seen = [exit_.explain() for exit_ in hv.exits()]
            else:

                def see(exit_: VmExit) -> None:
                    seen.append(exit_.explain())
                    if how == "interrupted":
                        hv.interrupt()

                hv.on_exit = see
                runs = 0
                while not hv.finished:
                    hv.run()
                    runs += 1
                    assert how == "plain" or len(seen) == runs or hv.finished
            return seen, hv.trace_hash(), hv.steps

    assert exits("plain") == exits("interrupted") == exits("iterated")


def test_what_on_exit_raises_comes_out_of_run() -> None:
    with Hypervisor("64M") as hv:
        hv.create("hello", memory="8M")

        def refuse(exit_: VmExit) -> None:
            raise ZeroDivisionError

        hv.on_exit = refuse
        with pytest.raises(ZeroDivisionError):
            hv.run()
        hv.on_exit = None
        hv.run()
        assert not hv.vms[0].failed
