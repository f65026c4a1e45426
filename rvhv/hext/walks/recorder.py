"""The walk recorder: a translation as the hart would do it, access by access, with the rule behind each refusal
(Privileged ISA, "Virtual Address Translation Process", "Two-Stage Address Translation").

It reads memory and changes nothing: no TLB entry, no A or D bit (what Svadu would write is in the record). It is plain
Python and not the hart's walker, so that the hart pays nothing for being looked at; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from rvhv.cpu import causes as cpu_causes
from rvhv.cpu import pte as p
from rvhv.cpu.state import Prv
from rvhv.errors import ConfigError
from rvhv.hext import causes as hext_causes
from rvhv.hext.walks.context import Context, current_mode, read_context
from rvhv.hext.walks.protection import Protection, protection
from rvhv.hext.walks.record import Fault, PteAccess, Reached, Walk
from rvhv.hext.walks.rules import (
    LEAF_RULES,
    PTE_RULES,
    RIGHTS,
    Access,
    Look,
    Refusal,
    Stage,
    address_refusal,
    broken,
    leaf_rights,
    with_a_and_d,
)
from rvhv.isa.rows import Registry

PSEUDO_READ, PSEUDO_WRITE = 0x3000, 0x3020  # htinst for an implicit access to a VS-stage PTE (norm:H_trap_xtinst_guestpage)
MASK64 = (1 << 64) - 1
BARE_PAGE = 1 << 64  # a bare stage translates everything at once
PAGE_FAULT, GUEST_PAGE_FAULT, ACCESS_FAULT = "page_fault", "guest_page_fault", "access_fault"
FAULTING = {Access.LOAD: "load", Access.HLVX: "load", Access.STORE: "store", Access.FETCH: "instruction"}

_rows = Registry()
cpu_causes.add_rows(_rows)
hext_causes.add_rows(_rows)


class Ram(Protocol):
    """What is walked: `rvhv.core.memory.Memory`."""

    base: int
    size: int

    def read(self, spa: int, n: int) -> bytes: ...

    def read_u64(self, spa: int) -> int: ...


def walk(
    state: Sequence[int], ram: Ram, address: int, access: str, *, size: int | None = None, mode: str | None = None, devices: bool
) -> Walk:
    """The translation of an access of `size` bytes (None: 2 for a fetch, else 1) at `address`, its part on the first page.

    `state` is the architectural state, `mode` one of `context.MODES` (None: the current one, for loads and stores under
    MPRV); `devices`: a bus answers outside RAM. Raises ConfigError for a word that is no access or mode.
    """
    kind = access_of(access)
    context = read_context(state, current_mode(state, kind) if mode is None else mode)
    return _Walker(state, ram, context, kind, address & MASK64, size, devices).run()


def walk_gpa(
    state: Sequence[int], ram: Ram, gpa: int, access: str, *, implicit: bool = False, mode: str = "VS", devices: bool
) -> Walk:
    """The G-stage alone, for a guest physical address; `implicit`: as for a VS-stage table, where MXR never counts."""
    return _Walker(state, ram, read_context(state, mode), access_of(access), gpa & MASK64, None, devices).run_g_stage(implicit)


def access_of(word: str) -> Access:
    try:
        return Access(word)
    except ValueError:
        raise ConfigError(f"{word!r} is no kind of access: there are {', '.join(Access)}") from None


def _no_memory(text: str) -> Refusal:
    return Refusal("pma", 2, "sv32algorithm", text)


def _protected(decided: Protection, needs: str, step: int) -> Refusal:
    return Refusal("pmp", step, "norm:pmp_with_paging", f"{needs}: {decided.text}")


class _Refused(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


@dataclass(frozen=True)
class _Leaf:
    """What a stage's walk came to; `page_size` in bytes."""

    address: int
    page_size: int
    rights: str


