"""A VM: its RAM, G-stage, devices, device tree and VCPU, and what it used."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from rvhv.core.stop_table import Bound, Modes
from rvhv.cpu.csrs import VSSIP
from rvhv.cpu.state import SLOT, Fence
from rvhv.errors import ConfigError, ImageError
from rvhv.hv import registers as r
from rvhv.hv.console import Console
from rvhv.hv.gstage import PAGE, RIGHTS, Fencer, GStage, block
from rvhv.hv.mmio import Emulator
from rvhv.hv.ram import Metered, Ram
from rvhv.hv.registers import cause_text
from rvhv.hv.sbi import GuestSbi
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.trapped import TrappedGuest
from rvhv.hv.vcpu import VCPU
from rvhv.machine.board import BLOCK_SLOT, BOARD, CONSOLE_SLOT, ENTROPY_SLOT
from rvhv.machine.bus import Bus
from rvhv.machine.disk import DiskImage
from rvhv.machine.fdt import guest_device_tree
from rvhv.machine.image import Image, check_fits
from rvhv.machine.memory import FrameAllocator, Memory
from rvhv.machine.plic import Plic
from rvhv.sbi import rfence
from rvhv.virtio.block import Block
from rvhv.virtio.console import Console as VirtioConsole
from rvhv.virtio.device import Device
from rvhv.virtio.entropy import Entropy
from rvhv.virtio.mmio import Status, VirtioMmio

if TYPE_CHECKING:
    from rvhv.hv.exits import VmExit
    from rvhv.hv.hypervisor import Hypervisor

log = logging.getLogger(__name__)

S_CONTEXT = 1  # the PLIC's context of hart 0's S-mode
MOST_WARNINGS = 5  # about one VM's drivers


class VM:
    """One guest. Made by `Hypervisor.create`; raises ConfigError, ImageError, DeviceError."""

    # made by power_on
    gstage: GStage
    ram: Ram
    devices_memory: Metered
    sbi: GuestSbi
    mmio: Emulator

    def __init__(
        self,
        hv: Hypervisor,
        number: int,
        name: str,
        memory: int,
        image: Image,
        disk: DiskImage | str | os.PathLike[str] | None,
        weight: int = 1,
    ) -> None:
        self.hv = hv
        self.hart = hv.hart
        self.number = number
        self.name = name
        self.memory_size = memory
        self.weight = weight
        self.image = image
        self.stopped: GuestStopped | None = None
        self.debt = 0  # steps by which it exceeded its slices: taken off the next ones
        self.stayed_at: type[VmExit] | None = None  # a replaced handler's, which left the pc where it was
        self.powered = False  # it never was where a grader only has its G-stage
        self._clock_at_end = 0
        self._warnings = 0
        check_fits(image, BOARD.ram_base, memory)
        slots = (CONSOLE_SLOT, ENTROPY_SLOT) if disk is None else (CONSOLE_SLOT, BLOCK_SLOT, ENTROPY_SLOT)
        self._device_tree = guest_device_tree(name=name, ram_size=memory, virtio_slots=slots, seed=hv.seed)
        self._check_device_tree()
        self.vcpu = VCPU(hv.worlds, hv.make_interrupts, number, hv.clock)
        self.console = Console(self._printed)
        self.bus = Bus()
        self.plic = Plic(self._on_plic_output)
        self.disk = disk if disk is None or isinstance(disk, DiskImage) else DiskImage(disk)

    def _check_device_tree(self) -> None:
        for segment in self.image.segments:
            if segment.addr < BOARD.device_tree + len(self._device_tree) and BOARD.device_tree < segment.end:
                raise ImageError(
                    f"{self.image.name}: its segment at {segment.addr:#x} covers the device tree at "
                    f"{BOARD.device_tree:#x}: link it at {BOARD.image_base:#x}"
                )

    def power_on(
        self, make_gstage: Callable[[Memory, FrameAllocator, Fencer], GStage], reset: bytearray, reserve: bool
    ) -> None:
        """Give it RAM with its image in it, devices and a VCPU about to start. Raises OutOfFrames."""
        self.gstage = make_gstage(self.hv.memory, self.hv.frames, self.hfence_gvma)
        self.powered = True
        if reserve:
            spa = self.hv.frames.alloc(self.memory_size // PAGE, align=block(1) // PAGE)
            self.gstage.map_range(BOARD.ram_base, spa, self.memory_size, "rwx")
        self.ram = Ram(self.hv.memory, self.gstage, BOARD.ram_base, self.memory_size)
        self.devices_memory = Metered(self.ram)
        self.ram.write(BOARD.device_tree, self._device_tree)
        for segment in self.image.segments:
            self.ram.write(segment.addr, segment.data)
        self.hart.fence(Fence.FENCE_I)  # its frames may have held another VM's code
        self.bus.attach(self.plic)
        self._virtio_console = VirtioConsole(self.console.write)
        self._console_port = self._attach(CONSOLE_SLOT, self._virtio_console)
        if self.disk is not None:
            self._attach(BLOCK_SLOT, Block(self.disk, serial=self.name))
        self._attach(ENTROPY_SLOT, Entropy(self.hv.seed, self.name))
        guest = TrappedGuest(self)
        self.sbi = GuestSbi(guest)
        self.mmio = self.hv.make_mmio(guest, self.bus)
        self.vcpu.setup(reset, self.gstage.root, self.image.entry, BOARD.device_tree)

    def _attach(self, slot: int, device: Device) -> VirtioMmio:
        source = BOARD.virtio.source(slot)
        transport = VirtioMmio(
            device,
            self.devices_memory,
            base=BOARD.virtio.window(slot).base,
            irq=lambda level: self.plic.set_level(source, level),
            on_broken=self._on_broken,
        )
        self.bus.attach(transport)
        return transport

    def finish(self, stopped: GuestStopped) -> None:
        """Stop it, off the hart, and give its frames and its disk back."""
        self._clock_at_end = self.vcpu.now
        self.stopped = stopped
        if self.powered:
            self.gstage.release()
        if self.disk is not None:
            self.disk.close()

    @property
    def ram_range(self) -> range:
        """The gpas of its RAM."""
        return range(BOARD.ram_base, BOARD.ram_base + self.memory_size)

    def has_ram(self, gpa: int, n: int = 1) -> bool:
        """Whether all `n` bytes at `gpa` are its RAM; also of a VM that was not powered on."""
        return gpa in self.ram_range and gpa + n <= self.ram_range.stop

    @property
    def bound(self) -> Bound:
        """What keeps a breakpoint or watchpoint (`Hypervisor.stops`) to this VM."""
        return Bound(Modes.VU | Modes.VS, self.vcpu.state[SLOT["hgatp"]])

    # what its parts report

    def _printed(self, data: bytes) -> None:
        self.hv.show(self, data)

    def _on_plic_output(self, context: int, level: bool) -> None:
        if context == S_CONTEXT:
            self.vcpu.interrupts.set_external(level)

    def _on_broken(self, sentence: str) -> None:
        self._warnings += 1
        if self._warnings <= MOST_WARNINGS:
            log.warning("%s: %s", self.name, sentence)

    def hfence_gvma(self, gpa: int | None) -> None:
        """HFENCE.GVMA with its VMID: rs1 is `gpa` shifted right by two, or x0."""
        self.hart.fence(Fence.HFENCE_GVMA, gpa, 1, self.number)

    # what may be done with its RAM

    def discard(self, gpa: int, size: int) -> None:
        """Take pages of RAM back, as a balloon does: what the guest reads there next is zero. Raises ConfigError."""
        self._check_pages(gpa, size)
        self.gstage.unmap(gpa, size)

    def protect(self, gpa: int, size: int, rights: str) -> None:
        """Change the rights of pages that the guest has touched to "r", "x", "rw", "rx" or "rwx". What exceeds them is an
        exit, which stops the VM unless a handler of `Hypervisor.on` does something about it. Raises ConfigError."""
        if rights not in RIGHTS:
            raise ConfigError(f"{rights!r} are no rights of a page: there are {', '.join(RIGHTS)}")
        self._check_pages(gpa, size)
        self.gstage.protect(gpa, size, rights)

    def _check_pages(self, gpa: int, size: int) -> None:
        if (gpa | size) % PAGE or size < 0 or not self.ram.covers(gpa, size):
            raise ConfigError(f"{size:#x} bytes at {gpa:#x} are not whole pages of the RAM of {self.name}")

    # what it asks the SBI for

    def set_timer(self, stime_value: int) -> None:
        self.vcpu.interrupts.set_timer(stime_value)

    hart_count = 1

    def send_ipi(self, hart: int) -> None:
        self.hart.write_csr("hvip", self.hart.state[r.HVIP] | VSSIP)

    def remote_fence(self, harts: Iterable[int], kind: Fence, start_addr: int | None, one_space: bool) -> None:
        # the guest's tables are VS-stage's: for us, who have hgatp's VMID, its sfence.vma is an hfence.vvma
        kind = Fence.HFENCE_VVMA if kind is Fence.SFENCE_VMA else kind
        for _ in harts:
            self.hart.fence(kind, *rfence.operands(self.hart.state, start_addr, one_space))

    def power_off(self, how: str, failed: bool, reboot: bool) -> None:
        raise GuestStopped(how, failed=failed)

    # what a person does with it and asks about it

    def feed(self, data: bytes) -> None:
        """Type on its console."""
        if self.hv.on_feed is not None:
            self.hv.on_feed(self, data)
        else:
            self.typed(data)

    def typed(self, data: bytes) -> None:
        """What was typed gets there: to its virtio console once a driver runs it, else to what SBI calls read."""
        if self.stopped is None and self._console_port.status & Status.DRIVER_OK:
            self._virtio_console.input(data)
        else:
            self.console.feed(data)

    @property
    def state(self) -> str:
        """ "running", "asleep" (in a WFI) or "stopped"."""
        return "stopped" if self.stopped is not None else "asleep" if self.vcpu.asleep else "running"

    @property
    def reason(self) -> str:
        """Why it stopped; empty before."""
        return self.stopped.reason if self.stopped is not None else ""

    @property
    def failed(self) -> bool:
        """Whether it stopped in another way than by its own wish."""
        return self.stopped is not None and self.stopped.failed

    @property
    def steps(self) -> int:
        """Steps of its own: instructions retired, traps and interrupts taken."""
        return self.vcpu.steps

    @property
    def instructions(self) -> int:
        """Instructions retired."""
        return self.vcpu.instructions

    @property
    def cpu_share(self) -> float:
        """Its part of all the steps the hart made, 0 to 1."""
        total = self.hv.steps
        return self.steps / total if total else 0.0

    @property
    def exit_counts(self) -> dict[str, int]:
        """Exits to the hypervisor by the name of their cause, most frequent first."""
        counts = self.hv.trace.counts(self.number)
        return {cause_text(scause): n for scause, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))}

    @property
    def virtual_ns(self) -> int:
        """Its clock, in nanoseconds of virtual time; when it stopped, if it has."""
        return self._clock_at_end if self.stopped is not None else self.vcpu.now

    def trace_hash(self) -> str:
        """SHA-256 over its own exits, 64 hex digits: the same whatever its neighbours do, if it cannot feel them."""
        return self.hv.trace.own_hexdigest(self.number)
