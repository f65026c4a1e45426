"""Translations as views: one walk access by access, or an address space in ranges."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from rvhv.debug.look.addresses import check
from rvhv.debug.look.table import hexadecimal
from rvhv.debug.target import Context, HartContext, VmContext
from rvhv.debug.view import Line, Style
from rvhv.errors import DebugError
from rvhv.hext.walks import recorder
from rvhv.hext.walks.address_map import AddressMap
from rvhv.hext.walks.record import Walk

ADDRESS = re.compile(r"\b[gh]:(?:0x)?[0-9a-f]+|\b0x[0-9a-f]+")
NUMBERS = frozenset({"cause", "step", "level", "index", "page_size", "size", "pieces"})


@dataclass(frozen=True)
class WalkView:
    """Every access of a translation, and where it ends; `note` says what else a person should know."""

    walk: Walk
    note: str

    def lines(self) -> list[Line]:
        rows = [_coloured(line, self.walk) for line in str(self.walk).splitlines()]
        return rows + ([[("dim", self.note)]] if self.note else [])

    def json(self) -> Any:
        return plain_data(dataclasses.asdict(self.walk)) | {"explanation": self.walk.explain(), "note": self.note or None}


def walk(context: Context, address: int, access: str = "load", space: str = "v", size: int | None = None) -> WalkView:
    """How `address` is translated for a "load", "store", "fetch" or "hlvx". Raises DebugError."""
    check(context, space)
    if space == "h":
        raise DebugError(f"h:{address:#x} is a host physical address: nothing translates it")
    if space == "g":
        bare = isinstance(context, HartContext)
        found = recorder.walk_gpa(context.state, context.target.memory, address, access, devices=bare)
    else:
        found = context.walk(address, access, size=size)
    return WalkView(found, _note(context, found))


def _note(context: Context, found: Walk) -> str:
    gpa = None if found.fault is None else found.fault.gpa
    if gpa is None or not isinstance(context, VmContext) or not context.vm.powered:
        return ""
    if context.vm.has_ram(gpa):
        return f"g:{gpa:#x} is RAM that {context.name} has not touched yet: the hypervisor gives it a page at the first access"
    device = context.bus.find(gpa, 1)
    if device is not None:
        return f"g:{gpa:#x} belongs to {device[0].name}: the hypervisor does such an access on the device"
    return f"g:{gpa:#x} is neither RAM nor a device of {context.name}"


def _coloured(text: str, found: Walk) -> Line:
    """A line of the text form with its addresses, verdicts and headings in their styles."""
    if text.startswith("=>"):
        return [("good" if found.fault is None else "bad", text)]
    if text.startswith(" # ") or not text.startswith(" "):
        return [("title", text)]
    if text.rstrip().endswith("refused"):
        return [("bad", text)]
    line: Line = []
    at = 0
    for hit in ADDRESS.finditer(text):
        line += [("", text[at : hit.start()]), ("address", hit[0])]
        at = hit.end()
    return [piece for piece in (*line, ("", text[at:])) if piece[1]]


@dataclass(frozen=True)
class MapView:
    """An address space in ranges."""

    context: str
    map: AddressMap

    def lines(self) -> list[Line]:
        styles: dict[int, Style] = {0: "title"}
        return [[(styles.get(i, ""), line)] for i, line in enumerate(str(self.map).splitlines())]

    def json(self) -> Any:
        return {"context": self.context} | plain_data(dataclasses.asdict(self.map))


def address_map(context: Context) -> MapView:
    """The address space of the mode that the context is in. Raises DebugError of a VM that has stopped."""
    check(context, "v")
    return MapView(context.name, context.map())


def plain_data(value: Any, key: str = "") -> Any:
    """A record as programs get it: addresses and register values as hexadecimal strings."""
    if isinstance(value, dict):
        return {str(hexadecimal(k) if isinstance(k, int) else k): plain_data(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain_data(one, key) for one in value]
    if isinstance(value, int) and not isinstance(value, bool) and key not in NUMBERS:
        return hexadecimal(value)
    return value
