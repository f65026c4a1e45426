"""`rvhv bench`: speed and memory, beside QEMU where it is installed."""

from __future__ import annotations

from importlib import import_module

import click

from rvhv.cli.group import traceback_option
from rvhv.errors import ConfigError

MODULE = "rvhv.bench"


@click.command("bench")
@traceback_option
def command() -> int:
    """Measure speed and memory, beside QEMU where it is installed."""
    try:
        bench = import_module(MODULE)
    except ModuleNotFoundError as error:
        if error.name != MODULE:
            raise
        raise ConfigError("this version of rvhv has no benchmarks yet") from None
    bench.report()
    return 0
