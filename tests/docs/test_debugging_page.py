"""docs/debugging.md is code: its sessions say what they print, and its reference is the table of commands.

A `console` block begins a session with `$ rvhv debug ...`, or goes on with the one before. A line of three dots stands for
lines that are left out; `--update-golden` writes what is printed now, leaving out between as many lines as before.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.debug.commands import GROUPS, TABLE

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/debugging.md"
REFERENCE = re.compile(r"(<!-- commands:.*?-->\n)(.*?)(<!-- /commands -->)", re.DOTALL)
SHELL, PROMPT, LEFT_OUT = "$ ", "(rvhv) ", "..."


@dataclass
class Command:
    """One command of a session with the lines that the page shows below it."""

    line: str
    shown: list[str] = field(default_factory=list)


@dataclass
class Session:
    """`blocks`: the commands of each block."""

    arguments: list[str]
    blocks: list[list[Command]] = field(default_factory=list)

    @property
    def commands(self) -> list[Command]:
        return [command for block in self.blocks for command in block]


def text() -> str:
    return PAGE.read_text("utf-8")


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", text(), re.MULTILINE | re.DOTALL)


def sessions() -> list[Session]:
    found: list[Session] = []
    for body in blocks("console"):
        block: list[Command] = []
        for line in body.splitlines():
            if line.startswith(SHELL):
                program, command, *arguments = shlex.split(line.removeprefix(SHELL))
                assert (program, command) == ("rvhv", "debug")
                found.append(Session(arguments))
            elif line.startswith(PROMPT):
                block.append(Command(line.removeprefix(PROMPT)))
            else:
                block[-1].shown.append(line)
        found[-1].blocks.append(block)
    return found


def played(session: Session) -> Iterator[list[str]]:
    """What each command prints."""
    script = "".join(f"{command.line}\n" for command in session.commands)
    done = subprocess.run(
        [sys.executable, "-m", "rvhv", "debug", *session.arguments],
        input=script, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", timeout=300,
    )  # fmt: skip
    first, *outputs = re.split(rf"^{re.escape(PROMPT)}", done.stdout, flags=re.MULTILINE)
    assert first == "" and len(outputs) == len(session.commands), done.stdout
    for command, output in zip(session.commands, outputs, strict=True):
        line, *printed = (line.rstrip() for line in output.rstrip("\n").split("\n"))
        assert line == command.line
        yield printed


def excerpt(printed: list[str], shown: list[str]) -> list[str]:
    """What the page would show: with as many lines before and behind those that are left out."""
    if LEFT_OUT not in shown:
        return printed
    before = shown.index(LEFT_OUT)
    behind = len(shown) - before - 1
    assert len(printed) > before + behind
    return [*printed[:before], LEFT_OUT, *printed[len(printed) - behind :]]


@pytest.mark.parametrize("session", sessions(), ids=lambda session: " ".join(session.arguments))
def test_a_session_prints_what_the_page_shows(session: Session, update_golden: bool) -> None:
    fresh = [excerpt(printed, command.shown) for printed, command in zip(played(session), session.commands, strict=True)]
    if update_golden:
        write(session, fresh)
        return
    for command, lines in zip(session.commands, fresh, strict=True):
        assert command.shown == lines, command.line


def write(session: Session, fresh: list[list[str]]) -> None:
    page, outputs = text(), iter(fresh)
    for block in session.blocks:
        old = "".join("\n".join((f"{PROMPT}{c.line}", *c.shown)) + "\n" for c in block)
        new = "".join("\n".join((f"{PROMPT}{c.line}", *next(outputs))) + "\n" for c in block)
        assert old in page
        page = page.replace(old, new, 1)
    PAGE.write_text(page, "utf-8")


def reference() -> str:
    """The tables of all commands."""
    parts = []
    for group, title in GROUPS.items():
        parts.append(f"\n**{title}**\n\n| command | | what it does |\n|---|---|---|\n")
        for row in TABLE.values():
            if row.group == group:
                usage = row.usage.replace("|", r"\|")
                short = ", ".join(f"`{name}`" for name in row.short)
                parts.append(f"| `{usage}` | {short} | {row.summary} |\n")
    return "".join(parts) + "\n"


def test_the_reference_is_the_table(update_golden: bool) -> None:
    shown = REFERENCE.search(text())
    assert shown
    if update_golden:
        PAGE.write_text(text().replace(shown[0], f"{shown[1]}{reference()}{shown[3]}"), "utf-8")
    else:
        assert shown[2] == reference()


@pytest.mark.parametrize("command", [line for body in blocks("shell") for line in body.splitlines()])
def test_a_command_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = shlex.split(command)
    assert program == "rvhv" and main(arguments) == 0
    assert capsys.readouterr().out


@pytest.mark.parametrize("body", blocks("python"))
def test_a_program_runs(body: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(body, "debugging.md", "exec"), {})
    assert capsys.readouterr().out


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", text()):
        assert (PAGE.parent / target).exists(), target
