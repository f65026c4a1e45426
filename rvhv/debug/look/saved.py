"""The registers of a context as numbers, on the hart and off it: what CSRs are computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import MTIP, SGEIP, STIP, VSEIP, VSTIP
from rvhv.cpu.state import ARCH_WORDS, SLOT, STEPS_PER_TICK
from rvhv.debug.target import Context, VmContext
from rvhv.errors import DebugError
from rvhv.hv.interrupts import Interrupts
from rvhv.isa.expr import MASK64, E, evaluate

STCE = 63


@dataclass(frozen=True)
class Saved:
    """A copy of everything a context's registers are: slots and CSRs by name. Two of them can be compared.

    `saved["a slot"]` is what is stored, `saved.csr("a CSR")` what reading it with M-mode's rights gives.
    """

    words: tuple[int, ...]
    clock: int  # steps, as the context sees them
    mtimecmp: int
    mhartid: int

    def __getitem__(self, name: str) -> int:
        if name in ("clock", "mtimecmp", "mhartid"):
            return int(getattr(self, name))
        at = SLOT.get(name, ARCH_WORDS)
        if at >= ARCH_WORDS:
            raise KeyError(name)
        return self.words[at]

    def csr(self, name: str) -> int:
        """A CSR by its row, computed ones too; KeyError for a name that no row has."""
        return evaluate(ISA.csrs[name].read, self.leaf)

    def evaluate(self, expression: E) -> int:
        """An expression of a CSR's row, such as a guard."""
        return evaluate(expression, self.leaf)

    def field(self, csr: str, name: str) -> int:
        """A field of a CSR as a number."""
        mask, low = field_place(csr, name)
        return (self.csr(csr) & mask) >> low

    def leaf(self, name: str) -> int:
        """What an expression of a CSR's row names: a slot, or one of the four things that are computed."""
        match name:
            case "pending":
                return self.pending
            case "time":
                return self.clock // STEPS_PER_TICK
            case "cycle":
                return self["vm_steps"] + self["mcycle"] & MASK64
            case "instret":
                return self["vm_steps"] - self["trap_steps"] + self["minstret"] & MASK64
        return self[name]

    @property
    def pending(self) -> int:
        """mip as it reads (`pending_now` of `rvhv.cpu.clock` is the hart's)."""
        now = self.clock // STEPS_PER_TICK
        pending = self["mip"] | self["irq_lines"] | self["hvip"]
        if now >= self.mtimecmp:
            pending |= MTIP
        lines = self["hgeip"]
        if lines >> (self["hstatus"] >> 12 & 63) & 1:
            pending |= VSEIP
        if lines & self["hgeie"]:
            pending |= SGEIP
        if self["menvcfg"] >> STCE:
            pending &= ~STIP
            if now >= self["stimecmp"]:
                pending |= STIP
            if self["henvcfg"] >> STCE and (now + self["htimedelta"] & MASK64) >= self["vstimecmp"]:
                pending |= VSTIP
        return pending


def save(context: Context) -> Saved:
    """The registers of a context now; of a VM off the hart, with the interrupt that its PLIC drives when it is back."""
    words = list(context.state[:ARCH_WORDS])
    hart = context.hart.state
    clock = hart[SLOT["clock"]]
    if isinstance(context, VmContext):
        clock = context.vm.virtual_ns
        interrupts = context.vm.vcpu.interrupts
        if not context.vm.vcpu.loaded and context.alive and isinstance(interrupts, Interrupts):
            hvip = words[SLOT["hvip"]] & ~VSEIP
            words[SLOT["hvip"]] = hvip | (VSEIP if interrupts.external else 0)
    return Saved(tuple(words), clock, hart[SLOT["mtimecmp"]], hart[SLOT["mhartid"]])


@cache
def field_place(csr: str, name: str) -> tuple[int, int]:
    """Mask and lowest bit of a CSR's field. Raises DebugError."""
    row = ISA.csrs[csr]
    for field in row.fields:
        if field.name.lower() == name.lower():
            return field.mask, field.lo
    raise DebugError(f"{csr} has no field {name}; it has {', '.join(f.name for f in row.fields) or 'none'}")
