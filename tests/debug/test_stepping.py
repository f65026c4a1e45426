"""Steps: by instruction and line, over calls and traps, out of functions; breakpoints and interrupts end them."""

from __future__ import annotations

import pytest

from rvhv.debug.breakpoints import Breakpoints
from rvhv.debug.entries import Outcome
from rvhv.debug.locations import source_of
from rvhv.debug.look.backtrace import frames_of
from rvhv.debug.stepping import Stepper
from rvhv.debug.target import Context, Ended
from rvhv.errors import DebugError
from tests.debug.programs import POWER_OFF, guests, machine
from tests.debug.test_breakpoints import LOOP, TRAPS, finished
from tests.debug.test_target import hosted

CALLS = (
    """
start:
    la sp, top
    li a0, 4
    jal ra, count
after:
    nop
"""
    + POWER_OFF
    + """
count:
    addi sp, sp, -16
    sd ra, 8(sp)
    beqz a0, done
    addi a0, a0, -1
recurse:
    jal ra, count
back:
    addi s0, s0, 1
done:
    ld ra, 8(sp)
    addi sp, sp, 16
    ret
    .balign 16
    .zero 4096
top:
"""
)
EXITS = "start: li s0, 0\nagain: addi s0, s0, 1\ncall_: li a7, 0x10\nli a6, 3\necall\nbehind: j again\n"


def at(context: Context, symbol: str) -> bool:
    return context.pc == context.images[0].symbols[symbol]


def stepper(*sources: str, **more: int) -> tuple[Stepper, Context]:
    points = Breakpoints(guests(*sources, **more))  # type: ignore[arg-type]
    return Stepper(points), points.target.contexts[0]


def done(outcome: Outcome) -> bool:
    return outcome.halt.ended is Ended.BUDGET and outcome.breakpoint is None


def test_instructions() -> None:
    steps, context = stepper(LOOP)
    start = context.steps
    for n in range(1, 6):
        assert done(steps.step(context)) and context.steps == start + n
    assert done(steps.step(context, 50)) and context.steps == start + 55
    ended = steps.step(context, 100_000)
    assert ended.halt.ended is Ended.FINISHED


@pytest.mark.parametrize("slice_steps", [1, 7, 1000])
def test_others_run_between(slice_steps: int) -> None:
    """Each step is the context's own, whoever has the hart."""
    target = guests(LOOP, LOOP, slice_steps=slice_steps)
    points = Breakpoints(target)
    steps = Stepper(points)
    a, b = target.contexts
    seen = []
    for n in range(1, 30):
        assert done(steps.step(b)) and b.steps == n
        seen.append(b.pc)
    assert len(target.stops) == 0
    alone, context = stepper(LOOP)
    for pc in seen:
        alone.step(context)
        assert context.pc == pc
    assert a.steps > 0


def test_a_trap_is_a_step_into_its_handler() -> None:
    steps, context = stepper(TRAPS)
    steps.advance(context, "again")
    assert at(context, "again")
    assert done(steps.step(context)) and at(context, "handler")


def test_next_goes_over_calls_traps_and_exits() -> None:
    steps, context = stepper(CALLS)
    steps.advance(context, "start+12")
    assert done(steps.next(context)) and at(context, "after") and context.x[8] == 4
    steps, context = stepper(TRAPS)
    steps.advance(context, "again")
    assert done(steps.next(context)) and context.pc == context.images[0].symbols["again"] + 4
    assert done(steps.next(context)) and context.pc == context.images[0].symbols["again"] + 8
    steps, context = stepper(EXITS)
    steps.advance(context, "call_")
    assert done(steps.next(context, 3)) and at(context, "behind")


def test_recursion() -> None:
    """The return address is met in deeper calls first: they are not this one."""
    steps, context = stepper(CALLS)
    steps.advance(context, "recurse")
    depth = context.x[2]
    assert done(steps.next(context)) and at(context, "back") and context.x[2] == depth and context.x[8] == 3


