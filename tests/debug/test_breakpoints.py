"""Breakpoints, watchpoints and catches: what stops, what counts, and that the guests do not notice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rvhv import Hypervisor
from rvhv.boot.firmware import BuiltIn
from rvhv.core.stop_table import MOST_STOPS
from rvhv.debug.breakpoints import Breakpoints
from rvhv.debug.target import Ended, Target, VmTarget
from rvhv.debug.view import plain
from rvhv.errors import ConfigError, RvhvError
from rvhv.machine.board import BOARD
from tests.debug.programs import POWER_OFF, RAM, guests, machine
from tests.debug.test_target import bare, hosted

LOOP = (
    """
start:
    li s0, 0
    la s1, data
loop:
    addi s0, s0, 1
    sd s0, 0(s1)
    ld s2, 8(s1)
    amoadd.w s3, s0, (s1)
    li t0, 20
    bltu s0, t0, loop
"""
    + POWER_OFF
    + """
    .balign 4096
data: .zero 4096
"""
)
TRAPS = (
    """
start:
    la t0, handler
    csrw stvec, t0
    li s0, 3
again:
    ebreak
    unimp
    addi s0, s0, -1
    bnez s0, again
"""
    + POWER_OFF
    + """
    .balign 4
handler:
    csrr t0, sepc
    addi t0, t0, 4
    csrw sepc, t0
    sret
