"""`rvhv run --config FILE.toml`: several VMs and their settings in a file.

    console = "tasks"          # any of run's own options: console clock host-memory max-steps seed slice tier
    [vm.tasks]
    memory = "16M"             # image (default: the VM's name), memory, disk, weight; files are relative to this one
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rvhv.cli.group import TIERS
from rvhv.cli.params import parse_count, parse_size, suggestion
from rvhv.errors import ConfigError

CLOCKS = ("machine", "vm")
LARGEST_SEED = (1 << 64) - 1
_TABLE = re.compile(r"\s*\[([^\[\]]+)\]\s*(#.*)?")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*[=.]""")


@dataclass(frozen=True)
class VmConfig:
    """A [vm.NAME] table; None leaves a choice to `run`."""

    name: str
    image: str
    memory: int | None = None  # bytes
    disk: Path | None = None
    weight: int | None = None


@dataclass(frozen=True)
class Config:
    vms: list[VmConfig] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)  # by the names of run's parameters


def read_config(path: Path) -> Config:
    """Raises ConfigError with one line that says where and what; OSError when the file cannot be read."""
    try:
        text = path.read_text("utf-8")
        document = tomllib.loads(text)
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not text in UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: {error}") from None
    return _Reader(path, text).read(document)


class _Reader:
    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._lines = text.splitlines()

    def read(self, document: dict[str, Any]) -> Config:
        options: dict[str, Any] = {}
        for key, value in document.items():
            if key == "vm":
                continue
            if key not in OPTIONS:
                raise self._error("", key, f"there is no key {key!r}; {suggestion(key, [*OPTIONS, 'vm'])}")
            name, parse = OPTIONS[key]
            options[name] = self._parsed("", key, value, parse)
        tables = document.get("vm", {})
        if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
            raise self._error("", "vm", "VMs are tables: write [vm.NAME]")
        return Config([self._vm(name, table) for name, table in tables.items()], options)

    def _vm(self, name: str, table: dict[str, Any]) -> VmConfig:
        where = f"vm.{name}"
        given: dict[str, Any] = {}
        for key, value in table.items():
            if key not in VM_KEYS:
                raise self._error(where, key, f"there is no key {key!r} of a VM; {suggestion(key, VM_KEYS)}")
            given[key] = self._parsed(where, key, value, VM_KEYS[key])
        image = given.get("image", name)
        beside = self._path.parent / image
        disk = given.get("disk")
        return VmConfig(
            name,
            str(beside) if beside.is_file() else image,  # else a built-in guest, or a file that is not there
            given.get("memory"),
            self._path.parent / disk if disk is not None else None,
            given.get("weight"),
        )

    def _parsed(self, table: str, key: str, value: Any, parse: Callable[[Any], Any]) -> Any:
        try:
            return parse(value)
        except ConfigError as error:
            raise self._error(table, key, f"{key}: {error}") from None

    def _error(self, table: str, key: str, what: str) -> ConfigError:
        line = self._line(table, key)
        return ConfigError(f"{self._path}: {f'line {line}: ' if line else ''}{what}")

    def _line(self, table: str, key: str) -> int | None:
        """The line on which a key stands, as far as lines tell."""
        here = ""
        header = None
        for number, line in enumerate(self._lines, 1):
            if match := _TABLE.fullmatch(line):
                here = ".".join(part.strip().strip("\"'") for part in match[1].split("."))
                if f"{here}.".startswith(f"{table}.{key}.".lstrip(".")):
                    return number
                if here == table:
                    header = number
            elif here == table and (match := _KEY.match(line)) and match[1].strip("\"'") == key:
                return number
            elif not here and line.strip().startswith(f"{table}.{key}"):
                return number
        return header


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigError("write a text in quotes")
    return value


def _size(value: Any) -> int:
    return parse_size(value if isinstance(value, str) else str(_whole(value)))


def _count(value: Any) -> int:
    return parse_count(value if isinstance(value, str) else str(_whole(value)))


def _whole(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{value!r} is not a whole number")
    return value


def _seed(value: Any) -> int:
    if not 0 <= _whole(value) <= LARGEST_SEED:
        raise ConfigError(f"{value} is outside 0 ... 2^64-1")
    return int(value)


def _clock(value: Any) -> str:
    if value not in CLOCKS:
        raise ConfigError(f"{value!r} is no clock: choose {' or '.join(CLOCKS)}")
    return str(value)


def _tier(value: Any) -> str:
    if value not in TIERS:
        raise ConfigError(f"{value!r} is no tier: choose {', '.join(TIERS)}")
    return str(value)


OPTIONS: dict[str, tuple[str, Callable[[Any], Any]]] = {  # key -> (run's parameter, parser)
    "clock": ("clock", _clock),
    "console": ("console", _text),
    "host-memory": ("host_memory", _size),
    "max-steps": ("max_steps", _count),
    "seed": ("seed", _seed),
    "slice": ("slice_steps", _count),
    "tier": ("tier", _tier),
}
VM_KEYS: dict[str, Callable[[Any], Any]] = {"image": _text, "memory": _size, "disk": _text, "weight": _count}
