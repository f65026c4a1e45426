"""reverse-step and reverse-next by source lines: the way there, backwards."""

from __future__ import annotations

import pytest

from rvhv.debug.locations import source_of
from rvhv.debug.session import Session
from tests.debug.machines import hosted
from tests.debug.test_session import said

pytestmark = pytest.mark.usefixtures("compiled")


def place(session: Session) -> tuple[str, int]:
    found = source_of(session.context, session.context.pc)
    assert found is not None
    return found


@pytest.mark.parametrize(("forward", "back"), [("next", "reverse-next"), ("step", "reverse-step")])
def test_the_same_lines_backwards(forward: str, back: str) -> None:
    with hosted("tasks", memory="32M") as session:
        said(session, "break run_next")
        said(session, "continue")
        said(session, "delete")
        seen = [place(session)]
        for _ in range(8):
            said(session, forward)
            seen.append(place(session))
        gone = []
        for _ in range(30):
            said(session, back)
            gone.append(place(session))
            if gone[-1] == seen[0]:
                break
        seen.reverse()
        assert gone[-1] == seen[-1]
        # all lines of the way are met, in order; lines may be met more often where a loop goes around
        rest = iter(gone)
        assert all(line in rest for line in dict.fromkeys(seen[1:]))


def test_a_call_is_passed_over_and_a_step_goes_into_it() -> None:
    with hosted("broken-irq") as session:
        said(session, "break plic_complete")
        said(session, "continue")
        said(session, "delete")
        said(session, "finish")
        behind = session.target.steps
        assert place(session)[0] == "broken/irq/main.c"
        said(session, "reverse-next")
        assert place(session) == ("broken/irq/main.c", 28)
        said(session, f"goto {behind}")
        said(session, "reverse-step")
        assert place(session)[0].startswith("runtime/")


def test_a_long_call_is_searched() -> None:
    with hosted("hello") as session:
        said(session, "break guest_main")
        said(session, "continue")
        said(session, "delete")
        for _ in range(4):
            said(session, "next")
        there = place(session)
        said(session, "next")
        said(session, "reverse-next")
        assert place(session) == there


def test_where_there_are_no_lines_by_instruction_and_before_the_beginning() -> None:
    from rvhv.errors import DebugError

    with hosted("hello") as session:
        said(session, "run 3")
        with pytest.raises(DebugError, match="does not go back so far"):
            session.command("reverse-step 1000")
