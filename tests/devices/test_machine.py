"""The bare machine: timers at their own step, waiting, several harts on one memory, HTIF, the same run however it is chopped."""

from __future__ import annotations

import random

import pytest

from rvhv.boot.loader import Software, prepare
from rvhv.cpu.state import SLOT
from rvhv.errors import ConfigError
from rvhv.images import image_path
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from rvhv.virtio.slots import fill_slots
from tests.devices.bare import POWER_OFF, RAM, RAM_SIZE, Bare

CLINT = 0x200_0000
MTIME = CLINT + 0xBFF8
SHARED = RAM + 0x8000  # memory that the harts of a test share
SLEEP = """
sleep:
    wfi
    j sleep
"""


def timer_source(body: str) -> str:
    return f"""
        la t0, trap
        csrrw x0, mtvec, t0
        li t0, 0x80
        csrrs x0, mie, t0
        li t0, 8
        csrrs x0, mstatus, t0
        {body}
    trap:
        csrrs s1, mcause, x0
        csrrs s2, time, x0
        csrrs s3, mepc, x0
        {POWER_OFF}
    """


@pytest.mark.parametrize("ticks", [1, 2, 7, 100])
@pytest.mark.parametrize("chops", [[10**6], [1], [3, 5, 7, 1, 64]])
def test_mtimecmp_interrupts_at_its_own_step(ticks: int, chops: list[int]) -> None:
    bare = Bare(
        timer_source(
            f"""
            li s0, {CLINT + 0x4000}
            li t0, {ticks}
            sd t0, 0(s0)
        spin:
            addi a1, a1, 1
            j spin
            """
        )
    )
    bare.run(chops=chops)
    assert bare.x(9) == 1 << 63 | 7
    assert bare.x(18) == ticks, "the handler's first instructions run in the very tick"
    hart = bare.machine.harts[0].state
    before = hart[SLOT["steps"]] - 3 - 5  # handler up to the csrrs of mepc, then to the power off
    assert before <= ticks * 100 + 1


def test_wfi_jumps_to_the_deadline() -> None:
    bare = Bare(timer_source(f"li s0, {CLINT + 0x4000}\n li t0, 123456789\n sd t0, 0(s0)\n wfi\n j spin\n spin: j spin\n"))
    bare.run(10_000)
    assert bare.reason == "powered off"
    assert bare.x(18) == 123456789
    assert bare.machine.steps < 100 and bare.machine.clock >= 123456789 * 100


def test_wfi_without_a_deadline_waits_for_the_world() -> None:
    bare = Bare(SLEEP)
    assert bare.machine.run(1000) is False
    assert bare.machine.end is None and bare.machine.deadline is None


def test_mtime_can_be_set_and_read_in_parts() -> None:
    source = f"""
        li s0, {MTIME}
        li t0, 0x0000000500000006
        sd t0, 0(s0)
        lwu a1, 4(s0)
        lwu a2, 0(s0)
        csrrs a3, time, x0
        {POWER_OFF}
    """
    bare = Bare(source).run()
    assert (bare.x(11), bare.x(12), bare.x(13)) == (5, 6, 0x5_0000_0006)


def test_harts_begin_with_their_numbers_and_take_turns() -> None:
    source = f"""
        csrrs t0, mhartid, x0
        slli t1, t0, 3
        la t2, marks
        add t2, t2, t1
        addi t3, a0, 1
        sd t3, 0(t2)
        bne t0, x0, sleep
        la t2, marks
        li t4, 4
    wait:
        ld t5, 24(t2)
        bne t5, t4, wait
        {POWER_OFF}
        {SLEEP}
    marks:
        .zero 64
    """
    bare = Bare(source, harts=4).run()
    assert bare.reason == "powered off"


@pytest.mark.parametrize("harts", [0, 9])
def test_number_of_harts(harts: int) -> None:
    with pytest.raises(ConfigError, match="1 to 8 harts"):
        Machine(Memory(RAM_SIZE), harts=harts)


