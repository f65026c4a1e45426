"""`rvhv run`: host guests side by side."""

from __future__ import annotations

from pathlib import Path

import click

from rvhv.cli.group import color_option, json_option, profile_option, tier_option, traceback_option, verify_option
from rvhv.cli.guests import GuestType
from rvhv.cli.params import SEED, SIZE, STEPS, for_each_vm, parse_count, parse_size, suggestion, vm_names
from rvhv.cli.session import Guest, Plan, host
from rvhv.errors import ConfigError

DEFAULT_MEMORY = 32 << 20  # bytes a VM

EPILOG = """\b
A GUEST is a built-in one (hello, tasks, disk, rogue) or a file; ./hello is a file for sure.
Its VM is called after it; a second tasks is tasks-2. --memory and --disk take NAME=VALUE
for one VM, or a bare VALUE for all that are not named; so does --weight.

\b
rvhv run hello
rvhv run disk --disk image.raw
rvhv run --config machines.toml --console tasks
rvhv run tasks kernel.elf --memory kernel=128M --clock vm --trace-hash"""


@click.command("run", epilog=EPILOG)
@click.argument("guests", metavar="GUEST...", nargs=-1, type=GuestType())
@click.option("--config", metavar="FILE.toml", type=Path, help="VMs and settings from a file; options given here win.")
@click.option("--console", metavar="NAME", help="The VM that gets the keyboard. Ctrl-A x quits, Ctrl-A h helps.")
@click.option("--memory", metavar="[NAME=]SIZE", multiple=True, help="RAM of a VM: 4M, 32M, 1G.  [default: 32M]")
@click.option("--disk", metavar="[NAME=]FILE", multiple=True, help="Raw disk image of a VM; its writes go there.")
@click.option("--weight", metavar="[NAME=]N", multiple=True, help="A VM's part of the time, beside the others: 1 to 1000.")
@click.option("--slice", "slice_steps", metavar="STEPS", type=STEPS, help="Steps of a VM before it is the next one's turn.")
@click.option(
    "--clock",
    type=click.Choice(["machine", "vm"]),
    help="Whose time a VM sees: the machine's, or its own, in which it cannot feel its neighbours.  [default: machine]",
)
@click.option("--seed", metavar="N", type=SEED, help="Seed of all randomness.  [default: 0]")
@click.option("--max-steps", metavar="STEPS", type=STEPS, help="Stop everything after so many steps: 1000, 50M.")
@click.option("--host-memory", metavar="SIZE", type=SIZE, help="RAM of the machine.  [default: what the VMs need]")
@click.option("--trace-hash", is_flag=True, help="Print the hash over all exits: the same for the same run, anywhere.")
@click.option("--check-fences", is_flag=True, help="Report translations and code used without the fence that a change needs.")
@tier_option
@profile_option
@verify_option
@json_option
@color_option
@traceback_option
def command(
    guests: tuple[str, ...],
    config: Path | None,
    console: str | None,
    memory: tuple[str, ...],
    disk: tuple[str, ...],
    weight: tuple[str, ...],
    slice_steps: int | None,
    clock: str | None,
    seed: int | None,
    max_steps: int | None,
    host_memory: int | None,
    trace_hash: bool,
    check_fences: bool,
    tier: str | None,
    profile: Path | None,
    verify_jit: bool,
    as_json: bool,
    no_color: bool,
) -> int:
    """Host guests side by side, each in a VM of its own.

    Their consoles are merged line by line; a table at the end says how each VM ended. The exit code is 1 when one
    failed, or when --check-fences found something. Ctrl-C stops them all and still prints the table.
    """
    from rvhv.cli.config import Config, VmConfig, read_config

    read = read_config(config) if config is not None else Config()
    if not guests and not read.vms:
        raise ConfigError("GUEST... is missing; see rvhv run --help" if config is None else f"{config}: has no [vm.NAME]")
    taken = [vm.name for vm in read.vms]
    vms = [*read.vms, *(VmConfig(n, g) for n, g in zip(vm_names(guests, taken), guests, strict=True))]
    names = [vm.name for vm in vms]
    memories = for_each_vm("--memory", memory, names, _size, None)
    disks = for_each_vm("--disk", disk, names, _file, None)
    weights = for_each_vm("--weight", weight, names, parse_count, None)
    given = {
        "host_memory": host_memory,
        "slice_steps": slice_steps,
        "clock": clock,
        "seed": seed,
        "max_steps": max_steps,
        "console": console,
        "tier": tier,
    }
    options = {"clock": "machine", "seed": 0, **read.options, **{k: v for k, v in given.items() if v is not None}}
    if options.get("console") not in (None, *names):
        wanted = options["console"]
        raise ConfigError(f"--console {wanted}: no VM is called {wanted!r}; {suggestion(wanted, names)}")
    if verify_jit:
        from rvhv.cli.verify import check_verifiable

        check_verifiable(options.get("tier"), check_fences=check_fences, profile=profile, console=options.get("console"))
    return host(
        Plan(
            [
                Guest(
                    vm.name, vm.image, memories[vm.name] or vm.memory or DEFAULT_MEMORY, disks[vm.name] or vm.disk,
                    vm.weight if weights[vm.name] is None else weights[vm.name],
                )
                for vm in vms
            ],
            **options,
            trace_hash=trace_hash,
            check_fences=check_fences,
            profile=profile,
            verify_jit=verify_jit,
            as_json=as_json,
            no_color=no_color,
        )
    )


def _size(text: str) -> int | None:
    return parse_size(text)


def _file(text: str) -> Path | None:
    if not text:
        raise ConfigError("a file name is missing")
    return Path(text)
