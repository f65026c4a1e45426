"""Breakpoints, watchpoints and catches with their numbers, conditions and counts, over a target of either kind.

`Breakpoints.run` runs the target until one of them counts or the target comes back for another reason. `hits` says which one a
halt is for and changes nothing, which is what replaying the past needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from rvhv.core.registry import ISA
from rvhv.core.stop_table import INTERRUPT, MASK64, Access, Modes
from rvhv.debug import names
from rvhv.debug.aims import Aim, CodeAim, CsrAim, DataAim, Event, ExitAim, NotifyAim, SbiAim, TrapAim
from rvhv.debug.entries import Breakpoint, Listing, Outcome
from rvhv.debug.expressions import Expression, Read, Scope, parse
from rvhv.debug.hardware import Armed
from rvhv.debug.locations import locate
from rvhv.debug.look.places import place
from rvhv.debug.look.saved import field_place
from rvhv.debug.target import Context, Ended, Halt, HartContext, Target
from rvhv.errors import DebugError
from rvhv.hv.exits import VmExit
from rvhv.virtio.mmio import VirtioMmio

OPTION = re.compile(r"(?:^|\s)(?P<name>vm|hart|cause|gpa|length|ignore)=(?P<value>\S+)")
CONDITION = re.compile(r"(?:^|\s)if(?:\s+|$)(?P<condition>.*)$", re.DOTALL)
WATCHES = {"watch": Access.WRITE, "rwatch": Access.READ, "awatch": Access.READ | Access.WRITE}
CATCHES = ("exit", "trap", "interrupt", "sbi", "notify")
LENGTH = 8  # bytes that are watched where nobody says


@dataclass
class _Options:
    """What was written beside the place."""

    what: str
    condition: str | None = None
    values: dict[str, str] = field(default_factory=dict)


class Breakpoints:
    """Those of one target. Numbers count from 1 and are not used again."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.armed = Armed(target.stops)
        self._entries: dict[int, Breakpoint] = {}
        self._numbers = 0
        self._events: list[Event] = []
        self._seen: tuple[Context, int, int] | None = None  # whose instruction, before which the last run ended, and when
        self._told: set[int] = set()  # whose problem was told
        self._chained: Callable[[VmExit], None] | None = None  # who else looks at exits

    # making them

    def add(self, command: str, text: str, context: Context | None = None) -> Breakpoint:
        """A new one from what a person wrote behind a command: "break", "tbreak", "watch", "rwatch", "awatch", "catch".

            main vm=tasks if a0 == 3      file.c:42      counter length=4 ignore=10     *0x80200000
            exit guest-page-fault gpa=0x80400000..0x80401000     trap page-fault     interrupt timer     sbi time     notify block

        `context`: in which names mean something (None: the current one). Raises DebugError, ConfigError.
        """
        options = self._options(text)
        who = self._who(options)
        here = who or context or self.target.current
        if command == "catch":
            kind, _, options.what = options.what.partition(" ")
            if kind not in CATCHES:
                raise DebugError(f"catch {kind or 'what'}" + names.near(kind, CATCHES))
            command = f"catch {kind}"
            aim, where = self._catch(kind, options, who)
        elif command in WATCHES:
            aim, where = self._watch(options, here, who, WATCHES[command])
        elif command in ("break", "tbreak"):
            aim, where = self._break(options, here, who)
        else:
            raise DebugError(f"{command} makes no breakpoint" + names.near(command, ("break", "tbreak", *WATCHES, "catch")))
        made = Breakpoint(0, command, text.strip(), aim, where, temporary=command == "tbreak")
        made.ignore = self._number(options.values.pop("ignore", "0"), "ignore", here)
        if options.values:
            raise DebugError(f"{command} does not take {next(iter(options.values))}=")
        if options.condition is not None:
            made.condition = self._condition(options.condition, made.aim.who or here)
        self.armed.add(aim.wanted())
        self._numbers += 1
        made.number = self._numbers
        self._entries[made.number] = made
        self._observe()
        return made

    def to_watch(self, text: str, context: Context) -> tuple[Aim, str]:
        """What `watch` would be for, and how that is said; makes nothing. Raises DebugError."""
        options = self._options(text)
        if options.condition is not None:
            raise DebugError("no condition is possible here: use watch, and reverse-continue")
        who = self._who(options)
        found = self._watch(options, who or context, who, Access.WRITE)
        if options.values:
            raise DebugError(f"{next(iter(options.values))}= means nothing here")
        return found

    def _options(self, text: str) -> _Options:
        found = _Options(text)
        if match := CONDITION.search(text):
            found.condition, found.what = match["condition"], text[: match.start()]
        for match in OPTION.finditer(found.what):
            if match["name"] in found.values:
                raise DebugError(f"{match['name']}= stands there twice")
            found.values[match["name"]] = match["value"]
        found.what = OPTION.sub("", found.what).strip()
        return found

    def _who(self, options: _Options) -> Context | None:
        name = options.values.pop("vm", None) or options.values.pop("hart", None)
        if name is None:
            return None
        known = {context.name: context for context in self.target.contexts}
        if name not in known:
            raise DebugError(f"there is no VM or hart {name}" + names.near(name, known))
        return known[name]

    @property
    def bare(self) -> bool:
        return self.target.machine is not None

    def _own(self, here: Context, who: Context | None) -> Context | None:
        """Of whom a virtual address is, where nobody says: of one VM, or of any hart."""
        return who if isinstance(here, HartContext) else here

    def _break(self, options: _Options, here: Context, who: Context | None) -> tuple[Aim, str]:
        places = locate(options.what, here)
        return CodeAim(self._own(here, who), tuple(places)), ", ".join(place(here, at) for at in places)

    def _watch(self, options: _Options, here: Context, who: Context | None, access: Access) -> tuple[Aim, str]:
        what = options.what.removeprefix("csr ").strip().removeprefix("$")
        csr, _, csr_field = what.partition(".")
        if csr in ISA.csrs:
            return self._watch_csr(what, csr, csr_field, here, who, access)
        if options.what.startswith("csr "):
            raise DebugError(f"there is no CSR {csr}" + names.near(csr, ISA.csrs))
        expression = parse(options.what)
        length = self._number(options.values.pop("length", "0"), "length", here)
        root = expression.root
        if isinstance(root, Read):  # what it reads is watched
            found, length = root.operand.evaluate(Scope(here, expression.text)), length or root.size
        else:
            found = expression.evaluate(here)
        space, length = found.space or "v", length or LENGTH
        aim = DataAim(who if space == "h" else self._own(here, who), space, found.bits, length, access)
        shown = place(here, found.bits) if space == "v" else f"{space}:{found.bits:#x}"
        return aim, f"{shown}, {length} bytes"

    def _watch_csr(
        self, what: str, csr: str, csr_field: str, here: Context, who: Context | None, access: Access
    ) -> tuple[Aim, str]:
        if access != Access.WRITE:
            raise DebugError(f"of {csr} only changes can be watched: use watch")
        own = ISA.csrs[csr].vs
        if own is not None and not isinstance(here, HartContext):
            raise DebugError(f"{csr} is the hypervisor's, which changes nothing while a VM runs: the VM's own is {own}")
        mask = field_place(csr, csr_field)[0] if csr_field else MASK64
        return CsrAim(self._own(here, who), csr, mask), f"changes of {what}"

    def _catch(self, kind: str, options: _Options, who: Context | None) -> tuple[Aim, str]:
        words = options.what.split()
        shown = options.what or "any"
        if kind == "sbi":
            calls = tuple(call for word in words for call in names.sbi_calls(word))
            return SbiAim(who, self.bare, calls or None), f"SBI calls: {shown}"
        if kind == "notify":
            devices = tuple(self._device(word) for word in words)
            return NotifyAim(who, devices or None), f"notifications of {', '.join(devices) or 'any device'}"
        if cause := options.values.pop("cause", None):
            words.append(cause)
        if kind == "exit":
            return self._catch_exit(words, options, who)
        causes = tuple(code for word in words for code in names.causes(word, interrupts=kind == "interrupt"))
        if kind == "interrupt" and not causes:
            causes = tuple(INTERRUPT | row.code for row in ISA.causes.values() if row.interrupt)
        if kind == "trap" and not causes:
            causes = None  # type: ignore[assignment]
        into = Modes.ALL if self.bare else Modes.VS
        return TrapAim(who, causes, into), f"{kind}s: {', '.join(words) or 'any'}"

    def _catch_exit(self, words: list[str], options: _Options, who: Context | None) -> tuple[Aim, str]:
        kind: type[VmExit] | None = None
        causes: list[int] = []
        for word in words:
            found = names.exit_kind(word)
            if found is not None and kind is None:
                kind = found
                continue
            try:
                causes += names.causes(word, interrupts=False)
            except DebugError:
                raise DebugError(f"{word} is neither a kind of exit nor a cause" + names.near(word, names.exit_kinds())) from None
        gpa = None
        shown = ", ".join(words) or "any"
        if text := options.values.pop("gpa", None):
            gpa = self._range(text)
            shown += f" at gpa {gpa[0]:#x} to {gpa[1]:#x}"
        return ExitAim(who, self.bare, kind, tuple(causes) or None, gpa), f"exits: {shown}"

    def _range(self, text: str) -> tuple[int, int]:
        """`A..B` with both ends, or the page of `A`."""
        first, dots, last = text.partition("..")
        context = self.target.current
        low = parse(first).value(context)
        high = parse(last).value(context) if dots else low | 4095
        if not dots:
            low &= ~4095
        if high < low:
            raise DebugError(f"gpa={text} ends before it begins")
        return low, high

    def _device(self, word: str) -> str:
        known = list(dict.fromkeys(transport.name for _, transport in self._transports()))
        found = [name for name in known if word == name or word in name.split()]
        if not found:
            raise DebugError(f"there is no device {word} that is notified" + names.near(word, known))
        return found[0]

    def _number(self, text: str, name: str, here: Context) -> int:
        value = parse(text).value(here)
        if value >> 40:
            raise DebugError(f"{name}={text} is too much")
        return value

    def _condition(self, text: str, here: Context) -> Expression:
        condition = parse(text.strip())
        condition.check(here)
        return condition

    # what can be done to them

    def __iter__(self) -> Iterator[Breakpoint]:
        return iter([one for one in self._entries.values() if one.number > 0])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __getitem__(self, number: int) -> Breakpoint:
        """Raises DebugError for a number that nothing has."""
        found = self._entries.get(number)
        if found is None:
            have = ", ".join(str(one.number) for one in self) or "none"
            raise DebugError(f"there is no breakpoint {number}; there are: {have}")
        return found

    def listing(self) -> Listing:
        return Listing(tuple(self))

    def remove(self, number: int) -> Breakpoint:
        found = self[number]
        del self._entries[number]
        if found.enabled:
            self.armed.remove(found.aim.wanted())
        self._observe()
        return found

    def clear(self) -> None:
        for one in self:
            self.remove(one.number)

    def enable(self, number: int, on: bool = True) -> None:
        """Raises ConfigError when the machine has no room for it any more."""
        found = self[number]
        if found.enabled != on:
            (self.armed.add if on else self.armed.remove)(found.aim.wanted())
            found.enabled = on
            self._observe()

    def condition(self, number: int, text: str, context: Context | None = None) -> None:
        """Raises DebugError; without a text it counts always."""
        found = self[number]
        here = found.aim.who or context or self.target.current
        found.condition = self._condition(text, here) if text.strip() else None
        self._told.discard(number)

    def ignore(self, number: int, times: int) -> None:
        self[number].ignore = max(0, times)

    # what stops the target

    def run(self, steps: int | None = None) -> Outcome:
        """Run until a breakpoint counts, for at most `steps` steps. Ctrl-C ends it as an interrupt does.

        Arriving at a breakpoint counts once: where a run ends before the instruction for another reason, it counts then, and
        the next run goes past it.
        """
        outcome = self._run(steps)
        context = outcome.halt.context
        if outcome.breakpoint is None and context.alive and outcome.halt.stop is None and not self._was_seen(context):
            notes = list(outcome.notes)
            counted = self._count(self._met_at(context), notes)
            outcome = Outcome(outcome.halt, counted, notes=tuple(notes))
        self._seen = context, context.pc, context.steps
        return outcome

    def _was_seen(self, context: Context) -> bool:
        return self._seen == (context, context.pc, context.steps)

    def _run(self, steps: int | None) -> Outcome:
        end = None if steps is None else self.target.steps + steps
        notes: list[str] = []
        while True:
            self._events.clear()
            try:
                halt = self.target.run(None if end is None else end - self.target.steps)
                counted = self.decide(halt, notes)
            except KeyboardInterrupt:
                return Outcome(Halt(Ended.INTERRUPTED, self.target.current), notes=tuple(notes))
            if counted is not None:
                return Outcome(halt, counted, self._event_of(counted), tuple(notes))
            if halt.ended is Ended.STOP and self._foreign(halt):
                return Outcome(halt, notes=tuple(notes))
            if end is not None and self.target.steps >= end and halt.ended in (Ended.STOP, Ended.INTERRUPTED):
                return Outcome(Halt(Ended.BUDGET, halt.context), notes=tuple(notes))
            if halt.ended is not Ended.STOP and not (halt.ended is Ended.INTERRUPTED and self._events):
                return Outcome(halt, notes=tuple(notes))

    def hits(self, halt: Halt) -> Breakpoint | None:
        """The first breakpoint that a halt is for, its condition true; whatever its count says. Changes nothing."""
        return next((one for one, _ in self._met(halt)), None)

    def outcome(self, halt: Halt) -> Outcome | None:
        """The same with what there is to say about it."""
        one = self.hits(halt)
        return None if one is None else Outcome(halt, one, self._event_of(one))

    def decide(self, halt: Halt, notes: list[str] | None = None) -> Breakpoint | None:
        """Count the halt for each breakpoint that it is for; the first of them that does not ignore it."""
        if halt.stop is not None and halt.stop.access == Access.EXECUTE and self._was_seen(halt.context):
            return None
        return self._count(self._met(halt), notes)

    def _count(self, met: list[tuple[Breakpoint, str]], notes: list[str] | None) -> Breakpoint | None:
        counted = None
        for one, problem in met:
            one.hits += 1
            one.problem = problem
            if problem and one.number not in self._told:
                self._told.add(one.number)
                if notes is not None:
                    notes.append(f"the condition of {one.command} {one.number} has no value: {problem}")
            if one.ignore:
                one.ignore -= 1
                continue
            if counted is None:
                counted = one
            if one.temporary:
                self.remove(one.number)
        return counted

    @contextmanager
    def own(self, *aims: Aim, test: Callable[[Context], bool] | None = None) -> Iterator[None]:
        """Meanwhile the debugger's own ones stop the target too, where `test` is true. Raises ConfigError."""
        made = []
        try:
            for aim in aims:
                self.armed.add(aim.wanted())
                number = min(0, *self._entries, 0) - 1
                self._entries[number] = Breakpoint(number, "", "", aim, "", test=test)
                made.append(number)
            self._observe()
            yield
        finally:
            for number in made:
                self.remove(number)

    @contextmanager
    def off(self) -> Iterator[None]:
        """Nothing here stops the target meanwhile."""
        was = [one.number for one in self if one.enabled]
        for number in was:
            self.enable(number, False)
        try:
            yield
        finally:
            for number in was:
                if number in self._entries:
                    self.enable(number)

    def _met(self, halt: Halt) -> list[tuple[Breakpoint, str]]:
        """The breakpoints that a halt is for, each with what is wrong with its condition."""
        stop = halt.stop
        wanted = self.armed.find(stop.number) if stop is not None else None
        met: list[tuple[Breakpoint, str]] = []
        for one in self._entries.values():
            if not one.enabled:
                continue
            context = halt.context
            if stop is None or not one.aim.meets_stop(stop, context, wanted):
                event = self._event_of(one)
                if event is None:
                    continue
                context = event.context
            if (problem := self._problem(one, context)) is not None:
                met.append((one, problem))
        return met

    def _met_at(self, context: Context) -> list[tuple[Breakpoint, str]]:
        """The breakpoints that a context would stop for before its next instruction."""
        met = []
        for one in self._entries.values():
            aim = one.aim
            if one.enabled and isinstance(aim, CodeAim) and context.pc in aim.places and aim.means(context):
                if (problem := self._problem(one, context)) is not None:
                    met.append((one, problem))
        return met

    @staticmethod
    def _problem(one: Breakpoint, context: Context) -> str | None:
        """None when its condition is false; else what is wrong with that, or nothing."""
        try:
            if one.test is not None and not one.test(context):
                return None
            return None if one.condition is not None and not one.condition.true(context) else ""
        except DebugError as error:
            return str(error)

    def _event_of(self, one: Breakpoint) -> Event | None:
        """What was seen in the run that has just ended, and is what the breakpoint is for."""
        now = self.target.steps
        return next((event for event in self._events if 0 <= now - event.steps <= 1 and one.aim.meets_event(event)), None)

    def _foreign(self, halt: Halt) -> bool:
        return halt.stop is not None and self.armed.find(halt.stop.number) is None

    # what is seen of hypervisor and devices

    def _observe(self) -> None:
        """Look at exits and notifications while somebody wants to know."""
        aims = [one.aim for one in self._entries.values() if one.enabled]
        self._observe_exits(not self.bare and any(isinstance(aim, ExitAim | SbiAim) for aim in aims))
        wants_notifications = any(isinstance(aim, NotifyAim) for aim in aims)
        for context, transport in self._transports():
            transport.on_notify = self._notified(context, transport) if wants_notifications else None

    def _observe_exits(self, on: bool) -> None:
        hv = self.target.hv
        if hv is None or on == (hv.on_exit == self._exited):
            return
        if on:
            self._chained, hv.on_exit = hv.on_exit, self._exited
        else:
            hv.on_exit, self._chained = self._chained, None

    def _exited(self, exit_: VmExit) -> None:
        if self._chained is not None:
            self._chained(exit_)
        self._see(Event(self.target.steps, self.target.contexts[exit_.vm.number - 1], exit_))

    def _notified(self, context: Context, transport: VirtioMmio) -> Callable[[int], None]:
        def notified(queue: int) -> None:
            here = self.target.current if self.bare else context
            self._see(Event(self.target.steps, here, device=transport.name, queue=queue))

        return notified

    def _see(self, event: Event) -> None:
        if any(one.enabled and one.aim.meets_event(event) for one in self._entries.values()):
            self._events = [*(other for other in self._events if other.steps == event.steps), event]
            self.target.halt()

    def _transports(self) -> list[tuple[Context, VirtioMmio]]:
        found: dict[int, tuple[Context, VirtioMmio]] = {}
        for context in self.target.contexts:
            for device in context.bus.devices:
                if isinstance(device, VirtioMmio):
                    found.setdefault(id(device), (context, device))
        return list(found.values())

