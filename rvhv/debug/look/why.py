"""Why: the last exit, or the last fault that a guest took, in a paragraph. What happened, at which instruction, through which PTE
or CSR bit, by which rule of the manual, and what usually causes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.debug.look.addresses import check_kept
from rvhv.debug.look.code import text_of, word_at
from rvhv.debug.look.interrupts import plic_sources
from rvhv.debug.look.loops import Stuck, stuck
from rvhv.debug.look.places import place
from rvhv.debug.look.refused import refused
from rvhv.debug.look.table import hexadecimal, paragraph
from rvhv.debug.look.taken import Taken, latest, taken
from rvhv.debug.look.usual import usual
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.debug.view import Line
from rvhv.errors import DebugError
from rvhv.hext.walks import recorder
from rvhv.hext.walks.record import Walk
from rvhv.hv.sbi import GUEST_SBI
from rvhv.isa.effects import Amo, LoadReserved, StoreConditional

ACCESS = {"instruction": "fetch", "load": "load", "store": "store"}
VERBS = {"fetch": "fetches an instruction from", "load": "loads from", "store": "stores to"}
# sections of the manual that have no normative tags, by their anchors
SECTIONS = {
    "sv32algorithm": 'the section "Virtual Address Translation Process"',
    "pteperm": 'the table "Encoding of PTE R/W/X fields"',
    "svade": 'the section "Addressing and Memory Protection", on A and D',
}
NEXT = {"memory": "who wrote that last", "irq": "who claimed that last"}
FRESH = 4  # steps after a call within which its registers are still those of the call
EBREAK, C_EBREAK = 0x0010_0073, 0x9002


@dataclass(frozen=True)
class Cause:
    """What is known of a trap beyond its CSRs: its kind and the rule that refused (keys of the usual causes), and sentences."""

    kind: str
    rule: str
    says: tuple[str, ...]
    source: str = ""
    walk: Walk | None = None


@dataclass(frozen=True)
class Why:
    """`text` is the paragraph; `usually` what to look for; `source` the manual's tags; `next`: a command that goes on from
    here; `others`: what a hint would choose."""

    context: str
    trap: Taken | None
    name: str
    instruction: str
    where: str
    text: str
    kind: str
    rule: str
    source: str
    usually: str
    walk: Walk | None
    stuck: Stuck | None
    next: str
    others: tuple[str, ...]

    def lines(self) -> list[Line]:
        first = self.stuck is not None and self.stuck.kind != "spin"
        stuck_lines = self.stuck.lines() if self.stuck is not None else []
        rows = [*(stuck_lines if first else []), *paragraph(self.text)]
        if self.usually:
            rows += paragraph(f"Usually: {self.usually}.", "warn", hanging="  ")
        if self.source:
            rows += paragraph(f"Rule: {SECTIONS.get(self.source, self.source)}", "dim", hanging="  ")
        rows += [] if first else stuck_lines
        if self.next:
            rows.append([("", "Next: "), ("key", self.next), ("dim", f"  ({NEXT['irq' if ' irq ' in self.next else 'memory']})")])
        if self.others:
            rows += paragraph(f"Also: {', '.join(self.others)}", "dim")
        return rows

    def json(self) -> Any:
        trap = self.trap
        return {
            "context": self.context,
            "cause": None if trap is None else hexadecimal(trap.cause),
            "name": self.name or None,
            "from": None if trap is None else trap.mode,
            "to": None if trap is None else trap.to,
            "pc": None if trap is None else hexadecimal(trap.pc),
            "tval": None if trap is None else hexadecimal(trap.tval),
            "gpa": None if trap is None else hexadecimal(trap.gpa),
            "instruction": self.instruction or None,
            "where": self.where or None,
            "text": self.text,
            "kind": self.kind or None,
            "rule": self.rule or None,
            "source": self.source or None,
            "usually": self.usually or None,
            "stuck": None if self.stuck is None else self.stuck.json(),
            "next": self.next or None,
            "others": list(self.others),
        }


def why(context: Context, hint: str | None = None) -> Why:
    """`hint`: "exit" (to the hypervisor), "fault" (that the guest took), or "m", "s", "vs". Raises DebugError."""
    found = taken(context)
    still = stuck(context)
    ended = f"{context.name} has stopped: {context.status}. " if not context.alive else ""
    if not found:
        if hint is not None:
            latest(context, found, hint)
        text = ended or f"{context.name} has not trapped yet: there is nothing to explain."
        return Why(context.name, None, "", "", "", text.strip(), "", "", "", "", None, still, still.next if still else "", ())
    chosen = latest(context, found, hint)
    trap = found[chosen]
    row = trap.row
    name = row.text if row is not None else f"cause {trap.cause:#x}"
    word = _word(context, trap)
    instruction = "" if word is None else text_of(context, word, trap.pc)
    where = place(context, trap.pc)
    cause = _cause(context, trap, word)
    at = f"before the instruction at {where}" if trap.interrupt else f"`{instruction}` at {where}" if word is not None else where
    kind = "an interrupt" if trap.interrupt else "an exception"
    went = "to the hypervisor" if trap.exit else f"to {trap.to}-mode"
    number = f"interrupt {trap.code}" if trap.interrupt else f"cause {trap.code}"
    head = f"{context.name} took {kind} from {trap.mode}-mode {went}: {name} ({number}), {at}."
    text = " ".join([ended + head, *(f"{_capital(sentence)}." for sentence in cause.says if sentence)])
    names = {"s": "exit", "vs": "fault"} if isinstance(context, VmContext) else {}
    others = tuple(f"why {names.get(p, p)} ({_short(other)})" for p, other in found.items() if p != chosen)
    usually = usual(cause.kind, cause.rule)
    if still is not None and still.kind != "spin":
        usually = usual("loop", still.rule) if still.kind == "trap loop" else ""
    following = still.next if still is not None and still.next else _next(context, cause)
    return Why(
        context.name, trap, name, instruction, where, text, cause.kind, cause.rule, cause.source, usually, cause.walk, still,
        following, others,
    )  # fmt: skip


def _next(context: Context, cause: Cause) -> str:
    """Who wrote the PTE that refused, where that was the guest, and the PTE is there."""
    fault = cause.walk.fault if cause.walk is not None else None
    if fault is None or not fault.pte or fault.pte_spa is None:
        return ""
    theirs = isinstance(context, HartContext) or fault.stage == "VS"
    return f"who h:{fault.pte_spa:#x}" if theirs else ""


def _capital(sentence: str) -> str:
    """With a capital letter, but for names of registers and instructions."""
    first = re.split(r"[ .=(]", sentence, maxsplit=1)[0]
    known = first in ISA.csrs or first in ISA.insns or first.startswith(("cbo", "hfence", "hinval", "sfence"))
    return sentence if known else sentence[:1].upper() + sentence[1:]


def _short(trap: Taken) -> str:
    name = trap.row.text if trap.row is not None else f"cause {trap.cause:#x}"
    return f"the last exit: {name}" if trap.exit else f"the last trap to {trap.to}-mode: {name}"


def _word(context: Context, trap: Taken) -> int | None:
    """The instruction that trapped; None where the fetch itself did, or it cannot be read any more."""
    row = trap.row
    if row is not None and not trap.interrupt and row.name.startswith("instruction_") and trap.tval == trap.pc:
        return None
    if row is not None and row.tval == "insn" and trap.tval:
        return trap.tval
    try:
        return word_at(context, "v", trap.pc)
    except DebugError:
        return None


def _cause(context: Context, trap: Taken, word: int | None) -> Cause:
    row = trap.row
    if row is None:
        return Cause("", "", ("the manual has no such cause: somebody wrote the register",))
    if trap.interrupt:
        return _interrupt(context, trap)
    access = ACCESS.get(row.name.partition("_")[0], "load")
    if row.guest_page_fault:
        return _guest_page_fault(context, trap, access)
    if row.name.endswith("page_fault"):
        return _page_fault(context, trap, access)
    if row.name.endswith("access_fault"):
        return _access_fault(context, trap, access)
    if row.name in ("illegal_instruction", "virtual_instruction"):
        return _refused(context, trap, word)
    if row.name.endswith("misaligned"):
        return _misaligned(trap, access, word)
    if row.name == "breakpoint":
        return _breakpoint(trap, word)
    return _ecall(context, trap)


# memory


def _walk(context: Context, trap: Taken, access: str) -> Walk | None:
    """Walking again what the trapped access walked; None where a stopped VM's tables are gone."""
    memory = context.target.memory
    found = recorder.walk(trap.before.words, memory, trap.tval, access, mode=trap.mode, devices=isinstance(context, HartContext))
    return _kept(context, found)


