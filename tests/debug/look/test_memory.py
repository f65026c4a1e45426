"""Memory in three address spaces: what is there, what is said where nothing is, and no side effects."""

from __future__ import annotations

import json

import pytest

from rvhv.debug.look import addresses, memory, translation
from rvhv.debug.target import Context, VmTarget
from rvhv.debug.view import plain
from rvhv.errors import DebugError
from tests.debug.look.programs import BASE, RAM, SCRATCH, bare, booted, frozen, guest, put, text_of, vm


@pytest.fixture(scope="module")
def tasks() -> VmTarget:
    """In user code, under two stages."""
    return guest("tasks", 401_000)


@pytest.fixture
def context(tasks: VmTarget) -> Context:
    return tasks.contexts[0]


def test_the_same_bytes_in_three_spaces(context: Context) -> None:
    gva = context.pc
    gpa = context.walk(gva, "fetch").reached.gpa
    spa = context.walk(gva, "fetch").spa
    found = [addresses.read(context, space, at, 16) for space, at in (("v", gva), ("g", gpa), ("h", spa))]
    assert found[0] == found[1] == found[2] == context.target.memory.read(spa, 16)


def test_a_kernels_pages_are_seen_from_its_program(context: Context) -> None:
    assert context.mode == "VU"
    assert addresses.read(context, "v", context.images[0].symbols["on_trap"], 4)


@pytest.mark.parametrize(
    ("form", "size", "shown"),
    [
        ("x", "g", "0xc045000000000080  0x7fffffff41424344"), ("x", "b", "0x80  0x00"), ("d", "w", "128  -1069219840"),
        ("u", "h", "128"),
        ("o", "b", "0200"), ("t", "b", "10000000"), ("c", "b", "-128 '\\x80'"), ("f", "g", "-42.000000000000909"),
        ("x", "h", "0x0080"),
    ],
)  # fmt: skip
def test_formats(form: str, size: str, shown: str) -> None:
    target = vm("end: j end", 1)
    context = target.contexts[0]
    data = (0xC045_0000_0000_0080).to_bytes(8, "little") + (0x7FFF_FFFF_4142_4344).to_bytes(8, "little")
    addresses.write(context, "v", BASE + 0x100, data)
    said = plain(memory.examine(context, "v", BASE + 0x100, 2, form, size).lines())
    assert shown in said
    json.dumps(memory.examine(context, "v", BASE + 0x100, 2, form, size).json())


def test_strings_and_symbols(context: Context) -> None:
    gpa = memory.find(context, "g", 0x8020_0000, 1 << 16, b"task 1: computing").addresses[0]
    said = plain(memory.examine(context, "v", gpa, 1, "s").lines())
    assert 'task 1: computing a checksum\\n"' in said
    said = plain(memory.examine(context, "v", context.images[0].symbols["on_trap"], 1, "x", "w").lines())
    assert "<on_trap>" in said


def test_a_range_that_ends_in_nothing(context: Context) -> None:
    end = next(r.va + r.size for r in context.map().ranges if r.va == 0x1000_1000)
    found = memory.examine(context, "v", end - 16, 4, "x", "g")
    assert len(found.items) == 2 and "page fault" in found.failed


@pytest.mark.parametrize(
    ("space", "address", "said"),
    [
        ("v", 0xDEAD_0000, "the VS-stage refuses it: V=0: nothing is mapped here, in the level 2 PTE"),
        ("v", 1 << 63, "bits 63:39 of the address are not all equal"),
        ("g", 0x8070_0000, "RAM that the guest has not touched yet"),
        ("g", 0x1000_1000, "the G-stage refuses the access at gpa 0x10001000"),
        ("h", 0x10, "is no memory"),
        ("q", 0, "no address space"),
    ],
)
def test_why_nothing_is_there(context: Context, space: str, address: int, said: str) -> None:
    with pytest.raises(DebugError, match=said.replace("(", r"\(")):
        addresses.read(context, space, address, 8)


def test_devices_are_not_asked() -> None:
    target = bare()
    context = target.contexts[0]
    target.machine.feed(b"x")
    with pytest.raises(DebugError, match="a register of uart, and reading one may change it"):
        addresses.read(context, "v", 0x1000_0000, 1)
    assert target.machine.uart.unread == 1


