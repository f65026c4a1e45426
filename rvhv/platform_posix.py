"""What only POSIX offers; rvhv/platform_windows.py is its twin."""

from __future__ import annotations

import errno
import fcntl
import resource
import sys

assert sys.platform != "win32"  # for mypy

_HELD = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES}


def lock_file(fd: int, *, exclusive: bool) -> bool:
    """Lock an open file until it is closed; False when another open file description holds a conflicting lock.

    Raises OSError where the file system has no locks. Source: flock(2); the lock belongs to the open file, so a second
    open by this process conflicts as well, through whatever link.
    """
    try:
        fcntl.flock(fd, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


def children_cpu_seconds() -> float:
    """User and system time of the child processes that were waited for. Source: getrusage(2)."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_memory() -> int | None:
    """The most bytes this process has had resident. Source: getrusage(2), in KiB but on macOS."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
