"""`rvhv boot`: run software bare on the emulated machine."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from rvhv.cli.group import color_option, json_option, profile_option, tier_option, traceback_option, verify_option
from rvhv.cli.keyboard import HELP_TEXT, Keyboard
from rvhv.cli.main import FAILED, INTERRUPTED
from rvhv.cli.params import SEED, SIZE, STEPS
from rvhv.cli.session import Interrupt
from rvhv.errors import ConfigError

if TYPE_CHECKING:
    from rvhv.boot.loader import Boot
    from rvhv.cli.profile import Profile
    from rvhv.cli.verify import VerifiedMachine
    from rvhv.machine.disk import DiskImage
    from rvhv.machine.virt import End, Machine

DEFAULT_MEMORY = 128 << 20
STRIDE = 1_000_000  # steps at most between two looks at the keyboard
PATIENCE = 0.2  # seconds of one wait for the keyboard, which Ctrl-C cannot interrupt
LONGEST_TRANSCRIPT = 16 << 20  # bytes of the console that `--json` keeps

EPILOG = """\b
An ELF starts in M-mode at its entry. An Image (or a flat binary) starts in S-mode under the built-in
firmware, or is the kernel of --firmware FILE, which is loaded at the start of memory.

\b
rvhv boot smp --smp 2
rvhv boot monitor
rvhv boot --firmware fw_jump.bin --kernel Image --initrd root.cpio.gz --append console=ttyS0

