"""The list of rules, the marks of the tests and docs/h-extension.md agree: no rule without an answer."""

from __future__ import annotations

import pytest

from tests.hext import rules
from tests.hext.rules import PAGE, PREFIX


def test_every_rule_has_an_answer() -> None:
    """A test, or the reason why there is none; code, or the reason why there is none; all of it exists."""
    problems = []
    for section in rules.with_tests():
        for r in section.rules:
            if not r.tests and not r.why:
                problems.append(f"{r.tag}: neither a test nor a reason")
            if not r.code and not r.why:
                problems.append(f"{r.tag}: neither code nor a reason")
            if not r.text:
                problems.append(f"{r.tag}: no text")
            problems += [f"{r.tag}: {p}" for p in map(rules.missing_code, r.code) if p]
    assert not problems, "\n".join(problems)


def test_no_rule_is_listed_twice() -> None:
    tags = [r.tag for s in rules.listed() for r in s.rules]
    assert len(tags) == len(set(tags)) == 233 + 45 + 8, "of the chapter, of Smstateen, of Sha"


def test_cited_rules_are_listed() -> None:
    tags = {PREFIX + r.tag for s in rules.listed() for r in s.rules}
    assert not {f"{test}: {tag}" for tag, test in rules.cited() if tag not in tags}


def test_the_page_is_up_to_date(update_golden: bool) -> None:
    page = rules.page()
    if update_golden:
        PAGE.write_text(page, "utf-8")
    if PAGE.read_text("utf-8") != page:
        pytest.fail("docs/h-extension.md: run pytest tests/hext/test_rules.py --update-golden", pytrace=False)
