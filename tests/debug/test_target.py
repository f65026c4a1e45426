"""A hypervisor and a bare machine behind one face."""

from __future__ import annotations

import pytest

from rvhv import Hypervisor
from rvhv.boot.loader import Software, prepare
from rvhv.debug.target import Ended, MachineTarget, Target, VmTarget
from rvhv.debug.view import Text, plain, vm_style
from rvhv.images import image_path
from rvhv.machine.image import load_image
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine


def hosted(*names: str) -> VmTarget:
    hv = Hypervisor("64M")
    for name in names:
        hv.create(name, memory="8M")
    return VmTarget(hv)


def bare(name: str, harts: int = 1) -> MachineTarget:
    machine = Machine(Memory(64 << 20), harts=harts)
    prepare(Software(image_path(name)), memory=machine.memory.size, harts=harts).start(machine)
    return MachineTarget(machine, [load_image(image_path(name))])


def checked_run(target: Target, symbol: str) -> None:
    with_budget = target.run(1000)
    assert with_budget.ended is Ended.BUDGET and target.steps == 1000
    address = target.contexts[0].images[0].symbols[symbol]
    number = target.stops.add_breakpoint(address, target.contexts[0].bound)
    halt = target.run()
    assert halt.ended is Ended.STOP and halt.stop is not None and halt.stop.number == number
    assert halt.context.pc == address and halt.context is target.current
    target.stops.clear()
    target.interrupt()
    assert target.run().ended is Ended.INTERRUPTED
    printed: list[tuple[str, bytes]] = []
    target.on_output = lambda context, data: printed.append((context.name, data))
    assert target.run().ended is Ended.FINISHED and target.finished
    assert printed and {name for name, _ in printed} <= {context.name for context in target.contexts}
    assert not target.contexts[0].alive
    target.close()


def test_vms() -> None:
    target = hosted("hello", "tasks")
    assert [context.name for context in target.contexts] == ["hello", "tasks"]
    checked_run(target, "sbi_power_off")
    assert target.contexts[0].mode == "VS"


def test_harts() -> None:
    target = bare("smp", 2)
    assert [context.status for context in target.contexts] == ["running", "running"]
    checked_run(target, "hart_main")
    assert target.contexts[0].status == target.contexts[1].status != "running"


def test_a_machine_that_waits_for_its_console() -> None:
    target = bare("smp", 1)
    target.machine._waiting[0] = True  # as in a WFI with everything disabled
    assert target.run().ended is Ended.WAITING
    target.close()


@pytest.mark.parametrize("name", ["broken-irq", "broken-ring"])
def test_vms_that_nothing_wakes(name: str) -> None:
    """They stay as they are, to be looked at; `rvhv run` would end them."""
    target = hosted(name)
    for _ in range(2):
        assert target.run().ended is Ended.WAITING
        assert target.contexts[0].status == "asleep" and target.contexts[0].alive
    assert target.contexts[0].walk(target.contexts[0].pc, "fetch").spa is not None
    target.close()


def test_exactness_over_idle_jumps() -> None:
    """A bare machine's `run` counts what a jump costs: the target's does not."""
    one, other = bare("monitor"), bare("monitor")
    one.run(3_000_000)
    while other.steps < 3_000_000:
        other.run(min(70_001, 3_000_000 - other.steps))
    assert one.steps == other.steps == 3_000_000
    assert one.machine.trace_hash() == other.machine.trace_hash()
    one.close()
    other.close()


def test_views() -> None:
    view = Text("one\ntwo", "bad")
    assert plain(view.lines()) == "one\ntwo" and view.json() == {"text": "one\ntwo"}
    assert vm_style(1) == vm_style(7) == "vm1"
