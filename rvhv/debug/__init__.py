"""F8: the debugger without a terminal: what is run and looked at, what stops it, what explains it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rvhv.debug.session import Session

__all__ = ["Session"]


def __getattr__(name: str) -> Any:
    if name == "Session":  # late: whoever imports a module of this folder need not pay for it
        from rvhv.debug.session import Session

        return Session
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
