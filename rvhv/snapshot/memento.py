"""The Python objects of a machine as they were: found by walking from its root, remembered shallowly, and set back *in place*.

Every mutable object that is reachable keeps its identity; its contents are copied, and what cannot change is shared. Two
declarations on classes say what is no state of a machine:

- `NOT_STATE = ("name", ...)`: attributes that are the host's (statistics of host time, being interrupted). They are neither
  walked nor set back, and neither is any attribute called `on_...`: a callback of the user's. `("*",)`: nothing of such an
  object is state (images, memory, breakpoints).
- `capture_state(self)` and `restore_state(self, captured)`: the object does it itself. What the first returns is not walked, and
  must not change afterwards; a tuple, of which long parts have a `size` in bytes.

Anything that is not known to be safe raises InternalError: an iterator halfway or a lock cannot be set back.
"""

from __future__ import annotations

import functools
import hashlib
import random
import struct
import sys
import types
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from rvhv.errors import InternalError

LEAST_BLOB = 1024  # bytes objects this long are counted, each once
PART_BYTES = 100  # of a part, beside what it holds


class Hash:
    """A hash object as it was: it cannot be set back, so whoever holds it gets a copy of this one."""

    __slots__ = ("hash",)

    def __init__(self, hash: Any) -> None:
        self.hash = hash.copy()


HASHES = {type(getattr(hashlib, name)()) for name in ("sha256", "sha512", "sha1", "md5", "shake_256", "blake2b")}

# types whose objects do not change; enumerations and the like are added when they are met
ATOMS: set[type] = {
    int, str, bytes, float, bool, complex, type(None), range, slice, struct.Struct, type(Ellipsis), type(NotImplemented),
    types.ModuleType, weakref.ref, weakref.WeakMethod, type, type(int.__add__), type(str.join), type(len),
}  # fmt: skip


class Memento:
    """What `capture` found. `size`: bytes that it holds of its own; `blobs`: long objects that it shares, and their sizes."""

    __slots__ = ("blobs", "parts", "size")

    def __init__(self) -> None:
        self.parts: list[tuple[Any, Callable[[Any, Any], None], Any]] = []
        self.blobs: list[tuple[object, int]] = []
        self.size = 0

    def restore(self) -> None:
        """Set every object back. May be called again and again. Whoever calls sees to it that nothing interrupts."""
        for thing, put_back, saved in self.parts:
            put_back(thing, saved)


def capture(root: object) -> Memento:
    """Remember everything mutable that is reachable from `root`. Raises InternalError for what cannot be remembered."""
    memento = Memento()
    parts, blobs = memento.parts, memento.blobs
    seen: set[int] = set()
    todo: list[Any] = [root]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        cls = type(thing)
        way = WAYS.get(cls) or _way_of(cls)
        if way is None:
            raise InternalError(f"going back in time: {_holder(parts, thing)} holds a {cls.__module__}.{cls.__qualname__}, "
                                "which cannot be set back")  # fmt: skip
        if way is ATOM:
            continue
        saved, children, put_back = way(thing)
        if put_back is _put_custom and type(saved) is tuple:
            blobs += ((part, part.size) for part in saved if hasattr(part, "size"))
        if put_back is not None:
            parts.append((thing, put_back, saved))
        for child in children:
            kind = type(child)
            if kind not in ATOMS:
                todo.append(child)
            elif kind is bytes and len(child) >= LEAST_BLOB:
                blobs.append((child, len(child)))
    memento.size = sum(PART_BYTES + sys.getsizeof(saved) for _, _, saved in parts)
    return memento


def _holder(parts: list[tuple[Any, Any, Any]], culprit: object) -> str:
    """Who holds it, for the message."""
    for thing, _, saved in parts:
        values = saved.items() if isinstance(saved, dict) else enumerate(saved if isinstance(saved, (list, tuple)) else (saved,))
        for name, value in values:
            if value is culprit:
                return f"{type(thing).__qualname__} ({name})"
    return "something"


