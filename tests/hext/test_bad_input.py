"""Nonsense in any CSR, hgatp outside memory, looping and reserved PTEs, page tables in MMIO: the fault that the manual says, the
same in every run, and never a crash or a hang."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_NAMES, SLOT, Exit
from tests.hext.bare import ASSEMBLER, BASE, CODE, HS_HANDLER, MASK64, MODES, VS_HANDLER, Bare
from tests.hext.tables import ALL, DATA, GVA, PAGE, USER_ALL, TwoStage, V
from tests.hext.walker import Guest, R, Refused, W

SIZE = 1 << 18  # bytes of RAM
RAM = range(BASE, BASE + SIZE)
UART = 0x1000_0000  # an address outside RAM, where a device may be
FRAMES = [BASE + 0x10000 + PAGE * n for n in range(8)]  # tables: the first four may be a G-stage's root
INDICES = (0, 1, 2, 511, 2047)  # of the entries that are not zero

nonsense = st.one_of(
    st.integers(0, MASK64),
    st.sampled_from([0, MASK64, 1 << 63, (1 << 44) - 1, *(mode << 60 | BASE + 0x10000 >> 12 for mode in range(16))]),
    st.builds(lambda mode, ppn: mode << 60 | ppn, st.integers(0, 15), st.integers(0, (1 << 44) - 1)),
)
# where a PTE may point: to a table (its own one included), into the handlers, outside RAM, beyond any address
target = st.one_of(
    st.sampled_from(FRAMES),
    st.sampled_from([0, UART, 1 << 40, RAM.stop, RAM.stop - PAGE, BASE]),
    st.integers(0, (1 << 44) - 1).map(lambda n: n << 12),
)
pte = st.one_of(
    target.map(lambda t: t >> 2 | V),
    st.builds(lambda t, flags: t >> 2 & (1 << 54) - 1 | flags, target, st.integers(0, 255)),
    st.builds(
        lambda t, flags, high: t >> 2 & (1 << 54) - 1 | flags | high << 54, target, st.integers(0, 255), st.integers(0, 1023)
    ),
    st.integers(0, MASK64),
)
tables = st.dictionaries(
    st.builds(lambda frame, index: frame + 8 * (index & 511), st.sampled_from(FRAMES), st.sampled_from(INDICES)), pte, max_size=24
)
atp = st.one_of(
    st.builds(lambda mode, frame: mode << 60 | frame >> 12, st.sampled_from([0, 8, 9, 10]), st.sampled_from(FRAMES)),
    st.builds(lambda mode, t: mode << 60 | t >> 12, st.sampled_from([8, 9, 10]), target),
)
gva = st.one_of(
    st.lists(st.sampled_from(INDICES), min_size=5, max_size=5).map(
        lambda path: sum((index & 511) << 12 + 9 * level for level, index in enumerate(path)) & MASK64
    ),
    st.lists(st.sampled_from((0, 1, 2)), min_size=3, max_size=3).map(lambda p: sum(i << 12 + 9 * n for n, i in enumerate(p)) | 5),
    target,
    st.integers(0, MASK64),
)


@pytest.mark.boundscheck
@settings(max_examples=200, deadline=None)
@given(tables, atp, atp, gva, *[st.booleans()] * 4)
@example({}, 0, 8 << 60 | 1 << 43, 0, False, False, False, False)
@example({FRAMES[0]: FRAMES[0] >> 2 | V}, 10 << 60 | FRAMES[0] >> 12, 0, 0, True, False, True, True)
@example({FRAMES[0]: UART >> 2 | V}, 0, 8 << 60 | FRAMES[0] >> 12, 0, False, True, True, False)
def test_the_fault_is_the_specified_one(
    words: dict[int, int], vsatp: int, hgatp: int, address: int, store: bool, user: bool, bus: bool, adue: bool
) -> None:
    """Any tables under any roots, against the walker written from the manual; with a bus the access itself may leave
    for a device."""
    bare = Bare(SIZE)
    bare.state[SLOT["bus"]] = bus
    for at, word in words.items():
        bare.memory.write_u64(at, word)
    bare["vsatp"], bare["hgatp"] = vsatp, hgatp
    bare["menvcfg"] = bare["henvcfg"] = adue << 61
    bare["hstatus"] = 0 if user else 1 << 8
    guest = Guest(dict(words), RAM, vsatp=bare["vsatp"], hgatp=bare["hgatp"], user=user, g_adue=adue, vs_adue=adue)
    bare["x11"] = address
    bare.load("hsv.b a0, (a1)" if store else "hlv.b a0, (a1)")
    bare["mcause"] = 99
    left = bare.hart.run(1)
    try:
        spa = guest.translate(address, W if store else R)
    except Refused as refused:
        if left == Exit.MMIO:
            assert bus and refused.cause in (5, 7) and not refused.gpa
            return
        word = bare.word() & ~(31 << 15)
        tinst = (refused.pseudo or word) if refused.cause in (21, 23) else 0
        assert (bare["mcause"], bare["mtval"], bare["mtval2"], bare["mtinst"]) == (
            refused.cause,
            address,
            refused.gpa >> 2,
            tinst,
        )
        assert bare["steps"] == 1
    else:
        assert (left, bare["mcause"]) == (Exit.BUDGET, 99)
        if store and spa not in range(FRAMES[0], FRAMES[-1] + PAGE) and spa not in range(CODE, CODE + 4):
            assert all(bare.memory.read_u64(at) == pte for at, pte in guest.words.items())


@pytest.mark.parametrize("what", ["vs root", "vs leaf", "g root", "g leaf"])
@pytest.mark.parametrize(("text", "cause"), [("hlv.d a0, (a1)", 5), ("hsv.d a0, (a1)", 7), ("hlvx.hu a0, (a1)", 5)])
def test_page_tables_in_mmio(bare: Bare, what: str, text: str, cause: int) -> None:
    """A walk does not go to devices: an access fault, with the original address, where a bus answers too."""
    bare.state[SLOT["bus"]] = 1
    guest = TwoStage(bare)
    assert guest.vs is not None
    guest.g.map(UART, UART)
    match what:
        case "vs root":
            bare["vsatp"] = 8 << 60 | UART >> 12
        case "vs leaf":
            guest.vs.put(guest.vs.entry(GVA, 1), UART >> 2 | V)
        case "g root":
            bare["hgatp"] = 8 << 60 | UART >> 12
        case _:
            guest.g.put(guest.g.entry(DATA, 1), UART >> 2 | V)
    bare["x11"] = GVA
    assert bare.csr("HS", text) == cause
    assert (bare["mtval"], bare["mtval2"], bare["mtinst"], bare.field("mstatus", "GVA")) == (GVA, 0, 0, 1)


@pytest.mark.parametrize("mode", [8, 9, 10])
@pytest.mark.parametrize("stage", ["vs", "g"])
def test_tables_that_point_to_themselves(bare: Bare, mode: int, stage: str) -> None:
    """A walk ends after its levels: the last pointer is no leaf, and that is a page fault of its stage."""
    root = BASE + 0x10000
    for index in range(512):
        bare.memory.write_u64(root + 8 * index, root >> 2 | V)
    bare["vsatp" if stage == "vs" else "hgatp"] = mode << 60 | root >> 12
    bare["x11"] = 0x1234_5678
    assert bare.csr("HS", "hlv.d a0, (a1)") == (13 if stage == "vs" else 21)


def test_a_guest_that_cannot_even_fetch_its_handler(bare: Bare) -> None:
    """Traps without an instruction between them: run() says so instead of never coming back."""
    bare.delegate()
    bare["hedeleg"], bare["vstvec"] = MASK64, 0
    bare["hgatp"] = 0
    bare.enter("VS")
    bare["pc"] = 0
    assert bare.hart.run(1_000_000) == Exit.TRAP_LOOP


# ---- programs that write nonsense everywhere

WRITABLE = [row.name for row in ISA.csrs.values() if not row.read_only]
instruction = st.one_of(
    st.builds(lambda op, csr, source: f"{op} a5, {csr}, {source}", st.sampled_from(["csrrw", "csrrs", "csrrc"]),
              st.sampled_from(WRITABLE), st.sampled_from(["s2", "s3", "s4", "s5"])),
    st.builds(lambda csr, n: f"csrrwi a5, {csr}, {n}", st.sampled_from(WRITABLE), st.integers(0, 31)),
    st.builds(lambda op, r: f"{op} a5, ({r})", st.sampled_from(["hlv.d", "hlvx.wu", "hsv.d", "lr.w", "hsv.b"]),
              st.sampled_from(["s2", "s3", "s4", "s5"])),
    st.builds(lambda op, r: f"{op} a5, 0({r})", st.sampled_from(["ld", "sd", "lb"]), st.sampled_from(["s2", "s3", "s4", "s5"])),
    st.sampled_from(["sret", "mret", "ecall", "ebreak", "wfi", "hfence.gvma x0, x0", "sfence.vma x0, x0", "nop"]),
)  # fmt: skip


@dataclass(frozen=True)
class Start:
    mode: str
    program: list[str]
    handler: list[str]
    registers: list[int]
    csrs: dict[str, int]
    words: dict[int, int]


starts = st.builds(
    Start,
    mode=st.sampled_from(sorted(MODES)),
    program=st.lists(instruction, min_size=1, max_size=12),
    handler=st.lists(instruction, max_size=4),
    registers=st.lists(st.one_of(nonsense, target, gva), min_size=4, max_size=4),
    csrs=st.dictionaries(st.sampled_from(WRITABLE), nonsense, max_size=10),
    words=tables,
)


def outcome(start: Start, budgets: list[int], tlb_bits: int) -> tuple[object, ...]:
    """Everything that the architecture keeps, after 400 steps or the first thing that ends a run."""
    bare = Bare(SIZE, tlb_bits=tlb_bits)
    state = bare.state
    for at, word in start.words.items():
        bare.memory.write_u64(at, word)
    for at in (BASE + 0x100, HS_HANDLER, VS_HANDLER):
        bare.memory.write(
            at, ASSEMBLER.program("\n".join([*start.handler, "csrr t0, mepc", "addi t0, t0, 4", "csrw mepc, t0", "mret"]), at)
        )
    bare.memory.write(CODE, ASSEMBLER.program("\n".join([*start.program, "j ."]), CODE))
    bare["stvec"], bare["vstvec"] = HS_HANDLER, VS_HANDLER
    for name, value in start.csrs.items():
        bare[name] = value
    for name, value in zip(("x18", "x19", "x20", "x21"), start.registers, strict=True):
        state[SLOT[name]] = value
    bare.enter(start.mode)
    bare["pc"] = CODE
    exits, turn = [], 0
    while state[SLOT["steps"]] < 400:
        left = bare.hart.run(min(budgets[turn % len(budgets)], 400 - state[SLOT["steps"]]))
        turn += 1
        if left == Exit.TRACE_FULL:
            bare.hart.drain_trace()
        elif left != Exit.BUDGET:
            exits.append((left, state[SLOT["steps"]]))
            if left == Exit.TRAP_LOOP or len(exits) > 20:
                break
    return exits, [state[SLOT[name]] for name in ARCH_NAMES if name != "x_sink"], bare.memory.read(BASE, SIZE)


@pytest.mark.boundscheck
@settings(max_examples=120, deadline=None)
@given(start=starts)
def test_nonsense_is_deterministic(start: Start) -> None:
    """In one run, in steps of one and in uneven ones, with a TLB of two entries and one of 256: the same to the last bit."""
    whole = outcome(start, [400], 8)
    assert outcome(start, [1], 1) == whole
    assert outcome(start, [3, 1, 50], 4) == whole


@settings(max_examples=30, deadline=None)
@given(values=st.dictionaries(st.sampled_from(WRITABLE), nonsense))
def test_a_csr_reads_back_what_it_keeps(values: dict[str, int]) -> None:
    """WARL: what a register reads after any write is a value that it keeps when written again, whatever the others hold."""
    bare = Bare(1 << 16)
    values.pop("minstret", None)  # one ahead of what is written: the write itself retires
    for name, value in values.items():
        bare[name] = value
        legal = bare[name]
        bare[name] = legal
        assert bare[name] == legal, name


def test_a_leaf_that_maps_the_tables_themselves(bare: Bare) -> None:
    """A guest that rewrites its own PTE through itself: the next access sees it."""
    guest = TwoStage(bare)
    assert guest.vs is not None
    place = guest.vs.entry(GVA)
    guest.vs.map(GVA + PAGE, place & -PAGE, ALL)
    guest.g.map(place & -PAGE, place & -PAGE, USER_ALL)
    bare.enter("VS")
    bare["x11"], bare["x12"], bare["mcause"] = GVA, GVA + PAGE + (place & PAGE - 1), 99
    bare.load("ld a0, 0(a1)\nsd x0, 0(a2)\nld a0, 0(a1)")
    bare.hart.run(3)
    assert (bare["mcause"], bare["mtval"], bare["mepc"]) == (13, GVA, CODE + 8)
