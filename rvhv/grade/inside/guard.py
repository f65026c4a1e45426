"""What keeps a student's process to itself: limits, no system calls but those that thinking takes, and an audit hook.

The judge does not rely on it for the grade, which nothing in this process can change: it protects the computer, the seeds and
other people's work. Linux with seccomp is a wall; elsewhere the limits and the audit hook are a fence that keeps out what is not
determined to break out of Python.
"""

from __future__ import annotations

import os
import sys
from typing import Any

# events of Python's audit hook that a part may cause; all others are refused
ALLOWED_EVENTS = frozenset(
    {
        "array.__new__", "builtins.id", "code.__new__", "compile", "cpython._PySys_ClearAuditHooks", "exec",
        "function.__new__",
        "gc.get_objects", "gc.get_referents", "gc.get_referrers", "object.__delattr__", "object.__getattr__", "object.__setattr__",
        "sys._current_exceptions", "sys._current_frames", "sys._getframe", "sys._getframemodulename", "sys.excepthook",
        "sys.set_asyncgen_hooks_finalizer", "sys.set_asyncgen_hooks_firstiter", "sys.setprofile", "sys.settrace",
        "sys.unraisablehook", "import",
    }
)  # fmt: skip
SAID = {"open": "open files", "os.": "use the operating system", "socket.": "use the network", "subprocess.": "start programs",
        "ctypes.": "use ctypes", "time.sleep": "sleep", "_thread.": "start threads", "signal.": "use signals"}  # fmt: skip

# seccomp: what the interpreter needs to compute, to talk over pipes that are open, and to end
SYSTEM_CALLS = {
    "x86_64": (0xC000003E, (0, 1, 3, 5, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 28, 39, 60, 96, 131, 186, 202, 219, 228, 231, 318,
                            334)),
    "aarch64": (0xC00000B7, (57, 62, 63, 64, 80, 93, 94, 98, 113, 124, 128, 132, 134, 135, 139, 169, 172, 178, 214, 215, 216, 222,
                             226, 233, 278, 293)),
}  # fmt: skip
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
KILL, ERRNO_EPERM, ALLOW = 0x80000000, 0x00050001, 0x7FFF0000
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06  # BPF: ld [k]; jeq k; ret k
ARCH_AT, NUMBER_AT = 4, 0  # in struct seccomp_data
SIGKILL = 9


def limit(memory: int, cpu_seconds: int) -> None:
    """Bytes of address space, and seconds of CPU time, behind the judge's own budget."""
    try:
        import resource
    except ImportError:
        return  # Windows: the judge looks at the memory
    for what, most in (
        ("RLIMIT_AS", memory),
        ("RLIMIT_CPU", cpu_seconds),
        ("RLIMIT_FSIZE", 0),
        ("RLIMIT_NOFILE", 16),
        ("RLIMIT_NPROC", 0),
        ("RLIMIT_CORE", 0),
    ):
        try:
            resource.setrlimit(getattr(resource, what), (most, most))
        except (AttributeError, ValueError, OSError):
            pass


def lock() -> bool:
    """Take every other system call away, for good; whether this computer can."""
    if sys.platform != "linux" or os.uname().machine not in SYSTEM_CALLS:
        return False
    import ctypes

    arch, calls = SYSTEM_CALLS[os.uname().machine]
    program = [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, arch), (RETURN, 0, 0, KILL), (LOAD, 0, 0, NUMBER_AT)]
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


def watch(may_import: frozenset[str]) -> None:
    """Refuse, from now on, what Python itself reports and a part has no business with."""
    packages = {".".join(name.split(".")[:depth]) for name in may_import for depth in range(1, name.count(".") + 1)}
    allowed, said, loaded = ALLOWED_EVENTS, tuple(SAID.items()), sys.modules

    def hook(event: str, args: tuple[Any, ...]) -> None:
        if event in allowed:
            if event != "import" or args[0] in may_import or args[0] in packages or args[0] in loaded:
                return
            raise ImportError(f"a part may import its own files and {', '.join(sorted(may_import))}: not {args[0]}")
        for start, what in said:
            if event.startswith(start):
                raise PermissionError(f"a part may not {what} ({event})")
        raise PermissionError(f"a part may not do that ({event})")

    sys.addaudithook(hook)
