"""Bad input: one clear line on stderr, exit code 2, nothing on stdout, nothing written."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.images import image_path


def elf(
    *, bits: int = 64, machine: int = 243, segments: tuple[tuple[int, int], ...] = ((0x80200000, 16),), code: bytes = bytes(16)
) -> bytes:
    """A small executable; `segments` are (address, size in memory), and each begins with `code`."""
    ident = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1, 1]) + bytes(9)
    count = len(segments)
    header = ident + struct.pack("<HHIQQQIHHHHHH", 2, machine, 1, segments[0][0], 64, 0, 0, 64, 56, count, 0, 0, 0)
    offset = 64 + 56 * count
    headers = b"".join(
        struct.pack("<IIQQQQQQ", 1, 5, offset + i * len(code), a, a, len(code), size, 8) for i, (a, size) in enumerate(segments)
    )
    return header + headers + code * count


def write(name: str, data: bytes) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / name
        path.write_bytes(data)
        return str(path)

    return make


def disk(size: int, mode: int = 0o644) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        path = folder / "disk.raw"
        path.write_bytes(bytes(size))
        path.chmod(mode)
        return str(path)

    return make


HELLO = image_path("hello").read_bytes()
FLIPPED = HELLO[:5] + b"\x02" + HELLO[6:]

IMAGES = {
    "missing": (lambda folder: str(folder / "none.elf"), "there is no such file"),
    "folder": (lambda folder: str(folder), "directory"),
    "empty": (write("k.elf", b""), "empty"),
    "not an ELF": (write("k.elf", b"#!/bin/sh\n" * 100), "not an ELF"),
    "32-bit": (write("k.elf", elf(bits=32)), "32-bit"),
    "other machine": (write("k.elf", elf(machine=62)), "x86_64"),
    "big-endian": (write("k.elf", FLIPPED), "big-endian"),
    "truncated": (write("k.elf", HELLO[:5000]), "truncated"),
    "cut in the header": (write("k.elf", HELLO[:40]), "truncated"),
    "overlap": (write("k.elf", elf(segments=((0x80200000, 4096), (0x80200800, 4096)))), "overlap"),
    "below memory": (write("k.elf", elf(segments=((0x1000, 4096),))), "below the VM's memory"),
    "beyond memory": (write("k.elf", elf(segments=((0x80200000, 1 << 40),))), "outside the VM's memory"),
    "a device node": (lambda _: os.devnull, "not a regular file"),
    "unknown name": (lambda _: "taks", "did you mean 'tasks'?"),
    "unknown name, nothing near": (lambda _: "zzzz", "hello"),
}

OPTIONS = {
    "size is no number": (["--memory", "lots"], "--memory: 'lots' is not a size"),
    "size is zero": (["--memory", "0"], "--memory"),
    "size is negative": (["--memory", "-32M"], "--memory"),
    "size is tiny": (["--memory", "4K"], "too small"),
    "size is odd": (["--memory", "33000001"], "4 KiB pages"),
    "size is absurd": (["--memory", "9999999T"], "--memory"),
    "size is more than the machine's": (["--memory", "64M", "--host-memory", "32M"], "machine"),
    "size for nobody": (["--memory", "hallo=1M"], "did you mean 'hello'?"),
    "host memory is no size": (["--host-memory", "much"], "--host-memory: 'much' is not a size"),
    "slice": (["--slice", "0"], "--slice"),
    "clock": (["--clock", "moon"], "--clock"),
    "disk for nobody": (["--disk", "disk=x.raw"], "no VM is called 'disk'"),
    "disk without a name": (["--disk", "hello="], "file name is missing"),
    "disk is missing": (["--disk", "/nowhere/x.raw"], "no such file"),
}

DISKS = {
    "odd size": (disk(1000), "not a multiple of 512"),
    "read-only": (disk(1024, 0o444), "read-only"),
    "folder": (lambda folder: str(folder), "directory"),
}


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in folder.rglob("*") if p.is_file()}


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that refuses a command line which writes nothing."""
    before = snapshot(folder)
    code = main(["run", *argv])
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    assert err.startswith("rvhv: error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert snapshot(folder) == before
    return err


@pytest.mark.parametrize("case", IMAGES)
def test_images(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, complaint = IMAGES[case]
    assert complaint in refused(tmp_path, capsys, make(tmp_path))


@pytest.mark.parametrize("case", OPTIONS)
def test_options(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, complaint = OPTIONS[case]
    assert complaint in refused(tmp_path, capsys, "hello", *options)


@pytest.mark.parametrize("case", DISKS)
def test_disks(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, complaint = DISKS[case]
    assert complaint in refused(tmp_path, capsys, "disk", "--disk", make(tmp_path))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_unreadable_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "k.elf"
    path.write_bytes(HELLO)
    path.chmod(0)
    assert main(["run", str(path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("link", [False, True])
def test_one_disk_for_two_vms(link: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = Path(disk(1024)(tmp_path))
    other = tmp_path / "other.raw"
    if link:
        other.symlink_to(path)
    second = other if link else path
    argv = ["disk", "disk", "--disk", f"disk={path}", "--disk", f"disk-2={second}"]
    assert "another VM" in refused(tmp_path, capsys, *argv)


def test_a_bare_disk_goes_to_all_and_that_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "another VM" in refused(tmp_path, capsys, "disk", "hello", "--disk", disk(1024)(tmp_path))


def test_hostile_file_name_stays_on_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(tmp_path, capsys, str(tmp_path / "a\nb\x1b[2J.elf"))
    assert "\x1b" not in err


def test_traceback_shows_where(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "taks", "--traceback"]) == 2
    err = capsys.readouterr().err
    assert "Traceback" in err and err.splitlines()[-1].startswith("rvhv: error: ")
