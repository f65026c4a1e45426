"""docs/translation.md is code: its snippets run one after the other, and print what stands below them."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parents[2] / "docs/translation.md"
PAIR = re.compile(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", re.MULTILINE | re.DOTALL)


def test_snippets_print_what_the_page_shows(update_golden: bool) -> None:
    text = PAGE.read_text("utf-8")
    names: dict[str, Any] = {}
    pairs = list(PAIR.finditer(text))
    assert len(pairs) == text.count("```python") == 4
    for pair in pairs:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(pair[1], names)
        shown = printed.getvalue()
        if update_golden:
            text = text.replace(pair[0], pair[0][: pair.start(2) - pair.start()] + shown + "```")
        else:
            assert shown == pair[2]
    if update_golden:
        PAGE.write_text(text, "utf-8")
