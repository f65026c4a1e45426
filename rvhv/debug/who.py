"""Who wrote this last, and who claimed that interrupt: the last time before now, found by running the past again in silence."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rvhv.core.stop_table import CsrStop
from rvhv.cpu.pte import PAGE
from rvhv.debug.aims import Accessed, DataAim, ExitAim, accessed, pieces
from rvhv.debug.arrival import Arrival
from rvhv.debug.entries import Outcome
from rvhv.debug.look import addresses
from rvhv.debug.look.backtrace import Backtrace, backtrace
from rvhv.debug.look.code import length_of, source_text, text_of, word_at
from rvhv.debug.look.interrupts import EXTERNAL
from rvhv.debug.look.machines import source_names
from rvhv.debug.look.places import place, source
from rvhv.debug.look.table import cell, columns, paragraph
from rvhv.debug.target import Context, Ended, Halt, VmContext
from rvhv.debug.travel import SRET, TRAP_RETURNS
from rvhv.debug.view import Line
from rvhv.errors import DebugError
from rvhv.hv.exits import MmioExit
from rvhv.machine.plic import CLAIM_COMPLETE, CONTEXT, CONTEXT_STRIDE
from rvhv.snapshot.world import Why

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.snapshot.history import History

FRAMES = 5  # of the backtrace
FURTHEST = 2_000  # steps behind a claim that are looked at
MOST_LINES = 16  # of source, that are shown of them
ASSEMBLY = (".S", ".s")
COMPLETED = "and it was completed"
LONGEST = 70  # characters of a source line


@dataclass(frozen=True)
class Visited:
    """A source line that was gone through; `text` is "" where the file is not here."""

    where: str
    text: str


@dataclass(frozen=True)
class Culprit:
    """Where somebody did it, and who called that; `way`: source lines gone through afterwards, and `end` how that went on."""

    arrival: Arrival
    calls: Backtrace
    notes: tuple[str, ...] = ()
    way: tuple[Visited, ...] = ()
    end: str = ""

    def lines(self) -> list[Line]:
        rows = [*self.arrival.lines(), *self.calls.lines()[1:]]  # the first frame is where it is
        for note in self.notes:
            rows += paragraph(note, "warn")
        if self.way:
            rows.append([("title", "and then")])
            shown = self.way[-MOST_LINES:]
            rows += columns([[cell(one.where, "dim"), cell(one.text)] for one in shown], indent=2)
        return rows + paragraph(self.end, "bad" if COMPLETED not in self.end else "good")

    def json(self) -> Any:
        return {
            **self.arrival.json(),
            "backtrace": self.calls.json()["frames"],
            "notes": list(self.notes),
            "then": [{"where": one.where, "text": one.text} for one in self.way],
            "end": self.end or None,
        }


@dataclass(frozen=True)
class Nobody:
    """Nothing was found, and the guests are where they were."""

    text: str

    def lines(self) -> list[Line]:
        return paragraph(self.text, "warn")

    def json(self) -> Any:
        return {"found": False, "text": self.text}


def wrote(session: Session, text: str) -> Culprit | Nobody:
    """Go back to before the last store to an address, or behind the last change of a CSR. Raises DebugError, and
    KeyboardInterrupt where somebody wanted an end."""
    aim, where = session.breakpoints.to_watch(text, session.context)
    begins = session.history.begins
    context, alive = session.context, session.context.alive
    last = _bytes(context, aim) if isinstance(aim, DataAim) else None
    came = session.last(aim, frames=_frames(context, aim) if isinstance(aim, DataAim) else None)
    if came is None:
        since = f"since step {begins:,}, where the history begins"
        if not isinstance(aim, DataAim):
            return Nobody(f"{where}: there were none {since}")
        others = "What is there was loaded with the image, or the hypervisor or a device wrote it."
        return Nobody(f"{where}: no guest stored there {since}. {others}")
    context, stop = came.context, came.halt.stop
    notes: tuple[str, ...] = ()
    if isinstance(stop, CsrStop):
        by = f"{_changer(context, stop.pc)}at {place(context, stop.pc)}"
        said = f"{stop.csr} was {stop.old:#x} and became {stop.new:#x}: {by}"
    else:
        assert isinstance(aim, DataAim)
        access = accessed(context, context.pc)
        said = _storing(context, aim, access, where)
        left = _left(context, aim, access) if access is not None and alive and aim.space != "v" else None
        if left is not None and last is not None and left != last:
            notes = ("What is there now is something else: a device, the hypervisor or `set` wrote it later.",)
    return Culprit(_arrival(session, context, said), backtrace(context, FRAMES), notes)


def claimed(session: Session, which: str) -> Culprit | Nobody:
    """Go back to behind the last claim of an interrupt source, by number or by its device's name. Raises as `wrote` does."""
    context = session.context
    if not isinstance(context, VmContext):
        raise DebugError("who irq is for VMs: on a bare machine, break where the handler claims, and reverse-continue")
    number, device = _source(context, which)
    at = context.plic.base + CONTEXT + EXTERNAL["VSEI"] * CONTEXT_STRIDE + CLAIM_COMPLETE
    came = session.last(ExitAim(context, False, MmioExit, None, (at, at + 3)), lambda outcome: _claims(outcome, number))
    what = f"source {number} ({device})"
    if came is None:
        return Nobody(f"{what} was not claimed since step {session.history.begins:,}, where the history begins")
    assert came.event is not None and came.event.exit is not None
    pc = came.event.exit.pc
    said = f"{what} was claimed: {_instruction(context, pc)}at {place(context, pc)} loaded {number} from claim/complete"
    calls = backtrace(context, FRAMES)
    arrival = _arrival(session, context, said)
    way, end = _way(session, context, number, _handler(calls))
    return Culprit(arrival, calls, (), way, end)


