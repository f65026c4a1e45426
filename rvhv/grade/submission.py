"""Reading submissions: folders and zip files that anybody may have made. Only a lab's files are read, and files of Python beside
them; nothing is unpacked to a disk.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from rvhv.errors import ConfigError

MOST_BYTES = 256 << 10  # of all files together
MOST_FILES = 32
MOST_ENTRIES = 2000  # of a folder or an archive, looked at
MOST_ARCHIVE = 16 << 20  # bytes of an archive
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # those that are unpacked a little at a time
SYMLINK = 0o120000
CODE = (".py", ".c", ".h", ".S")


class Refused(ConfigError):
    """A submission that cannot be read. Its text is the grade's reason, so it has no path of this computer."""


def read(path: Path, *variants: tuple[str, ...]) -> dict[str, str]:
    """By the first of the variants (the files that must be there) that fits. Raises Refused, for the first one."""
    refused = []
    for wanted in variants:
        try:
            return _read(path, wanted)
        except Refused as error:
            refused.append(error)
    raise refused[0]


def _read(path: Path, wanted: tuple[str, ...]) -> dict[str, str]:
    if path.is_dir() and not path.is_symlink():
        return read_folder(path, wanted)
    if path.is_file() and not path.is_symlink():
        return read_zip(path, wanted)
    raise Refused("it is neither a folder nor a zip file")


def read_folder(path: Path, wanted: tuple[str, ...]) -> dict[str, str]:
    """The lab's files, from the folder itself or the only folder in it that has them. Raises Refused."""
    found: dict[str, Path] = {}
    for entry, (top, _, names) in enumerate(os.walk(path)):
        if entry > MOST_ENTRIES:
            raise Refused(f"it has more than {MOST_ENTRIES} folders")
        for name in names:
            file = Path(top) / name
            if file.suffix in CODE:
                if file.is_symlink():
                    raise Refused(f"{file.relative_to(path).as_posix()} is a symbolic link: hand in the file itself")
                if file.is_file():  # no device, no pipe
                    found[file.relative_to(path).as_posix()] = file
    base = _base(found, wanted)
    chosen = _chosen(found, base)
    _check(sum(found[name].stat().st_size for name in chosen), len(chosen))
    files = {}
    for name in chosen:
        with found[name].open("rb") as opened:
            files[name.removeprefix(base)] = _text(name, opened.read(MOST_BYTES + 1))
    return files


def read_zip(path: Path, wanted: tuple[str, ...]) -> dict[str, str]:
    """The same from an archive. Raises Refused."""
    if path.stat().st_size > MOST_ARCHIVE:  # its list of entries alone may fill the memory
        raise Refused(f"it has more than {MOST_ARCHIVE >> 20} MiB: hand in the lab's files alone")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            if len(entries) > MOST_ENTRIES:
                raise Refused(f"it has more than {MOST_ENTRIES} entries")
            found: dict[str, zipfile.ZipInfo] = {}
            for entry in entries:
                name = entry.filename
                if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name or ":" in name:
                    raise Refused(f"{name!r} in it leads out of it")
                if stat.S_IFMT(entry.external_attr >> 16) == SYMLINK:
                    raise Refused(f"{name!r} in it is a symbolic link: hand in the file itself")
                if not entry.is_dir() and PurePosixPath(name).suffix in CODE and not name.startswith("__MACOSX/"):
                    if entry.flag_bits & 1:
                        raise Refused(f"{name!r} in it is encrypted")
                    if name in found:
                        raise Refused(f"{name!r} is in it twice")
                    if entry.compress_type not in METHODS:
                        raise Refused(f"{name!r} in it is compressed by another method than the usual one (deflate)")
                    found[name] = entry
            base = _base(found, wanted)
            chosen = _chosen(found, base)
            _check(sum(found[name].file_size for name in chosen), len(chosen))
            files = {}
            for name in chosen:
                with archive.open(found[name]) as opened:  # what the archive says of its size may be a lie
                    files[name.removeprefix(base)] = _text(name, opened.read(MOST_BYTES + 1))
            return files
    except Refused:
        raise
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, OSError) as error:
        raise Refused(f"it is no zip file that can be read ({type(error).__name__})") from None
    except Exception as error:  # zlib.error and what else a broken archive may cause
        raise Refused(f"it is a broken zip file ({type(error).__name__})") from None


def digest(files: dict[str, str]) -> str:
    """Of the contents: 64 hex digits."""
    found = hashlib.sha256()
    for name, text in sorted(files.items()):
        for part in (name.encode(), text.encode("utf-8", "surrogatepass")):
            found.update(len(part).to_bytes(8, "little") + part)
    return found.hexdigest()


def _base(found: Iterable[str], wanted: tuple[str, ...]) -> str:
    """The folder, as a prefix, that has all the wanted files."""
    if odd := [name for name in found if not name.isprintable()]:
        raise Refused(f"{min(odd)!r} in it is no name for a file of a program")
    names = set(found)
    firsts = [name for name in names if f"/{name}".endswith(f"/{wanted[0]}")]
    bases = sorted((name.removesuffix(wanted[0]) for name in firsts), key=lambda base: (len(base), base))
    whole = [base for base in bases if all(base + name in names for name in wanted)]
    if not whole:
        missing = [name for name in wanted if not any(n == name or n.endswith(f"/{name}") for n in names)]
        there = f"it has {', '.join(sorted(names)[:5])}" if names else "it has no file of a program"
        raise Refused(f"{', '.join(missing or wanted)} is not in it: {there}")
    if len(whole) > 1 and whole[0]:
        raise Refused(f"there is more than one {wanted[0]} in it: {', '.join(base + wanted[0] for base in whole[:4])}")
    return whole[0]


def _chosen(found: Iterable[str], base: str) -> list[str]:
    """The files right there."""
    return sorted(name for name in found if name.startswith(base) and "/" not in name.removeprefix(base))


def _check(size: int, count: int) -> None:
    if count > MOST_FILES:
        raise Refused(f"it has {count} files, and may have {MOST_FILES}")
    if size > MOST_BYTES:
        raise Refused(f"its files have more than {MOST_BYTES >> 10} KiB")


def _text(name: str, data: bytes) -> str:
    if len(data) > MOST_BYTES:
        raise Refused(f"its files have more than {MOST_BYTES >> 10} KiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused(f"{PurePosixPath(name).name} is no text in UTF-8") from None
