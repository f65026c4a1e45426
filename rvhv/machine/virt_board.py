"""The bare machine's memory map and interrupt sources, those of QEMU's `virt`, for devices, device tree and loader."""

from __future__ import annotations

from rvhv.machine.board import BOARD, Window

MAX_HARTS = 8

FINISHER = Window(0x10_0000, 0x1000)
RTC = Window(0x10_1000, 0x1000)
CLINT = Window(0x200_0000, 0x1_0000)
PLIC = Window(0x0C00_0000, 0x60_0000)
UART = Window(0x1000_0000, 0x100)
VIRTIO = BOARD.virtio  # eight slots from 0x1000_1000, sources 1 to 8
RAM_BASE = 0x8000_0000
KERNEL_BASE = 0x8020_0000  # where firmware jumps to, and where an S-mode payload begins

UART_SOURCE = 10
RTC_SOURCE = 11
PLIC_SOURCES = 31

TIMEBASE_HZ = 10_000_000
UART_CLOCK_HZ = 3_686_400
FIRST_DISK_SLOT = 0  # disks take the slots from here on
ENTROPY_SLOT = 7
