"""What a breakpoint, watchpoint or catch is for: what the machine must stop for, and which of the stops it means."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from rvhv.core.registry import ISA
from rvhv.core.stop_table import ANYONE, Access, Bound, CsrStop, Modes, Space, Stop, TrapStop
from rvhv.cpu.pte import PAGE
from rvhv.cpu.state import SLOT
from rvhv.debug.hardware import Wanted, WantedCode, WantedCsr, WantedData, WantedTrap
from rvhv.debug.look import addresses
from rvhv.debug.target import Context, VmContext
from rvhv.errors import DebugError
from rvhv.hv.exits import GuestPageFaultExit, SbiExit, VmExit
from rvhv.isa.effects import Amo, Load, LoadReserved, Store, StoreConditional
from rvhv.isa.expr import MASK64, evaluate
from rvhv.sbi import LEGACY_END

A6, A7, HTVAL, FLOATS = SLOT["x16"], SLOT["x17"], SLOT["htval"], SLOT["f0"]
SPACES = {"v": Space.VIRTUAL, "g": Space.GUEST_PHYSICAL, "h": Space.HOST_PHYSICAL}
KINDS: dict[type, Access] = {
    Load: Access.READ,
    LoadReserved: Access.READ,
    Store: Access.WRITE,
    StoreConditional: Access.WRITE,
    Amo: Access.READ | Access.WRITE,
}


@dataclass(frozen=True)
class Event:
    """Something that the hypervisor or a device was seen to do."""

    steps: int  # of the machine, when it was done
    context: Context
    exit: VmExit | None = None
    device: str = ""  # which was notified
    queue: int = 0


@dataclass(frozen=True)
class Aim(ABC):
    """`who`: only this context; None: any."""

    who: Context | None

    def wanted(self) -> Sequence[Wanted]:
        """What the machine must stop for."""
        return ()

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        """Whether a stop is meant; `wanted`: what the machine was asked for that stopped it."""
        return False

    def meets_event(self, event: Event) -> bool:
        return False

    def means(self, context: Context) -> bool:
        return self.who is None or self.who is context

    @property
    def bound(self) -> Bound:
        """Harts of a bare machine share their stops: which of them it was is asked afterwards."""
        return self.who.bound if isinstance(self.who, VmContext) else ANYONE

    @abstractmethod
    def data(self) -> dict[str, object]:
        """What `Breakpoint.json` says of it."""


@dataclass(frozen=True)
class CodeAim(Aim):
    places: tuple[int, ...]

    def wanted(self) -> Sequence[Wanted]:
        return [WantedCode(self.bound, at) for at in self.places]

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        return stop.access == Access.EXECUTE and stop.pc in self.places and self.means(context)

    def data(self) -> dict[str, object]:
        return {"places": [f"{at:#x}" for at in self.places]}


@dataclass(frozen=True)
class DataAim(Aim):
    space: str
    address: int
    length: int
    access: Access

    def wanted(self) -> Sequence[Wanted]:
        return [WantedData(self.bound, SPACES[self.space], self.address, self.length, self.access)]

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        """The machine names one entry that an access meets: others may be met too."""
        if not isinstance(wanted, WantedData) or not self.means(context):
            return False
        if wanted in self.wanted():
            return True
        access = accessed(context, stop.pc)
        if access is None or not access.access & self.access:
            return False
        end = self.address + self.length
        return any(start < end and self.address < start + size for start, size in pieces(context, self.space, access))

    def data(self) -> dict[str, object]:
        return {"space": self.space, "address": f"{self.address:#x}", "length": self.length}


@dataclass(frozen=True)
class CsrAim(Aim):
    name: str
    mask: int

    def wanted(self) -> Sequence[Wanted]:
        return [WantedCsr(self.bound, self.name, self.mask)]

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        return isinstance(stop, CsrStop) and wanted in self.wanted() and self.means(context)

    def data(self) -> dict[str, object]:
        return {"csr": self.name, "mask": f"{self.mask:#x}"}


@dataclass(frozen=True)
class TrapAim(Aim):
    """Traps that are taken by the guest itself; on a bare machine all traps."""

    causes: tuple[int, ...] | None
    into: Modes = Modes.ALL

    def wanted(self) -> Sequence[Wanted]:
        return [WantedTrap(self.bound, self.causes, self.into)]

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        return (
            isinstance(stop, TrapStop)
            and (self.causes is None or stop.cause in self.causes)
            and self.means(context)
            and bool(self.into & Modes[context.mode])
        )

    def data(self) -> dict[str, object]:
        return {"causes": None if self.causes is None else [f"{cause:#x}" for cause in self.causes]}


@dataclass(frozen=True)
class ExitAim(Aim):
    """Exits of VMs; on a `bare` machine, traps of its guests into HS-mode. `gpa`: first and last address of guest-page faults."""

    bare: bool
    kind: type[VmExit] | None = None
    causes: tuple[int, ...] | None = None
    gpa: tuple[int, int] | None = None

    def wanted(self) -> Sequence[Wanted]:
        return [WantedTrap(Bound(Modes.VS | Modes.VU), self._causes(), Modes.S)] if self.bare else ()

    def _causes(self) -> tuple[int, ...] | None:
        return self.causes if self.kind is None else self.kind.CAUSES

    def meets_event(self, event: Event) -> bool:
        exit_ = event.exit
        if exit_ is None or not self.means(event.context):
            return False
        if self.kind is not None and not isinstance(exit_, self.kind):
            return False
        if self.causes is not None and exit_.cause not in self.causes:
            return False
        return self.gpa is None or (isinstance(exit_, GuestPageFaultExit) and self.gpa[0] <= exit_.gpa <= self.gpa[1])

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        if not isinstance(stop, TrapStop) or context.mode != "S" or not self.bare or not self.means(context):
            return False
        causes = self._causes()
        if causes is not None and stop.cause not in causes:
            return False
        return self.gpa is None or self.gpa[0] <= context.state[HTVAL] << 2 <= self.gpa[1]

    def data(self) -> dict[str, object]:
        return {
            "causes": None if self.causes is None else [f"{cause:#x}" for cause in self.causes],
            "gpa": None if self.gpa is None else [f"{at:#x}" for at in self.gpa],
        }


@dataclass(frozen=True)
class SbiAim(Aim):
    """Calls of a supervisor: of a VM when it was answered, on a `bare` machine before. `calls`: (EID, FID or None for any)."""

    bare: bool
    calls: tuple[tuple[int, int | None], ...] | None = None

    def wanted(self) -> Sequence[Wanted]:
        if not self.bare:
            return ()
        return [
            WantedTrap(ANYONE, (ISA.causes["ecall_s"].code,), Modes.M),
            WantedTrap(ANYONE, (ISA.causes["ecall_vs"].code,), Modes.S | Modes.M),
        ]

    def _meets(self, eid: int, fid: int) -> bool:
        return self.calls is None or (eid, None) in self.calls or (eid, 0 if eid < LEGACY_END else fid) in self.calls

    def meets_event(self, event: Event) -> bool:
        call = event.exit
        return isinstance(call, SbiExit) and self.means(event.context) and self._meets(call.eid, call.fid)

    def meets_stop(self, stop: Stop, context: Context, wanted: Wanted | None) -> bool:
        if not isinstance(stop, TrapStop) or not self.bare or not self.means(context):
            return False
        causes = {cause for one in self.wanted() if isinstance(one, WantedTrap) for cause in one.causes or ()}
        return stop.cause in causes and self._meets(context.state[A7], context.state[A6])

    def data(self) -> dict[str, object]:
        return {"calls": None if self.calls is None else [{"eid": f"{eid:#x}", "fid": fid} for eid, fid in self.calls]}


@dataclass(frozen=True)
class NotifyAim(Aim):
    """Notifications of a device's queue. `devices`: their names, None for any."""

    devices: tuple[str, ...] | None = None

    def meets_event(self, event: Event) -> bool:
        return bool(event.device) and self.means(event.context) and (self.devices is None or event.device in self.devices)

    def data(self) -> dict[str, object]:
        return {"devices": None if self.devices is None else list(self.devices)}