class _Walker:
    def __init__(
        self, state: Sequence[int], ram: Ram, context: Context, access: Access, address: int, size: int | None, devices: bool
    ) -> None:
        self.state, self.ram, self.context, self.access, self.address = state, ram, context, access, address
        wanted = (2 if access is Access.FETCH else 1) if size is None else size
        self.size = max(1, min(wanted, p.PAGE - address % p.PAGE))
        self.devices = devices
        self.space = "gva" if context.virtual else "va"
        self.records: list[PteAccess] = []
        self.updates: dict[int, int] = {}

    def run(self) -> Walk:
        return self._result(self._translate)

    def run_g_stage(self, implicit: bool) -> Walk:
        stage = self.context.g_implicit if implicit else self.context.g
        pseudo = (PSEUDO_WRITE if self.access is Access.STORE else PSEUDO_READ) if implicit else None

        def translate() -> Reached:
            leaf = self._g_stage(stage, self.address, self.access, "the access itself", pseudo)
            return self._arrive(leaf, self.address, leaf.page_size, {"G": leaf.rights} if stage.mode else {})

        self.space = "gpa"
        return self._result(translate)

    def _result(self, translate: Callable[[], Reached]) -> Walk:
        reached: Reached | None = None
        fault: Fault | None = None
        try:
            reached = translate()
        except _Refused as refused:
            fault = refused.fault
        return Walk(
            self.address, self.space, self.access.value, self.size, self.context.mode, self.context.schemes,
            tuple(self.records), dict(self.updates), reached, fault,
        )  # fmt: skip

    # the composition

    def _translate(self) -> Reached:
        context = self.context
        rights: dict[str, str] = {}
        first = _Leaf(self.address, BARE_PAGE, "rwx")
        if context.first.mode:
            first = self._stage(context.first, self.address, self.access, "the access itself", None)
            rights[context.first.name] = first.rights
        if not context.virtual:
            return self._arrive(first, None, first.page_size, rights)
        second = self._g_stage(context.g, first.address, self.access, "the access itself", None)
        if context.g.mode:
            rights["G"] = second.rights
        return self._arrive(second, first.address, min(first.page_size, second.page_size), rights)

    def _arrive(self, leaf: _Leaf, gpa: int | None, page_size: int, rights: dict[str, str]) -> Reached:
        """After translation: PMP for the mode of the access, and whether there is any memory."""
        spa = leaf.address
        decided = protection(self.state, spa, self.size, self.context.prv)
        if not decided.allows(self.access):
            needs = "HLVX needs R and X" if self.access is Access.HLVX else f"a {self.access} needs {RIGHTS[self.access].upper()}"
            raise self._fault(ACCESS_FAULT, _protected(decided, f"{needs} at h:{spa:#x}", 10))
        inside = self.ram.base <= spa < self.ram.base + self.ram.size
        if not inside and not (self.devices and self.access in (Access.LOAD, Access.STORE)):
            text = f"h:{spa:#x} is not in RAM, and no device answers a {self.access} there"
            raise self._fault(ACCESS_FAULT, Refusal("pma", 10, "sv32algorithm", text))
        all_rights = (*rights.values(), decided.rights)
        together = "".join(letter if all(letter in one for one in all_rights) else "-" for letter in "rwx")
        memory = "RAM" if inside else "device"
        return Reached(spa, gpa, page_size, together, rights, decided.rights, decided.text, memory)

    # one stage

    def _g_stage(self, stage: Stage, gpa: int, access: Access, purpose: str, pseudo: int | None) -> _Leaf:
        if not stage.mode:
            return _Leaf(gpa, BARE_PAGE, "rwx")
        return self._stage(stage, gpa, access, purpose, pseudo)

    def _stage(self, stage: Stage, address: int, access: Access, purpose: str, pseudo: int | None) -> _Leaf:
        """Walk one stage for `access`, which in the G-stage may be one to a VS-stage table: `pseudo` is htinst then."""

        def refused(refusal: Refusal, place: PteAccess | None) -> _Refused:
            if stage.wide:
                return self._fault(GUEST_PAGE_FAULT, refusal, stage, place, address, pseudo)
            return self._fault(PAGE_FAULT, refusal, stage, place)

        wrong = address_refusal(stage, address)
        if wrong is not None:
            raise refused(wrong, None)
        table = stage.root
        for level in reversed(range(stage.levels)):
            place = self._place(stage, level, address, purpose, table)
            pte = self._read(stage, place)
            look = Look(stage, level, pte, access)
            place = replace(place, pte=pte, bits=p.names(pte))
            reasons = broken(look, PTE_RULES)[:1]
            if not reasons and not p.is_leaf(pte):
                self.records.append(replace(place, verdict="pointer", step=4))
                table = p.target(pte)
                continue
            reasons = reasons or broken(look, LEAF_RULES)
            if reasons:
                also = tuple(reason.text for reason in reasons[1:])
                self._refuse(place, reasons[0], also)
                raise refused(reasons[0], place)
            self.records.append(replace(place, verdict="leaf", step=10))
            updated = with_a_and_d(pte, access) if stage.adue else pte
            if updated != pte:
                self._update(stage, place, updated)
            return _Leaf(p.mapped(pte, level, address), p.page_size(pte, level), leaf_rights(stage, level, pte))
        raise AssertionError("a pointer at level 0 breaks a rule")

    def _place(self, stage: Stage, level: int, address: int, purpose: str, table: int) -> PteAccess:
        """Where a PTE is, as a record without a verdict: in the VS-stage that takes a walk of the G-stage."""
        index = p.index(address, level, wide=stage.wide and level == stage.levels - 1)
        at = table + index * p.BYTES
        table_gpa = pte_gpa = None
        spa = at
        if stage.name == "VS":
            what = f"the read of the level {level} VS-stage PTE"
            spa = self._g_stage(self.context.g_implicit, at, Access.LOAD, what, PSEUDO_READ).address
            table_gpa, pte_gpa = table, at
        return PteAccess(
            stage.name, level, address, purpose, table_gpa, spa - index * p.BYTES, index, pte_gpa, spa, None, (), "read",
            "", 2, None, "sv32algorithm", "",
        )  # fmt: skip

    def _read(self, stage: Stage, place: PteAccess) -> int:
        """The PTE, with what Svadu would have written before; a refusal is an access fault."""
        spa = place.pte_spa
        decided = protection(self.state, spa, p.BYTES, Prv.S)
        if not self.ram.base <= spa <= self.ram.base + self.ram.size - p.BYTES:
            root = f", where {stage.csr}.PPN puts the root table" if place.level == stage.levels - 1 else ""
            refusal = _no_memory(f"the PTE at h:{spa:#x} is not in RAM{root}")
        elif "r" not in decided.rights:
            refusal = _protected(decided, "page tables are read as S-mode, which needs R", 2)
        else:
            return self.updates[spa] if spa in self.updates else self.ram.read_u64(spa)
        self._refuse(place, refusal)
        raise self._fault(ACCESS_FAULT, refusal, stage, place)

    def _update(self, stage: Stage, place: PteAccess, pte: int) -> None:
        """Svadu writes A and D: a store as S-mode, which in the VS-stage the G-stage must allow too."""
        spa = place.pte_spa
        if place.pte_gpa is not None:
            what = f"setting A and D in the level {place.level} VS-stage PTE"
            spa = self._g_stage(self.context.g_implicit, place.pte_gpa, Access.STORE, what, PSEUDO_WRITE).address
        place = replace(place, pte=pte, bits=p.names(pte), kind="write")
        decided = protection(self.state, spa, p.BYTES, Prv.S)
        if "w" not in decided.rights:
            refusal = _protected(decided, "A and D are written as S-mode, which needs W", 9)
            self._refuse(place, refusal)
            raise self._fault(ACCESS_FAULT, refusal, stage, place)
        self.updates[spa] = pte
        text = "the hart sets A and D itself (Svadu)"
        self.records.append(replace(place, verdict="updated", step=9, source="norm:Svadu_hw_update_a_d_bits", text=text))

    def _refuse(self, place: PteAccess, refusal: Refusal, also: tuple[str, ...] = ()) -> None:
        self.records.append(
            replace(
                place, verdict="refused", step=refusal.step, rule=refusal.name, source=refusal.source, text=refusal.text,
                also=also,
            )
        )  # fmt: skip

    def _fault(
        self, kind: str, refusal: Refusal, stage: Stage | None = None, place: PteAccess | None = None,
        gpa: int | None = None, pseudo: int | None = None,
    ) -> _Refused:  # fmt: skip
        """The exception, always of the access that everything is for (norm:H_vm_gpapriv)."""
        row = _rows.causes[f"{FAULTING[self.access]}_{kind}"]
        htinst: int | None = 0
        if gpa is not None:
            htinst = pseudo if pseudo is not None else 0 if self.access is Access.FETCH else None
        return _Refused(
            Fault(
                cause=row.code,
                name=row.text,
                stval=None if self.space == "gpa" else self.address,
                htval=0 if gpa is None else gpa >> 2,
                htinst=htinst,
                gva=self.context.virtual,
                gpa=gpa,
                implicit=pseudo is not None,
                stage=None if stage is None else stage.name,
                level=None if place is None else place.level,
                pte=None if place is None else place.pte,
                pte_spa=None if place is None else place.pte_spa,
                step=refusal.step,
                rule=refusal.name,
                source=refusal.source,
                text=refusal.text,
            )
        )
