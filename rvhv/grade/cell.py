"""The process that a student's part lives in, seen from the judge: it is started, talked to, watched and ended.

Time is not what ends it: CPU time does, against the reference's on the same computer, and standing still does, which is told
from waiting for a busy computer by the state that the operating system gives the process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil

import rvhv
from rvhv.errors import InternalError
from rvhv.grade.inside import wire

if sys.platform == "win32":
    from rvhv.platform_windows import end_of_process, wait_for_pipe
else:
    from rvhv.platform_posix import end_of_process, wait_for_pipe

ROOT = str(Path(rvhv.__file__).resolve().parents[1])
START = f"import sys; sys.path.insert(0, {ROOT!r}); from rvhv.grade.inside.part import main; main()"
TURN = 0.1  # seconds between two looks at a process that does not answer
STILL_TURNS = 20  # turns in a row asleep, without any CPU time: it waits for something that never comes
BLIND_TURNS = 600  # the same where the system does not tell who sleeps
TELLS_STATE = sys.platform == "linux"
CHUNK = 1 << 16
GOING = 2.0  # seconds for a process that closed its pipe to be gone
KILLS = (1, 2, 9, 15)  # signals: hangup, Ctrl-C, kill, terminate
SHOWN = 2000  # characters of what it printed


class PartFailed(Exception):
    """A part did not answer as a part does. `reason`: one line; `places`: where in the student's files."""

    def __init__(self, reason: str, places: tuple[str, ...] = (), *, endless: bool = False) -> None:
        """`endless`: it may take as long in every check."""
        super().__init__(reason)
        self.reason, self.places, self.endless = reason, places, endless


class Disturbed(InternalError):
    """A part's process was ended by somebody else: an administrator, or a system that has no memory left. That is no grade."""


@dataclass(frozen=True)
class Limits:
    """Of one process, which lives for one check. None depends on how fast or busy the computer is but `cpu_seconds`, which is
    raised to 100 times the reference's where that is more."""

    cpu_seconds: float = 1.0
    memory: int = 512 << 20  # bytes
    requests: int = 20_000  # to the machine
    output: int = 10_000  # characters printed
    sent: int = 32 << 20  # bytes of all its messages: reading them takes the judge's time


