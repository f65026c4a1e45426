"""The house keeps its floors: what may import what, read from the table in docs/architecture.md and checked over the AST."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "rvhv"
FILES = sorted(PACKAGE.rglob("*.py"))

# Not rooms but doors: the API's front door hands out names of the floors below, and `python -m rvhv` is the command.
DOORS = {"rvhv/__init__.py": (7, 99), "rvhv/__main__.py": (99, 0)}

NUMBA_ALLOWED = {"rvhv/cpu/njit.py", "rvhv/build.py"}
PRINT_ALLOWED = ("rvhv/cli/", "rvhv/shell/", "rvhv/grade/")
POSIX_FILE, WINDOWS_FILE = "platform_posix.py", "platform_windows.py"
POSIX_MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
WINDOWS_MODULES = {"msvcrt", "winreg", "winsound", "_winapi"}
PORTABLE_SIGNAL = {"SIGINT", "SIG_DFL", "SIG_IGN", "default_int_handler", "signal", "getsignal", "raise_signal"}
POSIX_OS = {
    "chown", "chroot", "ctermid", "fchmod", "fchown", "fork", "forkpty", "getegid", "geteuid", "getgid", "getgroups", "getpgid",
    "getpgrp", "getpriority", "getuid", "initgroups", "killpg", "lchown", "mkfifo", "mknod", "nice", "openpty", "posix_spawn",
    "pread", "preadv", "pwrite", "pwritev", "sched_getaffinity", "sched_setaffinity", "setgid", "setpgid", "setsid", "setuid",
    "statvfs", "sysconf", "tcgetpgrp", "tcsetpgrp", "uname", "wait3", "wait4", "waitid",
}  # fmt: skip
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}


def floors() -> dict[str, tuple[int, int]]:
    """Room -> (floor, place on the floor from the left), as the architecture's table has them."""
    rooms: dict[str, tuple[int, int]] = {}
    for line in (ROOT / "docs/architecture.md").read_text("utf-8").splitlines():
        row = re.match(r"\| F(\d+) \|([^|]*)\|", line)
        if row:
            for place, room in enumerate(re.findall(r"`(rvhv/[^`]+)`", row[2])):
                rooms[room] = (int(row[1]), place)
    return rooms


FLOORS = floors()


def room(path: str) -> str | None:
    """The room of a file: the longest entry of the table that is the file or a folder above it."""
    homes = [r for r in FLOORS if path == r or (r.endswith("/") and path.startswith(r))]
    return max(homes, key=len, default=None)


def position(path: str) -> tuple[int, int] | None:
    home = room(path)
    return DOORS.get(path) or (FLOORS[home] if home else None)


def module_file(module: str) -> str | None:
    """The file of a module of rvhv, relative to the project; None when it has none."""
    base = module.replace(".", "/")
    for candidate in (f"{base}/__init__.py", f"{base}.py"):
        if (ROOT / candidate).is_file():
            return candidate
    return f"{base}/" if (ROOT / base).is_dir() else None


