"""The device tree a guest is given (Devicetree Specification 0.4, with the RISC-V bindings of Linux)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from rvhv.errors import ConfigError
from rvhv.machine.board import BOARD, CONSOLE_SLOT, Board
from rvhv.machine.isa_string import cpu_properties

if TYPE_CHECKING:
    from fdt import Node

DTB_VERSION = 17
DTB_LAST_COMPATIBLE_VERSION = 16
RNG_SEED_BYTES = 32

# causes of the hart's local interrupts, as the PLIC node's interrupts-extended names them
IRQ_M_EXT = 11
IRQ_S_EXT = 9

PLIC_PHANDLE = 1
FIRST_CPU_PHANDLE = 2

Value = str | int | bytes | list[int] | list[str] | None


def guest_device_tree(
    *,
    name: str,
    ram_size: int,
    board: Board = BOARD,
    harts: int = 1,
    virtio_slots: Iterable[int] = (CONSOLE_SLOT,),
    bootargs: str = "",
    seed: int = 0,
) -> bytes:
    """The flattened device tree of VM `name`; the same arguments give the same bytes.

    ram_size is in bytes; virtio_slots are the slots with a device (stdout is the console's, when it is one of them);
    seed, mixed with the name, gives /chosen/rng-seed. Raises ConfigError for a name or bootargs that are not printable
    ASCII, for a slot the board does not have, and for more harts than the PLIC has contexts for.
    """
    from fdt import FDT

    slots = sorted(set(virtio_slots))
    if not 1 <= harts <= board.plic.contexts // 2:
        raise ConfigError(f"a VM has 1 to {board.plic.contexts // 2} harts, not {harts}")
    tree = FDT()
    set_properties(
        tree.root,
        {
            "#address-cells": 2,
            "#size-cells": 2,
            "model": checked_text(f"rvhv,{name}", "VM name"),
            "compatible": "rvhv,virt",
        },
    )
    chosen: dict[str, Value] = {}
    if bootargs:
        chosen["bootargs"] = checked_text(bootargs, "kernel command line")
    if CONSOLE_SLOT in slots:
        chosen["stdout-path"] = f"/soc/{_virtio_name(board, CONSOLE_SLOT)}"
    chosen["rng-seed"] = hashlib.sha256(f"rvhv rng-seed {seed} {name}".encode()).digest()[:RNG_SEED_BYTES]
    set_properties(add_child(tree.root, "chosen"), chosen)
    _cpus(add_child(tree.root, "cpus"), board, harts)
    set_properties(
        add_child(tree.root, f"memory@{board.ram_base:x}"),
        {"device_type": "memory", "reg": cells(board.ram_base, ram_size)},
    )
    _soc(add_child(tree.root, "soc"), board, harts, slots)
    blob: bytes = tree.to_dtb(version=DTB_VERSION, last_comp_version=DTB_LAST_COMPATIBLE_VERSION, boot_cpuid_phys=0)
    return blob


def _cpus(cpus: Node, board: Board, harts: int) -> None:
    set_properties(cpus, {"#address-cells": 1, "#size-cells": 0, "timebase-frequency": board.timebase})
    for hart in range(harts):
        cpu = add_child(cpus, f"cpu@{hart:x}")
        set_properties(
            cpu,
            {
                "device_type": "cpu",
                "reg": hart,
                "status": "okay",
                "compatible": "riscv",
                **cpu_properties(hypervisor=False),
            },
        )
        set_properties(
            add_child(cpu, "interrupt-controller"),
            {
                "#address-cells": 0,
                "#interrupt-cells": 1,
                "interrupt-controller": None,
                "compatible": "riscv,cpu-intc",
                "phandle": FIRST_CPU_PHANDLE + hart,
            },
        )


def _soc(soc: Node, board: Board, harts: int, slots: list[int]) -> None:
    set_properties(soc, {"#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None})
    plic = board.plic.window
    set_properties(
        add_child(soc, f"interrupt-controller@{plic.base:x}"),
        {
            "compatible": ["sifive,plic-1.0.0", "riscv,plic0"],
            "reg": cells(plic.base, plic.size),
            "#address-cells": 0,
            "#interrupt-cells": 1,
            "interrupt-controller": None,
            "interrupts-extended": [
                cell
                for hart in range(harts)
                for irq in (IRQ_M_EXT, IRQ_S_EXT)
                for cell in (FIRST_CPU_PHANDLE + hart, irq)
            ],
            "riscv,ndev": board.plic.sources,
            "phandle": PLIC_PHANDLE,
        },
    )
    for slot in slots:
        window = board.virtio.window(slot)
        set_properties(
            add_child(soc, _virtio_name(board, slot)),
            {
                "compatible": "virtio,mmio",
                "reg": cells(window.base, window.size),
                "interrupt-parent": PLIC_PHANDLE,
                "interrupts": board.virtio.source(slot),
            },
        )


def _virtio_name(board: Board, slot: int) -> str:
    return f"virtio_mmio@{board.virtio.window(slot).base:x}"


def cells(base: int, size: int) -> list[int]:
    """A reg property with two address cells and two size cells."""
    return [base >> 32, base & 0xFFFF_FFFF, size >> 32, size & 0xFFFF_FFFF]


def checked_text(text: str, what: str) -> str:
    if not (text.isascii() and text.isprintable()):
        raise ConfigError(f"the {what} {text!r} cannot go into a device tree: use printable ASCII characters")
    return text


def add_child(parent: Node, name: str) -> Node:
    from fdt import Node

    node = Node(name)
    parent.append(node)
    return node


def set_properties(node: Node, properties: dict[str, Value]) -> None:
    for name, value in properties.items():
        node.set_property(name, value)