def _kept(context: Context, walk: Walk) -> Walk | None:
    if isinstance(context, VmContext) and not context.alive:
        try:
            check_kept(context, walk)
        except DebugError:
            return None
    return walk


def _touched(trap: Taken, access: str) -> str:
    return f"it {VERBS[access]} {trap.tval:#x}"


GONE = "its page tables are gone: the memory of a stopped VM is given to others"


def _page_fault(context: Context, trap: Taken, access: str) -> Cause:
    walk = _walk(context, trap, access)
    if walk is None:
        return Cause("page", "", (_touched(trap, access), GONE))
    fault = walk.fault
    if fault is None or fault.gpa is not None:
        says: tuple[str, ...] = (
            _touched(trap, access),
            "the first stage's tables allow that now: they were changed since",
        )
        return Cause("page", "fine", says, "norm:sfence_vma_implicit_access", walk)
    stage = {"S": "translation", "VS": "the VS-stage (the guest's own tables)"}.get(fault.stage or "", "translation")
    says = (_touched(trap, access), f"{stage} refuses it: {walk.refused}", *_also(walk))
    return Cause(f"page {access}", fault.rule, says, fault.source, walk)


def _also(walk: Walk) -> tuple[str, ...]:
    also = walk.accesses[-1].also if walk.accesses else ()
    return (f"the same PTE would be refused for this too: {'; '.join(also)}",) if also else ()


