"""The command `rvhv`: one file a command; only this package prints."""
