"""F8: the debugger without a terminal: what is run and looked at, what stops it, what explains it."""
