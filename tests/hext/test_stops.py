"""Breakpoints and watchpoints of the host: they stop before the instruction, once, and change nothing."""

from __future__ import annotations

import pytest

from rvhv.core.stop_table import MOST_STOPS, Access, Bound, Modes, Space, Stops
from rvhv.cpu.predecode import Special
from rvhv.cpu.state import CODE_STRIDE, FRAME_CODE, FRAME_WORDS, SLOT, Exit
from rvhv.errors import ConfigError
from tests.hext.bare import ASSEMBLER, BASE, CODE, HANDLER, Bare
from tests.hext.test_triggers import ACCESSES, DATA, MODES, machine_state

READ, WRITE, EXECUTE = Access.READ, Access.WRITE, Access.EXECUTE
SV39 = 8 << 60
RWXUAD = 0xDF
GVA, GPA = 0x4000_0000, 0x2000_0000  # where `guest` maps DATA
VS_ROOT, VS_MIDDLE, VS_LEAF = (BASE + 0x10000 + 0x1000 * i for i in range(3))
G_ROOT, G_MIDDLE, G_LEAF = BASE + 0x14000, BASE + 0x18000, BASE + 0x19000


@pytest.fixture
def bare() -> Bare:
    made = Bare()
    made["menvcfg"] = made["senvcfg"] = made["henvcfg"] = 0xF0
    made["mstatus"] = 3 << 13
    return made


def guest(bare: Bare) -> None:
    """VS-mode under Sv39 over Sv39x4: RAM at its own address, and the pages from DATA on at GVA, which is GPA."""
    put = bare.memory.write_u64
    put(VS_ROOT + 8 * (BASE >> 30), BASE >> 30 << 28 | RWXUAD & ~16)
    put(VS_ROOT + 8 * (GVA >> 30), VS_MIDDLE >> 2 | 1)
    put(VS_MIDDLE, VS_LEAF >> 2 | 1)
    put(G_ROOT + 8 * (BASE >> 30), BASE >> 30 << 28 | RWXUAD)
    put(G_ROOT, G_MIDDLE >> 2 | 1)
    put(G_MIDDLE + 8 * (GPA >> 21 & 511), G_LEAF >> 2 | 1)
    for page in range(8):
        put(VS_LEAF + 8 * page, GPA + 4096 * page >> 2 | RWXUAD & ~16)
        put(G_LEAF + 8 * page, DATA + 4096 * (page ^ 1) >> 2 | RWXUAD)  # neighbours are swapped
    bare["vsatp"], bare["hgatp"] = SV39 | VS_ROOT >> 12, SV39 | G_ROOT >> 12
    bare["vsstatus"] = 3 << 13
    bare.mode(1, 1)


def spa_of(gva: int) -> int:
    offset = gva - GVA
    return DATA + (offset ^ 0x1000)


def stops_once(bare: Bare, stop: tuple[int, Access, int]) -> None:
    """It stops with this number, kind and address before a step is made; the next run goes past it."""
    steps, pc = bare["steps"], bare["pc"]
    assert bare.hart.run(1) == Exit.STOP
    seen = bare.hart.stop
    assert (seen.number, seen.access, seen.address, seen.pc) == (*stop, pc)
    assert (bare["steps"], bare["pc"]) == (steps, pc)
    assert bare.hart.run(1) == Exit.BUDGET
    assert bare["steps"] == steps + 1
    assert bare["pc"] != pc


