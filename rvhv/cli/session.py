"""One hosting session from its plan to its exit code; `rvhv run` and `rvhv demo` are two faces of it."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rvhv.cli.consoles import Consoles, Transcripts
from rvhv.cli.keyboard import HELP_TEXT, Keyboard
from rvhv.cli.main import FAILED, INTERRUPTED
from rvhv.cli.plain import printable
from rvhv.cli.terminal import show_warnings, wants_color
from rvhv.errors import ConfigError

if TYPE_CHECKING:
    from rvhv.cli.profile import Profile
    from rvhv.cli.verify import VerifiedHypervisor
    from rvhv.hv import VM, Hypervisor
    from rvhv.machine.disk import DiskImage
    from rvhv.machine.image import Image

KEYBOARD_PATIENCE = 0.2  # seconds of one wait for the keyboard
STRIDE = 20_000_000  # steps of one call of the hypervisor, which Ctrl-C, a key and a lost reader interrupt
STUCK = 2.0  # seconds after which a run that was asked to stop, and has not, is left without ceremony
OVERHEAD = 16 << 20  # bytes of the machine beside its VMs' memory, for page tables


@dataclass(frozen=True, slots=True)
class Guest:
    """A VM to host: `image` is a built-in name or a path, `memory` in bytes."""

    name: str
    image: str
    memory: int
    disk: Path | None = None
    weight: int | None = None  # None: 1; where a VM has one, time is shared by weight


@dataclass(frozen=True, slots=True)
class Plan:
    """What to host and how to show it; `None` leaves a choice to the hypervisor."""

    guests: list[Guest]
    host_memory: int | None = None
    slice_steps: int | None = None
    clock: str = "machine"
    seed: int = 0
    max_steps: int | None = None
    console: str | None = None  # the VM that gets the keyboard
    trace_hash: bool = False
    check_fences: bool = False
    tier: str | None = None
    profile: Path | None = None
    verify_jit: bool = False
    as_json: bool = False
    no_color: bool = False
    warnings: bool = True  # of broken rules that a guest survives


class Interrupt(AbstractContextManager["Interrupt"]):
    """Ctrl-C while VMs run: it asks to stop, and has `on_ask` hurry the machine up.

    Pressing again changes nothing, so that the table comes; only when nothing has come of it for STUCK seconds (the output
    is a pipe that nobody reads) it raises KeyboardInterrupt.
    """

    def __init__(self, on_ask: Callable[[], None]) -> None:
        self.asked = False
        self.on_ask = on_ask
        self._first = 0.0
        self._old: Any = None

    def __enter__(self) -> Interrupt:
        # an ignored SIGINT stays ignored (a background job of a shell), and only the main thread may set a handler
        if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            self._old = signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._old is not None:
            signal.signal(signal.SIGINT, self._old)

    def _on_signal(self, signum: int, frame: FrameType | None) -> None:
        if not self.asked:
            self._first = time.monotonic()
            self.asked = True
        elif time.monotonic() - self._first > STUCK:
            raise KeyboardInterrupt
        self.on_ask()


def host(plan: Plan, *, passed: Callable[[VM], bool] = lambda vm: not vm.failed) -> int:
    """Hosts the plan's guests until the last one stopped and reports; the exit code. `passed` judges a stopped VM.

    Raises RvhvError, before any guest has run, when an image, a disk or a size is no good.
    """
    from rvhv.cli.progress import ensure_compiled
    from rvhv.hv.guests import find_image
    from rvhv.machine.disk import DiskImage

    show_warnings(logging.WARNING if plan.warnings else logging.ERROR)
    with ExitStack() as stack:
        # Files are looked at before anything is compiled: who mistyped a name need not wait for it.
        images = [find_image(guest.image) for guest in plan.guests]
        disks = [stack.enter_context(DiskImage(guest.disk)) if guest.disk else None for guest in plan.guests]
        profile_file = stack.enter_context(plan.profile.open("w", encoding="utf-8")) if plan.profile is not None else None
        ensure_compiled(no_color=plan.no_color)
        hv = stack.enter_context(new_hypervisor(plan, "jit" if plan.verify_jit else plan.tier))
        vms = [
            hv.create(guest.name, image, memory=guest.memory, disk=disk, weight=weight_of(guest))
            for guest, image, disk in zip(plan.guests, images, disks, strict=True)
        ]
        names = [vm.name for vm in vms]
        consoles: Consoles | Transcripts
        if plan.as_json:
            consoles = Transcripts(names)
        else:
            color = wants_color(sys.stdout, plan.no_color)
            consoles = Consoles(sys.stdout, names, color=color, front=plan.console)

        def show(vm: VM, data: bytes) -> None:
            consoles.feed(vm, data)
            if consoles.error is not None:
                hurry()

        hv.on_console = show
        both = _twin(plan, hv, images, disks, stack) if plan.verify_jit else None
        hurry = hv.interrupt if both is None else lambda: None  # both would have to stop at the same point
        profile = new_profile(hv, vms) if plan.profile is not None else None
        with Interrupt(hurry) as interrupt:
            front = next((vm for vm in vms if vm.name == plan.console), None)
            if front is None:
                _run(hv, plan.max_steps, interrupt, consoles, profile=profile, both=both)
            else:
                with Keyboard(hv.interrupt) as keyboard:
                    typing = Typing(keyboard, front, interrupt, consoles)
                    hv.on_idle = typing.wait
                    _run(hv, plan.max_steps, interrupt, consoles, typing, profile)
            _report(hv, vms, plan, consoles, interrupt.asked, profile)
            if profile is not None and profile_file is not None:
                profile.write(profile_file)
        if interrupt.asked:
            return INTERRUPTED
        unfenced = plan.check_fences and hv.fences is not None and hv.fences.count > 0
        return 0 if all(passed(vm) for vm in vms) and not unfenced else FAILED


def _twin(
    plan: Plan, hv: Hypervisor, images: list[Image], disks: list[DiskImage | None], stack: ExitStack
) -> VerifiedHypervisor:
    """The interpreted machine of --verify-jit, with the same VMs."""
    from rvhv.cli.verify import DiskTwins, VerifiedHypervisor

    twin = stack.enter_context(new_hypervisor(plan, "interp"))
    copies = iter(stack.enter_context(DiskTwins([disk for disk in disks if disk is not None])).disks)
    for guest, image, disk in zip(plan.guests, images, disks, strict=True):
        twin.create(guest.name, image, memory=guest.memory, disk=disk and next(copies), weight=weight_of(guest))
    return VerifiedHypervisor(hv, twin, plan.seed)


def new_hypervisor(plan: Plan, tier: str | None) -> Hypervisor:
    """A hypervisor with room for the plan's guests. Raises ConfigError."""
    from rvhv import Hypervisor
    from rvhv.hv.sizes import MemoryShort, memory_size, show_size

    options: dict[str, Any] = {"clock": plan.clock, "seed": plan.seed}
    if tier is not None:
        options["tier"] = tier
    if plan.check_fences:
        options["check_fences"] = True
    if plan.slice_steps is not None:
        options["slice_steps"] = plan.slice_steps
    if any(guest.weight is not None for guest in plan.guests):
        from rvhv.hv.scheduler import SLICE_STEPS, Weighted

        options["scheduler"] = Weighted(options.get("slice_steps", SLICE_STEPS))
    if plan.host_memory is not None:
        return Hypervisor(plan.host_memory, **options)
    # what is wrong with a size is said of the VM's, before ours is added to it
    memory = sum(memory_size(f"memory of {guest.name}", guest.memory, 1) for guest in plan.guests)
    try:
        return Hypervisor(memory + OVERHEAD, **options)
    except MemoryShort:
        names = ", ".join(guest.name for guest in plan.guests)
        raise ConfigError(f"memory of {names}: this computer has no {show_size(memory)}") from None


