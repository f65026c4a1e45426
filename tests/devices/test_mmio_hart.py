"""Accesses outside RAM by the bare machine: done once, by the bus, and finished through the row that made them."""

from __future__ import annotations

import random

import pytest

from rvhv.cpu.state import SLOT, Exit
from rvhv.hart import Hart
from rvhv.machine.memory import Memory
from tests.devices.bare import DEVICE, POWER_OFF, RAM, RAM_SIZE, Bare, assembled

MASK64 = (1 << 64) - 1
ANSWER = 0xFEDC_BA98_8765_4321
TRAP = f"""
    la t0, trap
    csrrw x0, mtvec, t0
    li s0, {DEVICE}
"""
HANDLER = f"""
    j done
trap:
    csrrs s1, mcause, x0
    csrrs s2, mtval, x0
    csrrs s3, mepc, x0
done:
{POWER_OFF}
"""


@pytest.mark.parametrize(
    ("insn", "size", "value"),
    [
        ("lb", 1, 0x21), ("lbu", 1, 0x21), ("lh", 2, 0x4321), ("lhu", 2, 0x4321),
        ("lw", 4, 0xFFFF_FFFF_8765_4321), ("lwu", 4, 0x8765_4321), ("ld", 8, ANSWER),
    ],
)  # fmt: skip
def test_loads_extend_as_their_rows_do(insn: str, size: int, value: int) -> None:
    bare = Bare(f"{TRAP} {insn} a0, 16(s0)\n {insn} x0, 32(s0)\n addi a1, x0, 7\n {HANDLER}")
    bare.device.answer = lambda offset, n: ANSWER
    bare.run()
    assert bare.reason == "powered off"
    assert (bare.x(10), bare.x(11), bare.x(0)) == (value, 7, 0)
    assert bare.device.seen == [("load", 16, size, 0), ("load", 32, size, 0)]


def test_compressed_accesses() -> None:
    bare = Bare(f"{TRAP} c.lw a0, 4(s0)\n c.ld a1, 8(s0)\n c.sw a0, 4(s0)\n c.sd a1, 8(s0)\n {HANDLER}")
    bare.device.answer = lambda offset, n: ANSWER
    bare.run()
    assert bare.x(10) == 0xFFFF_FFFF_8765_4321 and bare.x(11) == ANSWER
    assert bare.device.seen[2:] == [("store", 4, 4, 0x8765_4321), ("store", 8, 8, ANSWER)]


@pytest.mark.parametrize(("insn", "size"), [("sb", 1), ("sh", 2), ("sw", 4), ("sd", 8)])
def test_stores_are_seen_once_with_their_width(insn: str, size: int) -> None:
    bare = Bare(f"{TRAP} li a0, {ANSWER}\n {insn} a0, 8(s0)\n {HANDLER}")
    bare.run()
    assert bare.device.seen == [("store", 8, size, ANSWER & (1 << 8 * size) - 1)]


@pytest.mark.parametrize(
    ("access", "cause", "offset"),
    [
        ("lw a0, 0(s4)", 5, None),  # nothing is there
        ("sw a0, 0(s4)", 7, None),
        ("lw a0, 64(s0)", 5, 64),  # the device refuses
        ("sw a0, 64(s0)", 7, 64),
        ("lw a0, 2(s0)", 5, 2),  # misaligned
        ("sd a0, 4(s0)", 7, 4),
        ("lr.w a0, (s0)", 5, 0),
        ("sc.w a0, a1, (s0)", 7, 0),
        ("amoadd.w a0, a1, (s0)", 7, 0),
        ("jalr x0, 0(s0)", 1, 0),
    ],
)
def test_what_becomes_an_access_fault(access: str, cause: int, offset: int | None) -> None:
    bare = Bare(f"{TRAP} li s4, 0x60000000\n la s5, at\n li a0, 99\nat: {access}\n {HANDLER}")
    bare.device.refuses = {64}
    bare.run()
    assert bare.reason == "powered off"
    at = 0x6000_0000 if offset is None else DEVICE + offset
    assert (bare.x(9), bare.x(18)) == (cause, at)
    assert bare.x(19) == (at if cause == 1 else bare.x(21))
    assert bare.x(10) == 99, "rd is untouched"
    assert len(bare.device.seen) == (1 if offset == 64 else 0)


