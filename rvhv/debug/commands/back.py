"""Back in time."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rvhv.amounts import amount
from rvhv.debug import travel
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command
from rvhv.debug.past import Bookmarks, Changes, Held
from rvhv.debug.view import Text
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View
    from rvhv.snapshot.history import History
    from rvhv.snapshot.world import Why

_NAME = re.compile(r"[A-Za-z_][\w-]*")
START, END = "start", "end"
SOURCES = ("irq", "plic", "interrupt")


@command(
    "back",
    "back",
    "go so many steps of the whole machine back",
    "back [STEPS]",
    ("back", "one step"),
    ("back 1000", "a thousand"),
    ("back 5M", "five million"),
    repeats="same",
    details="Going on from there does what was done before, input included. Changing something there (set, type) makes "
    "another future.",
)
def back(session: Session, arguments: Arguments) -> View:
    steps = arguments.count(1)
    return session.arrived(session.travel(lambda history: history.goto(max(history.begins, history.now.steps - steps))))


@command(
    "reverse-step",
    "back",
    "to the beginning of the source line before, into what was called",
    "reverse-step [COUNT]",
    ("reverse-step", "of the VM or hart that is looked at; the others go back with it"),
    ("rs 5", "five lines"),
    short=("rs",),
    repeats="same",
    details="Where there are no source lines, one instruction. Breakpoints do not count.",
)
def reverse_step(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.lines_back import reverse_line

    count, context = arguments.count(1), session.context
    return _journey(session, lambda history: reverse_line(session.target, history, context, count))


@command(
    "reverse-stepi",
    "back",
    "back by instructions of the VM or hart that is looked at",
    "reverse-stepi [COUNT]",
    ("reverse-stepi", "before the last instruction that it made"),
    ("rsi 10", "ten of them"),
    short=("rsi",),
    repeats="same",
)
def reverse_stepi(session: Session, arguments: Arguments) -> View:
    count, context = arguments.count(1), session.context
    return _journey(session, lambda history: travel.reverse_step(history, context, count))


@command(
    "reverse-next",
    "back",
    "to the beginning of the source line before, over what was called",
    "reverse-next [COUNT]",
    ("reverse-next", "of this function, or of who called it"),
    ("rn 5", "five lines"),
    short=("rn",),
    repeats="same",
)
def reverse_next(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.lines_back import reverse_line

    count, context = arguments.count(1), session.context
    return _journey(session, lambda history: reverse_line(session.target, history, context, count, over=True))


@command(
    "reverse-nexti",
    "back",
    "back by instructions, over what was called",
    "reverse-nexti [COUNT]",
    ("reverse-nexti", "before the last instruction of this function"),
    short=("rni",),
    repeats="same",
)
def reverse_nexti(session: Session, arguments: Arguments) -> View:
    count, context = arguments.count(1), session.context
    return _journey(session, lambda history: travel.reverse_next(session.target, history, context, count))


def _journey(session: Session, journey: Callable[[History], Why]) -> View:
    return session.arrived(session.travel(journey, session.context))


@command(
    "reverse-continue",
    "back",
    "go back to the last time that a breakpoint or watchpoint was met: who wrote this?",
    "reverse-continue",
    ("reverse-continue", "after watch counter: where counter was written last"),
    short=("rc",),
    repeats="same",
)
def reverse_continue(session: Session, arguments: Arguments) -> View:
    arguments.done()
    return session.arrived(session.reverse_continue())


@command(
    "who",
    "back",
    "go back to who wrote an address last, who changed a CSR, or who claimed an interrupt",
    "who ADDRESS | CSR[.FIELD] | irq SOURCE [length=BYTES] [vm=NAME]",
    ("who counter", "the last store to eight bytes at a symbol; again: the one before"),
    ("who h:0x80011078", "to a page table entry that why named; g: is guest physical, h: host physical"),
    ("who u32[sp + 8]", "to four bytes on the stack"),
    ("who vsstatus.SIE", "the last change of a CSR of the guest, or of a field of one"),
    ("who irq 3", "the last claim of source 3 of the PLIC, and what its handler did then"),
    kinds=("expression",),
    repeats="same",
    details="Stores are found before they are done, changes of CSRs and claims after. What a device or the hypervisor wrote is "
    "no store of a guest. Breakpoints do not count here.",
)
def who(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.who import claimed, wrote

    text = arguments.some("ADDRESS or CSR")
    word, _, which = text.partition(" ")
    if word in SOURCES:
        return claimed(session, Arguments(which.strip(), "", arguments.usage).word("SOURCE"))
    return wrote(session, text)


@command(
    "goto",
    "back",
    "be at a step, at a bookmark, at the start or the end",
    "goto STEP | BOOKMARK | start | end",
    ("goto 1000000", "after a million steps of the whole machine, before or behind now"),
    ("goto before", "at a bookmark"),
    ("goto start", "where the history begins"),
    ("goto end", "as far as it was seen"),
    kinds=("bookmark",),
)
def goto(session: Session, arguments: Arguments) -> View:
    word = arguments.word("STEP or BOOKMARK")
    history = session.history
    steps = amount(word)
    if word in history.bookmarks:
        mark = history.bookmarks[word]
        return session.arrived(session.travel(lambda history: history.goto(mark)))
    if word == START:
        steps = history.begins
    elif word == END:
        steps = history.furthest
    elif steps is None:
        history.moment_of(word)  # which says that there is none
        raise AssertionError
    if steps < history.begins:
        raise DebugError(f"step {steps:,} is before the history begins, at step {history.begins:,}")
    return session.arrived(session.travel(lambda history: history.goto(steps)))


@command(
    "bookmark",
    "back",
    "name this moment; all names",
    "bookmark [NAME | --delete NAME]",
    ("bookmark before", "goto before comes back here"),
    ("bookmark", "those that there are"),
    ("bookmark --delete before", "forget one"),
    short=("bookmarks", "mark"),
    kinds=("bookmark",),
)
def bookmark(session: Session, arguments: Arguments) -> View:
    history = session.history
    if arguments.flag("delete"):
        name = arguments.word("NAME")
        history.moment_of(name)
        history.forget_bookmark(name)
    elif arguments.text:
        name = arguments.word("NAME")
        if amount(name) is not None or name in (START, END) or not _NAME.fullmatch(name):
            raise arguments.wrong("a NAME is letters, digits and -, and none that goto understands already")
        history.bookmark(name)
        return Text(f"{name} is step {history.now.steps:,}")
    return Bookmarks.of(history)


@command(
    "diff",
    "back",
    "what differs between a bookmark and now: registers, CSRs, pages",
    "diff BOOKMARK",
    ("diff before", "then and now, of every guest hart, and the bytes of memory that changed"),
    kinds=("bookmark",),
)
def diff(session: Session, arguments: Arguments) -> View:
    history = session.history
    return Changes.of(session.target, history.diff(arguments.word("BOOKMARK")))


@command(
    "history",
    "back",
    "how far back it goes, and what it costs",
    "history",
    ("history", "where it begins, what came from outside, memory used"),
)
def history(session: Session, arguments: Arguments) -> View:
    arguments.done()
    return Held.of(session.history)
