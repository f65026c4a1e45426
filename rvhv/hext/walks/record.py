"""What the walk recorder hands out: every memory access of a translation, and where it ends. Plain values throughout:
`dataclasses.asdict` makes JSON of them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PteAccess:
    """One memory access of a walk. Addresses in bytes; `gpa` fields are None but in the VS-stage, `pte` and `bits` where
    nothing could be read. `kind`: "read", or "write" of A and D (Svadu). `verdict`: "pointer", "leaf", "updated", "refused".

    `translates` is the address that this stage's walk is for, and `purpose` why. `rule`, `step` and `source` name the rule
    that refused, or the step of the manual's algorithm that accepted; `also` has what else the leaf would be refused for.
    """

    stage: str
    level: int
    translates: int
    purpose: str
    table_gpa: int | None
    table_spa: int
    index: int
    pte_gpa: int | None
    pte_spa: int
    pte: int | None
    bits: tuple[str, ...]
    kind: str
    verdict: str
    step: int
    rule: str | None
    source: str
    text: str
    also: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reached:
    """Where a translation ends. `spa` and `gpa` (None without two stages), `page_size` in bytes: the smaller of both
    stages'; rights as "rwx": of each stage that translates, of PMP, and all together. `memory` is "RAM" or "device".
    """

    spa: int
    gpa: int | None
    page_size: int
    rights: str
    stage_rights: dict[str, str]
    pmp_rights: str
    pmp: str
    memory: str


@dataclass(frozen=True)
class Fault:
    """The exception, as the hart raises it: stval (mtval; None in a walk of a gpa) and htval (mtval2) as CSR values; `htinst`
    None stands for the transformed instruction, which depends on what is executed. `gva` is hstatus.GVA (mstatus.GVA).

    `gpa` is None but in guest-page faults; `implicit`: an access to a VS-stage table raised it. `stage` (None: what the
    translation came to is refused by PMP or is no memory), `level`, `pte` and `pte_spa` say where; rule, step, source and
    text are as in PteAccess.
    """

    cause: int
    name: str
    stval: int | None
    htval: int
    htinst: int | None
    gva: bool
    gpa: int | None
    implicit: bool
    stage: str | None
    level: int | None
    pte: int | None
    pte_spa: int | None
    step: int
    rule: str
    source: str
    text: str


@dataclass(frozen=True)
class Walk:
    """A translation of `address` (of `space` "va", "gva" or "gpa"). Exactly one of `reached` and `fault` is not None.

    `schemes` has the translating stages and what their roots are; `updates` the PTEs that Svadu would change, by spa.
    """

    address: int
    space: str
    access: str
    size: int
    mode: str
    schemes: tuple[str, ...]
    accesses: tuple[PteAccess, ...]
    updates: dict[int, int]
    reached: Reached | None
    fault: Fault | None

    @property
    def spa(self) -> int | None:
        """The host physical address, or None when the access faults."""
        return None if self.reached is None else self.reached.spa

    @property
    def refused(self) -> str | None:
        """Which bit or rule refuses, as a phrase that names the PTE; None when nothing does."""
        fault = self.fault
        if fault is None:
            return None
        if fault.pte is None or fault.pte_spa is None:
            return fault.text
        return f"{fault.text}, in the level {fault.level} PTE {fault.pte:#x} at h:{fault.pte_spa:#x}"

    def explain(self) -> str:
        """One sentence: where it arrives, or which rule refuses."""
        from rvhv.hext.walks.table import sentence  # only who prints pays for it

        return sentence(self)

    def __str__(self) -> str:
        """A table, at most 80 columns wide."""
        from rvhv.hext.walks.table import table

        return table(self)
