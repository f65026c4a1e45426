"""Progress bars on stderr for what takes over a second, and the first compile, which does."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

PATIENCE = 1.0  # seconds of silence before there is a bar


def ensure_compiled(*, no_color: bool = False) -> bool:
    """Compiles what is not in the cache yet; whether there was something to compile. What goes wrong now and later without
    ending anything is said on stderr."""
    from rvhv import build
    from rvhv.cli.terminal import show_warnings

    show_warnings()
    if build.is_cached():
        return False
    with LateBar(no_color) as bar:
        build.ensure(bar.update)
    return True


class LateBar:
    """A bar that appears on a terminal after `PATIENCE` seconds, and leaves nothing behind."""

    def __init__(self, no_color: bool = False) -> None:
        self._no_color = no_color
        self._lock = threading.Lock()
        self._timer = threading.Timer(PATIENCE, self._show)
        self._timer.daemon = True
        self._progress: Progress | None = None
        self._ended = False
        self._what, self._fraction = "working", 0.0

    def __enter__(self) -> LateBar:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
            if self._progress is not None:
                self._progress.stop()

    def update(self, what: str, fraction: float) -> None:
        """`what` is being done, and `fraction` (0 to 1) of everything is behind us."""
        with self._lock:
            self._what, self._fraction = what, fraction
            if self._progress is not None:
                self._progress.update(self._progress.task_ids[0], completed=fraction, description=what)

    def _show(self) -> None:
        with self._lock:
            if self._ended or sys.stderr is None or not sys.stderr.isatty():
                return
            from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

            from rvhv.cli.terminal import rich_console

            self._progress = Progress(
                TextColumn("rvhv: {task.description}"),
                BarColumn(20),
                TimeElapsedColumn(),
                console=rich_console(sys.stderr, no_color=self._no_color),
                transient=True,
            )
            self._progress.update(self._progress.add_task(self._what, total=1.0), completed=self._fraction)
            self._progress.start()