def test_an_access_that_straddles_the_end_of_ram_faults_and_stores_nothing() -> None:
    end = RAM + RAM_SIZE
    bare = Bare(f"{TRAP} li s4, {end - 4}\n li a0, -1\n sd a0, 0(s4)\n {HANDLER}").run()
    assert (bare.x(9), bare.x(18)) == (7, end)
    assert bare.machine.memory.read(end - 4, 4) == bytes(4)


def test_without_a_bus_nothing_has_changed() -> None:
    memory = Memory(RAM_SIZE)
    memory.write(RAM, assembled(f"li s0, {DEVICE}\n lw a0, 0(s0)\n"))
    hart = Hart(memory)
    hart.state[SLOT["pc"]] = RAM
    hart.state[SLOT["mtvec"]] = RAM + 0x100
    hart.run(2)
    assert hart.state[SLOT["mcause"]] == 5 and hart.state[SLOT["pc"]] == RAM + 0x100


def test_the_exit_leaves_the_instruction_undone() -> None:
    memory = Memory(RAM_SIZE)
    memory.write(RAM, assembled("lw a0, 8(s0)\n sw a1, 12(s0)\n"))
    hart = Hart(memory)
    state = hart.state
    state[SLOT["pc"]], state[SLOT["bus"]], state[SLOT["x8"]], state[SLOT["x11"]] = RAM, 1, DEVICE, ANSWER
    assert hart.run(100) == Exit.MMIO
    assert (state[SLOT["pc"]], state[SLOT["steps"]], state[SLOT["x10"]]) == (RAM, 0, 0)
    assert [state[SLOT[f"mmio_{n}"]] for n in ("spa", "size", "write")] == [DEVICE + 8, 4, 0]
    assert hart.run(100) == Exit.MMIO, "asked again when nobody answered"
    assert hart.complete_load(0x1_8000_0000) == Exit.BUDGET
    assert (state[SLOT["pc"]], state[SLOT["steps"]], state[SLOT["x10"]]) == (RAM + 4, 1, 0xFFFF_FFFF_8000_0000)
    assert hart.read_csr("minstret") == 1
    assert hart.run(100) == Exit.MMIO
    assert [state[SLOT[f"mmio_{n}"]] for n in ("spa", "size", "write")] == [DEVICE + 12, 4, 1]
    assert state[SLOT["mmio_value"]] & 0xFFFF_FFFF == ANSWER & 0xFFFF_FFFF
    assert hart.complete_store() == Exit.BUDGET
    assert (state[SLOT["pc"]], hart.read_csr("minstret")) == (RAM + 8, 2)


@pytest.mark.boundscheck
def test_an_instruction_across_two_pages() -> None:
    """Its halves lie on two pages, so that it is fetched anew for its completion."""
    memory = Memory(RAM_SIZE)
    memory.write(RAM + 0xFFE, assembled("lw a0, 8(s0)\n"))
    hart = Hart(memory)
    state = hart.state
    state[SLOT["pc"]], state[SLOT["bus"]], state[SLOT["x8"]] = RAM + 0xFFE, 1, DEVICE
    assert hart.run(9) == Exit.MMIO
    hart.flush()
    assert hart.complete_load(5) == Exit.BUDGET
    assert (state[SLOT["pc"]], state[SLOT["x10"]], state[SLOT["steps"]]) == (RAM + 0x1002, 5, 1)


