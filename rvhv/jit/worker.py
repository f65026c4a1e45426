"""The process that translates: `python -m rvhv.jit.worker` reads jobs and writes results, pickled, on its standard streams.

A process and not a thread: making LLVM assembly in Python holds the interpreter lock, which the guests' run loop needs.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from rvhv.build import module_command
from rvhv.jit.job import Job, Result, failed

# Ctrl-C is for the guests' process, whose end ends this one: a terminal does not send it to another group
DEAF: dict[str, Any] = {"process_group": 0}
if sys.platform == "win32":
    DEAF = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}


class Worker:
    """The other end, in the process of the guests. `ready()` is called from a thread when a result has come, or when none will
    any more: then it is `dead`. To a fork of that process, which has no such thread, it does nothing.

    The pipes have no buffers here: their locks may be held by the thread, and a fork's copies of them are then held for ever."""

    def __init__(self, ready: Callable[[], None]) -> None:
        from rvhv.jit.cache import translator

        self._owner = os.getpid()
        command, environment = module_command("rvhv.jit.worker", translator().hex())
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            **DEAF,
        )
        self._results: deque[Result | None] = deque()
        self._ready = ready
        self.dead = False
        self._thread = threading.Thread(target=self._read, name="rvhv-translator", daemon=True)
        self._thread.start()

    @property
    def _mine(self) -> bool:
        return self._owner == os.getpid()

    def send(self, job: Job) -> None:
        if self.dead or not self._mine:
            return
        assert self._process.stdin is not None
        rest = memoryview(pickle.dumps(job, pickle.HIGHEST_PROTOCOL))
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0 :]
        except (OSError, ValueError):
            self.dead = True

    def take(self) -> Result | None:
        """The next result, if there is one."""
        return self._results.popleft() if self._results else None

    def _read(self) -> None:
        assert self._process.stdout is not None
        results = os.fdopen(self._process.stdout.fileno(), "rb", closefd=False)  # the thread's own
        try:
            while True:
                self._results.append(pickle.load(results))
                self._ready()
        except Exception:  # whatever an end of the stream amid an object makes of it
            self.dead = True
            self._ready()

    def close(self) -> None:
        """End the process; from any thread, the collector's too."""
        if not self._mine:
            return
        self.dead = True
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.close()
        except OSError:
            pass
        self._process.terminate()
        self._process.wait()
        if threading.current_thread() is not self._thread:
            self._thread.join()  # it finds the end of the stream
            self._process.stdout.close()


class NoWorker:
    """Stands in where no process can be started: nothing is ever ready."""

    dead = False

    def send(self, job: Job) -> None: ...

    def take(self) -> Result | None:
        return None

    def close(self) -> None: ...


def main(jobs: Any, results: Any, expected: str) -> None:
    """`expected`: the hash of the translator that wants the results. Of another one's state layout none is made."""
    from rvhv.jit.cache import ObjectCache, translator
    from rvhv.jit.work import find, work

    if translator().hex() != expected:
        return
    objects = ObjectCache()
    while True:
        try:
            job = pickle.load(jobs)
        except (EOFError, pickle.UnpicklingError):  # the guests' process is gone, in the middle of a job maybe
            return
        try:
            result = find(job, objects) or work(job, objects)
        except Exception as error:
            result = failed(job, error)
        pickle.dump(result, results, pickle.HIGHEST_PROTOCOL)
        results.flush()


if __name__ == "__main__":
    try:
        main(sys.stdin.buffer, sys.stdout.buffer, sys.argv[1])
    except BrokenPipeError:
        os._exit(0)
