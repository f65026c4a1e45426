"""Looking at a guest's translations: on the hart and off it, while it runs, and when its G-stage has one wrong bit."""

from __future__ import annotations

import pytest

from rvhv.cpu import pte as p
from rvhv.cpu.csrs import ADUE
from rvhv.cpu.state import SLOT
from rvhv.errors import ConfigError
from rvhv.hv import VM, GuestPageFaultExit, Hypervisor, Sv39x4
from rvhv.machine.board import BOARD

MARKED = BOARD.image_base  # the page in which a bit is wrong


class Forgetful(Sv39x4):
    """A G-stage that clears `bits` in the leaf of one page."""

    bits = 0

    def map(self, gpa: int) -> int:
        spa = super().map(gpa)
        if gpa >> 12 == MARKED >> 12:
            slot = self._slot(gpa, 0)
            self.memory.write_u64(slot, self.memory.read_u64(slot) & ~self.bits)
        return spa


def in_paging(*names: str) -> Hypervisor:
    """Run until every VM translates."""
    hv = Hypervisor("64M")
    for name in names:
        hv.create(name, "tasks", memory="16M")
    while not all(vm.vcpu.csr["vsatp"] for vm in hv.vms):
        hv.run(max_steps=10_000)
    return hv


@pytest.mark.parametrize(
    ("bits", "says"),
    [
        (p.U, "U=0: a G-stage leaf needs U=1, because all G-stage accesses are made as if from U-mode"),
        (p.X, "X=0: the page is not executable"),
        (p.A, "A=0: the hart does not set it itself while menvcfg.ADUE=0 (Svade)"),
    ],
)
def test_the_wrong_bit_is_named(bits: int, says: str) -> None:
    hv = Hypervisor("32M", gstage=type("Wrong", (Forgetful,), {"bits": bits}))
    vm = hv.create("hello", memory="16M")
    vm.vcpu.state[SLOT["menvcfg"]] &= ~(1 << ADUE)  # else the hart sets A itself
    seen = [exit_ for exit_ in hv.exits() if isinstance(exit_, GuestPageFaultExit)]
    assert vm.failed and says in vm.reason and "although its page is mapped" in vm.reason
    assert f"{says}, in the level 0 PTE " in seen[-1].explain()


def test_the_hart_sets_a_bit_that_the_g_stage_forgot() -> None:
    hv = Hypervisor("32M", gstage=type("Wrong", (Forgetful,), {"bits": p.A | p.D}))
    vm = hv.create("hello", memory="16M")
    hv.run()
    assert not vm.failed, vm.reason


def test_on_the_hart_and_off_it() -> None:
    """Both VMs in turn: what a walk and a map find does not depend on who is on the hart."""
    hv = in_paging("a", "b")

    def look(vm: VM) -> tuple[object, ...]:
        return vm.vcpu.walk(vm.vcpu.pc, "fetch", mode="VU"), vm.vcpu.walk(0x1000_0000, "store", mode="VS"), vm.vcpu.map().ranges

    on = next(vm for vm in hv.vms if vm.vcpu.loaded)
    off = next(vm for vm in hv.vms if not vm.vcpu.loaded)
    before = look(on), look(off)
    on.vcpu.leave()
    off.vcpu.enter()
    assert (look(on), look(off)) == before


def test_looking_changes_nothing() -> None:
    outcomes = []
    for look in (False, True):
        hv = Hypervisor("64M")
        vm = hv.create("tasks", memory="16M")
        for _ in range(60):
            hv.run(max_steps=10_000)
            if look:
                vm.vcpu.walk(vm.vcpu.pc, "fetch")
                vm.vcpu.walk(vm.vcpu.x[2], "store")
                vm.vcpu.map()
        outcomes.append((hv.trace_hash(), vm.vcpu.pc, vm.steps))
    assert outcomes[0] == outcomes[1]


def test_map_and_memory_agree() -> None:
    """What the map says is at the guest's pc is where the instruction comes from."""
    (vm,) = in_paging("tasks").vms
    pc = vm.vcpu.pc
    one = next(one for one in vm.vcpu.map().ranges if one.va <= pc < one.va + one.size)
    assert one.gpa is not None and "x" in one.first and one.second == "rwxu"
    frame = vm.gstage.frame(one.gpa + pc - one.va)
    assert vm.vcpu.walk(pc, "fetch").spa == (frame or 0) + pc % 4096
    assert sum(each.size for each in vm.vcpu.map().ranges) < 16 << 20


def test_modes_of_a_guest() -> None:
    (vm,) = in_paging("tasks").vms
    with pytest.raises(ConfigError, match="no mode of a guest"):
        vm.vcpu.walk(0, mode="S")
    assert vm.vcpu.walk(vm.vcpu.pc, "fetch").mode in ("VS", "VU")
