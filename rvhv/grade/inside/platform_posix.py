"""What keeps a part's process to itself where there is POSIX; platform_windows.py is its twin."""

from __future__ import annotations

import os
import resource
import sys

assert sys.platform != "win32"  # for mypy

# seccomp: what the interpreter needs to compute, to talk over pipes that are open, and to end; the number of futex is apart
SYSTEM_CALLS = {
    "x86_64": (
        0xC000003E,
        (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 39, 60, 96, 131, 186, 219, 228, 231, 318, 334),
        202,
    ),
    "aarch64": (
        0xC00000B7,
        (57, 62, 63, 64, 80, 93, 94, 113, 124, 128, 132, 134, 135, 139, 169, 172, 178, 214, 215, 216, 222, 226, 233, 278,
         293),
        98,
    ),
}  # fmt: skip
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
KILL, ERRNO_EPERM, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: ld [k]; jeq k; ret k
ARCH_AT, NUMBER_AT, FUTEX_OP_AT, FUTEX_TIMEOUT_AT = 4, 0, 24, 40  # in struct seccomp_data
FUTEX_WAKE, FUTEX_PRIVATE = 1, 128
SIGKILL = 9


def limit(memory: int, cpu_seconds: int) -> None:
    """Bytes of address space, and seconds of CPU time, behind the judge's own budget."""
    for what, most in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", 16),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_CORE", 0),
    ):
        try:
            resource.setrlimit(getattr(resource, what), (most, most + (what == "RLIMIT_CPU")))
        except (AttributeError, ValueError, OSError):
            pass


def lock() -> bool:
    """Take every other system call away, for good; whether this computer can."""
    if sys.platform != "linux" or os.uname().machine not in SYSTEM_CALLS:
        return False
    import ctypes

    arch, calls, futex = SYSTEM_CALLS[os.uname().machine]
    program = [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER_AT)]
    # who waits for a lock does it for ever, which is seen: a part that sleeps a while, again and again, would not be
    program += [
        (EQUAL, 0, 9, futex), (LOAD, 0, 0, FUTEX_OP_AT), (EQUAL, 5, 0, FUTEX_WAKE), (EQUAL, 4, 0, FUTEX_WAKE | FUTEX_PRIVATE),
        (LOAD, 0, 0, FUTEX_TIMEOUT_AT), (EQUAL, 0, 3, 0), (LOAD, 0, 0, FUTEX_TIMEOUT_AT + 4), (EQUAL, 0, 1, 0),
        (RETURN, 0, 0, ALLOW), (RETURN, 0, 0, ERRNO_EPERM),
    ]  # fmt: skip
    program += [(EQUAL, len(calls) - place, 0, number) for place, number in enumerate(calls)]
    program += [(RETURN, 0, 0, ERRNO_EPERM), (RETURN, 0, 0, ALLOW)]

    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_uint16), ("filter", ctypes.POINTER(Instruction))]

    code = (Instruction * len(program))(*(Instruction(*one) for one in program))
    libc = ctypes.CDLL(None)
    number = ctypes.c_ulong
    libc.prctl(PR_SET_PDEATHSIG, number(SIGKILL), number(0), number(0), number(0))
    libc.prctl(PR_SET_DUMPABLE, number(0), number(0), number(0), number(0))
    libc.prctl(PR_SET_NO_NEW_PRIVS, number(1), number(0), number(0), number(0))
    filter_ = ctypes.byref(Program(len(program), code))
    done = libc.prctl(PR_SET_SECCOMP, number(SECCOMP_MODE_FILTER), filter_, number(0), number(0))
    return bool(done == 0)
