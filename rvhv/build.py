"""The compiled machine: built by numba once, kept as one object file, loaded by llvmlite alone.

numba takes half a second to import and ten to compile; the object file that comes out is loaded in milliseconds
without it. The file's name is a hash of everything it was made from (sources, versions, the host's CPU), so that it
is never stale; it is written to a temporary name and renamed, and a lock makes processes that start cold together
compile once. A damaged file is built anew.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import math
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from rvhv.core.blob import MAGIC, Blob
from rvhv.cpu.context import ASSIST_DOOR, CONTEXT_LENGTH, DOOR, Context
from rvhv.cpu.state import SLOT
from rvhv.errors import InternalError

if TYPE_CHECKING:
    from rvhv.core.memory import Buffer

if sys.platform == "win32":
    from rvhv.platform_windows import lock_file
else:
    from rvhv.platform_posix import lock_file

log = logging.getLogger(__name__)

Progress = Callable[[str, float], None]


class Entry(Protocol):
    """The compiled machine over one hart's buffers: ops of `rvhv.core.ops.Op`, up to two arguments, one result."""

    def __call__(self, op: int, a: int = 0, b: int = 0) -> int: ...


PACKAGE = Path(__file__).parent
SOURCES = ("isa", "cpu", "hext", "core")
PLAIN = PACKAGE / "hext" / "walks"  # but this: it looks at translations, and no compiled function uses it
CHECKED = os.environ.get("NUMBA_BOUNDSCHECK") == "1"  # then numba runs the functions itself and checks every index
EXPECTED_SECONDS = 26.0  # of compilation, for the progress bar only


def cache_folder() -> Path:
    """Where compiled machines are kept; RVHV_CACHE_DIR names another folder."""
    chosen = os.environ.get("RVHV_CACHE_DIR")
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("rvhv", appauthor=False)


@cache
def fingerprint() -> str:
    """Hash of everything that the compiled machine depends on."""
    import llvmlite
    import llvmlite.binding as llvm

    digest = hashlib.sha256(MAGIC)
    for part in (platform.machine(), sys.platform, llvmlite.__version__, _numba_version(), platform.python_version()):
        digest.update(part.encode() + b"\0")
    digest.update(llvm.get_host_cpu_name().encode() + llvm.get_host_cpu_features().flatten().encode())
    for room in SOURCES:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            if PLAIN in path.parents:
                continue
            digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()[:32]


def _numba_version() -> str:
    from importlib.metadata import version

    return version("numba")


def _file() -> Path:
    return cache_folder() / f"machine-{fingerprint()}.bin"


def is_cached() -> bool:
    """Whether `ensure` will be quick. A damaged file counts as absent."""
    return CHECKED or _native is not None or _read(_file()) is not None


def _read(path: Path) -> Blob | None:
    try:
        return Blob.unpack(path.read_bytes())
    except OSError:
        return None


