"""What tests of the command and of the translator share."""

from __future__ import annotations

from pathlib import Path

import pytest

from rvhv.jit import cache


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Objects go to a folder of the test's own; the machine itself is where it ever is."""
    folder = tmp_path / "regions"
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path)
    return folder
