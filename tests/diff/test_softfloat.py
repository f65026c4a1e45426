"""Soft-float against exact numbers, and the host's FPU where it stands in against soft-float."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numba import types
from numba.core.dispatcher import Dispatcher

from rvhv.core.source import INTEGER_TYPES
from rvhv.cpu import floating, njit, softfloat, softfloat_compare, softfloat_convert
from rvhv.cpu.state import SLOT
from rvhv.isa.effects import FLOAT_FORMATS, FLOAT_OPS
from rvhv.isa.render import oracle_float
from rvhv.isa.render.oracle_float import FORMATS, NX, UF, Format, box, compute
from tests.diff.floats import data, edges
from tests.diff.states import EDGES, SCALE, SEED, rng_for, value

Case = tuple[str, str, int, list[int]]  # operation, format, rounding mode, operands
Compiled = Callable[..., None]
MODULES: tuple[ModuleType, ...] = (softfloat, softfloat_compare, softfloat_convert, floating)
MODES = range(5)
OPS = tuple(op for op in FLOAT_OPS if not op.startswith("sgnj"))

SOFT = {
    "add": "add(a, b, fmt, rm)", "sub": "add(a, b ^ sign_bit(fmt), fmt, rm)", "mul": "mul(a, b, fmt, rm)",
    "div": "div(a, b, fmt, rm)", "sqrt": "sqrt(a, fmt, rm)", "madd": "fma(a, b, c, fmt, rm)",
    "min": "minimum(a, b, fmt)", "max": "maximum(a, b, fmt)", "eq": "eq(a, b, fmt)", "lt": "lt(a, b, fmt)", "le": "le(a, b, fmt)",
    "class": "(classify(a, fmt), U64(0))", "to": "to_integer(a, kind, fmt, rm)", "from": "from_integer(a, kind, fmt, rm)",
    "convert": "convert(a, kind, fmt, rm)",
}  # fmt: skip
HOSTED = ("add", "sub", "mul", "div", "sqrt", "madd", "msub", "nmsub", "nmadd")
UNIT = {
    op: f"fp_{op}(st, fmt, rm, {', '.join('abc'[: FLOAT_OPS[op]])})"
    for op in (*HOSTED, "sgnj", "sgnjn", "sgnjx", "min", "max", "eq", "lt", "le", "class")
}
UNIT |= {
    "to": "fp_to_integer(st, fmt, rm, a, kind)", "from": "fp_from_integer(st, fmt, rm, a, kind)",
    "convert": "fp_convert(st, fmt, rm, a, kind)",
}  # fmt: skip


def many(calls: dict[str, str], unit: bool) -> Any:
    """One njit function over all operations: rows of (op, fmt, kind, rm, fcsr, a, b, c) in, rows of (result, flags) out."""
    lines = ["def many(given, out, st):", "    for i in range(given.shape[0]):"]
    lines.append(f"        op, fmt, kind, rm, fcsr, a, b, c = {', '.join(f'given[i, {j}]' for j in range(8))}")
    for n, call in enumerate(calls.values()):
        lines.append(f"        {'if' if n == 0 else 'elif'} op == U64({n}):")
        if unit:
            lines += ["            st[FCSR] = fcsr", f"            out[i, 0] = {call}", "            out[i, 1] = st[FCSR]"]
        else:
            lines += [f"            bits, flags = {call}", "            out[i, 0] = bits", "            out[i, 1] = flags"]
    namespace: dict[str, Any] = {}
    for module in MODULES:
        namespace |= vars(module)
    exec("\n".join(lines), namespace)
    return njit.jit(namespace["many"], _nrt=True, no_cpython_wrapper=False)


def parts(op: str) -> tuple[str, int]:
    """The call that does an operation and the number of its second type."""
    name, _, other = op.partition(".")
    if other in FLOAT_FORMATS:
        return "convert", FLOAT_FORMATS.index(other)
    return name, INTEGER_TYPES.index(other) if other else 0


def rows(cases: list[Case], calls: dict[str, str], fcsr: list[int]) -> Any:
    numbers = {name: n for n, name in enumerate(calls)}
    given = []
    for (op, fmt, rm, operands), before in zip(cases, fcsr, strict=True):
        name, kind = parts(op)
        given.append([numbers[name], FLOAT_FORMATS.index(fmt), kind, rm, before, *[*operands, 0, 0][:3]])
    return np.array(given, np.uint64)


class Batch:
    """Runs cases through the compiled functions."""

    def __init__(self, calls: dict[str, str], unit: bool) -> None:
        self.calls = calls
        self.compiled = many(calls, unit)
        self.state = np.zeros(len(SLOT), np.uint64)

    def run(self, cases: list[Case], fcsr: list[int] | None = None) -> list[tuple[int, int]]:
        out = np.zeros((len(cases), 2), np.uint64)
        self.compiled(rows(cases, self.calls, fcsr or [0] * len(cases)), out, self.state)
        return [(int(a), int(b)) for a, b in out.tolist()]


@pytest.fixture(scope="module")
def soft() -> Iterator[Batch]:
    yield Batch(SOFT, unit=False)


@pytest.fixture(scope="module")
def unit() -> Iterator[Batch]:
    yield Batch(UNIT, unit=True)


def soft_name(case: Case) -> Case:
    """The soft functions have one fused operation: its variants are sign flips."""
    op, fmt, rm, operands = case
    sign = FORMATS[fmt].sign
    if op in ("msub", "nmsub", "nmadd"):
        a, b, c = operands
        operands = [a ^ sign if op[0] == "n" else a, b, c ^ sign if op != "nmsub" else c]
        op = "madd"
    return op, fmt, rm, operands


def compare(batch: Batch, cases: list[Case], test: str) -> None:
    for (op, fmt, rm, operands), got in zip(cases, batch.run([soft_name(c) for c in cases]), strict=True):
        expected = compute(op, fmt, rm, *operands)
        assert got == expected, (
            f"soft-float != exact: {op} {fmt} mode {rm} of {[hex(v) for v in operands]}: "
            f"{got[0]:#x} flags {got[1]:#x}, not {expected[0]:#x} flags {expected[1]:#x}; "
            f"RVHV_DIFF_SEED={SEED} pytest tests/diff/test_softfloat.py -k '{test}'"
        )


def operands(op: str, fmt: str, rng: random.Random) -> list[int]:
    other = op.partition(".")[2]
    if op.startswith("from.") and other in INTEGER_TYPES:
        return [value(rng)]
    if op.startswith("to.") and rng.random() < 0.5:
        return [near_an_integer(FORMATS[fmt], rng)]
    return data(other if op.startswith("from.") else fmt, FLOAT_OPS[op], rng)


def near_an_integer(f: Format, rng: random.Random) -> int:
    """A number around the places where rounding to an integer changes and where integers end."""
    bits, _ = oracle_float.round_to(oracle_float.Fraction(rng.choice(EDGES)) + oracle_float.Fraction(rng.randint(-4, 4), 4), f, 1)
    return (bits + rng.randint(-2, 2)) & (f.sign - 1) | (f.sign if rng.random() < 0.4 else 0)


@pytest.mark.parametrize("op", OPS)
def test_random_operands(op: str, soft: Batch) -> None:
    """All formats and rounding modes."""
    rng = rng_for("softfloat", op)
    cases = []
    for n in range(int(2500 * SCALE)):
        fmt = FLOAT_FORMATS[n % 3]
        if op.partition(".")[2] != fmt:
            cases.append((op, fmt, n // 3 % 5, operands(op, fmt, rng)))
    compare(soft, cases, f"random_operands and {op}")


@pytest.mark.parametrize("fmt", FLOAT_FORMATS)
@pytest.mark.parametrize("op", ["add", "mul", "div", "lt", "min"])
def test_edges(op: str, fmt: str, soft: Batch) -> None:
    """Every pair of edge values; the mode changes from pair to pair."""
    values = edges(FORMATS[fmt])
    cases = [(op, fmt, (i + j) % 5, [a, b]) for i, a in enumerate(values) for j, b in enumerate(values)]
    compare(soft, cases, f"edges and {op} and {fmt}")


@pytest.mark.parametrize("op", ["sqrt", "class", "from.h", "to.w", "to.lu"])
def test_every_half(op: str, soft: Batch) -> None:
    """All numbers in half precision."""
    step = 1 if SCALE >= 1 else 7
    fmt = "s" if op == "from.h" else "h"
    compare(soft, [(op, fmt, a % 5, [a]) for a in range(0, 1 << 16, step)], f"every_half and {op}")


@pytest.mark.parametrize("fmt", FLOAT_FORMATS)
def test_halfway(fmt: str, soft: Batch) -> None:
    """Sums that lie exactly between two numbers, and just beside it, in every mode."""
    f, rng, cases = FORMATS[fmt], rng_for("halfway", fmt), []
    for _ in range(int(150 * SCALE)):
        e = rng.randrange(f.fraction_bits + 3, 2 * f.emax)
        a = e << f.fraction_bits | rng.getrandbits(f.fraction_bits)
        half = (e - f.fraction_bits - 1) << f.fraction_bits
        for b in (half, half + 1, half - 1):
            sign = rng.choice((0, f.sign))
            cases += [("add", fmt, rm, [a ^ sign, b ^ rng.choice((0, f.sign))]) for rm in MODES]
    compare(soft, cases, f"halfway and {fmt}")


@pytest.mark.parametrize("fmt", FLOAT_FORMATS)
def test_tininess_is_detected_after_rounding(fmt: str, soft: Batch) -> None:
    """Products and quotients around the smallest normal number, in every mode."""
    f, rng, cases = FORMATS[fmt], rng_for("tiny", fmt), []
    ones = (1 << f.fraction_bits) - 1
    for _ in range(int(300 * SCALE)):
        e = rng.randrange(1, f.emax)
        other = f.emax - e + rng.choice((0, 0, 1, -1))
        a = e << f.fraction_bits | rng.choice((ones, ones - 1, rng.getrandbits(f.fraction_bits)))
        b = max(other, 0) << f.fraction_bits | rng.choice((0, 1, 2, ones, rng.getrandbits(f.fraction_bits)))
        cases += [("mul", fmt, rm, [a, b | rng.choice((0, f.sign))]) for rm in MODES]
    cases += [("mul", fmt, rm, [(f.emax << f.fraction_bits) - 1, 1 << f.fraction_bits]) for rm in MODES]
    compare(soft, cases, f"tininess and {fmt}")
    assert {flags & UF for _, flags in soft.run(cases)} == {0, UF}


@pytest.mark.parametrize("op", ["add", "mul", "div", "sqrt"])
def test_the_host_agrees_in_bulk(op: str, soft: Batch) -> None:
    """A second witness: numpy's arithmetic, half a million random pairs in double and single precision (bits alone)."""
    rng = np.random.default_rng(SEED)
    functions = {"add": np.add, "mul": np.multiply, "div": np.divide, "sqrt": lambda a, b: np.sqrt(a)}
    for fmt, unsigned, number in (("d", np.uint64, np.float64), ("s", np.uint32, np.float32)):
        count = int(250_000 * min(SCALE, 1))
        a, b = (rng.integers(0, np.iinfo(unsigned).max, count, unsigned, endpoint=True) for _ in range(2))
        b[::4] = a[::4] ^ (rng.integers(0, 4, len(a[::4]), unsigned))
        given = np.zeros((count, 8), np.uint64)
        given[:, 0], given[:, 1] = list(SOFT).index(op), FLOAT_FORMATS.index(fmt)
        given[:, 5], given[:, 6] = a, b
        out = np.zeros((count, 2), np.uint64)
        soft.compiled(given, out, soft.state)
        with np.errstate(all="ignore"):
            expected = functions[op](a.view(number), b.view(number))
        got = out[:, 0].astype(unsigned).view(number)
        nan = np.isnan(expected)
        assert (np.isnan(got) == nan).all() and (got[~nan].view(unsigned) == expected[~nan].view(unsigned)).all()


