"""Messages between the judge and the process of a student's part: a length in four bytes, and JSON.

Values are None, booleans, whole numbers, strings, bytes, lists, records (attributes by name) and *objects of the machine*, which
are only names on the wire. Never pickles: what comes from the student's process is data.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

HEADER = 4  # bytes
LONGEST = 1 << 20  # bytes of a message
BIGGEST = 1 << 128  # whole numbers are smaller


class Garbled(Exception):
    """What came is no message, or a message that nobody may send."""


class Named:
    """An object of the machine, as the wire knows it."""

    def __init__(self, name: str) -> None:
        self.name = name


def pack(value: Any) -> Any:
    """A value as JSON can carry it. Raises TypeError for what is no value of the wire."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) >= BIGGEST:
            raise TypeError("a whole number of more than 128 bits")
        return int(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"bytes": bytes(value).hex()}
    if isinstance(value, (list, tuple)):
        return [pack(item) for item in value]
    if isinstance(value, Named):
        return {"object": value.name}
    if isinstance(value, SimpleNamespace):
        return {"record": {name: pack(item) for name, item in vars(value).items()}}
    raise TypeError(f"a value of type {type(value).__name__}")


def unpack(value: Any, objects: dict[str, Any]) -> Any:
    """The other way round; `objects` by name. Raises Garbled."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        if abs(value) >= BIGGEST:
            raise Garbled("a whole number of more than 128 bits")
        return value
    if isinstance(value, list):
        return [unpack(item, objects) for item in value]
    if isinstance(value, dict) and len(value) == 1:
        ((kind, inner),) = value.items()
        if kind == "bytes" and isinstance(inner, str):
            try:
                return bytes.fromhex(inner)
            except ValueError:
                raise Garbled("bytes that are no bytes") from None
        if kind == "object" and isinstance(inner, str) and inner in objects:
            return objects[inner]
        if kind == "record" and isinstance(inner, dict):
            return SimpleNamespace(**{str(name): unpack(item, objects) for name, item in inner.items()})
    raise Garbled(f"a value of the type {type(value).__name__}")


def encode(message: list[Any]) -> bytes:
    body = json.dumps(message, separators=(",", ":"), allow_nan=False).encode()
    return len(body).to_bytes(HEADER, "little") + body


def decode(body: bytes) -> list[Any]:
    """Raises Garbled."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError):
        raise Garbled("what is no JSON") from None
    if not isinstance(message, list) or not message or not isinstance(message[0], str):
        raise Garbled("what is no message")
    return message
