"""A new hart for each test of the H extension."""

from __future__ import annotations

import pytest

from tests.hext.bare import Bare


@pytest.fixture
def bare() -> Bare:
    return Bare()
