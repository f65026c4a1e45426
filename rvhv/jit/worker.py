"""The process that translates: `python -m rvhv.jit.worker` reads jobs and writes results, pickled, on its standard streams.

A process and not a thread: making LLVM assembly in Python holds the interpreter lock, which the guests' run loop needs.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rvhv.jit.job import Job, Result


class Worker:
    """The other end, in the process of the guests. The bound method `ready` is called from a thread when a result has come, or
    none will any more (`dead`). The process ends with the worker."""

    def __init__(self, ready: Callable[[], None]) -> None:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "rvhv.jit.worker"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        self._results: deque[Result | None] = deque()
        self.dead = False
        # the thread keeps neither the worker nor who waits for it alive: a process a machine would be left
        arguments = (self._process.stdout, self._results, weakref.WeakMethod(ready), weakref.ref(self))
        threading.Thread(target=_read, args=arguments, name="rvhv-translator", daemon=True).start()
        self._end = weakref.finalize(self, _end, self._process)

    def send(self, job: Job) -> None:
        assert self._process.stdin is not None
        try:
            pickle.dump(job, self._process.stdin, pickle.HIGHEST_PROTOCOL)
            self._process.stdin.flush()
        except (OSError, ValueError):
            self.dead = True

    def take(self) -> Result | None:
        """The next result, if there is one."""
        return self._results.popleft() if self._results else None

    def close(self) -> None:
        self._end()


def _read(stdout: Any, results: deque[Result | None], ready: Any, worker: Any) -> None:
    try:
        while True:
            results.append(pickle.load(stdout))
            _tell(ready)
    except (EOFError, OSError, pickle.UnpicklingError, ValueError):
        if (alive := worker()) is not None:
            alive.dead = True
            _tell(ready)


def _tell(ready: Any) -> None:
    if (method := ready()) is not None:
        method()


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    try:
        process.stdin.close()
    except OSError:
        pass
    process.terminate()
    process.wait()


class NoWorker:
    """Stands in where no process can be started: nothing is ever ready."""

    dead = False

    def send(self, job: Job) -> None: ...

    def take(self) -> Result | None:
        return None

    def close(self) -> None: ...


def main(jobs: Any, results: Any) -> None:
    from rvhv.jit.cache import ObjectCache
    from rvhv.jit.work import work

    objects = ObjectCache()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the guests' process, whose end ends this one
    while True:
        try:
            job = pickle.load(jobs)
        except EOFError:
            return
        pickle.dump(work(job, objects), results, pickle.HIGHEST_PROTOCOL)
        results.flush()


if __name__ == "__main__":
    try:
        main(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:
        os._exit(0)