@dataclass(frozen=True)
class Accessed:
    """What an instruction that stopped is about to do to memory, by virtual address. `value`: what a plain store will write."""

    address: int
    size: int
    access: Access
    value: int | None = None


def accessed(context: Context, pc: int) -> Accessed | None:
    """None where the instruction cannot be read, or its row does not say."""
    try:
        half = addresses.read(context, "v", pc, 2)
        word = half + addresses.read(context, "v", pc + 2, 2) if half[0] & 3 == 3 else half
    except DebugError:
        return None
    decoded = ISA.decode(int.from_bytes(word, "little"))
    if decoded is None:
        return None
    insn, fields, _ = decoded

    def operand(name: str) -> int:
        if name in ("rs1", "rs2"):
            return context.x[fields[name]]
        return context.state[FLOATS + fields[name]] if name == "frs2" else fields[name]

    for effect in insn.effects:
        if isinstance(effect, Load | Store) and effect.via != "data":
            return None  # a hypervisor's access to its guest
        if isinstance(effect, Load | LoadReserved | Store | StoreConditional | Amo):
            value = evaluate(effect.value, operand) & (1 << 8 * effect.size) - 1 if isinstance(effect, Store) else None
            return Accessed(evaluate(effect.addr, operand), effect.size, KINDS[type(effect)], value)
    return None


def pieces(context: Context, space: str, access: Accessed) -> list[tuple[int, int]]:
    """An access in addresses of a space: where its part on each page begins, and how long that is."""
    found = []
    at, left = access.address, access.size
    while left:
        length = min(left, PAGE - at % PAGE)
        start: int | None = at
        if space != "v":
            reached = context.walk(at, "store" if access.access & Access.WRITE else "load").reached
            start = None if reached is None else reached.gpa if space == "g" else reached.spa
        if start is not None:
            found.append((start, length))
        at, left = (at + length) & MASK64, left - length
    return found
