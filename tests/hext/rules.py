"""The normative rules of the "H" chapter and of two that belong to it: the list (rules.toml), who implements and who tests
each, and the page that says so.

`@rule("norm:...")` on a test names the rules that it checks. The list is the project's own: tags as the ISA manual has them,
and what each asks for in our words. `pytest tests/hext/test_rules.py --update-golden` writes docs/h-extension.md anew.
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

from rvhv.core.registry import ISA

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("rules.toml")
PAGE = ROOT / "docs/h-extension.md"
PREFIX = "norm:"

rule = pytest.mark.rule


@dataclass
class Rule:
    """`code`: "file.py:symbol" beneath rvhv/, or rows ("csr NAME", "insn NAME", "cause NAME"). `why`: why there is no code or
    no test."""

    tag: str
    text: str
    code: list[str]
    why: str
    tests: list[str] = field(default_factory=list)  # "file.py::function" beneath tests/hext/


@dataclass
class Section:
    title: str
    rules: list[Rule]


def listed() -> list[Section]:
    """The rules by section, in the chapter's order, without tests."""
    data = tomllib.loads(LIST.read_text("utf-8"))
    return [
        Section(title, [Rule(tag, r["is"], _split(r.get("code", "")), r.get("why", "")) for tag, r in rules.items()])
        for title, rules in data.items()
    ]


def _split(code: str) -> list[str]:
    return [part.strip() for part in code.split(",") if part.strip()]


def cited() -> Iterator[tuple[str, str]]:
    """(tag, test) of every citation beneath tests/hext, from the sources: nothing is imported."""
    for path in sorted(Path(__file__).parent.glob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "rule":
                        for argument in decorator.args:
                            yield ast.literal_eval(argument), f"{path.name}::{node.name}"


def with_tests() -> list[Section]:
    sections = listed()
    by_tag = {PREFIX + r.tag: r for s in sections for r in s.rules}
    for tag, test in cited():
        if tag in by_tag:
            by_tag[tag].tests.append(test)
    return sections


def missing_code(reference: str) -> str | None:
    """What is wrong with a reference to code, or None."""
    kind, _, name = reference.partition(" ")
    if name:
        rows = {"csr": ISA.csrs, "insn": ISA.insns, "cause": ISA.causes}.get(kind)
        return None if rows and name in rows else f"there is no row {reference}"
    path, _, symbol = reference.partition(":")
    file = ROOT / "rvhv" / path
    if not file.is_file():
        return f"there is no rvhv/{path}"
    return None if symbol in _symbols(file) else f"rvhv/{path} has no {symbol}"


@cache
def _symbols(file: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return found


HEAD = """# The H extension, rule by rule

The normative rules of the chapter '"H" Extension for Hypervisor Support' of the RISC-V ISA manual (privileged
architecture), by section, and at the end those of Smstateen and of Sha: the manual's tag and what it asks for in our
words; the code (rows of CSRs, instructions and causes, and functions beneath `rvhv/`); the tests beneath `tests/hext/`.
A rule without code or without a test says why.

This page is generated from `tests/hext/rules.toml` and the tests' `@rule` marks:
`pytest tests/hext/test_rules.py --update-golden` writes it anew.
"""


def page() -> str:
    sections = with_tests()
    rules = [r for s in sections for r in s.rules]
    tested = sum(bool(r.tests) for r in rules)
    lines = [HEAD, f"{len(rules)} rules: {tested} tested, {len(rules) - tested} not.", ""]
    for section in sections:
        lines += [f"## {section.title}", ""]
        for r in section.rules:
            lines.append(f"- **{r.tag}**: {r.text}")
            if r.code:
                lines.append("  - code: " + ", ".join(f"`{c}`" for c in r.code))
            if r.tests:
                lines.append("  - test: " + ", ".join(f"`{t}`" for t in r.tests))
            if r.why:
                lines.append(f"  - {'' if r.tests else 'no test: '}{r.why}")
        lines.append("")
    return "\n".join(lines)