def _guest_page_fault(context: Context, trap: Taken, access: str) -> Cause:
    assert trap.gpa is not None
    gpa = trap.gpa
    if trap.implicit:
        what = f"to translate {trap.tval:#x} the hart reads the guest's own page table at g:{gpa:#x}"
    else:
        what = f"{_touched(trap, access)}, which is g:{gpa:#x} to the guest"
    if context.state[SLOT["hgatp"]] >> 60 == 0:
        return Cause("guest-page", "fine", (what, "hgatp is Bare by now, so that nothing refuses it"), "", None)
    wanted = "store" if trap.tinst == recorder.PSEUDO_WRITE else "load" if trap.implicit else access
    bare = isinstance(context, HartContext)
    walk = _kept(
        context,
        recorder.walk_gpa(trap.before.words, context.target.memory, gpa, wanted, implicit=trap.implicit, devices=bare),
    )
    rule, outcome = _outcome(context, trap, gpa)
    if walk is None:
        return Cause("guest-page", rule, (what, GONE, outcome))
    if walk.fault is None:
        allowed = "the G-stage refused it then, and allows it now: the hypervisor has changed its tables since"
        return Cause("guest-page", rule or "fine", (what, allowed, outcome), "norm:H_vm_gpatrans", walk)
    says = (what, f"the G-stage (the hypervisor's tables) refuses it: {walk.refused}", *_also(walk), outcome)
    mapped = walk.fault.rule != "valid"
    return Cause(f"guest-page {access}", walk.fault.rule if mapped else rule or "valid", says, walk.fault.source, walk)


def _outcome(context: Context, trap: Taken, gpa: int) -> tuple[str, str]:
    """What rvhv's hypervisor does about a guest-page fault, with the rule for the usual causes; both "" for another's."""
    if not isinstance(context, VmContext) or not trap.exit:
        return "", ""
    if context.vm.has_ram(gpa):
        return "ram", "that is RAM of the VM, and the hypervisor gives it a page at its first access"
    found = context.bus.find(gpa, 1)
    if found is not None:
        what = f"that is register {found[1]:#x} of {found[0].name}"
        return "device", f"{what}: the hypervisor does the access on the device and steps over it"
    return "nothing", "that is neither RAM nor a device of the VM: the hypervisor gives the guest an access fault"


def _access_fault(context: Context, trap: Taken, access: str) -> Cause:
    walk = _walk(context, trap, access)
    what = _touched(trap, access)
    if walk is None:
        return Cause("access", "", (what, GONE))
    fault = walk.fault
    if fault is None:
        found = context.bus.find(walk.spa or 0, 1)
        if found is not None:
            says = f"{found[0].name} refused it: a register of a device takes only accesses of its own width, aligned"
            return Cause("access", "device", (what, says), "", walk)
        memory = context.target.memory
        if walk.spa is not None and not memory.base <= walk.spa < memory.base + memory.size:
            text = f"that is h:{walk.spa:#x}, and nothing answers there: it is neither RAM nor a device"
            return Cause("access", "pma", (what, text), "", walk)
        return Cause("access", "", (what, "nothing refuses it by now: what did has changed since"), "", walk)
    if fault.gpa is not None:
        found = context.bus.find(fault.gpa, 1)
        if found is not None:
            says = f"that is g:{fault.gpa:#x}, register {found[1]:#x} of {found[0].name}, which takes no such access"
            reasons = "its width, its alignment, or that it is no plain load or store: the hypervisor gave the guest this fault"
            return Cause("access", "device", (what, says, reasons), "", walk)
        says = f"that is g:{fault.gpa:#x}, where the VM has neither RAM nor a device: the hypervisor gave the guest this fault"
        return Cause("access", "pma", (what, says), fault.source, walk)
    return Cause("access", fault.rule, (what, walk.refused or ""), fault.source, walk)


