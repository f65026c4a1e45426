"""The shipped guests miss no fence, checking changes nothing, and a deleted fence is found by name."""

from __future__ import annotations

import pytest

from rvhv import Hypervisor
from rvhv.fences.report import Missing
from rvhv.images import image_path
from rvhv.machine.image import Image, load_image
from rvhv.machine.symbols import Symbols
from tests.guests.test_fences import without_fences


def run(image: Image, check: bool) -> tuple[tuple[str, bytes, str, int], list[Missing]]:
    output: list[bytes] = []
    with Hypervisor(memory="64M", check_fences=check) as hv:
        hv.on_console = lambda vm, data: output.append(data)
        vm = hv.create("guest", image, memory="16M")
        hv.run()
        found = hv.fences.reports if hv.fences is not None else []
        return (hv.trace_hash(), b"".join(output), vm.reason, hv.steps), found


@pytest.mark.parametrize("name", ["hello", "tasks", "rogue"])
def test_shipped_guests_miss_no_fence(name: str) -> None:
    image = load_image(image_path(name), name)
    checked, found = run(image, True)
    assert [report.sentence() for report in found] == []
    assert checked == run(image, False)[0]


def test_neighbours_and_their_successors_miss_none() -> None:
    """VMs have VMIDs of their own, and a new one gets frames in which another ran."""
    with Hypervisor(memory="64M", check_fences=True) as hv:
        for name in ("tasks", "hello", "tasks-2"):
            hv.create(name, name.removesuffix("-2"), memory="8M")
        hv.run()
        hv.create("again", "tasks", memory="8M")
        hv.run()
        assert hv.fences is not None and hv.fences.reports == []


def test_deleted_fences_of_tasks() -> None:
    """Its kernel gives all its tasks ASID 0: each switch to another root needs a fence."""
    image = load_image(image_path("tasks"), "tasks")
    bare, _ = without_fences(image)
    checked, found = run(bare, True)
    assert checked == run(bare, False)[0]
    place = Symbols(image.symbols).place
    pairs = {(place(r.store_pc or 0).partition("+")[0], place(r.use_pc).partition("+")[0]) for r in found}
    assert ("on_trap", "user_primes") in pairs and ("on_trap", "user_checksum") in pairs
    assert {(r.stage, r.level, r.fence) for r in found} == {("VS", None, "sfence.vma with rs1 = x0, rs2 = ASID 0 or x0")}
    first = found[0].sentence(lambda vm, pc: place(pc))
    assert "user_checksum+" in first and "after on_trap+" in first and "changed vsatp from 0x8" in first


def test_deleted_fences_of_rogue() -> None:
    """It maps one page to bad places in turn, and executes what it has stored."""
    image = load_image(image_path("rogue"), "rogue")
    _, found = run(without_fences(image)[0], True)
    assert {r.kind for r in found} == {"translation", "code"}
    translations = [r for r in found if r.kind == "translation"]
    assert {(r.va, r.stage, r.level) for r in translations} == {(0x2_0000_0000, "VS", 2)}
    assert all(r.spa & 0xFFF == (image.symbols["root"] + 8 * 8) & 0xFFF for r in translations)
    assert {r.fence for r in found if r.kind == "code"} == {"fence.i"}
