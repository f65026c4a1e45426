"""`python -m rvhv` is the command `rvhv`."""

from rvhv.cli.main import entry

if __name__ == "__main__":
    entry()
