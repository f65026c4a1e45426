"""Catches of traps and watches of CSRs: the run stops behind what happened, and goes on as if nothing had been."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rvhv.core.registry import ISA
from rvhv.core.stop_table import Bound, CsrStop, Modes, Stop, TrapStop
from rvhv.cpu.state import ARCH_BYTES, Exit
from rvhv.errors import ConfigError
from tests.hext.bare import BASE, CODE, HANDLER, HS_HANDLER, INTERRUPT, VS_HANDLER, Bare

ECALL_VU, BREAKPOINT = ISA.causes["ecall_u"].code, ISA.causes["breakpoint"].code
SSIP, VSSIP = 1 << 1, 1 << 2
FLOAT = """
    fcvt.d.l f0, x1
    fdiv.d f1, f0, f0
    fdiv.d f2, f0, f3
    nop
    csrwi fflags, 0
    fld f4, 0(x2)
    j .
"""


@pytest.fixture
def bare() -> Bare:
    made = Bare()
    for at in (HANDLER, HS_HANDLER, VS_HANDLER):
        made.memory.write(at, bytes.fromhex("6f000000"))  # j .
    made["stvec"], made["vstvec"] = HS_HANDLER, VS_HANDLER
    return made


def machine(bare: Bare) -> tuple[object, ...]:
    block = bytearray(ARCH_BYTES)
    bare.hart.save(block)
    return bytes(block), bytes(bare.memory.ram.view), bare["steps"], bare["clock"]


def stops_in(bare: Bare, steps: int, budget: int | None = None) -> list[tuple[int, Stop]]:
    """Run so many steps; the stops on the way, each with the steps that had been made."""
    end, seen = bare["steps"] + steps, []
    while bare["steps"] < end:
        code = bare.hart.run(min(budget or steps, end - bare["steps"]))
        if code == Exit.STOP:
            seen.append((bare["steps"], bare.hart.stop))
        else:
            assert code == Exit.BUDGET
    return seen


def test_a_trap_to_each_mode(bare: Bare) -> None:
    """The stop is before the handler's first instruction, and says where the trap was taken and for what."""
    for mode, medeleg, hedeleg, handler in (
        ("VS", 1 << BREAKPOINT, 1 << BREAKPOINT, VS_HANDLER),
        ("VS", 1 << BREAKPOINT, 0, HS_HANDLER),
        ("VU", 0, 0, HANDLER),
        ("U", 1 << BREAKPOINT, 0, HS_HANDLER),
        ("M", 1 << BREAKPOINT, 0, HANDLER),
    ):
        bare.hart.stops.clear()
        number = bare.hart.stops.add_trap_catch([BREAKPOINT])
        bare["medeleg"], bare["hedeleg"] = medeleg, hedeleg
        bare.load("nop\nebreak")
        bare.enter(mode)
        steps = bare["steps"]
        assert stops_in(bare, 4) == [(steps + 2, TrapStop(number, 0, 0, CODE + 4, BREAKPOINT))]
        assert bare["pc"] == handler


@pytest.mark.parametrize("budget", [1, 2, 100])
def test_an_interrupt(bare: Bare, budget: int) -> None:
    bare["hideleg"] = bare["hie"] = VSSIP
    bare["vsstatus"] = 2
    bare.load("loop: addi x1, x1, 1\nj loop")
    bare.enter("VS")
    number = bare.hart.stops.add_trap_catch([INTERRUPT | 2], Modes.VS)
    other = bare.hart.stops.add_trap_catch([2])
    assert stops_in(bare, 5, budget) == []
    bare["hvip"] = VSSIP
    steps, pc = bare["steps"], bare["pc"]
    assert stops_in(bare, 5, budget) == [(steps + 1, TrapStop(number, 0, 0, pc, INTERRUPT | 2))]
    assert bare["vscause"] == INTERRUPT | 1
    bare.hart.stops.remove(other)


def test_who_is_trapped_and_where_to(bare: Bare) -> None:
    """A catch for another cause, mode or guest passes."""
    hgatp = 8 << 60 | 5 << 44
    bare["medeleg"] = bare["hedeleg"] = 1 << BREAKPOINT
    for catch, stops in (
        (lambda add: add([BREAKPOINT], Modes.VS), True),
        (lambda add: add([BREAKPOINT], Modes.M | Modes.S), False),
        (lambda add: add([BREAKPOINT + 1]), False),
        (lambda add: add(), True),
        (lambda add: add([BREAKPOINT], bound=Bound(Modes.VS)), True),
        (lambda add: add([BREAKPOINT], bound=Bound(Modes.VU | Modes.S)), False),
        (lambda add: add([BREAKPOINT], bound=Bound(hgatp=0)), True),
        (lambda add: add([BREAKPOINT], bound=Bound(hgatp=hgatp)), False),
    ):
        catch: Callable[..., int]
        bare.hart.stops.clear()
        catch(bare.hart.stops.add_trap_catch)
        bare.load("ebreak")
        bare.enter("VS")
        assert bool(stops_in(bare, 2)) == stops


