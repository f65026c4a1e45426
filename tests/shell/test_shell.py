"""The interactive shell with a keyboard of straw: keys in, scrollback out."""

from __future__ import annotations

import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from rvhv.debug.session import Session
from rvhv.debug.view import Text
from rvhv.shell.interactive import greeting
from rvhv.shell.loop import Shell
from rvhv.shell.paint import paint
from rvhv.shell.prompt import history, new_prompt
from rvhv.shell.screen import Screen
from rvhv.shell.status import status
from tests.debug.machines import bare, hosted

pytestmark = pytest.mark.usefixtures("compiled")

CTRL_C, CTRL_D, TAB = "\x03", "\x04", "\t"


@pytest.fixture
def session() -> Iterator[Session]:
    with hosted("hello", "tasks") as session:
        yield session


def typed(session: Session, keys: str, past: InMemoryHistory | None = None) -> str:
    """What the shell writes when these keys are typed."""
    out = io.StringIO()
    with create_pipe_input() as pipe:
        pipe.send_text(keys)
        prompt = new_prompt(session, color=True, past=past or InMemoryHistory(), keys=pipe, screen=DummyOutput())
        Shell(session, Screen(out, session.target.contexts, color=False)).run(prompt.prompt)
    return out.getvalue()


def test_ctrl_d_leaves(session: Session) -> None:
    assert typed(session, CTRL_D) == "" and not session.over


def test_quit_leaves(session: Session) -> None:
    assert typed(session, "quit\rvm\r") == "" and session.over


def test_an_answer_and_an_error(session: Session) -> None:
    out = typed(session, "vm tasks\rvm nobody\rnonsense\r" + CTRL_D)
    answer, *errors = out.splitlines()
    assert answer.startswith("tasks VS  0x80200000 <_start>")
    assert errors[0].startswith("error: no VM is called nobody") and errors[1].startswith("error: nonsense is no command")


@pytest.mark.parametrize("columns", [60, 80])
def test_texts_are_as_wide_as_the_terminal(session: Session, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setattr("rvhv.shell.screen.terminal_columns", lambda out: columns)
    session.command("continue")
    lines = typed(session, "help\rwhy\rirq\r" + CTRL_D).splitlines()
    assert columns - 12 < max(map(len, lines)) <= columns


def test_an_empty_line_repeats(session: Session) -> None:
    typed(session, "run 100\r\r\r" + CTRL_D)
    assert session.target.steps == 300
    typed(session, "run 100\rvm\r\r" + CTRL_D)
    assert session.target.steps == 400, "vm does not repeat, and what was before it is forgotten"


def test_ctrl_c_clears_the_line(session: Session) -> None:
    typed(session, "run 100" + CTRL_C + "run 50\r" + CTRL_D)
    assert session.target.steps == 50


def test_completion_by_tab(session: Session) -> None:
    typed(session, "contin" + TAB + "\r" + CTRL_D)
    assert session.target.finished


def test_consoles_come_by_line_under_their_names(session: Session) -> None:
    out = typed(session, "continue\r" + CTRL_D)
    assert "hello │ hello from hart 0" in out and "\ntasks │ tasks: all results correct\n" in out
    assert out.splitlines()[-2:] == ["hello: powered off", "tasks: powered off"]


def test_ctrl_c_stops_the_guests_and_not_the_shell() -> None:
    with bare("smp", 1) as session:
        session.target.on_output = None
        run = session.target.run

        def pressed(steps: int | None = None) -> object:
            signal.raise_signal(signal.SIGINT)
            return run(steps)

        session.target.run = pressed  # type: ignore[method-assign, assignment]
        out = typed(session, "continue\r" + CTRL_D)
        assert "interrupted" in out and not session.target.finished
        session.target.run = run  # type: ignore[method-assign]
        typed(session, "run 100\r" + CTRL_D)


def test_a_bug_does_not_end_it(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(session, "where", broken)
    assert "error: ZeroDivisionError: oops (a bug of rvhv; the session goes on)" in typed(session, "vm\rrun 10\r" + CTRL_D)
    assert session.target.steps == 10


def test_history_file(tmp_path: Path) -> None:
    file = tmp_path / "state" / "debug_history"
    history(file).append_string("break main")
    assert list(history(file).load_history_strings()) == ["break main"]
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert isinstance(history(blocked / "debug_history"), InMemoryHistory)


def test_status_line(session: Session) -> None:
    text = "".join(piece for _, piece in status(session))
    assert "hello" in text and "0x80200000 <_start>" in text and "VS" in text and "0 instructions" in text
    session.command("continue")
    assert "powered off" in "".join(piece for _, piece in status(session))


def test_greeting(session: Session) -> None:
    lines = [paint(line, False) for line in greeting(session)]
    assert len(lines) == 3 and "hello, tasks" in lines[0] and "help" in lines[2]


def test_guests_cannot_act_on_the_terminal(session: Session) -> None:
    out = io.StringIO()
    screen = Screen(out, session.target.contexts, color=True)
    screen.feed(session.context, b"\x1b[2Jgone\n")
    screen.show(Text("\x1b]0;title\x07"))
    screen.error("\x1b[2J")
    assert "\x1b[2J" not in out.getvalue() and "\x1b]" not in out.getvalue() and "\x07" not in out.getvalue()


def test_a_reader_that_has_gone_stops_the_guests(session: Session) -> None:
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    shell = Shell(session, Screen(Gone(), session.target.contexts, color=False))
    with pytest.raises(BrokenPipeError):
        shell.do("continue")
    assert not session.target.finished
