"""Random instructions and states for the differential tests: every choice follows from one seed, which failures print."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass

from rvhv.isa.effects import Amo, Call, CsrAccess, Jump, Load, LoadReserved, Store, StoreConditional
from rvhv.isa.encoding import Encoding, Field
from rvhv.isa.expr import MASK64
from rvhv.isa.rows import Compressed, Insn, Registry

SEED = int(os.environ.get("RVHV_DIFF_SEED", "20261122"))
SCALE = float(os.environ.get("RVHV_DIFF_SCALE", "1"))  # more states a row: a longer hunt

EDGES = tuple(
    v & MASK64
    for v in (
        0, 1, 2, 3, 7, 8, 31, 32, 33, 63, 64, 65, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, (1 << 31) - 1, 1 << 31,
        (1 << 31) + 1, (1 << 32) - 1, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, -1, -2, -(1 << 31), -(1 << 31) - 1,
        0x0123_4567_89AB_CDEF, 0xAAAA_AAAA_AAAA_AAAA, 0x5555_5555_5555_5555,
    )
)  # fmt: skip
MEMORY_EFFECTS = (Load, Store, Amo, LoadReserved, StoreConditional)


def rng_for(*key: object) -> random.Random:
    return random.Random(":".join(map(str, (SEED, *key))))


def value(rng: random.Random) -> int:
    """A 64-bit value: an edge, near an edge, or random bits of a random width."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(EDGES)
    if kind < 0.6:
        return (rng.choice(EDGES) + rng.randint(-2, 2)) & MASK64
    return rng.getrandbits(rng.choice((8, 16, 31, 32, 33, 63, 64, 64, 64)))


def field_value(f: Field, rng: random.Random) -> int:
    raw = rng.getrandbits(f.bits) & f.settable
    kind = rng.random()
    if kind < 0.15:
        raw = 0
    elif kind < 0.3:
        raw = f.settable
    elif f.signed and kind < 0.4:
        raw = 1 << (f.bits - 1)
    if f.signed and raw >> (f.bits - 1):
        raw -= 1 << f.bits
    return raw + f.bias


def random_word(encoding: Encoding, rng: random.Random, **fixed: int) -> int:
    fields = {f.name: field_value(f, rng) for f in encoding.fields} | {k: v for k, v in fixed.items() if k in encoding.by_name}
    return encoding.build(fields)


@dataclass(frozen=True)
class Row:
    """A 32-bit instruction or a compressed encoding of one."""

    name: str
    insn: Insn
    compressed: Compressed | None

    @property
    def encoding(self) -> Encoding:
        return self.compressed.encoding if self.compressed else self.insn.encoding

    @property
    def length(self) -> int:
        return self.encoding.length

    @property
    def touches_memory(self) -> bool:
        return any(isinstance(e, MEMORY_EFFECTS) for e in self.insn.effects)

    @property
    def access_size(self) -> int:
        return next(e.size for e in self.insn.effects if isinstance(e, MEMORY_EFFECTS))

    @property
    def must_align(self) -> bool:
        return any(isinstance(e, Amo | LoadReserved | StoreConditional) for e in self.insn.effects)

    @property
    def plain(self) -> bool:
        """Neither a helper nor a CSR nor floating point: X registers, memory and pc are all it touches."""
        insn = self.insn
        return not (insn.uses_float or insn.privileged or any(isinstance(e, Call | CsrAccess) for e in insn.effects))


def rows(registry: Registry) -> list[Row]:
    base = [Row(i.name, i, None) for i in registry.insns.values()]
    return base + [Row(c.name, registry.insns[c.base], c) for c in registry.compressed.values()]


@dataclass(frozen=True)
class Case:
    """One instruction word and the registers it starts from."""

    word: int
    length: int
    x: tuple[int, ...]


def random_case(row: Row, registry: Registry, rng: random.Random, data: range, code: range) -> Case:
    """A legal word of this row, and registers with which it accesses only `data` and jumps only into `code`."""
    while True:
        word = random_word(row.encoding, rng)
        decoded = registry.decode(word)
        if decoded is None or decoded[0] is not row.insn or decoded[2] is not row.compressed:
            continue  # a reserved encoding, or one that means another row
        fields = decoded[1]
        x = [0, *(value(rng) for _ in range(31))]
        if row.touches_memory:
            size, base = row.access_size, fields["rs1"]
            if base == 0:
                continue
            address = rng.randrange(data.start, data.stop - size + 1)
            if row.must_align or rng.random() < 0.5:
                address &= -size
            x[base] = (address - fields.get("imm", 0)) & MASK64
        elif any(isinstance(e, Jump) for e in row.insn.effects) and "rs1" in fields:
            if fields["rs1"] == 0:
                continue
            x[fields["rs1"]] = (rng.choice(code) - fields["imm"]) & MASK64
        return Case(word, row.length, tuple(x))
