"""`rvhv debug`: guests, or software on the bare machine, under the debugger."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from rvhv.cli.group import color_option, tier_option, traceback_option
from rvhv.cli.guests import GuestType
from rvhv.cli.main import FAILED
from rvhv.cli.params import SEED, SIZE, STEPS, for_each_vm, parse_size, vm_names
from rvhv.cli.plain import printable
from rvhv.cli.terminal import wants_color
from rvhv.errors import ConfigError

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.shell.script import Said

VM_MEMORY, MACHINE_MEMORY = 32 << 20, 128 << 20  # bytes

EPILOG = """\b
Guests are named and given memory and disks as for rvhv run; what follows --boot is started as by rvhv boot.
Nothing has run when the first prompt comes. help lists the commands; docs/debugging.md is a tour.

\b
rvhv debug hello
rvhv debug tasks disk --disk disk=image.raw
rvhv debug --boot smp --smp 2
rvhv debug tasks -e 'break run_next' -e continue -e registers
rvhv debug hello --json --command script.txt
rvhv debug --lab my-lab --check map-pages"""


@click.command("debug", epilog=EPILOG)
@click.argument("guests", metavar="GUEST...", nargs=-1, type=GuestType())
@click.option("--boot", "image", metavar="IMAGE", help="Debug software on the bare machine instead of guests.")
@click.option("--lab", metavar="DIR", type=Path, help="Debug a lab's part where --check fails.")
@click.option("--check", metavar="NAME", help="The check of --lab.")
@click.option("--lab-seed", metavar="TEXT", help="The seed that was given to rvhv lab check or rvhv grade.")
@click.option("-e", "lines", metavar="COMMAND", multiple=True, help="Do this command instead of asking for some; repeatable.")
@click.option("--command", "files", metavar="FILE", multiple=True, type=Path, help="Do a file's commands, before those of -e.")
@click.option("--interactive", "-i", is_flag=True, help="Ask for commands after those of --command and -e.")
@click.option("--keep-going", is_flag=True, help="Go on after a command of a script that could not be done.")
@click.option("--json", "as_json", is_flag=True, help="Answer each command with one JSON document, on one line.")
@click.option("--memory", metavar="[NAME=]SIZE", multiple=True, help="RAM of a VM or the machine.  [default: 32M, 128M]")
@click.option("--disk", metavar="[NAME=]FILE", multiple=True, help="Raw disk image. With a history, writes stay in memory.")
@click.option("--smp", metavar="N", type=int, default=1, show_default=True, help="Harts of the bare machine, 1 to 8.")
@click.option("--firmware", metavar="builtin|FILE|none", help="What runs in M-mode of the bare machine.")
@click.option("--kernel", metavar="FILE", help="What its firmware starts; then IMAGE is the firmware.")
@click.option("--initrd", metavar="FILE", type=Path, help="Initial RAM disk of the bare machine.")
@click.option("--append", metavar="TEXT", default="", help="The kernel's command line on the bare machine.")
@click.option("--history", metavar="SIZE", type=SIZE, default=256 << 20, help="Memory for going back in time.  [default: 256M]")
@click.option("--no-history", is_flag=True, help="Remember nothing: no way back.")
@click.option("--slice", "slice_steps", metavar="STEPS", type=STEPS, help="Steps of a VM before it is the next one's turn.")
@click.option("--clock", type=click.Choice(["machine", "vm"]), default="machine", show_default=True, help="Whose time a VM sees.")
@click.option("--seed", metavar="N", type=SEED, default=0, show_default=True, help="Seed of all randomness.")
@tier_option
@color_option
@traceback_option
def command(
    guests: tuple[str, ...],
    image: str | None,
    lines: tuple[str, ...],
    files: tuple[Path, ...],
    interactive: bool,
    keep_going: bool,
    as_json: bool,
    no_color: bool,
    **options: Any,
) -> int:
    """See why, look anywhere, go back in time: an interactive shell for guests side by side, or for a bare machine.

    Commands come from the terminal, from --command and -e, or, without a terminal, from stdin. The exit code is 1 when a
    command of a script could not be done; without --keep-going that one is the last.
    """
    lab = options["lab"]
    if [bool(guests), bool(image or options["kernel"]), lab is not None].count(True) != 1:
        raise ConfigError("GUEST..., --boot IMAGE or --lab DIR, one of them; see rvhv debug --help")
    script = _script(files, lines)
    asks = interactive or not script
    terminal = asks and _is_terminal()
    if as_json and terminal:
        raise ConfigError("--json is for programs: give commands by -e, --command or a pipe")
    with ExitStack() as stack:
        if lab is not None:
            session = _lab(lab, options, stack, no_color)
        elif guests:
            session = _hosted(guests, options, stack, no_color)
        else:
            session = _machine(image, options, stack, no_color)
        stack.enter_context(session)
        return _converse(session, script, asks, terminal, keep_going=keep_going, as_json=as_json, no_color=no_color)


def _is_terminal() -> bool:
    return bool(sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty())


def _script(files: tuple[Path, ...], lines: tuple[str, ...]) -> list[Said]:
    if not files and not lines:
        return []
    from rvhv.shell.script import Said, from_file

    return [said for path in files for said in from_file(path)] + [Said(line) for line in lines]


def _converse(
    session: Session, script: list[Said], asks: bool, terminal: bool, *, keep_going: bool, as_json: bool, no_color: bool
) -> int:
    """Do the script, then ask; the exit code."""
    from rvhv.shell.screen import Screen
    from rvhv.shell.script import play, play_json

    color = wants_color(sys.stdout, no_color)
    good = True
    if as_json:
        good = play_json(session, sys.stdout, _all(script, asks), keep_going=keep_going)
        return 0 if good else FAILED
    screen = Screen(sys.stdout, session.target.contexts, color=color, errors=sys.stderr)
    if script or not terminal:
        good = play(session, screen, _all(script, asks and not terminal), keep_going=keep_going, echo=len(script) != 1 or asks)
    if terminal and (good or keep_going) and not session.over:
        from rvhv.shell.interactive import interact

        interact(session, color=color, greet=not script)
    return 0 if good else FAILED


def _all(script: list[Said], piped: bool) -> Iterator[Said]:
    """The script, and then what comes from stdin, line by line."""
    yield from script
    if piped and sys.stdin is not None:
        from rvhv.shell.script import commands

        yield from commands(sys.stdin, "stdin")


def _hosted(guests: tuple[str, ...], options: dict[str, Any], stack: ExitStack, no_color: bool) -> Session:
    """VMs with these guests in them."""
    from rvhv.cli.progress import ensure_compiled
    from rvhv.cli.session import Guest, Plan, new_hypervisor
    from rvhv.hv.guests import find_image
    from rvhv.machine.disk import DiskImage

    bare = {"--smp": options["smp"] != 1, **{f"--{name}": options[name] for name in ("firmware", "kernel", "initrd", "append")}}
    _refuse(bare, "for the bare machine, with --boot")
    images = [find_image(guest) for guest in guests]
    names = vm_names(guests)
    memories = for_each_vm("--memory", options["memory"], names, parse_size, VM_MEMORY)
    files = for_each_vm("--disk", options["disk"], names, _file, None)
    disks = {name: stack.enter_context(DiskImage(file)) if file else None for name, file in files.items()}
    ensure_compiled(no_color=no_color)
    plan = Plan(
        [Guest(name, guest, memories[name]) for name, guest in zip(names, guests, strict=True)],
        slice_steps=options["slice_steps"],
        clock=options["clock"],
        seed=options["seed"],
    )
    from rvhv.debug.session import Session

    hv = stack.enter_context(new_hypervisor(plan, options["tier"]))
    for name, image in zip(names, images, strict=True):
        hv.create(name, image, memory=memories[name], disk=disks[name])
    return Session(hv, history=_history(options))


def _lab(folder: Path, options: dict[str, Any], stack: ExitStack, no_color: bool) -> Session:
    """The hypervisor of a check, as it is where the check fails. It is over, so there is no history."""
    from rvhv.cli.progress import ensure_compiled
    from rvhv.grade.lab import DEFAULT_SEED
    from rvhv.grade.local import stand

    if not options["check"]:
        raise ConfigError("--lab: --check NAME is missing: which check of it? rvhv lab check names them")
    ensure_compiled(no_color=no_color)
    from rvhv.debug.session import Session

    hv, story = stand(folder, options["check"], options["lab_seed"] or DEFAULT_SEED)
    stack.enter_context(hv)
    print("\n".join(map(printable, story.splitlines())), file=sys.stderr)
    return Session(hv, history=0)


def _machine(image: str | None, options: dict[str, Any], stack: ExitStack, no_color: bool) -> Session:
    """A bare machine with this software in it."""
    from rvhv.boot.loader import Software, prepare
    from rvhv.cli.boot import Setup, built_in, check_harts, new_machine
    from rvhv.cli.progress import ensure_compiled
    from rvhv.machine.disk import DiskImage

    _refuse({"--slice": options["slice_steps"], "--clock": options["clock"] != "machine"}, "for guests, not for --boot")
    check_harts(options["smp"])
    if len(options["memory"]) > 1:
        raise ConfigError(f"--memory is given {len(options['memory'])} times: a machine has one")
    size = parse_size(options["memory"][0]) if options["memory"] else MACHINE_MEMORY
    wanted = {name: options[name] for name in ("kernel", "firmware", "initrd", "append", "seed")}
    boot = prepare(Software(built_in(image), **wanted), memory=size, harts=options["smp"])
    disks = [stack.enter_context(DiskImage(_file(file))) for file in options["disk"]]
    ensure_compiled(no_color=no_color)
    from rvhv.debug.session import Session

    setup = Setup(options["smp"], size, disks, options["seed"], tier=options["tier"])
    return Session(new_machine(boot, setup, lambda data: None), boot.images, history=_history(options))


def _history(options: dict[str, Any]) -> int:
    return 0 if options["no_history"] else options["history"]


def _refuse(given: dict[str, Any], why: str) -> None:
    for option, value in given.items():
        if value:
            raise ConfigError(f"{option} is {why}")


def _file(text: str) -> Path:
    if not text:
        raise ConfigError("--disk: a file name is missing")
    return Path(text)