def weight_of(guest: Guest) -> int:
    return 1 if guest.weight is None else guest.weight


class Typing:
    """Keys to the VM that has the keyboard."""

    def __init__(
        self, keyboard: Keyboard, vm: VM, interrupt: Interrupt, consoles: Consoles | Transcripts
    ) -> None:
        self._keyboard, self._vm, self._interrupt, self._consoles = keyboard, vm, interrupt, consoles

    def take(self, timeout: float = 0) -> bool:
        """Whether something was typed for the VM."""
        typed = self._keyboard.read(timeout)
        if typed:
            self._vm.feed(typed)
        if self._keyboard.wants_help():
            self._consoles.feed(self._vm, HELP_TEXT.encode())
        if self._keyboard.quit:
            self._interrupt.asked = True
        return bool(typed)

    def wait(self) -> bool:
        """All VMs wait for a device: wait for a key. False when none can come any more."""
        while self._keyboard.open and not self._interrupt.asked and self._vm.stopped is None:
            if self.take(KEYBOARD_PATIENCE):
                return True
        return False


def _run(
    hv: Hypervisor,
    max_steps: int | None,
    interrupt: Interrupt,
    consoles: Consoles | Transcripts,
    typing: Typing | None = None,
    profile: Profile | None = None,
    both: VerifiedHypervisor | None = None,
) -> None:
    """Runs until every VM has stopped, by itself or because Ctrl-C, the step limit or a lost reader ends the run."""
    left = max_steps
    while not hv.finished and not interrupt.asked and consoles.error is None and left != 0:
        if typing is not None:
            typing.take()
        stride = STRIDE if left is None else min(left, STRIDE)
        made = _stride(hv, stride, profile) if both is None else both.run(stride)
        if left is not None:
            left -= made
    if both is not None:
        both.finish()
    if interrupt.asked:
        hv.stop_all("stopped by Ctrl-C" if typing is None else "stopped from the keyboard", failed=False)
    elif left == 0 and not hv.finished:
        hv.stop_all(f"the {max_steps:,} steps of --max-steps are used up")
    consoles.finish()
    if consoles.error is not None:
        raise consoles.error


