"""`set`: what a person writes into a machine that stands still."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.debug import expressions
from rvhv.debug.commands.values import Shown
from rvhv.debug.look import addresses
from rvhv.debug.look.registers import slot_of
from rvhv.debug.look.saved import field_place, save
from rvhv.debug.target import Context, VmContext
from rvhv.errors import DebugError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

_MEMORY = re.compile(r"[ui](8|16|32|64)\s*\[(.*)\]", re.DOTALL)


def write(session: Session, where: str, text: str) -> View:
    """`where` = the value of the expression `text`; what is there then. Raises DebugError, and writes nothing then."""
    context = session.context
    if not context.alive:
        raise DebugError(f"{context.name} is no more: {context.status}")
    value = expressions.evaluate(text, context)
    session.change(_assignment(context, where, value), f"set {where} = {value:#x}")
    return Shown.of(context, where)


def _assignment(context: Context, where: str, value: int) -> Callable[[], None]:
    """What writes; everything that could be wrong is looked at before."""
    memory = _MEMORY.fullmatch(where)
    if memory is not None or where.startswith("*"):
        size, at = (int(memory[1]) // 8, memory[2]) if memory is not None else (8, where[1:])
        space, address = expressions.address(at, context)
        addresses.read(context, space, address, size)  # all of it is there
        data = (value & (1 << 8 * size) - 1).to_bytes(size, "little")
        return lambda: addresses.write(context, space, address, data)
    name = where.removeprefix("$")
    csr, dot, field = name.partition(".")
    if csr in ISA.csrs:
        return _csr(context, csr, field if dot else None, value)
    try:
        slot = slot_of(name)
    except DebugError:
        what = "name a register, a CSR, or memory as in u32[ADDRESS] or *ADDRESS"
        raise DebugError(f"{where[:40]} cannot be set: {what}") from None
    if slot == "x0":
        raise DebugError("zero is zero: it cannot be set")
    if slot == "pc" and value & 1:
        raise DebugError(f"{value:#x} is odd: no instruction begins there")

    def assign() -> None:
        context.state[SLOT[slot]] = value

    return assign


def _csr(context: Context, csr: str, field: str | None, value: int) -> Callable[[], None]:
    if field is not None:
        mask, low = field_place(csr, field)
        if value << low & ~mask:
            raise DebugError(f"{value:#x} does not fit into {csr}.{field}")
        value = save(context).csr(csr) & ~mask | value << low
    return lambda: _write_csr(context, csr, value)


def _write_csr(context: Context, csr: str, value: int) -> None:
    """Through the CSR's row, on the hart: a VM that is not there is put there for it."""
    if not isinstance(context, VmContext):
        context.hart.write_csr(csr, value)
        return
    vcpu = context.vm.vcpu
    if vcpu.loaded:
        vcpu.csr[csr] = value
        return
    other = next((vm.vcpu for vm in context.vm.hv.vms if vm.vcpu.loaded), None)
    if other is not None:
        other.leave()
    vcpu.enter()
    vcpu.csr[csr] = value
    vcpu.leave()
    if other is not None:
        other.enter()
