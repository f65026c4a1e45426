"""Random programs that always end: straight lines, forward branches and jumps, and loops with a counter of their own."""

from __future__ import annotations

import random
from dataclasses import dataclass

from rvhv.isa.effects import Branch, Call, CsrAccess, Jump
from rvhv.isa.rows import Registry
from tests.diff.states import Row, random_word, value

# registers that programs keep: two pointers to the middle of the data, a loop counter
SP, DATA_POINTER, COUNTER = 2, 8, 9
KEPT = frozenset({SP, DATA_POINTER, COUNTER})
TARGET = 31  # holds the address of an indirect jump
TRIES = 200


@dataclass
class Item:
    """One instruction; `skip` counts the items that a taken branch or jump jumps over (negative: backwards).

    An `indirect` jump is one item of three instructions, so that nothing jumps between them."""

    word: int
    length: int
    row: Row
    skip: int | None = None
    indirect: bool = False


@dataclass(frozen=True)
class Program:
    """Execution starts at its first byte with these registers and ends behind its last one."""

    code: bytes
    x: tuple[int, ...]


class ProgramMaker:
    """Programs over those of `rows` that can keep the kept registers."""

    def __init__(self, registry: Registry, rows: list[Row]) -> None:
        self.registry = registry
        self.by_kind: dict[str, list[Row]] = {}
        probe = random.Random(0)
        for row in rows:
            if (kind := self._kind(row)) is not None and self._word(row, probe) is not None:
                self.by_kind.setdefault(kind, []).append(row)

    @staticmethod
    def _kind(row: Row) -> str | None:
        kinds = {type(e) for e in row.insn.effects}
        if Call in kinds:
            return None
        if row.touches_memory:
            return "memory"
        if CsrAccess in kinds:
            return "csr"
        if Branch in kinds:
            return "branch"
        if Jump in kinds:
            return "indirect" if "rs1" in row.insn.encoding.by_name else "jump"
        return "plain"

    def _word(self, row: Row, rng: random.Random, **fixed: int) -> int | None:
        """A word of this row that keeps the kept registers, or None where the row cannot."""
        for _ in range(TRIES):
            if row.touches_memory and "rs1" in row.encoding.by_name:
                fixed["rs1"] = rng.choice((SP, DATA_POINTER)) if row.length == 4 else DATA_POINTER
            word = random_word(row.encoding, rng, **fixed)
            decoded = self.registry.decode(word)
            if decoded is None or decoded[0] is not row.insn or decoded[2] is not row.compressed:
                continue
            fields = decoded[1]
            if row.insn.result is not None and fields["rd"] in KEPT:
                continue
            if row.touches_memory and fields["rs1"] not in (SP, DATA_POINTER):
                continue
            return word
        return None

    def _item(self, rng: random.Random, csrs: tuple[int, ...]) -> Item:
        (kind,) = rng.choices(("plain", "memory", "branch", "jump", "indirect", "csr"), (50, 25, 12, 3, 3, 7 if csrs else 0))
        row = rng.choice(self.by_kind[kind])
        fixed = {"csr": rng.choice(csrs)} if kind == "csr" else {}
        if kind == "indirect":
            fixed = {"rs1": TARGET, "imm": 0}
        word = self._word(row, rng, **fixed)
        assert word is not None
        length = row.length + 8 if kind == "indirect" else row.length
        skip = rng.randint(0, 4) if kind in ("branch", "jump", "indirect") else None
        return Item(word, length, row, skip, kind == "indirect")

    def _base(self, name: str, **fields: int) -> Item:
        insn = self.registry.insns[name]
        return Item(insn.encoding.build(fields), 4, Row(name, insn, None))

    def make(self, rng: random.Random, data_pointer: int, count: int = 40, csrs: tuple[int, ...] = ()) -> Program:
        """About `count` instructions, half of them in loops; `csrs` are the numbers of CSRs it may access."""
        items: list[Item] = []
        while len(items) < count:
            body = [self._item(rng, csrs) for _ in range(rng.randint(3, 12))]
            for i, item in enumerate(body):
                if item.skip is not None:
                    item.skip = min(item.skip, len(body) - i - 1)  # it may not leave the body
            if rng.random() < 0.5:
                back = self._base("bne", rs1=COUNTER, rs2=0, imm=0)
                back.skip = -(len(body) + 2)
                setup = self._base("addi", rd=COUNTER, rs1=0, imm=rng.randint(1, 5))
                body = [setup, *body, self._base("addi", rd=COUNTER, rs1=COUNTER, imm=-1), back]
            items += body
        x = [0, *(value(rng) for _ in range(31))]
        x[SP] = x[DATA_POINTER] = data_pointer
        return Program(self._link(items), tuple(x))

    def _link(self, items: list[Item]) -> bytes:
        offsets = [0]
        for item in items:
            offsets.append(offsets[-1] + item.length)
        code = bytearray()
        for i, item in enumerate(items):
            if item.skip is None:
                code += item.word.to_bytes(item.length, "little")
                continue
            distance = offsets[i + 1 + item.skip] - offsets[i]
            if item.indirect:
                for prelude in (
                    self._base("auipc", rd=TARGET, imm=0),
                    self._base("addi", rd=TARGET, rs1=TARGET, imm=distance),
                ):
                    code += prelude.word.to_bytes(4, "little")
                code += item.word.to_bytes(item.row.length, "little")
            else:
                encoding = item.row.encoding
                word = encoding.build(encoding.extract(item.word) | {"imm": distance})
                code += word.to_bytes(item.length, "little")
        return bytes(code)
