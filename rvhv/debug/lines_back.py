"""Going back by source lines: the last steps are made again one by one, and what they were is then looked at backwards."""

from __future__ import annotations

from dataclasses import dataclass

from rvhv.debug.locations import line_range, source_of, starts_line
from rvhv.debug.look.code import length_of, word_at
from rvhv.debug.target import Context, Target
from rvhv.debug.travel import RETURNS, SP, TRAP_RETURNS, reverse_next, reverse_step
from rvhv.errors import DebugError
from rvhv.snapshot.history import History, Moment
from rvhv.snapshot.world import Why

WINDOWS = (256, 4096, 16384)  # steps of the machine that are looked at: the shortest that shows enough


@dataclass(frozen=True)
class Executed:
    """A context before one of its steps."""

    moment: Moment
    pc: int
    sp: int
    mode: str
    word: int  # the instruction; 0 where it cannot be read


@dataclass(frozen=True)
class _Found:
    """What the steps show: the beginning of the line before, or the return of a call that began before all of them."""

    line: int | None = None
    call: int | None = None


def reverse_line(target: Target, history: History, context: Context, count: int = 1, *, over: bool = False) -> Why:
    """Be at the beginning of the source line before, `count` times; with `over` what was called is passed over, and what traps
    led to always. Where there are no lines, one instruction. Raises DebugError where the history does not go back so far."""
    for _ in range(count):
        why = _line(target, history, context, over)
        if why is not Why.BUDGET:
            return why
    return Why.BUDGET


def _line(target: Target, history: History, context: Context, over: bool) -> Why:
    here = history.now
    while source_of(context, context.pc) is not None:
        now, found = history.now, _Found()
        trace: list[Executed] = []
        for window in WINDOWS:
            end = Executed(now, context.pc, context.x[SP], context.mode, 0)
            if _trace(history, context, now, window, trace) is Why.INTERRUPTED:
                return Why.INTERRUPTED
            found = _look(context, [*trace, end], over, whole=now.steps - window <= history.begins)
            if found.line is not None or now.steps - window <= history.begins:
                break
        if found.line is not None:
            return history.goto(trace[found.line].moment)
        if found.call is None:
            break
        behind = found.call + 1
        if history.goto(trace[behind].moment if behind < len(trace) else now) is Why.INTERRUPTED:
            return Why.INTERRUPTED
        why = reverse_next(target, history, context)  # a search finds where the call was made
        if why is not Why.BUDGET or starts_line(context, context.pc):
            return why
    if history.goto(here) is Why.INTERRUPTED:
        return Why.INTERRUPTED
    return reverse_next(target, history, context) if over else reverse_step(history, context)


def _trace(history: History, context: Context, end: Moment, window: int, trace: list[Executed]) -> Why:
    """Fill `trace` with the context's own among the last `window` steps of the machine, and come back."""
    trace.clear()
    words: dict[tuple[str, int], int] = {}
    why = history.goto(max(history.begins, end.steps - window))
    while why is not Why.INTERRUPTED and history.now.steps < end.steps:
        moment, made, pc, sp, mode = history.now, context.steps, context.pc, context.x[SP], context.mode
        if (mode, pc) not in words:
            words[mode, pc] = _word(context, pc)
        why = history.goto(moment.steps + 1)
        if context.steps != made:
            trace.append(Executed(moment, pc, sp, mode, words[mode, pc]))
    return Why.INTERRUPTED if why is Why.INTERRUPTED else history.goto(end)


def _word(context: Context, pc: int) -> int:
    try:
        return word_at(context, "v", pc)
    except DebugError:
        return 0


def _look(context: Context, trace: list[Executed], over: bool, *, whole: bool) -> _Found:
    """Backwards from the last one, which is where the context is. `whole`: nothing was before the first."""
    i = len(trace) - 1
    candidate: int | None = None
    while i > 0:
        behind = trace[i]
        last = trace[i - 1]
        if last.word in TRAP_RETURNS and last.mode != "M":
            came = _latest(trace, i - 1, behind, called=False)
            if came is None:
                break
            i = came
            if trace[i].pc == behind.pc:
                continue  # it was interrupted there
        elif over and last.word in RETURNS and last.mode == behind.mode:
            came = _latest(trace, i - 1, behind, called=True)
            if came is None:
                return _Found(call=i - 1)
            i = came
        else:
            i -= 1
        line = source_of(context, trace[i].pc)
        if line is None:
            continue
        if candidate is not None and _first(context, trace[candidate], line):
            return _Found(line=candidate)
        if starts_line(context, trace[i].pc):
            candidate = i
        elif candidate is not None and line != source_of(context, trace[candidate].pc):
            candidate = None
    return _Found(line=candidate if whole else None)


def _first(context: Context, one: Executed, before: tuple[str, int]) -> bool:
    """Whether a line begins at one, when something of the line `before` came before it."""
    around = line_range(context, one.pc)
    return source_of(context, one.pc) != before or (around is not None and around[0] == one.pc)


def _latest(trace: list[Executed], end: int, behind: Executed, *, called: bool) -> int | None:
    """The latest before `end` in the same function call as `behind` that made the call which returned there, or else was
    interrupted there, or trapped just before."""
    for i in range(end - 1, -1, -1):
        one = trace[i]
        distance = behind.pc - one.pc
        if (
            one.sp == behind.sp
            and one.mode == behind.mode
            and distance in ((length_of(one.word),) if called else (0, length_of(one.word)))
        ):
            return i
    return None
