"""`--verify-jit`: the second, interpreted machine of a command, and what of the first one goes to both."""

from __future__ import annotations

import shlex
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from rvhv.errors import ConfigError
from rvhv.jit.verify import Lockstep, Side

if TYPE_CHECKING:
    from rvhv.hv.hypervisor import Hypervisor
    from rvhv.hv.vm import VM
    from rvhv.machine.disk import DiskImage
    from rvhv.machine.symbols import Symbols
    from rvhv.machine.virt import Machine


def check_verifiable(tier: str | None, **others: object) -> None:
    """Raises ConfigError when --verify-jit stands beside an option that it cannot have. `others`: their values by name."""
    for name, value in {"tier": tier, **others}.items():
        if value:
            raise ConfigError(
                f"--verify-jit runs both tiers in virtual time, and nothing else: leave --{name.replace('_', '-')} away"
            )


def command_to(steps: int) -> str:
    """This command, up to a number of steps."""
    words = ["rvhv"]
    skipped = False
    for word in sys.argv[1:]:
        if not skipped and not word.startswith("--max-steps="):
            if word != "--max-steps":
                words.append(word)
                continue
            skipped = True
            continue
        skipped = False
    return shlex.join([*words, "--max-steps", str(steps)])


class DiskTwins(AbstractContextManager["DiskTwins"]):
    """Copies of disk images, for the machine whose writes nobody wants."""

    def __init__(self, disks: Sequence[DiskImage]) -> None:
        from rvhv.machine.disk import DiskImage

        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rvhv-verify-")))
            self.disks: list[DiskImage] = []
            for i, disk in enumerate(disks):
                shutil.copyfile(disk.path, folder / str(i))
                self.disks.append(stack.enter_context(DiskImage(folder / str(i), writable=disk.writable)))
            self._stack = stack.pop_all()

    def __exit__(self, *_: object) -> None:
        self._stack.close()


class VerifiedMachine:
    """A bare machine in tier jit, and its interpreted twin. `before`: steps that were made before a reboot."""

    def __init__(self, machine: Machine, twin: Machine, seed: int, before: int, symbols: Symbols) -> None:
        self._machines = machine, twin
        sides = [_side_of(machine), _side_of(twin)]
        outer, output = machine.on_output, sides[0].output

        def show(data: bytes) -> None:
            output.extend(data)
            outer(data)

        machine.on_output, twin.on_output = show, sides[1].output.extend
        self._sides = sides
        self._lockstep = Lockstep(
            sides[0], sides[1], seed, lambda hart, pc: symbols.place(pc), lambda steps: command_to(before + steps)
        )

    def run(self, steps: int) -> bool:
        return bool(self._lockstep.run(steps))

    def feed(self, data: bytes) -> None:
        for machine in self._machines:
            machine.feed(data)

    def finish(self) -> None:
        """The machine is over, by itself or from outside."""
        for machine, side in zip(self._machines, self._sides, strict=True):
            side.output += machine.trace_hash().encode()
        self._lockstep.finish()


def _side_of(machine: Machine) -> Side:
    def run(steps: int) -> bool:
        going = machine.run(steps)
        if machine.end is not None:
            side.output.extend(str(machine.end).encode())
        return going

    side = Side(run, machine.harts, machine.memory)
    return side


class VerifiedHypervisor:
    """A hypervisor in tier jit, and its twin with the same VMs."""

    def __init__(self, hv: Hypervisor, twin: Hypervisor, seed: int) -> None:
        from rvhv.machine.symbols import Symbols

        self._hvs = hv, twin
        self._sides = [Side(h.run, [h.hart], h.memory) for h in (hv, twin)]
        outer, output = hv.on_console, self._sides[0].output

        def show(vm: VM, data: bytes) -> None:
            output.extend(data)
            if outer is not None:
                outer(vm, data)

        hv.on_console = show
        twin.on_console = lambda vm, data: self._sides[1].output.extend(data)
        symbols = {vm.number: Symbols(vm.image.symbols) for vm in hv.vms}

        def place(hart: int, pc: int) -> str:
            vm = hv.last_run
            return f"{symbols[vm.number].place(pc)} of {vm.name}" if vm is not None else f"{pc:#x}"

        self._lockstep = Lockstep(self._sides[0], self._sides[1], seed, place, command_to)

    def run(self, steps: int) -> int:
        """Steps made."""
        before = self._hvs[0].steps
        self._lockstep.run(steps)
        return self._hvs[0].steps - before

    def finish(self) -> None:
        """Before VMs that still run are stopped."""
        for hv, side in zip(self._hvs, self._sides, strict=True):
            ends = [(vm.name, str(vm.stopped), vm.steps, vm.instructions) for vm in hv.vms]
            side.output += f"{ends} {hv.trace_hash()}".encode()
        self._lockstep.finish()
