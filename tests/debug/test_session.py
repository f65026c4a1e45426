"""A session as a person uses it: what each kind of command does to guests and to time."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rvhv import Hypervisor
from rvhv.core.registry import ISA
from rvhv.debug import Session
from rvhv.debug.look.places import source
from rvhv.debug.view import plain
from rvhv.errors import ConfigError, DebugError, RvhvError
from rvhv.isa.render.asm import Assembler
from rvhv.machine.image import load_image
from tests.debug.machines import bare, hosted
from tests.elf_file import elf

pytestmark = pytest.mark.usefixtures("compiled")

START = 0x8020_0000


def said(session: Session, line: str) -> str:
    view = session.command(line)
    view.json()
    return plain(view.lines())


@pytest.fixture
def session() -> Iterator[Session]:
    with hosted("tasks", "hello", memory="32M") as session:
        yield session


def guest(
    text: str, symbols: dict[str, int] | None = None, slice_steps: int = 100_000, copies: int = 1, tier: str | None = None
) -> Session:
    """VMs that run the same few instructions."""
    hv = Hypervisor("64M", slice_steps=slice_steps, tier=tier)
    image = load_image(elf({START: Assembler(ISA).program(text, START)}, START, symbols or {}), "guest")
    for i in range(copies):
        hv.create(f"guest{i}", image, memory="4M")
    return Session(hv)


CALLS = """
again: jal ra, f; addi a0, a0, 1; j again
f: addi sp, sp, -16; sd ra, 0(sp); jal ra, g; ld ra, 0(sp); addi sp, sp, 16; ret
g: ret
"""
STORES = f"""
li a1, {START + 0x2000}; li a0, 0
again: addi a0, a0, 1; sd a0, 0(a1); li t0, 100
loop: addi t0, t0, -1; bne t0, x0, loop; j again
"""
CANNOT_BE_SET = (
    "set zero = 1", "set pc = 1", "set vsstatus.SIE = 2", "set main = 1", "set u32[0] = 1", "set a0", "set a0 == 1",
)  # fmt: skip
PRINTED = {
    "p 5": "5 = 5", "p/t 5": "5 = 0b101", "p/d -1": "-1 = -1", "p/c 65": "65 = 65 'A'", "p/o 8": "8 = 0o10",
}  # fmt: skip
INFO = {"info registers": "registers", "i r a0": "registers a0", "info b": "breakpoints"}
COUNT = "li a0, 0; again: addi a0, a0, 1; addi a1, a0, 0; j again"


def test_a_session_needs_a_vm() -> None:
    with pytest.raises(ConfigError, match="without a VM"):
        Session(Hypervisor("16M"))


def test_break_and_step(session: Session) -> None:
    assert "run_next" in said(session, "break run_next")
    assert said(session, "continue").startswith("break 1  (step ")
    assert session.context.name == "tasks" and "run_next" in said(session, "vm")
    line = said(session, "next").splitlines()[-1]
    assert "tasks/main.c:" in line and "tasks/main.c:83" not in line
    before = session.context.steps
    said(session, "stepi 3")
    assert session.context.steps == before + 3
    assert "returns" not in said(session, "finish") and "run_next" not in said(session, "vm").split("  ")[1]


def test_steps_of_nobody(session: Session) -> None:
    said(session, "continue")
    assert session.target.finished
    with pytest.raises(DebugError, match="is no more"):
        session.command("stepi")
    with pytest.raises(DebugError, match="is no more"):
        session.command("set a0 = 1")


def test_x_goes_on_where_it_was(session: Session) -> None:
    said(session, "run 2000")
    first, second = said(session, "x/2i &_start"), said(session, "x")
    assert first.count("0x802000") == 2 and first != second
    one, two = session.command("x/2gx v:0x80200000").json(), session.command("x").json()
    assert one != two and two["items"][0]["address"] == "0x80200010"
    with pytest.raises(DebugError, match="no format"):
        session.command("x/8q sp")


@pytest.mark.parametrize(
    ("where", "value", "shown"),
    [
        ("a0", "77", "0x4d"),
        ("u32[g:0x80200000]", "0x12345678", "0x12345678"),
        ("*v:0x80200000", "-1", "0xffffffffffffffff"),
        ("vsscratch", "5", "5"),
        ("vsstatus.SIE", "1", "1"),
        ("fs0", "7", "7"),
    ],
)
@pytest.mark.parametrize("who", ["tasks", "hello"])
def test_set(session: Session, where: str, value: str, shown: str, who: str) -> None:
    """On the hart or off it, and the neighbour notices nothing."""
    said(session, "run 1000")
    other = "hello" if who == "tasks" else "tasks"
    untouched = session.named(other).state.tobytes()
    said(session, f"vm {who}")
    assert shown in said(session, f"set {where} = {value}")
    assert shown in said(session, f"print {where}")
    assert session.named(other).state.tobytes()[: 32 * 8] == untouched[: 32 * 8]
    said(session, "back 500")
    assert session.context.name == who and shown != said(session, f"print {where}").split()[2]
    said(session, "goto end")
    assert shown in said(session, f"print {where}"), "going through it again sets it again"


@pytest.mark.parametrize("line", CANNOT_BE_SET)
def test_what_cannot_be_set(session: Session, line: str) -> None:
    words = bytes(session.context.state)
    with pytest.raises(RvhvError):
        session.command(line)
    assert bytes(session.context.state) == words


def test_back_and_forth(session: Session) -> None:
    said(session, "run 300000")
    there = session.context.pc, session.context.steps
    said(session, "back 1234")
    assert session.target.steps == 300_000 - 1234 and session.in_the_past
    assert "1,234 steps before the end" in said(session, "goto 298766")
    said(session, "run 1234")
    assert (session.context.pc, session.context.steps) == there and not session.in_the_past
    said(session, "back 99999999")
    assert session.target.steps == 0


def test_changing_the_past_makes_another_future(session: Session) -> None:
    said(session, "run 300000")
    said(session, "bookmark later")
    said(session, "goto 1000")
    said(session, "set a0 = 1")
    assert any("another future" in note for note in session.notes)
    assert session.history.furthest == 1000
    with pytest.raises(RvhvError, match="later"):
        session.command("goto later")


def test_bookmarks(session: Session) -> None:
    said(session, "run 1000")
    said(session, "bookmark here")
    said(session, "run 1000")
    assert "2 pages" not in said(session, "diff here") and "from step 1,000 to step 2,000" in said(session, "diff here")
    said(session, "goto here")
    assert session.target.steps == 1000
    assert "here" in said(session, "bookmark")
    said(session, "bookmark --delete here")
    assert "here" not in said(session, "bookmark")
    for wrong in ("12", "start", "a b", "--", "5M"):
        with pytest.raises(DebugError):
            session.command(f"bookmark {wrong}")


@pytest.mark.parametrize("copies", [1, 3])
def test_reverse_step(copies: int) -> None:
    """By instructions of one VM, however often its neighbours had their turn in between."""
    with guest(COUNT, slice_steps=7, copies=copies) as session:
        said(session, "run 500")
        said(session, "vm guest0")
        seen = []
        for _ in range(40):
            seen.append((session.context.steps, session.context.pc, session.context.x[10]))
            said(session, "stepi")
        for steps, pc, a0 in reversed(seen):
            said(session, "reverse-stepi")
            assert session.context.name == "guest0"
            assert (session.context.steps, session.context.pc, session.context.x[10]) == (steps, pc, a0)
        said(session, "reverse-stepi 20")
        assert session.context.steps == seen[0][0] - 20
        with pytest.raises(DebugError, match="does not go back so far"):
            session.command("reverse-stepi 100000")
        assert session.context.steps == seen[0][0] - 20, "it stays"




def test_reverse_next_passes_over_calls() -> None:
    text = f"li sp, {START + 0x10000}; {CALLS}"
    with guest(text) as session:
        said(session, "run 200")
        said(session, f"advance *{Assembler(ISA).image(text, START).symbols['again']:#x}")
        pcs = [session.context.pc]
        for _ in range(7):
            said(session, "nexti")
            pcs.append(session.context.pc)
        for pc in reversed(pcs[:-1]):
            said(session, "reverse-nexti")
            assert session.context.pc == pc


def test_who_wrote_this() -> None:
    with guest(STORES, {"value": START + 0x2000}) as session:
        said(session, "run 100000")
        last = session.context.x[10]
        said(session, "watch value")
        assert said(session, "reverse-continue").startswith("watch 1: is about to write 0x80202000")
        assert session.context.x[10] == last
        said(session, "reverse-continue")
        assert session.context.x[10] == last - 1
        said(session, "continue")
        assert session.context.x[10] == last
        said(session, "disable 1")
        said(session, "reverse-continue")
        assert session.target.steps == 0 and any("history begins" in note for note in session.notes)


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_what_is_written_beside_a_watched_line_is_remembered(tier: str) -> None:
    with guest(STORES, tier=tier) as session:
        said(session, f"watch {START + 0x2800:#x}")
        for mark in ("one", "two", "three"):
            said(session, f"bookmark {mark}")
            said(session, "run 100000")
            assert "g:0x80202000" in said(session, f"diff {mark}")
        last = session.context.x[10]
        said(session, "goto three")
        stored = session.command(f"x/1gd {START + 0x2000:#x}").json()
        said(session, "goto end")
        assert session.context.x[10] == last and session.command(f"x/1gd {START + 0x2000:#x}").json() != stored


def test_an_interrupted_search_ends_where_it_began() -> None:
    with guest(COUNT) as session:
        said(session, "run 300000")
        here = session.context.pc, session.target.steps
        said(session, "watch h:0x80000000")
        for command in ("reverse-continue", "reverse-stepi 10", "reverse-nexti 10", "reverse-step 10"):
            session.interrupt()
            assert "interrupted" in said(session, command)
            assert (session.context.pc, session.target.steps) == here
            session.calm()


def test_without_a_history() -> None:
    hv = Hypervisor("64M")
    hv.create("hello", memory="8M")
    with Session(hv, history=0) as session:
        said(session, "run 10")
        with pytest.raises(DebugError, match="nothing is remembered"):
            session.command("back")


def test_typing_is_remembered() -> None:
    read = "again: li a7, 2; ecall; blt a0, x0, again; mv s0, a0; j again"  # legacy getchar
    with guest(read) as session:
        said(session, "run 1000")
        said(session, r"type x\n")
        said(session, "run 100000")
        assert session.context.x[8] == 10
        said(session, "goto 500")
        assert session.context.x[8] == 0
        said(session, "goto end")
        assert session.context.x[8] == 10


def test_everybody_sleeps() -> None:
    with guest("wfi; j .") as session:
        assert "everybody sleeps" in said(session, "continue") and not session.target.finished
        assert "WFI" in said(session, "why") or "wfi" in said(session, "why")


def test_harts() -> None:
    with bare("smp", 2) as session:
        said(session, "break hart_main")
        said(session, "continue")
        assert session.context.name == "hart0"
        said(session, "continue")
        assert session.context.name == "hart1"
        said(session, "reverse-continue")
        assert session.context.name == "hart0"
        said(session, "set mscratch = 5")
        assert "= 5" in said(session, "print mscratch")


@pytest.mark.parametrize(("line", "means"), INFO.items())
def test_info(session: Session, line: str, means: str) -> None:
    assert said(session, line) == said(session, means)


@pytest.mark.parametrize(("line", "shown"), PRINTED.items())
def test_print(session: Session, line: str, shown: str) -> None:
    assert said(session, line) == shown


def test_find_and_page(session: Session) -> None:
    said(session, "run 400000")
    assert "0x" in said(session, 'find g:0x80200000, 64K, "counting primes"')
    assert "tasks" in said(session, "page pc")
    assert "run_next" in said(session, "symbols run_n") and "_start" in said(session, "symbols 0x80200004")


def test_a_file_is_listed_by_a_part_of_its_path() -> None:
    with hosted("tasks") as session:
        assert "tasks/main.c" in said(session, "list main.c:83")
        with pytest.raises(DebugError, match="nothere.c is not here"):
            session.command("list nothere.c:1")


def test_lines_that_the_linker_left_out_are_nowhere() -> None:
    """They are at address 0 in the line table, where a NULL pointer leads."""
    with hosted("tasks") as session:
        assert source(session.context, 0) == ""
        with pytest.raises(DebugError, match=r"virtio_blk\.c"):
            session.command("break virtio_blk.c:102")
