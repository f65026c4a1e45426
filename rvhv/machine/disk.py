"""A raw disk image on the host: opened once for writing, written by its guest's writes and by nothing else."""

from __future__ import annotations

import errno
import logging
import os
import stat
import sys
import weakref
from io import FileIO
from types import TracebackType

from rvhv.errors import DeviceError

if sys.platform == "win32":
    from rvhv.platform_windows import lock_file
else:
    from rvhv.platform_posix import lock_file

log = logging.getLogger(__name__)

SECTOR = 512  # bytes

_READ_ONLY_ERRNOS = {errno.EACCES, errno.EPERM, errno.EROFS}
_open_disks: weakref.WeakSet[DiskImage] = weakref.WeakSet()


class Held(dict[int, bytes]):
    """Sectors that were written and are not in the file. `own`: bytes that this version of them brought, at most."""

    own = 0

    @property
    def size(self) -> int:
        """Bytes of memory, as far as they are not those of the version before."""
        return sys.getsizeof(self) + min(self.own, len(self) * SECTOR)


class DiskImage:
    """A file of whole 512-byte sectors. What the host cannot do raises OSError: an I/O error for the guest."""

    def __init__(self, path: str | os.PathLike[str], *, writable: bool = True) -> None:
        """Open and lock the file; raises DeviceError with one line that says what is wrong and what to do."""
        self.path = os.fspath(path)
        self.writable = writable
        label = self.path if self.path.isprintable() else repr(self.path)[1:-1]
        try:
            self._file = _open(self.path, label, writable)
        except FileNotFoundError:
            raise DeviceError(f"disk image {label}: there is no such file: make one with `truncate -s 1M`") from None
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            raise DeviceError(f"disk image {label}: cannot be opened: {reason}") from None
        try:
            status = os.fstat(self._file.fileno())
            self._key = (status.st_dev, status.st_ino)
            self._claim(label)
            if status.st_size % SECTOR:
                padded = (status.st_size // SECTOR + 1) * SECTOR
                raise DeviceError(
                    f"disk image {label}: {status.st_size} bytes are not a multiple of {SECTOR}: "
                    f"pad it to {padded} bytes (truncate -s {padded})"
                )
        except BaseException:
            self._file.close()
            raise
        self.sectors = status.st_size // SECTOR
        self._dirty = False
        self._told = False
        self._held: Held | None = None  # sectors written since `hold`
        self._shared = False  # somebody remembers `_held`
        self._closed = False
        _open_disks.add(self)

    def _claim(self, label: str) -> None:
        in_use = f"disk image {label}: is in use by {{}}, and one of the two would write: give each VM its own copy"
        for other in _open_disks:
            if other._key == self._key and not other.closed and (self.writable or other.writable):
                raise DeviceError(in_use.format("another VM"))
        try:
            locked = lock_file(self._file.fileno(), exclusive=self.writable)
        except OSError as error:
            log.warning("disk image %s: cannot be locked (%s): other processes are not kept out", label, error)
            return
        if not locked:
            raise DeviceError(in_use.format("another process"))

    @property
    def closed(self) -> bool:
        return self._closed

    # going back in time

    def hold(self) -> None:
        """From now on what the guest writes is kept in memory, the file stays as it is, and closing can be undone."""
        if self._held is None:
            self._held = Held()

    def let_go(self) -> None:
        """Forget what was held. A disk that was closed meanwhile gives the file back."""
        self._held = None
        if self._closed:
            self.close()

    def capture_state(self) -> tuple[bool, Held | None]:
        """Whether it is closed, and what it holds: not changed any more, but copied, by the next write."""
        self._shared = True
        return self._closed, self._held

    def restore_state(self, captured: tuple[bool, Held | None]) -> None:
        """Be what `capture_state` gave, since `hold`."""
        self._closed, self._held = captured
        self._shared = True

    def read_sectors(self, sector: int, count: int) -> bytes:
        """`count` sectors from `sector` on. Raises OSError outside the image and when the host cannot read."""
        self._check(sector, count)
        data = self._read_file(sector, count)
        held = self._held
        if not held:
            return data
        return b"".join(held.get(sector + i) or data[i * SECTOR : (i + 1) * SECTOR] for i in range(count))

    def _read_file(self, sector: int, count: int) -> bytes:
        try:
            self._file.seek(sector * SECTOR)
            parts: list[bytes] = []
            wanted = count * SECTOR
            while wanted:
                part = self._file.read(wanted)
                if not part:
                    raise OSError(errno.EIO, "the file became shorter")
                parts.append(part)
                wanted -= len(part)
        except OSError as error:
            raise self._failed("read", sector, error) from None
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def write_sectors(self, sector: int, data: bytes) -> None:
        """Write whole sectors. Raises OSError outside the image, on a read-only one and when the host cannot write."""
        count, rest = divmod(len(data), SECTOR)
        self._check(sector, count)
        if rest:
            raise OSError(errno.EINVAL, f"{len(data)} bytes are not whole sectors")
        if not self.writable:
            raise OSError(errno.EROFS, "the disk image is read-only")
        if not data:
            return
        if self._held is not None:
            if self._shared:
                self._held, self._shared = Held(self._held), False
            self._held.own += len(data)
            self._held.update((sector + i, bytes(data[i * SECTOR : (i + 1) * SECTOR])) for i in range(count))
            return
        self._dirty = True
        try:
            self._file.seek(sector * SECTOR)
            left = memoryview(data)
            while left:
                written = self._file.write(left)
                if not written:
                    raise OSError(errno.EIO, "the host wrote nothing")
                left = left[written:]
        except OSError as error:
            raise self._failed("write", sector, error) from None

    def flush(self) -> None:
        """Make what was written so far survive the host's power. Raises OSError when the host cannot."""
        if self._dirty and not self.closed:
            os.fsync(self._file.fileno())
            self._dirty = False

    def close(self) -> None:
        """Give the file back (what is held in memory: with `let_go`); the host keeps what was written. May be called twice."""
        self._closed = True
        if self._held is None:
            self._file.close()
            _open_disks.discard(self)

    def __enter__(self) -> DiskImage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, sector: int, count: int) -> None:
        if self.closed:
            raise OSError(errno.EBADF, "the disk image was closed")
        if sector < 0 or count < 0 or sector + count > self.sectors:
            raise OSError(errno.EINVAL, f"sectors {sector} to {sector + count} are not all on a disk of {self.sectors}")

    def _failed(self, what: str, sector: int, error: OSError) -> OSError:
        # the guest can repeat this as often as it likes: tell the user once
        if not self._told:
            self._told = True
            log.warning("disk image %s: cannot %s at sector %d: %s", self.path, what, sector, error.strerror or error)
        return error


def _open(path: str, label: str, writable: bool) -> FileIO:
    """Open a regular file without a buffer; DeviceError for what is none, or is read-only and should not be."""
    mode = os.stat(path).st_mode
    if stat.S_ISDIR(mode):
        raise DeviceError(f"disk image {label}: is a directory: name a file in it")
    if not stat.S_ISREG(mode):
        raise DeviceError(f"disk image {label}: is not a regular file: copy it into one")
    if not writable:
        return open(path, "rb", buffering=0)
    read_only = DeviceError(f"disk image {label}: is read-only: make it writable (chmod u+w) or give a copy (cp)")
    if not mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH):
        raise read_only  # said also to root, whom the host would let write
    try:
        return open(path, "r+b", buffering=0)
    except OSError as error:
        if error.errno in _READ_ONLY_ERRNOS and os.access(path, os.R_OK):
            raise read_only from None
        raise
