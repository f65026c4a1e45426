"""Which blocks a region has, which registers have variables in them, and when a page's regions become one."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import llvmlite.binding as llvm
import pytest

from rvhv.core.memory import PAGE, Memory
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.hart import Hart
from rvhv.isa.render.asm import Assembler
from rvhv.jit import cache, engine, lull, translate
from rvhv.jit.engine import MOST_UNITED, Engine
from rvhv.jit.form import Region, form
from rvhv.jit.job import Job, spec_of
from rvhv.jit.liveness import MOST_VARIABLES, live_at_starts, variables
from rvhv.jit.work import work

BASE = 0x8000_0000
ASM = Assembler(ISA)
TLB_BITS = 3
PATIENCE = 30  # seconds until a region must have come

# a loop and a function that only a register leads to
CALLS = """
    la   x10, function
again:
    addi x6, x6, 1
    jalr x1, 0(x10)
    j    again
    .balign 512
function:
    xor  x7, x7, x6
    addi x8, x8, 3
    jalr x0, 0(x1)
"""


def page(source: str) -> bytes:
    return ASM.program(source, BASE).ljust(PAGE, b"\0")


def formed(source: str, *starts: int, hints: tuple[int, ...] = ()) -> Region:
    region = form(page(source), starts, hints)
    assert region is not None
    return region


def test_a_hint_that_is_reached_splits_no_block() -> None:
    straight = "addi x5, x5, 1; addi x5, x5, 2; addi x5, x5, 3; ebreak"
    assert formed(straight, 0, hints=(4, 8)).blocks.keys() == formed(straight, 0).blocks.keys()
    assert formed(straight, 0, hints=(4, 8)).entries == (0,)


def test_a_hint_that_is_not_reached_is_an_entry_and_those_behind_it_are_not() -> None:
    straight = "addi x5, x5, 1; addi x5, x5, 2; addi x5, x5, 3; ebreak"
    assert formed(straight, hints=(4, 8)).entries == (4,)
    assert 0 not in formed(straight, 4, hints=(8,)).blocks


def test_a_hint_in_a_loop_does_not_take_the_place_of_its_head() -> None:
    loop = "loop: addi x5, x5, 1; addi x6, x6, 1; bnez x5, loop; ebreak"
    assert formed(loop, hints=(4,)).entries == (4,)
    assert formed(loop, 0, hints=(4,)).entries == (0,)


MANY = "; ".join(f"addi x{r}, x{r}, 1" for r in range(8, 28))


def test_each_loop_has_variables_for_its_own_registers() -> None:
    region = formed(f"one: addi x5, x5, 1; addi x6, x6, 1; bnez x5, one; {MANY}; two: addi x28, x29, 1; bnez x28, two; ebreak", 0)
    held = variables(region)
    one, two = min(region.blocks), max(at for at, block in region.blocks.items() if at in block.successors)
    assert {"x5", "x6"} <= held[one]
    assert {"x28", "x29"} <= held[two]
    assert all(sum(r[0] == file for r in there) <= most for there in held.values() for file, most in MOST_VARIABLES.items())
    assert "x29" in live_at_starts(region)[one]


def hart_with(source: str, tier: str) -> Hart:
    memory = Memory(64 * PAGE, BASE)
    memory.write(BASE, page(source))
    hart = Hart(memory, tlb_bits=TLB_BITS, tier=tier)
    hart.open_pmp()
    hart.state[SLOT["pc"]] = BASE
    return hart


def engine_of(hart: Hart) -> Engine:
    assert isinstance(hart.engine, Engine)
    return hart.engine


def run_until(hart: Hart, done: Callable[[Engine], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done(engine_of(hart)):
        assert time.monotonic() < end
        hart.run(1_000_000)


def is_united(translator: Engine) -> bool:
    return any(spec.most == MOST_UNITED for code in translator._frames.values() for spec in code.specs)


@pytest.mark.usefixtures("own_cache")
def test_regions_of_a_page_become_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a lull; what later runs are told of the page is this region only."""
    monkeypatch.setattr(engine, "WORTH_A_WORKER", 1)
    hart, plain = hart_with(CALLS, "auto"), hart_with(CALLS, "interp")
    run_until(hart, is_united)
    (frame,) = engine_of(hart)._frames.values()
    assert frame.united == len(frame.specs) == 1
    entries = hart.state[SLOT["region_entries"]]
    hart.run(50_000_001)
    assert hart.state[SLOT["region_entries"]] - entries < 5_000, "the call does not stay in the region"
    for h in (hart, plain):
        for n in range(5, 9):
            h.state[n] = 0
        h.state[SLOT["pc"]] = BASE
        h.run(1_000_003)
    assert list(hart.state[:32]) == list(plain.state[:32])
    assert hart.state[SLOT["pc"]] == plain.state[SLOT["pc"]]
    engine_of(hart).close()


@pytest.mark.usefixtures("own_cache")
def test_what_an_earlier_run_left_apart_becomes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Though hardly anything is hot any more that was not translated then."""
    objects, code = cache.ObjectCache(), page(CALLS)
    specs = []
    for start, stops in ((8, ()), (512, (8,))):
        job = Job(1, 0, code, (start,), TLB_BITS, (), stops)
        specs.append(spec_of(job, work(job, objects)))
    objects.remember(code, TLB_BITS, specs)
    monkeypatch.setattr(engine, "WORTH_A_WORKER", 1_000)
    hart = hart_with(CALLS, "auto")
    run_until(hart, is_united)
    engine_of(hart).close()


def test_a_lull_begins_anew_with_each_disturbance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lull, "LONG_ENOUGH", 0.05)
    told = []
    waiting = lull.Lull(lambda: told.append(waiting.now))
    waiting.watch()
    waiting.watch()
    time.sleep(0.03)
    waiting.disturb()
    time.sleep(0.2)
    assert told == [False], "it was told once, and too early to act"
    waiting.watch()
    time.sleep(0.2)
    assert told == [False, True]
    waiting.watch()
    waiting.end()
    time.sleep(0.1)
    assert len(told) == 2


# -- the other platforms

X86, ARM = r"\bjmpq\s+\*", r"\bbr\s+x\d"  # a jump through a register
PLATFORMS = {
    "x86_64-unknown-linux-gnu": X86,
    "x86_64-apple-darwin": X86,
    "x86_64-pc-windows-msvc": X86,
    "aarch64-unknown-linux-gnu": ARM,
    "aarch64-apple-darwin": ARM,
    "aarch64-pc-windows-msvc": ARM,
}
EVERYTHING = "ld x5, 0(x6); sd x5, 8(x6); fadd.d f1, f2, f3; fsqrt.d f4, f1; amoadd.d x7, x5, (x6); csrr x8, time; jr x9"


@pytest.mark.parametrize("triple", PLATFORMS)
def test_every_platform_can_compile_a_region(triple: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With what takes assistance; and the dispatch at its end is a jump: regions that called each other would fill the stack."""
    windows = "windows" in triple
    monkeypatch.setattr(translate, "CONVENTION", "" if windows else "preserve_nonecc")
    monkeypatch.setattr(translate, "ASSIST_CONVENTION", "" if windows else "preserve_mostcc")
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    machine = llvm.Target.from_triple(triple).create_target_machine(opt=1, reloc="pic", jit=True)
    module = llvm.parse_assembly(translate.translate(formed(EVERYTHING, 0), TLB_BITS))
    module.triple = triple
    assert machine.emit_object(module)
    assert re.search(PLATFORMS[triple], machine.emit_assembly(module))