class Cell:
    """A process that holds a part. `files`: the submission's by name; `gives`: modules that it may import, with their source;
    `imports`: modules of the standard library that it may import; `more`: asked once for CPU seconds, when those of the limits
    are used up."""

    def __init__(
        self,
        *,
        files: dict[str, str],
        main: str,
        name: str,
        gives: dict[str, str],
        imports: tuple[str, ...],
        limits: Limits,
        more: Callable[[], float] | None = None,
    ) -> None:
        self.limits, self._more = limits, more
        self.said: list[str] = []
        self.requests = 0
        self._characters = 0
        self._received = bytearray()
        self._sent = 0  # bytes, by it
        self._looked = time.monotonic()
        self._folder = tempfile.TemporaryDirectory(prefix="rvhv-part-")
        keep = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-X", "utf8", "-c", START],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0, cwd=self._folder.name, env=keep,
            start_new_session=True,
        )  # fmt: skip
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        if sys.platform != "win32":
            os.set_blocking(self._in.fileno(), False)
        self._watched = psutil.Process(self._process.pid)
        self._spent = 0.0  # CPU seconds when its part began to work
        self.order = {
            "files": files, "main": main, "name": name, "gives": gives, "imports": list(imports), "memory": limits.memory,
            "cpu_seconds": 600, "output": limits.output,
        }  # fmt: skip

    # the two ends of its life

    def __enter__(self) -> Cell:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it, whatever it does."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._in.close()
        self._out.close()
        self._folder.cleanup()

    # messages

    def send(self, message: list[Any]) -> None:
        """Raises PartFailed."""
        data = memoryview(wire.encode(message))
        turns = _Turns(self)
        while data:
            try:
                data = data[os.write(self._in.fileno(), data[:CHUNK]) :]
            except BlockingIOError:
                if not wait_for_pipe(self._in.fileno(), TURN, write=True):
                    turns.one()
            except OSError:
                raise self._ended() from None

    def receive(self) -> list[Any]:
        """The next message that is not about output. Raises PartFailed."""
        while True:
            size = int.from_bytes(self._take(wire.HEADER), "little")
            if size > wire.LONGEST:
                raise PartFailed("it sent a message of over a megabyte")
            try:
                message = wire.decode(self._take(size))
            except wire.Garbled as error:
                raise garbled(error) from None
            if message[0] != "say":
                return message
            self._say(message)

    def _take(self, count: int) -> bytes:
        turns = _Turns(self)
        while len(self._received) < count:
            if not wait_for_pipe(self._out.fileno(), TURN):
                turns.one()
                continue
            part = os.read(self._out.fileno(), CHUNK)
            if not part:
                raise self._ended()
            self._received += part
            self._sent += len(part)
            if self._sent > self.limits.sent:
                raise PartFailed(f"it sent more than {self.limits.sent >> 20} MiB to the machine", endless=True)
            if time.monotonic() - self._looked > TURN:  # who talks all the time is looked at as well
                self.look()
        taken = bytes(self._received[:count])
        del self._received[:count]
        return taken

    def _say(self, message: list[Any]) -> None:
        if len(message) != 2 or not isinstance(message[1], str):
            raise garbled(wire.Garbled("output that is no text"))
        self._characters += len(message[1]) + 1
        if self._characters > 2 * self.limits.output:  # who prints one character at a time is counted twice
            raise PartFailed(f"it printed more than {self.limits.output:,} characters")
        self.said.append(message[1])

    def _ended(self) -> PartFailed:
        """Raises Disturbed."""
        try:
            code = self._process.wait(GOING)
        except subprocess.TimeoutExpired:
            return PartFailed("it closed its connection to the machine")
        if TELLS_STATE and -code in KILLS:  # it cannot have done that itself
            raise Disturbed(f"the part's process was {end_of_process(code)}; is there enough memory?")
        return PartFailed(f"its process ended in the middle: {end_of_process(code)}")

    # what it uses

    @property
    def output(self) -> str:
        """What it printed, cut, with control characters as escapes."""
        text = printable("".join(self.said))
        return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."

    def cpu_seconds(self) -> float:
        """CPU time since its part began to work."""
        return self._now() - self._spent

    def start_counting(self) -> None:
        self._spent = self._now()

    def _now(self) -> float:
        try:
            times = self._watched.cpu_times()
        except psutil.Error:
            return self._spent
        return float(times.user + times.system)

    def look(self) -> float:
        """The CPU time it has used. Raises PartFailed when that or its memory is over the limit."""
        self._looked = time.monotonic()
        spent = self.cpu_seconds()
        if spent > self.limits.cpu_seconds and self._more is not None:
            more, self._more = self._more, None
            self.limits = replace(self.limits, cpu_seconds=max(self.limits.cpu_seconds, more()))
        if spent > self.limits.cpu_seconds:
            raise PartFailed("it used more than 100 times the CPU time of the reference solution: an endless loop?", endless=True)
        if self.resident() > self.limits.memory:
            raise PartFailed(f"it used more than {self.limits.memory >> 20} MiB of memory")
        return spent

    def standing(self) -> bool:
        """Whether it neither runs nor waits for a CPU, as far as the system tells."""
        try:
            return not TELLS_STATE or self._watched.status() == psutil.STATUS_SLEEPING
        except psutil.Error:
            return False

    def resident(self) -> int:
        """Bytes of memory."""
        try:
            return int(self._watched.memory_info().rss)
        except psutil.Error:
            return 0


class _Turns:
    """Looks at a process that lets us wait."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._still = 0
        self._spent = -1.0

    def one(self) -> None:
        """Raises PartFailed when it must not go on."""
        cell = self._cell
        spent = cell.look()
        self._still = self._still + 1 if spent == self._spent and cell.standing() else 0
        self._spent = spent
        if self._still >= (STILL_TURNS if TELLS_STATE else BLIND_TURNS):
            raise PartFailed("it waits for something that never comes (it sleeps, and does not answer)", endless=True)
        if not TELLS_STATE:
            time.sleep(0)


def garbled(error: Exception) -> PartFailed:
    return PartFailed(f"it wrote to the judge's pipe itself: {error} came")


def printable(text: str) -> str:
    """Control characters as escapes, but line feeds and tabs."""
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)
