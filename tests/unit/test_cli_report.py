"""The table and the JSON document at the end of a run."""

from __future__ import annotations

import io
from dataclasses import dataclass, field

import pytest

from rvhv.cli.report import duration, exits_text, show_table, vm_document
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
    assert exits_text({"a": 1, "c": 2000, "b": 2000, "d": 0}) == "b 2,000, c 2,000, a 1"
    assert exits_text({}) == "none"


def shown(*vms: Vm) -> str:
    out = io.StringIO()
    show_table(rich_console(out), vms, virtual_ns=5_000_000, host_seconds=0.25)
    return out.getvalue()


def test_table() -> None:
    text = shown(Vm(), Vm(name="rogue", reason="trap loop at pc 0x80200000", failed=True))
    assert "\x1b" not in text
    (hello,) = [line for line in text.splitlines() if line.startswith("hello")]
    for part in ("stopped: powered off", "1,234,567", "25.0%", "1.30 ms", "load 12, ecall 7"):
        assert part in hello
    assert "trap loop at pc 0x80200000" in " ".join(text.split())
    assert text.endswith("virtual time 5.00 ms, host time 250 ms\n")


def test_table_shows_hostile_names_and_markup_as_they_are() -> None:
    text = shown(Vm(name="[red]x", reason="said \x1b[2J [bold]boo[/bold]"))
    assert "\x1b" not in text and "[red]x" in text and "␛[2J [bold]boo[/bold]" in " ".join(text.split())


def test_document() -> None:
    document = vm_document(Vm(), "text")
    assert document["exits"] == {"ecall": 7, "load": 12, "none of it": 0}
    assert document["console"] == "text" and document["cpu_share"] == 0.25
