"""Where an address is, and the bytes there: by guest virtual, guest physical or host physical address. No device is asked and no
A bit is set. A virtual address is looked up by the tables as they are: a person may see what the guest may not.
"""

from __future__ import annotations

from collections.abc import Iterator

from rvhv.cpu.pte import PAGE
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.errors import DebugError
from rvhv.hext.walks.record import Walk
from rvhv.hext.walks.recorder import walk_gpa
from rvhv.isa.expr import MASK64
from rvhv.machine.bus import GuestMemoryFault

SPACES = {"v": "virtual", "g": "guest physical", "h": "host physical"}
# what a look at a virtual address tries: the access that fits first, and then those that other rights allow
TRIES = ("load", "fetch")


def place(context: Context, space: str, address: int) -> int:
    """The host physical address behind one of a space, be it RAM or not. Raises DebugError: which stage fails, and why."""
    check(context, space)
    if space == "h":
        return address
    walk = _walk(context, space, address)
    if walk.spa is None:
        raise DebugError(refusal(context, walk))
    if isinstance(context, VmContext) and not context.alive:
        check_kept(context, walk)
    return walk.spa


def check_kept(context: VmContext, walk: Walk) -> None:
    """Raises DebugError unless the frames that a stopped VM gave back are still as it left them, for all that a walk met."""
    frames = context.vm.hv.frames
    met = (*(access.pte_spa for access in walk.accesses), *([] if walk.spa is None else [walk.spa]))
    if not all(frames.is_free(spa) for spa in met):
        raise DebugError(f"{context.name} has stopped, and others use the memory that it gave back by now")


def refusal(context: Context, walk: Walk) -> str:
    """Why a walk arrives nowhere, and what a person can do about it."""
    hint = f"walk {walk.address:#x} shows it access by access"
    fault = walk.fault
    if fault is not None and isinstance(context, VmContext) and fault.gpa is not None and context.vm.has_ram(fault.gpa):
        hint = f"g:{fault.gpa:#x} is RAM that the guest has not touched yet: it gets a zeroed page when it does"
    return f"{walk.explain().rstrip('.')}; {hint}"


def _walk(context: Context, space: str, address: int) -> Walk:
    """The first walk that arrives, or the first of all."""
    if space == "g":
        state, memory = context.state, context.target.memory
        return walk_gpa(state, memory, address, "load", devices=isinstance(context, HartContext))
    first = context.walk(address)
    if first.spa is not None:
        return first
    for mode in (None, *_other_modes(context)):
        for access in TRIES:
            walk = _walk_as(context, address, access, mode)
            if walk.spa is not None:
                return walk
    return first


def _walk_as(context: Context, address: int, access: str, mode: str | None) -> Walk:
    if isinstance(context, VmContext):
        return context.vm.vcpu.walk(address, access, mode=mode)
    return context.hart.walk(address, access, mode=mode)


def _other_modes(context: Context) -> tuple[str, ...]:
    """Modes with the same tables and other rights: pages of user programs, seen from a kernel."""
    return {"VS": ("VU",), "VU": ("VS",), "S": ("U",), "U": ("S",)}.get(context.mode, ())


def check(context: Context, space: str) -> None:
    if space not in SPACES:
        raise DebugError(f"{space}: is no address space: there are {', '.join(f'{s}: {text}' for s, text in SPACES.items())}")


def pieces(context: Context, space: str, address: int, n: int) -> Iterator[tuple[int, int]]:
    """(spa, length) of the parts of a range, cut at pages. Raises DebugError where one is not RAM."""
    memory = context.target.memory
    while n > 0:
        address &= MASK64
        length = min(n, PAGE - address % PAGE)
        spa = place(context, space, address)
        if not memory.base <= spa <= memory.base + memory.size - length:
            raise DebugError(f"{space}:{address:#x} {_not_ram(context, space, spa)}")
        yield spa, length
        address += length
        n -= length


def _not_ram(context: Context, space: str, spa: int) -> str:
    memory = context.target.memory
    found = context.bus.find(spa, 1) if isinstance(context, HartContext) else None
    what = f"a register of {found[0].name}, and reading one may change it" if found else "no memory"
    where = "is" if space == "h" else f"is h:{spa:#x}, which is"
    return f"{where} {what}: RAM is from h:{memory.base:#x} to h:{memory.base + memory.size - 1:#x}"


def read(context: Context, space: str, address: int, n: int) -> bytes:
    """`n` bytes. Raises DebugError: which stage fails, and why."""
    memory = context.target.memory
    return b"".join(memory.read(spa, length) for spa, length in pieces(context, space, address, n))


def readable(context: Context, space: str, address: int, n: int) -> bytes:
    """As many of `n` bytes as there are in a row from `address` on."""
    found = b""
    try:
        for spa, length in pieces(context, space, address, n):
            found += context.target.memory.read(spa, length)
    except DebugError:
        pass
    return found


def write(context: Context, space: str, address: int, data: bytes) -> None:
    """Write bytes, whatever rights the tables give. Raises DebugError, and writes nothing, where one of them is not RAM."""
    memory = context.target.memory
    done = 0
    for spa, length in list(pieces(context, space, address, len(data))):
        memory.write(spa, data[done : done + length])
        done += length


class GuestView:
    """A context's physical memory as a device sees it, to be read only: nothing is charged for, and no page is given."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._space = "g" if isinstance(context, VmContext) else "h"

    def read(self, gpa: int, n: int) -> bytes:
        """Raises GuestMemoryFault. RAM that a VM has not touched is zero."""
        context = self._context
        found = b""
        while len(found) < n:
            at = gpa + len(found)
            take = min(n - len(found), PAGE - at % PAGE)
            try:
                found += read(context, self._space, at, take)
            except DebugError:
                if not (isinstance(context, VmContext) and context.alive and context.vm.has_ram(at, take)):
                    raise GuestMemoryFault(at) from None
                found += bytes(take)
        return found

    def write(self, gpa: int, data: bytes) -> None:
        """Nobody writes through it."""
        raise GuestMemoryFault(gpa)
