"""Disk images: opened by one writer, written by its writes only, and never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rvhv.errors import DeviceError
from rvhv.machine.disk import SECTOR, DiskImage
from rvhv.virtio.block import Block, Request, Status
from tests.devices.virtio_driver import RAM_BASE, Guest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "disk.raw"
    path.write_bytes(b"".join(bytes([n]) * SECTOR for n in range(8)))
    return path


def refusal(path: Path | str, *, writable: bool = True) -> str:
    with pytest.raises(DeviceError) as caught:
        DiskImage(path, writable=writable)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_read_write_and_nothing_else(path: Path) -> None:
    os.utime(path, ns=(10**18, 10**18))
    with DiskImage(path) as disk:
        assert (disk.sectors, disk.writable) == (8, True)
        assert disk.read_sectors(2, 2) == b"\2" * SECTOR + b"\3" * SECTOR
        assert disk.read_sectors(8, 0) == b""
        disk.write_sectors(8, b"")
        disk.flush()
    assert path.stat().st_mtime_ns == 10**18 and path.stat().st_size == 8 * SECTOR
    with DiskImage(path) as disk:
        disk.write_sectors(7, b"\xff" * SECTOR)
        assert disk.read_sectors(6, 2) == b"\6" * SECTOR + b"\xff" * SECTOR
        disk.flush()
    assert path.stat().st_mtime_ns != 10**18
    assert path.read_bytes()[6 * SECTOR :] == b"\6" * SECTOR + b"\xff" * SECTOR


def test_close_twice_then_nothing_works(path: Path) -> None:
    disk = DiskImage(path)
    disk.close()
    disk.close()
    assert disk.closed
    with pytest.raises(OSError):
        disk.read_sectors(0, 1)
    disk.flush()


@pytest.mark.parametrize(("sector", "count"), [(8, 1), (0, 9), (-1, 1), (2**63, 1), (7, 2)])
def test_bounds(path: Path, sector: int, count: int) -> None:
    with DiskImage(path) as disk:
        with pytest.raises(OSError):
            disk.read_sectors(sector, count)
        with pytest.raises(OSError):
            disk.write_sectors(sector, bytes(SECTOR * count))
    assert path.stat().st_size == 8 * SECTOR


def test_parts_of_sectors_are_not_written(path: Path) -> None:
    with DiskImage(path) as disk, pytest.raises(OSError):
        disk.write_sectors(0, b"x" * (SECTOR + 1))
    assert path.read_bytes()[:SECTOR] == bytes(SECTOR)


def test_an_empty_image(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with DiskImage(tmp_path / "empty") as disk:
        assert disk.sectors == 0 and disk.read_sectors(0, 0) == b""


def test_bad_paths(tmp_path: Path, path: Path) -> None:
    assert "there is no such file" in refusal(tmp_path / "missing")
    assert "there is no such file" in refusal(tmp_path / "two\nlines")
    assert "is a directory" in refusal(tmp_path)
    assert "cannot be opened" in refusal("a\0b")
    assert "cannot be opened" in refusal(path / "below")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe", writable=False)


@pytest.mark.parametrize(("size", "padded"), [(1, 512), (511, 512), (513, 1024), (8 * SECTOR + 1, 9 * SECTOR)])
def test_odd_sizes(tmp_path: Path, size: int, padded: int) -> None:
    odd = tmp_path / "odd"
    odd.write_bytes(bytes(size))
    message = refusal(odd)
    assert f"{size} bytes are not a multiple of 512" in message and str(padded) in message
    odd.write_bytes(bytes(padded))
    DiskImage(odd).close()  # the refusal left no lock behind


def test_a_read_only_file(path: Path) -> None:
    path.chmod(0o444)
    message = refusal(path)
    assert "is read-only" in message and "chmod" in message and "copy" in message
    with DiskImage(path, writable=False) as disk:
        assert disk.read_sectors(1, 1) == b"\1" * SECTOR
        with pytest.raises(OSError):
            disk.write_sectors(1, bytes(SECTOR))


def test_one_writer_in_a_process(path: Path, tmp_path: Path) -> None:
    (tmp_path / "symbolic").symlink_to(path)
    os.link(path, tmp_path / "hard")
    with DiskImage(path):
        for other in (path, tmp_path / "symbolic", tmp_path / "hard"):
            assert "in use by another VM" in refusal(other)
            assert "in use by another VM" in refusal(other, writable=False)
    with DiskImage(tmp_path / "hard"):
        pass


def test_readers_share_and_keep_writers_out(path: Path) -> None:
    with DiskImage(path, writable=False), DiskImage(path, writable=False):
        assert "in use by another VM" in refusal(path)


def test_a_disk_that_was_forgotten_does_not_hold_the_file(path: Path) -> None:
    with pytest.warns(ResourceWarning):
        DiskImage(path)
    DiskImage(path).close()


HOLD = """
import sys
from rvhv.machine.disk import DiskImage
disk = DiskImage(sys.argv[1], writable=sys.argv[2] == "rw")
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("mode", ["rw", "ro"])
def test_one_writer_among_processes(path: Path, mode: str, root: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(path), mode]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "open\n"
        assert "in use by another process" in refusal(path)
        if mode == "rw":
            assert "in use by another process" in refusal(path, writable=False)
        elif sys.platform != "win32":
            DiskImage(path, writable=False).close()
        other.communicate()
    DiskImage(path).close()


def test_a_file_system_without_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_locks(fd: int, *, exclusive: bool) -> bool:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("rvhv.machine.disk.lock_file", no_locks)
    with DiskImage(path):
        assert "in use by another VM" in refusal(path)
    assert "No locks available" in caplog.text


def request(guest: Guest, kind: int) -> int:
    header, status, data = RAM_BASE + 0x8000, RAM_BASE + 0x8100, RAM_BASE + 0x9000
    guest.memory.write(header, kind.to_bytes(16, "little"))
    guest.memory.write(status, b"\xee")
    guest.queues[0].add((header, 16, False), (data, SECTOR, kind == Request.IN), (status, 1, True))
    guest.notify(0)
    assert guest.broken == []
    return guest.memory.read(status, 1)[0]


def test_a_full_disk_is_an_io_error_and_said_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Full:
        """A file whose disk is full."""

        closed = False

        def seek(self, at: int) -> None: ...

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with DiskImage(path) as disk:
        guest = Guest(Block(disk))
        guest.start()
        file = disk._file
        disk._file = Full()  # type: ignore[assignment]
        assert [request(guest, Request.OUT) for _ in range(3)] == [Status.IOERR] * 3
        disk._file = file
        assert request(guest, Request.OUT) == Status.OK
    assert caplog.text.count("No space left on device") == 1


def test_writes_in_pieces(path: Path) -> None:
    class Slow:
        """A file that writes one byte at a time, as a host may."""

        closed = False
        data = b""

        def seek(self, at: int) -> None: ...

        def write(self, data: memoryview) -> int:
            self.data += bytes(data[:1])
            return 1

    with DiskImage(path) as disk:
        file, slow = disk._file, Slow()
        disk._file = slow  # type: ignore[assignment]
        disk.write_sectors(0, bytes(range(256)) * 2)
        disk._file = file
    assert slow.data == bytes(range(256)) * 2


def test_a_file_that_became_shorter_is_an_io_error(path: Path) -> None:
    with DiskImage(path) as disk:
        guest = Guest(Block(disk))
        guest.start()
        os.truncate(path, 100)
        assert request(guest, Request.IN) == Status.IOERR
        assert request(guest, Request.FLUSH) == Status.OK
