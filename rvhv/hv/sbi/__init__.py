"""The Supervisor Binary Interface v3.0 that a guest sees: a sparse table of functions, one file per extension."""

from __future__ import annotations

from rvhv.hv.sbi import base, dbcn, legacy, srst, time
from rvhv.hv.sbi.table import LEGACY_END, call, describe, error_name

__all__ = ["LEGACY_END", "base", "call", "dbcn", "describe", "error_name", "legacy", "srst", "time"]
