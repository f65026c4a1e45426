"""CSR accesses inline, from the CSRs' rows: what is read from slots of the state, and written to them without consequences for
what a region runs under. What has some is left to the interpreter before anything of it is done.

A status register may be written where only interrupt enables and what a trap left for the return change. Enabling is without
consequences while nothing is ready (slot `ready`): what pends or is enabled in mie changes at the start of a chunk only.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, cast

from rvhv.core.registry import ISA
from rvhv.cpu.csrs import COUNTED
from rvhv.cpu.state import SLOT, Prv
from rvhv.isa.expr import MASK64
from rvhv.isa.render.llvm import RowBuilder, Sink, Value, lift
from rvhv.isa.rows import Csr

if TYPE_CHECKING:
    from llvmlite import ir

    from rvhv.jit.translate import Translator

STATUS = frozenset({"mstatus", "sstatus", "vsstatus"})
FIELDS = {f.name: f.mask for f in ISA.csrs["mstatus"].fields}
ENABLES = FIELDS["SIE"] | FIELDS["MIE"]
HARMLESS = ENABLES | FIELDS["SPIE"] | FIELDS["MPIE"] | FIELDS["SPP"]
VALUE = "value"  # the leaf for what is written
LEFT = "left"  # the slot that a region does not keep up to date
FLOAT = "fcsr"  # what a region knows of it must be asked for again: the machine's
ANYONE, SUPERVISOR, HYPERVISOR = range(3)  # levels by number; then M-mode


def rows_of(csr: Csr) -> tuple[Csr, Csr]:
    """What an access reaches with V=0, and with V=1."""
    return csr, ISA.csrs[csr.vs] if csr.vs else csr


@cache
def is_inline(csr: Csr, writes: bool) -> bool:
    """Whether `access` can do it: everything is slots, and a write is plain or one of a status register."""
    if writes and (csr.read_only or not (csr.plain or csr.name in STATUS)):
        return False
    rows = rows_of(csr)
    used = [condition for condition, _ in csr.guards] + [row.read for row in rows]
    if writes:
        used += [e for row in rows for _, e in row.writes]
        if any(row.modify is not None or FLOAT in dict(row.writes) for row in rows):
            return False
    leaves = {str(kid.args[0]) for e in used for kid in e.walk() if kid.op == "leaf"}
    return leaves <= SLOT.keys() | COUNTED.keys() | {VALUE}


def may_leave(fields: dict[str, int]) -> bool:
    """Whether it is likely that an inline access must be left to the interpreter, so that one should be able to come back behind
    it: any bit of a status register may change."""
    return "csr" in fields and fields.get("rs1", 0) != 0 and ISA.csr_by_number[fields["csr"]].name in STATUS


class _Leaves:
    """The leaves of a CSR's row: slots as they are before the access, what is counted, and what is written."""

    def __init__(self, t: Translator) -> None:
        self._t = t
        self.written: Value = 0

    def operand(self, name: str) -> Value:
        t = self._t
        if name == VALUE:
            return self.written
        if name in COUNTED:
            return RowBuilder(t.builder, cast(Sink, self)).value(COUNTED[name])
        return t.steps_left() if name == LEFT else t.load_slot(name)


def access(t: Translator, csr: Csr, update: Callable[[Value], Value], writes: bool) -> Value:
    """The CSR's old value; it gets `update` of that if `writes`. Leaves where the mode, a guard or a consequence forbids it."""
    b, const = t.builder, t.const
    leaves = _Leaves(t)
    rows = RowBuilder(b, cast(Sink, leaves))
    mode, virtual = t.load_slot("prv"), t.load_slot("v")
    if csr.privilege > HYPERVISOR:
        t.require(b.icmp_unsigned("==", mode, const(Prv.M)))
    elif csr.privilege > ANYONE:
        t.require(b.icmp_unsigned("!=", mode, const(Prv.U)))
        if csr.privilege == HYPERVISOR:
            t.require(b.icmp_unsigned("==", virtual, const(0)))
    for condition, _ in csr.guards:
        t.require(b.icmp_unsigned("==", lift(rows.value(condition)), const(0)))
    is_virtual = b.icmp_unsigned("!=", virtual, const(0))

    def reached(plain: Value, vs: Value) -> ir.Value:
        return lift(plain) if csr.vs is None else b.select(is_virtual, lift(vs), lift(plain))

    first, second = rows_of(csr)
    old = reached(rows.value(first.read), rows.value(second.read))
    if not writes:
        return old
    leaves.written = update(old)
    of_plain, of_vs = dict(first.writes), dict(second.writes)
    stores = {}
    for slot in sorted(of_plain.keys() | of_vs.keys()):
        before = t.load_slot(slot)
        after = reached(*(rows.value(of[slot]) if slot in of else before for of in (of_plain, of_vs)))
        if csr.name in STATUS:
            _without_consequences(t, before, after)
        stores[slot] = after
    for slot, value in stores.items():
        t.store_slot(slot, value)
    return old


def _without_consequences(t: Translator, before: ir.Value, after: ir.Value) -> None:
    b, const = t.builder, t.const
    changed = b.xor(before, after)
    t.require(b.icmp_unsigned("==", b.and_(changed, const(MASK64 & ~HARMLESS)), const(0)))
    rising = b.and_(b.and_(changed, after), const(ENABLES))
    nothing = b.icmp_unsigned("==", t.load_slot("ready"), const(0))
    t.require(b.or_(b.icmp_unsigned("==", rising, const(0)), nothing))
