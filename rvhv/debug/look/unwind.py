"""The call frames above a pc: by DWARF call frame information where there is some, else by what the function's first instructions
did to the stack, else along frame pointers, else by ra. Every step is checked: a damaged stack ends a walk and nothing more.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from typing import Any

from rvhv.core.registry import ISA
from rvhv.debug.look.addresses import read
from rvhv.debug.look.code import LONGEST, Block, length_of
from rvhv.debug.look.meanings import cause_name
from rvhv.debug.look.places import symbol
from rvhv.debug.look.saved import save
from rvhv.debug.target import Context
from rvhv.errors import DebugError
from rvhv.isa.expr import MASK64, signed
from rvhv.machine.image import Image

RA, SP, FP = 1, 2, 8
PRESERVED = (SP, 3, 4, 8, 9, *range(18, 28))  # what a function leaves as it found it (RISC-V calling convention)
LONGEST_PROLOGUE = 64  # instructions
LARGEST_FRAME = 1 << 20  # bytes
LONGEST_HANDLER = 4096  # bytes of assembly at a trap vector
TRAP_FRAME_WORDS = 32  # pc in the slot of x0, then x1 to x31: Linux's layout, and that of the guests here
Values = dict[int, int]  # registers that are known, by number


@dataclass(frozen=True)
class Frame:
    """One call: where it is, its stack pointer (`cfa`: that of its caller, None where nobody knows), and how it was found."""

    pc: int
    sp: int | None
    cfa: int | None
    how: str  # "", "cfi", "prologue", "frame pointer", "ra", "trap"
    trap: str = ""  # what took the hart from here into the frame before

    @property
    def call(self) -> int:
        """An address within the instruction that the frame stands at: a return address is behind its call."""
        return self.pc if self.how in ("", "trap") else self.pc - 1


@dataclass(frozen=True)
class _Rules:
    """How to leave a frame: its caller's stack pointer is register + offset; where registers were saved, from there."""

    register: int
    offset: int
    saved: dict[int, int]


def unwind(context: Context, most: int) -> tuple[list[Frame], str]:
    """The innermost frame first, and why there are no more ("" at the outermost)."""
    now = save(context)
    values: Values = {n: now[f"x{n}"] for n in range(1, 32)}
    frames: list[Frame] = []
    pc, how, trap = context.pc, "", ""
    met: set[tuple[int, int | None, bool]] = set()
    while len(frames) < most:
        key = pc, values.get(SP), how == ""  # a function may end with a call, and its return address be the one called
        if key in met:
            frames.append(Frame(pc, values.get(SP), None, how, trap))
            return frames, "this frame was met before: the stack is damaged, or the code saves nothing"
        met.add(key)
        inner = how in ("", "trap")
        left = _trap_left(context, pc if inner else pc - 1, values)
        if left is not None:
            frames.append(Frame(pc, values.get(SP), None, how, trap))
            pc, values, trap = left
            how = "trap"
            if not values:
                frames.append(Frame(pc, None, None, how, trap))
                return frames, "another mode was interrupted here: its registers are where the handler put them"
            continue
        rules, found = _rules(context, pc if inner else pc - 1, values, inner)
        if rules is None:
            frames.append(Frame(pc, values.get(SP), None, how, trap))
            return frames, found
        try:
            cfa, above = _caller(context, rules, values)
        except DebugError as error:
            frames.append(Frame(pc, values.get(SP), None, how, trap))
            return frames, f"the stack cannot be read: {error}"
        frames.append(Frame(pc, values.get(SP), cfa, how, trap))
        back = above.pop(RA, 0)
        if not back:
            return frames, ""
        if back % 2 or not _is_code(context, back):
            return frames, f"the return address {back:#x} is no code: the stack is damaged, or ends here"
        if values.get(SP) is not None and cfa < values[SP]:
            return frames, f"the caller's stack pointer {cfa:#x} lies below: the stack is damaged"
        if rules.offset == 0 and not rules.saved and not inner:
            return frames, "who called it is not known: it saved no return address"
        pc, how, trap, values = back, found, "", above
    return frames, f"there are more than {most} frames"


