"""Grading a course: which submissions there are, and their grades, kept by content so that nothing is graded twice."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rvhv.build import cache_folder
from rvhv.errors import ConfigError
from rvhv.grade.cell import Disturbed
from rvhv.grade.judge import Grade, Judge
from rvhv.grade.lab import Lab, find_lab
from rvhv.grade.submission import Refused, digest, read

Document = dict[str, Any]


@dataclass(frozen=True)
class Handed:
    """A submission: what it is called, which is nothing of this computer, and where it is."""

    name: str
    path: Path


@dataclass(frozen=True)
class Job:
    """Everything that grading one takes; it is sent to other processes."""

    submission: Handed
    lab: str
    seed: str
    results: Path


def collect(paths: Iterable[Path], lab: Lab) -> list[Handed]:
    """The submissions by name. A folder without the lab's file is a folder of submissions. Raises ConfigError."""
    found: dict[str, Path] = {}
    for path in paths:
        if not path.exists():
            raise ConfigError(f"{path}: there is no such file or folder")
        many = path.is_dir() and not any((path / variant[0]).exists() for variant in lab.variants)
        for each in sorted(path.iterdir()) if many else [path]:
            if many and (each.name.startswith((".", "__MACOSX")) or (each.is_file() and each.suffix.lower() != ".zip")):
                continue
            name = _visible(each.resolve().name if each.is_dir() else each.name.removesuffix(".zip"))
            if found.setdefault(name, each) is not each:
                raise ConfigError(f"two submissions are called {name}: {found[name]} and {each}")
    if not found:
        where = ", ".join(map(str, paths))
        raise ConfigError(f"there is no submission in {where}: give folders or zip files with {lab.files[0]}")
    return [Handed(name, found[name]) for name in sorted(found)]


def _visible(name: str) -> str:
    """A file's name as text that any format can hold: control characters and bytes that are no UTF-8 as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def shard(all_: list[Handed], part: int, parts: int) -> list[Handed]:
    """Every `parts`-th, from number `part` (counted from 1)."""
    return all_[part - 1 :: parts]


def results_folder() -> Path:
    return cache_folder() / "grades"


@cache
def _judge(lab: str, seed: str) -> tuple[Judge, str]:
    """One a process and lab, with the lab's version."""
    found = find_lab(lab)
    return Judge(found, seed), found.version()


def grade(job: Job) -> Document:
    """The grade's document, with the submission's name and digest; from the results, or into them."""
    judge, version = _judge(job.lab, job.seed)
    try:
        files = read(job.submission.path, *judge.lab.variants)
    except Refused as refused:
        return _named(job, "", Grade(judge.lab, job.seed, refused=str(refused)).document())
    except OSError as error:
        return _named(job, "", Grade(judge.lab, job.seed, refused=f"it cannot be read: {error.strerror}").document())
    contents = digest(files)
    place = job.results / f"{_key(contents, job.lab, job.seed, version)}.json"
    document = _kept(place)
    if document is None:
        try:
            document = judge.grade(files).document()
        except Disturbed as error:
            return failed(job, str(error))
        _keep(place, document)
    return _named(job, contents, document)


def failed(job: Job, reason: str) -> Document:
    """Of a job whose process is gone; nothing is kept of it."""
    judge, _ = _judge(job.lab, job.seed)
    return _named(job, "", Grade(judge.lab, job.seed, refused=f"the grader failed: {reason}").document())


def _named(job: Job, contents: str, document: Document) -> Document:
    return {"submission": job.submission.name, "digest": contents, **document}


def _key(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _kept(place: Path) -> Document | None:
    try:
        body = place.read_bytes()
        checksum, _, text = body.partition(b"\n")
        if hashlib.sha256(text).hexdigest().encode() != checksum:
            return None
        document: Document = json.loads(text)
        return document
    except (OSError, ValueError):
        return None


def _keep(place: Path, document: Document) -> None:
    """Whole or not at all, whatever ends us in between."""
    text = json.dumps(document).encode()
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".new-")
    try:
        with open(handle, "wb") as file:
            file.write(hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
