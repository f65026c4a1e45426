"""Exactness to the step: a budget, a timer, a flush or a store at every instruction of a loop; floating point in every mode and
state of FS; and the shipped guests, whose exits must hash to the same in every tier."""

from __future__ import annotations

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hv import Hypervisor
from rvhv.isa.render.asm import Assembler
from tests.diff.floats import register as float_register
from tests.diff.states import rng_for, value
from tests.diff.twins import Twins
from tests.diff.worlds import CODE, DATA, HANDLER, SIZE, frame

ASM = Assembler(ISA)
STCE = 1 << 63
LOOP = """
again:
    addi x5, x5, 1
    ld x6, 0(x8)
    add x6, x6, x5
    sd x6, 8(x8)
    lr.d x10, (x8)
    addi x10, x10, 1
    sc.d x11, x10, (x8)
    rdinstret x12
    rdtime x13
    jal x1, sub
    csrrw x14, mscratch, x5
    andi x7, x5, 3
    bnez x7, again
    fadd.d f1, f2, f3
    fence.i
    amoadd.w x15, x5, (x8)
    c.nop
    j again
sub:
    mul x16, x5, x6
    ret
"""
HANDLER_SOURCE = """
    csrr x30, mcause
    csrr x31, mepc
    add x29, x29, x31
    addi x28, x28, 1
    li x31, -1
    csrw stimecmp, x31
    mret
"""
LENGTH = 80  # steps: more than the loop's longest round


def looping() -> Twins:
    twins = Twins(SIZE)
    twins.write(frame(HANDLER), ASM.program(HANDLER_SOURCE, frame(HANDLER)))
    twins.write(frame(CODE), ASM.program(LOOP, frame(CODE)))
    twins.translate(frame(CODE), [0])
    return twins


def begin(twins: Twins) -> None:
    twins.reset()
    twins.set("pc", frame(CODE))
    twins.set("x8", frame(DATA))
    twins.write_csr("mtvec", frame(HANDLER))
    twins.write_csr("menvcfg", STCE)
    twins.write_csr("mie", 1 << 5)
    for hart in twins.harts:
        hart.state[SLOT["mstatus"]] |= 1 << 3


def test_budgets_at_every_instruction() -> None:
    twins = looping()
    begin(twins)
    for start in range(LENGTH):
        begin(twins)
        for budget in (start, *range(1, 25)):
            if budget:
                assert twins.run(budget) == (0, 0)
                twins.check(f"budget {budget}, start {start}")
    assert twins.region_steps > 10_000


def test_a_timer_at_every_instruction() -> None:
    twins = looping()
    for at in range(2 * LENGTH):
        begin(twins)
        now = twins.plain.state[SLOT["clock"]] // 100 * 100 + 200 - at % 100
        for hart in twins.harts:
            hart.state[SLOT["clock"]] = now
        twins.write_csr("stimecmp", now // 100 + 1 + (at >= 100))
        assert twins.run(LENGTH * 3) == (0, 0)
        twins.check(f"timer after {at} steps")
        assert twins.plain.state[SLOT["x28"]] == 1
    assert twins.region_steps > 5_000


def test_a_flush_or_a_store_after_every_step() -> None:
    """Dropped, a region is not entered again; what it held is in the state."""
    twins = looping()
    begin(twins)
    for n in range(2 * LENGTH):
        twins.run(1 + n % 7)
        twins.check(f"step {n}")
        if n % 3 == 0:
            twins.flush()
        elif n % 3 == 1:
            twins.write(frame(CODE) + 4 * (n % 16), twins.memories[0].read(frame(CODE) + 4 * (n % 16), 4))
        if n % 16 == 0:
            twins.translate(frame(CODE), [0])


FLOATS = "\n".join(
    f"f{op}.{fmt} f{1 + n % 5}, f{(n + 1) % 6}, f{(n + 3) % 7}"
    for n, (op, fmt) in enumerate((op, fmt) for op in ("add", "sub", "mul", "div", "min", "sgnjx") for fmt in "dsh")
)
FLOAT_LOOP = f"""
again:
{FLOATS}
    fmadd.d f1, f2, f3, f4
    fnmsub.s f2, f3, f4, f5, rdn
    fsqrt.d f3, f4
    fcvt.d.w f6, x5
    fcvt.l.d x6, f1, rtz
    fcvt.s.d f4, f1
    feq.d x7, f1, f2
    flt.s x7, f3, f4
    csrrwi x9, fflags, 0
    fmul.d f5, f1, f2
    csrr x10, fcsr
    csrw frm, x5
    fadd.d f0, f1, f5
    addi x5, x5, 1
    andi x5, x5, 3
    fsd f0, 0(x8)
    fld f2, 8(x8)
    j again
"""


@pytest.mark.parametrize("mode", [(3, 0), (1, 0), (1, 1), (0, 1)], ids=["M", "S", "VS", "VU"])
def test_floats(mode: tuple[int, int]) -> None:
    """Every rounding mode, reserved ones too, NX set or not, FS in each state, of the hypervisor and of the guest."""
    rng = rng_for("tiers", "floats", *mode)
    twins = Twins(SIZE)
    twins.write(frame(HANDLER), ASM.program("h: j h", frame(HANDLER)))
    twins.write(frame(CODE), ASM.program(FLOAT_LOOP, frame(CODE)))
    for n in range(160):
        twins.reset()
        twins.write_csr("mtvec", frame(HANDLER))
        twins.set("mstatus", rng.choice((3, 3, 3, 2, 1, 0)) << 13)
        twins.set("vsstatus", rng.choice((3, 3, 2, 1, 0)) << 13)
        twins.set("fcsr", rng.choice((0, 1, rng.randrange(256))))
        for i in range(32):
            twins.set(f"f{i}", float_register(rng))
            if i:
                twins.set(f"x{i}", value(rng))
        twins.set("x5", rng.randrange(5))
        twins.set("x8", frame(DATA))
        twins.set("prv", mode[0])
        twins.set("v", mode[1])
        twins.set("pc", frame(CODE))
        if n % 40 == 0:
            twins.translate(frame(CODE), [0])
        for _ in range(4):
            twins.run(rng.randrange(1, 60))
            twins.check(f"floats {n} in {mode}")
    assert twins.region_steps > 1000


@pytest.mark.parametrize("guests", [("hello",), ("tasks",), ("disk",), ("rogue",), ("hello", "tasks", "tasks")], ids=" ".join)
def test_trace_hashes(guests: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> None:
    """VMs of the same guest share their regions, and are switched in the middle of them."""
    outcomes = []
    for tier in ("interp", "jit", "auto"):
        disk = tmp_path_factory.mktemp("disk") / "disk.raw"
        disk.write_bytes(bytes(1 << 20))
        with Hypervisor("64M", tier=tier, slice_steps=20_011) as hv:
            for n, guest in enumerate(guests):
                hv.create(f"{guest}-{n}", guest, memory="8M", disk=disk if guest == "disk" else None)
            hv.run(max_steps=6_000_000)
            assert (hv.hart.state[SLOT["region_steps"]] > 100_000) == (tier == "jit") or tier == "auto" or guests == ("hello",)
            outcomes.append((hv.trace_hash(), hv.steps, [(vm.steps, vm.instructions) for vm in hv.vms], disk.read_bytes()))
    assert outcomes[0] == outcomes[1] == outcomes[2]
