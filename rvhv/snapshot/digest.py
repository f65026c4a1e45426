"""A hash of everything that is state: memory, guest harts, devices and what the hypervisor knows. Equal states have equal hashes,
however they were reached."""

from __future__ import annotations

import hashlib
from array import array
from collections import deque
from collections.abc import Iterable
from enum import Enum
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType
from typing import Any

from rvhv.core.memory import PAGE, Memory
from rvhv.hv.hypervisor import Hypervisor
from rvhv.machine.virt import Machine
from rvhv.snapshot.memento import HASHES, Hash, capture
from rvhv.snapshot.world import world_of

ZERO = bytes(PAGE)


def digest(root: Hypervisor | Machine) -> str:
    """64 hex digits. Changes nothing that a run could notice."""
    world = world_of(root)
    world.drain()
    sha = hashlib.sha256()
    for piece in _memory(world.memory):
        sha.update(piece)
    for line in describe(root):
        sha.update(line.encode() + b"\n")
    return sha.hexdigest()


def _memory(memory: Memory) -> Iterable[bytes]:
    for spa in range(memory.base, memory.base + memory.size, PAGE):
        page = memory.read(spa, PAGE)
        if page != ZERO:
            yield spa.to_bytes(8, "little") + page


def describe(root: object) -> list[str]:
    """The mutable objects that are reachable from `root`, a line each: what they hold, others by their number. In an order that
    follows from what they hold."""
    saved = {id(thing): kept for thing, _, kept in capture(root).parts}
    numbers: dict[int, int] = {}
    queue: deque[Any] = deque()

    def value(thing: Any) -> str:
        if isinstance(thing, Hash):
            return f"hash {thing.hash.hexdigest()}"
        if type(thing) in HASHES:
            return f"hash {thing.hexdigest()}"
        if isinstance(thing, (type, Enum)) or thing is None or type(thing) in (int, str, bytes, float, bool, range):
            return repr(thing)
        if type(thing) is tuple:
            return f"({', '.join(map(value, thing))})"
        if isinstance(thing, frozenset):
            return f"{{{', '.join(sorted(map(value, thing)))}}}"
        if isinstance(thing, MethodType):
            return f"{thing.__func__.__qualname__} of {value(thing.__self__)}"
        if isinstance(thing, BuiltinMethodType):
            return f"{thing.__qualname__}"
        if isinstance(thing, FunctionType):
            return f"{thing.__qualname__} over ({', '.join(map(value, thing.__closure__ or ()))})"
        if isinstance(thing, partial):
            return f"partial {value(thing.func)} {value(thing.args)}"
        if isinstance(thing, memoryview):
            return f"view of {value(thing.obj)}"
        if id(thing) not in saved:
            return type(thing).__qualname__
        if id(thing) not in numbers:
            numbers[id(thing)] = len(numbers)
            queue.append(thing)
        return f"#{numbers[id(thing)]}"

    def contents(thing: Any) -> str:
        kept = saved[id(thing)]
        if isinstance(thing, dict):
            return ", ".join(f"{value(k)}: {value(v)}" for k, v in kept.items())
        if isinstance(thing, (set, frozenset)):
            return ", ".join(sorted(map(value, kept)))
        if isinstance(thing, (list, deque)):
            return ", ".join(map(value, kept))
        if isinstance(thing, (bytearray, array)):
            return repr(bytes(kept))
        if isinstance(thing, CellType):
            return value(kept)
        if hasattr(thing, "capture_state") or not isinstance(kept, dict):
            return repr(kept)
        return ", ".join(f"{name}={value(kept[name])}" for name in sorted(kept))

    value(root)
    lines = []
    while queue:
        thing = queue.popleft()
        lines.append(f"{type(thing).__qualname__}: {contents(thing)}")
    return lines
