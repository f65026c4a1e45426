"""The interactive shell: reads a line, does it, shows the answer; nothing that is typed ends it but `quit` and Ctrl-D."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from rvhv.cli.session import Interrupt
from rvhv.debug.target import Ended
from rvhv.errors import InternalError, RvhvError
from rvhv.shell.handover import hand_over

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.target import Context
    from rvhv.shell.screen import Screen

PROMPT = "(rvhv) "

log = logging.getLogger(__name__)


class Shell:
    """A session and the screen its answers go to."""

    def __init__(self, session: Session, screen: Screen) -> None:
        self.session, self.screen = session, screen
        self._last = ""  # what an empty line stands for
        session.on_console = self._printed

    def run(self, read: Callable[[], str]) -> None:
        """Until `quit`, or until `read`, which gives the next line, raises EOFError."""
        while not self.session.over:
            try:
                line = read().strip()
            except EOFError:
                return
            except KeyboardInterrupt:
                continue
            line = line or self._last
            if line and not line.startswith("#"):
                self._last = self.session.repeats(line)
                self.do(line)

    def do(self, line: str, at: str = "") -> bool:
        """One command; whether it could be done. `at`: where it is written, for an error."""
        session, screen = self.session, self.screen
        with Interrupt(session.interrupt) as interrupt:
            try:
                view = session.command(line)
                self._end_lines()
                screen.show(view)
                screen.notes(session.notes)
                if session.keyboard_for is not None:
                    self._hand_over()
                return True
            except KeyboardInterrupt:
                screen.error("interrupted")
            except RvhvError as error:
                if isinstance(error, InternalError):
                    self._bug(error)
                else:
                    screen.error(f"{at}: {error}" if at else str(error))
            except (OSError, EOFError):
                raise  # nobody reads what is written
            except Exception as error:
                self._bug(error)
            finally:
                if interrupt.asked:
                    session.calm()
        return False

    def _printed(self, context: Context, data: bytes) -> None:
        self.screen.feed(context, data)
        if self.screen.lost:
            self.session.interrupt()  # the guests need not go on for nobody

    def _hand_over(self) -> None:
        context, self.session.keyboard_for = self.session.keyboard_for, None
        assert context is not None
        if (arrival := hand_over(self.session, context, self.screen)) is not None:
            self.screen.show(arrival)
        else:
            self.screen.show(self.session.where())

    def _end_lines(self) -> None:
        """A guest that waits for input, and one that has ended, may have left a line unfinished."""
        if self.session.halted in (Ended.WAITING, Ended.FINISHED):
            self.screen.end_lines()

    def _bug(self, error: Exception) -> None:
        log.debug("a command failed", exc_info=error)
        self.screen.error(f"{type(error).__name__}: {error} (a bug of rvhv; the session goes on)")