def _caller(context: Context, rules: _Rules, values: Values) -> tuple[int, Values]:
    """The caller's stack pointer and registers; RA among them is the address it goes on at."""
    cfa = values[rules.register] + rules.offset & MASK64
    above = {n: value for n, value in values.items() if n in PRESERVED}
    if RA in values:
        above[RA] = values[RA]
    for n, offset in rules.saved.items():
        above[n] = int.from_bytes(read(context, "v", cfa + offset & MASK64, 8), "little")
    above[SP] = cfa
    return cfa, above


def _is_code(context: Context, address: int) -> bool:
    return context.walk(address, "fetch").spa is not None or bool(symbol(context, address))


def _rules(context: Context, pc: int, values: Values, inner: bool) -> tuple[_Rules | None, str]:
    """How to leave the frame at pc, and by what that is known; or None, and why it is not."""
    for image in context.images:
        rules = _by_cfi(image, pc)
        if rules is not None and rules.register in values:
            return rules, "cfi"
    rules = _by_prologue(context, pc)
    if rules is not None and (RA in rules.saved or inner and rules.offset):
        return rules, "prologue"
    if rules is not None and inner and values.get(RA):
        return rules, "ra"
    rules = _by_frame_pointer(context, values)
    if rules is not None:
        return rules, "frame pointer"
    if inner and values.get(RA):
        return _Rules(SP, 0, {}), "ra"
    return None, "" if not inner else "nothing says who called it: ra is 0"


# DWARF


def _by_cfi(image: Image, pc: int) -> _Rules | None:
    starts, entries = _call_frames(image)
    i = bisect_right(starts, pc) - 1
    if not _covered(starts, entries, i, pc):
        return None
    try:
        return _decoded(entries[i][1], pc)
    except Exception:  # pyelftools lets anything out on damaged sections
        return None


def _covered(starts: list[int], entries: list[tuple[int, Any]], i: int, pc: int) -> bool:
    """Whether the function that is entry i holds pc."""
    return i >= 0 and pc < starts[i] + entries[i][0]


def _decoded(entry: Any, pc: int) -> _Rules | None:
    row = None
    for one in entry.get_decoded().table:
        if one["pc"] > pc:
            break
        row = one
    if row is None or row["cfa"].expr is not None:
        return None
    saved = {n: rule.arg for n, rule in row.items() if isinstance(n, int) and rule.type == "OFFSET"}
    return _Rules(row["cfa"].reg, row["cfa"].offset, saved)


@lru_cache(16)
def _call_frames(image: Image) -> tuple[list[int], list[tuple[int, Any]]]:
    """Where functions with call frame information begin, and (length, entry) of each; empty where it is missing or damaged."""
    if b".debug_frame" not in image.elf and b".eh_frame" not in image.elf:
        return [], []
    from elftools.dwarf.callframe import FDE
    from elftools.elf.elffile import ELFFile

    found: dict[int, tuple[int, Any]] = {}
    try:
        dwarf = ELFFile(BytesIO(image.elf)).get_dwarf_info(relocate_dwarf_sections=False)
        entries = dwarf.EH_CFI_entries() if dwarf.has_EH_CFI() else []
        entries += dwarf.CFI_entries() if dwarf.has_CFI() else []
        for entry in entries:
            if isinstance(entry, FDE) and entry["initial_location"]:  # 0: the linker threw the function away
                found[entry["initial_location"]] = entry["address_range"], entry
    except Exception:  # pyelftools lets anything out on damaged sections, assertions included
        return [], []
    starts = sorted(found)
    return starts, [found[start] for start in starts]


# without DWARF


