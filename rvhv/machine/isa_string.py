"""The ISA string of the machine (riscv,isa), taken from its rows: what has no row is not named."""

from __future__ import annotations

from rvhv.core.registry import ISA

SINGLE = "imafdqcbvh"  # the canonical order
SUPERVISOR = {"sstc": "stimecmp", "smstateen": "mstateen0"}  # extensions that are CSRs: extension -> one of them
TRANSLATION = ("svadu", "svnapot", "svpbmt")  # extensions that are rules of the page-table walk
Z_ORDER = "icmafbkv"  # of the second letter of a Z extension: the single letter it belongs to


def isa_string() -> str:
    """Like rv64imach_zicsr_zifencei_sstc."""
    named = {insn.extension.lower() for insn in ISA.insns.values()} - {"system"}
    single = {name for name in named if len(name) == 1}
    if ISA.compressed:
        single.add("c")
    if "hstatus" in ISA.csrs:
        single.add("h")
    several = {name for name in named if len(name) > 1 and name.isalnum()}
    if "time" in ISA.csrs:
        several.add("zicntr")
    several |= {*TRANSLATION} | {name for name, csr in SUPERVISOR.items() if csr in ISA.csrs}
    return "_".join(["rv64" + "".join(sorted(single & set(SINGLE), key=SINGLE.index)), *sorted(several, key=_place)])


def _place(name: str) -> tuple[int, int, str]:
    """Z extensions first, by the letter they belong to, then those of the privileged architecture."""
    if name[0] != "z":
        return 1, 0, name
    return 0, Z_ORDER.find(name[1]) % len(Z_ORDER), name


def mmu_type() -> str:
    """The widest mode of satp, as the device tree names it."""
    from rvhv.cpu import csrs

    modes = (mode for mode in ("sv57", "sv48", "sv39") if hasattr(csrs, mode.upper()))
    return f"riscv,{next(modes)}"
