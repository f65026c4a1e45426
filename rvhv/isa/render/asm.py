"""The assembler: rows' syntax strings read backwards.

One instruction to a word, or a small program (labels, constants, data) to bytes. It never compresses on its own: a
16-bit encoding is asked for by its `c.` name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from rvhv.errors import RvhvError
from rvhv.isa.encoding import Encoding
from rvhv.isa.expr import MASK64, signed
from rvhv.isa.render.syntax import (
    AQRL_SUFFIX,
    FENCE_SET,
    FLOAT_REGISTER_NUMBER,
    PLACEHOLDER_FIELD,
    PSEUDO,
    REGISTER_NUMBER,
    ROUNDING_DEFAULT,
    ROUNDING_MODES,
    is_register,
    tokens,
)
from rvhv.isa.rows import FLOAT_OPERANDS, Registry

DATA_BYTES = {".byte": 1, ".half": 2, ".2byte": 2, ".word": 4, ".4byte": 4, ".dword": 8, ".8byte": 8}
ZERO_FILL = frozenset({".zero", ".space"})
INSN_SIZE = 4


class AsmError(RvhvError):
    """A line that cannot be assembled; its text is one line."""


@dataclass(frozen=True)
class Image:
    """An assembled program: `code` starts at address `base`; `symbols` holds its labels and constants."""

    base: int
    code: bytes
    symbols: dict[str, int]


@dataclass(frozen=True)
class _Form:
    """One way to write a mnemonic: its operands, and the encoding with the fields that they leave fixed."""

    syntax: str
    encoding: Encoding
    fixed: Mapping[str, int]
    same: Mapping[str, str]


@cache
def _operand_pattern(syntax: str) -> re.Pattern[str]:
    parts: list[str] = []
    toks = tokens(syntax)
    for i, (placeholder, text) in enumerate(toks):
        if i + 1 < len(toks) and toks[i + 1][1] in ROUNDING_DEFAULT:
            continue  # its comma
        if text in ROUNDING_DEFAULT:
            parts.append(rf"(?:,\s*(?P<{text}>\w+))?")
        elif placeholder:
            optional = i + 1 < len(toks) and toks[i + 1][1] == "(" and not is_register(text)
            parts.append(f"(?P<{text}>[^,()]{'*' if optional else '+'})")
        elif text == "(" and (i == 0 or toks[i - 1][1] == ","):
            parts.append(r"(?:0\s*)?\(")  # GNU as takes `0(a0)` for `(a0)`
        else:
            parts.append(re.escape(text))
    return re.compile(r"\s*" + r"\s*".join(parts) + r"\s*")


def li_steps(value: int) -> list[tuple[str, int]]:
    """(mnemonic, immediate) steps that load a 64-bit value; the first reads zero, the others the last one's result."""
    value = signed(value)
    if -2048 <= value < 2048:
        return [("addi", value)]
    low = signed(value, 12)
    if -(1 << 31) <= value < 1 << 31:
        upper = ((value - low) >> 12) & 0xFFFFF
        return [("lui", upper)] + ([("addiw", low)] if low else [])
    rest = value - low
    shift = (rest & -rest).bit_length() - 1
    high = signed(rest, 65) >> shift
    return li_steps(high) + [("slli", shift)] + ([("addi", low)] if low else [])


