"""Object code of regions on disk, so that the next run starts warm.

A file a region, named by a hash of everything the code was made from: the guest's bytes and where they are entered, the
translator, the host's CPU. A file has a checksum, and is written under another name and renamed, so that any number of processes
may read and write. What is damaged counts as absent. When the folder is too large, the files that were not used for longest go.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from rvhv.build import PACKAGE, cache_folder, fingerprint
from rvhv.isa.expr import MASK64
from rvhv.jit.form import PAGE, Region
from rvhv.jit.job import Offsets, Spec

MAGIC = b"rvhv-region-1\n"
DIGEST = 32
MOST_BYTES = 256 << 20
LOOK_EVERY = 256  # writes
NAME_DIGITS = 40  # of an object's name, hexadecimal
# of writing: a folder is where the file would be, or a file where its folder would be; it says nothing of other names
IN_THE_WAY = frozenset({errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENOTEMPTY})


@cache
def translator() -> bytes:
    """A hash of all that object code depends on beside the guest's."""
    digest = hashlib.sha256(fingerprint().encode())
    for path in sorted((PACKAGE / "jit").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.digest()


def key(region: Region, page: bytes, tlb_bits: int) -> str:
    """Names the object code of a region."""
    digest = hashlib.sha256(translator())
    digest.update(repr((tlb_bits, region.entries, region.returns)).encode())
    for at in sorted(region.blocks):
        block = region.blocks[at]
        digest.update(f"{at}:{block.need}:{block.head}:".encode() + page[at : block.last.next] + b";")
    return digest.hexdigest()[:NAME_DIGITS]


def _specs(code: bytes) -> list[Spec]:
    """Raises ValueError for what `remember` does not write."""
    document: Any = json.loads(code)
    if not isinstance(document, list) or any(not isinstance(spec, list) or len(spec) != len(Spec._fields) for spec in document):
        raise ValueError("no list of specs")
    return [_spec(*spec) for spec in document]


def _spec(
    starts: Any, hints: Any, stops: Any, most: Any, name: Any, entries: Any, cover: Any, ranges: Any, instructions: Any
) -> Spec:
    if not isinstance(name, str) or not re.fullmatch(f"[0-9a-f]{{{NAME_DIGITS}}}", name):
        raise ValueError("no name of an object")
    if not isinstance(ranges, list) or any(not isinstance(one, list) or len(one) != 2 for one in ranges):
        raise ValueError("no ranges")
    for start, length in ranges:
        _offsets([start, start + _number(length, PAGE) - 2])
    of_job = _offsets(starts), _offsets(hints), _offsets(stops), _number(most, PAGE // 2)
    bounds = tuple((start, length) for start, length in ranges)
    if not entries or any(not any(start <= at < start + length for start, length in bounds) for at in _offsets(entries)):
        raise ValueError("no entries of a region")
    return Spec(*of_job, name, _offsets(entries), _number(cover, MASK64), bounds, _number(instructions, PAGE // 2))


def _offsets(found: Any) -> Offsets:
    if not isinstance(found, list) or any(type(n) is not int or n % 2 or not 0 <= n < PAGE for n in found):
        raise ValueError("no offsets into a page")
    return tuple(found)


def _number(found: Any, most: int) -> int:
    if type(found) is not int or not 0 < found <= most:
        raise ValueError("no such number")
    return found


def _page_name(page: bytes, tlb_bits: int) -> str:
    return hashlib.sha256(translator() + b"page%d" % tlb_bits + page).hexdigest()[:NAME_DIGITS]


class ObjectCache:
    """`warning` says why nothing is kept, when that is so."""

    def __init__(self, folder: Path | None = None, most: int = MOST_BYTES) -> None:
        self.folder = folder or cache_folder() / "regions"
        self.warning = ""
        self.most = most
        self._writes = 0

    def get(self, name: str) -> bytes | None:
        path = self._path(name)
        try:
            data = path.read_bytes()
        except OSError:
            return None
        start = len(MAGIC) + DIGEST
        code = data[start:]
        if not data.startswith(MAGIC) or hashlib.sha256(code).digest() != data[len(MAGIC) : start]:
            return None
        try:
            os.utime(path)
        except OSError:
            pass  # somebody removed it, or it is not ours to touch
        return code

    def put(self, name: str, code: bytes) -> None:
        if self.warning:
            return
        path = self._path(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            fd, temporary = tempfile.mkstemp(suffix=".tmp", dir=path.parent)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(MAGIC + hashlib.sha256(code).digest() + code)
                os.replace(temporary, path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError as error:
            if error.errno in IN_THE_WAY and self.folder.is_dir():
                return
            self.warning = f"translated code cannot be kept in {self.folder} ({error.strerror}): it is made anew each time"
            return
        self._writes += 1
        if self._writes % LOOK_EVERY == 1:
            self.prune()

    def recall(self, page: bytes, tlb_bits: int) -> list[Spec]:
        """What was translated of a page with these bytes, for TLBs of this size, in an earlier run, in that order."""
        code = self.get(_page_name(page, tlb_bits))
        if code is None:
            return []
        try:
            return _specs(code)
        except (ValueError, TypeError, RecursionError):
            return []

    def remember(self, page: bytes, tlb_bits: int, specs: list[Spec]) -> None:
        """The same for later runs."""
        self.put(_page_name(page, tlb_bits), json.dumps(specs).encode())

    def _path(self, name: str) -> Path:
        return self.folder / name[:2] / name[2:]

    def files(self) -> list[tuple[float, int, Path]]:
        """(last use, bytes, path) of every file."""
        found = []
        for path in self.folder.glob("*/*"):
            try:
                status = path.stat()
            except OSError:
                continue
            found.append((status.st_mtime, status.st_size, path))
        return found

    def prune(self) -> None:
        """Remove the files that were not used for longest, when there are too many bytes."""
        files = sorted(self.files())
        total = sum(size for _, size, _ in files)
        if total <= self.most:
            return
        for _, size, path in files:
            if total <= self.most // 4 * 3:
                return
            try:
                path.unlink(missing_ok=True)
            except OSError:
                continue  # not ours
            total -= size

    def clear(self) -> int:
        """Remove every file that can be removed; how many."""
        removed = 0
        for _, _, path in self.files():
            try:
                path.unlink()
            except OSError:
                continue
            removed += 1
        return removed
