"""A student's part as the hypervisor uses it: calls go to its process, and what it asks of the machine is checked here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from rvhv.errors import RvhvError
from rvhv.grade.cell import Cell, PartFailed, garbled, printable
from rvhv.grade.inside import wire

Taken = Callable[[Any], Any]  # an argument as it came -> what it is; raises ValueError with what it should have been
MASK64 = (1 << 64) - 1


def whole(least: int, most: int) -> Taken:
    """A whole number in a range."""

    def take(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise ValueError(f"a whole number from {least:#x} to {most:#x}")
        return value

    return take


def word(among: tuple[str, ...]) -> Taken:
    """One of some strings."""

    def take(value: Any) -> str:
        if not isinstance(value, str) or value not in among:
            raise ValueError("one of " + ", ".join(among[:20]) + (", ..." if len(among) > 20 else ""))
        return value

    return take


def data(most: int) -> Taken:
    """At most so many bytes."""

    def take(value: Any) -> bytes:
        if not isinstance(value, bytes) or len(value) > most:
            raise ValueError(f"bytes, {most} at most")
        return value

    return take


def maybe(taken: Taken) -> Taken:
    """The same, or None."""

    def take(value: Any) -> Any:
        try:
            return None if value is None else taken(value)
        except ValueError as error:
            raise ValueError(f"None, or {error}") from None

    return take


u64 = whole(0, MASK64)


@dataclass(frozen=True)
class Member:
    """What can be done with something of an object: `call` it, `get` it, or get an `item` and `put` one (kind "items").

    `takes` checks the arguments of a call by name, in order (the first `needs` must be there); or the key of an item, and the
    value put.
    """

    kind: str
    function: Callable[..., Any]
    takes: dict[str, Taken]
    needs: int = 0
    put: Callable[[Any, Any], None] | None = None


def method(function: Callable[..., Any], needs: int | None = None, /, **takes: Taken) -> Member:
    return Member("call", function, takes, len(takes) if needs is None else needs)


def attribute(function: Callable[[], Any]) -> Member:
    return Member("get", function, {})


def items(get: Callable[[Any], Any], put: Callable[[Any, Any], None] | None, key: Taken, value: Taken = u64) -> Member:
    return Member("items", get, {"key": key, "value": value}, 1, put)


class Offered(wire.Named):
    """An object of the machine that a part may use: only what `members` has, and only with arguments that they take."""

    def __init__(self, name: str, members: dict[str, Member], stands_for: object = None) -> None:
        super().__init__(name)
        self.members = members
        self.stands_for = stands_for  # what the hypervisor gets where a part answers with this object

    def describe(self) -> dict[str, str]:
        return {name: member.kind for name, member in self.members.items()}

    def ask(self, name: str, how: str, args: list[Any], named: dict[str, Any]) -> Any:
        """Raises Garbled for what the student's side never sends, ValueError for wrong arguments, and what the machine raises."""
        member = self.members.get(name)
        if member is None or how not in {"call": ("call",), "get": ("get",), "items": ("item", "put")}[member.kind]:
            raise wire.Garbled("a request for what is not there")
        if how == "put" and member.put is None:
            raise ValueError("can only be read")
        given = dict(zip(member.takes, args, strict=False))
        takes = ", ".join(member.takes)
        if len(args) > len(member.takes) or given.keys() & named.keys() or named.keys() - member.takes.keys():
            raise ValueError(f"takes ({takes}), and got other arguments")
        given |= named
        for argument in list(member.takes)[: 2 if how == "put" else member.needs]:
            if argument not in given:
                raise ValueError(f"takes ({takes}), and got no {argument}")
        for argument, value in given.items():
            try:
                given[argument] = member.takes[argument](value)
            except ValueError as error:
                raise ValueError(f"{argument} must be {error}, not {show(value)}") from None
        if how == "item":
            return member.function(given["key"])
        if how == "put":
            assert member.put is not None
            return member.put(given["key"], given["value"])
        return member.function(**given)


