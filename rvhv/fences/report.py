"""A missing fence, as one plain sentence and as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rvhv.cpu import pte as p
from rvhv.cpu.state import LogStage
from rvhv.fences.shadow import GLOBAL
from rvhv.fences.walks import ACCESS_NAMES

Place = Callable[[int, int], str]  # (trace_vm, pc) -> where that is, for people
SHORT = {LogStage.S: "S", LogStage.VS: "VS", LogStage.G: "G"}


@dataclass(frozen=True, slots=True)
class Change:
    """What changed a PTE, an instruction or a root: the store or CSR write at `pc`; `pc` None: Python (the hypervisor, firmware)
    or a device did it. `when`: on the checker's clock of records."""

    when: int
    pc: int | None
    hart: int = 0
    vm: int = 0  # the hart's trace_vm: a VM's number
    virtual: bool = False  # V


@dataclass(frozen=True, slots=True)
class Narrow:
    """A fence that came and was not the one."""

    pc: int
    what: str


@dataclass(slots=True)
class Missing:
    """A use that could have gone otherwise on a hart that caches.

    `kind`: "translation", or "code" (then `address` is the spa of the instruction, and the rest is empty). `stage`: "S", "VS" or
    "G"; `address`: what that stage translates; `va`: what the instruction used. `level` is None where the root changed: then
    `old` and `new` are values of the CSR. `fence`: the instruction and operands that the manual asks for.
    """

    kind: str
    hart: int
    vm: int
    use_pc: int
    change: Change
    va: int
    address: int
    fence: str
    access: int = 0
    stage: str = ""
    level: int | None = None
    spa: int = 0  # of the PTE
    old: int = 0
    new: int = 0
    spurious: bool = False  # at worst a fault that need not be: the manual lets software fence lazily
    narrow: Narrow | None = None  # the last fence of this sort that came after the change, and did not cover it
    count: int = 1

    @property
    def store_pc(self) -> int | None:
        return self.change.pc

    def sentence(self, place: Place = lambda vm, pc: f"{pc:#x}") -> str:
        """One sentence; `place` turns a pc into words."""
        who = "the hypervisor, firmware or a device" if self.change.pc is None else place(self.change.vm, self.change.pc)
        use = place(self.vm, self.use_pc)
        times = f" ({self.count:,} times)" if self.count > 1 else ""
        where = f" on hart {self.hart}" if self.change.hart != self.hart and self.change.pc is not None else ""
        if self.kind == "code":
            return f"{use} was executed after {who} stored to its bytes, without {self.fence}{where}{times}"
        what = f"{use} {ACCESS_NAMES[self.access]} {self.va:#x}"
        if self.stage == "G":
            what += f" (guest physical {self.address:#x})"
        if self.level is None:
            csr = {"S": "satp", "VS": "vsatp", "G": "hgatp"}[self.stage]
            change = f"{who} changed {csr} from {self.old:#x} to {self.new:#x}"
        else:
            pte = f"its {self.stage}-stage level {self.level} PTE at {self.spa:#x}"
            change = f"{who} changed {pte} from {self.old:#x} to {self.new:#x}"
        effect = "and may fault though it need not" if self.spurious else "and may find the old translation"
        narrow = f"; the {self.narrow.what} at {place(self.vm, self.narrow.pc)} does not cover it" if self.narrow else ""
        return f"{what} after {change}, {effect}: there was no {self.fence}{where}{narrow}{times}"

    def document(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "kind": self.kind,
            "hart": self.hart,
            "vm": self.vm,
            "store_pc": self.change.pc,
            "store_vm": self.change.vm,
            "use_pc": self.use_pc,
            "va": self.va,
            "address": self.address,
            "stage": self.stage,
            "level": self.level,
            "old": self.old,
            "new": self.new,
            "fence": self.fence,
            "spurious": self.spurious,
            "count": self.count,
        }


def wanted_fence(stage: LogStage, change: Change, asid: int, vmid: int, address: int, old: int | None) -> str:
    """The fence for a change of a PTE that was `old` (None: of the root), with its operands."""
    if stage is LogStage.G:
        name, space, shown = "hfence.gvma", f"VMID {vmid} or x0", f"{address >> 2:#x} (gpa >> 2) or x0"
    else:
        guest = stage is LogStage.VS
        name = "hfence.vvma" if guest and not change.virtual else "sfence.vma"
        space = "x0" if asid == GLOBAL else f"ASID {asid} or x0"
        shown = f"{address:#x} or x0"
    if old is None or (old & p.V and not p.is_leaf(old)):
        shown = "x0"
    return f"{name} with rs1 = {shown}, rs2 = {space}"
