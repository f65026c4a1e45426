"""Tiny programs under the debugger: in a VM, or on a bare hart."""

from __future__ import annotations

from rvhv import Hypervisor
from rvhv.boot.loader import Software, prepare
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.debug.target import Context, MachineTarget, VmTarget
from rvhv.debug.view import View, plain
from rvhv.images import image_path
from rvhv.isa.render.asm import Assembler
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image, Segment, load_image
from rvhv.machine.memory import Memory
from rvhv.machine.virt import Machine
from rvhv.virtio.slots import fill_slots

ASSEMBLER = Assembler(ISA)
BASE = BOARD.image_base
RAM = 0x8000_0000
SCRATCH = RAM + 0x10_0000


def image(text: str, at: int = BASE) -> Image:
    code = ASSEMBLER.program(text, at)
    return Image("tiny", at, (Segment(at, code, (len(code) + 4095) // 4096 * 4096),), b"")


def vm(text: str, steps: int | None = None, memory: str = "4M") -> VmTarget:
    """A VM that has made so many steps of a program (None: until it ends or waits)."""
    hv = Hypervisor("32M")
    hv.create("tiny", image(text), memory=memory)
    target = VmTarget(hv)
    target.run(steps)
    return target


def guest(name: str, steps: int | None = None, disk: str | None = None) -> VmTarget:
    """A built-in guest."""
    hv = Hypervisor("32M")
    hv.create(name, memory="8M", disk=disk)
    target = VmTarget(hv)
    if steps is None or steps:
        target.run(steps)
    return target


def bare(text: str = "end: j end", steps: int = 0, *, mode: str = "M", harts: int = 1, **slots: int) -> MachineTarget:
    """A machine whose first hart is about to run a program in `mode` with these slots or CSRs set; then it makes its steps."""
    machine = Machine(Memory(4 << 20), harts=harts)
    fill_slots(machine, [], 0)
    hart = machine.harts[0]
    machine.memory.write(RAM, ASSEMBLER.program(text, RAM))
    hart.open_pmp()
    put(hart.state, "pc", RAM)
    for name, value in slots.items():
        if name in ISA.csrs:
            hart.write_csr(name, value)
        else:
            put(hart.state, name, value)
    prv, v = {"M": (3, 0), "S": (1, 0), "U": (0, 0), "VS": (1, 1), "VU": (0, 1)}[mode]
    put(hart.state, "prv", prv)
    put(hart.state, "v", v)
    target = MachineTarget(machine)
    if steps:
        target.run(steps)
    return target


def booted(name: str, steps: int = 0, harts: int = 1) -> MachineTarget:
    """A built-in program on the bare machine."""
    machine = Machine(Memory(128 << 20), harts=harts)
    fill_slots(machine, [], 0)
    prepare(Software(image_path(name)), memory=machine.memory.size, harts=harts).start(machine)
    target = MachineTarget(machine, [load_image(image_path(name))])
    if steps:
        target.run(steps)
    return target


def put(state: memoryview, name: str, value: int) -> None:
    state[SLOT[name]] = value


def text_of(view: View) -> str:
    """The lines as text, on one line: paragraphs are wrapped anywhere."""
    return " ".join(plain(view.lines()).split())


def frozen(context: Context) -> tuple[bytes, bytes]:
    """Everything that looking might change: the hart's state and memory. The translator's thread has one word of its own."""
    memory = context.target.memory
    state = context.hart.state
    attention = SLOT["attention"]
    return bytes(state[:attention]) + bytes(state[attention + 1 :]), memory.read(memory.base, memory.size)


def stop_at(target: VmTarget, name: str, hits: int = 1) -> Context:
    """Run to a symbol of the first context."""
    context = target.contexts[0]
    number = target.stops.add_breakpoint(context.images[0].symbols[name], context.bound)
    for _ in range(hits):
        target.run()
    target.stops.remove(number)
    return context
