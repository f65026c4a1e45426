"""The device tree says what was asked, takes addresses from the board, and is the same bytes every time."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import fdt
import pytest

from rvhv.errors import ConfigError
from rvhv.machine.board import BOARD, PlicLayout, VirtioLayout, Window
from rvhv.machine.fdt import guest_device_tree
from rvhv.machine.virt_tree import machine_tree


def tree(**options: object) -> fdt.FDT:
    arguments: dict[str, object] = {"name": "tasks", "ram_size": 32 << 20} | options
    return fdt.parse_dtb(guest_device_tree(**arguments))  # type: ignore[arg-type]


def words(tree: fdt.FDT, path: str, name: str) -> list[int]:
    return list(tree.get_property(name, path).data)


def text(tree: fdt.FDT, path: str, name: str) -> str:
    return str(tree.get_property(name, path).value)


def test_the_contract_of_the_architecture() -> None:
    dt = tree(virtio_slots=(0, 1))
    assert text(dt, "/", "model") == "rvhv,tasks"
    assert words(dt, "/memory@80000000", "reg") == [0, 0x8000_0000, 0, 32 << 20]
    assert words(dt, "/cpus", "timebase-frequency") == [10_000_000]
    assert text(dt, "/cpus/cpu@0", "riscv,isa-base") == "rv64i"
    assert text(dt, "/cpus/cpu@0", "mmu-type") == "riscv,sv57"
    plic = "/soc/interrupt-controller@c000000"
    assert words(dt, plic, "reg") == [0, 0x0C00_0000, 0, 0x60_0000]
    assert words(dt, plic, "riscv,ndev") == [31]
    intc = words(dt, "/cpus/cpu@0/interrupt-controller", "phandle")[0]
    assert words(dt, plic, "interrupts-extended") == [intc, 11, intc, 9]
    for slot, base in enumerate((0x1000_1000, 0x1000_2000)):
        node = f"/soc/virtio_mmio@{base:x}"
        assert words(dt, node, "reg") == [0, base, 0, 0x1000]
        assert words(dt, node, "interrupts") == [1 + slot]
        assert words(dt, node, "interrupt-parent") == words(dt, plic, "phandle")
    assert text(dt, "/chosen", "stdout-path") == "/soc/virtio_mmio@10001000"


def test_a_vm_is_told_all_that_the_hart_has() -> None:
    """The bare machine's ISA string, but there is no H in a VM."""
    node = "/cpus/cpu@0"
    whole = fdt.parse_dtb(machine_tree(ram_size=32 << 20, harts=1))
    isa = text(tree(), node, "riscv,isa")
    assert isa.startswith("rv64imafdc_") and isa == text(whole, node, "riscv,isa").replace("h_", "_", 1)
    extensions = tree().get_property("riscv,isa-extensions", node).data
    assert extensions == [*"imafdc", *isa.split("_")[1:]]
    assert {"zicsr", "zifencei", "zicntr", "zihpm", "zba", "zicboz", "sstc", "svadu", "svpbmt", "svnapot"} <= {*extensions}
    for dt in (tree(), whole):
        for name in ("zicbom", "zicboz", "zicbop"):
            assert words(dt, node, f"riscv,{name[2:]}-block-size") == [64]


def test_addresses_come_from_the_board() -> None:
    board = replace(
        BOARD,
        ram_base=0x1_4000_0000,
        plic=PlicLayout(Window(0x2000_0000, 0x40_0000), sources=7, contexts=4),
        virtio=VirtioLayout(Window(0x3000_0000, 0x200), slots=4, first_source=3),
        timebase=1000,
    )
    dt = tree(board=board, harts=2, virtio_slots=[3], ram_size=5 << 32)
    assert words(dt, "/memory@140000000", "reg") == [1, 0x4000_0000, 5, 0]
    assert words(dt, "/soc/virtio_mmio@30000600", "interrupts") == [6]
    assert words(dt, "/soc/interrupt-controller@20000000", "interrupts-extended") == [2, 11, 2, 9, 3, 11, 3, 9]
    assert words(dt, "/cpus/cpu@1", "reg") == [1]
    assert dt.get_property("stdout-path", "/chosen") is None


def test_bootargs_and_seed() -> None:
    assert tree().get_property("bootargs", "/chosen") is None
    assert text(tree(bootargs="console=hvc0 root=/dev/vda"), "/chosen", "bootargs") == "console=hvc0 root=/dev/vda"
    seeds = [words(tree(**o), "/chosen", "rng-seed") for o in ({}, {"seed": 1}, {"seed": 1, "name": "disk"})]  # type: ignore[arg-type]
    assert len({tuple(s) for s in seeds}) == 3 and all(len(s) == 8 for s in seeds)


def test_the_same_bytes_in_every_process() -> None:
    call = "guest_device_tree(name='a', ram_size=4096, virtio_slots=(1, 0))"
    code = f"from rvhv.machine.fdt import guest_device_tree; print({call}.hex())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": s}
        ).stdout
        for s in ("1", "2")
    }
    assert outputs == {guest_device_tree(name="a", ram_size=4096, virtio_slots=(0, 1)).hex() + "\n"}


def test_the_header_is_whole() -> None:
    blob = guest_device_tree(name="a", ram_size=4096)
    assert blob[:4] == b"\xd0\x0d\xfe\xed" and int.from_bytes(blob[4:8], "big") == len(blob)
    assert len(blob) < BOARD.image_base - BOARD.device_tree


@pytest.mark.parametrize(
    "options",
    [
        {"name": "näme"},
        {"name": "a\nb"},
        {"bootargs": "a\0b"},
        {"virtio_slots": [8]},
        {"virtio_slots": [-1]},
        {"harts": 0},
        {"harts": 2},
    ],
)
def test_what_cannot_be_said_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        tree(**options)
