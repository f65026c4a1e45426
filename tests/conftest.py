"""What all tests share: where the project is, golden files, and an environment that does not depend on the caller's."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.translated import Count

ROOT = Path(__file__).resolve().parent.parent

# A background job of a shell ignores Ctrl-C, and so would all that the tests start: rvhv leaves an ignored signal ignored.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write golden files anew; say in the commit why they change"
    )
    parser.addoption("--translated", action="store_true", help="with RVHV_TIER=jit: each run of a hart begins in a region")


@pytest.fixture(scope="session")
def translated(request: pytest.FixtureRequest) -> Iterator[Count | None]:
    """With --translated: what came of it; a twentieth of many runs must have been, or the option does nothing."""
    if not request.config.getoption("--translated"):
        yield None
        return
    from tests.translated import Count

    count = Count()
    yield count
    assert count.translated * 20 >= count.runs or count.runs < 1000, count


@pytest.fixture(autouse=True)
def _each_run_translated(translated: Count | None, monkeypatch: pytest.MonkeyPatch) -> None:
    if translated is not None:
        from tests.translated import translate_each_run

        translate_each_run(monkeypatch, translated)


@pytest.fixture(scope="session")
def update_golden(request: pytest.FixtureRequest) -> bool:
    """Whether golden files are to be written instead of compared."""
    return bool(request.config.getoption("--update-golden"))


@pytest.fixture(scope="session")
def root() -> Path:
    """The project's folder."""
    return ROOT


@pytest.fixture(scope="session")
def compiled() -> None:
    """The machine is compiled and in the cache: for tests that look at the clock."""
    from rvhv import build

    build.ensure()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No colours or widths that the caller's terminal asks for."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
        if name in os.environ:
            monkeypatch.delenv(name)
