"""What goes where before the first instruction: firmware, kernel, initrd, device tree; and how the harts begin.

    an ELF alone          M-mode at its entry
    an Image (or a flat   S-mode at RAM + its text offset (flat: 0x8020_0000) under the built-in firmware; with firmware `none`
    binary)               M-mode, a flat binary then at the start of RAM
    firmware FILE         M-mode in the firmware, a flat one at the start of RAM; the image is the kernel that it starts
Every hart begins with its number in a0 and the device tree in a1; firmware also finds OpenSBI's fw_dynamic_info in a2. The device
tree lies at the end of RAM, the initrd below it.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

from rvhv.boot.firmware import BuiltIn
from rvhv.cpu.state import SLOT
from rvhv.errors import ConfigError, ImageError
from rvhv.machine import virt_board as board
from rvhv.machine.htif import Htif
from rvhv.machine.image import Image, Segment, check_fits, is_elf, load_image, read_binary
from rvhv.machine.symbols import Symbols
from rvhv.machine.virt import End, Machine
from rvhv.machine.virt_tree import machine_tree, with_chosen

BUILTIN, NONE = "builtin", "none"
PAGE, ALIGN = 0x1000, 0x20_0000
GZIP_MAGIC = b"\x1f\x8b"
# the header of a Linux Image: text_offset at 8, image_size at 16, magic at 56
IMAGE_HEADER = struct.Struct("<8xQQ24x8xI4x")
IMAGE_MAGIC = int.from_bytes(b"RSC\x05", "little")
# struct fw_dynamic_info of OpenSBI: magic, version, next_addr, next_mode, options, boot_hart
DYNAMIC_INFO = struct.Struct("<6Q")
DYNAMIC_MAGIC, DYNAMIC_VERSION, NEXT_MODE_S = 0x4942534F, 2, 1


@dataclass(frozen=True)
class Software:
    """What to start, by name. `firmware`: "builtin", "none", a file, or None for what suits the image."""

    image: str | os.PathLike[str] | None = None
    kernel: str | os.PathLike[str] | None = None
    firmware: str | None = None
    initrd: str | os.PathLike[str] | None = None
    append: str = ""
    dtb: str | os.PathLike[str] | None = None
    seed: int = 0


@dataclass(frozen=True)
class _Program:
    """An ELF or a flat binary with its place."""

    name: str
    entry: int
    segments: tuple[Segment, ...]
    elf: Image | None

    @property
    def end(self) -> int:
        return max(s.end for s in self.segments)


@dataclass(frozen=True)
class Boot:
    """Everything in its place. `start` puts it into a machine."""

    programs: tuple[_Program, ...]
    entry: int
    supervisor: bool  # S-mode under the built-in firmware
    initrd: Segment | None
    dtb: bytes
    dtb_at: int
    next_at: int  # what firmware starts

    @property
    def images(self) -> list[Image]:
        """The programs that are ELFs."""
        return [program.elf for program in self.programs if program.elf is not None]

    @property
    def symbols(self) -> Symbols:
        """Of `images`."""
        return Symbols({name: value for image in self.images for name, value in image.symbols.items()})

    @property
    def hint(self) -> str:
        """What was probably forgotten; empty: nothing. By its name: only OpenSBI's fw_dynamic is told what to start."""
        name = os.path.basename(self.programs[0].name)
        if len(self.programs) > 1 or not name.startswith("fw_dynamic"):
            return ""
        return f"{name} starts what --kernel names, and there is none"

    def start(self, machine: Machine) -> None:
        """Load everything and point the harts at it; the machine is new."""
        memory = machine.memory
        for segment in [s for p in self.programs for s in p.segments] + ([self.initrd] if self.initrd else []):
            memory.write(segment.addr, segment.data)
        memory.write(self.dtb_at, self.dtb)
        info_at = self.dtb_at + _up(len(self.dtb), 8)
        info = DYNAMIC_INFO.pack(DYNAMIC_MAGIC, DYNAMIC_VERSION, self.next_at, NEXT_MODE_S, 0, 0)
        memory.write(info_at, info)
        for hart in machine.harts:
            hart.state[SLOT["pc"]] = self.entry
            hart.state[SLOT["x10"]] = hart.state[SLOT["mhartid"]]
            hart.state[SLOT["x11"]] = self.dtb_at
            hart.state[SLOT["x12"]] = info_at
        if self.supervisor:
            BuiltIn(machine).boot(self.entry, self.dtb_at)
        elif (elf := self.programs[0].elf) is not None and "tohost" in elf.symbols:
            machine.htif = Htif(
                memory,
                elf,
                watch=machine.harts[0].watch,
                on_output=lambda data: machine.on_output(data),
                on_exit=lambda code: machine.stop(End(f"exited with code {code}" if code else "exited", code)),
                read=machine.uart.take,
            )


