"""The Supervisor Binary Interface v3.0: one file per extension, composed into an `Sbi` by whoever offers it."""

from __future__ import annotations

from rvhv.sbi.table import LEGACY_END, Extension, Sbi, Supervisor, error_name

__all__ = ["LEGACY_END", "Extension", "Sbi", "Supervisor", "error_name"]
