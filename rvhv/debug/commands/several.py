"""Several answers as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rvhv.debug.view import Line, View


@dataclass(frozen=True)
class Several:
    """One below the other."""

    views: tuple[View, ...]

    def lines(self) -> list[Line]:
        return [line for view in self.views for line in view.lines()]

    def json(self) -> Any:
        return [view.json() for view in self.views]
