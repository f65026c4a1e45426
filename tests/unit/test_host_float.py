"""A library in the guests' process may have changed how the host computes: a run does not notice, and leaves it so."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable, Iterator

import llvmlite.binding as llvm
import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.host_float import KNOWN, host_float
from rvhv.cpu.state import SLOT
from rvhv.isa.render.asm import Assembler
from rvhv.jit.loader import Loader
from tests.unit.test_jit_engine import BASE, make_hart, region_steps

ASM = Assembler(ISA)
SOURCE = """
loop:
    addi x5, x5, 1
    feq.d x10, f1, f2
    add x11, x11, x10
    flt.d x10, f1, f2
    add x12, x12, x10
    fle.d x10, f2, f1
    add x13, x13, x10
    fadd.d f10, f10, f3
    fmul.d f11, f10, f4
    fmul.d f12, f1, f5
    fdiv.d f13, f10, f6
    fsqrt.d f14, f11
    fmadd.d f15, f11, f12, f13
    fmadd.s f16, f7, f7, f8
    fcvt.s.d f17, f13
    j loop
"""
ONE, TINY, HUGE, THIRD = 0x3FF0_0000_0000_0000, 1 << 40, 0x7E37_E43C_8800_759C, 0x3FD5_5555_5555_5555
SINGLE_THIRD, SINGLE_TINY = 0xFFFF_FFFF_3EAA_AAAB, 0xFFFF_FFFF_0000_0001
FLOATS = {
    1: TINY, 2: TINY + 1, 3: THIRD, 4: THIRD + 1, 5: HUGE, 6: THIRD - 1, 7: SINGLE_THIRD, 8: SINGLE_TINY, 10: ONE,
}  # fmt: skip
FS_DIRTY, NX = 3 << 13, 1

# the register that says how the host computes: functions to read and to write it, and values for it
X86 = """
declare void @llvm.x86.sse.stmxcsr(ptr)
declare void @llvm.x86.sse.ldmxcsr(ptr)
define i64 @get() { %p = alloca i32
 call void @llvm.x86.sse.stmxcsr(ptr %p)
 %v = load i32, ptr %p
 %w = zext i32 %v to i64
 ret i64 %w }
define void @set(i64 %w) { %p = alloca i32
 %v = trunc i64 %w to i32
 store i32 %v, ptr %p
 call void @llvm.x86.sse.ldmxcsr(ptr %p)
 ret void }
"""
ARM = """
declare i64 @llvm.aarch64.get.fpcr()
declare void @llvm.aarch64.set.fpcr(i64)
define i64 @get() { %v = call i64 @llvm.aarch64.get.fpcr()
 ret i64 %v }
define void @set(i64 %v) { call void @llvm.aarch64.set.fpcr(i64 %v)
 ret void }
"""
HOSTS = {
    "x86_64": (X86, {"flush": 0x9FC0, "up": 0x5F80, "zero": 0x7F80}, ~0x3F),
    "aarch64": (ARM, {"flush": 1 << 24, "up": 1 << 22, "zero": 3 << 22}, ~0),
}
NAMES = {"amd64": "x86_64", "arm64": "aarch64"}
MACHINE = NAMES.get(platform.machine().lower(), platform.machine().lower())
known_host = pytest.mark.skipif(MACHINE not in HOSTS, reason=f"not known how {MACHINE} computes")


@pytest.mark.parametrize("machine", [*KNOWN, "something else"])
def test_assembly_for_every_host(machine: str) -> None:
    """Whatever this host is."""
    f = host_float(machine)
    llvm.parse_assembly(f"{f.declare}\ndefine void @door() {{\n{f.enter}\n{f.leave}\nret void\n}}").verify()


@pytest.fixture
def control() -> Iterator[tuple[Callable[[], int], Callable[[int], None]]]:
    """Reads and writes the host's register."""
    Loader()  # LLVM's targets
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True, reloc="pic")
    code = machine.emit_object(llvm.parse_assembly(HOSTS[MACHINE][0]))
    jit = llvm.create_lljit_compiler(llvm.Target.from_default_triple().create_target_machine(jit=True))
    tracker = llvm.JITLibraryBuilder().add_object_img(code).export_symbol("get").export_symbol("set").link(jit, "control")
    get = ctypes.CFUNCTYPE(ctypes.c_uint64)(tracker["get"])
    put = ctypes.CFUNCTYPE(None, ctypes.c_uint64)(tracker["set"])
    before = get()
    yield get, put
    put(before)


@known_host
@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("how", ["flush", "up", "zero"])
def test_a_host_that_computes_differently(
    control: tuple[Callable[[], int], Callable[[int], None]], tier: str, how: str
) -> None:
    get, put = control
    _, values, mask = HOSTS[MACHINE]
    found = []
    for value in (get(), values[how]):
        hart = make_hart(tier, ASM.program(SOURCE, BASE))
        hart.state[SLOT["mstatus"]] = FS_DIRTY
        hart.state[SLOT["fcsr"]] = NX
        for n, bits in FLOATS.items():
            hart.state[SLOT[f"f{n}"]] = bits
        hart.run(100)
        put(value)
        hart.run(20_000)
        kept = get()
        assert kept & mask == value & mask
        assert (region_steps(hart) > 0) == (tier == "jit")
        found.append([hart.state[n] for n in range(32)] + [hart.state[SLOT[f"f{n}"]] for n in range(32)])
    assert found[0] == found[1]
    assert found[0][12] > 1_000  # TINY is less than what follows it
