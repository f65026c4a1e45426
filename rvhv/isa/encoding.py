"""Encodings: one string in the manual's notation is the decoder, the encoder and the field layout of an instruction.

`"imm[11:5] rs2 rs1 010 imm[4:0] 0100011"` reads from bit 31 down. A token is either fixed bits or a field:
`rd rs1 rs2` and `frd frs1 frs2 frs3` (5-bit X and F registers), `rd' rs1' frd' ...` (3 bits, registers 8 to 15),
`name[7:3|1]` (the bits of a value that this token holds), `name:WIDTH` (a plain unsigned field). `imm` is sign-extended from its
highest bit, every other field is unsigned.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

REGISTER_WIDTH = {"rd": 5, "rs1": 5, "rs2": 5, "frd": 5, "frs1": 5, "frs2": 5, "frs3": 5}
REGISTER_WIDTH |= {f"{name}'": 3 for name in REGISTER_WIDTH}
SIGNED_FIELDS = frozenset({"imm"})


@dataclass(frozen=True)
class Slice:
    """`width` bits of a field: instruction bits from `insn_lo` hold value bits from `value_lo`."""

    insn_lo: int
    value_lo: int
    width: int


@dataclass(frozen=True)
class Field:
    """One operand of an encoding, possibly scattered over several slices."""

    name: str
    slices: tuple[Slice, ...]
    signed: bool
    bias: int = 0  # 8 for the three-bit registers of compressed instructions

    @cached_property
    def bits(self) -> int:
        """One more than the highest value bit."""
        return max(s.value_lo + s.width for s in self.slices)

    @cached_property
    def settable(self) -> int:
        """Mask of the value bits that the encoding can hold."""
        return sum(((1 << s.width) - 1) << s.value_lo for s in self.slices)

    @cached_property
    def insn_mask(self) -> int:
        return sum(((1 << s.width) - 1) << s.insn_lo for s in self.slices)

    def extract(self, insn: int) -> int:
        value = 0
        for s in self.slices:
            value |= ((insn >> s.insn_lo) & ((1 << s.width) - 1)) << s.value_lo
        if self.signed and value >> (self.bits - 1):
            value -= 1 << self.bits
        return value + self.bias

    def insert(self, value: int) -> int:
        """The instruction bits that hold `value`. Raises ValueError when the encoding cannot hold it."""
        raw = value - self.bias
        low, high = (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1) if self.signed else (0, (1 << self.bits) - 1)
        if not low <= raw <= high:
            raise ValueError(f"{self.name} = {value} is outside {low + self.bias} to {high + self.bias}")
        if raw & ~self.settable & ((1 << self.bits) - 1):
            raise ValueError(f"{self.name} = {value} is not a multiple of {self.settable & -self.settable}")
        return sum(((raw >> s.value_lo) & ((1 << s.width) - 1)) << s.insn_lo for s in self.slices)


@dataclass(frozen=True)
class Encoding:
    """A parsed encoding string; `length` in bytes (2 or 4)."""

    text: str
    length: int
    match: int
    mask: int
    fields: tuple[Field, ...]

    @cached_property
    def by_name(self) -> dict[str, Field]:
        return {f.name: f for f in self.fields}

    def extract(self, insn: int) -> dict[str, int]:
        return {f.name: f.extract(insn) for f in self.fields}

    def build(self, values: dict[str, int]) -> int:
        """The instruction word with each field set. Raises ValueError for a value that does not fit."""
        insn = self.match
        for field in self.fields:
            insn |= field.insert(values[field.name])
        return insn


def _bit_ranges(text: str) -> list[tuple[int, int]]:
    ranges = []
    for part in text.split("|"):
        high, _, low = part.partition(":")
        ranges.append((int(high), int(low or high)))
    return ranges


def parse_encoding(text: str) -> Encoding:
    """Parse the manual's notation. Raises ValueError unless the tokens fill 16 or 32 bits exactly."""
    pieces: list[tuple[str, list[tuple[int, int]]] | str] = []
    total = 0
    for token in text.split():
        if re.fullmatch("[01]+", token):
            pieces.append(token)
            total += len(token)
        elif token in REGISTER_WIDTH:
            pieces.append((token, [(REGISTER_WIDTH[token] - 1, 0)]))
            total += REGISTER_WIDTH[token]
        elif m := re.fullmatch(r"(\w+)\[([\d:|]+)\]", token):
            ranges = _bit_ranges(m[2])
            pieces.append((m[1], ranges))
            total += sum(hi - lo + 1 for hi, lo in ranges)
        elif m := re.fullmatch(r"(\w+):(\d+)", token):
            pieces.append((m[1], [(int(m[2]) - 1, 0)]))
            total += int(m[2])
        else:
            raise ValueError(f"encoding {text!r}: cannot read {token!r}")
    if total not in (16, 32):
        raise ValueError(f"encoding {text!r}: {total} bits, not 16 or 32")
    position, match, mask = total, 0, 0
    slices: dict[str, list[Slice]] = {}
    for piece in pieces:
        if isinstance(piece, str):
            position -= len(piece)
            match |= int(piece, 2) << position
            mask |= ((1 << len(piece)) - 1) << position
            continue
        name, ranges = piece
        for hi, lo in ranges:
            position -= hi - lo + 1
            slices.setdefault(name, []).append(Slice(position, lo, hi - lo + 1))
    fields = tuple(
        Field(name.rstrip("'"), tuple(parts), name in SIGNED_FIELDS, 8 if name.endswith("'") else 0)
        for name, parts in slices.items()
    )
    return Encoding(text, total // 8, match, mask, fields)
