"""The rules by which a page table entry refuses an access, one row each, in the order of the manual's algorithm
("Virtual Address Translation Process"). The walk recorder says which of them a PTE breaks; what a leaf allows at all
follows from the same rows. The hart decides with `rvhv.cpu.walk`; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from rvhv.cpu import pte as p


class Access(StrEnum):
    """Kinds of access as translation knows them. An AMO is a store; HLVX needs X where a load needs R."""

    LOAD = "load"
    STORE = "store"
    FETCH = "fetch"
    HLVX = "hlvx"


RIGHTS = {Access.LOAD: "r", Access.STORE: "w", Access.FETCH: "x"}


@dataclass(frozen=True)
class Stage:
    """One stage of a translation: whose tables, who asks, and which extensions are on.

    `name` is "S" (one stage), "VS" or "G"; `csr` holds its root; `mode` is the MODE field (0: Bare); `who` the mode as text.
    """

    name: str
    csr: str
    mode: int
    root: int  # spa; of the VS-stage a gpa
    who: str
    user: bool  # checked as U-mode or VU-mode
    sum_csr: str  # whose SUM counts
    sum: bool
    mxr: bool
    mxr_text: str  # what would make an execute-only page readable, and does not
    adue: bool
    pbmte: bool
    ad_off: str  # why the hart does not set A and D itself
    pbmt_off: str

    @property
    def wide(self) -> bool:
        return self.name == "G"

    @property
    def levels(self) -> int:
        return p.levels_of(self.mode)

    @property
    def bits(self) -> int:
        """Bits of an address that it translates."""
        return p.PAGE_BITS + p.INDEX_BITS * self.levels + (p.WIDER_BITS if self.wide else 0)

    @property
    def scheme(self) -> str:
        return p.MODES[self.mode] + ("x4" if self.wide else "") if self.mode else "Bare"


@dataclass(frozen=True)
class Look:
    """A PTE as a walk meets it, and what is wanted of it."""

    stage: Stage
    level: int
    pte: int
    access: Access

    def has(self, bits: int) -> bool:
        return self.pte & bits != 0


@dataclass(frozen=True)
class Rule:
    """`step` is of the manual's algorithm, `source` a normative tag of the manual or the anchor of a section without tags."""

    name: str
    step: int
    source: str
    broken: Callable[[Look], bool]
    says: Callable[[Look], str]



def _misaligned(k: Look) -> bool:
    return not k.has(p.N) and p.target(k.pte) & p.page_size(k.pte, k.level) - 1 != 0


def _low_ppn(k: Look) -> str:
    bits = p.INDEX_BITS * k.level
    return (
        f"misaligned superpage: the low {bits} bits of its PPN are {k.pte >> p.PPN_SHIFT & (1 << bits) - 1:#x} "
        f"and must be 0 in a leaf of level {k.level}"
    )


def _set_in_pointer(k: Look) -> str:
    found = [name for name in ("A", "D", "U") if k.has(p.FLAGS[name])]
    return f"{', '.join(f'{name}=1' for name in found)}: reserved in a PTE that points to a table (R=0 and X=0)"


def _bad_n(k: Look) -> str:
    if not p.is_leaf(k.pte):
        return "N=1: reserved in a PTE that points to a table"
    if k.level:
        return f"N=1: reserved in a leaf of level {k.level}; only level 0 has 64 KiB pages"
    low = k.pte >> p.PPN_SHIFT & p.NAPOT_MASK
    return f"N=1 with PPN[3:0]={low:04b}: reserved; a 64 KiB page has 1000 there"


def _user(k: Look) -> bool:
    """Whether the U bit refuses, in a stage that is not the G-stage."""
    if k.stage.wide:
        return False
    if k.stage.user:
        return not k.has(p.U)
    return k.has(p.U) and (k.access is Access.FETCH or not k.stage.sum)


def _user_text(k: Look) -> str:
    stage = k.stage
    if stage.user:
        return f"U=0: {stage.who} may only use pages with U=1"
    if k.access is Access.FETCH:
        return f"U=1: {stage.who} never executes a user page, whatever {stage.sum_csr}.SUM says"
    return f"U=1 with {stage.sum_csr}.SUM=0: {stage.who} may not touch a user page"


def _unreadable(k: Look) -> bool:
    return k.access is Access.LOAD and not k.has(p.R) and not (k.stage.mxr and k.has(p.X))


def _unreadable_text(k: Look) -> str:
    if not k.has(p.X):
        return "R=0: the page is not readable"
    return f"R=0: the page is execute-only, and {k.stage.mxr_text}"


