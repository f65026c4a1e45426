"""The operations of the expression language against definitions written another way, and what a row may not say."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rvhv.isa.expr import MASK64, OPS, const, div, divu, evaluate, leaf, node, rem, remu, select, signed
from rvhv.isa.render.oracle import compile_expr
from rvhv.isa.rows import Registry, bits, write_fields

U64 = st.one_of(st.integers(0, MASK64), st.sampled_from([0, 1, 1 << 63, MASK64, (1 << 63) - 1, 1 << 31, (1 << 32) - 1]))


@given(U64, U64)
@example(1 << 63, MASK64)
@example(5, 0)
@example(MASK64 - 6, 2)
def test_division_follows_the_manual(a: int, b: int) -> None:
    """Unprivileged ISA, "M" Extension: by zero and overflow have results, not traps; otherwise towards zero."""
    x, y = leaf("x"), leaf("y")
    env = {"x": a, "y": b}.__getitem__
    sa, sb = signed(a), signed(b)
    quotient = -1 if sb == 0 else abs(sa) // abs(sb) * (1 if (sa < 0) == (sb < 0) else -1)
    assert signed(evaluate(div(x, y), env)) == signed(quotient)
    assert signed(evaluate(rem(x, y), env)) == (sa if sb == 0 else sa - quotient * sb)
    assert evaluate(divu(x, y), env) == (MASK64 if b == 0 else a // b)
    assert evaluate(remu(x, y), env) == (a if b == 0 else a % b)


@given(U64, U64)
def test_wide_products(a: int, b: int) -> None:
    for name, left, right in (("mulhu", a, b), ("mulh", signed(a), signed(b)), ("mulhsu", signed(a), b)):
        assert OPS[name](a, b) == (left * right) // (1 << 64) % (1 << 64)


@given(U64)
def test_bit_counts(a: int) -> None:
    text = f"{a:064b}"
    assert OPS["clz"](a) == len(text) - len(text.lstrip("0"))
    assert OPS["ctz"](a) == len(text) - len(text.rstrip("0"))
    assert OPS["cpop"](a) == text.count("1")
    assert OPS["bswap"](OPS["bswap"](a)) == a
    assert f"{OPS['brev'](a):064b}" == text[::-1]


@given(U64, U64)
def test_carryless_product(a: int, b: int) -> None:
    """Each bit is the parity of the pairs of bits whose positions add up to its own."""
    bits_ = [sum((a >> i) & (b >> (n - i)) & 1 for i in range(n + 1)) % 2 for n in range(64)]
    assert OPS["clmul"](a, b) == sum(bit << n for n, bit in enumerate(bits_))


@given(U64, st.integers(0, 63))
def test_shifts(a: int, n: int) -> None:
    assert OPS["shl"](a, n) == a * 2**n % (1 << 64)
    assert OPS["shr"](a, n) == a // 2**n
    assert signed(OPS["sar"](a, n)) == signed(a) // 2**n


@pytest.mark.parametrize("bits_", [8, 16, 32])
@given(a=U64)
def test_extensions(bits_: int, a: int) -> None:
    low = a % 2**bits_
    assert OPS[f"zext{bits_}"](a) == low
    assert OPS[f"sext{bits_}"](a) == (low if low < 2 ** (bits_ - 1) else low + 2**64 - 2**bits_)


@given(U64, U64)
def test_compiled_expressions_are_the_evaluated_ones(a: int, b: int) -> None:
    x, y = leaf("x"), leaf("y")
    e = select(node("ltu", x, y), (x << (y & 63)) + 7, ~x ^ node("sar", y, 3)) * y
    env = {"x": a, "y": b}.__getitem__
    assert compile_expr(e)(env) == evaluate(e, env)


def test_constants_fold_and_wrap() -> None:
    assert const(1) + MASK64 == const(0)
    assert const(5) << 1 == const(10)
    assert (leaf("x") + -1).args[1] == const(MASK64)


def test_a_symbolic_value_has_no_truth_value() -> None:
    with pytest.raises(TypeError, match=r"write select\(c, a, b\)"):
        Registry().insn("X", "bad", "0000000 rs2 rs1 000 rd 0110011", "rd, rs1, rs2", lambda rs1, rs2: rs1 if rs1 else rs2)


def test_a_row_names_only_its_operands() -> None:
    with pytest.raises(ValueError, match="bad: its encoding has no operand 'rs2'"):
        Registry().insn("X", "bad", "imm[11:0] rs1 000 rd 0010011", "rd, rs1, imm", lambda rs1, rs2: rs1 + rs2)


def test_a_row_is_described_once() -> None:
    isa = Registry()
    isa.insn("X", "twice", "imm[11:0] rs1 000 rd 0010011", "rd, rs1, imm", lambda rs1: rs1)
    with pytest.raises(ValueError, match="twice: described twice"):
        isa.insn("X", "twice", "imm[11:0] rs1 001 rd 0010011", "rd, rs1, imm", lambda rs1: rs1)


@given(U64, U64)
def test_write_fields(value: int, old: int) -> None:
    """Writable fields take the value, a WARL field what its rule says; constants and undefined bits stay as they are."""
    fields = (
        bits("PLAIN", 7, 4),
        bits("LEGAL", 1, 0, warl=lambda new, before: select(node("eq", new, 3), before, new)),
        bits("FIXED", 9, 8, fixed=2),
    )
    env = {"value": value, "old": old}.__getitem__
    written = evaluate(write_fields(fields, leaf("value"), leaf("old")), env)
    assert written & 0xF0 == value & 0xF0
    assert written & 3 == (old if value & 3 == 3 else value) & 3
    assert written & ~0xF3 == old & ~0xF3
    only = evaluate(write_fields(fields, leaf("value"), leaf("old"), only=["LEGAL"]), env)
    assert only & 0xF0 == old & 0xF0 and only & 3 == written & 3