class Part:
    """A part in its cell. What it is given must be values of the wire or `Offered` objects."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._offered: dict[str, Offered] = {}
        self._new: dict[str, dict[str, str]] = {}
        self._refused: Exception | None = None
        self.doing = "it was loaded"
        self.loaded = False
        self.confined = False  # by the kernel; what the process says before the student's code runs

    def load(self) -> None:
        """Have the student's file executed. Raises PartFailed."""
        self.cell.send(["load", self.cell.order])
        self.confined = self._finish() is True
        self.loaded = True
        self.cell.start_counting()

    def offer(self, offered: Offered) -> Offered:
        """Have the part know an object from the next call on."""
        self._offered[offered.name] = offered
        self._new[offered.name] = offered.describe()
        return offered

    def make(self, *args: Any) -> None:
        self._call("make", "", args)

    def call(self, name: str, *args: Any) -> Any:
        """Call a method of what was made; "": the lab's function itself. Raises PartFailed, and what the machine raised."""
        return self._call("call", name, args)

    def get(self, name: str) -> Any:
        return self._call("get", name, ())

    def _call(self, how: str, name: str, args: tuple[Any, ...]) -> Any:
        shown = ", ".join(f"{arg:#x}" if isinstance(arg, int) and not isinstance(arg, bool) else show(arg) for arg in args)
        self.doing = f"{name}({shown}) was called" if how == "call" else "it was made" if how == "make" else f"{name} was read"
        new, self._new = self._new, {}
        self.cell.send([how, new, name, *(wire.pack(arg) for arg in args)])
        return self._finish()

    def _finish(self) -> Any:
        """Serve the part's requests until it answers."""
        while True:
            kind, *rest = self.cell.receive()
            try:
                if kind == "value" and len(rest) == 1:
                    return wire.unpack(rest[0], dict(self._offered))
                if kind == "raised":
                    self._raise(*rest)
                if kind != "ask" or len(rest) != 5:
                    raise wire.Garbled("what is no answer")
                self._serve(*rest)
            except (wire.Garbled, TypeError, RecursionError) as error:
                raise garbled(error) from None

    def _serve(self, name: Any, member: Any, how: Any, args: Any, named: Any) -> None:
        self.cell.requests += 1
        if self.cell.requests > self.cell.limits.requests:
            raise PartFailed(
                f"it asked the machine for more than {self.cell.limits.requests:,} things: an endless loop?", endless=True
            )
        if not (isinstance(name, str) and isinstance(member, str) and isinstance(how, str)) or name not in self._offered:
            raise wire.Garbled("a request for what is not there")
        if not isinstance(args, list) or not isinstance(named, dict):
            raise wire.Garbled("a request without arguments")
        objects: dict[str, Any] = dict(self._offered)
        unpacked = wire.unpack(args, objects), {str(key): wire.unpack(arg, objects) for key, arg in named.items()}
        try:
            answer = self._offered[name].ask(member, how, *unpacked)
        except (RvhvError, ValueError) as error:
            self._refused = error
            self.cell.send(["refuse", str(error)])
        else:
            self.cell.send(["value", wire.pack(answer)])

    def _raise(self, *rest: Any) -> None:
        """The part raised something. What the machine raised goes on to the hypervisor, if that knows it."""
        if len(rest) != 4 or not (isinstance(rest[0], str) and isinstance(rest[1], str) and isinstance(rest[2], list)):
            raise wire.Garbled("what is no exception")
        kind, text, refused = printable(rest[0]), printable(rest[1]), rest[3]
        where = tuple(printable(str(place))[:200] for place in rest[2][:8])
        if refused is True and isinstance(self._refused, RvhvError):
            error = self._refused
            error.add_note("\n".join(where))
            raise error
        said = f"{kind}: {text}" if text else str(kind)
        if kind == "NotImplementedError":
            raise PartFailed(f"not written yet: {text[:600]}", where[:0])
        if kind == "SystemExit":
            said = "it called exit()"
        elif kind == "MemoryError":
            said = f"MemoryError: it may use {self.cell.limits.memory >> 20} MiB"
        raise PartFailed(f"when {self.doing}: {said[:600]}", where)


def show(value: Any) -> str:
    """A value in a message: short, whatever it is. What has a name is shown by it."""
    if isinstance(value, list):
        text = f"[{', '.join(show(item) for item in value[:10])}]"
    elif isinstance(value, SimpleNamespace) and hasattr(value, "name"):
        text = str(value.name)
    elif isinstance(value, SimpleNamespace):
        text = ", ".join(f"{name}={item:#x}" if type(item) is int else f"{name}={item!r}" for name, item in vars(value).items())
    else:
        text = value.name if isinstance(value, wire.Named) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
