"""SBI calls that the compiled machine answers by itself: a run is what Python makes it, to the last register and record."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from rvhv.boot.firmware import MACHINE_SBI, BuiltIn
from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_WORDS, SLOT, TRAP_LOOP_LIMIT
from rvhv.hv import Hypervisor, SbiExit
from rvhv.hv.exits import VmExit
from rvhv.hv.sbi import GUEST_SBI
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from rvhv.sbi import Sbi, base, ipi, rfence, time
from tests.hv.test_stops import add_stop

ALL_GUESTS = ("hello", "tasks", "disk", "rogue")
MASK64 = (1 << 64) - 1
TIERS = pytest.mark.parametrize("tier", ["interp", "jit"])
BASE, TIME, IPI, RFENCE = (room.EXTENSION.eid for room in (base, time, ipi, rfence))
POWER_OFF = "li a7, 0x53525354; li a6, 0; li a0, 0; li a1, 0; ecall\n"
MIX = "slli {t}, s0, 7; srli {u}, s0, 57; or s0, {t}, {u}; xor s0, s0, {x}\n"  # s0 remembers everything
START = f"""
    j start
    .balign 4
handler:
    csrr s9, scause
    {MIX.format(t="s10", u="s11", x="s9")}
    csrr s9, sepc
    {MIX.format(t="s10", u="s11", x="s9")}
    csrci sip, 2
    li s9, -1
    csrw stimecmp, s9
    sret
start:
    la t0, handler; csrw stvec, t0
    li t0, 0x22; csrw sie, t0
    csrsi sstatus, 2
    li s0, 0; li s1, {{rounds}}
again:
"""
END = "addi s1, s1, -1; beq s1, x0, over; j again\nover:\n" + POWER_OFF


def calls(draw: random.Random, count: int, rounds: int) -> str:
    """Loops over random calls with arguments that are legal, and that are just not."""
    source = START.format(rounds=rounds)
    for _ in range(count):
        eid = draw.choice((TIME, TIME, IPI, IPI, RFENCE, RFENCE, 0, 5, 6, 7, BASE, 0x10F, TIME | 1 << 32))
        if eid in (TIME, 0) and draw.random() < 0.6:
            source += f"rdtime a0; addi a0, a0, {draw.randrange(-5, 60)}\n"
        else:
            source += f"li a0, {draw.choice((0, 1, 1, 1, 2, 3, MASK64, draw.getrandbits(64)))}\n"
        source += f"li a1, {draw.choice((0, 0, 0, 1, 2, MASK64))}; li a2, {draw.getrandbits(64)}; li a7, {eid}\n"
        fid = draw.randrange(3) if eid == RFENCE else 0
        source += f"li a6, {fid if draw.random() < 0.7 else draw.choice((1, 3, 6, 7, 1 << 32))}; ecall\n"
        source += MIX.format(t="t1", u="t2", x="a0") + MIX.format(t="t1", u="t2", x="a1")
        source += draw.choice(("", "rdtime t0\n", "rdinstret t0\n")) + MIX.format(t="t1", u="t2", x="t0")
    return source + END


ONE_OF_EACH = [
    (TIME, 0, -1, 0), (0, 0, -1, 0), (IPI, 0, 1, 0), (IPI, 0, 0, 0), (IPI, 0, 0, -1), (RFENCE, 0, 1, 0), (RFENCE, 1, 1, 0),
    (RFENCE, 2, 0, -1), (5, 0, 0, 0), (6, 0, 0, 0), (7, 0, 0, 0),
]  # fmt: skip
REFUSED = [
    (IPI, 0, 2, 0), (IPI, 0, 1, 1), (IPI, 1, 1, 0), (RFENCE, 3, 1, 0), (RFENCE, 0, 3, 0), (RFENCE, 7, 1, 0), (TIME, 1, 0, 0),
]  # fmt: skip


def source(*wanted: tuple[int, int, int, int]) -> str:
    """Each call adds 1 to s1 when it succeeds."""
    each = "li a0, {}; li a1, {}; li a6, {}; li a7, {}; ecall; sltiu a0, a0, 1; add s1, s1, a0\n"
    return "li s1, 0\n" + "".join(each.format(a0, a1, fid, eid) for eid, fid, a0, a1 in wanted) + POWER_OFF


def image(source: str) -> Image:
    code = Assembler(ISA).program(source, BOARD.image_base)
    return Image("calls", BOARD.image_base, (Segment(BOARD.image_base, code, 16384),), b"")


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The EIDs of the calls that Python serves."""
    seen: list[int] = []
    serve = Sbi.call

    def call(self: Sbi, caller: object, state: memoryview[int]) -> None:
        seen.append(state[SLOT["x17"]])
        serve(self, caller, state)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Sbi, "call", call)
        yield seen


