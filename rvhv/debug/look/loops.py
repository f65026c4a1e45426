"""A context that gets nowhere: traps without end, a WFI that nothing ends, a loop that nothing in it can leave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import INTERRUPT_BITS, VS_INTERRUPTS
from rvhv.cpu.state import TRAP_LOOP_LIMIT
from rvhv.debug.look.code import LONGEST, Block, length_of
from rvhv.debug.look.interrupts import PRIORITY, enable_name, interrupts, plic_sources
from rvhv.debug.look.meanings import cause_name
from rvhv.debug.look.places import place, symbol
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.look.table import paragraph
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.debug.view import Line
from rvhv.errors import DebugError
from rvhv.isa.effects import Amo, Branch, Call, CsrAccess, Jump, Load, LoadReserved, Store, StoreConditional
from rvhv.isa.expr import MASK64, E, evaluate, signed
from rvhv.virtio.mmio import VirtioMmio

FEWEST_TRAPS = 3  # in a row, before it looks like a loop
FEWEST_POLLS = 8  # exits for the same register in a row
LOAD_GUEST_PAGE = ISA.causes["load_guest_page_fault"].code
LONGEST_LOOP = 16  # instructions of a loop that waits


@dataclass(frozen=True)
class Stuck:
    """`kind`: "trap loop", "asleep" or "spin"; `text` says what would get it out."""

    kind: str
    context: str
    text: str
    rule: str = ""  # of a trap loop: "vector" where the handler itself cannot be executed
    next: str = ""  # a command that goes on from here

    def lines(self) -> list[Line]:
        return paragraph(f"{self.context}: {self.text}", "bad" if self.kind != "spin" else "warn")

    def json(self) -> Any:
        return {"kind": self.kind, "context": self.context, "text": self.text, "next": self.next or None}


def stuck(context: Context) -> Stuck | None:
    """What keeps a context from getting on; None where nothing seems to."""
    now = save(context)
    for kind, look in (("trap loop", _trap_loop), ("asleep", _asleep), ("spin", _spin), ("spin", _polls)):
        text = look(context, now)
        if text:
            rule = "vector" if kind == "trap loop" and _at_vector(context, now) else ""
            return Stuck(kind, context.name, text, rule, _next(context, now) if kind == "asleep" else "")
    return None


def _next(context: Context, now: Saved) -> str:
    """Who brought a context to sleep without end: who spoilt a queue, or claimed an interrupt and did not complete it."""
    spoilt = [d.broken_at for d in context.bus.devices if isinstance(d, VirtioMmio) and d.broken]
    if spoilt:
        space = "g" if isinstance(context, VmContext) else "h"
        return "" if spoilt[0] is None else f"who {space}:{spoilt[0]:#x}"
    claimed = [source.number for source in plic_sources(context, now) if source.claimed]
    return f"who irq {claimed[0]}" if claimed and isinstance(context, VmContext) else ""


def _at_vector(context: Context, now: Saved) -> bool:
    prefix = _prefix(context)
    return now[f"{prefix}epc"] == now[f"{prefix}tvec"] & ~3


def _prefix(context: Context) -> str:
    """The first letters of the CSRs of the mode whose handler runs."""
    return {"M": "m", "S": "s"}.get(context.mode, "vs")


def _trap_loop(context: Context, now: Saved) -> str:
    count = now["traps_in_a_row"]
    if count < FEWEST_TRAPS:
        return ""
    prefix = _prefix(context)
    cause, vector, epc = now[f"{prefix}cause"], now[f"{prefix}tvec"] & ~3, now[f"{prefix}epc"]
    end = f"; at {TRAP_LOOP_LIMIT:,} it is stopped" if count < TRAP_LOOP_LIMIT and isinstance(context, VmContext) else ""
    where = place(context, epc)
    if _at_vector(context, now):
        what = f"the first instruction of its own handler ({prefix}tvec={vector:#x}) traps: {cause_name(cause)}"
        hint = f"nothing can be executed at {prefix}tvec: it was not set, is not mapped, or is not executable in this mode"
    else:
        what = f"the same trap comes again and again: {cause_name(cause)} at {where}"
        hint = "whoever handles it neither removes the cause nor goes on behind the instruction"
    return f"a trap loop: {count:,} traps without one instruction retired{end}; {what}; {hint}"


# a WFI


def _asleep(context: Context, now: Saved) -> str:
    """Why a WFI will not end, or "" where something will end it."""
    if isinstance(context, VmContext):
        vcpu = context.vm.vcpu
        waits = vcpu.asleep and context.alive or context.status.startswith("asleep")
        if not waits or (context.alive and vcpu.deadline is not None):
            return ""
        mine = VS_INTERRUPTS
    else:
        assert isinstance(context, HartContext)
        if context.status != "asleep":
            return ""
        mine = MASK64
    enabled = now["mie"] & mine
    reasons = []
    woken_by_device = False
    sources = plic_sources(context, now)
    for name in PRIORITY:
        code = INTERRUPT_BITS[name]
        if not mine >> code & 1:
            continue
        on, switch = enabled >> code & 1, enable_name(context, name)
        if name.endswith("TI"):
            compare, time = _timer(now, name)
            if on and compare != MASK64:
                return ""  # it will come, if in a very long time
            if on:
                reasons.append(f"{switch}=1, but no timer was set")
            elif compare != MASK64:
                due = f"due in {compare - time:,} ticks" if compare > time else "due already"
                reasons.append(f"a timer is set ({due}), but {switch}=0, so that it wakes nobody")
        elif name.endswith("EI") and name != "SGEI":
            live = [s for s in sources if s.line or s.pending or s.claimed]
            able = [s for s in sources if s.enabled and s.priority > s.threshold and not s.claimed]
            woken_by_device = woken_by_device or bool(on and able)
            if live and not on:
                reasons.append(f"{live[0].device} asks for attention (source {live[0].number}), but {switch}=0")
            elif live and on:
                reasons.append(f"source {live[0].number} ({live[0].device}): {live[0].verdict}")
            elif on and not able:
                reasons.append(f"{switch}=1, but no source of the PLIC is enabled with a priority above the threshold")
    space = "g" if isinstance(context, VmContext) else "h"
    broken = [
        f"{d.name} serves nothing any more: {d.broken}" + (f"; that is at {space}:{d.broken_at:#x}" if d.broken_at else "")
        for d in context.bus.devices
        if isinstance(d, VirtioMmio) and d.broken
    ]
    if broken:
        reasons = broken
    if woken_by_device and not reasons:
        return ""  # a device may: a key pressed, say
    if not enabled:
        reasons.insert(0, "no interrupt is enabled at all (" + ("vsie" if isinstance(context, VmContext) else "mie") + "=0)")
    told = "; ".join(reasons) or "nothing that is enabled can come"
    return f"asleep in a WFI at {place(context, context.pc)} that nothing ends: {told}"


def _timer(now: Saved, name: str) -> tuple[int, int]:
    """What a timer is compared with, and the time that it sees; all ones where there is no such timer."""
    time = now.leaf("time")
    if name == "MTI":
        return now["mtimecmp"], time
    if not now["menvcfg"] >> 63:
        return MASK64, time
    if name == "STI":
        return now["stimecmp"], time
    return (now["vstimecmp"] if now["henvcfg"] >> 63 else MASK64), time + now["htimedelta"] & MASK64


# a loop


@dataclass(frozen=True)
class _Step:
    """An instruction of a loop: the registers it reads and writes, and the address that it loads from."""

    reads: frozenset[int]
    writes: int | None
    address: E | None
    fields: dict[str, int]
    target: int | None


def _spin(context: Context, now: Saved) -> str:
    """A short loop around pc in which no register changes from round to round: it waits for memory, a device or an interrupt."""
    if not context.alive or (isinstance(context, VmContext) and context.vm.vcpu.asleep):
        return ""
    loop = _loop_around(context)
    if loop is None:
        return ""
    start, end, steps = loop
    written: set[int] = set()
    loads = []
    changing = {step.writes for step in steps if step.writes}
    for step in steps:
        if step.address is None and (step.reads & changing) - written:
            return ""  # a register of the round before counts: it gets on
        if step.address is not None:
            if step.reads & changing:
                return ""  # it walks along something
            loads.append(_address(step, now))
        if step.writes:
            written.add(step.writes)
    where = f"{place(context, start)} to {end:#x}"
    off = _nothing_comes(context)
    if not loads:
        return f"an endless loop ({where}): nothing in it changes what it tests; only an interrupt can get it out{off}"
    what = ", ".join(f"v:{address:#x}{_named(context, address)}" for address in dict.fromkeys(loads))
    return f"it spins ({where}) until somebody changes {what}{off}"


def _polls(context: Context, now: Saved) -> str:
    """A guest that asks a device the same again and again: its last exits are all the same."""
    if not isinstance(context, VmContext) or not context.alive or context.vm.vcpu.asleep:
        return ""
    mine = [r for r in context.vm.hv.last_exits() if r.vm == context.number]
    last = mine[-1] if mine else None
    if last is None or last.cause != LOAD_GUEST_PAGE:
        return ""
    count = 0
    for record in reversed(mine):
        if (record.cause, record.pc, record.gpa) != (last.cause, last.pc, last.gpa):
            break
        count += 1
    found = context.bus.find(last.gpa, 1)
    if count < FEWEST_POLLS or found is None:
        return ""
    what = f"register {found[1]:#x} of {found[0].name}"
    return f"it polls {what}: its last {count:,} exits are loads of it at {place(context, last.pc)}{_nothing_comes(context)}"


def _named(context: Context, address: int) -> str:
    if name := symbol(context, address):
        return f" ({name})"
    try:
        spa = context.walk(address).reached
    except DebugError:
        return ""
    found = context.bus.find(spa.spa, 1) if spa is not None and spa.memory == "device" else None
    return f" ({found[0].name})" if found else ""


def _nothing_comes(context: Context) -> str:
    shown = interrupts(context).interrupts
    if any(i.taken for i in shown):
        return ""
    waiting = [i for i in shown if i.pending]
    if waiting:
        return f"; {waiting[0].name} is {waiting[0].verdict}"
    return "" if any(i.enabled for i in shown) else "; no interrupt is enabled"


def _address(step: _Step, now: Saved) -> int:
    assert step.address is not None
    registers = {f"rs{n}": now[f"x{step.fields[f'rs{n}']}"] for n in (1, 2) if f"rs{n}" in step.fields}
    return evaluate(step.address, lambda name: registers[name] if name in registers else step.fields[name] & MASK64)


def _loop_around(context: Context) -> tuple[int, int, list[_Step]] | None:
    """First and last address of the innermost short loop that pc is in, and its instructions; None where there is none, or it
    does more than compute and load."""
    at, steps = context.pc, []
    block = Block.of(context, "v", at, LONGEST * LONGEST_LOOP)
    for _ in range(LONGEST_LOOP):
        step, length = _step(block, at)
        if step is None:
            return None
        steps.append((at, step))
        if step.target is not None and step.target <= context.pc and context.pc - step.target <= 4 * LONGEST_LOOP:
            return _whole(context, step.target, at)
        if step.target is not None and step.target > at:
            pass  # a way out of the loop, not taken for long
        elif step.target is not None:
            return None
        at += length
    return None


def _whole(context: Context, start: int, end: int) -> tuple[int, int, list[_Step]] | None:
    steps = []
    at = start
    block = Block.of(context, "v", start, end - start + LONGEST)
    while at <= end:
        step, length = _step(block, at)
        if step is None:
            return None
        steps.append(step)
        at += length
    return (start, end, steps) if len(steps) <= LONGEST_LOOP else None


def _step(block: Block, at: int) -> tuple[_Step | None, int]:
    """An instruction that may be in such a loop; None for a store, a call, anything with consequences."""
    word = block.word(at)
    found = None if word is None else ISA.decode(word)
    if word is None or found is None:
        return None, 0
    insn, fields, _ = found
    address = target = None
    for effect in insn.effects:
        match effect:
            case Load(addr=addr):
                address = addr
            case Branch() | Jump():
                if "rs1" in fields and isinstance(effect, Jump):
                    return None, 0
                target = at + signed(fields["imm"]) & MASK64
            case Store() | Amo() | LoadReserved() | StoreConditional() | CsrAccess() | Call():
                return None, 0
    if target is not None and fields.get("rd"):
        return None, 0  # a call
    reads = frozenset(fields[r] for r in ("rs1", "rs2") if fields.get(r))
    return _Step(reads, fields.get("rd") or None, address, fields, target), length_of(word)
