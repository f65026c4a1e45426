"""Merged consoles: whole lines under their VM's name, and nothing that a terminal would obey."""

from __future__ import annotations

import io
import unicodedata
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rvhv.cli.consoles import LONGEST_LINE, LONGEST_TRANSCRIPT, Consoles, Transcripts
from rvhv.cli.plain import printable

HELLO, TASKS = SimpleNamespace(name="hello"), SimpleNamespace(name="tasks-2")


def merged(*pieces: tuple[SimpleNamespace, bytes], color: bool = False) -> str:
    out = io.StringIO()
    consoles = Consoles(out, ["hello", "tasks-2"], color=color)
    for vm, data in pieces:
        consoles.feed(vm, data)
    consoles.finish()
    return out.getvalue()


def test_lines_are_kept_whole() -> None:
    text = merged((HELLO, b"one "), (TASKS, b"two\n"), (HELLO, b"line\nrest"), (TASKS, b"more"))
    assert text == "tasks-2 │ two\nhello   │ one line\nhello   │ rest\ntasks-2 │ more\n"


@pytest.mark.parametrize("data", [b"a\r\nb\r\n", b"a\n\rb\n\r", b"a\nb\n", b"a\nb", b"a\r\nb\r"])
def test_line_ends(data: bytes) -> None:
    assert merged((HELLO, data)) == "hello   │ a\nhello   │ b\n"


def test_empty_lines_stay() -> None:
    assert merged((HELLO, b"a\n\nb\n")) == "hello   │ a\nhello   │ \nhello   │ b\n"


def test_color_is_the_name_s() -> None:
    text = merged((HELLO, b"a\n"), (TASKS, b"b\n"), color=True)
    first, second = text.splitlines()
    assert first.endswith(" a") and first.startswith("\x1b[36mhello  ")
    assert second.startswith("\x1b[33mtasks-2")


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (b"\x1b[2Jgone", "␛[2Jgone"),
        (b"\x1b]0;title\x07", "␛]0;title␇"),
        (b"\x1b[1;31mred\x1b[0m", "red"),
        (b"10%\r20%", "10%␍20%"),
        (b"\xc2\x9b2J", "\\x9b2J"),
        (b"\x00\x08\x7f", "␀␈␡"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        ("\u202eabc\u2028x".encode(), "\\u202eabc\\u2028x"),
        ("größe │ ✓".encode(), "größe │ ✓"),
        (b"a\tb", "a       b"),
    ],
)
def test_hostile_text_is_shown(data: bytes, shown: str) -> None:
    assert merged((HELLO, data + b"\n")) == f"hello   │ {shown}\n"


def test_characters_cut_in_two_are_whole() -> None:
    pieces = [(HELLO, bytes([byte])) for byte in "größe ✓\n".encode()]
    assert merged(*pieces) == "hello   │ größe ✓\n"


def test_endless_line_is_ended() -> None:
    out = io.StringIO()
    consoles = Consoles(out, ["hello"], color=False)
    for _ in range(3 * LONGEST_LINE):
        consoles.feed(HELLO, b"x")
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2 and all(len(line) <= LONGEST_LINE + len("hello │ ") for line in lines)


@given(st.lists(st.tuples(st.sampled_from([HELLO, TASKS]), st.binary(max_size=40))))
def test_no_bytes_reach_the_terminal_as_commands(pieces: list[tuple[SimpleNamespace, bytes]]) -> None:
    text = merged(*pieces)
    for line in text.splitlines(keepends=True):
        assert line.startswith(("hello   │ ", "tasks-2 │ ")) and line.endswith("\n")
        assert not any(unicodedata.category(c) in ("Cc", "Zl", "Zp") for c in line[:-1])


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=8))
def test_pieces_do_not_matter(data: bytes, cuts: list[int]) -> None:
    ends = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [(HELLO, data[a:b]) for a, b in zip(ends, ends[1:], strict=False)]
    assert merged(*pieces) == merged((HELLO, data))


def test_output_without_the_bar_gets_another() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="backslashreplace", write_through=True)
    Consoles(out, ["hello"], color=False).feed(HELLO, b"hi\n")
    assert raw.getvalue() == b"hello | hi\n"


def test_lost_reader_is_kept_not_raised() -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    consoles = Consoles(Closed(), ["hello"], color=False)
    consoles.feed(HELLO, b"a\n")
    consoles.feed(HELLO, b"b\n")
    assert isinstance(consoles.error, BrokenPipeError)


def test_transcript_is_the_text_up_to_a_limit() -> None:
    transcripts = Transcripts(["hello"])
    transcripts.feed(HELLO, b"\x1b[2Jab")
    transcripts.feed(HELLO, b"c\xff")
    assert transcripts.text("hello") == "\x1b[2Jabc\ufffd"
    transcripts.feed(HELLO, bytes(LONGEST_TRANSCRIPT))
    assert len(transcripts.text("hello")) == LONGEST_TRANSCRIPT


@given(st.text())
def test_printable_is_one_line(text: str) -> None:
    assert len(printable(text).splitlines()) <= 1
