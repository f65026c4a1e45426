"""What of LLVM's and the host's code was made for which instruction of a region: by debug locations, for people.

A location's line is a number for an instruction in a block, for what a block does for itself (it counts its steps), or for what
is around them (entering, dispatch, leaving). LLVM keeps the locations through its passes and into the host's code, which is the
same with them and without. What it makes by itself (phis, copies, spills) and what it merges has line 0: that is counted to what
it stands among, and marked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

from rvhv.cpu.state import SLOT
from rvhv.jit.form import PAGE, Block, Region, Step
from rvhv.jit.ir import Function
from rvhv.jit.translate import Translator

REGION = "region"  # the function
AROUND = PAGE * PAGE
NOWHERE = 0  # LLVM's line of what has no location
WITHIN = "~"  # marks what has none, where it is shown
SLOTS = {at: name for name, at in SLOT.items()}

_DEFINED = re.compile(r"define .*@(\w+)\(")
_IR_LABEL = re.compile(r"([\w.]+):")
_LOCATION = re.compile(r"^!(\d+) = !DILocation\(line: (\d+)", re.MULTILINE)
_DEBUG = re.compile(r", !dbg !(\d+)")
_NOISE = re.compile(r", (!prof !\d+|align 8$)")
_STATE = re.compile(r"getelementptr i64, ptr %state, i64 (\d+)$")
_LABEL = re.compile(r"([\w.$]+):(?:\s*[#;/]+ (%[\w.]+))?")  # LLVM says of a block which one of the IR it is
_UNNAMED = re.compile(r"[#;/]+ %bb\.\d+:")  # a block that nothing jumps to
_OF_DEBUGGER = re.compile(r"\.?L(tmp|func_begin)\d+:")
_LOC = re.compile(r"\s*\.loc\s+\d+\s+(\d+)")
_COMMENT = re.compile(r"(^|\s+)(#|//|;) .*$")  # of x86 and arm64; an immediate of arm64 is #1


def of_instruction(at: int, offset: int) -> int:
    """Of one in the block that begins `at` an offset: where code overlaps, it may be in two. Odd, since offsets are even."""
    return at * PAGE + offset + 1


def of_block(at: int) -> int:
    return (at + 1) * PAGE


class Located(Translator):
    """Notes what each line is made for."""

    _line = AROUND
    _at = 0  # of the current block

    def _from_here(self, line: int) -> None:
        self.function.locate(self._line)
        self._line = line

    def build(self) -> Function:
        super().build()
        self._from_here(AROUND)
        return self.function

    def _block(self, at: int, block: Block) -> None:
        self._at = at
        self._from_here(of_block(at))
        super()._block(at, block)
        self._from_here(AROUND)

    def _step(self, step: Step) -> None:
        self._from_here(of_instruction(self._at, step.offset))
        super()._step(step)


def translate_located(region: Region, tlb_bits: int, *, host_fma: bool = False) -> str:
    """As `translate`, with locations: of all that belongs to a block; the region's own functions have none."""
    return str(Located(region, tlb_bits, REGION, host_fma).build())


@dataclass
class Line:
    """An instruction of LLVM's or the host's, and the line that it was made for. `labels` stand before it, `among` is the last
    label so far, `block` numbers basic blocks."""

    function: str
    made_for: int
    block: int
    among: str
    labels: Sequence[str]
    text: str
    mark: str = ""

    @property
    def owner(self) -> tuple[str, int]:
        return self.function, self.made_for


class _Reader:
    """Collects lines."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.function = self._among = ""
        self._block = 0
        self._labels: list[str] = []

    def begin(self, label: str = "", comment: str = "") -> None:
        """A basic block begins."""
        self._block += 1
        if label:
            self._among = self._among if "$" in label else label  # .L0$pb is a place within a block
            self._labels.append(f"{label}:{comment}")

    def add(self, made_for: int, text: str) -> None:
        self.lines.append(Line(self.function, made_for, self._block, self._among, self._labels, text))
        self._labels = []

    def settled(self) -> list[Line]:
        """The lines; what has no location belongs to what is before it in its basic block, else to what is behind it."""
        for _, lines in groupby(self.lines, lambda line: line.block):
            block = list(lines)
            owner = next((line.made_for for line in block if line.made_for != NOWHERE), AROUND)
            for line in block:
                if line.made_for == NOWHERE:
                    line.made_for, line.mark = owner, WITHIN if owner != AROUND else ""
                owner = line.made_for
        return self.lines


def ir_lines(module: str) -> list[Line]:
    """The instructions of a module as LLVM prints it, without what is about locations, weights and usual alignment, and with the
    names of the state's slots."""
    reader = _Reader()
    made_for = {number: int(line) for number, line in _LOCATION.findall(module)}
    text = ""
    for line in module.splitlines():
        if match := _DEFINED.match(line):
            reader.function = match[1]
        elif line.startswith("}"):
            reader.function = ""
        elif reader.function and (match := _IR_LABEL.match(line)):
            reader.begin(match[1])
        elif reader.function and line.strip():
            text = f"{text} {line.strip()}".strip()
            if text.startswith("switch") and "]" not in text:
                continue  # it stands on several lines
            location = _DEBUG.search(text)
            text = _NOISE.sub("", _DEBUG.sub("", text))
            slot = SLOTS.get(int(match[1])) if (match := _STATE.search(text)) else None
            reader.add(made_for[location[1]] if location else NOWHERE, f"{text}  ; {slot}" if slot else text)
            text = ""
    return reader.settled()


def functions_of(module: str) -> list[str]:
    """The region's and its own."""
    return _DEFINED.findall(module)


def host_lines(assembly: str, functions: Iterable[str]) -> list[Line]:
    """The instructions of functions in the host's assembly."""
    reader = _Reader()
    begin = re.compile(rf"_?({'|'.join(functions)}):")
    made_for = NOWHERE
    for line in assembly.splitlines():
        if match := begin.match(line):
            reader.function = match[1]
            reader.begin(match[1])
            made_for = NOWHERE
        elif re.match(r"\.?L?\w*func_end", line):
            reader.function = ""
        elif not reader.function or _OF_DEBUGGER.match(line):
            continue
        elif match := _LOC.match(line):
            made_for = int(match[1])
        elif match := _LABEL.match(line):
            reader.begin(match[1], f"  # {match[2]}" if match[2] else "")
        elif _UNNAMED.match(line):
            reader.begin()
        elif (text := _COMMENT.sub("", line)).strip() and not text.strip().startswith("."):
            reader.add(made_for, " ".join(text.split()))
    return reader.settled()


def by_owner(lines: Sequence[Line], order: Iterable[tuple[str, int]]) -> dict[tuple[str, int], list[str]]:
    """The lines of each owner as text, for reading in an order of owners: labels where they begin, and `label: ...` where a block
    goes on that is not the one that was shown last. Of an instruction, what goes on in that one comes first."""
    owned: dict[tuple[str, int], list[Line]] = {}
    for line in lines:
        owned.setdefault(line.owner, []).append(line)
    found, shown = {}, ""
    for owner in order:
        texts = found[owner] = list[str]()
        pieces = [list(piece) for _, piece in groupby(owned.get(owner, ()), lambda line: line.among)]
        if owner[1] != AROUND:
            pieces.sort(key=lambda piece: piece[0].among != shown)
        for line in (line for piece in pieces for line in piece):
            if line.among != shown and not line.labels:
                texts.append(f"{line.among}: ...")
            shown = line.among
            texts += [*line.labels, f"{line.mark or ' '} {line.text}"]
    return found
