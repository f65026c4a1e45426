"""Parts in C: the same checks, on the emulated machine."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from rvhv.cli.main import main
from rvhv.errors import ConfigError
from rvhv.grade import compile_c
from rvhv.grade.cell import PartFailed
from rvhv.grade.check import Bench, chance
from rvhv.grade.judge import Judge, Result
from rvhv.grade.lab import DEFAULT_SEED, Lab, find_lab, labs
from rvhv.grade.labs.gstage import Stage

ROOT = Path(__file__).resolve().parents[2]
HEADERS = [ROOT / "guests/monitor", ROOT / "guests/runtime"]
SOLUTIONS = ROOT / "tests/labs/solutions"  # of labs whose form in C is none of the monitor's
LAB = find_lab("2")
IN_C = [lab for lab in labs() if lab.c is not None]


def has_compiler() -> bool:
    try:
        compile_c.compiler()
    except ConfigError:
        return False
    return True


pytestmark = pytest.mark.usefixtures("compiled")
needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler for RISC-V")


def reference(lab: Lab) -> str:
    """The monitor's own file, or a solution that is written from the handout."""
    assert lab.c is not None
    solution = SOLUTIONS / lab.c.file
    return (solution if solution.exists() else ROOT / "guests/monitor" / lab.c.file).read_text("utf-8")


def lost(lab: Lab, source: str) -> list[Result]:
    assert lab.c is not None
    if (SOLUTIONS / lab.c.file).exists():
        return [result for result in Judge(lab, DEFAULT_SEED).results({lab.c.file: source}) if not result.passed]
    image = compile_c.build({lab.c.file: source}, HEADERS, trusted=True)
    return [result for result in Judge(lab, DEFAULT_SEED).judge_image(image) if not result.passed]


@needs_compiler
@pytest.mark.parametrize("lab", IN_C, ids=lambda lab: lab.name)
def test_the_reference_has_all_points(lab: Lab) -> None:
    assert [f"{r.check.name}: {r.expected}; {r.happened}" for r in lost(lab, reference(lab))] == []


@needs_compiler
@pytest.mark.parametrize("lab", IN_C, ids=lambda lab: lab.name)
def test_the_starter_has_none(lab: Lab) -> None:
    grade = Judge(lab, DEFAULT_SEED).grade(lab.starter_c())
    assert grade.points == 0 and not grade.refused
    assert all(result.happened.startswith("not written yet") for result in grade.results)


FENCE = "    gstage_fence_page(gpa); /* and only then may its frames become another's */\n"


