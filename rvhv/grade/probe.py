"""A hart in HS-mode that accesses guest memory with HLV, HLVX and HSV, and is followed by the checker of missing fences.

vsatp is Bare, so a guest virtual address is a guest physical one. The hart sets no A and D bits itself (menvcfg.ADUE = 0).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from rvhv.core.memory import RAM_BASE
from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT, Exit, Fence
from rvhv.errors import InternalError
from rvhv.fences.report import Missing
from rvhv.grade.check import Lost
from rvhv.grade.cpart import END
from rvhv.grade.part import Offered, attribute, data, maybe, method, u64, whole
from rvhv.hext.walks.record import Walk
from rvhv.hext.walks.recorder import walk_gpa
from rvhv.hv import registers as r
from rvhv.hv.hypervisor import Hypervisor
from rvhv.hv.stopped import GuestStopped
from rvhv.hv.vm import VM
from rvhv.hv.world import hgatp
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image
from rvhv.machine.memory import PAGE, FrameAllocator, Memory

ADUE = r.field("menvcfg", "ADUE")
WORDS = {"load": "hlv.d a1, (a0)", "store": "hsv.d a1, (a0)", "fetch": "hlvx.wu a1, (a0)"}  # what needs R, W and X
WORD = 4
PROGRAMS = END - RAM_BASE  # bytes at the beginning of memory: the judge's program, and a part in C
MOST_WORK = 1_000_000  # frames allocated by all calls together
SEARCHED = 16  # free frames that cost as much to look at as one to allocate
MOST_BYTES = 1 << 14  # read or written at once


class Answer(NamedTuple):
    """What an access came to: the value, or the cause of its exception."""

    value: int
    cause: int | None


class Frames(FrameAllocator):
    """An allocator that keeps book: which runs of frames are out, and how much work it had."""

    def __init__(self, memory: Memory, start: int, end: int) -> None:
        super().__init__(memory, start, end)
        self.out: set[int] = set()
        self.work = 0  # in frames

    def alloc(self, count: int = 1, align: int = 1) -> int:
        """Raises Lost where a part keeps the judge busy."""
        self.work += count + (len(self._free_set) // SEARCHED if count > 1 or align > 1 else 0)
        if self.work > MOST_WORK:
            raise Lost("the part to allocate what it needs", f"it asked for more than {MOST_WORK:,} frames")
        spa = super().alloc(count, align)
        self.out.update(range(spa, spa + count * PAGE, PAGE))
        return spa

    def free(self, spa: int, count: int = 1) -> None:
        for frame in range(spa, spa + count * PAGE, PAGE):
            if frame not in self.out:
                raise ValueError(f"{frame:#x} is no frame that is in use, so it cannot be freed")
        self.out.difference_update(range(spa, spa + count * PAGE, PAGE))
        super().free(spa, count)


class Probe:
    """The machine: `memory` of `size` bytes, whose frames from `start` on are `frames`; the first is the hart's own program."""

    def __init__(self, size: int, vmid: int, *, start: int = 0) -> None:
        self.hv = Hypervisor(size, check_fences=True)
        assert self.hv.fences is not None
        self.memory, self.hart, self.checker = self.hv.memory, self.hv.hart, self.hv.fences
        self.frames = Frames(self.memory, self.memory.base + max(start, PROGRAMS), self.memory.base + size)
        self.vmid = vmid
        self.fenced: list[int | None] = []  # HFENCE.GVMAs, by gpa; None: all addresses
        self.warm: list[int] = []  # gpas that the hart accesses after each fence, as one that speculates may
        self.memory.write(self.memory.base, _program())
        write = self.hart.write_csr
        write("menvcfg", self.hart.read_csr("menvcfg") & ~ADUE)
        write("vsatp", 0)
        write("hstatus", self.hart.read_csr("hstatus") | r.SPVP)
        self.hart.state[SLOT["prv"]], self.hart.state[SLOT["v"]] = 1, 0

    def use(self, root: int) -> None:
        """Write hgatp, with a fence before anything was cached of it."""
        self.hart.write_csr("hgatp", hgatp(root, self.vmid))
        self.hart.fence(Fence.HFENCE_GVMA)

    def access(self, kind: str, gpa: int, value: int = 0) -> Answer:
        """Load or fetch, or store `value` (64 bits, aligned)."""
        if self.memory.read(self.memory.base, len(_program())) != _program():
            raise Lost("the part to write to its own frames only", f"it wrote to {self.memory.base:#x}, which is not one")
        state = self.hart.state
        state[SLOT["pc"]] = self.memory.base + WORD * list(WORDS).index(kind)
        state[SLOT["x10"]], state[SLOT["x11"]] = gpa, value
        state[SLOT["prv"]], state[SLOT["v"]] = 1, 0
        state[SLOT["scause"]] = state[SLOT["traps_in_a_row"]] = 0
        while (code := self.hart.run(1)) == Exit.TRACE_FULL:
            self.hart.drain_trace()
        if code not in (Exit.BUDGET, Exit.HS):
            raise InternalError(f"the hart returned {Exit(code).name} for an access to a guest")
        return Answer(state[SLOT["x11"]], state[SLOT["scause"]] if code == Exit.HS else None)

    def walk(self, gpa: int, kind: str = "load") -> Walk:
        return walk_gpa(self.hart.state, self.memory, gpa, kind, devices=False)

    def hfence_gvma(self, gpa: int | None) -> None:
        self.fenced.append(gpa)
        self.hart.fence(Fence.HFENCE_GVMA, gpa, 1, self.vmid)
        for warm in self.warm:
            self.access("load", warm)

    def stand(self) -> Hypervisor:
        """The machine as `rvhv debug` can look at it: with a guest, of which there is nothing but the G-stage."""
        if not self.hv.vms:
            vm = VM(self.hv, 1, "check", self.memory.size, Image("check", BOARD.image_base, (), b""), None)
            vm.vcpu.loaded = True
            vm.stopped = GuestStopped("this is where a check failed: there is no guest to run")
            self.hv.vms.append(vm)
            self.hv.trace.add_vm(vm.number, vm.name)
            self.hv.last_run = vm
        return self.hv

    @property
    def missing(self) -> list[Missing]:
        """Accesses that a missing fence left to chance."""
        return self.checker.reports


