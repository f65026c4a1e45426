"""The guest's machine: its memory map and interrupt sources, written once for devices, device tree and loader."""

from __future__ import annotations

from dataclasses import dataclass

from rvhv.errors import ConfigError

KIB = 1 << 10
MIB = 1 << 20

# virtio-mmio slots by use; a slot's interrupt source is first_source + slot
CONSOLE_SLOT = 0
BLOCK_SLOT = 1
ENTROPY_SLOT = 2


@dataclass(frozen=True, slots=True)
class Window:
    """A range of guest physical addresses: [base, base + size)."""

    base: int
    size: int

    @property
    def end(self) -> int:
        return self.base + self.size


@dataclass(frozen=True, slots=True)
class PlicLayout:
    window: Window
    sources: int  # sources 1..sources
    contexts: int  # context 2*h is hart h's M-mode, 2*h + 1 its S-mode


@dataclass(frozen=True, slots=True)
class VirtioLayout:
    first: Window  # slot 0; slot i follows i windows later
    slots: int
    first_source: int

    def window(self, slot: int) -> Window:
        """Raise ConfigError when the board has no such slot."""
        if not 0 <= slot < self.slots:
            raise ConfigError(f"virtio slot {slot} does not exist: the machine has slots 0 to {self.slots - 1}")
        return Window(self.first.base + slot * self.first.size, self.first.size)

    def source(self, slot: int) -> int:
        """The PLIC source of a slot."""
        return self.first_source + slot


@dataclass(frozen=True, slots=True)
class Board:
    """What a VM sees. The defaults are the contract of docs/architecture.md, "The guest's machine"."""

    ram_base: int = 0x8000_0000
    image_base: int = 0x8020_0000  # guest ELFs are linked here; what lies below is free for the device tree
    device_tree: int = 0x8000_0000  # where the loader puts the device tree
    plic: PlicLayout = PlicLayout(Window(0x0C00_0000, 0x60_0000), sources=31, contexts=2)
    virtio: VirtioLayout = VirtioLayout(Window(0x1000_1000, 0x1000), slots=8, first_source=1)
    timebase: int = 10_000_000  # Hz


BOARD = Board()
