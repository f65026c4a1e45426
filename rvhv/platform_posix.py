"""What only POSIX offers; rvhv/platform_windows.py is its twin."""

from __future__ import annotations

import errno
import fcntl
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
