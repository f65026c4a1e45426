"""How the host computes, as LLVM assembly: the compiled machine computes as IEEE 754 says, whatever a library in the process set.

The register that says so (x86-64's MXCSR, arm64's FPCR) is a thread's; C's calling conventions leave it to whoever changes it, so
a library may have it round otherwise or flush subnormal numbers to zero. The entry point looks, once a
call from Python, and puts back what it found there.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass


@dataclass(frozen=True)
class HostFloat:
    """LLVM assembly: `declare` for the module; `enter`, which ends in a new block; `leave`, the same with what `enter` found."""

    declare: str = ""
    enter: str = ""
    leave: str = ""


AROUND = """
  %usual = icmp eq {type} %control, {plain}
  br i1 %usual, label %enter, label %change
change:
  {change}
  br label %enter
enter:
"""
BACK = """
  br i1 %usual, label %done, label %put_back
put_back:
  {put_back}
  br label %done
done:
"""
MXCSR = 0x1F80  # as a process starts: round to nearest even, subnormals are numbers, all exceptions masked; no flags
MXCSR_CONTROL = 0xFFC0  # without the flags
X86_64 = HostFloat(
    "declare void @llvm.x86.sse.stmxcsr(ptr)\ndeclare void @llvm.x86.sse.ldmxcsr(ptr)",
    f"""
  %found = alloca i32
  %plain = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %found)
  %mxcsr = load i32, ptr %found
  %control = and i32 %mxcsr, {MXCSR_CONTROL}
"""
    + AROUND.format(
        type="i32", plain=MXCSR, change=f"store i32 {MXCSR}, ptr %plain\n  call void @llvm.x86.sse.ldmxcsr(ptr %plain)"
    ),
    BACK.format(put_back="call void @llvm.x86.sse.ldmxcsr(ptr %found)"),
)
ARM64 = HostFloat(  # FPCR is 0 as a process starts, and has no flags
    "declare i64 @llvm.aarch64.get.fpcr()\ndeclare void @llvm.aarch64.set.fpcr(i64)",
    "  %control = call i64 @llvm.aarch64.get.fpcr()"
    + AROUND.format(type="i64", plain=0, change="call void @llvm.aarch64.set.fpcr(i64 0)"),
    BACK.format(put_back="call void @llvm.aarch64.set.fpcr(i64 %control)"),
)
KNOWN = {"x86_64": X86_64, "amd64": X86_64, "arm64": ARM64, "aarch64": ARM64}


def host_float(machine: str = "") -> HostFloat:
    """Of a machine, by Python's name for it; "": this one. Nothing, where it is not known."""
    return KNOWN.get((machine or platform.machine()).lower(), HostFloat())