\b
Keys on a terminal: Ctrl-A x quits, Ctrl-A h helps, Ctrl-A Ctrl-A sends Ctrl-A."""


@click.command("boot", epilog=EPILOG)
@click.argument("image", required=False, type=str)
@click.option("--smp", metavar="N", type=int, default=1, show_default=True, help="Harts, 1 to 8.")
@click.option("--memory", metavar="SIZE", type=SIZE, default=DEFAULT_MEMORY, help="RAM: 4M, 32M, 1G.  [default: 128M]")
@click.option("--disk", metavar="FILE", multiple=True, type=Path, help="Raw disk image, a virtio block device each.")
@click.option("--firmware", metavar="builtin|FILE|none", help="What runs in M-mode.  [default: by the kind of IMAGE]")
@click.option("--kernel", metavar="FILE", help="What the firmware starts; then IMAGE is the firmware.")
@click.option("--initrd", metavar="FILE", type=Path, help="Initial RAM disk.")
@click.option("--append", metavar="TEXT", default="", help="The kernel's command line.")
@click.option("--dtb", metavar="FILE", type=Path, help="A device tree instead of the machine's own.")
@click.option("--dump-dtb", metavar="FILE", type=Path, help="Write the device tree to a file and end.")
@click.option("--seed", metavar="N", type=SEED, default=0, show_default=True, help="Seed of all randomness.")
@click.option("--max-steps", metavar="STEPS", type=STEPS, help="Stop after so many steps: 1000, 50M.")
@click.option("--log", metavar="FILE", type=Path, help="Every instruction, in the format of Spike's commit log. Slow.")
@click.option("--realtime", is_flag=True, help="The machine's clock is the host's; without it time is counted in steps.")
@click.option("--trace-hash", is_flag=True, help="Print the hash over all traps: the same for the same run, anywhere.")
@click.option("--check-fences", is_flag=True, help="Report translations and code used without the fence that a change needs.")
@tier_option
@profile_option
@verify_option
@json_option
@color_option
@traceback_option
def command(
    image: str | None,
    smp: int,
    memory: int,
    disk: tuple[Path, ...],
    firmware: str | None,
    kernel: str | None,
    initrd: Path | None,
    append: str,
    dtb: Path | None,
    dump_dtb: Path | None,
    seed: int,
    max_steps: int | None,
    log: Path | None,
    realtime: bool,
    trace_hash: bool,
    check_fences: bool,
    tier: str | None,
    profile: Path | None,
    verify_jit: bool,
    as_json: bool,
    no_color: bool,
) -> int:
    """Run software bare on the emulated machine: firmware, an OS, a hypervisor of your own.

    The board is that of QEMU's `virt`. The console is the terminal. The exit code is 1 when the software
    failed, or when --check-fences found something.
    """
    from rvhv.boot.loader import Software, prepare
    from rvhv.cli.profile import show_profile
    from rvhv.cli.progress import ensure_compiled
    from rvhv.cli.verify import DiskTwins, check_verifiable
    from rvhv.machine.disk import DiskImage

    check_harts(smp)
    if verify_jit:
        check_verifiable(tier, realtime=realtime, log=log, check_fences=check_fences, profile=profile)
    software = Software(built_in(image), kernel, firmware, initrd, append, dtb, seed)
    boot = prepare(software, memory=memory, harts=smp)
    if dump_dtb is not None:
        dump_dtb.write_bytes(boot.dtb)
        return 0
    if boot.hint:
        print(f"rvhv: {boot.hint}", file=sys.stderr)
    with ExitStack() as stack:
        disks = [stack.enter_context(DiskImage(path)) for path in disk]
        log_file = stack.enter_context(log.open("w", encoding="ascii")) if log is not None else None
        profile_file = stack.enter_context(profile.open("w", encoding="utf-8")) if profile is not None else None
        ensure_compiled(no_color=no_color)
        console = Output(None if as_json else getattr(sys.stdout, "buffer", None))
        setup = Setup(smp, memory, disks, seed, max_steps, realtime, log_file, check_fences, "jit" if verify_jit else tier)
        if verify_jit:
            setup = replace(setup, twins=stack.enter_context(DiskTwins(disks)).disks)
        session = stack.enter_context(Session(boot, setup, console, new_profile(boot, smp) if profile else None))
        began = time.perf_counter()
        session.run()
        code = session.report(time.perf_counter() - began, trace_hash=trace_hash, as_json=as_json, file=str(profile))
        if session.profile is not None:
            if not as_json:
                show_profile(session.profile, str(profile), sys.stderr, no_color=no_color)
            if profile_file is not None:
                session.profile.write(profile_file)
        return code


@dataclass(frozen=True, slots=True)
class Setup:
    """How to run it: `memory` in bytes, `log_file` for the commit log."""

    harts: int
    memory: int
    disks: list[DiskImage] = field(default_factory=list)
    seed: int = 0
    max_steps: int | None = None
    realtime: bool = False
    log_file: Any = None
    check_fences: bool = False
    tier: str | None = None
    twins: list[DiskImage] | None = None  # of --verify-jit: the disks of the interpreted machine


def new_profile(boot: Boot, harts: int) -> Profile:
    """A profile of what it is about to do."""
    from rvhv.cli.profile import Profile

    profile = Profile()
    profile.names = {i: f"hart {i}" for i in range(harts)}
    symbols = boot.symbols
    profile.symbols = lambda hart: symbols
    return profile


def new_machine(boot: Boot, setup: Setup, on_output: Callable[[bytes], None]) -> Machine:
    """A machine with everything in its place, about to start."""
    from rvhv.machine.memory import Memory
    from rvhv.machine.virt import Machine
    from rvhv.virtio.slots import fill_slots

    machine = Machine(
        Memory(setup.memory),
        harts=setup.harts,
        on_output=on_output,
        realtime=setup.realtime,
        check_fences=setup.check_fences,
        tier=setup.tier,
    )
    fill_slots(machine, setup.disks, setup.seed)
    boot.start(machine)
    return machine


def check_harts(smp: int) -> None:
    from rvhv.machine.virt_board import MAX_HARTS

    if not 1 <= smp <= MAX_HARTS:
        raise ConfigError(f"--smp: a machine has 1 to {MAX_HARTS} harts, not {smp}")


def built_in(image: str | None) -> str | None:
    """A file, or a built-in program by its name."""
    from rvhv.images import BENCHMARKS, PROGRAMS, image_path

    return str(image_path(image)) if image in PROGRAMS or image in BENCHMARKS else image


class Output:
    """The console as it comes, to `out` or (None) kept for `--json`."""

    def __init__(self, out: BinaryIO | None) -> None:
        self._out = out
        self._kept = bytearray()
        self._last = b"\n"
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        self._last = data[-1:]
        if self._out is None:
            self._kept += data[: LONGEST_TRANSCRIPT - len(self._kept)]
            return
        try:
            self._out.write(data)
        except OSError as error:
            self.error, self._out = error, None

    def flush(self) -> None:
        if self._out is not None:
            try:
                self._out.flush()
            except OSError as error:
                self.error, self._out = error, None

    def end_line(self) -> None:
        """What follows begins on a line of its own."""
        if self._last != b"\n" and self._out is not None:
            self.write(b"\n")
        self.flush()

    @property
    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


class Session(AbstractContextManager["Session"]):
    """One run, across reboots. `on_end` gets each machine when it is over."""

    def __init__(
        self,
        boot: Boot,
        setup: Setup,
        console: Output,
        profile: Profile | None = None,
        on_end: Callable[[Machine], None] = lambda machine: None,
    ) -> None:
        self._boot, self._setup, self._console, self.profile, self._on_end = boot, setup, console, profile, on_end
        self._symbols = boot.symbols
        self._steps = 0  # of machines before a reboot
        self._instructions = 0
        self._hashes: list[str] = []
        self.interrupted = False
        self._both: VerifiedMachine | None = None
        self.machine = self._new_machine()

    def _new_machine(self) -> Machine:
        setup = self._setup
        machine = new_machine(self._boot, setup, self._console.write)
        if setup.twins is not None:
            from rvhv.cli.verify import VerifiedMachine

            twin = new_machine(self._boot, replace(setup, disks=setup.twins, tier="interp"), lambda data: None)
            self._both = VerifiedMachine(machine, twin, setup.seed, self._steps, self._symbols)
        if setup.log_file is not None:
            from rvhv.boot.commit_log import CommitLog

            machine.watcher = CommitLog(machine, setup.log_file)
        if self.profile is not None:
            self.profile.watch(machine.harts)
        return machine

    def __exit__(self, *_: object) -> None:
        self.machine.close()

    def run(self) -> None:
        """Until the machine ends, or is ended from outside."""
        with Keyboard(self._hurry) as keyboard, Interrupt(self._hurry) as interrupt:
            while True:
                self._run_machine(keyboard, interrupt)
                if self._both is not None:
                    self._both.finish()
                self._on_end(self.machine)
                end = self.machine.end
                if end is None or not end.reboot:
                    return
                self.machine.close()
                self._steps += self.machine.steps
                self._instructions += self.machine.instructions
                self._hashes.append(self.machine.trace_hash())
                self._say_fences()
                self.machine = self._new_machine()

    def _hurry(self) -> None:
        """There is something to look at."""
        if self._both is None:  # else both would have to stop at the same point: a stride is not long
            self.machine.interrupt()

    def _run_machine(self, keyboard: Keyboard, interrupt: Interrupt) -> None:
        from rvhv.machine.virt import End

        machine, console, max_steps = self.machine, self._console, self._setup.max_steps
        while machine.end is None:
            stride = STRIDE
            if max_steps is not None:
                stride = min(stride, max_steps - self._steps - machine.steps)
            if stride <= 0:
                machine.stop(End(f"the {max_steps:,} steps of --max-steps are used up", 1))
                break
            going = self._stride(stride)
            console.flush()
            if console.error is not None:
                raise console.error
            typed = keyboard.read()
            if not going and machine.end is None and not typed:
                typed = self._wait(keyboard)
            if typed:
                (self._both or machine).feed(typed)
            if keyboard.wants_help():
                console.write(HELP_TEXT.encode())
                console.flush()
            if interrupt.asked or keyboard.quit:
                self.interrupted = True
                machine.stop(End("stopped by Ctrl-A x" if keyboard.quit else "stopped by Ctrl-C"))

    def _stride(self, steps: int) -> bool:
        if self._both is not None:
            return self._both.run(steps)
        if self.profile is None:
            return self.machine.run(steps)
        from rvhv.cli.profile import run_machine

        return run_machine(self.machine, steps, self.profile, self._steps)

    def _wait(self, keyboard: Keyboard) -> bytes:
        """Every hart waits: for the keyboard, and with real time for a deadline."""
        from rvhv.machine.virt import End

        machine = self.machine
        deadline = machine.deadline
        if deadline is None and not keyboard.open:
            machine.stop(End("every hart waits for an interrupt that nothing will raise", 1))
            return b""
        seconds = PATIENCE if deadline is None else min(PATIENCE, max(0.0, (deadline - machine.now) / 1e9))
        if keyboard.open:
            return keyboard.read(max(seconds, 1e-4))
        time.sleep(seconds)
        return b""

    def report(self, host_seconds: float, *, trace_hash: bool, as_json: bool, file: str) -> int:
        """Say how it ended; the exit code. `file`: of the profile."""
        machine = self.machine
        end = machine.end
        assert end is not None
        steps = self._steps + machine.steps
        instructions = self._instructions + machine.instructions
        hashed = self._hash() if trace_hash else None
        if as_json:
            self._show_json(end, steps, instructions, host_seconds, hashed, file)
        else:
            self._console.end_line()
            speed = f", {instructions / host_seconds / 1e6:.0f} million a second" if host_seconds > 0.5 else ""
            print(f"rvhv: {end.reason} after {instructions:,} instructions{speed}", file=sys.stderr)
            if hashed is not None:
                print(f"trace-hash {hashed}")
            self._say_fences()
        if self.interrupted:
            return INTERRUPTED
        unfenced = machine.fences is not None and machine.fences.count > 0
        return FAILED if end.failed or unfenced else 0

    def _say_fences(self) -> None:
        """What the checker found on the machine as it is now."""
        if self.machine.fences is not None:
            from rvhv.cli.fences import fence_lines

            for line in fence_lines(self.machine.fences, self._place):
                print(f"rvhv: {line}", file=sys.stderr)

    def _place(self, hart: int, pc: int) -> str:
        return self._symbols.place(pc)

    def _hash(self) -> str:
        import hashlib

        last = self.machine.trace_hash()
        return hashlib.sha256("".join([*self._hashes, last]).encode()).hexdigest() if self._hashes else last

    def _show_json(
        self, end: End, steps: int, instructions: int, host_seconds: float, hashed: str | None, file: str
    ) -> None:
        import json

        document: dict[str, Any] = {
            "reason": end.reason,
            "failed": end.failed,
            "code": end.code,
            "instructions": instructions,
            "steps": steps,
            "virtual_ns": self.machine.clock,
            "host_seconds": round(host_seconds, 6),
            "interrupted": self.interrupted,
            "console": self._console.text,
        }
        if hashed is not None:
            document["trace_hash"] = hashed
        if self.machine.fences is not None:
            from rvhv.cli.fences import fence_documents

            document["missing_fences"] = fence_documents(self.machine.fences, self._place)
        if self.profile is not None:
            document["profile"] = self.profile.document(file)
        print(json.dumps(document, indent=2))
