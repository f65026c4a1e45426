"""Virtqueues with their rings, as the driver laid them out, and the rules of virtio that it breaks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rvhv.debug.look.addresses import GuestView
from rvhv.debug.look.table import cell, columns, hexadecimal, paragraph
from rvhv.debug.target import Context
from rvhv.debug.view import Line
from rvhv.errors import DebugError
from rvhv.machine.bus import GuestMemory, GuestMemoryFault
from rvhv.virtio.mmio import QueueSetup, Status, VirtioMmio
from rvhv.virtio.queue import (
    AVAIL_ENTRY,
    AVAIL_F_NO_INTERRUPT,
    DESC,
    DESC_F_INDIRECT,
    DESC_F_NEXT,
    DESC_F_WRITE,
    RING_HEADER,
    USED_ENTRY,
    QueueBroken,
    Virtqueue,
)

FLAGS = {DESC_F_NEXT: "NEXT", DESC_F_WRITE: "WRITE", DESC_F_INDIRECT: "INDIRECT"}
MOST_CHAINS = 8  # of a list
LONGEST_CHAIN = 32  # descriptors shown


@dataclass(frozen=True)
class Descriptor:
    index: int
    gpa: int
    length: int
    flags: tuple[str, ...]
    next: int | None


@dataclass(frozen=True)
class ChainView:
    """What an entry of the available ring leads to. `state`: "waiting" for the device, "taken" and not used yet, or "used"."""

    slot: int
    head: int
    state: str
    written: int | None
    descriptors: tuple[Descriptor, ...]
    stops: str  # why the chain was not followed to its end


@dataclass(frozen=True)
class QueueView:
    """`avail_idx` and `used_idx` are what the rings say, `taken` and `returned` how far the device has got."""

    device: str
    number: int
    ready: bool
    size: int
    desc: int
    avail: int
    used: int
    avail_idx: int | None
    used_idx: int | None
    taken: int
    returned: int
    wants_interrupts: bool
    chains: tuple[ChainView, ...]
    broken: str

    def lines(self) -> list[Line]:
        head: Line = [("title", f"{self.device}, queue {self.number}")]
        if not self.ready:
            return [[*head, ("dim", " not ready")]]
        head.append(("", f": {self.size} descriptors"))
        rows: list[Line] = [head]
        rows.append(
            [
                ("", "  descriptors "), ("address", f"g:{self.desc:#x}"), ("", "  available "), ("address", f"g:{self.avail:#x}"),
                ("", "  used "), ("address", f"g:{self.used:#x}"),
            ]
        )  # fmt: skip
        if self.avail_idx is not None and self.used_idx is not None:
            waiting = (self.avail_idx - self.taken) & 0xFFFF
            out = (self.taken - self.returned) & 0xFFFF
            rows.append([("", f"  avail.idx {self.avail_idx}, used.idx {self.used_idx}; the device took {self.taken} and ")])
            rows[-1].append(("", f"gave back {self.returned}: {waiting} waiting, {out} in its hands"))
            if self.used_idx != self.returned:
                rows.append(
                    [("bad", f"  used.idx is the device's to write, and it wrote {self.returned}: the driver changed it")]
                )
        if not self.wants_interrupts:
            rows.append([("warn", "  avail.flags has NO_INTERRUPT: the driver wants no interrupt for used buffers")])
        for chain in self.chains:
            written = "" if chain.written is None else f", {chain.written} bytes written"
            written += "" if chain.descriptors or chain.stops else "; its descriptors were used again since"
            rows.append([("", f"  avail[{chain.slot}] = descriptor {chain.head} "), ("key", chain.state), ("", written)])
            body = [
                [
                    cell(d.index, "key"), cell(f"g:{d.gpa:#x}", "address"), cell(f"{d.length:,} bytes"),
                    cell("device writes" if "WRITE" in d.flags else "device reads"),
                    cell("INDIRECT" if "INDIRECT" in d.flags else "" if d.next is None else f"-> {d.next}"),
                ]
                for d in chain.descriptors
            ]  # fmt: skip
            rows += columns(body, right=(0, 2), indent=4)
            if chain.stops:
                rows.append([("bad", f"    {chain.stops}")])
        if self.broken:
            rows += paragraph(self.broken, "bad", indent="  ")
        return rows

    def json(self) -> Any:
        return {
            "device": self.device, "queue": self.number, "ready": self.ready, "size": self.size, "desc": hexadecimal(self.desc),
            "avail": hexadecimal(self.avail), "used": hexadecimal(self.used), "avail_idx": self.avail_idx,
            "used_idx": self.used_idx, "taken": self.taken, "returned": self.returned, "interrupts": self.wants_interrupts,
            "broken": self.broken or None,
            "chains": [
                {
                    "slot": c.slot, "head": c.head, "state": c.state, "written": c.written, "stops": c.stops or None,
                    "descriptors": [
                        {"index": d.index, "gpa": hexadecimal(d.gpa), "length": d.length, "flags": list(d.flags), "next": d.next}
                        for d in c.descriptors
                    ],
                }
                for c in self.chains
            ],
        }  # fmt: skip


@dataclass(frozen=True)
class Queues:
    queues: tuple[QueueView, ...]
    broken: tuple[str, ...]  # sentences of devices whose driver broke a rule

    def lines(self) -> list[Line]:
        said = [line for sentence in self.broken for line in paragraph(f"DEVICE_NEEDS_RESET: {sentence}", "bad")]
        return said + [line for one in self.queues for line in one.lines()]

    def json(self) -> Any:
        return {"queues": [one.json() for one in self.queues], "broken": list(self.broken)}


def queues(context: Context, device: str = "", chains: int = MOST_CHAINS) -> Queues:
    """The queues of the virtio devices whose name contains `device`, with their last `chains` chains. Raises DebugError."""
    transports = [d for d in context.bus.devices if isinstance(d, VirtioMmio)]
    chosen = [d for d in transports if device.lower() in d.name]
    if not chosen:
        there = ", ".join(d.name for d in transports) or "none"
        raise DebugError(f"{context.name} has no virtio device {device!r}: there are {there}")
    memory = GuestView(context)
    found = [_queue(memory, d, n, setup, chains) for d in chosen for n, setup in enumerate(d.queues)]
    return Queues(tuple(found), tuple(d.broken for d in chosen if d.broken))


def _queue(memory: GuestMemory, device: VirtioMmio, number: int, setup: QueueSetup, most: int) -> QueueView:
    queue = setup.queue
    taken, returned = (0, 0) if queue is None else queue.position
    head = (device.name, number, queue is not None, setup.size, setup.desc, setup.avail, setup.used)
    if queue is None:
        return QueueView(*head, None, None, 0, 0, True, (), "")
    try:
        flags, avail_idx = RING_HEADER.unpack(memory.read(setup.avail, RING_HEADER.size))
        _, used_idx = RING_HEADER.unpack(memory.read(setup.used, RING_HEADER.size))
    except GuestMemoryFault as fault:
        return QueueView(*head, None, None, taken, returned, True, (), f"a ring is not in RAM at g:{fault.gpa:#x}")
    waiting = min((avail_idx - taken) & 0xFFFF, setup.size)
    first = (taken - max(0, min(most - waiting, setup.size, taken))) & 0xFFFF
    count = min((taken + waiting - first) & 0xFFFF, most)
    found = _without_reused(_chain(memory, setup, (first + i) & 0xFFFF, taken, returned) for i in range(count))
    broken = _broken(memory, queue, bool(device.status & Status.DEVICE_NEEDS_RESET))
    wants = not flags & AVAIL_F_NO_INTERRUPT
    return QueueView(*head, avail_idx, used_idx, taken, returned, wants, found, broken)


def _without_reused(chains: Iterable[ChainView]) -> tuple[ChainView, ...]:
    """Used chains whose descriptors have been used again since lose what is not theirs any more."""
    found = list(chains)
    later: set[int] = set()
    for i in reversed(range(len(found))):
        mine = {d.index for d in found[i].descriptors}
        if found[i].state == "used" and (found[i].head in later or mine & later):
            found[i] = replace(found[i], descriptors=(), stops="")
        later |= mine | {found[i].head}
    return tuple(found)


def _broken(memory: GuestMemory, queue: Virtqueue, stopped: bool) -> str:
    """What the device would say if it took all that waits; where it has stopped, also of the chain that it took last."""
    for back in (1, 0) if stopped and queue.position[0] else (0,):
        twin = queue.twin(memory, back=back)
        try:
            for _ in twin.available():
                pass
        except QueueBroken as error:
            return f"{'it' if back else 'what waits'} breaks a rule: {error}"
    return ""


def _chain(memory: GuestMemory, setup: QueueSetup, at: int, taken: int, returned: int) -> ChainView:
    """Entry `at` of the available ring (modulo 2^16), read as it lies there, whatever rules it breaks."""
    slot = at % setup.size
    (head,) = AVAIL_ENTRY.unpack(memory.read(setup.avail + RING_HEADER.size + AVAIL_ENTRY.size * slot, AVAIL_ENTRY.size))
    behind = (taken - at) & 0xFFFF  # 1 is the last one that the device took
    state = "waiting" if not 0 < behind <= setup.size else "used" if behind > (taken - returned) & 0xFFFF else "taken"
    written = None
    if state == "used":
        at_used = setup.used + RING_HEADER.size + USED_ENTRY.size * slot  # devices here use chains in their order
        index, length = USED_ENTRY.unpack(memory.read(at_used, USED_ENTRY.size))
        written = length if index == head else None
    descriptors, stops = _descriptors(memory, setup, head)
    return ChainView(slot, head, state, written, tuple(descriptors), stops)


def _descriptors(memory: GuestMemory, setup: QueueSetup, head: int) -> tuple[list[Descriptor], str]:
    found: list[Descriptor] = []
    table, entries, index = setup.desc, setup.size, head
    seen: set[tuple[int, int]] = set()
    while True:
        if index >= entries:
            return found, f"there is no descriptor {index}: the table has {entries}"
        if (table, index) in seen:
            return found, f"a loop: it comes back to descriptor {index}"
        if len(found) == LONGEST_CHAIN:
            return found, "and more"
        seen.add((table, index))
        try:
            gpa, length, flags, following = DESC.unpack(memory.read(table + DESC.size * index, DESC.size))
        except GuestMemoryFault as fault:
            return found, f"descriptor {index} is not in RAM (g:{fault.gpa:#x})"
        names = tuple(name for bit, name in FLAGS.items() if flags & bit)
        found.append(Descriptor(index, gpa, length, names, following if flags & DESC_F_NEXT else None))
        if flags & DESC_F_INDIRECT:
            table, entries, index = gpa, length // DESC.size, 0
        elif flags & DESC_F_NEXT:
            index = following
        else:
            return found, ""