"""
)


def finished(target: Target) -> tuple[object, ...]:
    """Run to the end; what is left."""
    assert target.run().ended is Ended.FINISHED
    assert target.hv is not None
    return target.hv.trace_hash(), target.steps, target.virtual_ns


def through(points: Breakpoints) -> list[int]:
    """Run to the end; the numbers of what counted."""
    seen = []
    while (outcome := points.run()).breakpoint is not None:
        seen.append(outcome.breakpoint.number)
        assert len(seen) < 1000
    assert outcome.halt.ended is Ended.FINISHED
    return seen


def test_a_breakpoint() -> None:
    plain_run = finished(guests(LOOP))
    target = guests(LOOP)
    points = Breakpoints(target)
    one = points.add("break", "loop")
    outcome = points.run()
    assert outcome.breakpoint is one and one.hits == 1
    assert outcome.context.pc == outcome.context.images[0].symbols["loop"]
    assert "is about to execute" in plain(outcome.lines()) and "loop" in plain(outcome.lines())
    assert len(through(points)) == 19 and one.hits == 20
    assert finished(target) == plain_run


def test_conditions_counts_and_temporary_ones() -> None:
    points = Breakpoints(guests(LOOP))
    third = points.add("break", "loop if s0 == 2")
    later = points.add("break", "loop ignore=15")
    once = points.add("tbreak", "loop+4")
    never = points.add("break", "loop if s0 > 100")
    points.enable(points.add("break", "loop").number, False)
    seen = through(points)
    assert seen == [once.number, third.number, *[later.number] * 5]
    assert (third.hits, later.hits, once.hits, never.hits) == (1, 20, 1, 0)
    assert once not in list(points)


def test_two_at_one_place_share_the_machines_stop() -> None:
    target = guests(LOOP)
    points = Breakpoints(target)
    first, second = points.add("break", "loop if s0 == 5"), points.add("break", "*loop")
    assert len(target.stops) == 1
    points.remove(second.number)
    assert len(target.stops) == 1
    assert through(points) == [first.number]
    points.clear()
    assert len(target.stops) == 0


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("watch data", 40),  # sd and amoadd
        ("watch u32[data]", 40),
        ("watch *s1", 40),
        ("watch data+4 length=4", 20),  # the amo has four bytes
        ("rwatch data", 20),  # the amo
        ("rwatch data+8", 20),
        ("awatch data length=16", 60),
        ("watch g:data", 40),
        ("watch data+8", 0),
        ("rwatch data+7 length=2", 20),  # not the amo
    ],
)
def test_watchpoints(text: str, times: int) -> None:
    plain_run = finished(guests(LOOP))
    target = guests(LOOP)
    target.run(4)  # s1 is set
    points = Breakpoints(target)
    command, _, what = text.partition(" ")
    one = points.add(command, what)
    assert len(through(points)) == times == one.hits
    assert finished(target) == plain_run


def test_watching_host_memory_and_overlapping_watchpoints() -> None:
    """An access that meets two is counted for both, though the machine names one."""
    target = guests(LOOP)
    target.run(10)
    context = target.contexts[0]
    spa = context.walk(context.images[0].symbols["data"]).spa
    points = Breakpoints(target)
    host = points.add("watch", f"h:{spa:#x}")
    low, high = points.add("watch", "data length=4 if s0 == 7"), points.add("watch", "data+4 length=4")
    through(points)
    assert (host.hits > 30, low.hits, high.hits > 15) == (True, 2, True)


def test_a_page_crossing_access() -> None:
    """Each byte of an access counts, those on the next page too."""
    target = guests("start: la s1, data+4090\nli s0, 5\nspot: sd s0, 0(s1)" + POWER_OFF + ".balign 4096\ndata: .zero 8192\n")
    points = Breakpoints(target)
    first, second = (points.add("watch", f"{space}:data + {4096 + 1} length=1") for space in "vg")
    before, behind = points.add("watch", "data+4089 length=1"), points.add("watch", "data+4098 length=1")
    assert through(points) == [first.number]  # the second is met by the same access
    assert first.hits == second.hits == 1
    assert before.hits == behind.hits == 0


def test_csrs_traps_and_interrupts() -> None:
    plain_run = finished(guests(TRAPS))
    target = guests(TRAPS)
    points = Breakpoints(target)
    cause = points.add("watch", "vscause")
    spp = points.add("watch", "vsstatus.SPP")
    breakpoints = points.add("catch", "trap breakpoint")
    illegal = points.add("catch", "trap illegal-instruction if s0 == 2")
    interrupts = points.add("catch", "interrupt timer")
    outcome = points.run()
    assert outcome.breakpoint is breakpoints and "breakpoint, taken at" in plain(outcome.lines())
    assert outcome.context.pc == outcome.context.images[0].symbols["handler"]
    through(points)
    assert (breakpoints.hits, illegal.hits, interrupts.hits, cause.hits, spp.hits) == (3, 1, 0, 6, 12)
    assert finished(target) == plain_run


def test_exits_sbi_calls_and_notifications() -> None:
    plain_run = finished(hosted("hello", "tasks"))
    target = hosted("hello", "tasks")
    points = Breakpoints(target)
    call = points.add("catch", "sbi console_write vm=tasks")
    base = points.add("catch", "sbi base probe_extension")
    fault = points.add("catch", "exit guest-page-fault vm=hello gpa=0x80000000..0x8fffffff")
    outcome = points.run()
    assert outcome.breakpoint is not None and outcome.event is not None and outcome.event.exit is not None
    assert outcome.what() == outcome.event.exit.explain()
    seen = {outcome.breakpoint.number, *through(points)}
    assert seen == {call.number, base.number, fault.number}
    assert min(call.hits, base.hits, fault.hits) > 1
    assert target.hv.on_exit is not None
    points.clear()
    assert target.hv.on_exit is None
    assert finished(target) == plain_run


def with_a_disk(folder: Path) -> VmTarget:
    image = folder / "disk.raw"
    image.write_bytes(bytes(1 << 20))
    hv = Hypervisor("64M")
    hv.create("disk", memory="8M", disk=image)
    return VmTarget(hv)


def test_notifications(tmp_path: Path) -> None:
    plain_run = finished(with_a_disk(tmp_path))
    target = with_a_disk(tmp_path)
    points = Breakpoints(target)
    block = points.add("catch", "notify block")
    none = points.add("catch", "notify entropy")
    outcome = points.run()
    assert outcome.breakpoint is block
    assert outcome.what() == "disk notified queue 0 of virtio block"
    assert len(through(points)) == block.hits - 1 > 1 and none.hits == 0
    points.clear()
    assert all(transport.on_notify is None for _, transport in points._transports())
    assert finished(target) == plain_run


def test_two_vms_with_the_same_addresses() -> None:
    target = guests(LOOP, LOOP)
    points = Breakpoints(target)
    second = points.add("break", "loop vm=b if s0 == 3")
    watch = points.add("watch", "data vm=b ignore=39")
    outcome = points.run()
    assert (outcome.breakpoint, outcome.context.name) == (second, "b")
    outcome = points.run()
    assert (outcome.breakpoint, outcome.context.name) == (watch, "b")
    assert points.run().halt.ended is Ended.FINISHED
    # b has stopped: its breakpoints meet nothing any more, and can be made
    points.add("break", "loop vm=b")
    assert points.run().halt.ended is Ended.FINISHED


def test_a_condition_that_reads_what_is_not_there() -> None:
    """It counts as a hit, and is told once."""
    points = Breakpoints(guests(LOOP))
    one = points.add("break", "loop if u8[s0] == 1")
    first, second = points.run(), points.run()
    assert first.breakpoint is second.breakpoint is one and one.hits == 2
    assert len(first.notes) == 1 and "cannot be read" in first.notes[0] and second.notes == ()
    assert "cannot be read" in one.problem
    points.condition(one.number, "s0 == 5")
    points.run()
    assert one.hits == 3 and not one.problem


SELF_MODIFYING = (
    """
