"""What only Windows offers; rvhv/platform_posix.py is its twin."""

from __future__ import annotations

import errno
import msvcrt
import os
import sys
import time

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
