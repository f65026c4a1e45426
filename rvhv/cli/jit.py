"""`rvhv jit`: a look inside the translator."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from rvhv.cli.group import color_option, json_option, tier_option, traceback_option
from rvhv.cli.guests import GuestType
from rvhv.cli.params import SIZE, STEPS
from rvhv.errors import ConfigError

STATS_EPILOG = """\b
rvhv jit stats                          the object cache on disk
rvhv jit stats bench-bytecode           a program on the bare machine
rvhv jit stats --guest tasks            a guest in a VM"""

SHOW_EPILOG = """\b
rvhv jit show tasks user_fibonacci
rvhv jit show kernel.elf 0x80201a40 --host"""


OF_MACHINE = ("smp", "disk", "initrd", "append")
OF_RUN = ("max_steps", "memory", "tier")


@click.group("jit", invoke_without_command=True, short_help="What the translator did in a run, and what it makes of code.")
@traceback_option
@click.pass_context
def command(ctx: click.Context) -> None:
    """A look inside the translator: what it did in a run, and what it makes of code."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@command.command("stats", epilog=STATS_EPILOG, short_help="What was translated in a run, or what is in the cache.")
@click.argument("image", required=False, type=str)
@click.option("--guest", "guests", metavar="GUEST", multiple=True, type=GuestType(), help="Host a guest in a VM instead, as run.")
@click.option("--max-steps", metavar="STEPS", type=STEPS, help="Stop after so many steps: 1000, 50M.")
@click.option("--memory", metavar="SIZE", type=SIZE, help="RAM of the machine, or of each VM.")
@click.option("--smp", metavar="N", type=int, default=1, show_default=True, help="Harts of the machine.")
@click.option("--disk", metavar="FILE", multiple=True, type=Path, help="Raw disk image of the machine.")
@click.option("--firmware", metavar="builtin|FILE|none", help="As rvhv boot.")
@click.option("--kernel", metavar="FILE", help="As rvhv boot.")
@click.option("--initrd", metavar="FILE", type=Path, help="As rvhv boot.")
@click.option("--append", metavar="TEXT", default="", help="As rvhv boot.")
@click.option("--clear", is_flag=True, help="Without an IMAGE: empty the cache.")
@tier_option
@json_option
@color_option
@traceback_option
def stats(
    image: str | None,
    guests: tuple[str, ...],
    max_steps: int | None,
    memory: int | None,
    smp: int,
    disk: tuple[Path, ...],
    firmware: str | None,
    kernel: str | None,
    initrd: Path | None,
    append: str,
    clear: bool,
    tier: str | None,
    as_json: bool,
    no_color: bool,
) -> int:
    """Run IMAGE as rvhv boot does, or guests as rvhv run does, and say what was translated and how much of the run was in it.

    Its console goes nowhere, and the exit code says nothing of its end. Without an IMAGE: what is in the object cache on disk.
    """
    from rvhv.cli import jit_report, jit_stats

    runs = [name for name, given in (("an IMAGE", image), ("--kernel", kernel), ("--firmware", firmware)) if given is not None]
    if guests and runs:
        raise ConfigError(f"--guest goes without {' and '.join(runs)}: there is one run")
    if clear and (guests or runs):
        raise ConfigError(f"--clear goes without {' and '.join(runs or ['--guest'])}")
    _applies(bool(guests), bool(runs))
    if guests:
        report = jit_stats.of_guests(guests, memory, max_steps, tier, no_color=no_color)
    elif runs:
        from rvhv.boot.loader import Software
        from rvhv.cli.boot import built_in

        software = Software(built_in(image), kernel, firmware, initrd, append)
        report = jit_stats.of_machine(software, smp, memory, disk, max_steps, tier, no_color=no_color)
    else:
        return jit_stats.show_cache(clear=clear, as_json=as_json)
    return jit_report.show_report(report, as_json=as_json, no_color=no_color)


def _applies(hosts: bool, boots: bool) -> None:
    """Raises ConfigError for an option that says nothing of this run, or of none."""
    context = click.get_current_context()
    given = [name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE]
    for name in given:
        option = f"--{name.replace('_', '-')}"
        if name in OF_MACHINE and not boots:
            raise ConfigError(f"{option} is of a machine that boots an IMAGE, and there is none")
        if name in OF_RUN and not (boots or hosts):
            raise ConfigError(f"{option} is of a run: give an IMAGE or --guest")


@command.command("show", epilog=SHOW_EPILOG, short_help="Guest code, LLVM assembly and host code of a region.")
@click.argument("image", type=str)
@click.argument("where", metavar="SYMBOL|ADDRESS")
@click.option("--ir", is_flag=True, help="LLVM assembly, and not the host's unless --host.")
@click.option("--host", is_flag=True, help="The host's instructions, and not LLVM assembly unless --ir.")
@json_option
@color_option
@traceback_option
def show(image: str, where: str, ir: bool, host: bool, as_json: bool, no_color: bool) -> int:
    """What becomes of the code at a symbol or address: each of the guest's instructions beside the LLVM assembly and the host's
    instructions that were made for it, or above them where the terminal is narrow.

    IMAGE is an ELF or a built-in program. The region is the one that is made when this place alone is hot; a run may make
    larger ones. A decimal ADDRESS is one too; it is where the code was linked, or else where it is loaded.
    """
    from rvhv.cli import jit_show
    from rvhv.cli.boot import built_in

    name = built_in(image)
    assert name is not None
    neither = not ir and not host
    return jit_show.show_region(name, where, ir=ir or neither, host=host or neither, as_json=as_json, no_color=no_color)
