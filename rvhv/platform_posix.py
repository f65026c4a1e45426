"""What only POSIX offers; rvhv/platform_windows.py is its twin."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import select
import signal
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

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


def key_ready(fd: int, timeout: float) -> bool:
    """Whether a terminal has something to read, waiting up to `timeout` seconds for it."""
    try:
        return bool(select.select([fd], [], [], timeout)[0])
    except (OSError, ValueError):
        return True  # reading says what is wrong


def wait_for_pipe(fd: int, seconds: float, *, write: bool = False) -> bool:
    """Whether a pipe has something to read (or room to write, or another end that is gone) within that time."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT if write else select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def limit_child(cpu_seconds: int, memory: int, file: int) -> Callable[[], None]:
    """For Popen's preexec_fn: seconds of CPU time, bytes of address space and of each file, for what it starts as well."""

    def limit() -> None:
        for what, most in ((resource.RLIMIT_CPU, cpu_seconds), (resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, file)):
            try:
                resource.setrlimit(what, (most, most))
            except (ValueError, OSError):
                pass  # it has a lower one, or the system has none

    return limit


def end_of_process(code: int) -> str:
    """How a process ended, in words, from what `Popen.wait` says."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


@contextmanager
def raw_terminal(fd: int) -> Iterator[None]:
    """The terminal gives every key as it is typed, Ctrl-C included, and shows none; as it was before on every way out.

    Its output still turns a line feed into a new line. Being terminated or hung up restores it too, if this is the main thread.
    """
    before = termios.tcgetattr(fd)

    def restore() -> None:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)

    def on_signal(number: int, frame: FrameType | None) -> None:
        restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    raw = termios.tcgetattr(fd)
    raw[0] &= ~(termios.BRKINT | termios.ICRNL | termios.INLCR | termios.IGNCR)
    raw[0] &= ~(termios.INPCK | termios.ISTRIP | termios.IXON)
    raw[3] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    handlers = {}
    try:
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                handlers[number] = signal.signal(number, on_signal)
            except ValueError:
                break  # not the main thread
        termios.tcsetattr(fd, termios.TCSADRAIN, raw)
        yield
    finally:
        restore()
        for number, handler in handlers.items():
            signal.signal(number, handler)
