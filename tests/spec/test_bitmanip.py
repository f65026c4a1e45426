"""Bit manipulation, Zicond and Zacas against definitions on strings and lists of bits: written another way than the rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rvhv.core.registry import ISA
from rvhv.isa.expr import MASK64
from rvhv.isa.render.asm import Assembler
from rvhv.isa.render.oracle import OracleMachine

EDGES = [0, 1, 1 << 63, MASK64, (1 << 63) - 1, 1 << 31, (1 << 32) - 1, 0x8000, 0x80, 0x0123_4567_89AB_CDEF, 64, 63, 32]
U64 = st.one_of(st.integers(0, MASK64), st.sampled_from(EDGES), st.integers(0, 255))
Definition = Callable[[int, int], int]


def text(a: int, bits: int = 64) -> str:
    """The low bits, the highest first."""
    return f"{a % 2**bits:0{bits}b}"


def number(a: str) -> int:
    return int(a, 2)


def signed(a: int, bits: int = 64) -> int:
    a %= 2**bits
    return a - 2**bits if a >= 2 ** (bits - 1) else a


def rotated_right(a: int, n: int, bits: int) -> int:
    t = text(a, bits)
    n %= bits
    return number(t[bits - n :] + t[: bits - n])


def lanes(a: int, bits: int) -> list[int]:
    return [a >> i & (2**bits - 1) for i in range(0, 64, bits)]


def joined(values: list[int], bits: int) -> int:
    return sum(v << bits * i for i, v in enumerate(values))


def polynomial_product(a: int, b: int) -> int:
    product = 0
    for i in range(64):
        if b >> i & 1:
            product ^= a << i
    return product


def permuted(table: int, index: int, bits: int) -> int:
    values = lanes(table, bits)
    return joined([values[i] if i < len(values) else 0 for i in lanes(index, bits)], bits)


def with_bit(a: int, n: int, bit: str) -> int:
    t = text(a)
    place = 63 - n % 64
    return number(t[:place] + bit + t[place + 1 :])


def bit_of(a: int, n: int) -> str:
    return text(a)[63 - n % 64]


LOW = 2**32
TWO_OPERANDS: dict[str, Definition] = {
    "add.uw": lambda a, b: a % LOW + b,
    **{f"sh{n}add": lambda a, b, n=n: a * 2**n + b for n in (1, 2, 3)},  # type: ignore[misc]
    **{f"sh{n}add.uw": lambda a, b, n=n: a % LOW * 2**n + b for n in (1, 2, 3)},  # type: ignore[misc]
    "andn": lambda a, b: a & (MASK64 - b),
    "orn": lambda a, b: a | (MASK64 - b),
    "xnor": lambda a, b: number("".join("01"[x == y] for x, y in zip(text(a), text(b), strict=True))),
    "min": lambda a, b: min(signed(a), signed(b)),
    "max": lambda a, b: max(signed(a), signed(b)),
    "minu": min,
    "maxu": max,
    "rol": lambda a, b: rotated_right(a, -b, 64),
    "ror": lambda a, b: rotated_right(a, b, 64),
    "rolw": lambda a, b: signed(rotated_right(a, -b, 32), 32),
    "rorw": lambda a, b: signed(rotated_right(a, b, 32), 32),
    "clmul": lambda a, b: polynomial_product(a, b),
    "clmulh": lambda a, b: polynomial_product(a, b) >> 64,
    "clmulr": lambda a, b: polynomial_product(a, b) >> 63,
    "bclr": lambda a, b: with_bit(a, b, "0"),
    "bset": lambda a, b: with_bit(a, b, "1"),
    "binv": lambda a, b: with_bit(a, b, "10"[int(bit_of(a, b))]),
    "bext": lambda a, b: int(bit_of(a, b)),
    "pack": lambda a, b: number(text(b, 32) + text(a, 32)),
    "packh": lambda a, b: number(text(b, 8) + text(a, 8)),
    "packw": lambda a, b: signed(number(text(b, 16) + text(a, 16)), 32),
    "xperm4": lambda a, b: permuted(a, b, 4),
    "xperm8": lambda a, b: permuted(a, b, 8),
    "czero.eqz": lambda a, b: a if b else 0,
    "czero.nez": lambda a, b: 0 if b else a,
}
ONE_OPERAND: dict[str, Callable[[int], int]] = {
    "clz": lambda a: len(text(a)) - len(text(a).lstrip("0")),
    "ctz": lambda a: len(text(a)) - len(text(a).rstrip("0")),
    "cpop": lambda a: text(a).count("1"),
    "clzw": lambda a: 32 - len(text(a, 32).lstrip("0")),
    "ctzw": lambda a: 32 - len(text(a, 32).rstrip("0")),
    "cpopw": lambda a: text(a, 32).count("1"),
    "sext.b": lambda a: signed(a, 8),
    "sext.h": lambda a: signed(a, 16),
    "zext.h": lambda a: a % 2**16,
    "orc.b": lambda a: joined([255 if byte else 0 for byte in lanes(a, 8)], 8),
    "rev8": lambda a: joined(lanes(a, 8)[::-1], 8),
    "brev8": lambda a: joined([number(text(byte, 8)[::-1]) for byte in lanes(a, 8)], 8),
}
SHIFTS: dict[str, tuple[int, Definition]] = {
    "slli.uw": (64, lambda a, n: a % LOW * 2**n),
    "rori": (64, lambda a, n: rotated_right(a, n, 64)),
    "roriw": (32, lambda a, n: signed(rotated_right(a, n, 32), 32)),
    **{f"{name}i": (64, TWO_OPERANDS[name]) for name in ("bclr", "bset", "binv", "bext")},
}
EXTENSIONS = {"Zba", "Zbb", "Zbc", "Zbs", "Zbkb", "Zbkx", "Zicond"}
ASM = Assembler(ISA)


def execute(line: str, **registers: int) -> int:
    """a0 after one instruction."""
    machine = OracleMachine(ISA)
    machine.map(0x1000, ASM.program(line))
    machine.pc = 0x1000
    machine.x[11], machine.x[12] = registers.get("a1", 0), registers.get("a2", 0)
    assert machine.step() is None
    return machine.x[10]


def test_every_row_has_a_definition() -> None:
    rows = {i.name for i in ISA.insns.values() if i.extension in EXTENSIONS}
    assert rows == {*TWO_OPERANDS, *ONE_OPERAND, *SHIFTS}


@pytest.mark.parametrize("name", TWO_OPERANDS)
@settings(max_examples=60, deadline=None)
@given(a=U64, b=U64)
@example(a=MASK64, b=MASK64)
@example(a=0x0123_4567_89AB_CDEF, b=0x0807_0605_0403_0201)
def test_two_operands(name: str, a: int, b: int) -> None:
    assert execute(f"{name} a0, a1, a2", a1=a, a2=b) == TWO_OPERANDS[name](a, b) & MASK64


@pytest.mark.parametrize("name", ONE_OPERAND)
@settings(max_examples=60, deadline=None)
@given(a=U64)
def test_one_operand(name: str, a: int) -> None:
    assert execute(f"{name} a0, a1", a1=a) == ONE_OPERAND[name](a) & MASK64


@pytest.mark.parametrize("name", SHIFTS)
@settings(max_examples=20, deadline=None)
@given(a=U64)
def test_every_shift_amount(name: str, a: int) -> None:
    width, definition = SHIFTS[name]
    for n in range(width):
        assert execute(f"{name} a0, a1, {n}", a1=a) == definition(a, n) & MASK64


@pytest.mark.parametrize("equal", [True, False])
@pytest.mark.parametrize(("name", "size"), [("amocas.w", 4), ("amocas.d", 8), ("amocas.q", 16)])
@given(memory=st.binary(min_size=16, max_size=16), new=st.binary(min_size=16, max_size=16), flip=st.integers(0, 127))
@settings(max_examples=40, deadline=None)
def test_compare_and_swap(name: str, size: int, equal: bool, memory: bytes, new: bytes, flip: int) -> None:
    """rd (a pair for amocas.q) is compared with memory, replaced by what was there; memory is replaced when they were equal."""
    machine = OracleMachine(ISA)
    machine.map(0x1000, ASM.program(f"{name} s2, a4, (a1)"))
    data = machine.map(0x2000, memory)
    machine.pc, machine.x[11] = 0x1000, 0x2000
    expected = bytearray(memory)
    if not equal:
        expected[flip // 8 % size] ^= 1 << flip % 8
    for i in (0, 1):
        machine.x[18 + i] = int.from_bytes(expected[8 * i : 8 * i + 8], "little")
        machine.x[14 + i] = int.from_bytes(new[8 * i : 8 * i + 8], "little")
    second = machine.x[19]
    assert machine.step() is None
    assert bytes(data) == (new[:size] + memory[size:] if equal else memory)
    if size < 16:
        assert machine.x[18] == int.from_bytes(memory[:size], "little", signed=True) & MASK64
        assert machine.x[19] == second
    else:
        assert b"".join(machine.x[n].to_bytes(8, "little") for n in (18, 19)) == memory


def test_the_pair_at_x0_is_zero_and_stays_it() -> None:
    machine = OracleMachine(ISA)
    machine.map(0x1000, ASM.program("amocas.q zero, zero, (a1); amocas.q zero, a2, (a1)"))
    data = machine.map(0x2000, bytes(16))
    machine.pc, machine.x = 0x1000, [0, 7, 7, *range(3, 11), 0x2000, 5, 6, *range(14, 32)]
    before = list(machine.x)
    assert machine.step() is None
    assert data == bytes(16), "x1 is not the second half of a pair at x0"
    assert machine.step() is None
    assert data == (5).to_bytes(8, "little") + (6).to_bytes(8, "little")
    assert machine.x == before


@pytest.mark.parametrize("operands", ["a1, a2, (a0)", "a0, a1, (a0)", "ra, a2, (a0)"])
def test_odd_pairs_are_reserved(operands: str) -> None:
    word = ASM.assemble(f"amocas.d {operands}") ^ ASM.assemble("amocas.d zero, zero, (zero)")
    assert ISA.decode(word ^ ASM.assemble("amocas.q zero, zero, (zero)")) is None