def test_an_interrupt_that_the_access_raises_comes_after_it() -> None:
    source = f"""
        la t0, trap
        csrrw x0, mtvec, t0
        li t0, 8
        csrrs x0, mie, t0
        csrrs x0, mstatus, t0
        li s0, 0x2000000
        li t0, 1
    store:
        sw t0, 0(s0)
        addi a1, a1, 1
    trap:
        csrrs s1, mcause, x0
        csrrs s3, mepc, x0
        la s4, store
        {POWER_OFF}
    """
    bare = Bare(source)
    bare.run(chops=[1])
    assert bare.x(9) == 1 << 63 | 3
    assert bare.x(19) == bare.x(20) + 4 and bare.x(11) == 0


PROGRAM = f"""
    la t0, trap
    csrrw x0, mtvec, t0
    li s0, {DEVICE}
    li s1, 0x2000000
    li a5, 200
loop:
    ld a0, 0(s0)
    add a1, a1, a0
    sd a1, 8(s0)
    lw a2, 4(s0)
    sw a2, 2(s0)
back:
    lbu a3, 64(s0)
    csrrs a4, time, x0
    add a1, a1, a4
    ld a4, 0x7ff(s1)
    addi a5, a5, -1
    bne a5, x0, loop
    {POWER_OFF}
trap:
    csrrs t1, mepc, x0
    addi t1, t1, 4
    csrrw x0, mepc, t1
    mret
"""


def outcome(chops: list[int]) -> tuple[object, ...]:
    bare = Bare(PROGRAM)
    bare.device.refuses = {64}
    random_ = random.Random(1)
    bare.device.answer = lambda offset, size: random_.getrandbits(64)
    bare.run(chops=chops)
    assert bare.reason == "powered off"
    return bare.machine.trace_hash(), bare.machine.steps, bare.machine.clock, bare.x(11), tuple(bare.device.seen)


def test_any_budgets_make_the_same_run() -> None:
    whole = outcome([10**6])
    assert outcome([1]) == whole
    assert outcome([random.Random(2).randrange(1, 50) for _ in range(1000)]) == whole


def test_a_page_table_can_map_a_device() -> None:
    """S-mode reaches the device through Sv39; the same page without W is a page fault, not an access."""
    source = f"""
        la t0, trap
        csrrw x0, mtvec, t0
        li t0, {8 << 60 | (RAM + 0x10000) >> 12}
        csrrw x0, satp, t0
        li t0, 0x1800
        csrrc x0, mstatus, t0
        li t0, 0x800
        csrrs x0, mstatus, t0
        la t0, payload
        csrrw x0, mepc, t0
        PMP
        mret
    payload:
        li s0, 0x40000000
        lwu a0, 0x10(s0)
        sw a0, 0x10(s0)
        j .
    trap:
        csrrs s1, mcause, x0
        csrrs s2, mtval, x0
        {POWER_OFF}
    """
    from rvhv.core.registry import ISA

    pmp = "li t0, -1\n csrrw x0, pmpaddr0, t0\n li t0, 0x1f\n csrrw x0, pmpcfg0, t0\n" if "pmpcfg0" in ISA.csrs else ""
    bare = Bare(source.replace("PMP", pmp))
    v, r, w, x, a, d = 1, 2, 4, 8, 0x40, 0x80
    root = RAM + 0x10000
    memory = bare.machine.memory
    memory.write_u64(root + 8 * 2, RAM >> 12 << 10 | v | r | w | x | a | d)  # RAM, a gigapage
    memory.write_u64(root + 8 * 1, (DEVICE & -(1 << 30)) >> 12 << 10 | v | r | a | d)  # readable only
    bare.device.base -= bare.device.base & (1 << 30) - 1
    bare.machine.bus = type(bare.machine.bus)()
    for device in (bare.device, bare.machine.finisher):
        bare.machine.bus.attach(device)
    bare.device.answer = lambda offset, n: ANSWER
    bare.run()
    assert bare.x(10) == 0x8765_4321
    assert (bare.x(9), bare.x(18)) == (15, 0x4000_0010)
    assert bare.device.seen == [("load", 16, 4, 0)]
