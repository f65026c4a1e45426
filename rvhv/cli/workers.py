"""Many small jobs on several processes: each has its own, and one that crashes takes one job with it.

Where processes can be forked, one costs a few milliseconds, since it finds the machine compiled and loaded; elsewhere it starts
like a new rvhv, so there it takes more jobs to be worth it.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from rvhv.errors import InternalError

Job = TypeVar("Job")
Answer = TypeVar("Answer")

FORKS = sys.platform == "linux"
PAYS_FROM = 16 if FORKS else 200  # jobs of a millisecond a process
AHEAD = 2  # jobs that a process has at a time: it never waits for the next one
PATIENCE = 1.0  # seconds for a process to go


def default_workers(jobs: int) -> int:
    """How many processes are worth it."""
    return max(1, min(os.cpu_count() or 1, -(-jobs // PAYS_FROM)))


class _Worker:
    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process, self.pipe = process, pipe
        self.doing: deque[int] = deque()  # places of jobs, in order

    def end(self) -> None:
        self.pipe.close()
        self.process.terminate()
        self.process.join(PATIENCE)


class Crew(Generic[Job, Answer]):
    """A context, over which (place, answer) of each job are iterated as they come; leaving it ends the processes.

    `work`, what it takes and what it gives are pickled, except with one worker: then it runs here. `crashed(job, reason)` is the
    answer for a job that killed its process. Iterating raises InternalError when `work` raised in a process.
    """

    def __init__(
        self, work: Callable[[Job], Answer], jobs: Sequence[Job], workers: int, crashed: Callable[[Job, str], Answer]
    ) -> None:
        self._work, self._jobs, self._crashed = work, jobs, crashed
        self._size = min(workers, len(jobs))
        self._waiting = deque(range(len(jobs)))
        self._workers: dict[Connection, _Worker] = {}
        self._context: Any = multiprocessing.get_context("fork" if FORKS else "spawn")

    def __enter__(self) -> Crew[Job, Answer]:
        if self._size > 1:
            for _ in range(self._size):
                self._start()
        return self

    def __exit__(self, *_: object) -> None:
        while self._workers:
            self._workers.popitem()[1].end()

    def __iter__(self) -> Iterator[tuple[int, Answer]]:
        if self._size <= 1:
            yield from enumerate(map(self._work, self._jobs))
        while self._workers:
            for pipe in wait(list(self._workers)):
                assert isinstance(pipe, Connection)
                yield self._receive(self._workers[pipe])

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(self._work, theirs, ours if FORKS else None), daemon=True)
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        worker = self._workers[ours] = _Worker(process, ours)
        self._feed(worker)

    def _feed(self, worker: _Worker) -> None:
        try:
            while self._waiting and len(worker.doing) < AHEAD:
                worker.doing.append(self._waiting.popleft())
                worker.pipe.send(self._jobs[worker.doing[-1]])
        except OSError:
            return  # it died, which receiving finds out
        if not worker.doing:
            del self._workers[worker.pipe]
            worker.pipe.close()  # it ends by itself
            worker.process.join(PATIENCE)

    def _receive(self, worker: _Worker) -> tuple[int, Answer]:
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            return self._bury(worker)
        if isinstance(answer, InternalError):
            raise answer
        place = worker.doing.popleft()
        self._feed(worker)
        return place, answer

    def _bury(self, worker: _Worker) -> tuple[int, Answer]:
        """The worker died of its first job; another one does the rest."""
        del self._workers[worker.pipe]
        worker.process.join(PATIENCE)
        place = worker.doing.popleft()
        self._waiting.extendleft(reversed(worker.doing))
        worker.end()
        if self._waiting:
            self._start()
        code = worker.process.exitcode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with exit code {code}"
        return place, self._crashed(self._jobs[place], f"the process that ran it {how}")


def _serve(work: Callable[[Any], Any], pipe: Connection, other_end: Connection | None) -> None:
    """A worker's life: jobs in, answers out, until the other end is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command, which ends its workers
    if other_end is not None:
        other_end.close()
    try:
        while True:
            job = pipe.recv()
            try:
                answer = work(job)
            except Exception as error:
                answer = InternalError(f"{type(error).__name__}: {error}")
            pipe.send(answer)
    except (EOFError, OSError):
        pass


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """A process that starts now never sees Ctrl-C."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    old = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, old)
