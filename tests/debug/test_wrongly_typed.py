"""Every command, wrongly typed: an error of a line or two, and never anything else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rvhv.debug.commands import TABLE, names
from rvhv.debug.session import Session
from rvhv.errors import InternalError, RvhvError
from tests.debug.machines import bare, hosted

pytestmark = pytest.mark.usefixtures("compiled")

WRONG = (
    "nonsense that nobody means", "0xzz", "--nonsense", "vm=nobody", "vm=nobody main", "1 2 3 4 5 6", "-1",
    "main main main", "0_", "1__0",
    "\"", "(", "1 +", "*", "0", "99999999999999999999999999", "if", "main if", "v:", "nobody.c:12", "0xffffffffffffffff",
    "\x1b[2J", "é",
)  # fmt: skip
SLASHES = ("/", "/zz", "/0", "/-1", "/999999999999x", "/8gxx")


@pytest.fixture(scope="module", params=["guests", "machine"])
def session(request: pytest.FixtureRequest) -> Iterator[Session]:
    with hosted("hello", "tasks") if request.param == "guests" else bare("smp", 2) as session:
        session.command("run 5000")
        yield session


def refused(session: Session, line: str) -> bool:
    """Whether it is an error, and then a good one; an answer has both faces."""
    session.over, session.keyboard_for = False, None
    try:
        view = session.command(line)
    except RvhvError as error:
        assert not isinstance(error, InternalError), line
        text = str(error)
        assert text.strip() and len(text.splitlines()) <= 2 and len(text) < 500, (line, text)
        assert "\x1b" not in text, line
        return True
    view.lines()
    view.json()
    return False


@pytest.mark.parametrize("name", TABLE)
def test_each_command(session: Session, name: str) -> None:
    wrong = [f"{name} {arguments}" for arguments in WRONG] + [f"{name}{slash} main" for slash in SLASHES] + [name]
    errors = [line for line in wrong if refused(session, line)]
    assert errors


NO_COMMANDS = ("hlep", "brek main", "42", "main", "!", "\x00", "help\x00", "a" * 5000, "=", "/", "-")


@pytest.mark.parametrize("line", NO_COMMANDS)
def test_no_command_at_all(session: Session, line: str) -> None:
    assert refused(session, line)


def test_the_near_one_is_suggested(session: Session) -> None:
    with pytest.raises(RvhvError, match="did you mean help"):
        session.command("hlep")


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(st.sampled_from([n for n in names() if TABLE.get(n) is None or TABLE[n].group != "run"]), st.text(max_size=30))
def test_anything(session: Session, name: str, text: str) -> None:
    refused(session, f"{name} {text}")