def test_breakpoints_end_a_step() -> None:
    steps, context = stepper(CALLS)
    inner = steps.points.add("break", "recurse if a0 == 1")
    steps.advance(context, "start+12")
    outcome = steps.next(context)
    assert outcome.breakpoint is inner and at(context, "recurse")
    assert len(steps.target.stops) == 1  # none of the step's own are left
    steps.points.clear()
    # a step that arrives at a breakpoint says so, once
    one = steps.points.add("break", "back")
    while not at(context, "back"):
        outcome = steps.step(context)
    assert outcome.breakpoint is one and one.hits == 1
    assert done(steps.step(context)) and one.hits == 1
    assert steps.points.run().breakpoint is one and one.hits == 2


def test_an_interrupt_ends_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    steps, context = stepper(LOOP)
    steps.target.interrupt()
    assert steps.step(context, 20).halt.ended is Ended.INTERRUPTED

    def pressed(steps: int | None = None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps.target, "run", pressed)
    assert steps.next(context).halt.ended is Ended.INTERRUPTED
    monkeypatch.setattr(steps.points, "run", pressed)
    assert steps.next(context).halt.ended is Ended.INTERRUPTED
    assert len(steps.target.stops) == 0


def test_until_an_exit() -> None:
    steps, context = stepper(EXITS)
    outcome = steps.until_exit(context)
    while outcome.event is None or outcome.event.exit is None or outcome.event.exit.cause != 10:
        outcome = steps.until_exit(context)  # first come the pages that it touches
    assert at(context, "behind") and done(outcome)
    with pytest.raises(DebugError, match="no symbol"):
        steps.advance(context, "nowhere")


def test_finish_and_until() -> None:
    target = hosted("hello")
    steps = Stepper(Breakpoints(target))
    context = target.contexts[0]
    steps.advance(context, "guest_main")
    sp = context.x[2]
    assert done(steps.until(context, "sbi_call")) and at(context, "sbi_call")
    while context.x[2] < sp:
        names = [context.symbols.nearest(frame.pc) for frame in frames_of(context)]
        assert done(steps.finish(context))
        assert context.symbols.nearest(context.pc) == names[1]
    with pytest.raises(DebugError, match="outermost"):
        steps.finish(context)
    # a place that is never met: to who called the function, and no further
    target = hosted("hello")
    steps, context = Stepper(Breakpoints(target)), target.contexts[0]
    steps.advance(context, "print_sbi" if "print_sbi" in context.images[0].symbols else "sbi_probe")
    caller = frames_of(context)[1].pc
    assert done(steps.until(context, "guest_main")) and context.pc == caller
    target.close()


def test_source_lines() -> None:
    """Through the whole of guest_main by `next`: its lines only, in order; `step` goes into what it calls."""
    plain_run = finished(hosted("hello"))
    target = hosted("hello")
    steps = Stepper(Breakpoints(target))
    context = target.contexts[0]
    steps.advance(context, "guest_main")
    seen = []
    while (found := source_of(context, context.pc)) is not None and found[0] == "hello/main.c":
        seen.append(found[1])
        outcome = steps.next_line(context)
        assert done(outcome)
        assert len(seen) < 500
    assert len(set(seen)) > 10 and max(seen) > min(seen) + 20
    assert finished(target) == plain_run
    target = hosted("hello")
    steps = Stepper(Breakpoints(target))
    context = target.contexts[0]
    steps.advance(context, "guest_main")
    files = []
    for _ in range(20):
        assert done(steps.step_line(context))
        found = source_of(context, context.pc)
        assert found is not None
        files.append(found[0])
    assert "runtime/console.c" in files


def test_the_bare_machine() -> None:
    target = machine("start: li s0, 100\nagain: addi s0, s0, -1\nbnez s0, again\nstop: j stop\n", harts=2)
    steps = Stepper(Breakpoints(target))
    second = target.contexts[1]
    for n in range(1, 150):
        assert done(steps.step(second)) and second.steps == n
    assert target.contexts[0].steps > 0
    assert done(steps.advance(second, "stop")) and at(second, "stop")
