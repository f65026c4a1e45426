"""What stops cost, counted and not timed: translated code goes on running where nothing can stop."""

from __future__ import annotations

import pytest

from rvhv.core.stop_table import Access, CsrStop, Space, Stops
from rvhv.cpu.state import SLOT
from rvhv.debug.target import VmTarget
from tests.debug.programs import POWER_OFF, guests

ROUNDS = 20_000
LOOP = (
    f"""
start:
    li s0, {ROUNDS}
    la s1, data
    j loop
    .balign 4096
loop:
    ld s2, 0(s1)
    addi s2, s2, 1
    sd s2, 0(s1)
    lw s3, 60(s1)
    sb s3, 6(s1)
    addi s0, s0, -1
    bnez s0, loop
    j end
    .balign 4096
end:
"""
    + POWER_OFF
    + """
    .balign 4096
data: .zero 4096
"""
)


def share(target: VmTarget) -> float:
    """The part of all steps that regions made."""
    while not target.finished:
        target.run()
    assert not target.hv.vms[0].failed
    state = target.hv.hart.state
    return state[SLOT["region_steps"]] / state[SLOT["steps"]]


def data_of(target: VmTarget) -> int:
    return target.contexts[0].images[0].symbols["data"]


def nothing(stops: Stops, target: VmTarget) -> None: ...


def breakpoints(stops: Stops, target: VmTarget) -> None:
    for i in range(100):
        stops.add_breakpoint(data_of(target) + 2 * i)


def a_page_away(stops: Stops, target: VmTarget) -> None:
    stops.add_watchpoint(data_of(target) + 4096, 8, Access.READ | Access.WRITE)


def another_line(stops: Stops, target: VmTarget) -> None:
    stops.add_watchpoint(data_of(target) + 64, 8, Access.READ | Access.WRITE)


def another_line_of_the_guests_memory(stops: Stops, target: VmTarget) -> None:
    stops.add_watchpoint(data_of(target) + 4088, 8, Access.READ | Access.WRITE, space=Space.GUEST_PHYSICAL)


def traps(stops: Stops, target: VmTarget) -> None:
    stops.add_trap_catch([2])


def a_csr(stops: Stops, target: VmTarget) -> None:
    stops.add_csr_watch("vsscratch")


@pytest.mark.parametrize(
    "stop",
    [nothing, breakpoints, a_page_away, another_line, another_line_of_the_guests_memory, traps, a_csr],
    ids=lambda stop: stop.__name__,
)
def test_regions_run_beside_stops(stop: object) -> None:
    assert callable(stop)
    target = guests(LOOP, tier="jit")
    stop(target.stops, target)
    assert share(target) > 0.9


def test_a_line_that_is_watched_is_the_interpreters() -> None:
    """And the stops are those of the interpreter."""
    seen = []
    for tier in ("interp", "jit"):
        target = guests(LOOP, tier=tier)
        target.stops.add_watchpoint(data_of(target) + 60, 4, Access.READ)
        stops = 0
        while not target.finished and stops < 100:
            halt = target.run()
            stops += halt.stop is not None
        seen.append((stops, target.steps, target.contexts[0].pc))
    assert seen[0] == seen[1]


def test_a_csr_that_is_written_in_a_region() -> None:
    source = "start: li s0, 100\nloop: csrw sscratch, s0\naddi s0, s0, -1\nbnez s0, loop" + POWER_OFF
    seen = []
    for tier in ("interp", "jit"):
        target = guests(source, tier=tier)
        target.stops.add_csr_watch("vsscratch")
        seen.append([])
        while not target.finished:
            stop = target.run().stop
            if isinstance(stop, CsrStop):
                seen[-1].append((stop.old, stop.new, stop.pc, target.steps))
    assert seen[0] == seen[1] and len(seen[0]) == 100


# a page that is data, becomes code, is patched, and is watched in another line
PATCHED = (
    """
start:
    la s1, data
    la s2, codes
    li s3, 3000
again:
    li s4, 20
fill:
    sd s4, 128(s1)
    addi s4, s4, -1
    bnez s4, fill
    andi t0, s3, 8
    add t0, t0, s2
    lw t1, 0(t0)
    sw t1, 64(s1)
    lw t1, 4(t0)
    sw t1, 68(s1)
    fence.i
    addi t2, s1, 64
    jalr ra, t2
    addi s3, s3, -1
    bnez s3, again
"""
    + POWER_OFF
    + """
    .balign 8
codes:
    addi s5, s5, 1
    ret
    c.nop
    addi s5, s5, 16
    ret
    c.nop
    .balign 4096
data: .zero 4096
"""
)


def test_code_beside_a_watched_line() -> None:
    """A frame that gets a flag takes the right to store beside away: what was derived is dropped."""
    seen = []
    for tier, watched in (("interp", False), ("jit", False), ("interp", True), ("jit", True)):
        target = guests(PATCHED, tier=tier)
        if watched:
            target.stops.add_watchpoint(data_of(target) + 1024, 8, Access.READ | Access.WRITE)
        share(target)
        context = target.contexts[0]
        seen.append((context.x[21], target.steps, target.hv.trace_hash()))
    assert len(set(seen)) == 1
    assert seen[0][0] == sum(16 if n & 8 else 1 for n in range(1, 3001))
