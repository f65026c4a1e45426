"""The keyboard of a machine or a VM: a raw terminal with an escape key, or whatever stdin is."""

from __future__ import annotations

import os
import queue
import stat
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

if sys.platform == "win32":
    from rvhv.platform_windows import key_ready, raw_terminal
else:
    from rvhv.platform_posix import key_ready, raw_terminal

ESCAPE = 0x01  # Ctrl-A
QUIT, HELP = b"x", b"h"
NEWEST = 4096  # bytes of one read
POLL = 0.05  # seconds between two looks at whether the keyboard is still wanted

HELP_TEXT = "\r\nCtrl-A x  quit rvhv\r\nCtrl-A h  this help\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n"


class EscapeKeys:
    """Takes the escape key and what follows it out of what is typed."""

    def __init__(self, leave: bytes = b"") -> None:
        self._leave = leave  # keys that quit without Ctrl-A
        self._escaped = False
        self.quit = False
        self.help = False  # was asked for since it was last cleared

    def filter(self, typed: bytes) -> bytes:
        """What of `typed` the guest gets. A key that means nothing after Ctrl-A is dropped with it."""
        kept = bytearray()
        for key in typed:
            if self._escaped:
                self._escaped = False
                if key == ESCAPE:
                    kept.append(key)
                self.quit = self.quit or key in QUIT + QUIT.upper()
                self.help = self.help or key in HELP + HELP.upper() + b"?"
            elif key == ESCAPE:
                self._escaped = True
            elif key in self._leave:
                self.quit = True
            else:
                kept.append(key)
        return bytes(kept)


class Keyboard(AbstractContextManager["Keyboard"]):
    """stdin as a keyboard: a terminal is put into raw mode, a file is read at once, a pipe as it is written.

    `quit`: the user asked to leave. `open`: more may be typed. `on_news()` is called, on a thread of its own, when there is
    something to `read`. `leave`: keys that quit at once, without Ctrl-A before them.
    """

    def __init__(self, on_news: Callable[[], None] = lambda: None, *, leave: bytes = b"") -> None:
        self.on_news = on_news
        self._leave = leave
        self._closed = False
        self._stack = ExitStack()
        self._keys: EscapeKeys | None = None  # of a terminal
        self._typed: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self.open = False

    def __enter__(self) -> Keyboard:
        try:
            fd = sys.stdin.fileno()
            kind = os.fstat(fd).st_mode
        except (AttributeError, OSError, ValueError):
            return self  # closed, or not a real one
        self.open = True
        if os.isatty(fd):
            self._keys = EscapeKeys(self._leave)
            self._stack.enter_context(raw_terminal(fd))
        elif stat.S_ISREG(kind):
            self._read_all(fd, lambda: None)  # it is there already: the run does not depend on how fast it is read
            return self
        thread = threading.Thread(target=self._read_all, args=(fd, lambda: self.on_news()), daemon=True)
        thread.start()
        if self._keys is not None:
            self._stack.callback(thread.join)  # the next reader of the terminal must not lose a key to it
        return self

    def __exit__(self, *_: object) -> None:
        self._closed = True
        self._stack.close()

    @property
    def is_terminal(self) -> bool:
        return self._keys is not None

    @property
    def quit(self) -> bool:
        return self._keys is not None and self._keys.quit

    def wants_help(self) -> bool:
        """Whether help was asked for since the last call."""
        if self._keys is None or not self._keys.help:
            return False
        self._keys.help = False
        return True

    def read(self, timeout: float = 0) -> bytes:
        """What was typed since the last call; waits up to `timeout` seconds for something."""
        typed = bytearray()
        try:
            data = self._typed.get(timeout=timeout) if timeout > 0 else self._typed.get_nowait()
            while True:
                if data:
                    typed += data
                else:
                    self.open = False
                data = self._typed.get_nowait()
        except queue.Empty:
            pass
        return self._keys.filter(bytes(typed)) if self._keys is not None else bytes(typed)

    def _read_all(self, fd: int, on_news: Callable[[], None]) -> None:
        while True:
            while self._keys is not None and not key_ready(fd, POLL):
                if self._closed:
                    return
            if self._closed:
                return
            try:
                data = os.read(fd, NEWEST)
            except OSError:
                data = b""
            self._typed.put(data)
            on_news()
            if not data:
                return
