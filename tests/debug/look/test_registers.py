"""Registers and CSRs: what is computed from a copy of the state is what the hart reads."""

from __future__ import annotations

import json
import random

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.debug.look import csrs, registers
from rvhv.debug.look.saved import save
from rvhv.debug.view import plain
from rvhv.errors import DebugError
from rvhv.isa.render.syntax import FLOAT_REGISTERS
from tests.debug.look.programs import BASE, bare, frozen, guest, put, text_of, vm

UNTOUCHED = ("tselect", "tdata1", "tdata2")  # of the debugger's own table


@pytest.mark.parametrize("seed", range(20))
def test_every_csr_is_computed_as_the_hart_reads_it(seed: int) -> None:
    rng = random.Random(f"csrs {seed}")
    target = bare()
    context = target.contexts[0]
    hart = context.hart
    for name in ISA.csrs:
        if name not in UNTOUCHED and rng.random() < 0.8:
            hart.write_csr(name, rng.getrandbits(64) & rng.choice((0xFFFF_FFFF_FFFF_FFFF, 0xFFFF, rng.getrandbits(64))))
    for slot in ("clock", "mtimecmp", "irq_lines", "hgeip", "vm_steps"):
        put(hart.state, slot, rng.getrandbits(rng.choice((8, 12, 40))) & (0xFFFF if slot == "irq_lines" else (1 << 63) - 1))
    put(hart.state, "hgeip", hart.state[SLOT["hgeip"]] & 0x1FE)
    put(hart.state, "v", rng.getrandbits(1))
    now = save(context)
    assert {name: hex(now.csr(name)) for name in ISA.csrs} == {name: hex(hart.read_csr(name)) for name in ISA.csrs}


def test_computed_csrs_of_a_vm_that_is_off_the_hart() -> None:
    target = guest("tasks", 400_000)
    target.hv.create("hello", memory="8M")
    context = target.contexts[0]
    on_hart = {name: save(context).csr(name) for name in ISA.csrs}
    assert context.vm.vcpu.loaded
    context.vm.vcpu.leave()
    off = {name: save(context).csr(name) for name in ISA.csrs}
    assert off == on_hart
    found = csrs.csrs(context, "vsip time")
    assert [one.value for one in found.csrs] == [on_hart["vsip"], on_hart["time"]]


def test_fields_have_the_names_and_meanings_of_the_specification() -> None:
    context = vm("li t0, 0x6000\ncsrs sstatus, t0\nend: j end", 4).contexts[0]
    said = text_of(csrs.csrs(context, "vsstatus"))
    assert "14:13 FS 3 Dirty" in said and "33:32 UXL 2 64-bit" in said and "63 SD 1" in said
    said = text_of(csrs.csrs(context, "hgatp vsatp"))
    assert "MODE=8(Sv39x4) VMID=0x1" in said and "MODE=0(Bare)" in said


def test_what_changed_is_marked() -> None:
    target = vm("addi a0, a0, 5\ncsrw sscratch, a0\nend: j end", 0)
    context = target.contexts[0]
    before = save(context)
    target.run(2)
    found = registers.registers(context, before)
    assert found.changed == {"a0", "pc"} and found.x[10] == 5
    assert ("changed", f"{5:016x}") in [piece for line in found.lines() for piece in line]
    changed = [one.name for one in csrs.csrs(context, "vs", before).csrs if one.before is not None]
    assert changed == ["vsscratch"]
    assert "was 0x0" in text_of(csrs.csrs(context, "vsscratch", before))
    assert json.loads(json.dumps(found.json()))["x"]["a0"] == "0x5"


@pytest.mark.parametrize(
    ("pattern", "first", "last"),
    [
        ("h*e*g*", "hedeleg", "henvcfg"), ("vs", "vsstatus", "vstimecmp"), ("sstatus,sepc", "sstatus", "sepc"),
        ("", "vsstatus", "htimedelta"),
    ],
)  # fmt: skip
def test_patterns(pattern: str, first: str, last: str) -> None:
    context = vm("end: j end", 1).contexts[0]
    names = {one.name for one in csrs.csrs(context, pattern).csrs}
    assert {first, last} <= names


def test_every_csr_can_be_shown() -> None:
    target = vm("end: j end", 1)
    everything = csrs.csrs(target.contexts[0], "*")
    assert len(everything.csrs) == len(ISA.csrs)
    assert max(len("".join(text for _, text in line)) for line in everything.lines()) <= 100
    json.dumps(everything.json())


def test_what_is_no_register() -> None:
    context = vm("end: j end", 1).contexts[0]
    with pytest.raises(DebugError, match="did you mean sstatus"):
        csrs.csrs(context, "sstatu")
    with pytest.raises(DebugError, match="is no register"):
        registers.one(context, "a9")
    assert registers.one(context, "fp").name == "fp" and registers.one(context, "pc").value == BASE


def test_floating_point_registers() -> None:
    target = bare(f0=0xFFFF_FFFF_3FC0_0000, f9=0x4009_21FB_5444_2D18, mstatus=1 << 13)
    found = registers.floats(target.contexts[0])
    assert not found.off and [one.name for one in found.registers] == list(FLOAT_REGISTERS)
    assert found.registers[0].single == "1.5" and found.registers[9].double == "3.141592653589793"
    assert found.registers[9].single == ""
    put(target.contexts[0].hart.state, "mstatus", 0)
    assert "off for this context" in plain(registers.floats(target.contexts[0]).lines()[:1])


def test_looking_changes_nothing() -> None:
    target = guest("tasks", 400_000)
    context = target.contexts[0]
    before = frozen(context)
    for view in (registers.registers(context), registers.floats(context), csrs.csrs(context, "*")):
        view.lines(), view.json()
    assert frozen(context) == before
