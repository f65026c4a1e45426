"""Noticing that no more code gets hot: the moment to make one region of the several that a page's hot code came in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LONG_ENOUGH = 0.2  # seconds


class Lull:
    """`tell()` is called from a thread when `disturb` was not called for LONG_ENOUGH seconds after `watch`."""

    def __init__(self, tell: Callable[[], None]) -> None:
        self._tell = tell
        self._since = time.monotonic()
        self._timer: threading.Timer | None = None

    def disturb(self) -> None:
        self._since = time.monotonic()

    @property
    def now(self) -> bool:
        return time.monotonic() - self._since >= LONG_ENOUGH

    def watch(self) -> None:
        if self._timer is None or not self._timer.is_alive():
            self._timer = threading.Timer(LONG_ENOUGH, self._tell)
            self._timer.daemon = True
            self._timer.start()

    def end(self) -> None:
        """No more calls are begun."""
        if self._timer is not None:
            self._timer.cancel()