@pytest.mark.parametrize("space", list(Space))
@pytest.mark.parametrize("page_offset", [0x1100, 0x1FF8], ids=["inside", "at-the-end"])
@pytest.mark.parametrize("access", ACCESSES, ids=lambda a: a[0].split()[0] + str(a[1]))
def test_watchpoints(bare: Bare, access: tuple[str, int, int, int], page_offset: int, space: Space) -> None:
    """In a guest, whose virtual, guest physical and host addresses all differ; a crossing access by each of its parts."""
    text, offset, size, kinds = access
    guest(bare)
    x8 = GVA + (page_offset & -64 if size > 8 else page_offset)
    start = x8 + offset
    convert = {Space.VIRTUAL: lambda a: a, Space.GUEST_PHYSICAL: lambda a: a - GVA + GPA, Space.HOST_PHYSICAL: spa_of}[space]
    bytes_of = [convert(a) for a in range(start, start + size)]
    for kind in (READ, WRITE, READ | WRITE):
        for at in (start - 1, start, start + size // 2, start + size - 1, start + size):
            number = bare.hart.stops.add_watchpoint(convert(at), 1, kind, space=space)
            for _ in range(2):
                bare["x8"], bare["x9"], bare["reservation"] = x8, 7, SLOT["x0"]
                bare.mode(1, 1)
                bare.load(text)
                before = machine_state(bare)
                if convert(at) in bytes_of and kinds & kind:
                    crosses = space and (start & 4095) + size > 4096
                    second = crosses and at >> 12 != start >> 12
                    begins = convert(at & ~4095 if second else start)
                    assert bare.hart.run(1) == Exit.STOP
                    assert machine_state(bare) == before
                    assert (bare.hart.stop.access, bare.hart.stop.address) == (kind & kinds, begins)
                steps = bare["steps"]
                assert bare.hart.run(1) == Exit.BUDGET
                assert (bare["steps"], bare["v"]) == (steps + 1, 1)
            bare.hart.stops.remove(number)


def test_a_failing_instruction_of_a_watched_page_still_traps(bare: Bare) -> None:
    guest(bare)
    bare.memory.write_u64(VS_LEAF + 8, GPA + 4096 >> 2 | RWXUAD & ~(16 | 4))  # read-only
    number = bare.hart.stops.add_watchpoint(GVA + 0x1000, 8, WRITE)
    bare["x8"], bare["x9"] = GVA + 0x1000, 7
    for text, cause in (("ld x5, 0(x8)", 99), ("sd x9, 8(x8)", 15), ("sd x9, 0(x8)", 15), ("ld x5, 0(x8)", 99)):
        bare.mode(1, 1)
        bare.load(text)
        bare["mcause"] = 99
        if "0(x8)" in text and text[0] == "s":
            assert bare.hart.run(1) == Exit.STOP
            assert bare.hart.stop.number == number
        bare.hart.run(1)
        assert bare["mcause"] == cause


def test_what_is_withdrawn_from_a_frame_gives_nothing_to_a_watched_page(bare: Bare) -> None:
    """A read-only page that is its own guest physical and host page, watched; then its frame gets a flag."""
    guest(bare)
    bare.memory.write_u64(VS_ROOT + 8 * (BASE >> 30), BASE >> 30 << 28 | RWXUAD & ~(16 | 4))
    bare.hart.stops.add_watchpoint(DATA + 64, 1, READ, space=Space.GUEST_PHYSICAL)
    bare["x8"] = DATA
    bare.load("ld x5, 0(x8)")
    bare.hart.run(1)
    bare.hart.watch(DATA)
    assert bare.one("sd x5, 0(x8)") == 15


def test_hlv_and_hsv(bare: Bare) -> None:
    """A hypervisor's accesses on behalf of its guest, by every address."""
    guest(bare)
    bare.mode(3, 0)
    bare["hstatus"] = 1 << 8
    bare["x8"] = GVA + 0x10
    for space, address in ((0, GVA + 0x13), (Space.GUEST_PHYSICAL, GPA + 0x13), (Space.HOST_PHYSICAL, spa_of(GVA + 0x13))):
        number = bare.hart.stops.add_watchpoint(address, 1, READ | WRITE, space=Space(space))
        for text, kind in (("hlv.w x5, (x8)", READ), ("hlvx.wu x5, (x8)", READ), ("hsv.w x9, (x8)", WRITE)):
            bare.load(text)
            stops_once(bare, (number, kind, address - 3))
        bare.hart.stops.remove(number)


@pytest.mark.parametrize("of", MODES)
def test_modes(bare: Bare, of: str) -> None:
    bare.hart.stops.add_breakpoint(CODE, Bound(Modes[of]))
    bare.hart.stops.add_watchpoint(DATA, 8, READ, bound=Bound(Modes[of]))
    for _ in range(2):
        for name, mode in MODES.items():
            bare.mode(*mode)
            bare["x8"] = DATA
            bare.load("lw x5, 0(x8)")
            codes = [bare.hart.run(1) for _ in range(3)] if name == of else [bare.hart.run(1)]
            assert codes == ([Exit.STOP, Exit.STOP, Exit.BUDGET] if name == of else [Exit.BUDGET]), name


def test_bound_to_an_address_space(bare: Bare) -> None:
    """By hgatp and vsatp: the same addresses of others do not stop, whatever was cached before."""
    guest(bare)
    vsatp, hgatp = bare["vsatp"], bare["hgatp"]
    stops = bare.hart.stops
    execution = stops.add_breakpoint(CODE, Bound(hgatp=hgatp, atp=vsatp))
    data = stops.add_watchpoint(DATA, 8, READ, bound=Bound(hgatp=hgatp, atp=vsatp))
    for _ in range(2):
        for mode, other_g, other_vs in ((1, 0, 0), (1, 1 << 44, 0), (1, 0, 1 << 44), (3, 0, 0)):
            bare.mode(mode, int(mode == 1))
            bare["hgatp"], bare["vsatp"], bare["x8"] = hgatp | other_g, vsatp | other_vs, DATA
            bare.load("lw x5, 0(x8)")
            seen = []
            while bare.hart.run(1) == Exit.STOP:
                seen.append(bare.hart.stop.number)
            assert seen == ([] if mode == 3 or other_g or other_vs else [execution, data])
    bare["satp"] = 0
    stops.clear()
    number = stops.add_breakpoint(CODE, Bound(atp=SV39 | VS_ROOT >> 12))
    bare["satp"] = SV39 | VS_ROOT >> 12
    bare.load("nop")
    bare.mode(3)
    assert bare.hart.run(1) == Exit.BUDGET  # M-mode is in no address space
    bare.load("nop")
    bare.mode(1)
    stops_once(bare, (number, EXECUTE, CODE))


def run_past(bare: Bare, start: int, target: int | None) -> None:
    """The program of `test_breakpoints`, which stops once, at `target`."""
    bare["pc"], bare["x5"], bare["x6"] = start, 0, 0
    if target is not None:
        assert bare.hart.run(6) == Exit.STOP
        assert (bare["pc"], bare.hart.stop.address) == (target, target)
    assert bare.hart.run(6) == Exit.BUDGET
    assert (bare["x5"], bare["x6"]) == (15, 3)


@pytest.mark.parametrize("offset", [-6, -2, 2, 6, 8, 10])
@pytest.mark.parametrize("decoded", [False, True])
def test_breakpoints(bare: Bare, offset: int, decoded: bool) -> None:
    """Long and compressed instructions, and one that lies on two pages; in code that was decoded before, and not."""
    page = CODE + 0x1000
    program = "addi x6, x6, 1\naddi x6, x6, 2\naddi x5, x5, 1\nc.addi x5, 2\nc.addi x5, 4\naddi x5, x5, 8\nhalt: j halt"
    bare.load(program, page - 6)
    if decoded:
        run_past(bare, page - 6, None)
    for _ in range(2):
        number = bare.hart.stops.add_breakpoint(page + offset)
        run_past(bare, page - 6, page + offset)
        run_past(bare, page - 6, page + offset)
        bare.hart.stops.remove(number)
        run_past(bare, page - 6, None)


def test_a_breakpoint_outlives_the_code_it_is_on(bare: Bare) -> None:
    """Stores over it, of the guest and of Python; and code that was given up."""
    bare.load("sw x6, 8(x7)\nnop\naddi x5, x5, 1\nhalt: j halt")
    bare["x7"], bare["x6"] = CODE, ASSEMBLER.assemble("addi x5, x5, 16")
    number = bare.hart.stops.add_breakpoint(CODE + 8)
    for write in (lambda: None, lambda: bare.memory.write(CODE + 8, b"\x93\x82\x02\x10"), bare.hart.flush):
        bare["pc"] = CODE
        assert bare.hart.run(2) == Exit.BUDGET
        write()
        stops_once(bare, (number, EXECUTE, CODE + 8))
    assert bare["x5"] == 16 + 256 + 16


def test_a_breakpoint_where_nothing_is(bare: Bare) -> None:
    number = bare.hart.stops.add_breakpoint(0x1000)
    bare["pc"] = 0x1000
    bare["mcause"] = 99
    stops_once(bare, (number, EXECUTE, 0x1000))
    assert (bare["mcause"], bare["mepc"], bare["pc"]) == (1, 0x1000, HANDLER)


def test_it_stops_again_when_it_comes_again(bare: Bare) -> None:
    """A loop; and an instruction that jumps to itself is a new one each time."""
    bare.load("loop: addi x5, x5, 1\nj loop")
    bare.hart.stops.add_breakpoint(CODE)
    for n in range(5):
        assert bare.hart.run(1000) == Exit.STOP
        assert bare["x5"] == n
    bare.load("loop: j loop")
    before = bare["steps"]
    for n in range(5):
        assert bare.hart.run(1000) == Exit.STOP
        assert bare["steps"] == before + 1 + n  # the first one passes: it is where the hart stopped last


def test_who_moves_pc_away_and_back_does_not_fall_through(bare: Bare) -> None:
    bare.load("nop\nnop\nnop")
    bare.hart.stops.add_breakpoint(CODE)
    bare.hart.stops.add_breakpoint(CODE + 4)
    assert bare.hart.run(1) == Exit.STOP
    bare["pc"] = CODE + 4
    assert bare.hart.run(1) == Exit.STOP
    assert bare.hart.stop.pc == CODE + 4


def test_an_interrupt_before_the_instruction_is_taken_first(bare: Bare) -> None:
    bare.load("nop")
    bare.hart.stops.add_breakpoint(CODE)
    assert bare.hart.run(1) == Exit.STOP
    bare["mie"] = bare.state[SLOT["irq_lines"]] = 1 << 11
    bare.state[SLOT["irq_lines"]] = 1 << 11
    bare["mstatus"] = 1 << 3
    bare.hart.run(1)
    assert bare["mcause"] == 1 << 63 | 11
    bare.hart.mret()
    bare.state[SLOT["irq_lines"]] = 0
    assert bare.hart.run(1) == Exit.STOP


def test_a_device_is_accessed_once(bare: Bare) -> None:
    bare.state[SLOT["bus"]] = 1
    bare.hart.stops.add_breakpoint(CODE)
    number = bare.hart.stops.add_watchpoint(0x1000_0000, 4, READ, space=Space.HOST_PHYSICAL)
    bare["x8"] = 0x1000_0000
    bare.load("lw x5, 0(x8)")
    assert [bare.hart.run(9) for _ in range(3)] == [Exit.STOP, Exit.STOP, Exit.MMIO]
    assert bare.hart.stop.number == number
    bare.hart.stops.add_watchpoint(0x1000_0000, 4, READ)  # while the device is at it
    assert bare.hart.complete_load(77) == Exit.BUDGET
    assert bare["x5"] == 77


def test_execution_stops_are_announced(bare: Bare) -> None:
    """What translators look at: the predecoded word says that somebody must look, and an epoch moves with each change."""
    bare.load("nop\nhalt: j halt")
    bare.hart.run(3)
    epochs = [bare["exec_epoch"]]
    number = bare.hart.stops.add_breakpoint(CODE + 4)
    assert [bare.hart.run(1) for _ in range(2)] == [Exit.STOP, Exit.BUDGET]
    epochs.append(bare["exec_epoch"])
    frames, code = bare.memory.frames.view, bare.memory.code.view
    base = (frames[(CODE - BASE) // 4096 * FRAME_WORDS + FRAME_CODE] - 1) * CODE_STRIDE
    assert [code[base + i] == Special.STOP for i in range(4)] == [False, False, True, False]
    bare.hart.stops.add_watchpoint(DATA)
    bare.hart.stops.remove(number)
    bare.hart.run(1)
    epochs.append(bare["exec_epoch"])
    assert len(set(epochs)) == 3
    bare.hart.stops.clear()
    bare.hart.run(1)
    assert bare["exec_epoch"] == epochs[-1]


def test_bad_input() -> None:
    stops = Stops()
    for call in (
        lambda: stops.add_breakpoint(0x1001),
        lambda: stops.add_breakpoint(1 << 64),
        lambda: stops.add_watchpoint(-1),
        lambda: stops.add_watchpoint(0, 0),
        lambda: stops.add_watchpoint((1 << 64) - 1, 2),
        lambda: stops.add_watchpoint(0, 1, Access.EXECUTE),
        lambda: stops.add_watchpoint(0, 1, Access(0)),
        lambda: stops.remove(1),
    ):
        with pytest.raises(ConfigError):
            call()
    for i in range(MOST_STOPS):
        stops.add_breakpoint(2 * i)
    with pytest.raises(ConfigError):
        stops.add_breakpoint(0)
    stops.remove(MOST_STOPS)
    stops.add_breakpoint(0)
