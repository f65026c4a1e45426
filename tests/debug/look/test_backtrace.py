"""Backtraces and code: calls by DWARF, by prologues and by frame pointers, across a trap; and stacks that are damaged."""

from __future__ import annotations

import json

import pytest

from rvhv.debug.look import code
from rvhv.debug.look.backtrace import backtrace, frames_of
from rvhv.debug.target import Context, VmTarget
from rvhv.debug.view import plain
from rvhv.errors import DebugError
from rvhv.machine.symbols import Symbols
from tests.debug.look.programs import ASSEMBLER, BASE, RAM, SCRATCH, bare, booted, frozen, guest, put, stop_at, text_of, vm


def functions(context: Context) -> list[str]:
    before = frozen(context)
    found = backtrace(context)
    json.dumps(found.json())
    found.lines()
    assert frozen(context) == before
    return [name.partition("+")[0] for name, _ in found.places]


def test_calls_by_dwarf() -> None:
    target = guest("tasks", 0)
    context = stop_at(target, "sbi_call")
    assert functions(context) == ["sbi_call", "put", "printf", "guest_main", "_start"]
    assert backtrace(context).ended == ""
    target.run(3)  # into the prologue: the stack pointer has moved, ra may be saved
    assert functions(context) == ["sbi_call", "put", "printf", "guest_main", "_start"]
    first, second, *_ = frames_of(context)
    target.stops.add_breakpoint(second.pc, context.bound)
    target.run()
    assert context.pc == second.pc and context.x[2] == first.cfa


def test_across_a_trap() -> None:
    target = guest("tasks", 0)
    context = stop_at(target, "on_trap")
    assert functions(context)[0] == "on_trap" and functions(context)[-1].startswith("user_")
    said = text_of(backtrace(context))
    assert "environment call from U-mode or VU-mode, taken at:" in said and "tasks/user.c" in said
    context = stop_at(target, "trap_entry")
    assert functions(context)[0] == "trap_entry" and len(functions(context)) == 2


TRAP = """
    li sp, {sp:#x}
    la t0, handler
    csrw mtvec, t0
    jal outer
end: j end
outer:
    addi sp, sp, -16
    sd ra, 8(sp)
    ebreak
    .balign 4
handler:
    addi sp, sp, -272
    sd x1, 8(sp)
    addi t0, sp, 272
    sd t0, 16(sp)
    csrr t0, mepc
    sd t0, 0(sp)
    jal on_trap
    mret
on_trap:
    nop
    j on_trap
"""


def test_a_trap_of_the_kernel_itself() -> None:
    """Its frame is on the same stack: the registers that it holds lead further up."""
    text = TRAP.format(sp=SCRATCH)
    target = bare(text, 25)
    context = target.contexts[0]
    labels = ASSEMBLER.image(text, RAM).symbols
    context.symbols = Symbols({"start": RAM, **{name: labels[name] for name in ("outer", "handler", "on_trap")}})
    assert functions(context) == ["on_trap", "handler", "outer", "start"]
    assert "-- breakpoint, taken at:" in text_of(backtrace(context))


def test_the_bare_machine() -> None:
    target = booted("smp", 3000)
    assert functions(target.contexts[0])[0] == "hart_main"


FRAMES = """
    li sp, {sp:#x}
    li s0, 0
    jal outer
end: j end
outer:
    addi sp, sp, -32
    sd ra, 24(sp)
    sd s0, 16(sp)
    addi s0, sp, 32
    jal inner
    ld ra, 24(sp)
    addi sp, sp, 32
    ret
inner:
    addi sp, sp, -16
    sd ra, 8(sp)
    sd s0, 0(sp)
    addi s0, sp, 16
    jal leaf
leaf:
    nop
    nop
    ret
"""


def stacked(symbols: bool) -> Context:
    """A program without DWARF, three calls deep."""
    text = FRAMES.format(sp=SCRATCH)
    target = bare(text)
    context = target.contexts[0]
    labels = ASSEMBLER.image(text, RAM).symbols
    while context.pc != labels["leaf"]:
        target.run(1)
    context.symbols = Symbols({"start": RAM, **{name: labels[name] for name in ("outer", "inner", "leaf")}} if symbols else {})
    return context


def test_calls_by_what_prologues_did() -> None:
    context = stacked(symbols=True)
    assert functions(context) == ["leaf", "inner", "outer", "start"]
    assert [frame.how for frame in backtrace(context).frames][2:] == ["prologue", "prologue"]


def test_a_stack_that_goes_round() -> None:
    context = stacked(symbols=True)
    sp = context.x[2]
    memory = context.target.memory
    for at in range(sp, SCRATCH, 8):
        memory.write_u64(at, sp + 16 if at % 16 == 0 else context.x[1])
    put(context.hart.state, "x8", sp + 16)
    found = backtrace(context)
    assert len(found.frames) < 64


@pytest.mark.parametrize("sp", [0, 1, 7, RAM - 8, 1 << 63, (1 << 64) - 8])
def test_a_stack_that_is_not_there(sp: int) -> None:
    target = guest("tasks", 0)
    context = stop_at(target, "sbi_call")
    target.run(3)
    put(context.hart.state, "x2", sp)
    put(context.hart.state, "x8", sp)
    found = backtrace(context)
    assert found.frames and (found.ended or len(found.frames) > 1)


def test_nothing_to_go_by() -> None:
    context = vm("end: j end", 1).contexts[0]
    assert functions(context) == [""] and "ra is 0" in backtrace(context).ended


# code


@pytest.fixture(scope="module")
def tasks() -> VmTarget:
    return guest("tasks", 401_000)


def test_disassembly(tasks: VmTarget) -> None:
    context = tasks.contexts[0]
    found = code.disassemble(context)
    assert [i.address for i in found.instructions if i.current] == [context.pc]
    said = plain(found.lines())
    assert "=> 0x" in said and "user_checksum+" not in said.splitlines()[0] and "tasks/user.c:" in said
    branch = next(i for i in code.disassemble(context, context.pc, 40).instructions if i.text.startswith("bne"))
    assert "<user_checksum+" in branch.text
    json.dumps(found.json())


def test_addresses_of_other_spaces(tasks: VmTarget) -> None:
    context = tasks.contexts[0]
    spa = context.walk(context.pc, "fetch").spa
    texts = [i.text for i in code.disassemble(context, spa, 2, "h").instructions]
    assert texts == [i.text for i in code.disassemble(context, context.pc, 2).instructions]
    with pytest.raises(DebugError):
        code.disassemble(context, 0xDEAD_0000)
    with pytest.raises(DebugError):
        code.disassemble(context, context.pc, 0)


def test_source(tasks: VmTarget) -> None:
    context = tasks.contexts[0]
    found = code.source(context)
    assert found.file == "tasks/user.c" and found.current is not None
    assert "=> " in plain(found.lines())
    assert code.source(context, file="tasks/main.c", line=10).current is None
    for file, line in (("nowhere.c", 1), ("tasks/user.c", 100_000)):
        with pytest.raises(DebugError):
            code.source(context, file=file, line=line)


def test_source_of_what_has_none() -> None:
    context = vm("end: j end", 1).contexts[0]
    with pytest.raises(DebugError, match="has no source line"):
        code.source(context)
    assert code.disassemble(context, BASE, 1).instructions[0].source == ""
