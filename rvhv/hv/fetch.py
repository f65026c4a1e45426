"""Reading an instruction of a guest where the guest fetched it: at the address that both stages give for its pc."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rvhv.cpu.pte import PAGE

if TYPE_CHECKING:
    from rvhv.hv.vm import VM


def instruction(vm: VM, gva: int) -> int | None:
    """The 16- or 32-bit instruction at `gva` of the VM on the hart; None when it cannot be fetched."""
    spa = vm.vcpu.walk(gva, "fetch").spa
    if spa is None:
        return None
    low = _half(vm, spa)
    if low & 3 != 3:
        return low
    upper = spa + 2 if gva % PAGE < PAGE - 2 else vm.vcpu.walk(gva + 2, "fetch").spa
    return None if upper is None else _half(vm, upper) << 16 | low


def _half(vm: VM, spa: int) -> int:
    return int.from_bytes(vm.hv.memory.read(spa, 2), "little")
