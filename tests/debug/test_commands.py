"""The table of commands, and how a line becomes one of them."""

from __future__ import annotations

import pytest

from rvhv.debug.commands import GROUPS, TABLE, find, names, split
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.completion import candidates
from rvhv.debug.commands.table import ELSEWHERE
from rvhv.debug.view import plain
from rvhv.errors import DebugError
from tests.debug.machines import hosted


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_a_row_is_complete(row: object) -> None:
    from rvhv.debug.commands import Command

    assert isinstance(row, Command)
    assert row.group in GROUPS and row.summary and row.usage.split()[0].split("/")[0].split("[")[0] == row.name and row.examples
    assert len(row.summary) <= 90 and (row.summary[0].islower() or row.summary[:2].isupper()) and not row.summary.endswith(".")
    for line, what in row.examples:
        assert find(split(line)[0]) is row and what


def test_no_word_means_two_commands() -> None:
    assert len(names()) == len(set(names()))


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("continue", ("continue", "", "")),
        ("  run   10000 ", ("run", "", "10000")),
        ("x/8gx sp", ("x", "8gx", "sp")),
        ("p $sp + 8", ("p", "", "$sp + 8")),
        ("p*a", ("p", "", "*a")),
        ("help break", ("help", "", "break")),
    ],
)
def test_a_line_in_parts(line: str, parts: tuple[str, str, str]) -> None:
    assert split(line) == parts


def test_beginnings() -> None:
    assert find("contin").name == "continue" and find("c").name == "continue"
    with pytest.raises(DebugError, match="the beginning of"):
        find("co")
    with pytest.raises(DebugError, match="did you mean continue"):
        find("contineu")


def test_arguments() -> None:
    arguments = Arguments("main --log vm=tasks if a0 == 3", "", "break PLACE")
    assert arguments.flag("log") and not arguments.flag("log")
    assert arguments.option("vm") == "tasks" and arguments.option("vm") is None
    assert arguments.text.split() == ["main", "if", "a0", "==", "3"]
    assert [Arguments(text, "", "").count(7) for text in ("", "20K", "0x10", "1_000")] == [7, 20_000, 16, 1000]
    for wrong in ("0", "-1", "five", "1 2", "9" * 30):
        with pytest.raises(DebugError):
            Arguments(wrong, "", "run [STEPS]").count(7)


def test_help() -> None:
    with hosted("hello") as session:
        everything = plain(session.command("help").lines())
        assert all(name in everything for name in TABLE)
        for row in TABLE.values():
            page = plain(session.command(f"help {row.name}").lines())
            assert row.usage in page and all(line in page for line, _ in row.examples)
        assert "console" in plain(session.command("help keyboard").lines())
        with pytest.raises(DebugError, match="speaks of"):
            session.command("help flibbertigibbet")


def test_completion() -> None:
    with hosted("hello", "tasks") as session:

        def texts(line: str) -> list[str]:
            return [candidate.text for candidate in candidates(session, line)]

        assert texts("cont") == ["continue"]
        assert texts("vm t") == ["tasks"] and texts("vm ") == ["hello", "tasks"]
        assert "break" not in texts("zzz") and texts("zzz ") == []
        assert "help" in texts("help he")
        assert texts("type vm=h") == ["hello"]


def test_what_gdbs_users_type_is_something_else_here() -> None:
    assert not set(ELSEWHERE) & set(names())
    for word in ELSEWHERE:
        with pytest.raises(DebugError, match=f"^{word} is no command: "):
            find(word)