def unit_oracle(case: Case, fcsr: int) -> tuple[int, int]:
    op, fmt, rm, images = case
    result, flags = oracle_float.compute_registers(op, fmt, rm, *images)
    return result, fcsr | flags


@pytest.mark.parametrize("op", [*(op for op in UNIT if op in FLOAT_OPS), "to.w", "from.l", "from.s"])
def test_the_unit(op: str, unit: Batch) -> None:
    """Registers in, registers out; the host may have computed. With NX clear and set, in the modes that matter."""
    rng = rng_for("unit", op)
    cases: list[Case] = []
    for n in range(int(3000 * SCALE)):
        fmt = FLOAT_FORMATS[n % 3]
        source = "s" if op == "from.s" else fmt
        if op == "from.s" and fmt == "s":
            continue
        given = [value(rng)] if op == "from.l" else [box(v, source) for v in data(source, FLOAT_OPS[op], rng)]
        if op != "from.l" and rng.random() < 0.05:
            given[rng.randrange(len(given))] ^= 1 << rng.randrange(64)
        cases.append((op, fmt, rng.choice((0, 0, 0, 1, 2, 3, 4)), given))
    fcsr = [rng.choice((0, NX, 31, 0xE0)) for _ in cases]
    for case, before, got in zip(cases, fcsr, unit.run(cases, fcsr), strict=True):
        expected = unit_oracle(case, before)
        assert got == expected, f"{case} fcsr {before:#x}: {got} != {expected}; RVHV_DIFF_SEED={SEED}"


