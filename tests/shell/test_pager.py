"""Long answers a page at a time."""

from __future__ import annotations

import io

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from rvhv.shell.pager import Pager


class Small(DummyOutput):
    def get_size(self) -> Size:
        return Size(rows=12, columns=80)


KEYS = {"q": 10, " q": 20, "\rq": 11, "\r\rq": 12, "G": 35, "   ": 35, "\x03": 10}  # and the lines shown


@pytest.mark.parametrize(("keys", "shown"), KEYS.items())
def test_keys(keys: str, shown: int) -> None:
    out = io.StringIO()
    with create_pipe_input() as pipe:
        pipe.send_text(keys)
        Pager(out, pipe, Small())([f"line {i}" for i in range(35)])
    assert out.getvalue().splitlines() == [f"line {i}" for i in range(shown)]


def test_what_fits_is_not_paged() -> None:
    out = io.StringIO()
    Pager(out, None, Small())(["a", "b"])
    assert out.getvalue() == "a\nb\n"
