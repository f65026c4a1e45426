"""Slices, WFI, virtual time, and that a run does not depend on how it is chopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from itertools import groupby

import pytest

from rvhv.cpu.state import SLOT
from rvhv.errors import ConfigError
from rvhv.hv import EXIT_COST, VM, Hypervisor, RoundRobin, Weighted
from rvhv.hv import registers as r
from rvhv.hv.exits import WFI
from tests.hv.fake_hart import FakeHart, Script, Trap
from tests.hv.machines import IMAGE, SBI_BASE, host, power_off

DBCN = 0x4442434E
SLICE = 10_000
TICK = r.STEPS_PER_TICK


def wfi(hart: FakeHart) -> Trap:
    return Trap(r.VIRTUAL_INSTRUCTION, tval=WFI)


def spin(steps: int, chunk: int = 300) -> Callable[[FakeHart], Script]:
    def script(hart: FakeHart) -> Script:
        for _ in range(steps // chunk):
            yield chunk
        yield from power_off(hart)

    return script


def chatty(letter: str, times: int, between: int) -> Callable[[FakeHart], Script]:
    def script(hart: FakeHart) -> Script:
        for _ in range(times):
            yield between
            yield hart.ecall(DBCN, 2, ord(letter))
        yield from power_off(hart)

    return script


def sleeper(letter: str, times: int, ticks: int) -> Callable[[FakeHart], Script]:
    """Sleep until a deadline `ticks` ahead, again and again; print what time it is then."""

    def script(hart: FakeHart) -> Script:
        hart.state[SLOT["mie"]] |= r.VSTIP
        for _ in range(times):
            now = hart.state[r.CLOCK] // TICK
            yield hart.ecall(0x54494D45, 0, now + ticks)
            yield wfi(hart)
            assert hart.state[r.CLOCK] // TICK >= now + ticks
            yield hart.ecall(DBCN, 2, ord(letter))
        yield from power_off(hart)

    return script


def watch(hv: Hypervisor) -> list[tuple[str, int]]:
    """Collect the console output with the clock at which it came."""
    seen: list[tuple[str, int]] = []
    hv.on_console = lambda vm, data: seen.append((data.decode(), hv.virtual_ns))
    return seen


def test_slices_are_exact() -> None:
    hv = host(spin(60_000), spin(60_000), slice_steps=SLICE)
    order: list[int] = []
    for _ in range(600):
        hv.run(max_steps=100)
        order.append(hv.hart.state[SLOT["trace_vm"]])
    assert [(vm, len(list(group))) for vm, group in groupby(order)] == [(1, 100), (2, 100)] * 3


def test_an_exit_is_charged_to_the_slice() -> None:
    hv = host(chatty("a", 30, 1000), chatty("b", 30, 1000), slice_steps=SLICE)
    seen = watch(hv)
    hv.run()
    # each print costs 1000 steps, the trap and EXIT_COST: five fit a slice
    assert "".join(letter for letter, _ in seen).startswith("aaaaabbbbbaaaaabbbbb")


def test_an_overrun_is_taken_off_the_next_slice() -> None:
    def ends_with_an_exit(hart: FakeHart) -> Script:
        while True:
            yield SLICE - 1
            yield hart.ecall(SBI_BASE, 0)

    hv = host(ends_with_an_exit, spin(1_000_000), slice_steps=SLICE)
    hv.run(max_steps=200_000)
    a, b = hv.vms
    exits = sum(a.exit_counts.values())
    assert abs(a.steps + exits * EXIT_COST - b.steps) <= 2 * SLICE


@pytest.mark.parametrize("slice_steps", [1, 10, 100])
def test_what_is_owed_is_carried_over_any_number_of_slices(slice_steps: int) -> None:
    def calls(hart: FakeHart) -> Script:
        while True:
            yield 99
            yield hart.ecall(SBI_BASE, 0)

    hv = host(calls, spin(1_000_000), slice_steps=slice_steps)
    hv.run(max_steps=50_000)
    a, b = hv.vms
    assert abs(a.steps + sum(a.exit_counts.values()) * EXIT_COST - b.steps) <= 2 * EXIT_COST
    alone = host(calls, slice_steps=slice_steps)
    assert alone.run(max_steps=50_000) == 50_000


class TestInterrupt:
    def calls(self, hart: FakeHart) -> Script:
        for _ in range(1000):
            yield hart.ecall(DBCN, 2, ord("x"))
        yield from power_off(hart)

    def test_it_ends_the_run_at_the_exit(self) -> None:
        hv, plain = host(self.calls, spin(50_000)), host(self.calls, spin(50_000))
        hv.on_console = lambda vm, data: hv.interrupt()
        assert hv.run() == 1
        assert [hv.run(), len(list(hv.exits()))] == [1, 1]
        hv.interrupt()
        assert hv.run() == 0 and not hv.finished
        hv.on_console = None
        hv.run()
        plain.run()
        assert hv.finished and hv.trace_hash() == plain.trace_hash()

    def test_it_ends_waiting(self) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSEIP
            yield wfi(hart)

        def on_idle() -> bool:
            hv.interrupt()
            return False

        hv = host(script)
        hv.on_idle = on_idle
        assert hv.run() == 1 and hv.vms[0].state == "asleep"
        hv.on_idle = None
        hv.run()
        assert hv.vms[0].reason.startswith("asleep with")

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
    def test_what_on_console_raises_waits_for_the_exit_s_end(self, error: type[BaseException]) -> None:
        def shown(vm: VM, data: bytes) -> None:
            seen.append(data)
            if len(seen) in (3, 4):
                raise error

        seen: list[bytes] = []
        hv = host(self.calls)
        hv.on_console = shown
        for steps in (3, 4):
            with pytest.raises(error):
                hv.run()
            assert hv.steps == steps
        hv.run()
        assert len(seen) == 1000 and hv.vms[0].reason == "powered off"

    def test_ctrl_c_waits_for_an_exact_point(self) -> None:
        def script(hart: FakeHart) -> Script:
            yield 5
            signal.raise_signal(signal.SIGINT)  # as it comes while the hart runs
            yield from self.calls(hart)

        hv = host(script)
        with pytest.raises(KeyboardInterrupt):
            hv.run()
        assert hv.steps == 6 and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        hv.run()
        assert hv.vms[0].reason == "powered off" and hv.vms[0].console.transcript == b"x" * 1000

    def test_ctrl_c_ends_code_of_the_user(self) -> None:
        def shown(vm: VM, data: bytes) -> None:
            if not seen:
                seen.append(data)
                signal.raise_signal(signal.SIGINT)
                raise AssertionError("not reached")

        seen: list[bytes] = []
        hv = host(self.calls)
        hv.on_console = shown
        with pytest.raises(KeyboardInterrupt):
            hv.run()
        assert hv.steps == 1
        hv.run()
        assert hv.vms[0].reason == "powered off"


SCRIPTS = (
    chatty("a", 40, 777),
    sleeper("b", 20, 30),
    spin(100_000),
    sleeper("d", 9, 500),
    chatty("e", 5, 40_000),
)


def outcome(chop: Callable[[Hypervisor], None], clock: str, **options: object) -> tuple[object, ...]:
    hv = host(*SCRIPTS, slice_steps=SLICE, clock=clock, **options)
    seen = watch(hv)
    chop(hv)
    assert hv.finished
    return (
        seen,
        hv.trace_hash(),
        [(vm.trace_hash(), vm.steps, vm.virtual_ns, vm.reason) for vm in hv.vms],
        hv.virtual_ns,
    )


def chopped(sizes: Sequence[int]) -> Callable[[Hypervisor], None]:
    def run(hv: Hypervisor) -> None:
        while not hv.finished:
            for n in sizes:
                assert hv.run(max_steps=n) <= n

    return run


def by_exits(hv: Hypervisor) -> None:
    for exit_ in hv.exits():
        assert exit_.explain()


@pytest.mark.parametrize("clock", ["machine", "vm"])
@pytest.mark.parametrize(
    "chop", [chopped([1]), chopped([7, 1000, 1]), chopped([99_999]), by_exits], ids=["1", "7", "99999", "exits"]
)
def test_chopping_changes_nothing(chop: Callable[[Hypervisor], None], clock: str) -> None:
    assert outcome(chop, clock) == outcome(lambda hv: hv.run(), clock)  # type: ignore[arg-type,return-value]


def test_a_full_ring_changes_nothing() -> None:
    def small_ring(hv: Hypervisor) -> None:
        assert isinstance(hv.hart, FakeHart)
        hv.hart.ring = 3
        hv.run()

    assert outcome(small_ring, "machine") == outcome(lambda hv: hv.run(), "machine")  # type: ignore[arg-type,return-value]


def test_max_steps_is_exact() -> None:
    hv = host(spin(100_000), spin(100_000), slice_steps=333)
    assert [hv.run(max_steps=n) for n in (1, 10, 12_345)] == [1, 10, 12_345]
    assert hv.steps == 12_356


class TestClocks:
    def test_a_neighbour_is_not_felt_with_a_clock_a_vm(self) -> None:
        def alone(*scripts: Callable[[FakeHart], Script], clock: str) -> tuple[str, int, int]:
            hv = host(*scripts, slice_steps=SLICE, clock=clock)
            hv.run()
            vm = hv.vms[0]
            return vm.trace_hash(), vm.steps, vm.virtual_ns

        me = sleeper("a", 20, 30)
        assert alone(me, clock="vm") == alone(me, chatty("x", 100, 10), spin(90_000), clock="vm")
        assert alone(me, clock="machine") != alone(me, chatty("x", 100, 10), spin(90_000), clock="machine")

    def test_idle_time_is_jumped_over(self) -> None:
        hv = host(sleeper("a", 3, 1_000_000))
        hv.run()
        assert hv.virtual_ns >= 3 * 1_000_000 * TICK
        assert hv.steps < 100

    def test_the_earliest_deadline_comes_first(self) -> None:
        hv = host(sleeper("a", 1, 5000), sleeper("b", 1, 3000), sleeper("c", 1, 4000))
        seen = watch(hv)
        hv.run()
        assert "".join(letter for letter, _ in seen) == "bca"

    def test_exits_cost_time(self) -> None:
        hv = host(chatty("a", 10, 1))
        hv.run()
        assert hv.virtual_ns == hv.steps + 11 * EXIT_COST


class TestWaiting:
    def run(self, *scripts: Callable[[FakeHart], Script], **options: object) -> Hypervisor:
        hv = host(*scripts, **options)
        hv.run()
        return hv

    def test_a_pending_enabled_interrupt_falls_through(self) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSTIP
            hart.state[SLOT["vstimecmp"]] = 0
            yield wfi(hart)
            yield from power_off(hart)

        assert self.run(script).vms[0].reason == "powered off"

    def test_a_pending_interrupt_that_is_not_enabled_does_not(self) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["vstimecmp"]] = 0
            yield wfi(hart)

        assert self.run(script).vms[0].reason.startswith("asleep with no deadline")

    @pytest.mark.parametrize("deadline", [(1 << 64) - 1, (1 << 63) // TICK + 1, (1 << 63) // TICK])
    @pytest.mark.parametrize("clock", ["machine", "vm"])
    def test_asleep_for_ever(self, deadline: int, clock: str) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSTIP | r.VSEIP
            hart.state[SLOT["vstimecmp"]] = deadline
            yield wfi(hart)

        hv = self.run(script, spin(10_000), script, clock=clock)
        a, b, c = hv.vms
        what = "no deadline" if deadline == (1 << 64) - 1 else "a deadline no clock reaches (over 146 years away)"
        assert a.reason == c.reason == f"asleep with {what} and nothing that could wake it"
        assert a.failed and c.failed and b.reason == "powered off"

    @pytest.mark.parametrize("clock", ["machine", "vm"])
    def test_asleep_for_ever_however_late_it_is(self, clock: str) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSTIP
            hart.state[SLOT["vstimecmp"]] = (1 << 62) // TICK
            yield wfi(hart)
            hart.state[SLOT["vstimecmp"]] = (1 << 64) - 1
            yield wfi(hart)

        hv = self.run(script, script, clock=clock)
        assert [vm.reason for vm in hv.vms] == ["asleep with no deadline and nothing that could wake it"] * 2

    def test_wfi_is_stepped_over(self) -> None:
        pcs: list[int] = []

        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSTIP
            hart.state[SLOT["vstimecmp"]] = 10_000
            pcs.append(hart.state[SLOT["pc"]])
            yield wfi(hart)
            pcs.append(hart.state[SLOT["pc"]])
            yield from power_off(hart)

        self.run(script)
        assert pcs[1] == pcs[0] + 4

    def test_input_wakes_a_sleeper(self) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["mie"]] |= r.VSEIP
            yield wfi(hart)
            assert hart.state[SLOT["hvip"]] & r.VSEIP
            hv.vms[0].vcpu.interrupts.set_external(False)
            assert not hart.state[SLOT["hvip"]] & r.VSEIP
            yield from power_off(hart)

        def on_idle() -> bool:
            assert hv.vms[0].state == "asleep"
            hv.vms[0].vcpu.interrupts.set_external(True)  # as the PLIC does; the VCPU is not on the hart now
            return True

        hv = host(script)
        hv.on_idle = on_idle
        hv.run()
        assert hv.vms[0].reason == "powered off"

    def test_a_software_interrupt_of_the_guest_survives_the_external_line(self) -> None:
        def script(hart: FakeHart) -> Script:
            hart.state[SLOT["hvip"]] |= 1 << 2
            hv.vms[0].vcpu.interrupts.set_external(True)
            assert hart.state[SLOT["hvip"]] == r.VSEIP | 1 << 2
            hv.vms[0].vcpu.interrupts.set_external(False)
            assert hart.state[SLOT["hvip"]] == 1 << 2
            yield from power_off(hart)

        hv = host(script)
        hv.run()
        assert hv.vms[0].reason == "powered off"


class ByName:
    """A scheduler of a user."""

    def __init__(self) -> None:
        self.turn = 0
        self.told: list[tuple[str, int]] = []

    def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
        self.turn += 1
        vm = ready[self.turn % len(ready)]
        return vm, 3000 if vm.name == "b" else 1000

    def ran(self, vm: VM, steps: int) -> None:
        self.told.append((vm.name, steps))


def test_a_scheduler_of_ones_own() -> None:
    scheduler = ByName()
    hv = host(spin(1_000_000), spin(1_000_000), scheduler=scheduler)
    hv.run(max_steps=400_000)
    assert [round(vm.cpu_share, 2) for vm in hv.vms] == [0.25, 0.75]
    assert scheduler.told == [("b", 3000), ("a", 1000)] * 100


def test_a_scheduler_is_told_what_a_slice_took() -> None:
    """Exits are charged, and who gives way keeps the rest; what goes beyond the slice is paid in the next one."""
    scheduler = ByName()
    hv = host(chatty("a", 1000, 700), scheduler=scheduler)
    hv.run(max_steps=20_000)
    assert {steps for _, steps in scheduler.told} == {1000}
    scheduler = ByName()
    hv = host(sleeper("a", 1000, 100), scheduler=scheduler)
    hv.run(max_steps=100)
    assert hv.clock == "machine" and scheduler.told and all(0 < steps <= 1000 for _, steps in scheduler.told)


def test_weights() -> None:
    hv = host(*(spin(4_000_000) for _ in range(3)), scheduler=Weighted(1000))
    for vm, weight in zip(hv.vms, (1, 2, 5), strict=True):
        vm.weight = weight
    hv.run(max_steps=800_000)
    assert [round(vm.cpu_share, 2) for vm in hv.vms] == [0.12, 0.25, 0.62]


def test_equal_weights_are_round_robin() -> None:
    hashes = set()
    for scheduler in (RoundRobin(SLICE), Weighted(SLICE)):
        hv = host(spin(60_000), spin(90_000), spin(60_000), scheduler=scheduler)
        hv.run()
        hashes.add(hv.trace_hash())
    assert len(hashes) == 1


@pytest.mark.parametrize("weight", [0, -1, 1001])
def test_weights_that_are_none(weight: int) -> None:
    with pytest.raises(ConfigError, match="weight of a"):
        Hypervisor("16M", hart=FakeHart).create("a", IMAGE, weight=weight)


def test_a_scheduler_that_picks_nonsense() -> None:
    class Bad(RoundRobin):
        def pick(self, ready: Sequence[VM]) -> tuple[VM, int]:
            return ready[0], 0

    with pytest.raises(ConfigError, match="scheduler"):
        host(spin(1000), scheduler=Bad()).run()


def test_vms_made_later_join_in() -> None:
    hv = host(chatty("a", 30, 1000), slice_steps=SLICE)
    seen = watch(hv)
    hv.run(max_steps=2500)
    assert isinstance(hv.hart, FakeHart)
    hv.hart._makers[2] = chatty("b", 3, 100)
    hv.create("b", IMAGE, memory="4M")
    hv.run()
    assert "".join(letter for letter, _ in seen).startswith("aaaaabbbaaaaa")
    assert [vm.reason for vm in hv.vms] == ["powered off"] * 2