def _stride(hv: Hypervisor, steps: int, profile: Profile | None) -> int:
    if profile is None:
        return hv.run(max_steps=steps)
    from rvhv.cli.profile import run_hypervisor

    return run_hypervisor(hv, steps, profile)


def new_profile(hv: Hypervisor, vms: list[VM]) -> Profile:
    """A profile of what these VMs are about to do."""
    from rvhv.cli.profile import Profile
    from rvhv.machine.symbols import Symbols

    profile = Profile()
    profile.names = {vm.number: vm.name for vm in vms}
    symbols = {vm.number: Symbols(vm.image.symbols) for vm in vms}
    profile.symbols = symbols.__getitem__
    profile.watch([hv.hart])
    return profile


def _report(
    hv: Hypervisor,
    vms: list[VM],
    plan: Plan,
    consoles: Consoles | Transcripts,
    interrupted: bool,
    profile: Profile | None,
) -> None:
    if isinstance(consoles, Transcripts):
        import json

        from rvhv.cli.document import vm_document

        document = {
            "vms": [vm_document(vm, consoles.text(vm.name)) for vm in vms],
            "virtual_ns": hv.virtual_ns,
            "host_seconds": round(hv.host_seconds, 6),
            "interrupted": interrupted,
        }
        if plan.trace_hash:
            document["trace_hash"] = hv.trace_hash()
        if plan.check_fences and hv.fences is not None:
            from rvhv.cli.fences import fence_documents

            document["missing_fences"] = fence_documents(hv.fences, _places(vms))
        if profile is not None:
            document["profile"] = profile.document(str(plan.profile))
        print(json.dumps(document, indent=2))
        return
    from rvhv.cli.report import show_report
    from rvhv.cli.terminal import rich_console

    console = rich_console(no_color=plan.no_color)
    show_report(console, vms, virtual_ns=hv.virtual_ns, host_seconds=hv.host_seconds)
    if plan.trace_hash:
        print(f"trace-hash {hv.trace_hash()}")
    if plan.check_fences and hv.fences is not None:
        from rvhv.cli.fences import fence_lines

        whose = {vm.number: printable(vm.name) for vm in vms} if len(vms) > 1 else None
        for line in fence_lines(hv.fences, _places(vms), whose):
            print(line)
    if profile is not None:
        from rvhv.cli.profile import show_profile

        show_profile(profile, str(plan.profile), sys.stdout, no_color=plan.no_color)


def _places(vms: list[VM]) -> Callable[[int, int], str]:
    """Where a pc of a VM is, by its image's symbols."""
    from rvhv.machine.symbols import Symbols

    symbols = {vm.number: Symbols(vm.image.symbols) for vm in vms}
    return lambda number, pc: symbols[number].place(pc)