def bits(x: float, fmt: str = "d") -> int:
    if fmt == "s":
        return box(int(np.float32(x).view(np.uint32)), "s")
    return int(np.float64(x).view(np.uint64))


TRAPS = [
    # normal and inexact, though the residual of an error-free product underflows to zero
    ("mul", "d", 0, [bits((1 + 2**-52) * 2.0**-500)] * 2),
    # rounds to the smallest normal number, and is tiny
    ("mul", "d", 0, [bits(float.fromhex("0x1.00002924p-511")), bits(float.fromhex("0x1.ffffadb80d391p-512"))]),
    ("mul", "s", 0, [bits((1 + 2**-23) * 2.0**-60, "s")] * 2),
    ("mul", "d", 0, [bits(1 - 2**-53), bits(2.0**-1022)]),
    ("mul", "s", 0, [bits(1 - 2**-24, "s"), bits(2.0**-126, "s")]),
    ("div", "s", 0, [bits(2.0**-126 * (1 + 2**-23), "s"), bits(1 + 2**-22, "s")]),
    ("madd", "d", 0, [bits(2.0**-600), bits(2.0**-600), bits(1.0)]),
    ("madd", "d", 0, [bits(1.0 + 2**-52), bits(1.0), bits(5e-324)]),
    ("add", "d", 0, [bits(2.0**1023), bits(2.0**1023)]),
    ("add", "d", 0, [bits(1.0), bits(2.0**-1000)]),
    ("add", "s", 0, [bits(1.0, "s"), bits(2.0**-60, "s")]),
    ("div", "d", 0, [bits(2.0**-1022), bits(1 + 2**-52)]),
    ("div", "d", 0, [bits(2.0**1023), bits(0.5)]),
]


