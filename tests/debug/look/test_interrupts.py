"""Interrupts: what is said to be taken is what the hart takes; and why the others are not."""

from __future__ import annotations

import json
import random

import pytest

from rvhv.cpu.csrs import INTERRUPT_BITS
from rvhv.cpu.state import SLOT
from rvhv.debug.look.interrupts import interrupts
from rvhv.machine.plic import CLAIM_COMPLETE, CONTEXT, CONTEXT_STRIDE, ENABLE, ENABLE_STRIDE, THRESHOLD, Plic
from tests.debug.look.programs import bare, guest, put, text_of, vm

CSRS = {"M": "mcause", "HS": "scause", "VS": "vscause"}
MASK64 = (1 << 64) - 1


@pytest.mark.parametrize("seed", range(25))
def test_what_is_taken_next(seed: int) -> None:
    rng = random.Random(f"interrupts {seed}")
    target = bare()
    context = target.contexts[0]
    hart, state = context.hart, context.hart.state
    for n in range(12):
        for name in ("mie", "mip", "hvip", "mideleg", "hideleg", "menvcfg", "henvcfg"):
            hart.write_csr(name, rng.getrandbits(64) & rng.choice((MASK64, rng.getrandbits(64))))
        put(state, "irq_lines", rng.choice((0, 0, 1 << 3, 1 << 9, 1 << 11)))
        put(state, "mtimecmp", rng.choice((0, MASK64, MASK64)))
        for name in ("stimecmp", "vstimecmp"):
            put(state, name, rng.choice((0, MASK64)))
        hart.write_csr("mstatus", rng.choice((0, 1 << 1, 1 << 3, 0xA)))
        hart.write_csr("vsstatus", rng.choice((0, 2)))
        prv, v = rng.choice(((3, 0), (1, 0), (0, 0), (1, 1), (0, 1)))
        put(state, "prv", prv)
        put(state, "v", v)
        put(state, "pc", 0x8000_0000)
        for name in CSRS.values():
            hart.write_csr(name, 0)
        found = interrupts(context)
        hart.run(1)
        taken = {mode: hart.read_csr(csr) for mode, csr in CSRS.items() if hart.read_csr(csr) >> 63}
        said = [(i.to, i.code - (i.to == "VS")) for i in found.interrupts if i.taken]
        assert [(mode, cause & ~(1 << 63)) for mode, cause in taken.items()] == said, f"seed {seed}, round {n}\n{found}"
        json.dumps(found.json())


def verdict(context: object, name: str) -> str:
    return next(i.verdict for i in interrupts(context).interrupts if i.name == name)  # type: ignore[arg-type]


def test_each_reason_of_a_guest() -> None:
    context = vm("end: j end", 1).contexts[0]
    hart = context.hart
    assert "vstimecmp is all ones: no timer was set; and vsie.STIE=0" in verdict(context, "VSTI")
    hart.write_csr("vstimecmp", 1_000_000)
    assert "vstimecmp is due in" in verdict(context, "VSTI")
    hart.write_csr("vstimecmp", 0)
    assert verdict(context, "VSTI").startswith("pending, but vsie.STIE=0: not enabled; and vsstatus.SIE=0")
    hart.write_csr("vsie", 1 << 5)
    assert verdict(context, "VSTI") == "pending and enabled, but vsstatus.SIE=0: VS-mode has its interrupts off"
    hart.write_csr("vsstatus", 2)
    assert verdict(context, "VSTI") == "taken before the next instruction, to VS-mode"
    hart.write_csr("hvip", 1 << 2)
    hart.write_csr("vsie", 1 << 5 | 1 << 1)
    assert verdict(context, "VSTI") == "pending and enabled; VSSI comes first"
    hart.write_csr("henvcfg", 0)
    assert "henvcfg.STCE=0" in verdict(context, "VSTI")


def test_modes_above_and_below() -> None:
    target = bare(mode="M", mie=1 << 5 | 1 << 7, mideleg=1 << 5, mip=1 << 5)
    context = target.contexts[0]
    assert verdict(context, "STI") == "pending and enabled, but the hart is in M-mode, above HS-mode: it waits until that returns"
    put(context.hart.state, "mtimecmp", 0)
    assert verdict(context, "MTI") == "pending and enabled, but mstatus.MIE=0: M-mode has its interrupts off"
    put(context.hart.state, "prv", 0)
    assert verdict(context, "MTI") == "taken before the next instruction, to M-mode"


def test_the_way_through_the_plic() -> None:
    target = bare()
    context = target.contexts[0]
    plic: Plic = target.machine.plic
    mine = CONTEXT + CONTEXT_STRIDE  # of S-mode

    def source() -> str:
        return next(s.verdict for s in interrupts(context).sources if s.number == 10)

    plic.set_level(10, True)
    assert source() == "pending, but not enabled for context 1: set bit 10 of its enable word"
    plic.store(ENABLE + ENABLE_STRIDE, 4, 1 << 10)
    assert source() == "pending, but its priority is 0, which never interrupts"
    plic.store(4 * 10, 4, 1)
    plic.store(mine + THRESHOLD, 4, 1)
    assert source() == "pending, but its priority 1 is not above the threshold 1"
    plic.store(mine + THRESHOLD, 4, 0)
    assert source() == "delivered to context 1"
    assert plic.load(mine + CLAIM_COMPLETE, 4) == 10
    assert source().startswith("claimed and not completed")
    assert "source 10 (uart): claimed and not completed" in verdict(context, "SEI")
    plic.set_level(10, False)
    plic.store(mine + CLAIM_COMPLETE, 4, 10)
    assert source() == "the device asks for nothing"


def test_reading_claims_nothing() -> None:
    target = bare()
    plic = target.machine.plic
    plic.set_level(10, True)
    before = plic.registers
    interrupts(target.contexts[0])
    assert plic.registers == before


def test_a_guest_off_the_hart() -> None:
    target = guest("tasks", 100_000)
    context = target.contexts[0]
    context.vm.vcpu.leave()
    assert "waiting for its turn" in text_of(interrupts(context))
    context.vm.vcpu.interrupts.set_external(True)
    found = next(i for i in interrupts(context).interrupts if i.name == "VSEI")
    assert found.pending and not context.state[SLOT["hvip"]] >> INTERRUPT_BITS["VSEI"] & 1
