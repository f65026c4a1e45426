"""`rvhv run` on a terminal of its own: colours, Ctrl-C at any moment, the terminal as it was before."""

from __future__ import annotations

import os
import select
import sys
import time
from pathlib import Path

import pytest

from tests.unit.test_cli_bad_input import elf

if sys.platform == "win32":
    pytest.skip("needs a POSIX terminal", allow_module_level=True)

import pty
import termios

ROOT = Path(__file__).resolve().parents[2]
J_SELF = (0x6F).to_bytes(4, "little")  # jal x0, 0
CTRL_C = b"\x03"

pytestmark = pytest.mark.usefixtures("compiled")


# `python -m rvhv`, and says when Python itself has started: before that, Ctrl-C is not ours to handle.
LAUNCH = "import sys; from rvhv.cli.main import entry; print('ready', flush=True); entry()"


class Session:
    """A command on a pseudo-terminal; `ended` is its exit code and everything it printed."""

    def __init__(self, *command: str, **environment: str) -> None:
        self.master, self._slave = pty.openpty()
        self.before = termios.tcgetattr(self._slave)
        self.printed = b""
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.login_tty(self._slave)
                os.chdir(ROOT)
                os.execve(sys.executable, [sys.executable, "-c", LAUNCH, *command], {**os.environ, **environment})
            finally:
                os._exit(127)

    def wait_for(self, text: bytes, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while text not in self.printed:
            assert time.monotonic() < deadline, self.printed
            self._read(0.1)

    def send(self, keys: bytes) -> None:
        os.write(self.master, keys)

    def ended(self, seconds: float = 60) -> tuple[int, str]:
        deadline = time.monotonic() + seconds
        pid = 0
        while pid == 0:
            assert time.monotonic() < deadline, self.printed
            self._read(0.02)
            pid, status = os.waitpid(self._pid, os.WNOHANG)
        while self._read(0):
            pass
        self.after = termios.tcgetattr(self._slave)
        os.close(self.master)
        os.close(self._slave)
        return os.waitstatus_to_exitcode(status), self.printed.decode()

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], seconds)
        if ready:
            self.printed += os.read(self.master, 65536)
        return bool(ready)


@pytest.fixture
def spin(tmp_path: Path) -> str:
    """A guest that never ends."""
    path = tmp_path / "spin.elf"
    path.write_bytes(elf(code=J_SELF * 4))
    return str(path)


def test_colour_is_for_terminals() -> None:
    code, text = Session("run", "hello", TERM="xterm").ended()
    assert code == 0 and "\x1b[36mhello " in text
    code, text = Session("run", "hello", TERM="xterm", NO_COLOR="1").ended()
    assert code == 0 and "\x1b[3" not in text
    code, text = Session("run", "hello", "--no-color", TERM="xterm").ended()
    assert code == 0 and "\x1b[3" not in text


def test_ctrl_c_stops_the_vms_and_shows_the_table(spin: str) -> None:
    session = Session("run", "hello", spin, TERM="xterm")
    session.wait_for(b"hello ")
    session.send(CTRL_C)
    pressed = time.monotonic()
    code, text = session.ended()
    assert code == 130
    assert "stopped by Ctrl-C" in text and "virtual time" in text and "Traceback" not in text
    assert session.after == session.before
    assert time.monotonic() - pressed < 5


@pytest.mark.parametrize("delay", [0.01, 0.03, 0.05, 0.1, 0.2, 0.4, 0.8])
def test_ctrl_c_at_any_moment(delay: float, spin: str) -> None:
    session = Session("run", spin, TERM="xterm")
    session.wait_for(b"ready")
    time.sleep(delay)
    for _ in range(3):
        session.send(CTRL_C)
        time.sleep(0.05)
    code, text = session.ended()
    assert code == 130 and "Traceback" not in text
    assert session.after == session.before


PRINT = "loop:\nli a7, 1\nli a0, 120\necall\nli a0, 10\necall\nj loop\n"
WAIT = """li t0, 32
csrs sie, t0
loop: csrr t0, time
addi t0, t0, 1
csrw stimecmp, t0
wfi
li t0, -1
csrw stimecmp, t0
j loop
"""


@pytest.fixture
def busy(tmp_path: Path) -> dict[str, str]:
    """Guests that never end, nearly each of whose instructions is an exit."""
    from rvhv.core.registry import ISA
    from rvhv.isa.render.asm import Assembler

    programs = {"printer": PRINT, "waiter": WAIT, "caller": "li a7, 0x10\nloop:\necall\nj loop\n"}
    for name, text in programs.items():
        (tmp_path / name).write_bytes(elf(code=Assembler(ISA).program(text, 0x80200000), segments=((0x80200000, 4096),)))
    return {name: str(tmp_path / name) for name in programs}


@pytest.mark.parametrize("name", ["waiter", "caller"])
def test_ctrl_c_is_prompt(name: str, busy: dict[str, str]) -> None:
    session = Session("run", "hello", busy[name], TERM="xterm")
    session.wait_for(b"hello ")
    time.sleep(0.5)
    session.send(CTRL_C)
    pressed = time.monotonic()
    session.send(CTRL_C)
    code, text = session.ended()
    assert code == 130 and "stopped by Ctrl-C" in text and "virtual time" in text and "Traceback" not in text
    assert session.after == session.before
    assert time.monotonic() - pressed < 2  # it is 0.1 s on a computer that has nothing else to do


def test_a_closed_pipe_stops_the_run(busy: dict[str, str]) -> None:
    import subprocess

    command = f'"{sys.executable}" -m rvhv run "{busy["printer"]}" | head -n 1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout == "printer │ x\n" and done.stderr == "" and done.returncode == 141