def _source(context: VmContext, which: str) -> tuple[int, str]:
    """Number and device of an interrupt source."""
    names = source_names(context)
    if which.isdecimal() and which.isascii() and int(which) in names:
        return int(which), names[int(which)]
    found = [number for number, name in names.items() if which.lower() in name.lower().split()]
    if len(found) == 1:
        return found[0], names[found[0]]
    known = ", ".join(f"{number} ({name})" for number, name in names.items()) or "none"
    raise DebugError(f"{which[:40]!r} is no interrupt source; there are {known}")


def _claims(outcome: Outcome, source: int) -> bool:
    exit_ = outcome.event.exit if outcome.event is not None else None
    return isinstance(exit_, MmioExit) and exit_.access is not None and not exit_.access.store and exit_.value == source


def _arrival(session: Session, context: Context, said: str) -> Arrival:
    return Arrival(Outcome(Halt(Ended.BUDGET, context)), session.target, said)


def _instruction(context: Context, pc: int) -> str:
    try:
        return f"`{text_of(context, word_at(context, 'v', pc), pc)}` "
    except DebugError:
        return ""


def _changer(context: Context, pc: int) -> str:
    """What changed a CSR at `pc`: the instruction, or the trap that led elsewhere."""
    try:
        word = word_at(context, "v", pc)
    except DebugError:
        word = 0
    trapped = context.pc != pc + length_of(word) and word not in TRAP_RETURNS
    return "by the trap taken " if trapped else _instruction(context, pc)


# what a store does


def _storing(context: Context, aim: DataAim, access: Accessed | None, where: str) -> str:
    at = pieces(context, aim.space, access) if access is not None else []
    if access is None or not at:
        return f"is about to write {where}"
    value = "" if access.value is None else f" {access.value:#x}"
    over = _read(context, aim.space, at[0][0], at[0][1]) if len(at) == 1 else None
    was = "" if over is None else f", where {int.from_bytes(over, 'little'):#x} was"
    size = f"{access.size} bytes" if access.size > 1 else "1 byte"
    return f"{_instruction(context, context.pc)}writes{value} to {aim.space}:{at[0][0]:#x}, {size}{was}"


def _frames(context: Context, aim: DataAim) -> list[int] | None:
    """The host pages that are meant; None where that depends on the time."""
    if aim.space == "v" or not context.alive:
        return [aim.address & ~(PAGE - 1)] if aim.space == "h" and aim.address % PAGE + aim.length <= PAGE else None
    try:
        return [spa & ~(PAGE - 1) for spa, _ in addresses.pieces(context, aim.space, aim.address, aim.length)]
    except DebugError:
        return None


def _read(context: Context, space: str, address: int, length: int) -> bytes | None:
    try:
        return addresses.read(context, space, address, length)
    except DebugError:
        return None


def _bytes(context: Context, aim: DataAim) -> bytes | None:
    return _read(context, aim.space, aim.address, aim.length)


def _left(context: Context, aim: DataAim, access: Accessed) -> bytes | None:
    """What a store leaves in the place that is looked for; None where that cannot be told."""
    before = _bytes(context, aim)
    if access.value is None or before is None:
        return None
    data, left = bytearray(before), bytearray(access.value.to_bytes(access.size, "little"))
    for start, length in pieces(context, aim.space, access):
        for at, byte in enumerate(left[:length], start - aim.address):
            if 0 <= at < len(data):
                data[at] = byte
        del left[:length]
    return bytes(data)


# what is done after a claim


def _handler(calls: Backtrace) -> str:
    """The source file of the first function that a trap led to, behind its assembly; "" where that is not known."""
    file = ""
    for frame, (_, at) in zip(calls.frames, calls.places, strict=True):
        if frame.trap:
            return file
        name = at.rpartition(":")[0]
        if name and not name.endswith(ASSEMBLY):
            file = name
    return ""


def _way(session: Session, context: VmContext, number: int, file: str) -> tuple[tuple[Visited, ...], str]:
    """The source lines of a file (all, where it is "") that the handler goes through from here to its end, and whether it
    completes the interrupt."""
    way: list[str] = []
    end: list[str] = []

    def go(history: History) -> Why:
        here = history.now
        for _ in range(FURTHEST):
            if not context.plic.registers.in_flight >> number & 1:
                end.append(f"{COMPLETED}, {history.now.steps - here.steps:,} steps later")
                break
            at = source(context, context.pc)
            name = at.rpartition(":")[0]
            if at and name in (file, "" if file else name) and not name.endswith(ASSEMBLY) and at not in way[-1:]:
                way.append(at)
            if _word(context) == SRET:
                end.append("and the handler returned from the trap without completing it")
                break
            if history.goto(history.now.steps + 1) is not Why.BUDGET:
                break
        return history.goto(here)

    with session.breakpoints.off():
        session.travel(go)
    session.choose(context, by_hand=False)
    return tuple(Visited(at, _text(context, at)) for at in way), "".join(end)


def _word(context: Context) -> int | None:
    try:
        return word_at(context, "v", context.pc)
    except DebugError:
        return None


def _text(context: Context, at: str) -> str:
    file, _, line = at.rpartition(":")
    try:
        return textwrap.shorten(source_text(context, file)[int(line) - 1], LONGEST, placeholder=" ...")
    except (DebugError, IndexError):
        return ""
