"""What a hart says of itself in a device tree, taken from its rows: what has no row is not named (RISC-V bindings of Linux)."""

from __future__ import annotations

from rvhv.core.registry import ISA
from rvhv.cpu.cache_blocks import BLOCK_BYTES
from rvhv.cpu.csrs import ENVCFG, ENVCFG_BELOW_M

SINGLE = "imafdqcbvh"  # the canonical order
# extensions that are CSRs: extension -> one of them
OF_CSRS = {"zicntr": "time", "zihpm": "hpmcounter3", "sstc": "stimecmp", "smstateen": "mstateen0"}
CACHE_BLOCKS = ("zicbom", "zicbop", "zicboz")
TRANSLATION = ("svadu", "svnapot", "svpbmt")  # extensions that are rules of the page-table walk
Z_ORDER = "icmafbkv"  # of the second letter of a Z extension: the single letter it belongs to

# What menvcfg, and for VS-mode henvcfg, must hold so that a supervisor has what the tree names from its first instruction on.
# Svadu too: a tree with svadu and without svade says that the hart sets A and D (bindings of Linux, riscv/extensions.yaml).
SUPERVISOR_ENVCFG = sum(f.mask for f in (*ENVCFG, *ENVCFG_BELOW_M) if f.name != "FIOM")


def isa_string(*, hypervisor: bool = True) -> str:
    """Like rv64imach_zicsr_zifencei_sstc; inside a VM there is no hypervisor extension."""
    named = {insn.extension.lower() for insn in ISA.insns.values()} - {"system"}
    single = {name for name in named if len(name) == 1}
    if ISA.compressed:
        single.add("c")
    if not hypervisor:
        single.discard("h")
    several = {name for name in named if len(name) > 1 and name.isalnum()}
    several |= {*TRANSLATION} | {name for name, csr in OF_CSRS.items() if csr in ISA.csrs}
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


def cpu_properties(*, hypervisor: bool = True) -> dict[str, str | int | list[str]]:
    """The properties of a cpu node that follow from the rows: its ISA, its MMU and the sizes of its cache blocks in bytes."""
    isa = isa_string(hypervisor=hypervisor)
    single, *named = isa.split("_")
    letters = single.removeprefix("rv64")
    blocks = {f"riscv,{name.removeprefix('zi')}-block-size": BLOCK_BYTES for name in CACHE_BLOCKS if name in named}
    return {
        "riscv,isa": isa,
        "riscv,isa-base": f"rv64{letters[0]}",
        "riscv,isa-extensions": [*letters, *named],
        "mmu-type": mmu_type(),
        **blocks,
    }
