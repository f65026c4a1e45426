"""Guest images: a good ELF is understood, and whatever else there is gets one clear line."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rvhv.errors import ImageError
from rvhv.machine.image import EHDR, PHDR, SYM, Segment, check_fits, load_image

BASE = 0x8020_0000
SHDR = struct.Struct("<IIQQQQIIQQ")
CODE, DATA = b"\x13\0\0\0" * 4, b"data"


@dataclass(frozen=True)
class Load:
    addr: int
    data: bytes
    memsz: int
    offset: int | None = None
    filesz: int | None = None
    vaddr: int | None = None
    kind: int = 1


@dataclass(frozen=True)
class Elf:
    """A small ELF file, every field of which can be changed."""

    loads: tuple[Load, ...] = (Load(BASE, CODE, 16), Load(BASE + 0x1000, DATA, 0x800))
    symbols: tuple[tuple[str, int, int, int], ...] = ()  # name, info, section, value
    entry: int = BASE
    ident: bytes = b"\x7fELF\2\1\1" + bytes(9)
    kind: int = 2
    machine: int = 243
    phentsize: int = PHDR.size
    phnum: int | None = None
    phoff: int = EHDR.size

    def build(self) -> bytes:
        body = bytearray()
        headers = b""
        begin = EHDR.size + PHDR.size * len(self.loads)
        for load in self.loads:
            offset = begin + len(body) if load.offset is None else load.offset
            filesz = len(load.data) if load.filesz is None else load.filesz
            vaddr = load.addr if load.vaddr is None else load.vaddr
            headers += PHDR.pack(load.kind, 7, offset, vaddr, load.addr, filesz, load.memsz, 0x1000)
            body += load.data
        strings, table = b"\0", bytes(SYM.size)
        for name, info, section, value in self.symbols:
            table += SYM.pack(len(strings), info, 0, section, value, 0)
            strings += name.encode() + b"\0"
        names = b"\0.symtab\0.strtab\0.shstrtab\0"
        at = begin + len(body)
        sections = bytes(SHDR.size)
        for name_offset, kind, link, data in ((1, 2, 2, table), (9, 3, 0, strings), (17, 3, 0, names)):
            sections += SHDR.pack(name_offset, kind, 0, 0, at, len(data), link, 0, 1, SYM.size if kind == 2 else 0)
            body += data
            at += len(data)
        phnum = len(self.loads) if self.phnum is None else self.phnum
        header = EHDR.pack(
            self.ident, self.kind, self.machine, 1, self.entry, self.phoff, at, 0, 64, self.phentsize, phnum, 64, 4, 3
        )
        return header + headers + bytes(body) + sections


GOOD = Elf().build()
GLOBAL, LOCAL, FUNC, SECTION, FILE = 0x10, 0x00, 2, 3, 4


def refusal(elf: bytes | Elf) -> str:
    with pytest.raises(ImageError) as caught:
        load_image(elf.build() if isinstance(elf, Elf) else elf, "guest")
    message = str(caught.value)
    assert message.startswith("guest: ") and "\n" not in message
    return message


def test_a_good_image() -> None:
    image = load_image(GOOD, "hello")
    assert (image.name, image.entry) == ("hello", BASE)
    assert image.segments == (Segment(BASE, CODE, 16), Segment(BASE + 0x1000, DATA, 0x800))
    assert image.symbols == {}


def test_segments_are_sorted_and_loaded_at_their_physical_address() -> None:
    loads = Load(BASE + 0x1000, DATA, 4), Load(BASE, CODE, 16, vaddr=0xFFFF_FFC0_0000_0000), Load(0, b"x", 1, kind=4)
    segments = load_image(Elf(loads).build()).segments
    assert [s.addr for s in segments] == [BASE, BASE + 0x1000]
    assert [s.vaddr for s in segments] == [0xFFFF_FFC0_0000_0000, BASE + 0x1000]


def test_a_made_segment_is_linked_where_it_is_loaded() -> None:
    assert Segment(BASE, CODE, 16).vaddr == BASE


def test_symbols() -> None:
    symbols = (
        ("_start", GLOBAL | FUNC, 1, BASE),
        ("here", LOCAL, 1, 1),
        ("here", LOCAL, 1, 2),
        ("here", GLOBAL, 1, 3),
        ("twice", LOCAL, 1, 4),
        ("twice", LOCAL, 1, 5),
        ("undefined", GLOBAL, 0, 6),
        ("$x", LOCAL, 1, 7),
        ("main.c", FILE, 0xFFF1, 8),
        (".text", SECTION, 1, 9),
        ("", LOCAL, 1, 10),
        ("limit", GLOBAL, 0xFFF1, 2**64 - 1),
    )
    image = load_image(Elf(symbols=symbols).build())
    assert image.symbols == {"_start": BASE, "here": 3, "twice": 4, "limit": 2**64 - 1}
    assert image.symbols is image.symbols  # read once


def test_a_damaged_symbol_table_is_found_when_it_is_asked_for() -> None:
    elf = bytearray(Elf(symbols=(("a", GLOBAL, 1, 1),)).build())
    (shoff,) = struct.unpack_from("<Q", elf, 40)
    symtab, strtab = shoff + SHDR.size, shoff + 2 * SHDR.size
    offset, size, link, entsize = 24, 32, 40, 56  # fields of a section header
    for patch in (
        {symtab + size: SYM.size << 40},
        {symtab + size: 25},
        {symtab + size: 25, symtab + entsize: 25},
        {symtab + offset: 1 << 63},
        {symtab + link: 77},
        {strtab + offset: 1 << 40},
        {strtab + size: 1 << 40},
    ):
        damaged = bytearray(elf)
        for at, value in patch.items():
            struct.pack_into("<Q", damaged, at, value)
        image = load_image(bytes(damaged), "guest")
        with pytest.raises(ImageError, match="^guest: its .* damaged"):
            _ = image.symbols
    assert load_image(bytes(elf)).symbols == {"a": 1}


@pytest.mark.parametrize(
    ("elf", "said"),
    [
        (b"", "is empty"),
        (b"\x7fEL", "is not an ELF"),
        (b"MZ" + bytes(100), "is not an ELF"),
        (b"\x7fELF", "ends inside the ELF header"),
        (GOOD[:63], "ends inside the ELF header"),
        (Elf(ident=b"\x7fELF\1\1\1" + bytes(9)), "is a 32-bit ELF"),
        (Elf(ident=b"\x7fELF\3\1\1" + bytes(9)), "class 3 does not exist"),
        (Elf(ident=b"\x7fELF\2\2\1" + bytes(9)), "is a big-endian ELF"),
        (Elf(ident=b"\x7fELF\2\0\1" + bytes(9)), "encoding 0 does not exist"),
        (Elf(machine=62), "is for x86_64, not for RISC-V"),
        (Elf(machine=0xABCD), "is for machine 43981, not"),
        (Elf(kind=1), "object file that was not linked"),
        (Elf(kind=3), "is position-independent (ET_DYN)"),
        (Elf(kind=4), "is a core dump"),
        (Elf(kind=0xFE00), "is not an executable (ELF type 65024)"),
        (Elf(phnum=0), "nothing to load"),
        (Elf((Load(BASE, CODE, 16, kind=2),)), "nothing to load"),
        (Elf((Load(BASE, b"", 0),)), "nothing to load"),
        (Elf(phnum=0xFFFF), "more than 65534 program headers"),
        (Elf(phnum=0xFFFE), "ends before its program headers"),
        (Elf(phoff=2**64 - 1), "ends before its program headers"),
        (Elf(phentsize=32), "program headers are 32 bytes"),
        (Elf((Load(BASE, CODE, 16, offset=2**63),)), "is truncated"),
        (Elf((Load(BASE, CODE, 2**63, filesz=2**40),)), "is truncated"),
        (Elf((Load(BASE, CODE, 15),)), "more bytes in the file than in memory"),
        (Elf((Load(2**64 - 8, CODE, 16),)), "wraps around"),
        (Elf((Load(BASE, CODE, 0x1001), Load(BASE + 0x1000, DATA, 4))), "overlap"),
        (Elf((Load(BASE, CODE, 16), Load(BASE, DATA, 4))), "overlap"),
        (Elf(tuple(Load(BASE + 0x1000 * i, b"", 0x800, 0, 0x300) for i in range(9))), "more bytes than the file has"),
        (Elf(entry=BASE - 1), "entry point"),
        (Elf(entry=BASE + 16), "entry point"),
        (Elf(entry=0), "entry point"),
    ],
)
def test_bad_images_get_one_line(elf: bytes | Elf, said: str) -> None:
    assert said in refusal(elf)


def test_every_truncation_of_the_loaded_part() -> None:
    end = EHDR.size + 2 * PHDR.size + len(CODE) + len(DATA)
    for length in range(end):
        assert any(word in refusal(GOOD[:length]) for word in ("truncated", "is empty", "is not an ELF"))
    load_image(GOOD[:end])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "hello.elf"
    path.write_bytes(GOOD)
    assert load_image(path).name == "hello"
    assert load_image(str(path), "vm").name == "vm"
    missing = tmp_path / "two\nlines"
    for source, said in ((missing, "no such file"), (tmp_path, "is a directory"), ("a\0b", "cannot be read")):
        with pytest.raises(ImageError, match=said) as caught:
            load_image(source)
        assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ImageError, match="not a regular file"):
        load_image(tmp_path / "pipe")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "hello.elf"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(ImageError, match="cannot be read: Permission denied"):
        load_image(path)


def test_check_fits() -> None:
    image = load_image(GOOD, "hello")
    check_fits(image, BASE, 0x1800)
    with pytest.raises(ImageError, match="^hello: its segment 0x80201000..0x80201800 ends outside .* more memory"):
        check_fits(image, BASE, 0x17FF)
    with pytest.raises(ImageError, match="^hello: its segment 0x80200000..0x80200010 begins below"):
        check_fits(image, BASE + 1, 0x10_0000)
    far = load_image(replace(Elf(), loads=(Load(2**64 - 16, CODE, 16),), entry=2**64 - 16).build(), "far")
    with pytest.raises(ImageError, match="far: "):
        check_fits(far, BASE, 0x10_0000)


INTERESTING = st.one_of(
    st.sampled_from([0, 1, 2, 23, 24, 56, 64, 0xFFFF, 2**31, 2**32 - 1, 2**63, 2**64 - 1]), st.integers(0, 2**64 - 1)
)
FULL = Elf(symbols=(("_start", GLOBAL | FUNC, 1, BASE), ("x", LOCAL, 1, 2))).build()


@settings(max_examples=1500, deadline=None)
@given(
    patches=st.lists(st.tuples(st.integers(0, len(FULL) - 1), st.sampled_from("BHIQ"), INTERESTING), max_size=6),
    length=st.one_of(st.just(len(FULL)), st.integers(0, len(FULL))),
)
def test_mutated_images(patches: list[tuple[int, str, int]], length: int) -> None:
    elf = bytearray(FULL + bytes(8))
    for at, width, value in patches:
        struct.pack_into("<" + width, elf, at, value % (1 << 8 * struct.calcsize(width)))
    try:
        image = load_image(bytes(elf[:length]), "guest")
        for segment in image.segments:
            assert len(segment.data) <= segment.memsz and segment.end <= 1 << 64
        assert any(s.addr <= image.entry < s.end for s in image.segments)
        check_fits(image, BASE, 0x10_0000)
        assert all(isinstance(value, int) for value in image.symbols.values())
    except ImageError as error:
        assert str(error).startswith("guest: ") and "\n" not in str(error)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200).map(lambda tail: GOOD[:20] + tail) | st.binary(max_size=100))
def test_any_bytes(elf: bytes) -> None:
    try:
        load_image(elf, "guest")
    except ImageError as error:
        assert "\n" not in str(error)
