"""`rvhv jit show`: which line is beside which instruction, what fits the output, and where code is found."""

from __future__ import annotations

import os
import platform
import re
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from rvhv.cli import jit_show
from rvhv.cli.columns import fold
from rvhv.cli.main import main
from rvhv.hart import TLB_BITS
from rvhv.images import image_path
from rvhv.jit.compile import Compiler, host_has_fma
from rvhv.jit.form import Region, form
from rvhv.jit.located import AROUND, by_owner, host_lines, translate_located
from rvhv.jit.translate import translate
from rvhv.machine.image import Image, Segment, load_image
from tests.elf_file import elf
from tests.unit.test_cli_jit import document

Monkey = pytest.MonkeyPatch

pytestmark = pytest.mark.usefixtures("compiled")


def test_a_region_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jit", "show", "tasks", "user_fibonacci"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("region from user_fibonacci (0x") and "\x1b" not in out
    assert "ecall" in out and "leaves: the interpreter does it" in out
    assert re.search(r"^  guest +\u2502 LLVM +\u2502 host$", out, re.MULTILINE)
    assert re.search(r"^  \w{8} 973e     add a4, a4, a5 +\u2502   %\w+ = add i64 %[\w.]+, %[\w.]+ +\u2502  ", out, re.MULTILINE)
    assert re.search(r" = getelementptr i64, ptr %state, i64 14  ; x14 ", out)
    assert "!dbg" not in out and "!prof" not in out and "align 8" not in out
    assert main(["jit", "show", "tasks", "user_fibonacci", "--ir"]) == 0
    assert re.search(r"^  guest +\u2502 LLVM$", capsys.readouterr().out, re.MULTILINE)
    assert main(["jit", "show", "tasks", "user_fibonacci", "--host"]) == 0
    assert re.search(r"^  guest +\u2502 host$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(("columns", "beside"), [(40, False), (80, False), (110, True), (160, True), (300, True)])
def test_a_region_fits_the_output(columns: int, beside: bool, capsys: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    def text(*arguments: str) -> str:
        assert main(["jit", "show", "bench-integer", "crc32", *arguments]) == 0
        return capsys.readouterr().out

    def characters(out: str) -> Counter[str]:
        return Counter(re.sub(r"\u2502|LLVM|host|guest|\s", "", out))

    piped = text()
    monkeypatch.setattr(jit_show, "terminal_columns", lambda out, **_: columns)
    out = text()
    assert max(map(len, out.splitlines())) <= columns
    assert ("\u2502" in out) is beside
    assert ("\n    LLVM  " in out and "\n    host  " in out) is not beside
    assert characters(out) == characters(piped)
    one = text("--host")
    assert ("\u2502" in one) is (columns >= 80) and max(map(len, one.splitlines())) <= columns


def test_a_narrow_terminal_is_asked_for_its_width(capfd: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((40, 24)))
    assert main(["jit", "show", "bench-integer", "crc32"]) == 0
    assert 30 < max(map(len, capfd.readouterr().out.splitlines())) <= 40


def test_a_bar_that_the_output_cannot_show(capsys: pytest.CaptureFixture[str], monkeypatch: Monkey) -> None:
    monkeypatch.setattr(jit_show, "can_show", lambda out, text: False)
    assert main(["jit", "show", "bench-integer", "crc32"]) == 0
    assert capsys.readouterr().out.isascii()


@pytest.mark.parametrize(
    ("line", "width", "folded"),
    [
        ("  ret", 10, ["  ret"]),
        ("  %t1 = phi [ 1, %b.1 ], [ 2, %b.2 ]", 30, ["  %t1 = phi [ 1, %b.1 ],", "      [ 2, %b.2 ]"]),
        ("  call @f(ptr %state, i64 %a)", 24, ["  call @f(ptr %state,", "      i64 %a)"]),
        ("  gep %state, i64 231  ; ram", 21, ["  gep %state, i64 231", "      ; ram"]),
        ("  gep %state, i64 231  ; ram", 20, ["  gep %state,", "      i64 231  ; ram"]),
        ("  gep %state, i64 231  ; ram", 26, ["  gep %state, i64 231", "      ; ram"]),
        ("  movabsq $something, %rax", 22, ["  movabsq $something,", "      %rax"]),
        ("abcdefghij", 6, ["abcdef", "   ghi", "   j"]),
    ],
)  # fmt: skip
def test_a_line_folds(line: str, width: int, folded: list[str]) -> None:
    assert fold(line, width) == folded


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--guest", "hello", "--disk", "x"], "--disk is of a machine that boots an IMAGE"),
        (["--guest", "hello", "--smp", "4"], "--smp is of a machine"),
        (["--append", "quiet"], "--append is of a machine"),
        (["--max-steps", "1M"], "--max-steps is of a run: give an IMAGE or --guest"),
        (["--tier", "jit"], "--tier is of a run"),
    ],
)  # fmt: skip
def test_options_that_say_nothing_are_refused(arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jit", "stats", *arguments]) == 2
    assert says in capsys.readouterr().err


def region_of(page: bytes, at: int) -> Region:
    region = form(page, (at,))
    assert region is not None
    return region


def whole(region: Region) -> tuple[list[str], list[str]]:
    """All instructions of a region made without locations: LLVM's without what is not shown, and the host's."""
    assembly, compiler = translate(region, TLB_BITS, host_fma=host_has_fma()), Compiler()
    module = str(compiler.optimised(assembly))
    ir = [re.sub(r", (!prof !\d+|align 8(?=,|$))", "", line[2:]) for line in module.splitlines() if re.match("  [^ ]", line)]
    code = compiler.assembly(assembly).splitlines()
    host = [" ".join(re.sub(r"(^|\s)(#|//) .*", "", line).split()) for line in code if re.match(r"\t[^.#/]", line)]
    return ir, host


def lines(blocks: list[dict[str, Any]], part: str) -> list[str]:
    """The instructions shown, without the names of slots."""
    parts = [one for block in blocks for one in (block, *block["guest"])]
    return [line[2:].partition("  ; ")[0] for one in parts for line in one[part] if line[:2] in ("  ", "~ ")]


PLACES = [
    ("tasks", "user_fibonacci"), ("bench-integer", "crc32"), ("bench-nbody", "bench_round"), ("bench-bytecode", "bench_round"),
]  # fmt: skip


@pytest.mark.parametrize(("image", "symbol"), PLACES)
def test_locations_change_nothing_and_nothing_is_lost(image: str, symbol: str, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", image, symbol)
    at = shown["address"] & 4095
    region = region_of(jit_show.page_of(load_image(image_path(image)), shown["address"]), at)
    ir, host = whole(region)
    assert "!dbg" not in translate(region, TLB_BITS, host_fma=host_has_fma())
    located = Compiler().assembly(translate_located(region, TLB_BITS, host_fma=host_has_fma()))
    there = [line.text for line in host_lines(located, ["region", "missed_load", "missed_store", "do_row"])]
    assert there == host and len(host) > 100
    assert Counter(lines(shown["blocks"], "host")) == Counter(host)
    assert sorted(line for line in lines(shown["blocks"], "ir") if "switch" not in line) == sorted(
        line for line in ir if "switch" not in line and line != "]"
    )
    assert sum(len(b["guest"]) for b in shown["blocks"]) == shown["instructions"]


def test_code_is_beside_its_instruction(capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", "bench-integer", "crc32")
    assert shown["blocks"][0]["guest"][0]["pc"] == shown["address"]
    guest = [one for block in shown["blocks"] for one in block["guest"]]

    def made_for(text: str, part: str) -> str:
        one = next(one for one in guest if one["text"].startswith(text))
        return "\n".join(one[part])

    assert re.search(r"^  %\w+ = xor i64 ", made_for("xor ", "ir"), re.MULTILINE)
    assert re.search(r"; x13$", made_for("xor ", "ir"), re.MULTILINE)
    assert "call" not in made_for("xor ", "ir")
    load = made_for("lbu ", "ir")
    assert "load i8, ptr " in load and "zext i8 " in load and "@missed_load(" in load and "@missed_store" not in load
    if platform.machine() in ("x86_64", "AMD64"):
        assert re.search(r"^  xor[ql] ", made_for("xor ", "host"), re.MULTILINE)
        assert "movzbl" in made_for("lbu ", "host") and "missed_load" in made_for("lbu ", "host")
        assert "movslq" in made_for("lw ", "host") and "movzbl" not in made_for("lw ", "host")
    counted = [block for block in shown["blocks"] if block["guest"]]
    assert all(re.search(r"= sub i64 ", "\n".join(block["ir"])) for block in counted)
    around, *own = shown["blocks"][len(counted) :]
    assert around["name"] == "entering, dispatch and leaving"
    assert "musttail call" in "\n".join(around["ir"]) and around["host"] and around["ir"][0] == "entry.0:"
    assert [block["name"].partition(",")[0] for block in own] == ["missed_store", "missed_load"]
    assert all(block["ir"] and block["host"] and not block["guest"] for block in own)
    assert "host" not in document(capsys, "jit", "show", "bench-integer", "crc32", "--ir")["blocks"][0]["guest"][0]


def test_code_that_overlaps_is_shown_in_both_its_blocks() -> None:
    branch = 6 << 20 | 5 << 15 | 6 << 7 | 0x63  # beq x5, x6, .+6: into the lui, where there is c.addi x8, 1
    code = struct.pack("<4I", branch, 0x0405_03B7, 0x0014_8493, 0x0010_0073)  # lui x7; addi x9, x9, 1; ebreak
    image = Image("overlap", 0x8000_0000, (Segment(0x8000_0000, code, len(code)),))
    region, blocks = jit_show.shown_blocks(image, 0x8000_0000, ir=True, host=True)
    twice = [one for block in blocks for one in block.guest if one.pc == 0x8000_0008]
    assert len(twice) == 2 and twice[0].ir != twice[1].ir
    assert all("; x9" in "\n".join(one.ir) for one in twice)
    shown = [line[2:] for block in blocks for part in (block, *block.guest) for line in part.host if line[:2] in ("  ", "~ ")]
    assert Counter(shown) == Counter(whole(region)[1])


VIRTUAL, PHYSICAL = 0xFFFF_FFFF_8000_0000, 0x8020_0000
ONE_STEP = struct.pack("<3I", 0x0014_8493, 0xFE04_9EE3, 0x0010_0073)  # addi x9, x9, 1; bnez x9, back; ebreak


def linked_elsewhere(folder: Path, overlay: bytes = b"") -> str:
    """An ELF as that of an operating system's kernel: its addresses are not those it is loaded at. With code that has the same
    virtual addresses, loaded elsewhere, on demand."""
    path = folder / "kernel.elf"
    segments = {PHYSICAL: ONE_STEP} | ({PHYSICAL + 0x1_0000: overlay} if overlay else {})
    linked = {PHYSICAL: VIRTUAL, PHYSICAL + 0x1_0000: VIRTUAL + 0x4}
    path.write_bytes(elf(segments, PHYSICAL, {"start": VIRTUAL, "behind": VIRTUAL + 8}, linked))
    return str(path)


@pytest.mark.parametrize("where", ["start", hex(VIRTUAL), str(VIRTUAL)])
def test_code_is_found_where_it_was_linked(where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", linked_elsewhere(tmp_path), where)
    assert shown["address"] == VIRTUAL and shown["blocks"][0]["name"] == f"start ({VIRTUAL:#x})"
    one, branch = (one for block in shown["blocks"][:1] for one in block["guest"])
    assert (one["pc"], one["word"], one["text"]) == (VIRTUAL, "00148493", "addi s1, s1, 1")
    assert branch["text"] == f"bnez s1, {VIRTUAL:#x}" and branch["note"] == f"to start ({VIRTUAL:#x})"


def test_code_is_found_where_it_is_loaded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = document(capsys, "jit", "show", linked_elsewhere(tmp_path), hex(PHYSICAL))
    assert shown["address"] == PHYSICAL and shown["blocks"][0]["name"] == f"{PHYSICAL:#x}"
    assert [one["pc"] for one in shown["blocks"][0]["guest"]] == [PHYSICAL, PHYSICAL + 4]
    assert shown["blocks"][0]["guest"][1]["text"] == f"bnez s1, {PHYSICAL:#x}"


def test_code_that_is_linked_over_other_code_hides_nothing_of_it(tmp_path: Path) -> None:
    nops = struct.pack("<I", 0x13) * 4
    image = load_image(linked_elsewhere(tmp_path, nops))
    assert jit_show.page_of(image, VIRTUAL)[: len(ONE_STEP) + 4] == ONE_STEP + nops[:4]
    assert jit_show.page_of(image, VIRTUAL + 0x10)[: 4 + len(nops)] == ONE_STEP[:4] + nops
    assert jit_show.page_of(image, PHYSICAL)[: len(ONE_STEP) + 4] == ONE_STEP + bytes(4)


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ([0x0000_006F], "1 instruction in 1 block"),
        ([0x0014_8493, 0x0010_0073], "2 instructions in 1 block"),
    ],
)  # fmt: skip
def test_one_is_no_plural(code: list[int], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "one.elf"
    path.write_bytes(elf({PHYSICAL: struct.pack(f"<{len(code)}I", *code)}, PHYSICAL, {"start": PHYSICAL}))
    assert main(["jit", "show", str(path), "start", "--ir"]) == 0
    out = capsys.readouterr().out
    assert f": {says}\n" in out and "[entry, checks for 1 step]" in out


ASSEMBLY = """
    .file 1 "page"
region:                 {c} @region
.Lfunc_begin0:
{c} %bb.0:              {c} %entry.0
    {move}              {c} =0x3
    .cfi_def_cfa_offset 16
.Ltmp0:
    .loc 1 7 0 prologue_end {c} page:7
.LBB0_1:                {c} %at_000.1
                        {c} =>This Inner Loop Header: Depth=1
    one
    .loc 1 0 0 is_stmt 0
    spill
    .loc 1 9 0
    two
{c} %bb.2:
    .loc 1 0 0
    copy
    .loc 1 7 0
    ret
.Lfunc_end0:
    .size region, 4
own:
    ret
.Lfunc_end1:
    .section .debug_line
.Lline_table_start0:
    no instruction
"""


@pytest.mark.parametrize(("mark", "move"), [("#", "movl $3, %eax"), ("//", "ldr x0, [x1, #3]")])
def test_host_code_is_told_apart_by_locations(mark: str, move: str) -> None:
    found = host_lines(ASSEMBLY.format(c=mark, move=move), ["region", "own"])
    around = ("region", AROUND)
    order = [("region", 9), ("region", 7), around, ("own", AROUND)]
    assert by_owner(found, order) == {
        ("region", 9): [".LBB0_1: ...", "  two"],
        ("region", 7): [".LBB0_1:  # %at_000.1", "  one", "~ spill", "~ copy", "  ret"],
        around: ["region:", f"  {move}"],
        ("own", AROUND): ["own:", "  ret"],
    }
