"""The table and the JSON document at the end of a run."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest

from rvhv.cli.document import vm_document
from rvhv.cli.report import duration, exit_causes, share, show_report
from rvhv.cli.terminal import rich_console


@dataclass
class Vm:
    name: str = "hello"
    state: str = "stopped"
    reason: str = "powered off"
    failed: bool = False
    instructions: int = 1_234_567
    steps: int = 1_300_000
    cpu_share: float = 0.25
    exit_counts: dict[str, int] = field(default_factory=lambda: {"ecall": 7, "load": 12, "none of it": 0})
    virtual_ns: int = 1_300_000


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 ns"),
        (999, "999 ns"),
        (1300, "1.30 µs"),
        (45_600_000, "45.6 ms"),
        (123_400_000_000, "123 s"),
        (999_999, "1.00 ms"),
        (9_999, "10.0 µs"),
    ],
)
def test_duration(ns: float, text: str) -> None:
    assert duration(ns) == text


def test_most_frequent_exit_comes_first() -> None:
    assert exit_causes([Vm(exit_counts={"a": 1, "c": 1500, "d": 0}), Vm(exit_counts={"c": 500, "b": 2000})]) == ["b", "c", "a"]


@pytest.mark.parametrize(("part", "text"), [(0, "0.0%"), (0.0004, "<0.1%"), (0.001, "0.1%"), (1, "100.0%")])
def test_share(part: float, text: str) -> None:
    assert share(part) == text


def shown(*vms: Vm) -> str:
    out = io.StringIO()
    show_report(rich_console(out), vms, virtual_ns=5_000_000, host_seconds=0.25)
    return out.getvalue()


def test_tables() -> None:
    text = shown(Vm(), Vm(name="rogue", reason="trap loop at pc 0x80200000", failed=True, exit_counts={"load": 1500}))
    lines = text.splitlines()
    assert "\x1b" not in text and all(line == line.rstrip() for line in lines)
    words = [line.split() for line in lines]
    assert ["hello", "stopped:", "powered", "off", "1,234,567", "25.0%", "1.30", "ms"] in words
    assert ["rogue", "failed:", "trap", "loop", "at", "pc", "0x80200000", "1,234,567", "25.0%", "1.30", "ms"] in words
    assert words[-4:-2] == [["load", "12", "1,500"], ["ecall", "7", "-"]]
    assert text.endswith("\nvirtual time 5.00 ms, host time 250 ms\n")


def test_many_vms_get_several_tables_of_exits() -> None:
    text = shown(*[Vm(name=f"guest-number-{n:03}") for n in range(20)])
    assert all(text.count(f"guest-number-{n:03}") == 2 for n in range(20))


def test_table_shows_hostile_names_and_markup_as_they_are() -> None:
    text = shown(Vm(name="[red]x", reason="said \x1b[2J [bold]boo[/bold]"))
    assert "\x1b" not in text and "[red]x" in text and "␛[2J [bold]boo[/bold]" in " ".join(text.split())


def test_document() -> None:
    document = vm_document(Vm(), "text")
    assert document["exits"] == {"ecall": 7, "load": 12, "none of it": 0}
    assert document["console"] == "text" and document["cpu_share"] == 0.25