# How each kind of object is remembered: thing -> (what is saved, what to walk on to, how it is put back or None)
Way = Callable[[Any], "tuple[Any, Iterable[Any], Callable[[Any, Any], None] | None]"]
NOTHING: tuple[Any, ...] = ()


def ATOM(thing: Any) -> tuple[Any, Iterable[Any], None]:
    return None, NOTHING, None


def _worth_walking(values: Iterable[Any], saved: Any) -> Iterable[Any]:
    """The values, or nothing when there is nothing but small atoms among them: most long containers hold numbers."""
    kinds = set(map(type, values))
    return NOTHING if kinds <= SMALL else saved


SMALL = {int, str, float, bool, type(None)}


def _hashes_frozen(saved: Any, keys: Iterable[Any]) -> None:
    for key in keys:
        if type(saved[key]) in HASHES:
            saved[key] = Hash(saved[key])


def _dict(thing: dict[Any, Any]) -> tuple[Any, Iterable[Any], Any]:
    saved = dict(thing)
    kinds = set(map(type, saved.values()))
    if not kinds.isdisjoint(HASHES):
        _hashes_frozen(saved, list(saved))
    walk: list[Any] = [] if kinds <= SMALL else [v for v in saved.values() if type(v) is not Hash]
    if not set(map(type, saved)) <= SMALL:
        walk += saved
    return saved, walk, _put_dict


def _thaw(value: Any) -> Any:
    return value.hash.copy() if type(value) is Hash else value


def _put_dict(thing: dict[Any, Any], saved: dict[Any, Any]) -> None:
    thing.clear()
    dict.update(thing, saved)  # of a Counter, update would add
    for key, value in saved.items() if Hash in set(map(type, saved.values())) else NOTHING:
        thing[key] = value.hash.copy() if type(value) is Hash else value


def _list(thing: list[Any]) -> tuple[Any, Iterable[Any], Any]:
    saved = thing.copy()
    kinds = set(map(type, saved))
    if kinds.isdisjoint(HASHES):
        return saved, NOTHING if kinds <= SMALL else saved, _put_list
    _hashes_frozen(saved, range(len(saved)))
    return saved, [v for v in saved if type(v) is not Hash], _put_list


def _put_list(thing: list[Any], saved: list[Any]) -> None:
    thing[:] = map(_thaw, saved)


def _deque(thing: deque[Any]) -> tuple[Any, Iterable[Any], Any]:
    saved = tuple(thing)
    return saved, _worth_walking(saved, saved), _put_deque


def _put_deque(thing: deque[Any], saved: tuple[Any, ...]) -> None:
    thing.clear()
    thing.extend(saved)


def _set(thing: set[Any]) -> tuple[Any, Iterable[Any], Any]:
    saved = thing.copy()
    return saved, _worth_walking(saved, saved), _put_set


def _put_set(thing: set[Any], saved: set[Any]) -> None:
    thing.clear()
    thing.update(saved)


def _put_sequence(thing: Any, saved: Any) -> None:
    thing[:] = saved


def _memoryview(thing: memoryview) -> tuple[Any, Iterable[Any], None]:
    return None, (thing.obj,), None


def _function(thing: types.FunctionType) -> tuple[Any, Iterable[Any], None]:
    return None, (*(thing.__closure__ or ()), *(thing.__defaults__ or ())), None


def _cell(thing: types.CellType) -> tuple[Any, Iterable[Any], Any]:
    try:
        saved = thing.cell_contents
    except ValueError:
        return None, NOTHING, None  # not filled yet
    return saved, (saved,), _put_cell


def _put_cell(thing: types.CellType, saved: Any) -> None:
    thing.cell_contents = saved


def _custom(thing: Any) -> tuple[Any, Iterable[Any], Any]:
    return thing.capture_state(), NOTHING, _put_custom


def _put_custom(thing: Any, saved: Any) -> None:
    thing.restore_state(saved)


def _builtin_method(thing: types.BuiltinMethodType) -> tuple[Any, Iterable[Any], None]:
    return None, (thing.__self__,), None


