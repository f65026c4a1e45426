"""The commands of the debugger: one table, filled by one file a group."""

from rvhv.debug.commands import back, info, look, run, session, stop, why  # noqa: F401  (they fill the table)
from rvhv.debug.commands.table import GROUPS, TABLE, Command, find, names, shown, split

__all__ = ["GROUPS", "TABLE", "Command", "find", "names", "shown", "split"]