@cache
def _program() -> bytes:
    from rvhv.isa.render.asm import Assembler

    assembler = Assembler(ISA)
    return b"".join(assembler.program(text, 0) for text in WORDS.values())


def offered_memory(memory: Memory) -> Offered:
    """Reading and writing by spa."""

    def check(spa: int, count: int) -> None:
        if not (memory.base <= spa and spa + count <= memory.base + memory.size):
            raise ValueError(f"{count} bytes at {spa:#x} are not in memory ({memory.base:#x} to {memory.base + memory.size:#x})")

    def read(spa: int, n: int) -> bytes:
        check(spa, n)
        return memory.read(spa, n)

    def write(spa: int, data: bytes) -> None:
        check(spa, len(data))
        memory.write(spa, data)

    def read_u64(spa: int) -> int:
        return int.from_bytes(read(spa, 8), "little")

    def write_u64(spa: int, value: int) -> None:
        write(spa, value.to_bytes(8, "little"))

    return Offered(
        "memory",
        {
            "base": attribute(lambda: memory.base),
            "size": attribute(lambda: memory.size),
            "read": method(read, spa=u64, n=whole(0, MOST_BYTES)),
            "write": method(write, spa=u64, data=data(MOST_BYTES)),
            "read_u64": method(read_u64, spa=u64),
            "write_u64": method(write_u64, spa=u64, value=u64),
        },
        memory,
    )


def offered_frames(frames: FrameAllocator) -> Offered:
    most = frames.memory.size // PAGE
    return Offered(
        "frames",
        {
            "alloc": method(frames.alloc, 0, count=whole(1, most), align=whole(1, most)),
            "free": method(frames.free, 1, spa=u64, count=whole(1, most)),
            "available": attribute(lambda: frames.available),
        },
        frames,
    )


def offered_fence(fence: Callable[[int | None], None]) -> Offered:
    """The instruction HFENCE.GVMA as a function of a gpa (None: of all)."""
    return Offered("hfence_gvma", {"": method(lambda gpa=None: fence(gpa), 0, gpa=maybe(u64))})