start:
    la s0, spot
    la s1, other
    lw s2, 0(s1)
    li s3, 3
again:
spot:
    addi s4, s4, 1
    sw s2, 0(s0)
    fence.i
    addi s3, s3, -1
    bnez s3, again
"""
    + POWER_OFF
    + "other: addi s4, s4, 16\n"
)
COMPRESSED = "start: li s0, 4\nagain: c.addi s0, -1\nspot: c.nop\nc.bnez s0, again" + POWER_OFF
# two pages of code at one virtual address, one behind the other
REMAPPED = (
    """
start:
    la s0, root
    la s1, leaf
    srli t0, s1, 2
    la t1, first
    li s2, 2
    li s5, 0x40000000
    li t3, 0x200000cf
    sd t3, 16(s0)
    la t3, middle
    srli t3, t3, 2
    ori t3, t3, 1
    sd t3, 8(s0)
    la t3, middle
    srli t0, s1, 2
    ori t0, t0, 1
    sd t0, 0(t3)
    srli t3, s0, 12
    li t4, 0x8000000000000000
    or t3, t3, t4
    csrw satp, t3
again:
    srli t0, t1, 2
    ori t0, t0, 0xcb
    sd t0, 0(s1)
    sfence.vma
    jalr ra, s5
    la t1, second
    addi s2, s2, -1
    bnez s2, again
"""
    + POWER_OFF
    + """
    .balign 4096
first: addi s3, s3, 1
    ret
    .balign 4096
second: addi s4, s4, 1
    ret
    .balign 4096