def imports(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    """(line, module) for every import, wherever it stands; `from rvhv.a import b` is rvhv.a.b where that is a module."""
    package = path.removesuffix("/__init__.py").removesuffix(".py").split("/")
    if not path.endswith("/__init__.py"):
        package = package[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield node.lineno, inner if inner.startswith("rvhv.") and module_file(inner) else module
        elif (
            isinstance(node, ast.Call)
            and getattr(node.func, "attr", getattr(node.func, "id", None)) == "import_module"
            and node.args
            and isinstance(node.args[0], ast.Constant)
        ):
            yield node.lineno, str(node.args[0].value)


def relative(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def complaints(source: str, path: str) -> list[str]:
    """What is wrong with a file, one line each."""
    tree = ast.parse(source, path)
    found = [*_upward(tree, path), *_foreign(tree, path)]
    return [f"{path}:{line}: {what}" for line, what in sorted(set(found))]


def _upward(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    here = position(path)
    if here is None:
        yield 1, "has no room: add it to the table of floors in docs/architecture.md"
        return
    for line, module in imports(tree, path):
        if module != "rvhv" and not module.startswith("rvhv."):
            continue
        target = module_file(module)
        there = position(target) if target else None
        if target is None:
            yield line, f"imports {module}, which is not there"
        elif there is None:
            yield line, f"imports {module}, which has no room in docs/architecture.md"
        elif there > here:
            yield line, f"imports {module}, upwards: F{there[0]} from F{here[0]} (in a row of the table: from left to right)"


def _foreign(tree: ast.AST, path: str) -> Iterator[tuple[int, str]]:
    name = path.rsplit("/", 1)[-1]
    for line, module in imports(tree, path):
        top = module.split(".")[0]
        if top == "numba" and path not in NUMBA_ALLOWED:
            yield line, f"imports numba; only {' and '.join(sorted(NUMBA_ALLOWED))} may"
        if top in POSIX_MODULES and name != POSIX_FILE:
            yield line, f"imports {top}, which only POSIX has: it belongs into a {POSIX_FILE} with a {WINDOWS_FILE} beside it"
        if top in WINDOWS_MODULES and name != WINDOWS_FILE:
            yield line, f"imports {top}, which only Windows has: it belongs into a {WINDOWS_FILE}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and name != POSIX_FILE:
            if node.value.id == "signal" and node.attr.startswith(("SIG", "set", "pthread", "sig")):
                if node.attr not in PORTABLE_SIGNAL:
                    yield node.lineno, f"uses signal.{node.attr}: beyond SIGINT it belongs into a {POSIX_FILE}"
            if node.value.id == "os" and node.attr in POSIX_OS:
                yield node.lineno, f"uses os.{node.attr}, which only POSIX has: it belongs into a {POSIX_FILE}"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            if not path.startswith(PRINT_ALLOWED):
                yield node.lineno, "prints; only cli, shell and grade do (elsewhere: logging)"


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_file_keeps_to_its_floor(file: Path) -> None:
    assert not complaints(file.read_text("utf-8"), relative(file))


def test_table_of_floors_is_read() -> None:
    assert FLOORS["rvhv/errors.py"][0] == FLOORS["rvhv/isa/"][0] == 0
    assert FLOORS["rvhv/cli/"][0] == 9
    assert room("rvhv/isa/render/numba_src.py") == "rvhv/isa/render/"


def test_every_room_in_the_table_is_there() -> None:
    assert [r for r in FLOORS if not (ROOT / r).exists()] == []


@pytest.mark.parametrize("file", [f for f in FILES if f.name == POSIX_FILE], ids=relative)
def test_posix_module_has_a_windows_twin(file: Path) -> None:
    twin = file.with_name(WINDOWS_FILE)
    assert twin.is_file()
    assert public_names(file) == public_names(twin)


def public_names(file: Path) -> set[str]:
    body = ast.parse(file.read_text("utf-8")).body
    return {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef) and not n.name.startswith("_")}


def test_names_say_what_is_inside() -> None:
    folders = [ROOT / top for top in ("rvhv", "tests", "guests", "bench", "labs")]
    named = [p for folder in folders if folder.is_dir() for p in folder.rglob("*") if p.stem.lower() in NAMELESS]
    assert [relative(p) for p in named if "build" not in p.parts] == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("rvhv/cpu/x.py", "def f():\n    from rvhv.cli import main", "upwards"),
        ("rvhv/cpu/x.py", "from rvhv import Hypervisor", "upwards"),
        ("rvhv/cpu/x.py", "from ..cli.main import entry", "upwards"),
        ("rvhv/machine/x.py", "import rvhv.virtio", "upwards"),
        ("rvhv/nowhere.py", "", "no room"),
        ("rvhv/cpu/x.py", "import numba.core", "imports numba"),
        ("rvhv/cli/x.py", "import termios", "only POSIX"),
        ("rvhv/cli/x.py", "import signal\nsignal.signal(signal.SIGTERM, f)", "beyond SIGINT"),
        ("rvhv/cli/x.py", "import os\nos.fork()", "only POSIX"),
        ("rvhv/hv/x.py", "print(1)", "prints"),
    ],
)
def test_the_check_finds(path: str, source: str, complaint: str) -> None:
    assert any(complaint in line for line in complaints(source, path))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rvhv/cli/x.py", "from rvhv import Hypervisor\nprint(1)"),
        ("rvhv/cli/x.py", "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)"),
        ("rvhv/virtio/x.py", "from rvhv.machine import bus"),
        ("rvhv/cpu/njit.py", "import numba"),
        ("rvhv/cli/platform_posix.py", "import termios"),
    ],
)
def test_the_check_allows(path: str, source: str) -> None:
    assert complaints(source, path) == []
