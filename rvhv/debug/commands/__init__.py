"""The commands of the debugger: one table, filled by one file a group, in the order in which `help` shows them."""

# ruff: noqa: I001, F401  (the order is the table's, and the files are imported to fill it)
from rvhv.debug.commands.table import GROUPS, TABLE, Command, find, names, shown, split
from rvhv.debug.commands import run, stop, look, info, why, back, session

__all__ = ["GROUPS", "TABLE", "Command", "find", "names", "shown", "split"]
