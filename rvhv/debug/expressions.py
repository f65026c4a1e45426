"""The language in which a person names values and addresses: `$a0 + 8`, `sstatus.SIE`, `*sp`, `u8[g:0x80200000]`, `main.c:42`.

Values are unsigned 64-bit numbers and wrap. `i8[...]` to `i64[...]` read signed numbers and `i32(x)` makes one of a value; what
is computed with one is signed too, as is a negative number, so that `<`, `/`, `%` and `>>` do what is meant. Operators and their
precedence are C's. An address may say its space, `v:` (guest virtual, the default), `g:` (guest physical) or `h:` (host
physical), and keeps it when something is added.

A name is a register, a CSR or a field of one, or a symbol; `$name` is never a symbol, and `&name` always is. Parsing needs no
machine: names are looked up when an expression is evaluated.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import NamedTuple

from rvhv.core.registry import ISA
from rvhv.cpu.state import SLOT
from rvhv.debug.look import addresses
from rvhv.debug.look.saved import Saved, field_place, save
from rvhv.debug.target import Context
from rvhv.errors import DebugError
from rvhv.isa.expr import MASK64, signed
from rvhv.isa.render.syntax import FLOAT_REGISTER_NUMBER, REGISTER_NUMBER
from rvhv.machine.source_lines import SourceLines

MOST_OPERATORS = 100  # of one expression
LONGEST = 2000  # characters
SUFFIXES = {"K": 10, "M": 20, "G": 30}
SIZES = {"8": 1, "16": 2, "32": 4, "64": 8}
# binding strength of the binary operators, as in C
BINARY = {
    "||": 1, "&&": 2, "|": 3, "^": 4, "&": 5, "==": 6, "!=": 6, "<": 7, "<=": 7, ">": 7, ">=": 7, "<<": 8, ">>": 8,
    "+": 9, "-": 9, "*": 10, "/": 10, "%": 10,
}  # fmt: skip
UNARY = 11
TOKEN = re.compile(
    r"""(?P<blank>\s+)
    | (?P<space>[vgh]:(?!:))
    | (?P<typed>[ui](?:8|16|32|64))(?=\s*[\[(])
    | (?P<source>[A-Za-z_./][\w./-]*\.\w+:\d+|\w\.\w+:\d+)
    | (?P<number>\d\w*)
    | (?P<name>\$?[A-Za-z_][\w.]*|\$\d+)
    | (?P<operator>\|\||&&|==|!=|<=|>=|<<|>>|[-+*/%&|^~!<>()\[\]])
    """,
    re.VERBOSE,
)
END = "the end"


class ExpressionError(DebugError):
    """An expression is no good at character `at` of `text`."""

    def __init__(self, sentence: str, text: str, at: int) -> None:
        super().__init__(sentence)
        self.text = text
        self.at = at

    @property
    def caret(self) -> str:
        """The expression, and a caret below the place."""
        return f"{self.text}\n{' ' * self.at}^"


class Value(NamedTuple):
    """What an expression comes to: 64 bits, the address space it is of ("" for none), and whether it is meant signed."""

    bits: int
    space: str = ""
    signed: bool = False

    @property
    def number(self) -> int:
        return signed(self.bits) if self.signed else self.bits


@dataclass(frozen=True)
class Expression:
    """A parsed expression. Evaluating raises DebugError for names that are not there and memory that cannot be read."""

    text: str
    root: Node

    def evaluate(self, context: Context) -> Value:
        return self.root.evaluate(Scope(context, self.text))

    def value(self, context: Context) -> int:
        """As 64 bits."""
        return self.evaluate(context).bits

    def true(self, context: Context) -> bool:
        """As a condition."""
        return self.value(context) != 0

    def check(self, context: Context) -> None:
        """Raises DebugError for a name that is not there."""
        scope = Scope(context, self.text)
        for node in nodes(self.root):
            if isinstance(node, Name | Source):
                node.evaluate(scope)


def parse(text: str) -> Expression:
    """Raises ExpressionError."""
    return Expression(text, _Parser(text).whole())


def evaluate(text: str, context: Context) -> int:
    """The value of an expression as 64 bits. Raises DebugError."""
    return parse(text).value(context)


def address(text: str, context: Context, space: str = "v") -> tuple[str, int]:
    """An address with its space, `space` where it says none. Raises DebugError."""
    found = parse(text).evaluate(context)
    return found.space or space, found.bits


# what names mean


class Scope:
    """Where names are looked up while one expression is evaluated."""

    def __init__(self, context: Context, text: str) -> None:
        self.context = context
        self.text = text
        self._saved: Saved | None = None

    def error(self, sentence: str, at: int) -> ExpressionError:
        return ExpressionError(sentence, self.text, at)

    def csr(self, name: str) -> int:
        if self._saved is None:
            self._saved = save(self.context)
        return self._saved.csr(name)

    def register(self, name: str) -> int | None:
        """The value of a register; None: there is none of this name."""
        if name == "pc":
            return self.context.pc
        if name in REGISTER_NUMBER:
            return self.context.state[SLOT[f"x{REGISTER_NUMBER[name]}"]]
        if name in FLOAT_REGISTER_NUMBER:
            return self.context.state[SLOT[f"f{FLOAT_REGISTER_NUMBER[name]}"]]
        return None

    def name(self, name: str, at: int) -> int:
        if name.startswith("$"):
            return self._explicit(name[1:], at)
        value = self.register(name)
        if value is not None:
            return value
        values = symbol_values(self.context, name)
        csr = name.partition(".")[0]
        if csr in ISA.csrs:
            if values:
                raise self.error(f"{name} is a CSR and a symbol: write ${name} or &{name}", at)
            return self._csr(name, at)
        return self.symbol(name, at)

    def _explicit(self, name: str, at: int) -> int:
        value = self.register(name)
        if value is not None:
            return value
        if name.partition(".")[0] in ISA.csrs:
            return self._csr(name, at)
        near = get_close_matches(name, [*REGISTER_NUMBER, *FLOAT_REGISTER_NUMBER, *ISA.csrs], n=1)
        raise self.error(f"${name} is neither a register nor a CSR" + (f": did you mean ${near[0]}?" if near else ""), at)

    def _csr(self, name: str, at: int) -> int:
        csr, dot, field = name.partition(".")
        value = self.csr(csr)
        if not dot:
            return value
        try:
            mask, low = field_place(csr, field)
        except DebugError as error:
            raise self.error(str(error), at) from None
        return (value & mask) >> low

    def symbol(self, name: str, at: int) -> int:
        values = symbol_values(self.context, name)
        if len(values) > 1:
            raise self.error(f"{name} is ambiguous: {', '.join(_candidate(self.context, name, v) for v in values)}", at)
        if values:
            return values[0]
        known = [*(n for image in self.context.images for n in image.symbols), *ISA.csrs, *REGISTER_NUMBER]
        near = get_close_matches(name, known, n=1)
        hint = f": did you mean {near[0]}?" if near else "" if self.context.images else ": what runs here came without symbols"
        raise self.error(f"there is no symbol, register or CSR {name}{hint}", at)

    def source(self, file: str, line: int, at: int) -> int:
        return source_places(self.context, file, line, self.text, at)[0]


def symbol_values(context: Context, name: str) -> list[int]:
    """What a symbol's name may mean, in the order of the images."""
    return list(dict.fromkeys(v for image in context.images for v in image.symbol_values.get(name, ())))


def _candidate(context: Context, name: str, value: int) -> str:
    """A symbol that another has the name of, as it can be written."""
    for image in context.images:
        found = SourceLines(image).at(value)
        if found is not None:
            return f"{found[0]}:{found[1]} ({value:#x})"
    return f"{value:#x}"


def source_places(context: Context, file: str, line: int, text: str, at: int) -> list[int]:
    """Where the code of a source line begins, or of the next line that has code: the first place within each function. Raises
    ExpressionError."""
    tables = [SourceLines(image) for image in context.images]
    matching = [(table, known) for table in tables for known in table.matching(file)]
    if not matching:
        files = [known for table in tables for known in table.files]
        if not files:
            raise ExpressionError(f"{context.name} came without source lines: build it with -g", text, at)
        near = get_close_matches(file, [*files, *(known.rpartition("/")[2] for known in files)], n=1)
        raise ExpressionError(f"no code comes from {file}" + (f": did you mean {near[0]}?" if near else ""), text, at)
    if len({known for _, known in matching}) > 1:
        raise ExpressionError(f"{file} is ambiguous: {', '.join(sorted({known for _, known in matching}))}", text, at)
    table, known = matching[0]
    behind = table.line_with_code(known, line)
    if behind is None:
        raise ExpressionError(f"{known} has no code at line {line} or behind it", text, at)
    return first_of_functions(context, table.addresses(known, behind))


def first_of_functions(context: Context, places: list[int]) -> list[int]:
    """Of each function the lowest of these addresses: the compiler may have cut a line into pieces."""
    starts = sorted({v for image in context.images for vs in image.symbol_values.values() for v in vs})
    firsts: dict[int, int] = {}
    for place in sorted(places):
        firsts.setdefault(bisect_right(starts, place), place)
    return sorted(firsts.values())


# the tree


@dataclass(frozen=True)
class Node(ABC):
    at: int  # the character that an error points to

    @abstractmethod
    def evaluate(self, scope: Scope) -> Value:
        """Raises ExpressionError."""


@dataclass(frozen=True)
class Number(Node):
    value: int

    def evaluate(self, scope: Scope) -> Value:
        return Value(self.value)


@dataclass(frozen=True)
class Name(Node):
    name: str
    symbol: bool = False  # and nothing else

    def evaluate(self, scope: Scope) -> Value:
        return Value((scope.symbol if self.symbol else scope.name)(self.name, self.at))


@dataclass(frozen=True)
class Source(Node):
    file: str
    line: int

    def evaluate(self, scope: Scope) -> Value:
        return Value(scope.source(self.file, self.line, self.at))


@dataclass(frozen=True)
class InSpace(Node):
    space: str
    operand: Node

    def evaluate(self, scope: Scope) -> Value:
        found = self.operand.evaluate(scope)
        if found.space not in ("", self.space):
            raise scope.error(f"a {found.space}: address cannot become a {self.space}: one", self.at)
        return Value(found.bits, self.space)


@dataclass(frozen=True)
class Read(Node):
    """What memory holds: `*x`, `u8[x]`."""

    size: int
    signed: bool
    operand: Node

    def evaluate(self, scope: Scope) -> Value:
        found = self.operand.evaluate(scope)
        try:
            data = addresses.read(scope.context, found.space or "v", found.bits, self.size)
        except DebugError as error:
            raise scope.error(f"{found.space or 'v'}:{found.bits:#x} cannot be read: {error}", self.at) from None
        return Value(int.from_bytes(data, "little", signed=self.signed) & MASK64, "", self.signed)


@dataclass(frozen=True)
class Cast(Node):
    """`i32(x)`: the low bits of a value."""

    size: int
    signed: bool
    operand: Node

    def evaluate(self, scope: Scope) -> Value:
        bits = self.operand.evaluate(scope).bits & (1 << 8 * self.size) - 1
        return Value((signed(bits, 8 * self.size) if self.signed else bits) & MASK64, "", self.signed)


@dataclass(frozen=True)
class Unary(Node):
    operator: str
    operand: Node

    def evaluate(self, scope: Scope) -> Value:
        found = self.operand.evaluate(scope)
        match self.operator:
            case "-":
                return Value(-found.bits & MASK64, "", True)
            case "~":
                return Value(found.bits ^ MASK64, found.space, found.signed)
            case "!":
                return Value(int(found.bits == 0))
        return found


@dataclass(frozen=True)
class Binary(Node):
    operator: str
    left: Node
    right: Node

    def evaluate(self, scope: Scope) -> Value:
        left = self.left.evaluate(scope)
        if self.operator in ("&&", "||"):
            decided = (left.bits != 0) == (self.operator == "||")
            return Value(int((left if decided else self.right.evaluate(scope)).bits != 0))
        right = self.right.evaluate(scope)
        both_signed = left.signed or right.signed
        if self.operator in COMPARISONS:
            if not both_signed and self.operator in ("<", ">=") and self.right == Number(self.right.at, 0):
                said = f"{self.operator} 0 is {'never' if self.operator == '<' else 'always'} true"
                raise scope.error(f"of an unsigned value {said}: write i64(value) {self.operator} 0", self.at)
            if left.space and right.space and left.space != right.space:
                raise scope.error(f"{left.space}: and {right.space}: addresses cannot be compared", self.at)
            a, b = (signed(left.bits), signed(right.bits)) if both_signed else (left.bits, right.bits)
            return Value(int(COMPARISONS[self.operator](a, b)))
        if left.space and right.space and left.space != right.space:
            raise scope.error(f"{left.space}: and {right.space}: addresses do not mix", self.at)
        space = "" if self.operator == "-" and left.space and right.space else left.space or right.space
        if self.operator in ("<<", ">>"):
            return Value(self._shifted(left, right.bits), left.space, left.signed)
        if self.operator in ("/", "%") and right.bits == 0:
            raise scope.error("division by zero", self.at)
        a, b = (signed(left.bits), signed(right.bits)) if both_signed else (left.bits, right.bits)
        return Value(ARITHMETIC[self.operator](a, b) & MASK64, space, both_signed)

    def _shifted(self, left: Value, by: int) -> int:
        if self.operator == "<<":
            return left.bits << by & MASK64 if by < 64 else 0
        return left.number >> min(by, 64) & MASK64


def _quotient(a: int, b: int) -> int:
    """As in C: towards zero."""
    quotient = abs(a) // abs(b)
    return -quotient if (a < 0) != (b < 0) else quotient


COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}
ARITHMETIC: dict[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": _quotient,
    "%": lambda a, b: a - b * _quotient(a, b),
    "&": lambda a, b: a & b,
    "|": lambda a, b: a | b,
    "^": lambda a, b: a ^ b,
}


def nodes(root: Node) -> list[Node]:
    """A tree's nodes."""
    found = [root]
    for node in found:
        found += [kid for kid in vars(node).values() if isinstance(kid, Node)]
    return found


# parsing


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


class _Parser:
    """A Pratt parser: what a token means at the beginning of an operand, and how tightly it binds behind one."""

    def __init__(self, text: str) -> None:
        self.text = text
        if len(text) > LONGEST:
            raise self.error(f"an expression of {len(text)} characters is too long", 0)
        self.tokens = self._tokens()
        self.next = 0
        self.operators = 0

    def error(self, sentence: str, at: int) -> ExpressionError:
        return ExpressionError(sentence, self.text, at)

    def _tokens(self) -> list[_Token]:
        found, at = [], 0
        while at < len(self.text):
            match = TOKEN.match(self.text, at)
            if match is None:
                raise self.error(f"{self.text[at]!r} means nothing in an expression", at)
            if match.lastgroup is not None and match.lastgroup != "blank":
                found.append(_Token(match.lastgroup, match.group(), at))
            at = match.end()
        return [*found, _Token("end", END, len(self.text))]

    def take(self) -> _Token:
        token = self.tokens[self.next]
        self.next += token.kind != "end"
        return token

    def expect(self, text: str, opened: _Token) -> None:
        token = self.take()
        if token.text != text or token.kind != "operator":
            raise self.error(f"{opened.text} is not closed: {text} was expected, not {token.text}", token.at)

    def whole(self) -> Node:
        if self.tokens[0].kind == "end":
            raise self.error("an expression was expected", 0)
        root = self.expression(0)
        token = self.take()
        if token.kind != "end":
            raise self.error(f"an operator was expected, not {token.text}", token.at)
        return root

    def expression(self, least: int) -> Node:
        """An operand and all operators behind it that bind more tightly than `least`."""
        left = self.operand()
        while True:
            token = self.tokens[self.next]
            binding = BINARY.get(token.text, 0) if token.kind == "operator" else 0
            if binding <= least:
                return left
            self.count(self.take())
            left = Binary(token.at, token.text, left, self.expression(binding))

    def count(self, token: _Token) -> None:
        self.operators += 1
        if self.operators > MOST_OPERATORS:
            raise self.error(f"an expression of more than {MOST_OPERATORS} operators is too long", token.at)

    def operand(self) -> Node:
        token = self.take()
        match token.kind:
            case "number":
                return Number(token.at, self.number(token))
            case "name":
                return Name(token.at, token.text)
            case "source":
                file, _, line = token.text.rpartition(":")
                return Source(token.at, file, int(line))
        self.count(token)
        if token.kind == "space":
            return InSpace(token.at, token.text[0], self.expression(UNARY))
        if token.kind == "typed":
            return self.typed(token)
        if token.kind == "operator":
            if token.text == "(":
                inner = self.expression(0)
                self.expect(")", token)
                return inner
            if token.text == "*":
                return Read(token.at, 8, False, self.expression(UNARY))
            if token.text == "&":
                return self.symbol()
            if token.text in "-+~!":
                return Unary(token.at, token.text, self.expression(UNARY))
        raise self.error(f"a value was expected, not {token.text}", token.at)

    def typed(self, token: _Token) -> Node:
        """`u8[address]` or `u8(value)`."""
        opened = self.take()
        inner = self.expression(0)
        self.expect("]" if opened.text == "[" else ")", opened)
        kind = Read if opened.text == "[" else Cast
        return kind(token.at, SIZES[token.text[1:]], token.text[0] == "i", inner)

    def symbol(self) -> Node:
        token = self.take()
        if token.kind != "name" or token.text.startswith("$"):
            raise self.error(f"behind & a symbol was expected, not {token.text}", token.at)
        return Name(token.at, token.text, symbol=True)

    def number(self, token: _Token) -> int:
        text, shift = token.text, 0
        if text[-1] in SUFFIXES and len(text) > 1:
            text, shift = text[:-1], SUFFIXES[text[-1]]
        try:
            value = int(text, 10 if text.isdigit() else 0) << shift
        except ValueError:
            raise self.error(f"{token.text} is no number: write 42, 0x2a, 0b101010, 1_000, 4K, 1M or 1G", token.at) from None
        if value > MASK64:
            raise self.error(f"{token.text} does not fit into 64 bits", token.at)
        return value