def result(hv: Hypervisor) -> tuple[object, ...]:
    """All that a run is a function for."""
    memory = hashlib.sha256(hv.memory.read(hv.memory.base, hv.memory_size)).digest()
    return (
        hv.trace_hash(), hv.steps, hv.virtual_ns, memory,
        [(vm.trace_hash(), vm.reason, vm.debt, vm.exit_counts, list(vm.vcpu._off_hart)) for vm in hv.vms],
    )  # fmt: skip


def outcome(seed: int, tier: str, *, fast: bool, chopped: bool = False, stops: bool = False) -> tuple[object, ...]:
    draw, chops = random.Random(seed), random.Random(seed)
    clock, length = draw.choice(("machine", "vm")), draw.choice((700, 5000, 100_000, 1_000_000))
    with Hypervisor("16M", clock=clock, slice_steps=length, tier=tier) as hv:
        hv.fast_calls = fast
        for name in "ab":
            hv.create(name, image(calls(draw, 30, 40)), memory="4M")
        while not hv.finished:
            if stops and chops.random() < 0.5 and len(hv.stops) < 60:
                add_stop(chops, hv)
            hv.run(max_steps=chops.choice((1, 50, 3000)) if chopped else None)
        return result(hv)


@TIERS
@pytest.mark.parametrize("seed", range(6))
def test_random_calls(seed: int, tier: str) -> None:
    expected = outcome(seed, tier, fast=False)
    assert outcome(seed, tier, fast=True) == expected
    assert outcome(seed, tier, fast=True, chopped=True) == expected
    assert outcome(seed, tier, fast=True, chopped=True, stops=True) == expected


@pytest.mark.parametrize("call", [*ONE_OF_EACH, *REFUSED])
def test_each_call(call: tuple[int, int, int, int]) -> None:
    def run(fast: bool) -> tuple[object, ...]:
        with Hypervisor("16M") as hv:
            hv.fast_calls = fast
            hv.create("a", image(source(call)), memory="4M")
            hv.run()
            return result(hv)

    assert run(True) == run(False)


def test_calls_in_a_row_are_no_trap_loop() -> None:
    """More than Exit.TRAP_LOOP stands for: what a call is answered for is progress."""
    text = f"li a0, -1; li a6, 0; li a7, {TIME}\n" + "ecall\n" * (TRAP_LOOP_LIMIT + 10) + POWER_OFF
    with Hypervisor("16M") as hv:
        vm = hv.create("a", image(text), memory="4M")
        hv.run()
        assert vm.reason == "powered off"


@pytest.mark.parametrize(
    ("names", "clock", "tier"),
    [(ALL_GUESTS, "machine", "interp"), (ALL_GUESTS, "vm", "interp"), (("hello",), "vm", "jit")],
)
def test_the_built_in_guests(names: tuple[str, ...], clock: str, tier: str, tmp_path: Path) -> None:
    def run(fast: bool) -> tuple[object, ...]:
        disk = tmp_path / "disk.raw"
        disk.write_bytes(bytes(i * i >> 3 & 0xFF for i in range(512 * 40)))
        said: list[tuple[str, bytes]] = []
        with Hypervisor("64M", clock=clock, slice_steps=100_000, tier=tier) as hv:
            hv.fast_calls = fast
            hv.on_console = lambda vm, data: said.append((vm.name, data))
            for name in names:
                hv.create(name, memory="4M", disk=disk if name == "disk" else None)
            hv.run()
            return said, *result(hv)

    assert run(True) == run(False)


