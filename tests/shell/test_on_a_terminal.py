"""`rvhv debug` on a real terminal: a pseudo-terminal, keys, Ctrl-C while guests run, the keyboard handed over."""

from __future__ import annotations

import os
import re
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from rvhv import build
from tests.elf_file import elf

if sys.platform == "win32":
    pytest.skip("needs a pseudo-terminal", allow_module_level=True)

import pty

pytestmark = pytest.mark.usefixtures("compiled")

PATIENCE = 60.0  # seconds; a loaded machine is slow
ASKS_FOR_CURSOR, CURSOR = b"\x1b[6n", b"\x1b[1;1R"
COLOURS = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
ROOT = Path(__file__).resolve().parents[2]
SPIN = bytes.fromhex("6f000000")  # j .


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, arguments: list[str], state: Path) -> None:
        self.seen = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            here = {"PYTHONPATH": str(ROOT), "RVHV_CACHE_DIR": str(build.cache_folder())}
            os.environ |= here | {"TERM": "xterm", "XDG_STATE_HOME": str(state), "HOME": str(state)}
            os.execv(sys.executable, [sys.executable, "-m", "rvhv", *arguments])

    def send(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def until(self, text: bytes) -> bytes:
        """Reads on until `text` has come, and takes everything up to it."""
        deadline = time.monotonic() + PATIENCE
        while text not in (plain := COLOURS.sub(b"", self.seen)):
            assert time.monotonic() < deadline, self.seen
            if select.select([self._fd], [], [], 1)[0]:
                new = os.read(self._fd, 4096)
                if ASKS_FOR_CURSOR in new:
                    self.send(CURSOR)
                self.seen += new
        at = plain.index(text) + len(text)
        self.seen = plain[at:]
        return plain[:at]

    def end(self) -> int:
        """Reads what is left, and waits; the exit code."""
        try:
            while select.select([self._fd], [], [], PATIENCE)[0] and os.read(self._fd, 4096):
                pass
        except OSError:
            pass  # the other side is closed
        return self._wait()

    def _wait(self) -> int:
        pid, self.pid = self.pid, 0
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def close(self) -> None:
        """Ends it, should it still be there."""
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            self._wait()


@pytest.fixture
def spin(tmp_path: Path) -> Iterator[Terminal]:
    """A guest that never ends."""
    image = tmp_path / "spin.elf"
    image.write_bytes(elf({0x8020_0000: SPIN}, 0x8020_0000, {"again": 0x8020_0000}))
    terminal = Terminal(["debug", str(image)], tmp_path / "state")
    yield terminal
    terminal.close()


def test_a_session(spin: Terminal) -> None:
    assert b"spin" in spin.until(b"first instruction")
    spin.until(b"(rvhv)")
    spin.send(b"continue\r")
    time.sleep(0.5)
    spin.send(b"\x03")
    assert b"interrupted" in spin.until(b"<again>")
    spin.until(b"(rvhv)")
    spin.send(b"console\r")
    spin.until(b"gives it back")
    time.sleep(0.3)
    spin.send(b"\x03abc")  # for the guest
    time.sleep(0.3)
    spin.send(b"\x1d")
    spin.until(b"<again>")
    spin.until(b"(rvhv)")
    spin.send(b"vm\r")
    spin.until(b"<again>")
    spin.until(b"(rvhv)")
    spin.send(b"\x04")
    assert spin.end() == 0
