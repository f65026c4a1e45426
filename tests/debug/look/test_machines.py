"""VMs, devices, virtqueues, frames, exits and contexts that get nowhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rvhv import Hypervisor
from rvhv.debug.look import exits, frames, machines, queues
from rvhv.debug.look.loops import stuck
from rvhv.debug.target import VmTarget
from rvhv.debug.view import View, plain
from rvhv.errors import DebugError
from rvhv.hv import EXIT_COST
from tests.debug.look.programs import RAM, SCRATCH, bare, booted, frozen, guest, image, put, text_of, vm


def shown(view: View) -> str:
    json.dumps(view.json())
    assert max((len("".join(text for _, text in line)) for line in view.lines()), default=0) <= 140
    return plain(view.lines())


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> VmTarget:
    path: Path = tmp_path_factory.mktemp("disk") / "disk.raw"
    path.write_bytes(bytes(1 << 20))
    hv = Hypervisor("64M")
    hv.create("tasks", memory="8M")
    hv.create("disk", memory="8M", disk=str(path))
    target = VmTarget(hv)
    target.run(1_200_000)
    return target


def test_vms_and_vcpus(pair: VmTarget) -> None:
    said = shown(machines.vms(pair))
    assert "tasks" in said and "8 MiB" in said and "disk.raw" in said
    rows = machines.vms(pair).rows
    assert rows[0].touched and rows[0].exits > 0 and abs(sum(row.share for row in rows) - 1) < 1e-6
    assert "user_" in shown(machines.vcpus(pair))
    target = booted("smp", 3000, harts=2)
    assert [row.name for row in machines.vcpus(target).rows] == ["hart0", "hart1"]
    with pytest.raises(DebugError, match="vcpus lists its harts"):
        machines.vms(target)


def test_devices(pair: VmTarget) -> None:
    said = shown(machines.devices(pair.contexts[1]))
    assert "virtio block" in said and "DRIVER_OK" in said and "no driver yet" in said
    sources = {row.name: row.source for row in machines.devices(pair.contexts[1]).rows}
    assert sources == {"plic": None, "virtio console": 1, "virtio block": 2, "virtio entropy": 3}
    target = booted("smp", 3000)
    rows = {row.name: row for row in machines.devices(target.contexts[0]).rows}
    assert rows["uart"].source == 10 and rows["rtc"].source == 11 and rows["virtio entropy"].source == 8


def test_queues_as_the_driver_laid_them_out(pair: VmTarget) -> None:
    context = pair.contexts[1]
    before = frozen(context), context.vm.devices_memory.cost
    found = queues.queues(context, "block")
    said = shown(found)
    assert (frozen(context), context.vm.devices_memory.cost) == before
    (queue,) = found.queues
    assert queue.ready and queue.size == 8 and queue.avail_idx == queue.taken == queue.used_idx == queue.returned
    last = queue.chains[-1]
    assert last.state == "used" and [d.length for d in last.descriptors][0] == 16 and last.descriptors[-1].length == 1
    assert "device writes" in said and not queue.broken and not found.broken
    with pytest.raises(DebugError, match="there are virtio console"):
        queues.queues(context, "network")


def test_a_broken_ring() -> None:
    target = guest("broken-ring")
    context = target.contexts[0]
    found = queues.queues(context, "entropy")
    assert "is not in RAM, but a buffer lies in guest memory" in text_of(found) and found.broken
    told = stuck(context)
    assert told is not None and told.kind == "asleep" and "serves nothing any more" in told.text


@pytest.mark.parametrize("field", ["head", "next", "idx"])
def test_rings_that_break_rules_are_shown_as_they_are(pair: VmTarget, field: str) -> None:
    """What waits for the device, before it looks."""
    context = pair.contexts[1]
    transport = next(d for d in context.bus.devices if d.name == "virtio block")
    setup = transport.queues[0]
    ram = context.vm.ram
    old = ram.read(setup.desc, 16 * 8), ram.read(setup.avail, 4 + 2 * 8)
    idx = int.from_bytes(old[1][2:4], "little")
    slot = setup.avail + 4 + 2 * (idx % 8)
    try:
        ram.write(setup.avail + 2, (idx + (200 if field == "idx" else 1)).to_bytes(2, "little"))
        ram.write(slot, (77 if field == "head" else 0).to_bytes(2, "little"))
        if field == "next":
            ram.write(setup.desc, bytes(12) + (1).to_bytes(2, "little") + (0).to_bytes(2, "little"))
        found = queues.queues(context, "block").queues[0]
        assert found.broken.startswith("what waits breaks a rule")
        assert {"head": "no descriptor 77", "next": "a loop", "idx": ""}[field] in shown(queues.queues(context, "block"))
    finally:
        ram.write(setup.desc, old[0])
        ram.write(setup.avail, old[1])


def test_frames(pair: VmTarget) -> None:
    found = frames.frames(pair)
    said = shown(found)
    assert "G-stage table" in said and "tasks" in said and "free memory" in said
    assert found.kinds[:4] == "GGGG" and found.owners[0] == 1
    vm_ = pair.hv.vms[0]
    owned = sum(1 for at, gpa in found.gpas.items() if found.owners[at] == 1)
    assert owned == vm_.gstage.mapped // 4096
    spa = next(iter(vm_.gstage.leaves[0].values()))
    marked = frames.frames(pair, dirty=[spa])
    assert marked.kinds[(spa - RAM) // 4096] in "*t"
    target = bare()
    target.memory.write(SCRATCH, b"x")
    assert frames.frames(target).kinds[(SCRATCH - RAM) // 4096] == "d"


def test_exits(pair: VmTarget) -> None:
    found = exits.exits(pair)
    said = shown(found)
    assert "environment call from VS-mode" in said and "RAM, first touch" in said and "virtio block" in said
    for row in found.rows:
        assert EXIT_COST <= row.least <= row.mean <= row.most
    assert sum(r.count for r in found.rows if r.name == "disk") == sum(pair.hv.vms[1].exit_counts.values())
    log = exits.log(pair, 5)
    assert len(log.entries) == 5
    of_one = exits.log(pair, 1000, pair.contexts[0])
    assert {e.name for e in of_one.entries} == {"tasks"}
    assert [e.steps for e in of_one.entries] == sorted(e.steps for e in of_one.entries)
    assert any("virtio block at 0x" in e.detail for e in exits.log(pair).entries)
    shown(log)
    with pytest.raises(DebugError):
        exits.log(pair, 0)


def test_the_log_keeps_a_thousand_and_costs_no_hash() -> None:
    target = guest("rogue")
    assert len(exits.log(target).entries) == 1000
    again = guest("rogue", 0)
    while not again.finished:
        again.run(50_000)
        exits.log(again)
    assert again.hv.trace_hash() == target.hv.trace_hash()


def test_traps_of_a_bare_machine() -> None:
    target = bare("ecall\nend: j end", 3, mode="S", mtvec=RAM + 4)
    assert [e.reason for e in exits.log(target).entries] == ["environment call from HS-mode"]
    with pytest.raises(DebugError, match="no hypervisor here"):
        exits.exits(target)


# contexts that get nowhere


def told(view: object) -> str:
    assert view is not None
    return text_of(view)  # type: ignore[arg-type]


def test_a_trap_loop() -> None:
    target = vm("csrw stvec, zero\necall\n.half 0\nend: j end", 40)
    said = told(stuck(target.contexts[0]))
    assert "a trap loop" in said and "the first instruction of its own handler (vstvec=0x0) traps" in said
    assert "at 1,000 it is stopped" in said
    target.run()
    assert "1,000 traps without one instruction retired" in told(stuck(target.contexts[0]))


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("wfi\nend: j end", "no interrupt is enabled at all (vsie=0)"),
        ("li a0, 0x200\ncsrw sie, a0\nwfi\nend: j end", "vsie.SEIE=1, but no source of the PLIC is enabled"),
        ("li a0, 0x20\ncsrw sie, a0\nwfi\nend: j end", "vsie.STIE=1, but no timer was set"),
        ("li a0, 0x10000\ncsrw stimecmp, a0\nwfi\nend: j end", "a timer is set (due in"),
    ],
)
def test_a_wfi_that_nothing_ends(program: str, said: str) -> None:
    hv = Hypervisor("32M")
    hv.create("tiny", image(program), memory="4M")
    target = VmTarget(hv)
    target.hv.on_idle = lambda: (target.interrupt(), False)[1]
    target.run(20_000)
    context = target.contexts[0]
    assert said in told(stuck(context)), context.status


def test_a_wfi_that_ends() -> None:
    target = vm("li a0, 0x20\ncsrw sie, a0\nli a0, 0x10000\ncsrw stimecmp, a0\nwfi\nend: j end", 2000)
    assert stuck(target.contexts[0]) is None or stuck(target.contexts[0]).kind == "spin"


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("end: j end", "an endless loop"),
        (
            f"li a0, {SCRATCH:#x}\nsd zero, 0(a0)\nagain: lw a1, 4(a0)\nbeqz a1, again\nend: j end",
            "until somebody changes v:0x80100004",
        ),
        (f"li a0, {SCRATCH:#x}\nagain: lw a1, 4(a0)\nandi a1, a1, 3\nnop\nbeqz a1, again\nend: j end", "it spins"),
    ],
)
def test_a_loop_that_waits(program: str, said: str) -> None:
    assert said in told(stuck(bare(program, 40).contexts[0]))


def test_polling_a_device() -> None:
    target = bare("li a0, 0x10000000\nagain: lbu a1, 5(a0)\nandi a1, a1, 1\nbeqz a1, again\nend: j end", 40)
    assert "v:0x10000005 (uart)" in told(stuck(target.contexts[0]))


def test_polling_a_device_of_a_vm() -> None:
    target = vm(
        "li a0, 0x10001000\nagain: lw a1, 0x70(a0)\nfence\nadd a2, a2, a1\nandi a1, a1, 4\nbeqz a1, again\nend: j end", 200
    )
    assert "it polls register 0x70 of virtio console: its last" in told(stuck(target.contexts[0]))


@pytest.mark.parametrize(
    "program",
    [
        "again: addi a0, a0, 1\nbne a0, a1, again\nend: j end",
        f"li a0, {SCRATCH:#x}\nagain: lw a1, 0(a0)\naddi a0, a0, 4\nbeqz a1, again\nend: j end",
        f"li a0, {SCRATCH:#x}\nagain: sw a1, 0(a0)\nj again",
        "again: nop\nnop\nnop\ncsrr a0, cycle\nj again",
    ],
)
def test_a_loop_that_gets_on(program: str) -> None:
    target = bare(program, 41, x11=1 << 40)
    assert stuck(target.contexts[0]) is None


def test_looking_for_loops_changes_nothing() -> None:
    target = bare("end: j end", 10)
    put(target.contexts[0].hart.state, "x1", 1)
    before = frozen(target.contexts[0])
    stuck(target.contexts[0])
    assert frozen(target.contexts[0]) == before