def test_writing_reaches_what_runs() -> None:
    target = vm("li a0, 1\nend: j end", 0)
    context = target.contexts[0]
    word = (0x0070_0513).to_bytes(4, "little")  # li a0, 7
    target.run(1)
    addresses.write(context, "g", BASE, word)
    addresses.write(context, "v", BASE, addresses.read(context, "h", addresses.place(context, "v", BASE), 4))
    put(context.hart.state, "pc", BASE)
    target.run(1)
    assert context.x[10] == 7
    with pytest.raises(DebugError):
        addresses.write(context, "v", 0x10, b"x")


def test_nothing_is_written_where_a_part_cannot_be() -> None:
    target = bare()
    end = target.memory.base + target.memory.size
    with pytest.raises(DebugError):
        addresses.write(target.contexts[0], "v", end - 4, b"12345678")
    assert target.memory.read(end - 4, 4) == bytes(4)


def test_find_across_pages() -> None:
    target = bare()
    context = target.contexts[0]
    target.memory.write(SCRATCH + 4094, b"needle")
    target.memory.write(SCRATCH + 9000, b"needle")
    assert memory.find(context, "h", RAM, 2 << 20, b"needle").addresses == (SCRATCH + 4094, SCRATCH + 9000)
    assert memory.find(context, "v", RAM, 2 << 20, b"nothing of the kind").addresses == ()
    with pytest.raises(DebugError):
        memory.find(context, "h", RAM, 0, b"x")


def test_looking_changes_nothing(context: Context) -> None:
    before = frozen(context)
    memory.examine(context, "v", context.pc, 64, "x", "b").lines()
    translation.walk(context, 0x1000_0000, "store").json()
    translation.address_map(context).json()
    memory.find(context, "v", 0x1000_0000, 1 << 16, b"\0")
    assert frozen(context) == before


def test_walks_and_maps(context: Context) -> None:
    said = text_of(translation.walk(context, context.pc, "fetch"))
    assert "=> h:" in said and "VS r-x" in said
    said = text_of(translation.walk(context, 0x8070_0000, "load", "g"))
    assert "RAM that tasks has not touched yet" in said
    assert "virtio console" in text_of(translation.walk(context, 0x1000_1000, "load", "g"))
    found = translation.walk(context, 0xDEAD_0000).json()
    assert found["fault"]["rule"] == "valid" and found["fault"]["stval"] == "0xdead0000" and found["explanation"]
    assert "address space of VU-mode" in text_of(translation.address_map(context))


def test_a_stopped_vm_is_looked_at_while_its_memory_is_as_it_was() -> None:
    target = guest("hello")
    context = target.contexts[0]
    assert not context.alive
    assert addresses.read(context, "g", BASE, 4) == context.images[0].segments[0].data[:4]
    target.hv.create("other", "tasks", memory="8M")
    with pytest.raises(DebugError, match="others use the memory"):
        addresses.read(context, "g", BASE, 4)


def test_whose_a_page_is() -> None:
    target = guest("tasks", 401_000)
    context = target.contexts[0]
    spa = addresses.place(context, "g", BASE)
    assert "a page of tasks, g:0x80200000" in text_of(memory.owner(target, spa))
    assert "G-stage table of tasks" in text_of(memory.owner(target, RAM))
    assert "is free" in text_of(memory.owner(target, target.memory.base + target.memory.size - 1))
    with pytest.raises(DebugError):
        memory.owner(target, 0)


def test_bad_formats(context: Context) -> None:
    for form, size, count in (("q", "g", 1), ("x", "q", 1), ("x", "g", 0), ("x", "g", 1 << 40)):
        with pytest.raises(DebugError):
            memory.examine(context, "v", context.pc, count, form, size)


def test_a_bare_hart_in_a_guest() -> None:
    """Its spaces are those of the guest that its own hypervisor runs."""
    target = booted("monitor", 2_000_000)
    context = target.contexts[0]
    while context.mode != "VS":
        target.run(1000)
    assert addresses.read(context, "g", BASE, 16) == addresses.read(context, "v", BASE, 16)
    assert addresses.place(context, "g", BASE) != BASE
    assert "G-stage" in text_of(translation.walk(context, BASE))