PTE_RULES = (
    Rule("valid", 3, "sv32algorithm", lambda k: not k.has(p.V), lambda k: "V=0: nothing is mapped here"),
    Rule(
        "write-only", 3, "pteperm",
        lambda k: k.has(p.W) and not k.has(p.R),
        lambda k: "W=1 with R=0: a reserved combination, a writable page must be readable",
    ),
    Rule(
        "reserved", 3, "norm:Sv39_pte_future_rsv",
        lambda k: k.has(p.RESERVED),
        lambda k: f"reserved bits are set: {', '.join(n for n in p.names(k.pte) if n.startswith('bit'))}",
    ),
    Rule(
        "pbmt-off", 3, "norm:Sv39_pte_svpbmt_rsv",
        lambda k: k.has(p.PBMT) and p.is_leaf(k.pte) and not k.stage.pbmte,
        lambda k: f"PBMT={k.pte >> p.PBMT_SHIFT & 3}: reserved while {k.stage.pbmt_off}",
    ),
    Rule(
        "pbmt-reserved", 3, "norm:Svpbmt_leaf_pte_pbmt_reserved_3_fault",
        lambda k: k.pte & p.PBMT == p.PBMT and p.is_leaf(k.pte),
        lambda k: "PBMT=3: a reserved memory type",
    ),
    Rule(
        "pbmt-pointer", 3, "norm:Svpbmt_nonleaf_pte_pbmt_must_be_zero",
        lambda k: k.has(p.PBMT) and not p.is_leaf(k.pte),
        lambda k: f"PBMT={k.pte >> p.PBMT_SHIFT & 3}: reserved in a PTE that points to a table",
    ),
    Rule(
        "napot", 3, "norm:Svnapot_reserved_encoding_fault",
        lambda k: k.has(p.N)
        and (not p.is_leaf(k.pte) or k.level > 0 or k.pte >> p.PPN_SHIFT & p.NAPOT_MASK != p.NAPOT_64K),
        _bad_n,
    ),
    Rule("pointer-bits", 3, "svade", lambda k: not p.is_leaf(k.pte) and k.has(p.A | p.D | p.U), _set_in_pointer),
    Rule(
        "no-leaf", 4, "sv32algorithm",
        lambda k: not p.is_leaf(k.pte) and k.level == 0,
        lambda k: "R=0 and X=0 at level 0: a pointer to a table where only a leaf can be",
    ),
)  # fmt: skip

LEAF_RULES = (
    Rule("aligned", 5, "norm:Sv39_superpage_align_fault", _misaligned, _low_ppn),
    Rule(
        "g-user", 6, "norm:H_vm_gpapriv",
        lambda k: k.stage.wide and not k.has(p.U),
        lambda k: "U=0: a G-stage leaf needs U=1, because all G-stage accesses are made as if from U-mode",
    ),
    Rule("user", 6, "norm:sstatus_sum", _user, _user_text),
    Rule("readable", 8, "norm:load_page_fault_no_r, norm:sstatus_mxr", _unreadable, _unreadable_text),
    Rule(
        "writable", 8, "norm:store_page_fault_no_w",
        lambda k: k.access is Access.STORE and not k.has(p.W),
        lambda k: "W=0: the page is not writable",
    ),
    Rule(
        "executable", 8, "norm:fetch_page_fault_no_x",
        lambda k: k.access is Access.FETCH and not k.has(p.X),
        lambda k: "X=0: the page is not executable",
    ),
    Rule(
        "hlvx", 8, "norm:hlsv_u_op",
        lambda k: k.access is Access.HLVX and not k.has(p.X),
        lambda k: "X=0: HLVX needs X=1 where a load needs R=1",
    ),
    Rule(
        "accessed", 9, "norm:svade_access_ad_bit_clear",
        lambda k: not k.has(p.A) and not k.stage.adue,
        lambda k: f"A=0: the hart does not set it itself while {k.stage.ad_off} (Svade)",
    ),
    Rule(
        "dirty", 9, "norm:svade_access_ad_bit_clear",
        lambda k: k.access is Access.STORE and not k.has(p.D) and not k.stage.adue,
        lambda k: f"D=0: the hart does not set it itself for a store while {k.stage.ad_off} (Svade)",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """A rule that was broken, in words."""

    name: str
    step: int
    source: str
    text: str


def broken(look: Look, rules: tuple[Rule, ...]) -> list[Refusal]:
    """What the PTE breaks, in the manual's order: the first one is what the hart refuses it for."""
    return [Refusal(rule.name, rule.step, rule.source, rule.says(look)) for rule in rules if rule.broken(look)]


def leaf_rights(stage: Stage, level: int, pte: int) -> str:
    """What a leaf lets its stage do, as "rwx" with dashes."""
    return "".join(
        "-" if any(rule.broken(Look(stage, level, pte, access)) for rule in LEAF_RULES) else letter
        for access, letter in RIGHTS.items()
    )


def with_a_and_d(pte: int, access: Access) -> int:
    """The leaf after an access, where the hardware sets A and D (Svadu)."""
    return pte | p.A | (p.D if access is Access.STORE else 0)


def address_refusal(stage: Stage, address: int) -> Refusal | None:
    """What is wrong with an address before any table is read: not canonical, or wider than the G-stage translates."""
    if stage.wide:
        if address >> stage.bits == 0:
            return None
        text = f"bits 63:{stage.bits} of the gpa are not all 0: {stage.scheme} translates {stage.bits} bits"
        return Refusal("gpa-width", 1, f"norm:hgatp_mode_{stage.scheme.lower()}", text)
    high = address >> stage.bits - 1
    if high in (0, (1 << 65 - stage.bits) - 1):
        return None
    text = f"bits 63:{stage.bits} of the address are not all equal to bit {stage.bits - 1}, as {stage.scheme} asks"
    return Refusal("canonical", 1, f"norm:{stage.scheme}_va_signext", text)