@pytest.mark.parametrize("budget", [1, 3, 100])
def test_a_csr(bare: Bare, budget: int) -> None:
    """It stops behind the instruction, for a plain CSR too; a write of the same value passes."""
    number = bare.hart.stops.add_csr_watch("sscratch")
    bare.load("nop\ncsrwi sscratch, 5\nnop\ncsrwi sscratch, 5\ncsrrsi x1, sscratch, 2\nj .".replace("j .", "end: j end"))
    steps = bare["steps"]
    assert stops_in(bare, 10, budget) == [
        (steps + 2, CsrStop(number, 0, 0x140, CODE + 4, "sscratch", 0, 5)),
        (steps + 5, CsrStop(number, 0, 0x140, CODE + 16, "sscratch", 5, 7)),
    ]


def test_fields_traps_and_returns(bare: Bare) -> None:
    """sstatus.SPP: a trap from S-mode sets it, sret clears it; SIE changes too and is not watched."""
    bare["medeleg"] = 1 << BREAKPOINT
    spp = next(f for f in ISA.csrs["sstatus"].fields if f.name == "SPP").mask
    number = bare.hart.stops.add_csr_watch("sstatus", spp)
    bare.load("csrr x1, sepc\naddi x1, x1, 4\ncsrw sepc, x1\nsret", HS_HANDLER)
    bare.load("csrsi sstatus, 2\nebreak\nend: j end")
    bare.enter("HS")
    steps = bare["steps"]
    seen = stops_in(bare, 12)
    assert [(at - steps, s.pc, s.new & spp) for at, s in seen if isinstance(s, CsrStop)] == [
        (2, CODE + 4, spp), (6, HS_HANDLER + 12, 0),
    ]  # fmt: skip
    assert {s.number for _, s in seen} == {number}


def test_several_things_at_once_are_said_one_after_the_other(bare: Bare) -> None:
    """A trap that is caught changes two CSRs that are watched: three stops, and one step."""
    trap = bare.hart.stops.add_trap_catch()
    csrs = [bare.hart.stops.add_csr_watch(name) for name in ("mepc", "mcause")]
    bare["mcause"] = 99
    bare.load("ebreak")
    steps = bare["steps"]
    assert [(at - steps, s.number) for at, s in stops_in(bare, 5)] == [(1, n) for n in (trap, *csrs)]
    assert bare["pc"] == HANDLER


def test_what_python_changes_stops_nothing(bare: Bare) -> None:
    bare.hart.stops.add_csr_watch("sscratch")
    bare.load("csrwi sscratch, 1\nend: j end")
    assert len(stops_in(bare, 5)) == 1
    bare["sscratch"] = 9
    assert stops_in(bare, 5) == []


@pytest.mark.parametrize("budget", [1, 100])
def test_floating_point_changes_its_flags_and_fs(bare: Bare, budget: int) -> None:
    bare.load(FLOAT.replace("j .", "end: j end"))
    bare["x1"], bare["x2"] = 3, BASE
    bare["mstatus"] = 1 << 13  # Initial
    stops = bare.hart.stops
    flags, fs = stops.add_csr_watch("fflags"), stops.add_csr_watch("mstatus", 3 << 13)
    steps = bare["steps"]
    seen = [(at - steps, s.number, s.pc - CODE) for at, s in stops_in(bare, 12, budget)]
    assert seen == [(1, fs, 0), (3, flags, 8), (5, flags, 16)]
    bare["mstatus"] = 1 << 13
    bare["pc"] = CODE + 20
    steps = bare["steps"]
    assert [(at - steps, s.number) for at, s in stops_in(bare, 3, budget)] == [(1, fs)]


def test_the_guest_does_not_notice(bare: Bare) -> None:
    twin = Bare()
    for one in (bare, twin):
        for at in (HANDLER, HS_HANDLER, VS_HANDLER):
            one.memory.write(at, bytes.fromhex("6f000000"))
        one["stvec"], one["vstvec"] = HS_HANDLER, VS_HANDLER
        one["medeleg"] = 1 << BREAKPOINT
        one.load("csrr x1, mepc\naddi x1, x1, 4\ncsrw mepc, x1\nmret", HANDLER)
        one.load("loop: csrrw x3, mscratch, x4\naddi x4, x4, 1\necall\nj loop")
    for name in ("mstatus", "mepc", "mscratch", "mcause"):
        bare.hart.stops.add_csr_watch(name)
    bare.hart.stops.add_trap_catch()
    assert len(stops_in(bare, 200)) > 50
    assert stops_in(twin, 200) == []
    assert machine(bare) == machine(twin)


def test_wrong_ones(bare: Bare) -> None:
    stops = bare.hart.stops
    for name in ("mip", "sip", "time", "minstret", "cycle", "nonsense"):
        with pytest.raises(ConfigError, match=name):
            stops.add_csr_watch(name)
    with pytest.raises(ConfigError, match="0x40"):
        stops.add_trap_catch([64])
    assert len(stops) == 0
