"""The translator's engine: what becomes of a run when its process, its cache or the guest misbehaves."""

from __future__ import annotations

import errno
import gc
import logging
import os
import random
import signal
import subprocess
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rvhv.core.memory import PAGE, Memory
from rvhv.core.registry import ISA
from rvhv.cpu.state import CODE_ENTRIES, HEAT_NEVER, LEAST_ENTRY, SLOT
from rvhv.hart import Hart
from rvhv.isa.render.asm import Assembler
from rvhv.jit import engine, frame_code, worker
from rvhv.jit import work as engine_work
from rvhv.jit.cache import ObjectCache
from rvhv.jit.engine import Engine
from rvhv.jit.frame_code import FrameCode
from rvhv.jit.job import Job, Result
from rvhv.jit.work import work

BASE = 0x8000_0000
ASM = Assembler(ISA)
LOOP = ASM.program("loop: addi x5, x5, 1; xor x6, x6, x5; j loop", BASE)
STEPS = 400_000
PATIENCE = 30  # seconds until a process must have answered


def make_hart(tier: str, code: bytes = LOOP, size: int = 64 * PAGE) -> Hart:
    memory = Memory(size, BASE)
    memory.write(BASE, code)
    hart = Hart(memory, tier=tier)
    hart.open_pmp()
    return hart


def engine_of(hart: Hart) -> Engine:
    assert hart.engine is not None
    return hart.engine


def region_steps(hart: Hart) -> int:
    return hart.state[SLOT["region_steps"]]


def registers(hart: Hart) -> list[int]:
    return list(hart.state[:32]) + [hart.state[SLOT["pc"]], hart.state[SLOT["steps"]]]


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process is worth it at once."""
    monkeypatch.setattr(engine, "WORTH_A_WORKER", 1)
    yield
    gc.collect()


def run_until(hart: Hart, condition: str) -> bool:
    """Run until regions run ("regions") or the worker was given up ("dead")."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        hart.run(STEPS)
        if region_steps(hart) if condition == "regions" else isinstance(engine_of(hart)._worker, worker.NoWorker):
            return True
    return False


# -- the process


@pytest.mark.usefixtures("eager", "own_cache")
def test_a_worker_that_is_killed(caplog: pytest.LogCaptureFixture) -> None:
    """The guest goes on, with what is translated already and the interpreter; it is said once."""
    hart, plain = make_hart("auto"), make_hart("interp")
    assert run_until(hart, "regions")
    with caplog.at_level(logging.WARNING):
        os.kill(engine_of(hart)._worker._process.pid, signal.SIGKILL)
        assert run_until(hart, "dead")
        for _ in range(5):  # more that is hot, and nobody to ask
            hart.memory.write(BASE + 0x100, LOOP)
            hart.run(STEPS)
    assert [r.message for r in caplog.records] == ["no process for the translator (its process ended): guests are interpreted"]
    steps = hart.state[SLOT["steps"]]
    plain.memory.write(BASE + 0x100, LOOP)
    plain.run(steps)
    assert registers(plain) == registers(hart)