def _write(path: Path, blob: Blob) -> None:
    """Atomically: readers see the old file, no file, or the whole new one."""
    fd, name = tempfile.mkstemp(prefix=path.stem, suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(blob.pack())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def module_command(module: str, *arguments: str) -> tuple[list[str], dict[str, str]]:
    """Command and environment that run a module of this package, and of no other that is in the current folder (`-P`)."""
    path = os.pathsep.join([str(PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    return [sys.executable, "-P", "-m", module, *arguments], os.environ | {"PYTHONPATH": path}


def compile_machine() -> Blob:
    """Compile everything with numba, in a process of its own: numba never enters this one, and its progress can be shown.

    Takes seconds. Raises InternalError when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="rvhv-") as folder:
        out = Path(folder) / "machine.bin"
        command, environment = module_command("rvhv.core.compile", str(out))
        environment["NUMBA_OPT"] = "0"
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        blob = _read(out)
        if blob is None:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
            log.debug("%s", done.stderr)
            raise InternalError(f"the machine could not be compiled: {last[0]}")
        return blob


class _Ticker:
    """Calls `progress` while a compilation, which cannot say how far it is, goes on in this thread."""

    def __init__(self, progress: Progress | None, text: str) -> None:
        self._progress, self._text = progress, text
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def _tick(self) -> None:
        assert self._progress is not None
        start = time.monotonic()
        while not self._done.wait(0.1):
            self._progress(self._text, 1 - math.exp(-2 * (time.monotonic() - start) / EXPECTED_SECONDS))

    def __enter__(self) -> None:
        if self._progress:
            self._progress(self._text, 0.0)
            self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._progress:
            self._thread.join()
            self._progress(self._text, 1.0)


def _obtain(progress: Progress | None) -> Blob:
    """The compiled machine from the cache, or built and put there; once among processes that start together."""
    path = _file()
    blob = _read(path)
    if blob is not None:
        return blob
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.with_suffix(".lock"), "a+b")
    except OSError as error:
        log.warning("the cache folder %s cannot be written (%s): compiling for this run only", path.parent, error.strerror)
        with _Ticker(progress, "compiling the machine (the result cannot be kept)"):
            return compile_machine()
    with lock:
        with _Ticker(progress, "waiting for another rvhv that is compiling") if not _try(lock) else _nothing():
            while not _try(lock):
                time.sleep(0.05)
        blob = _read(path)
        if blob is None:
            with _Ticker(progress, "compiling the machine (the first time only)"):
                blob = compile_machine()
            try:
                _write(path, blob)
            except OSError as error:
                log.warning("%s cannot be written (%s): the next run will compile again", path, error.strerror)
    return blob


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


def _try(lock: Any) -> bool:
    try:
        return lock_file(lock.fileno(), exclusive=True)
    except OSError:
        return True  # a file system without locks: at worst two processes compile


class _Native:
    """The loaded object: its door, and the tables. Source: the MCJIT of llvmlite, which keeps it alive."""

    def __init__(self, blob: Blob) -> None:
        import llvmlite.binding as llvm

        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(blob.code))
        self._engine.finalize_object()
        address, self.assist = (self._engine.get_function_address(name) for name in (DOOR, ASSIST_DOOR))
        if not (address and self.assist):
            raise InternalError(f"the compiled machine lacks a symbol of {DOOR} and {ASSIST_DOOR}")
        self.tables = blob.tables
        self.function = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


_native: _Native | None = None


def ensure(progress: Progress | None = None) -> None:
    """Have the compiled machine loaded. `progress(text, fraction)` is called from another thread while it compiles."""
    global _native
    if not CHECKED and _native is None:
        _native = _Native(_obtain(progress))


def bind(state: Buffer, ram: Buffer, frames: Buffer, code: Buffer) -> Entry:
    """The compiled machine over these buffers: entry(op, a, b) with ops of `rvhv.core.ops.Op`."""
    if CHECKED:
        return _bind_checked(state, ram, frames, code)
    ensure()
    assert _native is not None
    native, function = _native, _native.function
    tables = ctypes.create_string_buffer(native.tables, len(native.tables))
    context = (ctypes.c_uint64 * CONTEXT_LENGTH)()
    for at, buffer in ((Context.STATE, state), (Context.RAM, ram), (Context.FRAMES, frames), (Context.CODE, code)):
        context[at], context[at + 1] = buffer.address, buffer.items
    context[Context.TABLES], context[Context.TABLES + 1] = ctypes.addressof(tables), len(native.tables) // 8
    addresses = {
        "context_address": ctypes.addressof(context),
        "state_address": state.address,
        "ram_address": ram.address,
        "code_address": code.address,
        "assist": native.assist,
    }
    for name, address in addresses.items():
        state.view[SLOT[name]] = address
    words: memoryview[int] = memoryview(context).cast("B").cast("Q")
    pointer = ctypes.c_void_p(ctypes.addressof(context))
    op_at, a_at, b_at, result_at = (int(word) for word in (Context.OP, Context.A, Context.B, Context.RESULT))

    def entry(op: int, a: int = 0, b: int = 0, _keep: object = (tables, context, native)) -> int:
        words[op_at] = op
        words[a_at] = a
        words[b_at] = b
        function(pointer)
        return words[result_at]

    return entry


@cache
def _checked_parts() -> tuple[Any, Any]:
    import numpy as np

    from rvhv.core.compile import build_entry

    entry, _, tables = build_entry()
    return entry, np.array(tables, np.uint64)


def _bind_checked(state: Buffer, ram: Buffer, frames: Buffer, code: Buffer) -> Entry:
    """The same by numba's dispatcher, whose bounds checks raise IndexError."""
    import numpy as np

    function, tables = _checked_parts()
    arrays = [np.frombuffer(b.view, t) for b, t in ((state, np.uint64), (ram, np.uint8), (frames, np.uint64), (code, np.uint64))]

    def entry(op: int, a: int = 0, b: int = 0) -> int:
        return int(function(*arrays, tables, np.uint64(op), np.uint64(a), np.uint64(b)))

    return entry
