"""A student's folder: what `rvhv lab start` puts there, and what is remembered in it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from rvhv.errors import ConfigError
from rvhv.grade.lab import Lab, find_lab, labs
from rvhv.grade.submission import read

STATE = "lab.json"  # in the student's folder: which lab it is, and how many hints were opened
HANDOUT = "handout.md"


@dataclass
class Folder:
    path: Path
    lab: Lab
    hints: int = 0  # opened

    def save(self) -> None:
        (self.path / STATE).write_text(json.dumps({"lab": self.lab.name, "hints": self.hints}) + "\n", "utf-8")

    def open_hint(self) -> str | None:
        """The next one; None when all are open."""
        if self.hints >= len(self.lab.hints):
            return None
        self.hints += 1
        self.save()
        return self.lab.hints[self.hints - 1]

    def files(self) -> dict[str, str]:
        """Raises ConfigError."""
        return read(self.path, *self.lab.variants)


def start(lab: Lab, path: Path, *, in_c: bool = False) -> tuple[Folder, list[str], list[str]]:
    """The folder with the starter in it; which files were written, and which were there and are as they were.

    Raises ConfigError for a folder of another lab.
    """
    if (path / STATE).exists() and (found := open_folder(path)).lab is not lab:
        raise ConfigError(f"{path} is a folder of lab {found.lab.number}, {found.lab.name}: give lab {lab.number} another one")
    texts = {**(lab.starter_c() if in_c else lab.starter()), HANDOUT: (lab.folder / HANDOUT).read_text("utf-8")}
    path.mkdir(parents=True, exist_ok=True)
    written, kept = [], []
    for name, text in texts.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
            written.append(name)
        except FileExistsError:
            kept.append(name)
    if (path / STATE).exists():
        folder = open_folder(path)
    else:
        folder = Folder(path, lab)
        folder.save()
    return folder, written, kept


def open_folder(path: Path) -> Folder:
    """Raises ConfigError where there is no lab, or its notes are broken."""
    names = [str(lab.number) for lab in labs()]
    try:
        data = json.loads((path / STATE).read_text("utf-8"))
        hints = data["hints"]
        if not isinstance(hints, int) or hints < 0:
            raise ValueError
        return Folder(path, find_lab(str(data["lab"])), hints)
    except FileNotFoundError:
        raise ConfigError(
            f"{path} is no folder of a lab: go to yours, or make one with `rvhv lab start N` (N: {', '.join(names)})"
        ) from None
    except (ValueError, KeyError, TypeError, ConfigError):
        raise ConfigError(f"{path / STATE} does not say which lab this is: delete it and run `rvhv lab start N` again") from None
