"""The labs that ship with rvhv: folders of `rvhv/labs/`, read from their `lab.toml`."""

from __future__ import annotations

import ast
import hashlib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

import rvhv
from rvhv.errors import ConfigError
from rvhv.grade.cell import Limits
from rvhv.grade.check import Check
from rvhv.grade.inside.part import imported

HOME = Path(rvhv.__file__).parent / "labs"
STANDARD = (
    "__future__", "abc", "array", "bisect", "collections", "collections.abc", "contextlib", "copy", "dataclasses", "enum",
    "functools", "heapq", "itertools", "math", "operator", "re", "string", "struct", "types", "typing",
)  # fmt: skip
DEFAULT_SEED = "rvhv"


@dataclass(frozen=True)
class C:
    """`file` is the student's, `prefix` what the names of its functions begin with; its headers are in `starter-c`."""

    file: str
    prefix: str


@dataclass(frozen=True)
class Lab:
    """`main` and `made` name what the judge makes: a class or function of a file. `gives`: modules of rvhv that a part may
    import; `reference`: the module of rvhv that solves it, and what in it."""

    number: int
    name: str
    title: str
    summary: str
    folder: Path
    files: tuple[str, ...]
    main: str
    made: str
    gives: tuple[str, ...]
    reference: tuple[str, str]
    limits: Limits
    c: C | None = None  # how it is solved in C, if it can be

    @property
    def checks(self) -> list[Check]:
        checks: list[Check] = import_module(f"rvhv.grade.labs.{self.name}").CHECKS
        return checks

    @property
    def points(self) -> int:
        return sum(check.points for check in self.checks)

    @property
    def hints(self) -> list[str]:
        """Each begins with a line `## title`."""
        text = (self.folder / "hints.md").read_text("utf-8")
        return [part.strip() for part in text.split("\n## ")[1:]]

    @property
    def variants(self) -> list[tuple[str, ...]]:
        """The files of a submission in Python, and in C."""
        return [self.files] if self.c is None else [self.files, (self.c.file,)]

    def starter(self) -> dict[str, str]:
        """The student's files, as they begin."""
        return {name: (self.folder / "starter" / name).read_text("utf-8") for name in self.files}

    def starter_c(self) -> dict[str, str]:
        """The same in C. Raises ConfigError."""
        if self.c is None:
            raise ConfigError(f"lab {self.number} is solved in Python only")
        return {path.name: path.read_text("utf-8") for path in sorted((self.folder / "starter-c").iterdir())}

    def given(self) -> dict[str, str]:
        """The source of each module that it gives."""
        return {module: source_of(module) for module in self.gives}

    def solution(self) -> tuple[dict[str, str], str]:
        """The reference as a submission, with the modules of rvhv that it needs besides those that the lab gives; and the name
        of what is made."""
        module, made = self.reference
        files = {f"{self.main}.py": source_of(module)}
        todo = [module]
        while todo:
            for _, needed in imported(ast.parse(source_of(todo.pop())), MODULES):
                if needed in MODULES and needed not in self.gives and f"{needed}.py" not in files:
                    files[f"{needed}.py"] = source_of(needed)
                    todo.append(needed)
        return files, made

    def version(self) -> str:
        """Of everything that a grade depends on besides the submission and the seed: 16 hex digits."""
        digest = hashlib.sha256(rvhv.__version__.encode())
        folder = Path(rvhv.__file__).parent
        for path in sorted([*folder.rglob("*.py"), *self.folder.rglob("*")]):
            if path.is_file():
                digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
        return digest.hexdigest()[:16]


class Modules:
    """Names of rvhv's modules; packages are none."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.startswith("rvhv.") and path_of(name).is_file()


MODULES = Modules()


def path_of(module: str) -> Path:
    return Path(rvhv.__file__).parent.parent / f"{module.replace('.', '/')}.py"


def source_of(module: str) -> str:
    return path_of(module).read_text("utf-8")


@cache
def labs() -> tuple[Lab, ...]:
    """All of them, by number."""
    return tuple(sorted((_read(path) for path in HOME.glob("*/lab.toml")), key=lambda lab: lab.number))


def find_lab(word: str) -> Lab:
    """By number or name. Raises ConfigError."""
    for lab in labs():
        if word in (str(lab.number), lab.name, lab.folder.name):
            return lab
    names = ", ".join(f"{lab.number} ({lab.name})" for lab in labs())
    raise ConfigError(f"there is no lab {word!r}: there are {names}")


def _read(path: Path) -> Lab:
    data = tomllib.loads(path.read_text("utf-8"))
    module, _, made = data["reference"].rpartition(":")
    return Lab(
        number=data["number"],
        name=data["name"],
        title=data["title"],
        summary=data["summary"],
        folder=path.parent,
        files=tuple(data["files"]),
        main=data["main"],
        made=data["made"],
        gives=tuple(data.get("gives", ())),
        reference=(module, made),
        limits=Limits(**data.get("limits", {})),
        c=C(**data["c"]) if "c" in data else None,
    )
