"""Whatever state a machine is in: every view answers, or says why not, and changes nothing."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import pytest

from rvhv.core.registry import ISA
from rvhv.cpu.state import ARCH_NAMES, SLOT
from rvhv.debug.look import (
    addresses,
    code,
    csrs,
    exits,
    frames,
    interrupts,
    machines,
    memory,
    queues,
    registers,
    translation,
)
from rvhv.debug.look.backtrace import backtrace
from rvhv.debug.look.loops import stuck
from rvhv.debug.look.why import why
from rvhv.debug.target import Context, Target
from rvhv.debug.view import View
from rvhv.errors import DebugError
from tests.debug.look.programs import RAM, bare, booted, frozen, guest

UNTOUCHED = {*(f"tdata{n}_{i}" for n in (1, 2) for i in range(4)), "tselect", "x0", "x_sink"}


def views(target: Target, context: Context, address: int) -> list[Callable[[], View | None]]:
    found: list[Callable[[], View | None]] = [
        lambda: registers.registers(context), lambda: registers.floats(context), lambda: csrs.csrs(context, "*"),
        lambda: csrs.csrs(context), lambda: code.disassemble(context), lambda: code.disassemble(context, address),
        lambda: code.source(context), lambda: backtrace(context), lambda: translation.walk(context, address, "store"),
        lambda: translation.walk(context, address, "load", "g"), lambda: translation.address_map(context),
        lambda: machines.vms(target), lambda: machines.vcpus(target), lambda: machines.devices(context),
        lambda: interrupts.interrupts(context), lambda: queues.queues(context), lambda: frames.frames(target),
        lambda: exits.log(target), lambda: stuck(context), lambda: why(context),
        lambda: memory.find(context, "v", address, 1 << 14, b"x"), lambda: memory.owner(target, address),
    ]  # fmt: skip
    for form in memory.FORMS:
        found.append(lambda form=form: memory.examine(context, "v", address, 3, form, "w"))  # type: ignore[misc]
    for hint in ("exit", "fault", "m", "s", "vs"):
        found.append(lambda hint=hint: why(context, hint))  # type: ignore[misc]
    return found


def look_everywhere(target: Target, context: Context, address: int, where: str) -> None:
    before = frozen(context)
    for look in views(target, context, address):
        try:
            view = look()
        except DebugError as error:
            assert str(error) and "\n" not in str(error), where
            continue
        if view is not None:
            assert all(isinstance(text, str) for line in view.lines() for _, text in line), where
            json.dumps(view.json())
    assert frozen(context) == before, where


@pytest.mark.parametrize("seed", range(12))
def test_random_states(seed: int) -> None:
    rng = random.Random(f"anything {seed}")
    target = bare() if seed % 3 else booted("smp", rng.randrange(1, 5000))
    context = target.contexts[0]
    state = context.hart.state
    for spa in range(RAM, RAM + (1 << 14), 8):
        target.memory.write_u64(
            spa, rng.choice((0, rng.getrandbits(64), RAM >> 2 | rng.getrandbits(8), RAM + rng.getrandbits(13)))
        )
    for n in range(4):
        for name in ARCH_NAMES:
            if name not in UNTOUCHED and name not in ISA.csrs and rng.random() < 0.7 and name not in ("prv", "v"):
                state[SLOT[name]] = rng.choice((rng.getrandbits(64), RAM + rng.getrandbits(13), 0, rng.getrandbits(8)))
        for name in ISA.csrs:
            if name not in UNTOUCHED and not name.startswith("tdata") and rng.random() < 0.6:
                context.hart.write_csr(name, rng.choice((rng.getrandbits(64), RAM + rng.getrandbits(13), 8 << 60 | RAM >> 12)))
        state[SLOT["prv"]], state[SLOT["v"]] = rng.choice(((3, 0), (1, 0), (0, 0), (1, 1), (0, 1)))
        state[SLOT["pc"]] &= ~1
        address = rng.choice((0, RAM + rng.getrandbits(13), rng.getrandbits(64), (1 << 64) - 1))
        look_everywhere(target, context, address, f"seed {seed}, round {n}")


@pytest.mark.parametrize("name", ["hello", "tasks", "rogue", "broken-page", "broken-ring", "broken-irq"])
def test_guests_along_their_way(name: str) -> None:
    target = guest(name, 0)
    for steps in (0, 1, 777, 20_000, 300_000, None):
        if steps != 0:
            target.run(steps)
        look_everywhere(target, target.contexts[0], target.contexts[0].pc, f"{name}, {steps}")


def test_the_hypervisor_in_c() -> None:
    target = booted("monitor")
    for _ in range(4):
        target.run(700_000)
        look_everywhere(target, target.contexts[0], target.contexts[0].pc, f"step {target.steps}")
    assert addresses.SPACES