def _split_statements(source: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(source.splitlines(), 1):
        for part in re.sub(r"(#|//).*", "", line).split(";"):
            if part.strip():
                yield number, part.strip()


class Assembler:
    """Assembles what a registry describes. `assemble` gives a word, `program` and `image` take many lines."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._forms: dict[str, list[_Form]] = {}
        for insn in registry.insns.values():
            self._add_form(insn.name, insn.syntax, insn.encoding, {}, {})
        for row in registry.compressed.values():
            self._add_form(row.name, row.syntax, row.encoding, {}, {})
        for pseudo in PSEUDO:
            base = registry.insns.get(pseudo.base) or registry.compressed.get(pseudo.base)
            if base is None or (pseudo.base in registry.compressed and not pseudo.name.startswith("c.")):
                continue  # a compressed encoding is never chosen for a plain name
            if all(isinstance(v, int) or v in registry.csrs for v in pseudo.fixed.values()):
                fixed = {f: v if isinstance(v, int) else registry.csrs[v].number for f, v in pseudo.fixed.items()}
                self._add_form(pseudo.name, pseudo.syntax, base.encoding, fixed, pseudo.same)

    def assemble(self, line: str, pc: int | None = None) -> int:
        """One instruction's word; a branch target is an address when `pc` is given, else an offset. Raises AsmError."""
        code = self._encode(line.strip(), pc, {})
        if len(code) not in (2, 4):
            raise AsmError(f"{line.strip()}: takes {len(code) // INSN_SIZE} instructions; assemble it as a program")
        return int.from_bytes(code, "little")

    def program(self, source: str, base: int = 0, symbols: Mapping[str, int] | None = None) -> bytes:
        """The bytes of a program at address `base`. Raises AsmError with the line's number."""
        return self.image(source, base, symbols).code

    def image(self, source: str, base: int = 0, symbols: Mapping[str, int] | None = None) -> Image:
        """As `program`, with the labels. `symbols` are constants the source may use."""
        table: dict[str, int] = dict(symbols or {})
        placed: list[tuple[int, int, str]] = []
        pc = base
        for number, statement in _split_statements(source):
            try:
                if statement := self._take_labels(statement, table, pc):
                    placed.append((number, pc, statement))
                    pc += self._size(statement, pc, table)
            except AsmError as error:
                raise AsmError(f"line {number}: {error}") from None
        code = bytearray()
        for number, pc, statement in placed:
            try:
                code += self._encode(statement, pc, table)
            except AsmError as error:
                raise AsmError(f"line {number}: {error}") from None
        return Image(base, bytes(code), table)

    # -- statements

    def _take_labels(self, statement: str, table: dict[str, int], pc: int) -> str:
        while m := re.match(r"([A-Za-z_.$][\w.$]*)\s*:", statement):
            if m[1] in table:
                raise AsmError(f"{m[1]} is defined twice")
            table[m[1]] = pc
            statement = statement[m.end() :].strip()
        if m := re.fullmatch(r"(?:\.equ\s+(\w+)\s*,|(\w+)\s*=)\s*(.+)", statement):
            table[m[1] or m[2]] = self._value(m[3], table, pc)
            return ""
        return statement

    def _size(self, statement: str, pc: int, table: Mapping[str, int]) -> int:
        mnemonic = statement.split(None, 1)[0]
        if mnemonic in DATA_BYTES:
            return DATA_BYTES[mnemonic] * (statement.count(",") + 1)
        if mnemonic == "la":
            return 2 * INSN_SIZE
        if mnemonic == "li" or mnemonic.startswith("."):
            return len(self._encode(statement, pc, table))
        forms = self._forms.get(mnemonic)
        return forms[0].encoding.length if forms else INSN_SIZE

    def _encode(self, statement: str, pc: int | None, table: Mapping[str, int]) -> bytes:
        mnemonic, *rest = statement.split(None, 1)
        operands = rest[0].strip() if rest else ""
        if mnemonic.startswith("."):
            return self._data(mnemonic, operands, pc, table)
        if mnemonic == "li":
            rd, _, value = operands.partition(",")
            return self._li(rd.strip(), self._value(value, table, pc))
        if mnemonic == "la":
            rd, _, where = operands.partition(",")
            return self._la(rd.strip(), self._value(where, table, pc), pc or 0)
        return self._insn(mnemonic, operands, pc, table)

    def _data(self, directive: str, operands: str, pc: int | None, table: Mapping[str, int]) -> bytes:
        if directive in DATA_BYTES:
            n = DATA_BYTES[directive]
            values = (self._value(v, table, pc) for v in operands.split(","))
            return b"".join((v & ((1 << 8 * n) - 1)).to_bytes(n, "little") for v in values)
        if directive in ZERO_FILL:
            return bytes(self._value(operands, table, pc))
        if directive in (".align", ".p2align", ".balign"):
            amount = self._value(operands, table, pc)
            return bytes(-(pc or 0) % (amount if directive == ".balign" else 1 << amount))
        if directive in (".ascii", ".asciz", ".string"):
            m = re.fullmatch(r'"((?:[^"\\]|\\.)*)"', operands)
            if m is None:
                raise AsmError(f"{directive} wants one quoted string")
            text = m[1].encode().decode("unicode_escape").encode("latin-1")
            return text if directive == ".ascii" else text + b"\0"
        if directive == ".insn":
            length, _, value = operands.partition(",")
            return self._value(value, table, pc).to_bytes(self._value(length, table, pc), "little")
        raise AsmError(f"unknown directive {directive}")

    def _li(self, rd: str, value: int) -> bytes:
        code = b""
        source = "zero"
        for mnemonic, immediate in li_steps(value):
            operands = f"{rd}, {immediate}" if mnemonic == "lui" else f"{rd}, {source}, {immediate}"
            code += self._insn(mnemonic, operands, None, {})
            source = rd
        return code

    def _la(self, rd: str, target: int, pc: int) -> bytes:
        offset = signed(target - pc)
        low = signed(offset, 12)
        code = self._insn("auipc", f"{rd}, {(offset - low) >> 12}", None, {})
        return code + self._insn("addi", f"{rd}, {rd}, {low}", None, {})

    # -- one instruction

    def _add_form(
        self, name: str, syntax: str, encoding: Encoding, fixed: Mapping[str, int], same: Mapping[str, str]
    ) -> None:
        if "aqrl" in encoding.by_name:
            for value, suffix in enumerate(AQRL_SUFFIX):
                self._forms.setdefault(name + suffix, []).append(_Form(syntax, encoding, {**fixed, "aqrl": value}, same))
        else:
            self._forms.setdefault(name, []).append(_Form(syntax, encoding, fixed, same))

    def _insn(self, mnemonic: str, operands: str, pc: int | None, table: Mapping[str, int]) -> bytes:
        forms = self._forms.get(mnemonic)
        if forms is None:
            raise AsmError(f"unknown instruction {mnemonic}")
        line = f"{mnemonic} {operands}".strip()
        problem: str | None = None
        for form in forms:
            match = _operand_pattern(form.syntax).fullmatch(operands)
            if match is None:
                continue
            try:
                values = dict.fromkeys(form.encoding.by_name, 0) | dict(form.fixed)
                for placeholder, text in match.groupdict().items():
                    field = PLACEHOLDER_FIELD.get(placeholder, placeholder)
                    values[field] = self._operand(placeholder, (text or "").strip(), pc, table)
                values |= {field: values[other] for field, other in form.same.items()}
                word = form.encoding.build(values)
                self._check_where(mnemonic, form, values)
                return word.to_bytes(form.encoding.length, "little")
            except (AsmError, ValueError) as error:
                problem = problem or str(error)
        if problem is None:
            problem = f"wants the operands {forms[0].syntax!r}" if forms[0].syntax else "takes no operands"
        raise AsmError(f"{line}: {problem}")

    def _check_where(self, mnemonic: str, form: _Form, values: dict[str, int]) -> None:
        row = self._registry.compressed.get(mnemonic)
        if row is not None and row.encoding is form.encoding and not row.where(values):
            raise AsmError("these operands are a reserved encoding")

    def _operand(self, placeholder: str, text: str, pc: int | None, table: Mapping[str, int]) -> int:
        if placeholder in FLOAT_OPERANDS:
            if text not in FLOAT_REGISTER_NUMBER:
                raise AsmError(f"{text} is not a floating-point register")
            return FLOAT_REGISTER_NUMBER[text]
        if is_register(placeholder):
            if text not in REGISTER_NUMBER:
                raise AsmError(f"{text} is not a register")
            return REGISTER_NUMBER[text]
        if placeholder in ROUNDING_DEFAULT:
            if text and text not in ROUNDING_MODES:
                raise AsmError(f"{text} is not a rounding mode")
            return ROUNDING_MODES[text] if text else ROUNDING_DEFAULT[placeholder]
        if placeholder == "csr":
            row = self._registry.csrs.get(text)
            return row.number if row is not None else self._value(text, table, pc)
        if placeholder in ("pred", "succ"):
            return _fence_set(text)
        if not text:
            return 0  # the offset of `(a0)`
        value = self._value(text, table, pc)
        if placeholder == "target":
            return signed(value - pc) if pc is not None else value
        if placeholder == "upper":
            if not -0x80000 <= value <= 0xFFFFF:
                raise AsmError(f"{text} is not a 20-bit value")
            return signed(value << 12, 32)
        return value

    def _value(self, text: str, table: Mapping[str, int], pc: int | None) -> int:
        """Terms joined by + and -: numbers, labels and constants, `.` for the line's own address."""
        text = text.strip()
        if not re.fullmatch(r"[-+]?\s*[\w.$]+(\s*[-+]\s*[\w.$]+)*", text):
            raise AsmError(f"cannot read {text!r}" if text else "an operand is missing")
        total = 0
        for sign, term in re.findall(r"([-+]?)\s*([\w.$]+)", text):
            value = self._term(term, table, pc)
            total += -value if sign == "-" else value
        return total if abs(total) <= MASK64 else total & MASK64

    def _term(self, term: str, table: Mapping[str, int], pc: int | None) -> int:
        if term in table:
            return table[term]
        if term == "." and pc is not None:
            return pc
        try:
            return int(term, 0)
        except ValueError:
            raise AsmError(f"{term} is not a number or a label") from None


def _fence_set(text: str) -> int:
    bits = {letter: bit for bit, letter in FENCE_SET}
    if text != "0" and any(c not in bits for c in text):
        raise AsmError(f"{text} is not a set of i, o, r and w")
    return 0 if text == "0" else sum(bits[c] for c in set(text))
