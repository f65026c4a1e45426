"""Who accesses, and by which tables: the stages of a translation, out of the CSRs in the architectural state
(Privileged ISA, "Two-Stage Address Translation"; `translate` and `data_mode` of `rvhv.hext.two_stage` are the hart's).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rvhv.cpu import pte as p
from rvhv.cpu.csrs import ADUE, PBMTE
from rvhv.cpu.state import SLOT, Prv
from rvhv.errors import ConfigError
from rvhv.hext.walks.rules import Access, Stage

MODES = {"M": (Prv.M, False), "S": (Prv.S, False), "U": (Prv.U, False), "VS": (Prv.S, True), "VU": (Prv.U, True)}
SUM, MXR, MPRV, MPP_SHIFT, MPV_SHIFT, SPVP_SHIFT = 1 << 18, 1 << 19, 1 << 17, 11, 39, 8


@dataclass(frozen=True)
class Context:
    """`first` is the only stage or the VS-stage (mode 0: Bare). With `virtual`, `g` translates what it gives, and
    `g_implicit` the accesses to its tables.
    """

    mode: str
    prv: int
    virtual: bool
    first: Stage
    g: Stage
    g_implicit: Stage

    @property
    def schemes(self) -> tuple[str, ...]:
        """The stages and their roots, as text."""
        stages = (self.first, self.g) if self.virtual else (self.first,) if self.prv != Prv.M else ()
        roots = {"S": "h", "VS": "g", "G": "h"}
        return tuple(
            f"{s.csr}: {s.scheme}" + (f", root table at {roots[s.name]}:{s.root:#x}" if s.mode else "") for s in stages
        )


def name_of(prv: int, virtual: bool) -> str:
    return next(name for name, mode in MODES.items() if mode == (prv, virtual))


def guest_mode(state: Sequence[int]) -> str:
    """The guest's mode, "VS" or "VU": the current one, or the one that the last trap left (hstatus.SPVP)."""
    prv = state[SLOT["prv"]] if state[SLOT["v"]] else state[SLOT["hstatus"]] >> SPVP_SHIFT & 1
    return name_of(prv, True)


def current_mode(state: Sequence[int], access: Access) -> str:
    """The mode that an access is made with now: loads and stores of M-mode obey MPRV, HLVX is the guest's."""
    prv, virtual, status = state[SLOT["prv"]], bool(state[SLOT["v"]]), state[SLOT["mstatus"]]
    if access is Access.HLVX:
        return name_of(state[SLOT["hstatus"]] >> SPVP_SHIFT & 1, True)
    if prv == Prv.M and status & MPRV and access is not Access.FETCH:
        prv = status >> MPP_SHIFT & 3
        virtual = prv != Prv.M and bool(status >> MPV_SHIFT & 1)
    return name_of(prv, virtual)


def read_context(state: Sequence[int], mode: str) -> Context:
    """The stages for accesses made in `mode`, one of MODES. Raises ConfigError for another word."""
    if mode not in MODES:
        raise ConfigError(f"{mode!r} is no mode: there are {', '.join(MODES)}")
    prv, virtual = MODES[mode]
    status, vsstatus = state[SLOT["mstatus"]], state[SLOT["vsstatus"]]
    menvcfg, henvcfg = state[SLOT["menvcfg"]], state[SLOT["henvcfg"]]

    def on(bit: int, guest: bool) -> tuple[bool, str]:
        """Whether an envcfg bit is on, and if not why; norm: henvcfg's are zero where menvcfg's are."""
        name = {ADUE: "ADUE", PBMTE: "PBMTE"}[bit]
        by_m, by_h = menvcfg >> bit & 1, henvcfg >> bit & 1
        if guest and not by_h:
            return False, f"henvcfg.{name}=0"
        return bool(by_m), f"menvcfg.{name}=0"

    def stage(name: str, csr: str, *, user: bool, sum_csr: str, mxr: bool, mxr_text: str) -> Stage:
        value = state[SLOT[csr]]
        adue, ad_off = on(ADUE, name == "VS")
        pbmte, pbmt_off = on(PBMTE, name == "VS")
        sum_on = bool((vsstatus if sum_csr == "vsstatus" else status) & SUM)
        root = (value & p.PPN) << p.PAGE_BITS
        return Stage(
            name, csr, value >> p.MODE_SHIFT, root, f"{mode}-mode", user, sum_csr, sum_on, mxr, mxr_text,
            adue, pbmte, ad_off, pbmt_off,
        )  # fmt: skip

    mxr, vs_mxr = bool(status & MXR), bool(vsstatus & MXR)
    g = stage(
        "G", "hgatp", user=True, sum_csr="sstatus", mxr=mxr,
        mxr_text="sstatus.MXR=0 (vsstatus.MXR does not count in the G-stage)",
    )  # fmt: skip
    g_implicit = replace(g, mxr=False, mxr_text="MXR never counts for a walk's own reads of VS-stage tables")
    if virtual:
        first = stage(
            "VS", "vsatp", user=prv == Prv.U, sum_csr="vsstatus", mxr=mxr or vs_mxr,
            mxr_text="neither vsstatus.MXR nor sstatus.MXR is 1",
        )  # fmt: skip
    else:
        first = stage("S", "satp", user=prv == Prv.U, sum_csr="sstatus", mxr=mxr, mxr_text="sstatus.MXR=0")
        if prv == Prv.M:
            first = replace(first, mode=0)
    return Context(mode, prv, virtual, first, g, g_implicit)
