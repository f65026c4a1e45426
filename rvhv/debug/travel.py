"""Going back by the instructions of one guest hart, while others ran in between."""

from __future__ import annotations

from rvhv.debug.look.code import length_of, word_at
from rvhv.debug.target import Context, Target
from rvhv.errors import DebugError
from rvhv.snapshot.history import History
from rvhv.snapshot.world import Why

SP = 2
COMPRESSED_RETURN, RETURN = 0x8082, 0x0000_8067  # c.jr ra; jalr zero, 0(ra)
RETURNS = (COMPRESSED_RETURN, RETURN)
SRET, MRET = 0x1020_0073, 0x3020_0073
TRAP_RETURNS = (SRET, MRET)
LENGTHS = (2, 4)  # of an instruction


def reverse_step(history: History, context: Context, count: int = 1) -> Why:
    """Be at the latest step of the machine at which `context` had made `count` of its own less. Raises DebugError, and stays,
    where the history does not go back so far."""
    here, wanted = history.now.steps, context.steps - count
    early = late = here
    while context.steps > wanted:
        if early == history.begins:
            why = history.goto(here)
            if why is Why.INTERRUPTED:
                return why
            made = context.steps
            raise DebugError(f"the history does not go back so far: {context.name} had made {made:,} steps when it began")
        late, early = early, max(history.begins, here - max(count, 2 * (here - early)))
        if history.goto(early) is Why.INTERRUPTED:
            return Why.INTERRUPTED
    if here - early == count:
        return Why.BUDGET  # nobody else made a step in between
    while late - early > 1:
        middle = (early + late) // 2
        if history.goto(middle) is Why.INTERRUPTED:
            return Why.INTERRUPTED
        if context.steps > wanted:
            late = middle
        else:
            early = middle
    return history.goto(early)


def reverse_next(target: Target, history: History, context: Context, count: int = 1) -> Why:
    """The same, with what an instruction called as one step with it."""
    for _ in range(count):
        pc, sp = context.pc, context.x[SP]
        why = reverse_step(history, context)
        if why is Why.BUDGET and _returns(context):
            why = _back_to_call(target, history, context, pc, sp)
        if why is not Why.BUDGET:
            return why
    return Why.BUDGET


def _back_to_call(target: Target, history: History, context: Context, behind: int, sp: int) -> Why:
    """Where the call was made that came back to `behind`."""
    numbers = {target.stops.add_breakpoint(behind - length, context.bound) for length in LENGTHS if behind >= length}

    def called() -> bool | None:
        halt = target.stopped()
        mine = halt.stop is not None and halt.stop.number in numbers and halt.context is context
        return True if mine and context.x[SP] == sp else None

    try:
        found = history.last_hit(called)
    finally:
        for number in numbers:
            target.stops.remove(number)
    return Why.INTERRUPTED if found is None and history.interrupted else Why.BUDGET


def _returns(context: Context) -> bool:
    """Whether the next instruction is a function's return."""
    try:
        word = word_at(context, "v", context.pc)
    except DebugError:
        return False
    return word == (COMPRESSED_RETURN if length_of(word) == 2 else RETURN)
