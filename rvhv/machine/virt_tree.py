"""The bare machine's device tree, as QEMU's `virt` has it (Devicetree Specification 0.4, with the RISC-V bindings of Linux)."""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING

from rvhv.errors import ImageError
from rvhv.machine import virt_board as board
from rvhv.machine.board import Window
from rvhv.machine.fdt import (
    DTB_LAST_COMPATIBLE_VERSION,
    DTB_VERSION,
    IRQ_M_EXT,
    IRQ_S_EXT,
    RNG_SEED_BYTES,
    Value,
    add_child,
    cells,
    checked_text,
    set_properties,
)
from rvhv.machine.isa_string import cpu_properties

if TYPE_CHECKING:
    from fdt import FDT, Node

IRQ_M_SOFT, IRQ_M_TIMER = 3, 7
PLIC_PHANDLE, FINISHER_PHANDLE, FIRST_CPU_PHANDLE = 1, 2, 3
STDOUT = f"/soc/serial@{board.UART.base:x}"
DTB_MAGIC = b"\xd0\x0d\xfe\xed"
HEADER = struct.Struct(">10I")  # magic, totalsize, off_dt_struct, off_dt_strings, off_mem_rsvmap, versions, cpu, sizes
BEGIN_NODE, END_NODE, PROPERTY, NOP, END = 1, 2, 3, 4, 9  # tokens of the structure block
MOST_RESERVATIONS, MOST_DEPTH = 256, 64


def machine_tree(
    *, ram_size: int, harts: int, bootargs: str = "", initrd: tuple[int, int] | None = None, seed: int = 0
) -> bytes:
    """The flattened tree; the same arguments give the same bytes. `initrd`: its first address and the one behind it."""
    from fdt import FDT

    tree = FDT()
    root = tree.root
    set_properties(
        root, {"#address-cells": 2, "#size-cells": 2, "model": "riscv-virtio,rvhv", "compatible": "riscv-virtio"}
    )
    rng_seed = hashlib.sha256(f"rvhv rng-seed {seed} machine".encode()).digest()[:RNG_SEED_BYTES]
    set_properties(add_child(root, "chosen"), {"stdout-path": STDOUT, "rng-seed": rng_seed})
    _choose(root, bootargs, initrd)
    for name, value in (("poweroff", 0x5555), ("reboot", 0x7777)):
        node = add_child(root, name)
        set_properties(
            node, {"compatible": f"syscon-{name}", "regmap": FINISHER_PHANDLE, "offset": 0, "value": value}
        )
    _cpus(add_child(root, "cpus"), harts)
    memory = add_child(root, f"memory@{board.RAM_BASE:x}")
    set_properties(memory, {"device_type": "memory", "reg": cells(board.RAM_BASE, ram_size)})
    _soc(add_child(root, "soc"), harts)
    return _flatten(tree)


def with_chosen(dtb: bytes, name: str, bootargs: str, initrd: tuple[int, int] | None) -> bytes:
    """A given tree with the command line and the initrd in /chosen. Raises ImageError when it is no device tree."""
    from fdt import Node, parse_dtb

    check_tree(dtb, name)
    try:
        tree = parse_dtb(dtb)
        if (bootargs or initrd) and not tree.exist_node("/chosen"):
            tree.root.append(Node("chosen"))
        _choose(tree.root, bootargs, initrd)
        return _flatten(tree) if bootargs or initrd else dtb
    except Exception as error:  # the package lets anything out on damaged trees
        raise ImageError(f"{name}: is a damaged device tree ({type(error).__name__}: {error})") from None


def check_tree(dtb: bytes, name: str) -> None:
    """Raise ImageError unless the bytes are a flattened device tree: its header, reservations and structure are walked."""
    if dtb[:4] != DTB_MAGIC:
        raise ImageError(f"{name}: is not a flattened device tree: compile it with dtc -O dtb")
    if len(dtb) < HEADER.size or (total := int.from_bytes(dtb[4:8], "big")) > len(dtb):
        raise ImageError(f"{name}: is a device tree that was cut off")
    if (what := _damage(dtb[:total])) is not None:
        raise ImageError(f"{name}: is a damaged device tree: {what}")


