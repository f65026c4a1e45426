"""The debugger as a Python API: a target, and the commands by which it is run, stopped and looked at."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from rvhv.debug import commands
from rvhv.debug.arrival import Arrival, Place
from rvhv.debug.breakpoints import Breakpoints
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.entries import Outcome
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.target import Context, Ended, Halt, MachineTarget, Target, VmTarget
from rvhv.errors import ConfigError, DebugError

if TYPE_CHECKING:
    from rvhv.debug.aims import Aim
    from rvhv.debug.stepping import Stepper
    from rvhv.debug.view import View
    from rvhv.hv.hypervisor import Hypervisor
    from rvhv.machine.image import Image
    from rvhv.machine.virt import Machine
    from rvhv.snapshot.history import History, Moment
    from rvhv.snapshot.world import Why

HISTORY = 256 << 20  # bytes


class Session:
    """A debugging session. `what` is a Hypervisor with its VMs, a bare Machine (`images`: the ELFs it starts with), or a Target.

    `command` does what a line typed into `rvhv debug` does, and answers with a View. `on_console` gets what guests print.
    `history`: bytes that going back in time may hold; 0: it cannot. Raises ConfigError, SnapshotError.
    """

    def __init__(
        self, what: Hypervisor | Machine | Target, images: Sequence[Image] = (), *, history: int = HISTORY
    ) -> None:
        self.target = as_target(what, images)
        if not self.target.contexts:
            raise ConfigError("a hypervisor without a VM has nothing to debug: create one")
        self.context: Context = self.target.current  # who is looked at and stepped
        self._chosen = False  # by a person: it stays who is looked at until another stops for a breakpoint
        self.on_console: Callable[[Context, bytes], None] = lambda context, data: None
        self.notes: list[str] = []  # what else is to be said after a command; whoever shows answers takes them
        self.halted: Ended | None = None  # how the last run ended
        self.over = False  # `quit` was said
        self.has_terminal = False  # there is a keyboard that `console` can hand over
        self.keyboard_for: Context | None = None  # `console` was said: whoever reads the commands hands it over
        self.last_format = (1, "x", "g")  # of `x`: count, format and size
        self.last_address: tuple[str, int] | None = None  # behind what `x` showed, with its space
        self.breakpoints = Breakpoints(self.target)
        self._before: dict[int, Saved] = {}
        self.target.on_output = lambda context, data: self.on_console(context, data)
        if history:
            self.target.record(limit=history, say=self.notes.append)
        self._look_back()

    # commands

    def command(self, line: str) -> View:
        """Do one command. Raises DebugError, or another RvhvError, with one or two lines that say what is wrong."""
        self.notes.clear()
        word, slash, rest = commands.split(line)
        row = commands.find(word)
        return row.run(self, Arguments(rest, slash, row.usage))

    def repeats(self, line: str) -> str:
        """The line that an empty one after this one stands for; empty when there is none."""
        try:
            row = commands.find(commands.split(line)[0])
        except DebugError:
            return ""
        return {"": "", "same": line, "bare": row.name}[row.repeats]

    # running

    def run(self, steps: int | None = None) -> Outcome:
        """Go on for exactly `steps` steps of the whole machine, or until a breakpoint or something else stops it."""
        self._look_back()
        return self._came(self.breakpoints.run(steps))

    def stepped(self, step: Callable[[Stepper, Context], Outcome]) -> Arrival:
        """Step the context that is looked at. Raises DebugError where it has ended."""
        from rvhv.debug.stepping import Stepper

        if not self.context.alive:
            back = "; back and goto lead to before that" if self.target.history is not None else ""
            raise DebugError(f"{self.context.name} is no more: {self.context.status}{back}")
        self._look_back()
        return self.arrived(self._came(step(Stepper(self.breakpoints), self.context)))

    def _came(self, outcome: Outcome) -> Outcome:
        """Look at whom it is about."""
        self.halted = outcome.halt.ended
        self.notes += outcome.notes
        if outcome.breakpoint is None and outcome.halt.ended is not Ended.STOP and self._chosen and self.context.alive:
            return replace(outcome, halt=replace(outcome.halt, context=self.context))
        self.choose(outcome.context, by_hand=self._chosen and outcome.context is self.context)
        return outcome

    def travel(self, journey: Callable[[History], Why], context: Context | None = None) -> Halt:
        """Be at another time. With a `context`, who is looked at then, it is a search: interrupted, it ends where it began."""
        self._look_back()
        history = self.history
        here = history.now
        halt = self.target.travel(history, journey)
        if context is not None:
            halt = replace(halt, context=context)
            if halt.ended is Ended.INTERRUPTED:
                self._return(here)
        return self._came(Outcome(halt)).halt

    def _return(self, here: Moment) -> None:
        """An interrupted search goes back to where it began."""
        self.calm()
        self.history.goto(here)

    def reverse_continue(self) -> Outcome:
        """Be at the last moment before now at which a breakpoint counted, whatever it is to ignore; without one, at the start."""
        self._look_back()
        history = self.history
        here, found, interrupted = history.now, None, False
        try:
            found = history.last_hit(lambda: self.breakpoints.outcome(self.target.stopped()))
        except KeyboardInterrupt:
            interrupted = True
        if found is not None:
            return self._came(found[1])
        if interrupted or history.interrupted:
            self._return(here)
            return self._came(Outcome(Halt(Ended.INTERRUPTED, self.target.current)))
        self.notes.append("this is where the history begins: nothing stopped it before")
        return self._came(Outcome(Halt(Ended.BUDGET, self.target.current)))

    def last(
        self,
        aim: Aim,
        means: Callable[[Outcome], bool] = lambda outcome: True,
        frames: Collection[int] | None = None,
    ) -> Outcome | None:
        """Be at the last moment before now that `aim` is for; no breakpoint counts. Without one, None, and all stays. `frames`:
        host pages to which it is about stores. Raises KeyboardInterrupt where somebody wanted an end, and stays."""
        self._look_back()
        history = self.history
        here, found = history.now, None

        def hit() -> Outcome | None:
            outcome = self.breakpoints.outcome(self.target.stopped())
            return outcome if outcome is not None and means(outcome) else None

        with self.breakpoints.off(), self.breakpoints.own(aim):
            try:
                found = history.last_hit(hit, frames)
            except KeyboardInterrupt:
                self._return(here)
                raise
            if found is None:
                asked = history.interrupted
                self._return(here)
                if asked:
                    raise KeyboardInterrupt
        return None if found is None else self._came(found[1])

    def arrived(self, came: Outcome | Halt) -> Arrival:
        """What there is to say after a run, or a journey."""
        if isinstance(came, Outcome):
            return Arrival(came, self.target)
        behind = self.history.furthest - self.target.steps
        steps = "1 step" if behind == 1 else f"{behind:,} steps"
        return Arrival(Outcome(came), self.target, f"{steps} before the end" if self.in_the_past else "at the end")

    def where(self) -> Place:
        """Where the context that is looked at is."""
        return Place.of(self.context)

    def feed(self, context: Context, data: bytes) -> None:
        """Type on its console."""
        context.feed(data)

    def change(self, apply: Callable[[], None], text: str) -> None:
        """Do something to the machine from outside, and remember that. `text` says what."""
        self._look_back()
        if self.target.history is not None:
            self.target.history.change(apply, text)
        else:
            apply()

    def interrupt(self) -> None:
        """Have what runs come back at the next exact point. For signal handlers and other threads."""
        self.target.interrupt()

    def calm(self) -> None:
        """Forget an `interrupt` that came too late to end a run."""
        self.target.calm()

    def close(self) -> None:
        self.target.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _look_back(self) -> None:
        """Remember the registers as they are, so that what changes can be marked."""
        self._before = {context.number: save(context) for context in self.target.contexts}

    def before(self) -> Saved:
        """The registers of the context that is looked at, before the last run."""
        return self._before[self.context.number]

    # time

    @property
    def history(self) -> History:
        """Raises DebugError where nothing is remembered."""
        if self.target.history is None:
            raise DebugError("nothing is remembered here, so there is no way back (--no-history; a lab's check)")
        return self.target.history

    @property
    def in_the_past(self) -> bool:
        """Whether the guests have been further than they are now."""
        return self.target.history is not None and self.target.history.in_the_past

    def dirty(self) -> Collection[int]:
        """Addresses of host pages that were written since the last snapshot."""
        return self.target.history.written() if self.target.history is not None else ()

    # whom it is about

    def named(self, name: str) -> Context:
        """A VM or hart by name or number. Raises DebugError."""
        for context in self.target.contexts:
            if name in (context.name, str(context.number)):
                return context
        from difflib import get_close_matches

        names = [context.name for context in self.target.contexts]
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(names)}"
        raise DebugError(f"no {self.kind} is called {commands.shown(name)}; {hint}")

    @property
    def kind(self) -> str:
        """What a context is called: "VM" or "hart"."""
        return "VM" if self.target.hv is not None else "hart"

    def choose(self, context: Context, *, by_hand: bool = True) -> None:
        """Look at this one; `by_hand`: also after runs that end with another, unless that is for a breakpoint."""
        self.context, self._chosen = context, by_hand

    # what completion asks for

    def symbols(self) -> Mapping[str, int]:
        """Those of the context that is looked at."""
        return self.context.symbols.values

    def source_places(self, begun: str) -> list[tuple[str, str]]:
        """Places in source files that begin so, with what they are: "main.c:", or "main.c:12"."""
        from rvhv.machine.source_lines import SourceLines

        tables = [SourceLines(image) for image in self.context.images]
        file, colon, _ = begun.rpartition(":")
        if colon:
            found = {line for table in tables for line in table.lines_with_code(file)}
            return [(f"{file}:{line}", "source line") for line in sorted(found)]
        files = {name for table in tables for file in table.files for name in (file, file.rpartition("/")[2])}
        return [(f"{file}:", "source file") for file in sorted(files)]

    def bookmarks(self) -> list[tuple[str, str]]:
        """Names and what they are."""
        history = self.target.history
        marks = history.bookmarks.values() if history is not None else ()
        return [(mark.name, f"step {mark.moment.steps:,}") for mark in marks]

    def entries(self) -> list[tuple[str, str]]:
        """Numbers of breakpoints and their like, and what they are."""
        return [(str(entry.number), f"{entry.command} {entry.what}") for entry in self.breakpoints]


def as_target(what: Hypervisor | Machine | Target, images: Sequence[Image] = ()) -> Target:
    """A target of a hypervisor or a machine."""
    from rvhv.hv.hypervisor import Hypervisor

    if isinstance(what, Target):
        return what
    return VmTarget(what) if isinstance(what, Hypervisor) else MachineTarget(what, images)