def prepare(software: Software, *, memory: int, harts: int) -> Boot:
    """Read and place everything for a machine of `memory` bytes. Raises ConfigError and ImageError, each one clear line."""
    if memory % PAGE:
        raise ConfigError(f"--memory: {memory} bytes are not a whole number of {PAGE}-byte pages")
    programs, supervisor = _programs(software)
    ram_end = board.RAM_BASE + memory
    for program in programs:
        image = program.elf or Image(program.name, program.entry, program.segments, b"")
        check_fits(image, board.RAM_BASE, memory, "the machine")
    if len(programs) == 2:
        _check_apart(*programs)
    top = max(program.end for program in programs)
    initrd_data = read_binary(software.initrd) if software.initrd is not None else b""
    # the size of the tree does not depend on where the initrd lies
    draft = _tree(software, memory, harts, (0, 0) if initrd_data else None)
    room = _up(len(draft), 8) + DYNAMIC_INFO.size
    dtb_at = (ram_end - room) & -(ALIGN if memory >= 4 * ALIGN else PAGE)
    if dtb_at < top and ram_end - room >= top:
        dtb_at = (ram_end - room) & -PAGE
    if dtb_at < top:
        raise ImageError(
            f"{programs[-1].name}: leaves no room for the device tree ({room} bytes) at the end of memory: give the machine more"
        )
    initrd = None
    if initrd_data:
        at = (dtb_at - len(initrd_data)) & -PAGE
        if at < top:
            raise ImageError(
                f"{software.initrd}: {len(initrd_data)} bytes of initrd do not fit between {top:#x}, the end of "
                f"{programs[-1].name}, and the device tree at {dtb_at:#x}: give the machine more memory"
            )
        initrd = Segment(at, initrd_data, len(initrd_data))
    span = (initrd.addr, initrd.end) if initrd else None
    dtb = _tree(software, memory, harts, span)
    return Boot(programs, programs[0].entry, supervisor, initrd, dtb, dtb_at, programs[-1].entry)


def _tree(software: Software, memory: int, harts: int, initrd: tuple[int, int] | None) -> bytes:
    if software.dtb is not None:
        return with_chosen(read_binary(software.dtb), str(software.dtb), software.append, initrd)
    return machine_tree(ram_size=memory, harts=harts, bootargs=software.append, initrd=initrd, seed=software.seed)


def _programs(software: Software) -> tuple[tuple[_Program, ...], bool]:
    """What runs first, then what firmware starts; and whether the built-in firmware does."""
    image, kernel, firmware = software.image, software.kernel, software.firmware
    if image is not None and kernel is not None and firmware is not None:
        raise ConfigError("IMAGE, --kernel and --firmware are one too many: the firmware starts one kernel")
    if kernel is None and firmware is not None and firmware != NONE:
        image, kernel = None, image  # what the firmware starts
    if image is not None and kernel is not None:
        firmware, image = os.fspath(image), None  # an image that is given a kernel is the firmware
    if firmware is not None and firmware not in (BUILTIN, NONE):
        first = _load(firmware, board.RAM_BASE)
        return ((first,) if kernel is None else (first, _load(kernel, board.KERNEL_BASE))), False
    source = image if image is not None else kernel
    if source is None:
        raise ConfigError("there is nothing to boot: name an IMAGE, --kernel or --firmware FILE")
    program = _load(source, board.RAM_BASE if firmware == NONE else board.KERNEL_BASE)
    supervisor = firmware == BUILTIN or (firmware is None and (program.elf is None or kernel is not None))
    return (program,), supervisor


def _load(source: str | os.PathLike[str], flat_at: int) -> _Program:
    """An ELF, a Linux Image at its offset, or a flat binary at `flat_at`."""
    data = read_binary(source)
    name = Path(source).name
    if is_elf(data):
        elf = load_image(data, name)
        return _Program(name, elf.entry, elf.segments, elf)
    if data[:2] == GZIP_MAGIC:
        raise ImageError(f"{source}: is compressed: unpack it with gunzip")
    at, size = flat_at, len(data)
    if len(data) >= IMAGE_HEADER.size:
        text_offset, image_size, magic = IMAGE_HEADER.unpack_from(data)
        if magic == IMAGE_MAGIC:
            if text_offset >= 1 << 40 or image_size >= 1 << 40:
                raise ImageError(f"{source}: is a damaged Image: its header asks for {image_size} bytes at +{text_offset:#x}")
            at, size = board.RAM_BASE + text_offset, max(size, image_size)
    return _Program(name, at, (Segment(at, data, size),), None)


def _check_apart(first: _Program, second: _Program) -> None:
    for a in first.segments:
        for b in second.segments:
            if a.addr < b.end and b.addr < a.end:
                raise ImageError(f"{second.name}: its segment {b.addr:#x}..{b.end:#x} overlaps {first.name}: link it elsewhere")


def _up(n: int, align: int) -> int:
    return -(-n // align) * align