@pytest.mark.parametrize("fcsr", [0, NX])
@pytest.mark.parametrize("case", TRAPS, ids=lambda c: f"{c[0]}.{c[1]}")
def test_where_the_host_may_not_stand_in(case: Case, fcsr: int, unit: Batch) -> None:
    assert unit.run([case], [fcsr]) == [unit_oracle(case, fcsr)]


@pytest.mark.parametrize("op", HOSTED[:6])
@pytest.mark.parametrize("fmt", ["d", "s"])
def test_the_ends_of_the_hosts_range(op: str, fmt: str, unit: Batch) -> None:
    """Results with every exponent next to the limits of where the host stands in."""
    f, rng = FORMATS[fmt], rng_for("ends", op, fmt)
    one, cases = f.emax << f.fraction_bits, []
    for _ in range(int(1500 * SCALE)):
        ends = (1, 2, 3, 4, 31, 32, 33, 63, 64, 65, 2 * f.emax - 2, 2 * f.emax - 1, 2 * f.emax)
        e = rng.choice(ends) + rng.choice((-1, 0, 0, 0))
        a = max(min(e, 2 * f.emax), 0) << f.fraction_bits | data(fmt, 1, rng)[0] & ((1 << f.fraction_bits) - 1)
        b = (one if op in ("mul", "div", "madd") else a) ^ rng.getrandbits(2) ^ rng.choice((0, f.sign))
        if op in ("add", "sub") and rng.random() < 0.5 and e > 2:
            b -= rng.choice((1, 2)) << f.fraction_bits
        c = a ^ rng.getrandbits(3) ^ rng.choice((0, f.sign, 1 << f.fraction_bits))
        cases.append((op, fmt, 0, [box(v, fmt) for v in (a, b, c)[: FLOAT_OPS[op]]]))
    for fcsr in (0, NX):
        for case, got in zip(cases, unit.run(cases, [fcsr] * len(cases)), strict=True):
            assert got == unit_oracle(case, fcsr), f"{case} fcsr {fcsr}; RVHV_DIFF_SEED={SEED}"


def test_floating_point_off_and_dirty(unit: Batch) -> None:
    """Flags make FS Dirty; an exact comparison does not."""
    mstatus = SLOT["mstatus"]
    for case, dirty in ((("le", "d", 0, [bits(1.0), bits(2.0)]), 0), (("le", "d", 0, [bits(float("nan")), bits(2.0)]), 3 << 13)):
        unit.state[:] = 0
        unit.run([case])
        assert unit.state[mstatus] == dirty


def test_no_floats_in_integer_code(soft: Batch, unit: Batch) -> None:
    """numba makes a float of a uint64 and an int64: no value of any function is one."""
    unit.run([TRAPS[0]])
    soft.run([TRAPS[0]])
    functions = {f for module in MODULES for f in vars(module).values() if isinstance(f, Dispatcher)}
    assert sum(bool(f.overloads) for f in functions) > 60
    for function in functions:
        for overload in function.overloads.values():
            floats = [n for n, t in overload.type_annotation.typemap.items() if isinstance(t, types.Float)]
            assert not floats, f"{function}: {floats}"