@needs_compiler
@pytest.mark.parametrize(
    ("old", "new", "loses", "says"),
    [
        ("#define FLAGS (PTE_V | PTE_U |", "#define FLAGS (PTE_V |",
         "map-pages wide-root superpages rights unmap fresh-pages hosts-a-guest", "U=0"),
        ("4 * ENTRIES - 1 : ENTRIES - 1", "ENTRIES - 1 : ENTRIES - 1", "wide-root", "of 2048"),
        ("frames_alloc(ROOT_FRAMES, ROOT_FRAMES)", "frames_alloc(ROOT_FRAMES, 1)", "root", "16 KiB"),
        (FENCE, "", "unmap-fences", "fences that came: none"),
        (FENCE, "    gstage_fence_page(gpa << 2);\n", "unmap-fences", "hfence_gvma(0x"),
        ("while ((gpa | spa) % block(level)", "while (gpa % block(level)", "superpages", "misaligned"),
        ("    frames_free(table, level == LEVELS - 1 ? ROOT_FRAMES : 1);",
         "    if (level == LEVELS - 1)\n        frames_free(table, ROOT_FRAMES);", "release", "still in use"),
        ("    frames_free(spa, block(level) / PAGE_SIZE);\n", "    frames_free(spa, 1);\n    frames_free(spa, 1);\n",
         "unmap unmap-fences fresh-pages release", "cannot be freed"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_and_named(old: str, new: str, loses: str, says: str) -> None:
    source = reference(LAB)
    assert source.count(old) == 1
    results = lost(LAB, source.replace(old, new))
    assert {result.check.name for result in results} == set(loses.split())
    assert says in f"{results[0].expected} {results[0].happened}"


def in_map(body: str) -> dict[str, str]:
    """The starter, with an init that works and this in gstage_map."""
    source = LAB.starter_c()["gstage.c"]
    init = "    gstage->root = frames_alloc(4, 4);\n    return true;\n"
    source = source.replace("    (void)gstage;\n    return false;\n", init, 1)
    return {"gstage.c": source.replace("    (void)gstage, (void)gpa;\n    return 0;\n", f"    (void)gstage;\n{body}\n", 1)}


@needs_compiler
@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for (;;)\n        *(volatile uint64_t *)gstage->root = gpa;", "executed more than 100,000,000 instructions"),
        ("return *(volatile uint64_t *)8;", "load access fault at gstage_map"),
        ("return ((uint64_t (*)(uint64_t))0x10000)(gpa);", "instruction access fault"),
        ("frames_free(gstage->root + 0x100000, 1);\n    return 0;", "is no frame that is in use"),
        ("return frames_alloc(1UL << 40, 1);", "count must be a whole number"),
        ("for (;;)\n        frames_alloc(100, 1);", "frames of memory asked for"),
        ("*(volatile uint32_t *)0x80000000 = 0x4501;\n    return frames_alloc(1, 1);", "to write to its own frames only"),
        ("return gstage_map(gstage, gpa) + frames_alloc(1, 1);", "gstage_map"),
    ],
)
def test_what_is_no_part(body: str, says: str) -> None:
    result = next(r for r in Judge(LAB, DEFAULT_SEED).results(in_map(body)) if r.check.name == "map-pages")
    assert not result.passed and says in f"{result.expected} {result.happened}"


@pytest.mark.parametrize(
    "line",
    [
        '#include "/etc/passwd"', "#include <stdio.h>", '#include "../gstage.h"', '# /* */ include "x"', "#inc\\\nlude \"x\"",
        '#define F "x"\n#include F', 'char *a = "/*";\n#/**/include "x"\nchar *b = "*/";', "%:include <x.h>", "??=include <x.h>",
        '__asm__(".incbin \\"x\\"");', 'asm("nop");', "#define P(a, b) a##b\nP(__as, m__)(\"\");", "_Pragma(\"x\")", "#embed <x>",
        "char *f = __FILE__;", "#import <x.h>", '#if __has_include("/etc/passwd")\n#endif', "#in\\ \nclude <x.h>",
    ],
)  # fmt: skip
def test_the_compiler_reads_nothing_else(line: str) -> None:
    with pytest.raises(PartFailed, match=r"gstage\.c: .*a part may"):
        compile_c.check_source("gstage.c", f'#include "gstage.h"\n{line}\n', {"gstage.h", "stdint.h"})


def test_what_may_be_included() -> None:
    for source in (LAB.starter_c()["gstage.c"], '#include <stdint.h>\n  #  include "gstage.h"\nint x;\n'):
        compile_c.check_source("gstage.c", source, {"gstage.h", "stdint.h"})


@needs_compiler
def test_what_does_not_compile(tmp_path: Path) -> None:
    grade = Judge(LAB, DEFAULT_SEED).grade({"gstage.c": '#include "gstage.h"\nint gstage_map(void) { return x; }\n'})
    assert grade.refused == "it does not compile" and grade.points == 0 and len(grade.results) == len(LAB.checks)
    assert any("gstage.c:2" in place for place in grade.results[0].places)
    assert str(tmp_path) not in str(grade.document()) and "/tmp" not in str(grade.document())


@needs_compiler
def test_a_missing_function() -> None:
    grade = Judge(LAB, DEFAULT_SEED).grade({"gstage.c": '#include "gstage.h"\n'})
    assert "gstage.c has no function gstage_init" in grade.results[0].happened


@needs_compiler
def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "start", "2", str(tmp_path / "c"), "--c"]) == 0
    assert {path.name for path in (tmp_path / "c").iterdir()} == {"gstage.c", "gstage.h", "handout.md", "lab.json"}
    source = re.sub(r"/\* spelled as bits.*\Z", "", reference(LAB), flags=re.DOTALL)
    for header in ("frames.h", "registers.h"):
        source = source.replace(f'#include "{header}"\n', "")
    source = re.sub(r"static const char \*leaf_refusal.*?(?=static void release_table)", "", source, flags=re.DOTALL)
    source = re.sub(r"uint64_t gstage_hgatp.*", "", source, flags=re.DOTALL)
    source = source.replace("gstage_fence_page", "hfence_gvma_page").replace("gstage_fence()", "hfence_gvma_all()")
    (tmp_path / "c" / "gstage.c").write_text(source)
    capsys.readouterr()
    assert main(["lab", "check", str(tmp_path / "c")]) == 0, capsys.readouterr().out
    capsys.readouterr()
    assert main(["grade", "2", str(tmp_path / "c"), "--format", "csv", "--results", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("c,24,24,")


HOSTILE = '#include "gstage.h"\nbool gstage_init(struct gstage *gstage) { %s return gstage != 0; }\n'


@needs_compiler
class TestHostile:
    """Each comes to an end, soon, and with a reason."""

    @staticmethod
    def first(body: str, before: str = "") -> Result:
        return next(iter(Judge(LAB, DEFAULT_SEED).results({"gstage.c": before + HOSTILE % body})))

    def test_requests_without_end(self) -> None:
        result = self.first("for (;;) { frames_free(frames_alloc(1, 1), 1); }")
        assert "asked the machine for more than 20,000 things" in result.happened and result.endless

    def test_many_requests_are_no_mistake(self) -> None:
        """More than the hart's trace has room for."""
        result = self.first("for (int n = 0; n < 6000; n++) { frames_free(frames_alloc(1, 1), 1); }")
        assert "`root`" in result.expected and "it is 0x0" in result.happened

    def test_sleep(self) -> None:
        words = '__attribute__((section(".text.words"), aligned(4))) static const unsigned words[] = {0x10500073, 0xffdff06f};\n'
        result = self.first("((void (*)(void))words)();", words)
        assert "the hart stopped" in result.happened and "WFI" in result.happened

    def test_a_little_too_long_in_every_call(self) -> None:
        """The budget is of a check, not of a call."""
        slow = "bool gstage_init(struct gstage *g) { g->root = frames_alloc(4, 4); return 1; }\n"
        slow += "uint64_t gstage_map(struct gstage *g, uint64_t a) { for (volatile int n = 0; n < 5000000; n++) {} return a; }\n"
        check = next(check for check in LAB.checks if check.name == "map-pages")
        image = compile_c.build({"gstage.c": f'#include "gstage.h"\n{slow}'}, [LAB.folder / "starter-c"])
        part = Judge(LAB, DEFAULT_SEED)._in_c(image)
        stage = Stage(Bench(part, chance(DEFAULT_SEED, LAB.name, check.name)))
        with pytest.raises(PartFailed, match="an endless loop"):
            for _ in range(10):
                part.call("map", 0)
        assert stage.root

    @pytest.mark.skipif(sys.platform == "win32", reason="limits of a process")
    def test_an_object_that_fills_the_disk(self) -> None:
        with pytest.raises(PartFailed, match="does not compile"):
            compile_c.build({"gstage.c": "char big[1UL << 30] = {1};"}, [])
