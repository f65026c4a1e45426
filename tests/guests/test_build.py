"""The built-in guest images: what they are, and that the sources in guests/ build them."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from rvhv.errors import ConfigError
from rvhv.images import BENCHMARKS, BROKEN, GUESTS, PROGRAMS, image_path

ROOT = Path(__file__).resolve().parents[2]
BUILT_IN = {"guests": [*GUESTS, *BROKEN, *PROGRAMS], "bench": [*BENCHMARKS]}  # folder of the sources -> images
RAM_BASE = 0x8000_0000
LINK_BASE = 0x8020_0000
MIB = 1 << 20
HOST_PATHS = re.compile(rb"/(tmp|home|root|work|usr|var|build|Users)\b")

guests = pytest.mark.parametrize("name", [*GUESTS, *BROKEN])


@guests
def test_is_a_riscv_executable_in_ram(name: str) -> None:
    with image_path(name).open("rb") as file:
        elf = ELFFile(file)
        assert elf.elfclass == 64 and elf.little_endian
        assert elf["e_machine"] == "EM_RISCV" and elf["e_type"] == "ET_EXEC"
        assert elf["e_entry"] == LINK_BASE
        loads = [s for s in elf.iter_segments() if s["p_type"] == "PT_LOAD" and s["p_memsz"]]
        end = LINK_BASE
        for load in loads:
            assert load["p_paddr"] == load["p_vaddr"] >= end, "segments in order, none overlaps"
            end = load["p_vaddr"] + load["p_memsz"]
            assert load["p_flags"] & 3 != 3, "no segment is both writable and executable"
        assert loads and end <= RAM_BASE + 4 * MIB, "fits the smallest sensible VM"


@pytest.mark.parametrize("name", [name for names in BUILT_IN.values() for name in names])
def test_names_no_path_of_a_host(name: str) -> None:
    assert not HOST_PATHS.search(image_path(name).read_bytes())


@guests
def test_has_symbols_but_no_compiler_temporaries(name: str) -> None:
    with image_path(name).open("rb") as file:
        symtab = ELFFile(file).get_section_by_name(".symtab")
        names = {symbol.name for symbol in symtab.iter_symbols()}
    assert {"_start", "guest_main", "trap_entry"} <= names
    assert not [n for n in names if n.startswith(".L")]


def test_every_image_is_listed() -> None:
    assert {p.stem for p in image_path("hello").parent.glob("*.elf")} == {name for names in BUILT_IN.values() for name in names}


def test_unknown_guest_suggests_the_near_one() -> None:
    with pytest.raises(ConfigError, match="did you mean hello"):
        image_path("helo")


def have_pinned_compiler() -> bool:
    return bool(importlib.util.find_spec("ziglang")) and bool(shutil.which("make"))


@pytest.mark.rebuild
@pytest.mark.skipif(not have_pinned_compiler(), reason="needs make and guests/requirements.txt")
@pytest.mark.parametrize("folder", BUILT_IN)
def test_sources_build_the_same_bytes_in_any_folder(tmp_path: Path, folder: str) -> None:
    for name in BUILT_IN:  # one uses the other's rules
        shutil.copytree(ROOT / name, tmp_path / "elsewhere" / name, ignore=shutil.ignore_patterns("build"))
    copy = tmp_path / "elsewhere" / folder
    env = {key: value for key, value in os.environ.items() if key not in ("CC", "MAKEFLAGS", "MFLAGS")}
    command = ["make", "-C", str(copy), f"PYTHON={sys.executable}", f"IMAGES={tmp_path}/images"]
    result = subprocess.run(command, env=env, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    for name in BUILT_IN[folder]:
        assert (tmp_path / "images" / f"{name}.elf").read_bytes() == image_path(name).read_bytes(), name
