"""A check with the student's part in this very process, to stand where it fails: for `rvhv debug`, and for a debugger of Python.

Nothing is confined here: it is for one's own code.
"""

from __future__ import annotations

import sys
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from rvhv.errors import ConfigError
from rvhv.grade.check import Bench, Check, Lost, chance
from rvhv.grade.inside.part import Remote
from rvhv.grade.lab import DEFAULT_SEED, Lab
from rvhv.grade.part import Offered
from rvhv.grade.student import open_folder
from rvhv.hv import Hypervisor


class LocalPart:
    """As `rvhv.grade.part.Part`, without a process."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        sys.path.insert(0, str(folder.resolve()))
        try:
            for name in [file.stem for file in folder.glob("*.py")]:
                sys.modules.pop(name, None)
            invalidate_caches()
            self._class = getattr(import_module(lab.main), lab.made)
        finally:
            sys.path.pop(0)
        self._made: Any = None
        self._objects: dict[str, Remote] = {}
        self._offered: dict[str, Offered] = {}

    def offer(self, offered: Offered) -> Offered:
        def ask(member: str, how: str, *args: Any, **named: Any) -> Any:
            return self._theirs(offered.ask(member, how, list(args), named))

        self._objects[offered.name] = Remote(offered.name, offered.describe(), ask)
        self._offered[offered.name] = offered
        return offered

    def make(self, *args: Any) -> None:
        self._made = self._class(*map(self._theirs, args))

    def call(self, name: str, *args: Any) -> Any:
        method = getattr(self._made, name) if name else self._class
        return self._ours(method(*map(self._theirs, args)))

    def get(self, name: str) -> Any:
        return self._ours(getattr(self._made, name))

    def _theirs(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._theirs(item) for item in value]
        return self._objects[value.name] if isinstance(value, Offered) else value

    def _ours(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._ours(item) for item in value]
        return self._offered[value.name] if isinstance(value, Remote) else value


def stand(folder: Path, check_name: str, seed: str = DEFAULT_SEED) -> tuple[Hypervisor, str]:
    """Run a check of a student's folder up to where it fails: the hypervisor as it is there, and what happened in a line or two.

    Raises ConfigError where there is no such check, and what the part raised before there was a machine.
    """
    opened = open_folder(folder)
    opened.files()  # they are there
    check = _find(opened.lab, check_name)
    bench = Bench(LocalPart(opened.lab, folder), chance(seed, opened.lab.name, check.name))
    try:
        check.function(bench)
        story = f"{check.name}: nothing is wrong ({check.title})"
    except Lost as lost:
        story = f"{check.name}: expected {lost.expected}\n{lost.happened}"
    except Exception as error:
        if bench.target is None:
            raise ConfigError(f"{check.name}: {type(error).__name__}: {error}, before there is a machine to look at") from error
        story = f"{check.name}: {type(error).__name__}: {error}"
    target = bench.target
    if not isinstance(target, Hypervisor):
        target = target.stand()  # type: ignore[attr-defined]
    assert isinstance(target, Hypervisor)
    return target, story


def _find(lab: Lab, name: str) -> Check:
    for check in lab.checks:
        if check.name == name:
            return check
    raise ConfigError(f"lab {lab.number} has no check {name!r}: there are {', '.join(check.name for check in lab.checks)}")