WAYS: dict[type, Way] = {
    dict: _dict,
    list: _list,
    deque: _deque,
    set: _set,
    bytearray: lambda thing: (bytes(thing), NOTHING, _put_sequence),
    array: lambda thing: (thing[:], NOTHING, _put_sequence),
    memoryview: _memoryview,
    tuple: lambda thing: (None, thing, None),
    frozenset: lambda thing: (None, thing, None),
    types.FunctionType: _function,
    types.MethodType: lambda thing: (None, (thing.__self__, thing.__func__), None),
    types.BuiltinMethodType: _builtin_method,
    types.CellType: _cell,
    functools.partial: lambda thing: (None, (thing.func, *thing.args, *thing.keywords.values()), None),
    random.Random: lambda thing: (thing.getstate(), NOTHING, lambda thing, saved: thing.setstate(saved)),
}


def _way_of(cls: type) -> Way | None:
    """How objects of a class are remembered, found once."""
    way: Way | None = None
    if cls in ATOMS or issubclass(cls, (type, Enum)):
        ATOMS.add(cls)
        way = ATOM
    elif "*" in getattr(cls, "NOT_STATE", ()):
        way = ATOM
    elif hasattr(cls, "capture_state"):
        way = _custom
    elif all(map(_is_of_python, cls.__mro__)):
        way = _instance_way(cls)
    else:
        base = next((base for base in (dict, list, set, tuple, deque) if issubclass(cls, base)), None)
        if base is not None and all(map(_is_of_python, cls.__mro__[: cls.__mro__.index(base)])):
            way = WAYS[base]  # a Counter, a named tuple
    if way is not None:
        WAYS[cls] = way
    return way


def _is_of_python(cls: type) -> bool:
    """Whether all that its objects hold is in attributes."""
    if cls in (object, Exception, BaseException):
        return True
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return cls.__module__ == "__main__" or (file is not None and file.endswith(".py"))


def attributes_of(cls: type) -> tuple[tuple[str, ...], frozenset[str]]:
    """(the slots of a class, names of attributes that are not state)."""
    slots: list[str] = []
    hidden: set[str] = set()
    for base in cls.__mro__:
        own = base.__dict__.get("__slots__", ())
        slots += (own,) if isinstance(own, str) else own
        hidden.update(base.__dict__.get("NOT_STATE", ()))
    return tuple(s for s in slots if s not in ("__dict__", "__weakref__") and s not in hidden), frozenset(hidden)


MISSING = object()


def _instance_way(cls: type) -> Way:
    slots, declared = attributes_of(cls)
    host: dict[str, bool] = {}  # names that were met: whether they are the host's

    def is_host(name: str) -> bool:
        known = host.get(name)
        if known is None:
            known = host[name] = name in declared or name.startswith("on_")
        return known

    has_dict = any("__dict__" in vars(base) for base in cls.__mro__)

    def capture_instance(thing: Any) -> tuple[Any, Iterable[Any], Any]:
        saved = thing.__dict__.copy() if has_dict else {}
        for name in [name for name in saved if is_host(name)]:
            del saved[name]
        for name in slots:
            value = getattr(thing, name, MISSING)
            if value is not MISSING:
                saved[name] = value
        kinds = set(map(type, saved.values()))
        if not kinds.isdisjoint(HASHES):
            _hashes_frozen(saved, list(saved))
            return saved, [v for v in saved.values() if type(v) is not Hash], put_back
        return saved, saved.values(), put_back

    def put_back(thing: Any, saved: dict[str, Any]) -> None:
        for name in slots:
            if name in saved:
                object.__setattr__(thing, name, _thaw(saved[name]))  # of a frozen dataclass too
            elif hasattr(thing, name):
                object.__delattr__(thing, name)
        if has_dict:
            now = thing.__dict__
            for name in [name for name in now if name not in saved and not is_host(name)]:
                del now[name]
            for name, value in saved.items():
                if now.get(name, MISSING) is not value and name not in slots:
                    now[name] = _thaw(value)

    return capture_instance
