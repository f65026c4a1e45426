"""The traps that a context took last: one for each mode that takes traps, out of its CSRs and the trace of exits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT, Prv
from rvhv.debug.look.exits import trap_ring
from rvhv.debug.look.saved import Saved, save
from rvhv.debug.look.unwind import unwind
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.errors import DebugError
from rvhv.hext.walks.context import name_of
from rvhv.hext.walks.recorder import walk
from rvhv.hv.mmio import PSEUDO
from rvhv.isa.rows import Cause

INTERRUPT = 1 << 63
MODES = {"m": "M", "s": "HS", "vs": "VS"}  # by the first letters of the CSRs
HINTS = ("exit", "fault", *MODES)
FEW_FRAMES = 12
FAULTS = frozenset(c.code for c in ISA.causes.values() if not c.interrupt and not c.name.startswith("ecall"))


@dataclass(frozen=True)
class Taken:
    """A trap as the mode that took it can know it. `cause` is the CSR's value; `prv` and `virtual` are the mode left; `gpa` is
    None but in guest-page faults; `before`: the registers, with that mode put back. `exit`: it went to rvhv's hypervisor."""

    to: str
    cause: int
    pc: int
    tval: int
    prv: int
    virtual: bool
    gpa: int | None
    tinst: int
    before: Saved
    exit: bool
    steps: int | None

    @property
    def interrupt(self) -> bool:
        return self.cause >= INTERRUPT

    @property
    def code(self) -> int:
        return self.cause & ~INTERRUPT

    @property
    def row(self) -> Cause | None:
        rows = (row for row in ISA.causes.values() if row.code == self.code and row.interrupt == self.interrupt)
        return next(rows, None)

    @property
    def mode(self) -> str:
        return name_of(self.prv, self.virtual)

    @property
    def implicit(self) -> bool:
        """Of a guest-page fault: a VS-stage walk raised it."""
        return self.tinst in PSEUDO


def taken(context: Context) -> dict[str, Taken]:
    """By the first letters of the CSRs, "m", "s" and "vs": only those that have taken one."""
    now = save(context)
    found = {}
    for prefix in MODES:
        trap = _from_csrs(context, now, prefix)
        if trap is not None:
            found[prefix] = trap
    if isinstance(context, VmContext):
        found.pop("m", None)
    return found


def _from_csrs(context: Context, now: Saved, prefix: str) -> Taken | None:
    cause, pc, tval = now[f"{prefix}cause"], now[f"{prefix}epc"], now[f"{prefix}tval"]
    steps, is_exit = None, False
    virtual = bool(now["v"]) or prefix == "vs"
    if prefix == "m":
        prv = now.field("mstatus", "MPP")
        virtual = bool(now.field("mstatus", "MPV")) and prv != Prv.M
        gpa, tinst = now["mtval2"] << 2, now["mtinst"]
    elif prefix == "s":
        is_exit = isinstance(context, VmContext)
        virtual = is_exit or bool(now.field("hstatus", "SPV") or now["v"])
        prv = now.field("hstatus", "SPVP") if virtual else now.field("sstatus", "SPP")
        gpa, tinst = now["htval"] << 2, now["htinst"]
    else:
        prv, gpa, tinst = now.field("vsstatus", "SPP"), 0, 0
    if isinstance(context, VmContext) and is_exit:
        # what handles an exit moves sepc on: the trace has the instruction's
        mine = [r for r in context.vm.hv.last_exits() if r.vm == context.number]
        if not mine:
            return None
        cause, pc, steps = mine[-1].cause, mine[-1].pc, mine[-1].steps
    elif not cause:
        return None  # nobody has trapped there: cause 0 does not occur where instructions may begin at every even address
    if prefix != "m":
        prv = _prv_of(context, now, pc, prv, virtual)
    before = with_mode(now, prv, virtual)
    trap = Taken(MODES[prefix], cause, pc, tval, prv, virtual, None, tinst, before, is_exit, steps)
    if trap.row is not None and trap.row.guest_page_fault:
        trap = replace(trap, gpa=gpa if trap.implicit else gpa | tval & 3)
    return trap


def handler_runs(context: Context) -> bool:
    """Whether the context is in the handler of a trap to the mode that it is in, or in what that called."""
    return any(frame.trap for frame in unwind(context, FEW_FRAMES)[0])


def _prv_of(context: Context, now: Saved, pc: int, prv: int, virtual: bool) -> int:
    """The mode that executed at pc: SPP is U again once the handler has returned, but a page belongs to one of the two modes.
    `prv` where the tables do not tell and the handler runs."""
    allowed = [
        mode
        for mode in (Prv.U, Prv.S)
        if walk(now.words, context.target.memory, pc, "fetch", mode=name_of(mode, virtual), devices=False).spa is not None
    ]
    if len(allowed) == 1:
        return allowed[0]
    returned = prv == Prv.U and now["prv"] == Prv.S and bool(now["v"]) == virtual and not handler_runs(context)
    return Prv.S if returned else prv


def with_mode(now: Saved, prv: int, virtual: bool) -> Saved:
    """The registers as they would be in another mode."""
    words = list(now.words)
    words[SLOT["prv"]], words[SLOT["v"]] = prv, int(virtual)
    return replace(now, words=tuple(words))


def latest(context: Context, found: dict[str, Taken], hint: str | None) -> str:
    """Which of `found` a person means, or took place last as far as can be told. Raises DebugError."""
    if hint is not None:
        return _hinted(found, hint)
    if isinstance(context, VmContext) and not context.alive and context.status.startswith("trap loop"):
        now = save(context)
        at_vector = now["pc"] == now["vstvec"] & ~3
        return "vs" if at_vector and "vs" in found else "s" if "s" in found else "vs"
    fault = "vs" in found and found["vs"].cause in FAULTS
    if isinstance(context, VmContext) and "s" in found:
        ended_well = not context.alive and not (fault and context.vm.failed)
        if ended_well or (context.alive and context.vm.vcpu.asleep):
            return "s"
    mode = {"M": "m", "S": "s"}.get(context.mode, "vs")
    if mode in found and handler_runs(context):
        return mode  # its handler runs
    if isinstance(context, HartContext):
        for record in reversed(trap_ring(context)):
            for prefix, trap in found.items():
                cause = trap.cause + (1 if prefix == "vs" and trap.interrupt else 0)
                if (cause, trap.pc) == (record.cause, record.pc):
                    return prefix
    if fault:
        return "vs"
    order = ("s", "vs") if isinstance(context, VmContext) else (mode, "s", "vs", "m")
    return next(prefix for prefix in order if prefix in found)


def _hinted(found: dict[str, Taken], hint: str) -> str:
    if hint == "exit":
        chosen = next((prefix for prefix, trap in found.items() if trap.exit), "s")
    elif hint == "fault":
        chosen = "vs" if "vs" in found else next((p for p, trap in found.items() if not trap.exit), "vs")
    elif hint in MODES:
        chosen = hint
    else:
        raise DebugError(f"why {hint}: say one of {', '.join(HINTS)}, or nothing for what happened last")
    if chosen not in found:
        what = "no exit to the hypervisor" if hint == "exit" else f"no trap to {MODES[chosen]}-mode"
        raise DebugError(f"there has been {what} yet")
    return chosen
