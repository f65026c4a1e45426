"""Compiles a part in C. What the compiler reads is what is here: the sources include nothing but headers that the lab gives."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from rvhv.errors import ConfigError, ImageError
from rvhv.grade.cell import PartFailed, printable
from rvhv.machine.image import Image, load_image

if sys.platform == "win32":
    from rvhv.platform_windows import limit_child
else:
    from rvhv.platform_posix import limit_child

HERE = Path(__file__).parent / "bare"
STANDARD_HEADERS = ("stdbool.h", "stddef.h", "stdint.h")
# what would read other files, or hide that it does
FORBIDDEN = re.compile(r"\?\?|%:|##|embed|import|pragma|_Pragma|__has_|\basm\b|__asm|__FILE|__BASE_|__TIME|__DATE|incbin")
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*(?:\"([\w.]+)\"|<([\w.]+)>)[ \t]*$", re.MULTILINE)
COMMON = ["-std=c11", "-O1", "-g0", "-Wall", "-ffreestanding", "-fno-builtin", "-fno-common", "-fno-pic", "-fno-stack-protector",
          "-fno-asynchronous-unwind-tables", "-mabi=lp64", "-mcmodel=medany"]  # fmt: skip
CPU_SECONDS, MEMORY, FILE = 60, 8 << 30, 64 << 20  # of a compiler that was made to loop, or to write without end
PATIENCE = 600  # seconds, where there are no such limits
SHOWN_LINES = 6


@cache
def compiler() -> tuple[list[str], list[str]]:
    """The commands that compile and link. RVHV_CC names another compiler than ziglang's or GCC; RVHV_TOOLCHAIN a Python that has
    ziglang, as for the guests. Raises ConfigError."""
    chosen = os.environ.get("RVHV_CC")
    python = os.environ.get("RVHV_TOOLCHAIN") or (sys.executable if find_spec("ziglang") is not None else None)
    if chosen is None and python is not None:
        zig = [python, "-m", "ziglang"]
        target = ["-target", "riscv64-freestanding-none", "-mcpu=generic_rv64+m+a+c+zicsr+zifencei"]
        return [*zig, "cc", *target], [*zig, "ld.lld", "-m", "elf64lriscv"]
    command = shlex.split(chosen) if chosen is not None else ["riscv64-unknown-elf-gcc"]
    if not command or shutil.which(command[0]) is None:
        raise ConfigError("there is no C compiler for RISC-V: pip install ziglang, or have RVHV_CC name one")
    command += ["-march=rv64imac_zicsr_zifencei"]
    return command, [*command, "-mabi=lp64", "-nostdlib", "-static", "-Wl,--build-id=none"]


def check_source(name: str, text: str, headers: set[str]) -> None:
    """Raises PartFailed for a source that reads more than it should."""
    text = re.sub(r"\\[ \t\v\f\r]*\n", "", text)
    rest = INCLUDE.sub(lambda found: "" if (found[1] or found[2]) in headers else found[0], text)
    if "include" in rest:  # in a comment too: nobody has to understand what a comment is
        line = next(line for line in rest.splitlines() if "include" in line)
        allowed = ", ".join(sorted(headers))
        raise PartFailed(f"{name}: {printable(line.strip())[:60]!r}: a part may include {allowed} and nothing else")
    if (found := FORBIDDEN.search(rest)) is not None:
        raise PartFailed(f"{name}: a part may not use {printable(found[0])}")


def build(files: dict[str, str], include: list[Path], *, trusted: bool = False) -> Image:
    """The linked program. `include`: folders of headers that the lab gives; `trusted`: it may include and use what it wants.

    Raises PartFailed, ConfigError."""
    sources = {name: text for name, text in files.items() if name.endswith(".c")}
    given = {path.name for folder in include for path in folder.glob("*.h")}
    own = {name: text for name, text in files.items() if name.endswith(".h") and name not in given}
    for name, text in ({} if trusted else {**sources, **own}).items():
        check_source(name, text, {*STANDARD_HEADERS, *given, *own})
    cc, link = compiler()
    with tempfile.TemporaryDirectory(prefix="rvhv-part-") as folder:
        here = Path(folder)
        environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(here / "zig"), "LC_ALL": "C"}
        for name, text in {**sources, **own}.items():
            (here / name).write_text(text, "utf-8")
        (here / "rvhv_bare.c").write_bytes((HERE / "bare.c").read_bytes())
        objects = []
        for name in [*sources, "rvhv_bare.c"]:
            objects.append(f"{name}.o")
            _run([*cc, *COMMON, *(f"-I{path}" for path in include), "-c", name, "-o", objects[-1]], here, environment)
        _run([*link, "-T", str(HERE / "bare.ld"), "-o", "part.elf", *objects], here, environment)
        try:
            return load_image(here / "part.elf", "the part")
        except ImageError as error:
            raise PartFailed(f"it cannot be loaded: {error}") from None


def _run(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, timeout=PATIENCE, stdin=subprocess.DEVNULL,
            preexec_fn=limit_child(CPU_SECONDS, MEMORY, FILE),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise PartFailed("the compiler did not come to an end with it") from None
    if done.returncode:
        said = printable(done.stderr.decode("utf-8", "replace")).replace(str(folder), ".").splitlines()
        lines = [line for line in said if "error" in line or "undefined" in line] or said
        raise PartFailed("it does not compile", tuple(lines[:SHOWN_LINES]))