@pytest.mark.usefixtures("eager", "own_cache")
def test_no_process_can_be_started(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(*args: object, **options: object) -> None:
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    hart, plain = make_hart("auto"), make_hart("interp")
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert hart.run(STEPS) == plain.run(STEPS)
    assert registers(hart) == registers(plain)
    assert len(caplog.records) == 1


@pytest.mark.usefixtures("eager", "own_cache")
def test_a_machine_that_is_gone_leaves_no_process() -> None:
    hart = make_hart("auto")
    assert run_until(hart, "regions")
    process = engine_of(hart)._worker._process
    del hart
    gc.collect()
    assert process.poll() is not None


@pytest.mark.usefixtures("eager", "own_cache")
def test_the_worker_makes_what_the_process_itself_makes() -> None:
    """Tier auto in the end runs the loop in regions, and with the interpreter's result."""
    hart, plain = make_hart("auto"), make_hart("interp")
    assert run_until(hart, "regions")
    plain.run(hart.state[SLOT["steps"]])
    assert registers(hart) == registers(plain)


class InProcess:
    """In place of a worker: does each job at once, in this process."""

    dead = False

    def __init__(self, ready: object) -> None:
        self.results: deque[Result] = deque()

    def send(self, job: Job) -> None:
        self.results.append(work(job, ObjectCache()))

    def take(self) -> Result | None:
        return self.results.popleft() if self.results else None

    def close(self) -> None: ...


@pytest.mark.usefixtures("eager", "own_cache")
def test_a_result_of_another_job_is_not_taken_for_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Confused(InProcess):
        def send(self, job: Job) -> None:
            other = replace(job, number=job.number + 1000, page=bytes(PAGE))
            super().send(other)
            super().send(job)
            super().send(other)

    monkeypatch.setattr(worker, "Worker", Confused)
    hart = make_hart("auto")
    assert run_until(hart, "regions")


@pytest.mark.usefixtures("own_cache")
@pytest.mark.parametrize("length", [1, 2, 4, 7])
def test_one_short_loop_is_worth_a_process_when_it_goes_on(length: int) -> None:
    """It is one place or a few, and told once."""
    hart = make_hart("auto", ASM.program("loop: " + "addi x5, x5, 1\n" * (length - 1) + "j loop", BASE))
    assert run_until(hart, "regions")
    engine_of(hart).close()


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_was_refused_is_translated_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frame_code, "MOST_OF_A_FRAME", 1)
    hart = make_hart("auto")
    assert run_until(hart, "regions")
    other = ASM.program("loop: addi x7, x7, 1; sub x6, x6, x7; j loop", BASE)
    hart.memory.write(BASE, other)
    hart.state[SLOT["pc"]] = BASE
    before = region_steps(hart)
    monkeypatch.setattr(frame_code, "STEPS_A_TRANSLATION", 1 << 40)
    end = time.monotonic() + 1
    while time.monotonic() < end:
        hart.run(STEPS)
    assert engine_of(hart).statistics.refused and region_steps(hart) < before + STEPS
    monkeypatch.setattr(frame_code, "STEPS_A_TRANSLATION", 1 << 20)
    before = region_steps(hart)
    end = time.monotonic() + PATIENCE
    while region_steps(hart) < before + STEPS:
        hart.run(STEPS)
        assert time.monotonic() < end
    engine_of(hart).close()