@pytest.mark.parametrize("quantum", [1, 2, 3, 5, 7, 16, 100, 10_000])
def test_a_lock_and_a_counter_under_any_quantum(quantum: int) -> None:
    """A quantum shorter than an LR/SC sequence would starve the lock: from 7 on it always gets on, and AMOs always do."""
    lock = quantum >= 7
    source = f"""
        li s0, {SHARED}
        li s1, 50
    again:
    {'''
        li t1, 1
    take:
        lr.w t0, (s0)
        bne t0, x0, take
        sc.w t0, t1, (s0)
        bne t0, x0, take
        ld t2, 8(s0)
        addi t2, t2, 1
        sd t2, 8(s0)
        amoswap.w x0, x0, (s0)
    ''' if lock else ""}
        addi t3, s0, 16
        li t4, 1
        amoadd.d x0, t4, (t3)
        addi s1, s1, -1
        bne s1, x0, again
        addi t3, s0, 24
        amoadd.d x0, t4, (t3)
        bne a0, x0, sleep
        li t5, 3
    wait:
        ld t6, 24(s0)
        bne t5, t6, wait
        {POWER_OFF}
        {SLEEP}
    """
    bare = Bare(source, harts=3, quantum=quantum).run(3_000_000)
    assert bare.reason == "powered off"
    assert bare.machine.memory.read_u64(SHARED + 16) == 150
    assert bare.machine.memory.read_u64(SHARED + 8) == (150 if lock else 0)


def test_a_reservation_ends_with_the_turn() -> None:
    """Hart 1 stores to the reserved word between hart 0's LR and SC."""
    source = f"""
        li s0, {SHARED}
        bne a0, x0, other
        lr.d t0, (s0)
        li t1, 200
    delay:
        addi t1, t1, -1
        bne t1, x0, delay
        li t0, 5
        sc.d s1, t0, (s0)
        ld s2, 0(s0)
        {POWER_OFF}
    other:
        li t0, 9
        sd t0, 0(s0)
        {SLEEP}
    """
    bare = Bare(source, harts=2, quantum=100).run()
    assert (bare.x(9), bare.x(18)) == (1, 9)


@pytest.mark.boundscheck
def test_code_that_another_hart_changes() -> None:
    """Hart 1 has written the page, so that its TLB lets it, before hart 0 executes it; then hart 1 changes it."""
    source = f"""
        li s0, {SHARED}
        li s3, {SHARED + 0x1000}
        bne a0, x0, other
    first_wait:
        lw t0, 0(s0)
        beq t0, x0, first_wait
        jalr ra, 0(s3)
        mv s1, a1
        li t0, 1
        sw t0, 4(s0)
    wait:
        lw t0, 8(s0)
        beq t0, x0, wait
        jalr ra, 0(s3)
        mv s2, a1
        {POWER_OFF}
    other:
        la s4, replacement
        lw s5, 0(s4)
        lw s6, 4(s4)
        lw s7, 8(s4)
        sw s5, 0(s3)
        sw s7, 4(s3)
        li t0, 1
        sw t0, 0(s0)
    other_wait:
        lw t0, 4(s0)
        beq t0, x0, other_wait
        sw s6, 0(s3)
        li t0, 1
        sw t0, 8(s0)
        {SLEEP}
    replacement:
        addi a1, x0, 1
        addi a1, x0, 2
        ret
    """
    for quantum in (10, 33, 1000):
        bare = Bare(source, harts=2, quantum=quantum).run()
        assert bare.reason == "powered off"
        assert (bare.x(9), bare.x(18)) == (1, 2), quantum


