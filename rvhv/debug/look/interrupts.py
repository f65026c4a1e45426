"""Interrupts of a context: which pend, which are enabled, where each goes, and why it is not taken."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.cpu.csrs import (
    INTERRUPT_BITS,
    M_INTERRUPTS,
    S_INTERRUPTS,
    VS_INTERRUPTS,
)
from rvhv.cpu.state import Prv
from rvhv.debug.look.machines import source_names
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.look.table import cell, table
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.debug.view import Line, Style
from rvhv.isa.expr import MASK64
from rvhv.machine.plic import PlicState

STCE = 63
# the order in which those for one mode are taken (Privileged ISA, "Machine Interrupt Registers"; H: hvip and hip)
PRIORITY = ("MEI", "MSI", "MTI", "SEI", "SSI", "STI", "SGEI", "VSEI", "VSSI", "VSTI")
RANK = {"M": 3, "HS": 2, "VS": 1}
EXTERNAL = {"MEI": 0, "SEI": 1, "VSEI": 1}  # the kind of PLIC context: M-mode's or S-mode's


@dataclass(frozen=True)
class Interrupt:
    """`to`: the mode that handles it, "M", "HS" or "VS". `verdict`: "taken" at the next instruction, or why it is not."""

    name: str
    code: int
    pending: bool
    enabled: bool
    to: str
    taken: bool
    verdict: str


@dataclass(frozen=True)
class Source:
    """A source of the PLIC, and what becomes of its requests for one PLIC context."""

    number: int
    device: str
    line: bool
    pending: bool
    claimed: bool
    enabled: bool
    priority: int
    threshold: int
    verdict: str
    delivered: bool


@dataclass(frozen=True)
class Interrupts:
    context: str
    mode: str
    interrupts: tuple[Interrupt, ...]
    sources: tuple[Source, ...]
    notes: tuple[str, ...]

    def lines(self) -> list[Line]:
        yes: Style = "warn"
        body = [
            [
                cell(i.name, "key"), cell("yes" if i.pending else "no", yes if i.pending else "dim"),
                cell("yes" if i.enabled else "no", "" if i.enabled else "dim"), cell(i.to),
                cell(i.verdict, "good" if i.taken else "bad" if i.pending else "dim"),
            ]
            for i in self.interrupts
        ]  # fmt: skip
        rows: list[Line] = [
            [("title", f"{self.context} is in {self.mode}-mode")],
            *table(("irq", "pending", "enabled", "to", ""), body, wrap=True),
        ]
        if self.sources:
            body = [
                [
                    cell(s.number), cell(s.device, "key"), cell("high" if s.line else "low", yes if s.line else "dim"),
                    cell("yes" if s.pending else "no"), cell(s.priority), cell(s.threshold),
                    cell("yes" if s.enabled else "no"), cell(s.verdict, "good" if s.delivered else "bad" if s.line else "dim"),
                ]
                for s in self.sources
            ]  # fmt: skip
            titles = ("src", "device", "line", "pending", "prio", "thresh", "enabled", "")
            rows += [[], *table(titles, body, right=(0, 4, 5), wrap=True)]
        return rows + [[("dim", note)] for note in self.notes]

    def json(self) -> Any:
        return {
            "context": self.context,
            "mode": self.mode,
            "interrupts": [
                {
                    "name": i.name, "code": i.code, "pending": i.pending, "enabled": i.enabled, "to": i.to, "taken": i.taken,
                    "verdict": i.verdict,
                }
                for i in self.interrupts
            ],
            "sources": [
                {
                    "source": s.number, "device": s.device, "line": s.line, "pending": s.pending, "claimed": s.claimed,
                    "enabled": s.enabled, "priority": s.priority, "threshold": s.threshold, "delivered": s.delivered,
                    "verdict": s.verdict,
                }
                for s in self.sources
            ],
            "notes": list(self.notes),
        }  # fmt: skip


def interrupts(context: Context) -> Interrupts:
    """Of a VM those that VS-mode can get; of a bare hart all."""
    now = save(context)
    guest = isinstance(context, VmContext)
    shown = VS_INTERRUPTS if guest else MASK64
    codes = {name: code for name in PRIORITY if shown >> (code := INTERRUPT_BITS[name]) & 1}
    sources = plic_sources(context, now)
    first = _first(now)
    found = []
    for name, code in codes.items():
        pending, enabled, to = bool(now.pending >> code & 1), bool(now["mie"] >> code & 1), target_of(now, code)
        verdict = why_not(context, now, name, sources, first)
        found.append(Interrupt(name, code, pending, enabled, to, first == name, verdict))
    notes = []
    if isinstance(context, VmContext):
        if not context.alive:
            notes.append(f"{context.name} has stopped: {context.status}")
        elif not context.vm.vcpu.loaded:
            what = "asleep in a WFI" if context.vm.vcpu.asleep else "waiting for its turn on the hart"
            notes.append(f"{context.name} is {what}: an interrupt is taken when it runs again")
    return Interrupts(context.name, context.mode, tuple(found), tuple(sources), tuple(notes))


def target_of(now: Saved, code: int) -> str:
    """The mode that an interrupt goes to, by mideleg and hideleg."""
    if not now["mideleg"] >> code & 1:
        return "M"
    return "VS" if now["hideleg"] >> code & 1 else "HS"


def _first(now: Saved) -> str | None:
    """The interrupt that is taken before the next instruction (`interrupt_to_take` of `rvhv.cpu.trap` is the hart's)."""
    ready = now.pending & now["mie"]
    for to in RANK:
        if not _open(now, to):
            continue
        for name in PRIORITY:
            code = INTERRUPT_BITS[name]
            if ready >> code & 1 and target_of(now, code) == to:
                return name
    return None


def _level(now: Saved) -> int:
    """The mode that the hart is in, on the scale of RANK; 0: a user's."""
    if now["prv"] == Prv.M:
        return 3
    return (1 if now["v"] else 2) if now["prv"] == Prv.S else 0


def _open(now: Saved, to: str) -> bool:
    return _closed(now, to) == ""


def _closed(now: Saved, to: str) -> str:
    """What keeps interrupts for a mode from being taken now; "" where nothing does."""
    here, there, virtual = _level(now), RANK[to], bool(now["v"])
    name = {"M": "mstatus.MIE", "HS": "sstatus.SIE", "VS": "vsstatus.SIE"}[to]
    if to == "VS" and not virtual:
        return "the hart is not in a guest (V=0): interrupts for VS-mode wait until it is"
    if here == there:
        csr, _, field = name.partition(".")
        return "" if now.field(csr, field) else f"{name}=0: {to}-mode has its interrupts off"
    if here > there:
        mode = {3: "M", 2: "HS"}[here]
        return f"the hart is in {mode}-mode, above {to}-mode: it waits until that returns"
    return ""  # a mode above the current one always gets its interrupts


def why_not(context: Context, now: Saved, name: str, sources: list[Source], first: str | None) -> str:
    """In words: taken next, or the first thing that keeps it from being taken."""
    code = INTERRUPT_BITS[name]
    to = target_of(now, code)
    pending, enabled = now.pending >> code & 1, now["mie"] >> code & 1
    switch = enable_name(context, name)
    if not pending:
        reason = _not_pending(context, now, name, sources)
        return f"not pending: {reason}" + ("" if enabled else f"; and {switch}=0")
    if not enabled:
        return f"pending, but {switch}=0: not enabled" + (f"; and {closed}" if (closed := _closed(now, to)) else "")
    closed = _closed(now, to)
    if closed:
        return f"pending and enabled, but {closed}"
    if first == name:
        return f"taken before the next instruction, to {to}-mode"
    return f"pending and enabled; {first} comes first"


def enable_name(context: Context, name: str) -> str:
    """The enable bit as who is to set it calls it: a guest sets vsie.STIE as sie.STIE."""
    if isinstance(context, VmContext) and name.startswith("VS"):
        return f"vsie.{name[1:]}E"
    code = 1 << INTERRUPT_BITS[name]
    return f"{'mie' if code & M_INTERRUPTS else 'sie' if code & S_INTERRUPTS else 'hie'}.{name}E"


def _not_pending(context: Context, now: Saved, name: str, sources: list[Source]) -> str:
    time = now.leaf("time")
    if name == "MTI":
        return _timer("mtimecmp", now["mtimecmp"], time)
    if name == "STI":
        if not now["menvcfg"] >> STCE:
            return "mip.STIP is M-mode's to set (menvcfg.STCE=0: there is no stimecmp)"
        return _timer("stimecmp", now["stimecmp"], time)
    if name == "VSTI":
        for csr in ("menvcfg", "henvcfg"):
            if not now[csr] >> STCE:
                return f"hvip.VSTIP=0, and vstimecmp does nothing while {csr}.STCE=0"
        return _timer("vstimecmp", now["vstimecmp"], time + now["htimedelta"] & MASK64)
    if name in EXTERNAL:
        live = [source for source in sources if source.line or source.pending or source.claimed]
        if live:
            return f"source {live[0].number} ({live[0].device}): {live[0].verdict}"
        return "no device has its line high" + ("" if name != "VSEI" else ", and hvip.VSEIP=0")
    if name == "SGEI":
        return "hgeip & hgeie is 0"
    soft = {"MSI": "the CLINT's msip is 0", "SSI": "sip.SSIP=0: nobody sent one", "VSSI": "hvip.VSSIP=0 (the guest's sip.SSIP)"}
    return soft[name]


def _timer(csr: str, compare: int, time: int) -> str:
    if compare == MASK64:
        return f"{csr} is all ones: no timer was set"
    return f"{csr} is due in {compare - time:,} ticks (it is {compare:,}, the time {time:,})"


def plic_sources(context: Context, now: Saved) -> list[Source]:
    """What the PLIC makes of each source that anybody has to do with, for the context's S-mode (and a bare hart's M-mode)."""
    state = context.plic.registers
    names = source_names(context)
    kinds = (1,)
    base = 0
    if isinstance(context, HartContext):
        base = 2 * context.index
        # the PLIC context of the mode that uses it: the one with something enabled, S-mode's where both or none
        kinds = (1,) if state.enable[base + 1] or not state.enable[base] else (0,)
    found = []
    for kind in kinds:
        number = base + kind
        for source in range(1, len(state.priority)):
            bit = 1 << source
            anything = state.level & bit or state.pending & bit or state.in_flight & bit or state.enable[number] & bit
            if anything or (source in names and state.priority[source]):
                found.append(_source(state, number, source, names.get(source, "nothing")))
    return found


def _source(state: PlicState, context: int, source: int, device: str) -> Source:
    bit = 1 << source
    line, pending, forwarded = (bool(mask & bit) for mask in (state.level, state.pending, state.in_flight))
    claimed = forwarded and not pending
    enabled, priority, threshold = bool(state.enable[context] & bit), state.priority[source], state.threshold[context]
    delivered = False
    if claimed:
        verdict = "claimed and not completed: the PLIC forwards no more of it until the handler writes it back to claim/complete"
    elif not pending:
        verdict = "the device asks for nothing" + ("" if enabled else "; not enabled")
    elif not enabled:
        verdict = f"pending, but not enabled for context {context}: set bit {source} of its enable word"
    elif not priority:
        verdict = "pending, but its priority is 0, which never interrupts"
    elif priority <= threshold:
        verdict = f"pending, but its priority {priority} is not above the threshold {threshold}"
    else:
        delivered, verdict = True, f"delivered to context {context}"
    return Source(source, device, line, pending, claimed, enabled, priority, threshold, verdict, delivered)