root: .zero 4096
middle: .zero 4096
leaf: .zero 4096
"""
)


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize(
    ("source", "place", "times"),
    [(SELF_MODIFYING, "spot", 3), (COMPRESSED, "spot", 4), (REMAPPED, "*0x40000000", 2), (REMAPPED, "again", 2)],
    ids=["modified", "compressed", "remapped", "before"],
)
def test_code_that_changes(tier: str, source: str, place: str, times: int) -> None:
    plain_run = finished(guests(source, tier=tier))
    target = guests(source, tier=tier)
    points = Breakpoints(target)
    one = points.add("break", place)
    assert through(points) == [one.number] * times
    assert target.contexts[0].status.startswith("asked to power off") or not target.hv.vms[0].failed
    assert finished(target) == plain_run


def test_hits_changes_nothing() -> None:
    target = guests(LOOP)
    points = Breakpoints(target)
    one = points.add("tbreak", "loop if s0 == 3")
    while True:
        halt = target.run()
        if points.hits(halt) is not None:
            break
    assert points.hits(halt) is one and one.hits == 0 and one in list(points)
    assert target.contexts[0].x[8] == 3
    points = Breakpoints(target := hosted("hello"))
    call = points.add("catch", "sbi ignore=5")
    halt = target.run()
    assert points.hits(halt) is call and (call.hits, call.ignore) == (0, 5)


def test_a_bare_machine() -> None:
    """Harts share their stops; who is meant is asked behind."""
    target = machine("start: li s0, 5\nagain: addi s0, s0, -1\nbnez s0, again\nstop: j stop\n", harts=2)
    points = Breakpoints(target)
    one, any_hart = points.add("break", "again hart=hart1"), points.add("break", "again ignore=2")
    seen = []
    while (outcome := points.run(2000)).breakpoint is not None:
        seen.append((outcome.breakpoint.number, outcome.context.name))
    assert outcome.halt.ended is Ended.BUDGET
    assert (one.hits, any_hart.hits) == (5, 10)
    assert [name for number, name in seen if number == one.number] == ["hart1"] * 5


def test_catches_on_a_bare_machine() -> None:
    """A payload calls the firmware in Python; monitor is a hypervisor of its own."""
    target = machine("start: li a7, 0x10\nli a6, 3\nli a0, 1\necall\nmv s0, a1\nloop: j loop")
    BuiltIn(target.machine).boot(RAM, 0)
    points = Breakpoints(target)
    call = points.add("catch", "sbi probe_extension")
    outcome = points.run()
    assert outcome.breakpoint is call and outcome.context.mode == "M"
    assert "environment call" in outcome.what() and outcome.context.x[17] == 0x10
    assert points.run(100).halt.ended is Ended.BUDGET and call.hits == 1
    target.close()
    target = bare("monitor")
    points = Breakpoints(target)
    exits = points.add("catch", "exit guest-page-fault")
    outcome = points.run(50_000_000)
    assert outcome.breakpoint is exits and outcome.context.mode == "S"
    points.clear()
    assert points.add("catch", "sbi console_write")
    assert points.run(50_000_000).breakpoint is not None
    target.close()


def test_a_run_ends_for_other_reasons() -> None:
    target = guests(LOOP)
    points = Breakpoints(target)
    points.add("break", "loop if s0 > 100")
    before = target.steps
    assert points.run(50).halt.ended is Ended.BUDGET and target.steps == before + 50
    target.interrupt()
    assert points.run().halt.ended is Ended.INTERRUPTED
    target.stops.add_breakpoint(BOARD.image_base + 8)  # somebody else's
    assert points.run().halt.ended is Ended.FINISHED


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        ("break", "nothing", "no symbol"),
        ("break", "lop", "did you mean loop"),
        ("break", "loop+1", "odd address"),
        ("break", "loop vm=c", "no VM or hart c"),
        ("break", "loop if", "expression was expected"),
        ("break", "loop if (", "expected"),
        ("break", "loop if nothing == 3", "no symbol"),
        ("break", "loop gpa=4", "does not take gpa="),
        ("break", "loop vm=a vm=a", "twice"),
        ("break", "loop ignore=x9999", "no symbol"),
        ("break", "h:0x80000000", "virtual addresses"),
        ("break", "12", "source lines"),
        ("break", "main.c:12", "source lines"),
        ("watch", "", "expected"),
        ("watch", "data length=0x10000000000", "too much"),
        ("watch", "time", "by itself"),
        ("watch", "sstatus", "vsstatus"),
        ("watch", "vsstatus.SIP", "no field"),
        ("watch", "csr nonsense", "no CSR"),
        ("rwatch", "vsstatus", "use watch"),
        ("catch", "", "catch what"),
        ("catch", "exits", "did you mean exit"),
        ("catch", "exit nonsense", "neither a kind of exit nor a cause"),
        ("catch", "exit gpa=5..3", "ends before"),
        ("catch", "trap nonsense", "no cause"),
        ("catch", "sbi nonsense", "neither an SBI extension"),
        ("catch", "notify nonsense", "no device"),
        ("hold", "loop", "makes no breakpoint"),
    ],
)
def test_wrong_ones(command: str, text: str, words: str) -> None:
    target = guests(LOOP)
    points = Breakpoints(target)
    with pytest.raises(RvhvError, match=words) as caught:
        points.add(command, text)
    assert "\n" not in str(caught.value)
    assert len(points) == len(target.stops) == 0


def test_more_than_the_machine_has_room_for() -> None:
    target = guests(LOOP)
    points = Breakpoints(target)
    for i in range(MOST_STOPS):
        points.add("break", f"*{BOARD.image_base + 2 * i}")
    with pytest.raises(ConfigError, match="the most"):
        points.add("watch", "data")
    assert len(points) == MOST_STOPS
    points.enable(1, False)
    watch = points.add("watch", "data")
    with pytest.raises(ConfigError, match="the most"):
        points.enable(1)
    points.remove(watch.number)
    points.enable(1)
    assert points.run().breakpoint is points[1]


def test_the_listing() -> None:
    target = guests(LOOP, LOOP)
    points = Breakpoints(target)
    assert "no breakpoints" in plain(points.listing().lines())
    points.add("break", "loop vm=b if s0 == 3")
    points.add("watch", "data ignore=4")
    points.add("catch", "exit mmio")
    points.add("catch", "sbi")
    points.enable(2, False)
    text = plain(points.listing().lines())
    for words in ("loop", "in b", "if s0 == 3", "8 bytes", "ignored 4 more times", "catch exit", "off"):
        assert words in text
    data = json.loads(json.dumps(points.listing().json()))
    assert [one["number"] for one in data] == [1, 2, 3, 4]
    assert data[0]["context"] == "b" and data[0]["condition"] == "s0 == 3" and data[1]["ignore"] == 4
    with pytest.raises(RvhvError, match="no breakpoint 9"):
        points.remove(9)
    assert points.run(1).json()["ended"] == "budget"