@pytest.mark.boundscheck
def test_page_tables_that_another_hart_changes() -> None:
    """Hart 0 has a translation in its TLB; hart 1 changes the PTE with a plain store, and no fence is needed."""
    pmp = "li t0, -1\n csrrw x0, pmpaddr0, t0\n li t0, 0x1f\n csrrw x0, pmpcfg0, t0\n"
    from rvhv.core.registry import ISA

    source = f"""
        li s0, {SHARED}
        li s3, {RAM + 0x10000}
        bne a0, x0, other
        la t0, trap
        csrrw x0, mtvec, t0
        {pmp if "pmpcfg0" in ISA.csrs else ""}
        li t0, {8 << 60 | (RAM + 0x10000) >> 12}
        csrrw x0, satp, t0
        li t0, 0x1800
        csrrc x0, mstatus, t0
        li t0, 0x800
        csrrs x0, mstatus, t0
        la t0, payload
        csrrw x0, mepc, t0
        mret
    payload:
        li s4, 0x40000000
        ld s1, 0(s4)
        li t0, 1
        sw t0, 0(s0)
    wait:
        ld s2, 0(s4)
        lw t0, 4(s0)
        beq t0, x0, wait
        ld s2, 0(s4)
        ecall
    trap:
        {POWER_OFF}
    other:
        lw t0, 0(s0)
        beq t0, x0, other
        li t0, {(RAM + 0x200000) >> 12 << 10 | 0xC7}
        li t1, {RAM + 0x13000}
        sd t0, 0(t1)
        li t0, 1
        sw t0, 4(s0)
        {SLEEP}
    """
    for quantum in (7, 50, 1000):
        bare = Bare(source, harts=2, quantum=quantum)
        memory = bare.machine.memory
        memory.write_u64(RAM + 0x10000 + 16, RAM >> 12 << 10 | 0xCF)
        memory.write_u64(RAM + 0x10000 + 8, (RAM + 0x12000) >> 12 << 10 | 1)
        memory.write_u64(RAM + 0x12000, (RAM + 0x13000) >> 12 << 10 | 1)
        memory.write_u64(RAM + 0x13000, (RAM + 0x201000) >> 12 << 10 | 0xC7)
        memory.write_u64(RAM + 0x201000, 111)
        memory.write_u64(RAM + 0x200000, 222)
        bare.run()
        assert bare.reason == "powered off"
        assert (bare.x(9), bare.x(18)) == (111, 222), quantum


def smp(chops: list[int]) -> tuple[object, ...]:
    printed = bytearray()
    machine = Machine(Memory(8 << 20), harts=2, on_output=printed.extend)
    fill_slots(machine, [], 0)
    prepare(Software(image=image_path("smp")), memory=8 << 20, harts=2).start(machine)
    chops = list(chops)
    while machine.end is None:
        machine.run(chops.pop(0) if len(chops) > 1 else chops[0])
    assert machine.end.reason == "powered off"
    return machine.trace_hash(), machine.steps, machine.clock, bytes(printed)


def test_smp_runs_the_same_however_it_is_chopped() -> None:
    whole = smp([10**9])
    text = bytes(whole[3]).decode()  # type: ignore[call-overload]
    assert "2000 software interrupts" in text and text.endswith("smp: done\n")
    random_ = random.Random(3)
    assert smp([random_.randrange(1, 2000) for _ in range(5000)] + [100_000]) == whole


def test_flushing_changes_nothing() -> None:
    whole = smp([10**9])
    printed = bytearray()
    machine = Machine(Memory(8 << 20), harts=2, on_output=printed.extend)
    fill_slots(machine, [], 0)
    prepare(Software(image=image_path("smp")), memory=8 << 20, harts=2).start(machine)
    random_ = random.Random(4)
    while machine.end is None:
        machine.run(random_.randrange(1, 20_000))
        random_.choice(machine.harts).flush()
    assert (machine.trace_hash(), machine.steps, machine.clock, bytes(printed)) == whole


def test_trap_loops_end_the_machine() -> None:
    bare = Bare("csrrw x0, mtvec, x0\n .word 0\n").run(100_000)
    assert bare.reason == "trap loop at pc 0x0, cause 0x1 (instruction access fault)"
    assert bare.machine.end is not None and bare.machine.end.failed
