"""The disassembler: rows' syntax strings filled in."""

from __future__ import annotations

from rvhv.isa.expr import MASK64
from rvhv.isa.render.syntax import (
    AQRL_SUFFIX,
    FENCE_SET,
    FLOAT_REGISTERS,
    PSEUDO,
    REGISTERS,
    ROUNDING_DEFAULT,
    ROUNDING_MODES,
    Pseudo,
    is_register,
    shown_fields,
    tokens,
)
from rvhv.isa.rows import FLOAT_OPERANDS, Registry

ROUNDING_NAMES = {number: name for name, number in ROUNDING_MODES.items()}


class Disassembler:
    """Words to text. With `pseudo` it uses the names objdump prints (`li`, `ret`) and expands compressed encodings;
    without, every word has the name of its own row, and assembling the text gives the word again."""

    def __init__(self, registry: Registry, *, pseudo: bool = True) -> None:
        self._registry = registry
        self._pseudo = pseudo
        self._aliases: dict[str, list[Pseudo]] = {}
        for alias in PSEUDO:
            if alias.printed:
                self._aliases.setdefault(alias.base, []).append(alias)
        self._csr_numbers = {name: row.number for name, row in registry.csrs.items()}

    def text(self, word: int, pc: int | None = None) -> str:
        """As `disassemble`; the name that explanations use."""
        return self.disassemble(word, pc)

    def disassemble(self, word: int, pc: int | None = None) -> str:
        """The instruction at the low end of `word`, e.g. "addi a0, a1, -4". A branch target is an address when `pc` is
        given, else an offset. What is illegal or has no syntax is printed as data (`.half`, `.word`)."""
        decoded = self._registry.decode(word)
        if decoded is None:
            return self._as_data(word)
        insn, fields, compressed = decoded
        if compressed is None:
            found = self._alias(insn.name, fields, pc) if self._pseudo else None
            found = found or self._plain(insn.name, insn.syntax, fields, pc)
            return found or self._alias(insn.name, fields, pc) or self._as_data(word)
        own = compressed.encoding.extract(word & 0xFFFF)
        if not self._pseudo:
            return self._plain(compressed.name, compressed.syntax, own, pc) or self._as_data(word)
        return (
            self._alias(compressed.name, own, pc)
            or self._alias(insn.name, fields, pc)
            or self._plain(insn.name, insn.syntax, fields, pc)
            or self._as_data(word)
        )

    def _as_data(self, word: int) -> str:
        return f".half {word & 0xFFFF:#06x}" if word & 3 != 3 else f".word {word & 0xFFFF_FFFF:#010x}"

    def _alias(self, base: str, fields: dict[str, int], pc: int | None) -> str | None:
        for alias in self._aliases.get(base, ()):
            if self._pseudo and alias.name.startswith("c."):
                continue
            same = all(fields[f] == fields[other] for f, other in alias.same.items())
            if same and all(fields[f] == self._fixed(v) for f, v in alias.fixed.items()):
                shown = {f: v for f, v in fields.items() if f not in alias.fixed and f not in alias.same}
                if (text := self._plain(alias.name, alias.syntax, shown, pc)) is not None:
                    return text
        return None

    def _fixed(self, value: int | str) -> int:
        return self._csr_numbers.get(value, -1) if isinstance(value, str) else value

    def _plain(self, name: str, syntax: str, fields: dict[str, int], pc: int | None) -> str | None:
        """The text, or None when a field that the syntax does not show is not zero."""
        hidden = set(fields) - set(shown_fields(syntax))
        if "aqrl" in hidden:
            name += AQRL_SUFFIX[fields["aqrl"]]
            hidden.remove("aqrl")
        if any(fields[f] for f in hidden) or fields.get("rm", 0) not in ROUNDING_NAMES:
            return None
        for placeholder, default in ROUNDING_DEFAULT.items():
            if syntax.endswith(", " + placeholder) and fields["rm"] == default:
                syntax = syntax.removesuffix(", " + placeholder)
        operands = "".join(
            self._operand(text, fields, pc) if placeholder else (", " if text == "," else text)
            for placeholder, text in tokens(syntax)
        )
        return f"{name} {operands}" if operands else name

    def _operand(self, placeholder: str, fields: dict[str, int], pc: int | None) -> str:
        if placeholder in FLOAT_OPERANDS:
            return FLOAT_REGISTERS[fields[placeholder]]
        if placeholder in ROUNDING_DEFAULT:
            return ROUNDING_NAMES[fields["rm"]]
        if is_register(placeholder):
            return REGISTERS[fields[placeholder]]
        if placeholder == "target":
            return str(fields["imm"]) if pc is None else f"{(pc + fields['imm']) & MASK64:#x}"
        if placeholder == "upper":
            return f"{(fields['imm'] >> 12) & 0xFFFFF:#x}"
        if placeholder == "csr":
            row = self._registry.csr_by_number.get(fields["csr"])
            return row.name if row is not None else f"{fields['csr']:#x}"
        if placeholder in ("pred", "succ"):
            return "".join(letter for bit, letter in FENCE_SET if fields[placeholder] & bit) or "0"
        return str(fields[placeholder])