def _damage(dtb: bytes) -> str | None:
    """What is wrong with a tree's bytes; None when they can be parsed."""
    _, _, structure, strings, reservations, version, _, _, strings_size, structure_size = HEADER.unpack_from(dtb)
    if not DTB_LAST_COMPATIBLE_VERSION <= version <= DTB_VERSION:
        return f"its version is {version}"
    if structure % 4 or structure + structure_size > len(dtb) or strings + strings_size > len(dtb):
        return "its header names places outside of it"
    for at in range(reservations, reservations + 16 * MOST_RESERVATIONS, 16):
        if at + 16 > len(dtb):
            return "its memory reservations do not end"
        if dtb[at : at + 16] == bytes(16):
            break
    else:
        return f"it has more than {MOST_RESERVATIONS} memory reservations"
    at, end, depth = structure, structure + structure_size, 0
    while at + 4 <= end:
        token = int.from_bytes(dtb[at : at + 4], "big")
        at += 4
        if token == BEGIN_NODE:
            closing = dtb.find(b"\0", at, end)
            depth += 1
            if closing < 0 or depth > MOST_DEPTH:
                return "its nodes do not end"
            at = closing + 4 & ~3
        elif token == END_NODE:
            depth -= 1
            if depth < 0:
                return "a node ends that has not begun"
        elif token == PROPERTY:
            length, name = (int.from_bytes(dtb[at + i : at + i + 4], "big") for i in (0, 4))
            if name >= strings_size or at + 8 + length > end:
                return "a property lies outside of it"
            at = at + 8 + length + 3 & ~3
        elif token == END:
            return None if depth == 0 else "its nodes do not end"
        elif token != NOP:
            return f"there is no token {token:#x}"
    return "it has no end"


def _choose(root: Node, bootargs: str, initrd: tuple[int, int] | None) -> None:
    chosen = root.get_subnode("chosen")
    if bootargs:
        chosen.set_property("bootargs", checked_text(bootargs, "kernel command line"))
    if initrd:
        for name, address in zip(("linux,initrd-start", "linux,initrd-end"), initrd, strict=True):
            chosen.set_property(name, [address >> 32, address & 0xFFFF_FFFF])


def _flatten(tree: FDT) -> bytes:
    blob: bytes = tree.to_dtb(version=DTB_VERSION, last_comp_version=DTB_LAST_COMPATIBLE_VERSION, boot_cpuid_phys=0)
    return blob


def _cpus(cpus: Node, harts: int) -> None:
    set_properties(cpus, {"#address-cells": 1, "#size-cells": 0, "timebase-frequency": board.TIMEBASE_HZ})
    for hart in range(harts):
        cpu = add_child(cpus, f"cpu@{hart:x}")
        set_properties(
            cpu,
            {
                "device_type": "cpu",
                "reg": hart,
                "status": "okay",
                "compatible": "riscv",
                **cpu_properties(),
            },
        )
        controller = add_child(cpu, "interrupt-controller")
        set_properties(
            controller,
            {
                "#interrupt-cells": 1,
                "interrupt-controller": None,
                "compatible": "riscv,cpu-intc",
                "phandle": FIRST_CPU_PHANDLE + hart,
            },
        )


def _soc(soc: Node, harts: int) -> None:
    set_properties(soc, {"#address-cells": 2, "#size-cells": 2, "compatible": "simple-bus", "ranges": None})
    interrupt: dict[str, Value] = {"interrupt-parent": PLIC_PHANDLE}

    def device(name: str, window: Window, properties: dict[str, Value]) -> None:
        node = add_child(soc, f"{name}@{window.base:x}")
        set_properties(node, {**properties, "reg": cells(window.base, window.size)})

    device(
        "test",
        board.FINISHER,
        {"compatible": ["sifive,test1", "sifive,test0", "syscon"], "phandle": FINISHER_PHANDLE},
    )
    device("rtc", board.RTC, {"compatible": "google,goldfish-rtc", "interrupts": board.RTC_SOURCE, **interrupt})
    device(
        "clint",
        board.CLINT,
        {"compatible": ["sifive,clint0", "riscv,clint0"], "interrupts-extended": _local(harts, IRQ_M_SOFT, IRQ_M_TIMER)},
    )
    device(
        "plic",
        board.PLIC,
        {
            "compatible": ["sifive,plic-1.0.0", "riscv,plic0"],
            "#address-cells": 0,
            "#interrupt-cells": 1,
            "interrupt-controller": None,
            "interrupts-extended": _local(harts, IRQ_M_EXT, IRQ_S_EXT),
            "riscv,ndev": board.PLIC_SOURCES,
            "phandle": PLIC_PHANDLE,
        },
    )
    device(
        "serial",
        board.UART,
        {
            "compatible": "ns16550a",
            "clock-frequency": board.UART_CLOCK_HZ,
            "interrupts": board.UART_SOURCE,
            **interrupt,
        },
    )
    for slot in range(board.VIRTIO.slots):
        source = board.VIRTIO.source(slot)
        device("virtio_mmio", board.VIRTIO.window(slot), {"compatible": "virtio,mmio", "interrupts": source, **interrupt})


def _local(harts: int, *interrupts: int) -> list[int]:
    """These local interrupts of every hart."""
    return [cell for hart in range(harts) for irq in interrupts for cell in (FIRST_CPU_PHANDLE + hart, irq)]