class Busy:
    """In place of a worker: has an answer, that there is nothing to translate, when `answers` says so."""

    dead = False

    def __init__(self, ready: object) -> None:
        self.asked: list[Job] = []
        self.answers = 0

    def send(self, job: Job) -> None:
        self.asked.append(job)

    def take(self) -> Result | None:
        self.answers, answer = 0, self.answers
        return Result(self.asked[-1].number, self.asked[-1].frame, b"") if answer else None

    def close(self) -> None: ...


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_runs_now_is_translated_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that were hot for a moment, as those of a kernel that boots, do not make the one that is hot now wait."""
    pages = 6
    monkeypatch.setattr(worker, "Worker", Busy)
    loop = "li x5, 500000\n{0}: addi x5, x5, -1\nbnez x5, {0}\nj page{1}\n.balign 4096\npage{1}:\n"
    code = "".join(loop.format(f"loop{n}", n + 1) for n in range(pages))
    hart = make_hart("auto", ASM.program(code + "end: j end", BASE))
    while hart.state[SLOT["pc"]] < BASE + pages * PAGE:
        hart.run(STEPS)
    hart.run(3 * STEPS)
    busy: Busy = engine_of(hart)._worker
    assert [job.frame for job in busy.asked] == [0]
    for _ in range(pages):
        busy.answers = 1
        hart.state[SLOT["attention"]] = 1
        hart.run(STEPS)
    assert [job.frame for job in busy.asked] == [0, *range(pages, 0, -1)]


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_stays_hot_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame 1, which the region of frame 2 is left for again and again, was found hot before frame 3 was."""
    monkeypatch.setattr(worker, "Worker", Busy)
    source = """
            li x5, 500000
        first: addi x5, x5, -1
            bnez x5, first
            li x5, 1000
            j caller
            .balign 4096
        callee: addi x6, x6, 1
            ret
            .balign 4096
        caller: jal callee
            addi x5, x5, -1
            bnez x5, caller
            j last
            .balign 4096
        last: li x5, 500000
        loop: addi x5, x5, -1
            bnez x5, loop
            li x5, -1
            j caller
    """
    hart = make_hart("auto", ASM.program(source, BASE))
    made = engine_of(hart)
    made.translate(hart, BASE + 2 * PAGE, [0])
    while hart.state[SLOT["x6"]] < 1_001:
        hart.run(10_000)
    assert list(made._wanted)[-1] == 3
    requests = made.statistics.requests
    while hart.state[SLOT["x6"]] < 20_000:
        hart.run(10_000)
    hart.state[SLOT["attention"]] = 1
    hart.run(1)
    assert list(made._wanted)[-1] == 1
    assert made.statistics.requests - requests < 10, "asking once more is no request"


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_cannot_be_translated_is_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until a store makes something else of it."""
    monkeypatch.setattr(worker, "Worker", Busy)
    hart = make_hart("auto")
    made = engine_of(hart)
    words = hart.memory.code.view[CODE_ENTRIES : CODE_ENTRIES + PAGE // 2]

    def answered(rounds: int) -> int:
        """How many jobs there were in all."""
        for _ in range(rounds):
            hart.run(STEPS)
            if made._worker is not None:
                made._worker.answers = 1
                hart.state[SLOT["attention"]] = 1
        return len(made._worker.asked)

    asked = answered(30)
    assert 1 <= asked <= 3, "each of the three instructions is asked for once at most"
    assert HEAT_NEVER in words and answered(30) == asked
    hart.memory.write(BASE, LOOP)
    assert HEAT_NEVER not in words
    assert answered(30) > asked


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_cannot_be_translated_is_left_to_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A mistake of the translator costs one region."""
    monkeypatch.setattr(worker, "Worker", InProcess)
    real = engine_work.form

    def broken(page: bytes, *more: object) -> object:
        if page[0x800:0x802] != bytes(2):
            raise RecursionError("too deep")
        return real(page, *more)

    hart = make_hart("auto")
    monkeypatch.setattr(engine_work, "form", broken)
    hart.memory.write(BASE + 0x800, LOOP)
    hart.state[SLOT["pc"]] = BASE + 0x800
    with caplog.at_level(logging.WARNING):
        for _ in range(4):
            hart.run(STEPS)
    assert region_steps(hart) == 0
    assert 1 <= engine_of(hart).statistics.failed <= 3  # each of the three instructions is asked for once at most
    assert [r.message for r in caplog.records] == ["a region cannot be translated (RecursionError: too deep): it is interpreted"]
    hart.memory.write(BASE + PAGE, LOOP)
    hart.state[SLOT["pc"]] = BASE + PAGE
    assert run_until(hart, "regions")


