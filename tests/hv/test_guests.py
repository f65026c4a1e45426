"""Guests on the real hart: the built-in ones, small assembled ones, and what must not change what they do."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rvhv.core.registry import ISA
from rvhv.hart import Hart
from rvhv.hv import EXIT_COST, VM, Hypervisor, MmioExit, SbiExit, WfiExit
from rvhv.hv.world import World
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment

DISK = bytes(i * i >> 3 & 0xFF for i in range(512 * 40))
POWER_OFF = "li a7, 0x53525354; li a6, 0; li a0, 0; li a1, 0; ecall"


class Session:
    """A hypervisor whose console output is kept."""

    def __init__(self, **options: Any) -> None:
        self.hv = Hypervisor(**options)
        self.merged: list[tuple[str, bytes]] = []
        self.hv.on_console = lambda vm, data: self.merged.append((vm.name, data))

    def text(self, name: str) -> str:
        return b"".join(data for vm, data in self.merged if vm == name).decode()

    def outcome(self) -> tuple[object, ...]:
        """All that a run is a function for."""
        return (
            self.merged,
            self.hv.trace_hash(),
            self.hv.virtual_ns,
            [(vm.trace_hash(), vm.reason, vm.instructions, vm.steps, vm.virtual_ns) for vm in self.hv.vms],
        )


def program(source: str) -> Image:
    code = Assembler(ISA).program(source, BOARD.image_base)
    return Image("assembled", BOARD.image_base, (Segment(BOARD.image_base, code, 4096),), b"")


def run(hv: Hypervisor) -> None:
    hv.run()


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(DISK)
    return path


def together(disk: Path, play: Callable[[Hypervisor], None], **options: Any) -> Session:
    """All four side by side."""
    disk.write_bytes(DISK)
    session = Session(slice_steps=100_000, **options)
    for name in ("hello", "tasks", "disk", "rogue"):
        session.hv.create(name, disk=disk if name == "disk" else None)
    play(session.hv)
    session.hv.close()
    return session


class TestBuiltIn:
    def test_hello(self) -> None:
        session = Session()
        session.hv.create("hello", memory="4M")
        session.hv.run()
        text = session.text("hello")
        assert "hart 0" in text and "4096 KiB" in text and "version 3.0" in text
        assert session.hv.vms[0].reason == "powered off"

    def test_tasks(self) -> None:
        session = Session()
        session.hv.create("tasks")
        session.hv.run()
        assert "all results correct" in session.text("tasks")
        assert session.hv.vms[0].reason == "powered off"

    @pytest.mark.boundscheck
    def test_disk(self, disk: Path) -> None:
        session = Session()
        session.hv.create("disk", disk=disk)
        session.hv.run()
        assert hashlib.sha256(DISK).hexdigest() in session.text("disk")
        assert session.hv.vms[0].reason == "powered off"
        assert disk.read_bytes() == DISK

    @pytest.mark.boundscheck
    def test_rogue(self) -> None:
        session = Session()
        session.hv.create("rogue")
        session.hv.run()
        vm = session.hv.vms[0]
        assert ", 0 were not" in session.text("rogue")
        assert vm.failed and vm.reason.startswith("trap loop at pc ")
        assert session.hv.frames.available * 4096 == session.hv.memory_size

    @pytest.mark.parametrize("clock", ["machine", "vm"])
    def test_side_by_side_however_it_is_chopped(self, disk: Path, clock: str) -> None:
        def chopped(hv: Hypervisor) -> None:
            draw = random.Random(1)
            while not hv.finished:
                hv.run(max_steps=draw.choice((1, 2, 3, 1000, 54_321)))

        def by_exits(hv: Hypervisor) -> None:
            for _ in hv.exits():
                pass

        whole = together(disk, run, clock=clock).outcome()
        assert together(disk, run, clock=clock).outcome() == whole
        assert together(disk, chopped, clock=clock).outcome() == whole
        assert together(disk, by_exits, clock=clock).outcome() == whole

    def test_no_cache_is_state(self, disk: Path) -> None:
        def with_flushes(hv: Hypervisor) -> None:
            draw = random.Random(2)
            while not hv.finished:
                hv.run(max_steps=draw.randrange(1, 200_000))
                hv.hart.flush()

        whole = together(disk, run).outcome()
        assert together(disk, with_flushes).outcome() == whole
        assert together(disk, run, hart=lambda memory: Hart(memory, tlb_bits=1)).outcome() == whole

    def test_a_step_at_a_time(self) -> None:
        def play(chop: int | None) -> tuple[object, ...]:
            session = Session(memory="16M", slice_steps=700)
            session.hv.create("hello", memory="4M")
            session.hv.create("hello 2", "hello", memory="4M")
            while not session.hv.finished:
                session.hv.run(max_steps=chop)
            return session.outcome()

        assert play(1) == play(None)

    def test_tasks_does_not_feel_rogue_with_a_clock_of_its_own(self) -> None:
        def tasks(*neighbours: str) -> tuple[object, ...]:
            session = Session(clock="vm", slice_steps=30_000)
            vm = session.hv.create("tasks")
            for name in neighbours:
                session.hv.create(name)
            session.hv.run()
            return vm.trace_hash(), vm.steps, vm.virtual_ns, session.text("tasks")

        assert tasks("rogue") == tasks() == tasks("hello", "rogue")

    def test_when_frames_run_out_the_others_go_on(self) -> None:
        session = Session(memory="4M")
        hv = session.hv
        hv.create("hello", memory="4M")
        hv.create(
            "hog", program("li t0, 0x80300000; more: sd t0, 0(t0); li t1, 4096; add t0, t0, t1; j more"), memory="4M"
        )
        hv.create("tasks", memory="4M")
        held = [hv.frames.alloc() for _ in range(hv.frames.available - 150)]
        hv.run()
        hello, hog, tasks = hv.vms
        assert hog.reason == "out of host frames: all of the machine's 4M are in use" and hog.failed
        assert hello.reason == tasks.reason == "powered off"
        assert (hv.frames.available + len(held)) * 4096 == hv.memory_size


class TestWaiting:
    TIMER = f"""
        li t0, 32; csrs sie, t0         # STIE
        li s0, 5
    again:
        csrr t1, time; addi t1, t1, 1000; csrw stimecmp, t1
        wfi
        csrr t2, time; bltu t2, t1, bad
        li a7, 1; li a0, 46; ecall      # putchar "."
        addi s0, s0, -1; bnez s0, again
        {POWER_OFF}
    bad: j bad
    """

    def test_a_timer_ends_a_wfi(self) -> None:
        session = Session()
        vm = session.hv.create("sleeper", program(self.TIMER), memory="4M")
        session.hv.run(max_steps=100_000)
        assert vm.reason == "powered off" and session.text("sleeper") == "....."
        assert vm.virtual_ns >= 5 * 1000 * 100 and vm.steps < 200
        assert vm.exit_counts["virtual instruction"] == 5

    def test_explained(self) -> None:
        session = Session()
        session.hv.create("sleeper", program(self.TIMER), memory="4M")
        sentences = [e.explain() for e in session.hv.exits() if isinstance(e, WfiExit)]
        assert len(sentences) == 5
        assert sentences[0].startswith("sleeper: `wfi` at pc 0x8020") and "timer's deadline" in sentences[0]

    def test_sleepers_share_the_machine(self) -> None:
        session = Session()
        vms = [session.hv.create(name, program(self.TIMER), memory="4M") for name in ("a", "b", "c")]
        session.hv.run(max_steps=100_000)
        assert all(vm.reason == "powered off" for vm in vms)
        assert session.hv.virtual_ns < 2 * 5 * 1000 * 100  # they slept at the same time
        assert [name for name, _ in session.merged[:6]] == ["a", "b", "c"] * 2

    EXTERNAL = f"""
        li s0, 0x0c000000
        li t0, 1; sw t0, 20(s0)         # priority of source 5
        li t1, 0x0c002080; li t0, 32; sw t0, 0(t1)  # enable it for context 1
        li s1, 0x0c201000; sw zero, 0(s1)           # threshold
        li t0, 512; csrs sie, t0        # SEIE
        wfi
        lw a0, 4(s1)                    # claim
        sw a0, 4(s1)                    # complete
        addi a0, a0, 48; li a7, 1; ecall
        {POWER_OFF}
    """

    def test_a_device_ends_a_wfi(self) -> None:
        session = Session()
        vm = session.hv.create("waiter", program(self.EXTERNAL), memory="4M")
        other = session.hv.create("other", program(self.TIMER), memory="4M")

        def on_idle() -> bool:
            assert vm.state == "asleep" and other.stopped
            vm.plic.set_level(5, True)
            return True

        session.hv.on_idle = on_idle
        session.hv.run(max_steps=100_000)
        assert vm.reason == "powered off" and session.text("waiter") == "5"

    def test_user_mode_may_not_wait(self) -> None:
        source = f"""
            j start
        user:
            wfi
        handler:
            csrr s0, scause; csrr s1, stval
            {POWER_OFF}
        start:
            li t0, handler; csrw stvec, t0
            li t0, user; csrw sepc, t0
            li t0, 0x100; csrc sstatus, t0
            sret
        """
        session = Session()
        vm = session.hv.create("u", program(source), memory="4M")
        session.hv.run()
        assert (vm.reason, vm.vcpu.x[8], vm.vcpu.x[9]) == ("powered off", 2, 0x10500073)

    def test_asleep_for_ever(self) -> None:
        session = Session()
        sleeper = session.hv.create("sleeper", program("wfi; j nothing; nothing: ebreak"), memory="4M")
        session.hv.create("hello", memory="4M")
        session.hv.run()
        assert sleeper.reason == "asleep with no deadline and nothing that could wake it"
        assert session.hv.vms[1].reason == "powered off"


class TestExits:
    def test_each_exit_is_charged(self) -> None:
        session = Session()
        vm = session.hv.create("hello", memory="4M")
        session.hv.run()
        assert vm.virtual_ns == vm.steps + EXIT_COST * sum(vm.exit_counts.values())

    def test_many_emulated_instructions_in_a_row_are_no_trap_loop(self) -> None:
        session = Session()
        source = "li a7, 16; li a6, 0; li s0, 0x10001000;" + "ecall; lw t0, 0(s0); lw t0, 4(s0);" * 900
        vm = session.hv.create("busy", program(source + POWER_OFF), memory="4M")
        session.hv.run()
        assert vm.reason == "powered off"

    def test_a_bad_trap_vector_is_a_trap_loop(self) -> None:
        session = Session()
        vm = session.hv.create("lost", program("li t0, 0x4000; csrw stvec, t0; ebreak"), memory="4M")
        session.hv.run()
        assert vm.reason == "trap loop at pc 0x4000, cause 0x1 (instruction access fault)"

    def test_a_handler_that_does_nothing_is_a_trap_loop(self) -> None:
        session = Session()
        session.hv.on(SbiExit, lambda exit_: True)
        vm = session.hv.create("stuck", program(POWER_OFF), memory="4M")
        session.hv.run()
        assert vm.reason == "trap loop at pc 0x80200014, cause 0xa (environment call from VS-mode)" + (
            "; the handler of SbiExit did not advance() over the instruction"
        )

    def test_compressed_and_wide_mmio(self) -> None:
        """c.lw and lwu of virtio's magic number; a store is seen by the device."""
        source = f"""
            li a0, 0x10001000
            c.lw a1, 0(a0); lwu a2, 0(a0); lw a3, 12(a0)
            li a4, 3; c.sw a4, 0x70(a0); c.lw a5, 0x70(a0)
            {POWER_OFF}
        """
        session = Session()
        vm = session.hv.create("m", program(source), memory="4M")
        seen = [e for e in session.hv.exits() if isinstance(e, MmioExit)]
        assert [(e.access.name, e.access.length, e.offset, e.value) for e in seen if e.access] == [
            ("lw", 2, 0, 0x74726976),
            ("lwu", 4, 0, 0x74726976),
            ("lw", 4, 12, 0x76687672),
            ("sw", 2, 0x70, 3),
            ("lw", 2, 0x70, 3),
        ]
        assert list(vm.vcpu.x[12:16]) == [0x74726976, 0x76687672, 3, 3]

    def test_user_mode_mmio_faults_go_to_the_guest_s_kernel(self) -> None:
        source = f"""
            j start
        user:
            li a0, 0x4000; lw a1, 0(a0)
        handler:
            csrr s0, scause; csrr s1, stval; csrr s2, sepc; csrr s3, sstatus
            {POWER_OFF}
        start:
            li t0, handler; csrw stvec, t0
            li t0, user; csrw sepc, t0
            li t0, 0x100; csrc sstatus, t0
            sret
        """
        session = Session()
        vm = session.hv.create("u", program(source), memory="4M")
        session.hv.run()
        assert vm.reason == "powered off"
        assert (vm.vcpu.x[8], vm.vcpu.x[9]) == (5, 0x4000)
        assert not vm.vcpu.x[19] & 0x100  # sstatus.SPP: it came from U-mode

    def test_a_handler_of_ones_own(self) -> None:
        calls: list[int] = []

        def handle(exit_: SbiExit) -> bool:
            calls.append(exit_.fid)
            if exit_.eid != 0x0A000000:
                return False
            exit_.vm.vcpu.x[10] = 0
            exit_.vm.vcpu.x[11] = exit_.args[0] * 2
            exit_.advance()
            return True

        session = Session()
        session.hv.on(SbiExit, handle)
        vm = session.hv.create(
            "custom", program(f"li a7, 0x0a000000; li a6, 3; li a0, 21; ecall; mv s0, a1; {POWER_OFF}"), memory="4M"
        )
        session.hv.run()
        assert vm.vcpu.x[8] == 42 and calls == [3, 0]


def test_vms_are_told_apart_in_the_trace() -> None:
    def hash_of(*names: str) -> str:
        session = Session()
        vms: list[VM] = [session.hv.create(name, "hello", memory="4M") for name in names]
        session.hv.run()
        assert len({vm.trace_hash() for vm in vms}) == 1  # the same guest does the same
        return session.hv.trace_hash()

    assert hash_of("a", "b") != hash_of("b", "a") != hash_of("a")


def test_a_world_switch_register_by_register_is_the_block_copy() -> None:
    """Nothing of a guest is anywhere else than in what `World` saves."""

    def run(**world: Any) -> str:
        hv = Hypervisor("16M", slice_steps=100_000, **world)
        for name in ("tasks", "twin"):
            hv.create(name, "tasks", memory="4M")
        hv.run(20_000_000)
        return hv.trace_hash()

    assert run(world=World) == run()
