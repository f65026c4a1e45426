"""The expression language: what it means, and what is said about what means nothing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rvhv.cpu.state import SLOT
from rvhv.debug.expressions import MOST_OPERATORS, ExpressionError, address, evaluate, parse, source_places
from rvhv.debug.target import VmContext
from rvhv.errors import DebugError
from rvhv.machine.board import BOARD
from rvhv.machine.image import Image
from tests.debug.test_target import hosted

MASK64 = (1 << 64) - 1


@pytest.fixture(scope="module")
def context() -> Iterator[VmContext]:
    target = hosted("hello")
    target.run(20_000)
    yield target.contexts[0]
    target.close()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42),
        ("0x2a + 0b11 - 1_000", 0x2A + 3 - 1000),
        ("4K | 1M | 1G", 4096 | 1 << 20 | 1 << 30),
        ("1 + 2 * 3 - 4 / 2 % 3", 1 + 2 * 3 - 2),
        ("(1 + 2) * 3", 9),
        ("1 << 4 + 1", 32),
        ("1 | 2 ^ 3 & 2", 1 | 2 ^ 3 & 2),
        ("7 & 3 == 3", 1),  # as in C
        ("10 - 3 - 2", 5),
        ("-1", -1),
        ("~0", -1),
        ("!5 + !0", 1),
        ("- - 3", 3),
        ("-7 / 2", -3),
        ("-7 % 2", -1),
        ("-8 >> 1", -4),
        ("~0 >> 63", 1),
        ("1 << 64", 0),
        ("1 >> 100", 0),
        ("-1 < 0", 1),
        ("0xffffffffffffffff > 1", 1),
        ("i64(0xffffffffffffffff) < 1", 1),
        ("i8(0x80)", -128),
        ("u8(0x1ff)", 255),
        ("1 && 0 || 2", 1),
        ("0 && *0", 0),  # the right side is not looked at
        ("1 || *0", 1),
        ("1 < 2 == 1", 1),
        ("0xffffffffffffffff + 1", 0),
    ],
)
def test_arithmetic(context: VmContext, text: str, value: int) -> None:
    assert evaluate(text, context) == value & MASK64


def test_names(context: VmContext) -> None:
    state, image = context.state, context.images[0]
    assert evaluate("$pc", context) == evaluate("pc", context) == context.pc
    assert evaluate("sp", context) == evaluate("$x2", context) == state[SLOT["x2"]]
    assert evaluate("fa0", context) == state[SLOT["f10"]]
    assert evaluate("zero", context) == 0
    assert evaluate("hgatp", context) == state[SLOT["hgatp"]]
    assert evaluate("vsstatus.SPP", context) == state[SLOT["vsstatus"]] >> 8 & 1
    assert evaluate("vsstatus.spp", context) == evaluate("$vsstatus.SPP", context)
    assert evaluate("hgatp.MODE", context) == 8
    assert evaluate("sbi_power_off + 8", context) == image.symbols["sbi_power_off"] + 8
    assert evaluate("&sbi_power_off", context) == image.symbols["sbi_power_off"]


def test_memory(context: VmContext) -> None:
    entry = BOARD.image_base
    word = context.images[0].segments[0].data[:8]
    assert evaluate(f"*{entry:#x}", context) == int.from_bytes(word, "little")
    assert evaluate(f"u16[{entry:#x} + 2]", context) == int.from_bytes(word[2:4], "little")
    assert evaluate(f"u8[g:{entry:#x}]", context) == word[0]
    spa = context.walk(entry).spa
    assert spa is not None
    assert evaluate(f"u32[h:{spa:#x}]", context) == int.from_bytes(word[:4], "little")
    assert evaluate(f"*h:{spa:#x} + 1", context) == int.from_bytes(word, "little") + 1
    context.target.memory.write(spa, b"\xfe\xff\xff\xff")
    assert evaluate(f"i32[{entry:#x}]", context) == MASK64 - 1
    assert evaluate(f"i32[{entry:#x}] < 0", context) == 1
    context.target.memory.write(spa, word[:4])


def test_addresses(context: VmContext) -> None:
    assert address("sp + 8", context) == ("v", context.state[SLOT["x2"]] + 8)
    assert address("g:0x1000 + 4K", context) == ("g", 0x2000)
    assert address("8 + h:0x1000 & ~0xff", context) == ("h", 0x1000)
    assert address("h:0x2000 - h:0x1000", context) == ("v", 0x1000)
    assert address("0x10", context, "g") == ("g", 0x10)


def test_source_lines(context: VmContext) -> None:
    table_files = context.images[0].symbols
    file, line = "main.c", 1
    place = evaluate(f"{file}:{line}", context)
    assert place in source_places(context, file, line, "", 0)
    assert any(place >= value for value in table_files.values())


@pytest.mark.parametrize(
    ("text", "at", "words"),
    [
        ("", 0, "expected"),
        ("1 +", 3, "a value was expected, not the end"),
        ("1 2", 2, "an operator was expected, not 2"),
        ("(1 + 2", 6, r"\( is not closed"),
        ("u8[1)", 4, r"\[ is not closed"),
        ("1 + #", 4, "'#' means nothing"),
        ("0x", 0, "no number"),
        ("12ab", 0, "no number"),
        ("0x10000000000000000", 0, "64 bits"),
        ("16G * 1_000_000_000_000K", 6, "64 bits") if 1_000_000_000_000 << 10 > MASK64 else ("0b2", 0, "no number"),
        ("1 / 0", 2, "division by zero"),
        ("1 % (2 - 2)", 2, "division by zero"),
        ("a0 < 0", 3, r"never true: write i64\(value\) < 0"),
        ("a0 >= 0", 3, "always true"),
        ("g:1 + h:2", 4, "do not mix"),
        ("g:1 < h:2", 4, "cannot be compared"),
        ("g:(h:2)", 0, "cannot become"),
        ("$sttaus", 0, "did you mean"),
        ("1 + sbi_power_of", 4, "did you mean sbi_power_off?"),
        ("sstatus.SIP", 0, "sstatus has no field SIP; it has"),
        ("&$a0", 1, "a symbol was expected"),
        ("*0", 0, "v:0x0 cannot be read"),
        ("u8[h:0]", 0, "h:0x0 cannot be read"),
        ("nothing.c:4", 0, "no code comes from nothing.c"),
        ("main.c:100000", 0, "no code at line 100000"),
        ("mian.c:4", 0, "did you mean main.c"),
        ("riscv.h:1 + nothing", 12, "there is no symbol"),
    ],
)
def test_errors_point_at_the_place(context: VmContext, text: str, at: int, words: str) -> None:
    with pytest.raises(ExpressionError, match=words) as caught:
        evaluate(text, context)
    assert caught.value.at == at
    assert caught.value.caret == f"{text}\n{' ' * at}^"
    assert "\n" not in str(caught.value)


def test_ambiguous_names(context: VmContext) -> None:
    image = Image("x", 0, ())
    vars(image)["symbol_values"] = {"helper": (0x100, 0x200), "time": (0x300,)}
    fake = SimpleNamespace(images=[image], state=context.state, pc=0, name="x", hart=context.hart)
    with pytest.raises(ExpressionError, match="helper is ambiguous: 0x100, 0x200"):
        evaluate("helper", fake)  # type: ignore[arg-type]
    with pytest.raises(ExpressionError, match=r"time is a CSR and a symbol: write \$time or &time"):
        evaluate("time", fake)  # type: ignore[arg-type]
    assert evaluate("&time", fake) == 0x300  # type: ignore[arg-type]


def test_names_are_checked_before_they_are_needed(context: VmContext) -> None:
    parse("a0 == 1 && sp").check(context)
    parse("*0").check(context)  # memory may come later
    with pytest.raises(DebugError, match="nonsense"):
        parse("0 && nonsense").check(context)


ALPHABET = st.sampled_from(
    [*"0123456789+-*/%<>=!&|^~()[]:$.,#\"' \n\\é", "a0", "$pc", "sstatus", ".SIE", "v:", "g:", "h:", "u8[", "]", "i32(", "main",
     "main.c:3", "0x", "4K", "<<", "&&", "||", "_"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(ALPHABET, max_size=30).map("".join)))
@example("(" * 1000)
@example("-" * 1000)
@example("1" + "+1" * 999)
@example("*" * 99 + "0")
@example("1" * 5000)
@example("0 && " * 99 + "0")
def test_any_text_is_a_value_or_an_error(context: VmContext, text: str) -> None:
    try:
        value = evaluate(text, context)
    except DebugError as error:
        assert str(error)
        assert not isinstance(error, ExpressionError) or 0 <= error.at <= len(text)
    else:
        assert 0 <= value <= MASK64


def test_the_longest_expression(context: VmContext) -> None:
    assert evaluate("1" + "+1" * MOST_OPERATORS, context) == MOST_OPERATORS + 1
    assert evaluate("(" * MOST_OPERATORS + "7" + ")" * MOST_OPERATORS, context) == 7
