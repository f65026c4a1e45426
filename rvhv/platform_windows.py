"""What only Windows offers; rvhv/platform_posix.py is its twin."""

from __future__ import annotations

import _winapi
import ctypes
import errno
import msvcrt
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

assert sys.platform == "win32"  # for mypy

# msvcrt locks bytes, and a lock keeps others from reading them: the last byte it can name is the least in the way
_LOCK_BYTE = 0x7FFF_FFFE


def lock_file(fd: int, *, exclusive: bool) -> bool:
    """Lock an open file until it is closed; False when another open file holds a conflicting lock.

    There are no shared locks here: a reader only checks that no writer holds the file.
    """
    here = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        if not exclusive:
            os.lseek(fd, _LOCK_BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EDEADLK):
            return False
        raise
    finally:
        os.lseek(fd, here, os.SEEK_SET)
    return True


def children_cpu_seconds() -> float:
    """Windows keeps no such account: wall time stands for it, which is right while nothing else runs."""
    return time.perf_counter()


def peak_memory() -> int | None:
    """Not known here without another library."""
    return None


def key_ready(fd: int, timeout: float) -> bool:
    """Whether the console has a key to read, waiting up to `timeout` seconds for it."""
    deadline = time.monotonic() + timeout
    while not msvcrt.kbhit():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


_PEEK_TURN = 0.001  # seconds


def wait_for_pipe(fd: int, seconds: float, *, write: bool = False) -> bool:
    """Whether a pipe has something to read (or another end that is gone) within that time. For writing: always."""
    end = time.monotonic() + seconds
    while not write:
        try:
            if _winapi.PeekNamedPipe(msvcrt.get_osfhandle(fd), 0)[0]:
                return True
        except OSError:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PEEK_TURN)
    return True


def limit_child(cpu_seconds: int, memory: int, file: int) -> None:
    """Windows has no such limits for a child; Popen takes None for nothing to do before it starts."""


def end_of_process(code: int) -> str:
    """How a process ended, in words, from what `Popen.wait` says."""
    return f"exit code {code:#x}"


# of SetConsoleMode
_PROCESSED_INPUT, _LINE_INPUT, _ECHO_INPUT, _VIRTUAL_TERMINAL_INPUT = 1, 2, 4, 0x200


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """The console gives every key as it is typed, Ctrl-C included, and shows none; as it was before on every way out."""
    kernel = ctypes.windll.kernel32
    handle = msvcrt.get_osfhandle(fd)
    before = ctypes.c_uint32()
    if not kernel.GetConsoleMode(handle, ctypes.byref(before)):
        yield  # no console after all
        return
    mode = before.value & ~(_PROCESSED_INPUT | _LINE_INPUT | _ECHO_INPUT) | _VIRTUAL_TERMINAL_INPUT
    try:
        kernel.SetConsoleMode(handle, mode)
        yield
    finally:
        kernel.SetConsoleMode(handle, before)
