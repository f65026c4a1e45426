"""Expressions and instructions rendered to numba source.

Guest values are `uint64` in every subexpression: numba would turn `u64 + 1` into a signed addition whose overflow is undefined.
"""

from __future__ import annotations

from collections.abc import Callable

from rvhv.isa.expr import E

OPS: dict[str, str] = {
    "add": "({0} + {1})",
    "sub": "({0} - {1})",
    "mul": "({0} * {1})",
    "and": "({0} & {1})",
    "or": "({0} | {1})",
    "xor": "({0} ^ {1})",
    "shl": "({0} << {1})",
    "shr": "({0} >> {1})",
    "sar": "U64(I64({0}) >> I64({1}))",
    "eq": "U64({0} == {1})",
    "ne": "U64({0} != {1})",
    "ltu": "U64({0} < {1})",
    "geu": "U64({0} >= {1})",
    "lts": "U64(I64({0}) < I64({1}))",
    "ges": "U64(I64({0}) >= I64({1}))",
    "select": "({1} if {0} != U64(0) else {2})",
    "mulhu": "mulhu({0}, {1})",
    "mulh": "mulh({0}, {1})",
    "mulhsu": "mulhsu({0}, {1})",
    "udiv": "udiv({0}, {1})",
    "urem": "urem({0}, {1})",
    "sdiv": "sdiv({0}, {1})",
    "srem": "srem({0}, {1})",
    "sext8": "U64(I64(I8({0})))",
    "sext16": "U64(I64(I16({0})))",
    "sext32": "U64(I64(I32({0})))",
    "zext8": "({0} & U64(0xff))",
    "zext16": "({0} & U64(0xffff))",
    "zext32": "({0} & U64(0xffffffff))",
    "clz": "clz({0})",
    "ctz": "ctz({0})",
    "cpop": "cpop({0})",
    "bswap": "bswap({0})",
    "brev": "brev({0})",
    "clmul": "clmul({0}, {1})",
}


def expr_source(expr: E, leaf: Callable[[str], str]) -> str:
    """A Python expression of type uint64; `leaf` renders a leaf's name."""
    if expr.op == "const":
        return f"U64({expr.args[0]:#x})"
    if expr.op == "leaf":
        return leaf(str(expr.args[0]))
    return OPS[expr.op].format(*(expr_source(kid, leaf) for kid in expr.kids))


def condition_source(expr: E, leaf: Callable[[str], str]) -> str:
    """The same as a Python condition: comparisons stay comparisons."""
    compare = {"eq": "{0} == {1}", "ne": "{0} != {1}", "ltu": "{0} < {1}", "geu": "{0} >= {1}",
               "lts": "I64({0}) < I64({1})", "ges": "I64({0}) >= I64({1})"}  # fmt: skip
    if expr.op in compare:
        return compare[expr.op].format(*(expr_source(kid, leaf) for kid in expr.kids))
    return f"{expr_source(expr, leaf)} != U64(0)"
