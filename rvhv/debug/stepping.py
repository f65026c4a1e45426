"""Going on by little: instructions, source lines, out of a function, up to a place or an exit.

A step is one of the context that is looked at; whoever else is scheduled runs too. Breakpoints end a step as they end a run, and
so does an interrupt. A trap is a step into its handler for `step`; `next` goes on until the handler is done.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec

from rvhv.core.registry import ISA
from rvhv.core.stop_table import Modes
from rvhv.cpu.state import SLOT
from rvhv.debug.aims import CodeAim, ExitAim, TrapAim
from rvhv.debug.breakpoints import Breakpoints
from rvhv.debug.entries import Outcome
from rvhv.debug.locations import line_range, locate, source_of, starts_line
from rvhv.debug.look import addresses
from rvhv.debug.look.backtrace import frames_of
from rvhv.debug.target import Context, Ended, Halt
from rvhv.errors import DebugError
from rvhv.isa.effects import Jump
from rvhv.isa.expr import MASK64

P = ParamSpec("P")
RA, T0, SP = 1, 5, 2
LINKS = (RA, T0)  # the registers that a call leaves its return address in
TRAP_STEPS = SLOT["trap_steps"]


Going = Callable[Concatenate["Stepper", P], Outcome]


def interruptible(go: Going[P]) -> Going[P]:
    """Ctrl-C between two runs ends it as it does in one."""

    @wraps(go)
    def going(self: Stepper, *args: P.args, **kwargs: P.kwargs) -> Outcome:
        try:
            return go(self, *args, **kwargs)
        except KeyboardInterrupt:
            return Outcome(Halt(Ended.INTERRUPTED, self.target.current))

    return going  # type: ignore[return-value]  # mypy takes `self` for a name that callers may use


class Stepper:
    """Steps contexts of the target of some breakpoints."""

    def __init__(self, points: Breakpoints) -> None:
        self.points = points
        self.target = points.target

    # by instruction

    @interruptible
    def step(self, context: Context, count: int = 1) -> Outcome:
        """`count` steps of the context: instructions, and traps that it takes. An exit after which the hypervisor lets it try
        again is none."""
        end = context.steps + count
        while context.steps < end:
            before, pc, traps = context.steps, context.pc, context.state[TRAP_STEPS]
            outcome = self.points.run(end - before)
            if not _goes_on(outcome):
                return outcome
            if context.steps == before:
                outcome = self._until_its_turn(context)
                if not _goes_on(outcome):
                    return outcome
            elif context.steps == end and context.pc == pc and context.state[TRAP_STEPS] != traps and not self.points.bare:
                end += 1
        return _done(None, context)

    @interruptible
    def next(self, context: Context, count: int = 1) -> Outcome:
        """`count` instructions; a call is one, with all that it calls, and so is what a trap leads to."""
        outcome = _done(None, context)
        for _ in range(count):
            outcome = self._over(context)
            if not _goes_on(outcome):
                return outcome
        return outcome

    # by source line

    @interruptible
    def step_line(self, context: Context, count: int = 1) -> Outcome:
        """Up to the beginning of another line, also of a function that is called, where that has lines; where there are none, one
        instruction."""
        return self._lines(context, count, self._into)

    @interruptible
    def next_line(self, context: Context, count: int = 1) -> Outcome:
        """Up to the beginning of another line of this function or of who called it; where there are none, one instruction."""
        return self._lines(context, count, self._over)

    @interruptible
    def until_next_line(self, context: Context) -> Outcome:
        """As `next_line`, but not back: out of a loop at its end."""
        start = context.pc
        sp = context.x[SP]
        while True:
            outcome = self.next_line(context)
            if not _goes_on(outcome) or context.pc > start or context.x[SP] != sp:
                return outcome

    # further

    @interruptible
    def finish(self, context: Context) -> Outcome:
        """Until the function returns to who called it. Raises DebugError where nobody knows who did."""
        frames = frames_of(context)
        if len(frames) < 2 or (frames[1].pc, frames[1].sp) == (frames[0].pc, frames[0].sp):  # ra is that of a call from here
            raise DebugError(f"{context.name} is in the outermost function that is known: nobody called it")
        caller = frames[1]
        return self._go(context, (caller.pc,), lambda now: caller.sp is None or now.x[SP] == caller.sp)

    @interruptible
    def advance(self, context: Context, place: str) -> Outcome:
        """Until it comes to a place. Raises DebugError."""
        return self._go(context, tuple(locate(place, context)))

    @interruptible
    def until(self, context: Context, place: str) -> Outcome:
        """The same, but no further than to who called the function that it is in. Raises DebugError."""
        places = tuple(locate(place, context))
        frames = frames_of(context)
        if len(frames) < 2 or frames[1].sp is None:
            return self._go(context, places)
        caller = frames[1]
        return self._go(context, (*places, caller.pc), lambda now: now.pc in places or now.x[SP] == caller.sp)

    @interruptible
    def until_exit(self, context: Context | None = None) -> Outcome:
        """Until the next exit to the hypervisor, of any VM or of one."""
        with self.points.own(ExitAim(context, self.points.bare)):
            return _own(self.points.run())

    # how

    def _until_its_turn(self, context: Context) -> Outcome:
        """Others run: until the context is about to execute its next instruction, or has taken a trap instead."""
        aims = CodeAim(context, (context.pc,)), TrapAim(context, None, Modes.ALL)
        with self.points.own(*aims):
            return _own(self.points.run())

    def _go(self, context: Context, places: tuple[int, ...], test: Callable[[Context], bool] | None = None) -> Outcome:
        with self.points.own(CodeAim(context, places), test=test):
            return _own(self.points.run())

    def _over(self, context: Context) -> Outcome:
        """One instruction, with what it calls and what traps lead to."""
        while True:
            pc, mode, sp, traps = context.pc, context.mode, context.x[SP], context.state[TRAP_STEPS]
            length, link = _instruction(context)
            behind = (pc + length) & MASK64
            outcome = self.step(context)
            if not _goes_on(outcome):
                return outcome
            trapped = context.state[TRAP_STEPS] != traps
            if trapped and context.pc == pc:
                continue
            if context.pc == behind or not (trapped or link):
                return outcome

            def back(now: Context, mode: str = mode, sp: int = sp) -> bool:
                return now.mode == mode and now.x[SP] == sp

            outcome = self._go(context, (pc, behind) if trapped else (behind,), back)
            if not _goes_on(outcome) or context.pc == behind:
                return outcome

    def _into(self, context: Context) -> Outcome:
        """One instruction; a call of what has no lines is one, and what a trap leads to."""
        length, link = _instruction(context)
        if not link:
            return self._over(context)
        behind, sp = (context.pc + length) & MASK64, context.x[SP]
        outcome = self.step(context)
        if not _goes_on(outcome) or context.pc == behind or source_of(context, context.pc) is not None:
            return outcome
        return self._go(context, (behind,), lambda now: now.x[SP] == sp)

    def _lines(self, context: Context, count: int, one: Callable[[Context], Outcome]) -> Outcome:
        outcome = _done(None, context)
        for _ in range(count):
            outcome = self._line(context, one)
            if not _goes_on(outcome):
                return outcome
        return outcome

    def _line(self, context: Context, one: Callable[[Context], Outcome]) -> Outcome:
        here = line_range(context, context.pc)
        if here is None:
            return one(context)
        line, sp = source_of(context, context.pc), context.x[SP]
        while True:
            outcome = one(context)
            if not _goes_on(outcome):
                return outcome
            at = context.pc
            if source_of(context, at) is None and context.x[SP] <= sp:
                continue
            if starts_line(context, at) and (source_of(context, at) != line or at == here[0]):
                return outcome


def _instruction(context: Context) -> tuple[int, bool]:
    """Length of the next instruction, and whether it is a call. Where it cannot be read: 4, False."""
    try:
        half = addresses.read(context, "v", context.pc, 2)
        word = half + addresses.read(context, "v", context.pc + 2, 2) if half[0] & 3 == 3 else half
    except DebugError:
        return 4, False
    decoded = ISA.decode(int.from_bytes(word, "little"))
    if decoded is None:
        return len(word), False
    insn, fields, _ = decoded
    return len(word), any(isinstance(effect, Jump) for effect in insn.effects) and fields.get("rd") in LINKS


def _goes_on(outcome: Outcome) -> bool:
    """Whether nothing but the debugger's own wish ended a run."""
    return outcome.breakpoint is None and outcome.halt.ended is Ended.BUDGET


def _own(outcome: Outcome) -> Outcome:
    """A run that one of the debugger's own stops ended is done."""
    if outcome.breakpoint is None or outcome.breakpoint.number > 0:
        return outcome
    halt = Halt(Ended.BUDGET, outcome.context)
    return Outcome(halt, event=outcome.event, notes=outcome.notes)


def _done(outcome: Outcome | None, context: Context) -> Outcome:
    return Outcome(Halt(Ended.BUDGET, context), notes=outcome.notes if outcome is not None else ())