def test_what_python_does_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exactly the calls that need it not; and all are exits like any other."""
    with Hypervisor("16M") as hv, counted(monkeypatch) as seen:
        vm = hv.create("a", image(source(*ONE_OF_EACH, *REFUSED)), memory="4M")
        hv.run()
        assert vm.vcpu.x[9] == len(ONE_OF_EACH)
        assert seen == [eid for eid, *_ in REFUSED] + [0x53525354]
        assert vm.exit_counts["environment call from VS-mode"] == len(ONE_OF_EACH) + len(REFUSED) + 1


def test_who_wants_to_see_calls_sees_them_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def handler(exit_: SbiExit) -> bool:
        looked_at.append(exit_.eid)
        return False

    looked_at: list[int] = []
    eids = [eid for eid, *_ in ONE_OF_EACH] + [0x53525354]
    with Hypervisor("16M") as hv:
        hv.create("a", image(source(*ONE_OF_EACH)), memory="4M")
        assert [e.eid for e in hv.exits() if isinstance(e, SbiExit)] == eids
    for kind in (SbiExit, VmExit):
        looked_at.clear()
        with Hypervisor("16M") as hv:
            hv.create("a", image(source(*ONE_OF_EACH)), memory="4M")
            hv.on(kind, handler)  # type: ignore[type-var]
            hv.run()
        assert [eid for eid in looked_at if eid] == [eid for eid in eids if eid]
    with Hypervisor("16M", check_fences=True) as hv, counted(monkeypatch) as seen:
        hv.create("a", image(source(*ONE_OF_EACH)), memory="4M")
        hv.run()
        assert seen == eids


def test_a_handler_given_between_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with Hypervisor("16M") as hv, counted(monkeypatch) as seen:
        vm = hv.create("a", image(source(*ONE_OF_EACH)), memory="4M")
        while vm.exit_counts.get("environment call from VS-mode", 0) < 4:
            hv.run(max_steps=1)
        assert not seen
        hv.on(SbiExit, lambda exit_: False)
        hv.run()
        assert seen == [eid for eid, *_ in ONE_OF_EACH[4:]] + [0x53525354]


def test_a_software_interrupt_to_itself() -> None:
    """It comes before the next instruction, and the guest takes it back."""
    text = f"""
        la t0, handler; csrw stvec, t0
        csrwi sie, 2; csrsi sstatus, 2
        li a0, 1; li a1, 0; li a6, 0; li a7, {IPI}; ecall
    behind:
        li s2, 1
        {POWER_OFF}
        .balign 4
    handler:
        csrr s3, sepc; la s4, behind; csrr s5, scause; csrci sip, 2; sret
    """
    with Hypervisor("16M") as hv:
        vm = hv.create("a", image(text), memory="4M")
        hv.run()
        x = vm.vcpu.x
        assert (x[18], x[19] == x[20], x[21]) == (1, True, 1 << 63 | 1)


def test_every_call_has_a_function() -> None:
    for sbi in (GUEST_SBI, MACHINE_SBI):
        assert sbi.calls
        for eid, fid, _ in sbi.calls:
            assert fid in sbi.extensions[eid].functions
    assert {eid for eid, *_ in GUEST_SBI.calls} == {TIME, IPI, RFENCE, 0, 5, 6, 7}
    assert not any(fid > 2 for eid, fid, _ in GUEST_SBI.calls if eid == RFENCE)


# the bare machine's firmware


def bare(seed: int, harts: int, tier: str, *, fast: bool, chopped: bool = False) -> tuple[object, ...]:
    draw = random.Random(seed)
    machine = Machine(Memory(4 << 20), harts=harts, quantum=draw.choice((97, 10_000)), tier=tier)
    firmware = BuiltIn(machine)
    machine.memory.write(machine.memory.base, Assembler(ISA).program(calls(draw, 30, 40), machine.memory.base))
    for number in range(harts):
        firmware.start(number, machine.memory.base, 0)
        if not fast:
            machine.harts[number].state[SLOT["calls"]] = 0
    while machine.end is None:
        machine.run(draw.choice((1, 50, 3000)) if chopped else 1_000_000)
    states = [list(hart.state[:ARCH_WORDS]) for hart in machine.harts]
    machine.close()
    return machine.trace_hash(), machine.end, machine.steps, machine.clock, states


@TIERS
@pytest.mark.parametrize("harts", [1, 2])
@pytest.mark.parametrize("seed", range(3))
def test_random_calls_to_the_firmware(seed: int, harts: int, tier: str) -> None:
    expected = bare(seed, harts, tier, fast=False)
    assert bare(seed, harts, tier, fast=True) == expected
    assert bare(seed, harts, tier, fast=True, chopped=True) == expected


@pytest.mark.parametrize("harts", [1, 3])
def test_what_the_firmware_does_not_see(harts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interrupt to another hart is its; of harts that are not there it says so."""
    machine = Machine(Memory(4 << 20), harts=harts)
    firmware = BuiltIn(machine)
    mine = [*ONE_OF_EACH, (RFENCE, 0, (1 << harts) - 1, 0), (RFENCE, 0, 1 << harts - 1, 0), (RFENCE, 6, 1, harts - 1)]
    its = [(IPI, 0, 1 << harts, 0), (RFENCE, 0, 1, harts), *([(IPI, 0, 2, 0), (IPI, 0, 1, 1)] if harts > 1 else [])]
    if harts > 1:
        everyone = (IPI, 0, 0, -1)
        mine.remove(everyone)
        its.append(everyone)
    machine.memory.write(machine.memory.base, Assembler(ISA).program(source(*mine, *its), machine.memory.base))
    firmware.start(0, machine.memory.base, 0)
    with counted(monkeypatch) as seen:
        while machine.end is None:
            machine.run(10_000)
    assert seen == [eid for eid, *_ in its] + [0x53525354]
    assert machine.harts[0].state[SLOT["x9"]] == len(mine) + (3 if harts > 1 else 0)
