"""Reading an instruction of a guest where the guest fetched it: at the address that both stages give for its pc."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rvhv.hv.vm import VM

MASK64 = (1 << 64) - 1


def instruction(vm: VM, gva: int) -> int | None:
    """The 16- or 32-bit instruction at `gva` of the VM on the hart; None when it cannot be fetched."""
    low = half(vm, gva)
    if low is None or low & 3 != 3:
        return low
    upper = half(vm, (gva + 2) & MASK64)
    return None if upper is None else upper << 16 | low


def half(vm: VM, gva: int) -> int | None:
    """The 16 bits there; None when they cannot be fetched."""
    spa = vm.vcpu.walk(gva, "fetch").spa
    return None if spa is None else int.from_bytes(vm.hv.memory.read(spa, 2), "little")
