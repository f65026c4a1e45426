"""The commands of the debugger: one table, filled by one file a group."""

from rvhv.debug.commands import run, session
from rvhv.debug.commands.table import GROUPS, TABLE, Command, find, names, shown, split

__all__ = ["GROUPS", "TABLE", "Command", "find", "names", "run", "session", "shown", "split"]
