"""The group `rvhv` and the options that its commands share."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import click

from rvhv import __version__

Function = TypeVar("Function", bound=Callable[..., Any])

TIERS = ("interp", "jit", "auto")  # as in rvhv.jit.engine.Tier, without its imports
COMMANDS = {  # name on the command line -> the module of this package that defines `command`
    "demo": "demo",
    "run": "run",
    "boot": "boot",
    "jit": "jit",
    "bench": "bench",
    "lab": "lab",
    "grade": "grade",
    "riscv-tests": "riscv_tests",
    "doctor": "doctor",
    "warmup": "warmup",
}

EPILOG = """\b
Start with:      rvhv demo
Exit codes:      0 fine, 1 a guest or test failed, 2 wrong usage or bad input, 130 Ctrl-C,
                 141 the reader of the output went away (| head)
Completion:      bash: eval "$(_RVHV_COMPLETE=bash_source rvhv)"
                 zsh:  eval "$(_RVHV_COMPLETE=zsh_source rvhv)"
                 fish: _RVHV_COMPLETE=fish_source rvhv | source"""


class ReaderGone(Exception):
    """Nobody reads our output any more."""


class LazyGroup(click.Group):
    """Imports a command's module when the command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"rvhv.cli.{COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise ReaderGone from error  # from click, which would make an exit code 1 of it

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from difflib import get_close_matches

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            near = get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"the commands are {', '.join(COMMANDS)}"
            raise click.ClickException(f"no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="rvhv", message="%(prog)s %(version)s")
@click.pass_context
def rvhv(ctx: click.Context) -> None:
    """A see-through RISC-V hypervisor written in Python."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def traceback_option(function: Function) -> Function:
    """`--traceback`; the entry reads it from the command line itself, since it must work when parsing fails too."""
    return click.option(
        "--traceback", is_flag=True, expose_value=False, help="On an error, also show where it came from."
    )(function)


def json_option(function: Function) -> Function:
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead.")(function)


def color_option(function: Function) -> Function:
    return click.option(
        "--no-color", is_flag=True, help="No colours (also: NO_COLOR set, or output to a file or pipe)."
    )(function)


def tier_option(function: Function) -> Function:
    return click.option(
        "--tier",
        type=click.Choice(TIERS),
        help="Interpret only, translate everything that is warm at once, or what is hot in the background: the run is the same.  "
        "[default: RVHV_TIER, or auto]",
    )(function)


def profile_option(function: Function) -> Function:
    return click.option(
        "--profile", metavar="FILE", type=Path, help="Where the steps go, by symbol: a table, and a file for speedscope.app."
    )(function)


def verify_option(function: Function) -> Function:
    return click.option(
        "--verify-jit", is_flag=True, help="Run everything twice, interpreted and translated, and stop at the first difference."
    )(function)
