"""docs/type1-and-type2.md: what it names exists, its commands run, and its table says what the exits cost."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from rvhv.cli.main import main
from tests.docs.exit_costs import figures, table

pytestmark = pytest.mark.usefixtures("compiled")

ROOT = Path(__file__).resolve().parents[2]
PAGE_PATH = ROOT / "docs/type1-and-type2.md"
PAGE = PAGE_PATH.read_text("utf-8")
COSTS = re.compile(r"(<!-- costs:.*?-->\n)(.*?)(<!-- /costs -->)", re.DOTALL)
CELL = re.compile(r"`([\w./]+\.(?:py|c|S))`: ((?:`\w+`(?:, )?)+)")
FOLDERS = {".py": ROOT / "rvhv/hv", ".c": ROOT / "guests/monitor", ".S": ROOT / "guests/monitor"}
NAMED = [(path, name) for path, names in CELL.findall(PAGE) for name in re.findall(r"\w+", names)]


DEFINITIONS = {
    ".c": re.compile(r"^FUNCTION\((\w+)\)|^\w[\w* ]*?(\w+)\([^;{]*\) \{", re.MULTILINE),
    ".S": re.compile(r"^(\w+):|^\s*\.macro (\w+)", re.MULTILINE),
}


def defined(path: Path) -> set[str]:
    """Functions and classes of a Python file; functions of C; labels and macros of assembly."""
    text = path.read_text("utf-8")
    if path.suffix == ".py":
        return {node.name for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    return {name for names in DEFINITIONS[path.suffix].findall(text) for name in names if name}


def test_the_tables_name_much() -> None:
    assert len(NAMED) > 100


@pytest.mark.parametrize("path", sorted({path for path, _ in NAMED}))
def test_what_is_named_exists(path: str) -> None:
    file = ROOT / path if "/" in path else FOLDERS[Path(path).suffix] / path
    assert file.is_file()
    assert {name for named, name in NAMED if named == path} <= defined(file)


def test_every_file_of_the_monitor_has_its_twin() -> None:
    sources = {path.name for path in (ROOT / "guests/monitor").iterdir() if path.suffix in (".c", ".S")}
    assert sources == {path for path, _ in NAMED if not path.endswith(".py")}


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (PAGE_PATH.parent / target).exists(), target


def commands() -> list[str]:
    blocks = re.findall(r"^```shell\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for body in blocks for line in body.splitlines()]


@pytest.mark.parametrize("command", commands())
def test_a_command_runs(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    program, *arguments = command.split()
    assert program == "rvhv" and main(arguments) == 0
    assert "tasks: all results correct" in capsys.readouterr().out


def test_the_table_says_what_exits_cost(update_golden: bool) -> None:
    """Everything but the host's time is the same on every computer."""
    shown = COSTS.search(PAGE)
    assert shown
    if update_golden:
        PAGE_PATH.write_text(PAGE.replace(shown[0], f"{shown[1]}\n{table()}\n{shown[3]}"), "utf-8")
        return
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|"))[:4] for line in shown[2].strip().splitlines()[2:]]
    assert rows == figures()