@pytest.mark.usefixtures("eager", "own_cache")
def test_an_answer_about_other_bytes_gives_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "Worker", Busy)
    hart = make_hart("auto")
    made = engine_of(hart)
    while made._worker is None:
        hart.run(STEPS)
    hart.memory.write(BASE, ASM.program("loop: addi x7, x7, 1; sub x6, x6, x7; j loop", BASE))
    made._worker.answers = 1
    hart.state[SLOT["attention"]] = 1
    hart.run(1)
    assert HEAT_NEVER not in hart.memory.code.view[CODE_ENTRIES : CODE_ENTRIES + PAGE // 2]


def test_nothing_is_given_up_for_good_because_of_a_neighbour() -> None:
    """A region that ends where another can be entered at once has nothing in it; without that one it would."""
    page = LOOP.ljust(PAGE, b"\0")
    assert work(Job(1, 0, page, (), 8, hints=(0,), stops=(0,))).for_now
    assert not work(Job(1, 0, ASM.program("ebreak", BASE).ljust(PAGE, b"\0"), (0,), 8, stops=(8,))).for_now


# -- guests that mean harm


def test_a_frame_s_translations_are_forgotten_one_by_one() -> None:
    """However often one asks, and though another hart is behind; installs again count a part of one."""
    code, each = FrameCode(translations=frame_code.MOST_OF_A_FRAME + 1), frame_code.STEPS_A_TRANSLATION
    assert all(code.is_spent(step) for step in (each, each, each, 0, 2 * each - 1))
    assert not code.is_spent(2 * each)
    for n in range(frame_code.INSTALLS_A_TRANSLATION):
        assert not code.is_spent(2 * each), n
        code.note_install()
    assert code.is_spent(2 * each) and not code.is_spent(99 * each) and code.translations == 0


def test_code_that_is_rewritten_in_a_loop_is_left_to_the_interpreter() -> None:
    source = """
        la x8, site
        lw x9, 0(x8)
        li x12, 0x100000
    again:
        add x9, x9, x12
        sw x9, 0(x8)
        li x11, 40
    inner:
        addi x11, x11, -1
    site:
        addi x10, x10, 1
        bnez x11, inner
        j again
    """
    hart = make_hart("jit", ASM.program(source, BASE))
    made = engine_of(hart)
    hart.run(1_500_000)
    assert made.statistics.regions <= frame_code.MOST_OF_A_FRAME + 1
    first = made.statistics.regions, len(made._frames)
    hart.run(500_000)
    assert (made.statistics.regions, len(made._frames)) == first


@pytest.mark.usefixtures("eager", "own_cache")
@pytest.mark.parametrize("change", ["addi x12, x12, 0", "xor x12, x12, x13"], ids=["the same bytes", "other bytes"])
def test_stores_to_code_make_no_work_without_end(change: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function is hot again each time that its line was stored to: after many times it is left to the interpreter in peace."""
    monkeypatch.setattr(worker, "Worker", InProcess)
    source = """
        start: li x5, 66
        loop: jalr x1, 0(x10)
            addi x5, x5, -1
            bnez x5, loop
            sw x12, 0(x10)
            {}
            j start
            .balign 4096
        function: addi x6, x6, 1
            ret
    """
    code = ASM.program(source.format(change), BASE)
    hart = make_hart("auto", code)
    hart.state[SLOT["x10"]], hart.state[SLOT["x13"]] = BASE + PAGE, 1 << 20
    hart.state[SLOT["x12"]] = int.from_bytes(code[PAGE : PAGE + 4], "little")
    made = engine_of(hart).statistics

    def served(steps: int) -> int:
        before = made.requests
        hart.run(steps)
        return made.requests - before

    assert served(2_000_000) > 100
    assert made.refused and made.installs <= (frame_code.MOST_OF_A_FRAME + 1) * frame_code.INSTALLS_A_TRANSLATION
    assert served(2_000_000) <= 2
    assert region_steps(hart) > 0


def test_versions_that_alternate_take_no_more_memory() -> None:
    """Regions are found again by their bytes; the engine's books do not grow with each time."""
    hart = make_hart("jit")
    other = ASM.program("loop: addi x5, x5, 2; xor x6, x6, x5; j loop", BASE)

    def alternate(times: int) -> None:
        for i in range(times):
            hart.memory.write(BASE, (LOOP, other)[i % 2])
            hart.run(5_000)

    alternate(20)
    made = engine_of(hart)
    regions, installs = made.statistics.regions, made.statistics.installs
    alternate(60)
    assert made.statistics.regions == regions
    assert made.statistics.installs > installs + 30
    assert len(made._frames[0].installed) <= regions


def test_a_page_that_ends_in_a_lone_compressed_instruction_is_found_again() -> None:
    """Its region was made from two bytes: what follows them is not the region's."""
    hart = make_hart("jit", (0xA001).to_bytes(2, "little"))  # c.j to itself
    hart.run(5_000)
    made = engine_of(hart)
    assert made.statistics.regions == 1
    for i in range(4):
        hart.memory.write(BASE, (0xA001).to_bytes(2, "little") + bytes([i, 1]))
        hart.run(5_000)
    assert made.statistics.regions == 1
    assert made.statistics.reused == 4


@pytest.mark.usefixtures("eager")
def test_a_page_that_changes_all_the_time_grows_no_books(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame 0 gets one program after another, and an earlier run knew a part of them."""
    programs = [ASM.program("nop; " * (i % 50) + f"loop: addi x5, x5, {i}; j loop", BASE).ljust(PAGE, b"\0") for i in range(160)]
    monkeypatch.setattr(worker, "Worker", InProcess)
    sizes = []
    for _ in range(2):
        hart = make_hart("auto", b"\0\0")
        hart.state[SLOT["sample"]] = 64
        made = engine_of(hart)
        for program in programs:
            hart.memory.write(BASE, program)
            hart.state[SLOT["pc"]] = BASE
            hart.run(5_000)
        code = made._frames[0]
        assert len(made._frames) == 1
        sizes.append((len(code.installed), len(code.specs), made.statistics.regions))
        assert len(code.installed) <= 1
        assert len(code.specs) <= 2
        assert 10 < made.statistics.regions <= frame_code.MOST_OF_A_FRAME + 1
    assert made.statistics.from_cache > 10


@pytest.mark.usefixtures("eager", "own_cache")
def test_what_is_gone_stops_no_region(monkeypatch: pytest.MonkeyPatch) -> None:
    """A region ends where another one can be entered, as long as that is there."""
    asked: list[Job] = []
    real = engine.Engine._next_job

    def noted(self: Engine) -> Job | None:
        job = real(self)
        if job is not None:
            asked.append(job)
        return job

    monkeypatch.setattr(engine.Engine, "_next_job", noted)
    hart = make_hart("jit")
    hart.run(5_000)
    assert engine_of(hart).statistics.regions == 1
    hart.memory.write(BASE, ASM.program("loop: addi x5, x5, 2; xor x6, x6, x5; j loop", BASE))
    hart.run(5_000)
    assert [job.stops for job in asked] == [()] * len(asked)


def test_patched_code_is_translated_again() -> None:
    """Once a store has dropped a region its place counts as any other that is hot."""
    hart = make_hart("jit")
    hart.run(5_000)
    assert region_steps(hart)
    hart.memory.write(BASE, ASM.program("loop: addi x5, x5, 2; xor x6, x6, x5; j loop", BASE))
    before = region_steps(hart)
    hart.run(10_000)
    assert region_steps(hart) > before + 5_000


def test_memory_for_code_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frame after frame of code that starts alike and goes on differently."""
    monkeypatch.setattr(engine, "MOST_CODE", 30_000)
    hart = make_hart("jit", b"\0\0")
    made = engine_of(hart)
    most = 0
    for i in range(40):
        hart.memory.write(BASE + i * PAGE, ASM.program(f"loop: addi x5, x5, 1; xori x6, x6, {i}; j loop", BASE))
        hart.state[SLOT["pc"]] = BASE + i * PAGE
        hart.run(2_000)
        kept = {id(x): len(x.result.code) for xs in made._by_entry.values() for x in xs}
        kept |= {id(x): len(x.result.code) for code in made._frames.values() for x in code.installed.values()}
        most = max(most, sum(kept.values()))
    assert made.statistics.regions == 40
    assert 0 < most <= 30_000
    # what was given up comes again, and runs
    hart.state[SLOT["pc"]] = BASE
    before = region_steps(hart)
    hart.run(5_000)
    assert region_steps(hart) > before


def test_data_as_code_and_nothing_but_branches() -> None:
    """A jump to random bytes, and pages full of branches that go everywhere: it ends as interpreted, the work bounded."""
    rng = random.Random(5)
    hart, plain = make_hart("jit"), make_hart("interp")
    branches = b""
    for _ in range(6 * PAGE // 4):
        name, (a, b) = rng.choice(("beq", "bne", "bltu")), (f"x{rng.randrange(5, 9)}" for _ in range(2))
        branches += ASM.assemble(f"{name} {a}, {b}, {4 * rng.randrange(-200, 200)}").to_bytes(4, "little")
    noise = rng.randbytes(2 * PAGE)
    for h in (hart, plain):
        h.memory.write(BASE + PAGE, branches)
        h.memory.write(BASE + 8 * PAGE, noise)
        h.write_csr("mtvec", BASE)
        draw = random.Random(6)
        for _ in range(60):
            h.state[SLOT["traps_in_a_row"]] = 0
            h.state[SLOT["pc"]] = BASE + PAGE + 4 * draw.randrange(6 * PAGE // 4)
            for n in range(5, 9):
                h.state[n] = draw.choice((0, 1, 1 << 63))
            h.run(draw.randrange(500))
            h.state[SLOT["pc"]] = BASE + 8 * PAGE + 2 * draw.randrange(PAGE)
            h.run(200)
    assert registers(hart) == registers(plain)
    made = engine_of(hart).statistics
    assert 0 < made.regions <= 9 * frame_code.MOST_OF_A_FRAME
    assert made.instructions <= made.regions * engine.MOST_UNITED


def test_entries_are_addresses_or_heat() -> None:
    """What the engine and the machine agree on: below LEAST_ENTRY a word is no address."""
    hart = make_hart("jit")
    hart.run(5_000)
    words = [w for w in hart.memory.code.view[CODE_ENTRIES : CODE_ENTRIES + PAGE // 2] if w]
    assert any(w >= LEAST_ENTRY for w in words)