def _by_prologue(context: Context, pc: int) -> _Rules | None:
    """What the instructions from the function's symbol to pc did to sp, and where they saved registers; None where ra is lost."""
    nearest = context.symbols.nearest(pc)
    if nearest is None:
        return None
    at, size = nearest[0], 0
    saved: dict[int, int] = {}
    block = Block.of(context, "v", at, min(LONGEST * LONGEST_PROLOGUE, pc - at + LONGEST))
    for _ in range(LONGEST_PROLOGUE):
        if at >= pc:
            break
        word = block.word(at)
        if word is None:
            return None
        found = ISA.decode(word)
        at += length_of(word)
        if found is None:
            break
        insn, fields, _compressed = found
        if insn.name == "addi" and fields["rd"] == SP and fields["rs1"] == SP:
            size -= signed(fields["imm"])
            if not 0 <= size <= LARGEST_FRAME:
                return None
            if not size:
                saved = {}
        elif insn.name == "sd" and fields["rs1"] == SP and fields["rs2"] in (RA, *PRESERVED) and size:
            saved.setdefault(fields["rs2"], signed(fields["imm"]) - size)
        elif insn.jumps and fields.get("rd") == RA and RA not in saved:
            return None  # a call
        elif insn.jumps:
            break  # the frame is made before the first branch, or not at all
    return _Rules(SP, size, saved)


def _by_frame_pointer(context: Context, values: Values) -> _Rules | None:
    """s0 as compilers with -fno-omit-frame-pointer keep it: the return address below where it points, and s0 below that."""
    fp, sp = values.get(FP, 0), values.get(SP, 0)
    if fp % 8 or not sp <= fp - 16 <= sp + LARGEST_FRAME:
        return None
    try:
        back = int.from_bytes(read(context, "v", fp - 8, 8), "little")
    except DebugError:
        return None
    if not back or back % 2 or not symbol(context, back) or not _is_code(context, back):
        return None
    return _Rules(FP, 0, {RA: -8, FP: -16})


# traps


def _same_code(context: Context, vector: int, at: int) -> bool:
    """Whether `at` is in the handler that begins at `vector`: behind it with no function of a compiler between, which have call
    frame information; in an image without any, under the same symbol."""
    for image in context.images:
        starts, entries = _call_frames(image)
        if starts:
            i = bisect_right(starts, at) - 1
            far = not vector <= at < vector + LONGEST_HANDLER
            return not (far or bisect_right(starts, vector) - 1 != i or _covered(starts, entries, i, at))
    entry, here = context.symbols.nearest(vector), context.symbols.nearest(at)
    return entry is not None and here is not None and entry[0] == here[0]


def _trap_left(context: Context, pc: int, values: Values) -> tuple[int, Values, str] | None:
    """Where the trap was taken whose handler's entry pc is in: its pc, the registers there (none: nobody knows) and its cause."""
    prefix = {"M": "m", "S": "s", "VS": "vs"}.get(context.mode)
    if prefix is None:
        return None
    now = save(context)
    vector = now[f"{prefix}tvec"] & ~3
    if not vector or not (pc == vector or _same_code(context, vector, pc)):
        return None
    epc, what = now[f"{prefix}epc"], cause_name(now[f"{prefix}cause"])
    came_from = now.field({"m": "mstatus", "s": "sstatus", "vs": "vsstatus"}[prefix], "MPP" if prefix == "m" else "SPP")
    same_mode = came_from == (3 if prefix == "m" else 1)
    if pc == vector:
        return epc, values if same_mode else {}, what
    sp = values.get(SP)
    if sp is not None:
        try:
            words = memoryview(read(context, "v", sp, 8 * TRAP_FRAME_WORDS)).cast("Q")
        except DebugError:
            return epc, {}, what
        saved_sp = words[SP]
        if words[0] == epc or sp < saved_sp <= sp + 1024 and symbol(context, words[0]):
            return words[0], {n: words[n] for n in range(1, TRAP_FRAME_WORDS)}, what if words[0] == epc else "a trap"
    return epc, {}, what