# instructions


def _refused(context: Context, trap: Taken, word: int | None) -> Cause:
    kind = "virtual" if trap.row is not None and trap.row.name == "virtual_instruction" else "illegal"
    if word is None:
        return Cause(kind, "", ("the instruction cannot be read any more",))
    reason = refused(word, trap.before)
    says = [reason.text]
    if kind == "illegal" and reason.virtual:
        says.append(
            "the hart raised a virtual-instruction exception to the hypervisor, which handed it down as an illegal instruction"
        )
    if kind == "virtual" and trap.exit and isinstance(context, VmContext):
        says.append(_given_way(context, reason.rule))
    return Cause("virtual" if reason.virtual else kind, reason.rule, tuple(says), reason.source)


def _given_way(context: VmContext, rule: str) -> str:
    if rule != "vtw":
        return "the hypervisor does not emulate it: the guest gets an illegal-instruction exception"
    vcpu = context.vm.vcpu
    if not vcpu.asleep:
        return "the VM gave way, or an enabled interrupt was pending already"
    if vcpu.deadline is None:
        return "the VM sleeps until a device interrupts it: no timer is set"
    return f"the VM sleeps until its timer, {max(0, vcpu.deadline - context.vm.virtual_ns):,} ns from now"


def _misaligned(trap: Taken, access: str, word: int | None) -> Cause:
    if access == "fetch":
        return Cause(
            "misaligned",
            "fetch",
            (f"it jumps to {trap.tval:#x}, where no instruction can begin",),
            "norm:no_addr_misaligned_excep",
        )
    found = None if word is None else ISA.decode(word)
    size = 0
    if found is not None:
        for effect in found[0].effects:
            if isinstance(effect, Amo | LoadReserved | StoreConditional):
                size = effect.size
    if size:
        text = f"an atomic of {size} bytes at {trap.tval:#x}, which is {trap.tval % size} bytes off its alignment"
        return Cause("misaligned", "atomic", (text,), "norm:misaligned_ldst_exc_type")
    return Cause("misaligned", "", (f"{_touched(trap, access)}, which is not aligned",), "norm:misaligned_ldst_exc_type")


def _breakpoint(trap: Taken, word: int | None) -> Cause:
    if word in (EBREAK, C_EBREAK):
        return Cause("breakpoint", "ebreak", ("it is an ebreak: the program stopped itself",), "norm:ebreak_op1")
    return Cause("breakpoint", "trigger", (f"one of the software's own triggers (tdata1, tdata2) matched at {trap.tval:#x}",))


def _ecall(context: Context, trap: Taken) -> Cause:
    a = context.state[SLOT["x10"] : SLOT["x18"]]
    fresh = trap.steps is None or context.steps - trap.steps <= FRESH
    source = "norm:H_cause_ecall" if trap.virtual else "norm:ecall_op1"
    if trap.prv == 0:
        return Cause("ecall", "", (f"a system call: a7 is {a[7]:#x} now",), source)
    if not fresh:
        return Cause("ecall", "", ("an SBI call; its registers have changed since",), source)
    called = f"it calls SBI {GUEST_SBI.describe(a[7], a[6])}"
    if trap.exit:
        rule = "an ecall from VS-mode cannot be delegated to the guest (hedeleg bit 10 is read-only 0)"
        return Cause("ecall", "", (f"{called}; a0 is {a[0]:#x} and a1 is {a[1]:#x} by now", rule), source)
    return Cause("ecall", "", (called,), source)


# interrupts


def _interrupt(context: Context, trap: Taken) -> Cause:
    row = trap.row
    assert row is not None
    now = trap.before
    if "timer" in row.name:
        guest = trap.to == "VS" or "virtual" in row.name
        csr = "mtimecmp" if row.name.startswith("machine") else "vstimecmp" if guest else "stimecmp"
        time = now.leaf("time") + (now["htimedelta"] if guest else 0)
        text = f"the time ({time:,} ticks now) had reached {csr}"
        if now[csr] > time:
            text += f", which is set to {now[csr]:,} by now"
        return Cause("interrupt", "", (text,), "norm:sstc_vs_facility" if guest else "norm:sstc_purpose")
    if "external" in row.name:
        live = [s for s in plic_sources(context, now) if s.claimed or s.delivered]
        text = f"source {live[0].number} of the PLIC: {live[0].device}" if live else "the PLIC's source has been served by now"
        return Cause("interrupt", "", (text,))
    return Cause("interrupt", "", ("software sent it: another hart, or the mode above",))
