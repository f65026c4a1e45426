"""Look: registers, memory, code, translations, machines. Nothing changes by looking."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rvhv.amounts import amount
from rvhv.debug import expressions
from rvhv.debug.commands.arguments import Arguments
from rvhv.debug.commands.table import command
from rvhv.debug.commands.values import Shown, Symbols
from rvhv.errors import DebugError
from rvhv.isa.expr import MASK64

if TYPE_CHECKING:
    from rvhv.debug.session import Session
    from rvhv.debug.view import View

_FORMAT = re.compile(r"(\d*)([a-z]*)")
_INSTRUCTIONS, _STRINGS = "i", "s"
MOST_LINES = 40
ACCESSES = ("load", "store", "fetch", "hlvx")


@command(
    "print",
    "look",
    "the value of an expression",
    "print[/x d u o t c] EXPRESSION",
    ("print a0 + 8", "registers by their ABI names; the answer in hexadecimal, decimal, and as a symbol"),
    ("print vsstatus.SPP", "a field of a CSR"),
    ("p/t *v:sp", "64 bits at the stack pointer, in binary"),
    ("p u32[g:0x80200000]", "32 bits at a guest physical address; h: is host physical"),
    ("p &main", "a symbol, also where a register is called the same"),
    short=("p",),
    kinds=("expression",),
    details="Numbers are 64 bits: 0x10, 0b1, 1_000, 4K. Operators are those of C. u8 to u64 and i8 to i64 read memory, *x reads "
    "64 bits. Addresses are virtual (v:) unless they say g: (guest physical) or h: (host physical).",
)
def print_(session: Session, arguments: Arguments) -> View:
    if arguments.slash not in ("", *"xduotc"):
        raise arguments.wrong(f"/{arguments.slash[:8]} is no format")
    text = arguments.some("EXPRESSION").removeprefix("=").strip()
    return Shown.of(session.context, text, arguments.slash)


@command(
    "x",
    "look",
    "memory, as gdb's x shows it",
    "x[/COUNT FORMAT SIZE] [ADDRESS]",
    ("x/8gx sp", "eight 64-bit numbers at the stack pointer, in hexadecimal"),
    ("x/4i pc", "four instructions"),
    ("x/s g:0x80201000", "a string at a guest physical address; h: is host physical"),
    ("x", "what follows, in the same way"),
    short=("examine", "memory", "mem"),
    kinds=("expression",),
    repeats="bare",
    details="FORMAT is x, d, u, o, t (binary), a (address), c, f, s (string) or i (instruction); SIZE is b, h, w or g: 1, 2, 4 "
    "or 8 bytes. Reading is never seen by devices, and sets no A bits.",
)
def x(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import code, memory

    count, form, size = session.last_format
    if arguments.slash:
        count, form, size = _format(arguments, form, size)
    elif arguments.text:
        count = 1
    if arguments.text:
        space, address = expressions.address(arguments.text, session.context)
    elif session.last_address is not None:
        space, address = session.last_address
    else:
        raise arguments.wrong("ADDRESS is missing")
    view: View
    if form == _INSTRUCTIONS:
        view = found = code.disassemble(session.context, address, count, space)
        last = found.instructions[-1]
        behind = last.address + code.length_of(last.word)
    else:
        view = examined = memory.examine(session.context, space, address, count, form, size)
        behind = examined.items[-1].address + (len(examined.data) if form == _STRINGS else examined.size)
    session.last_format, session.last_address = (count, form, size), (space, behind & MASK64)
    return view


def _format(arguments: Arguments, form: str, size: str) -> tuple[int, str, str]:
    """Count, format and size of `8gx`, in any order of the letters, as gdb takes them."""
    match = _FORMAT.fullmatch(arguments.slash.replace(" ", ""))
    if match is None or len(match[1]) > 9:
        raise arguments.wrong(f"/{arguments.slash[:20]} is no format: write x/8gx")
    for letter in match[2]:
        if letter in "bhwg":
            size = letter
        elif letter in "xduotacfsi":
            form = letter
        else:
            raise arguments.wrong(f"{letter} is no format and no size: write x/8gx")
    return int(match[1] or 1), form, size


@command(
    "disassemble",
    "look",
    "instructions with symbols and source lines",
    "disassemble [ADDRESS] [COUNT]",
    ("disassemble", "around pc"),
    ("disas main", "ten instructions from main on"),
    ("disas main.c:42 20", "twenty, from a source line on"),
    short=("disas", "u"),
    kinds=("place",),
)
def disassemble(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import code

    count = 10
    words = arguments.text.rsplit(maxsplit=1)
    if len(words) == 2 and (last := amount(words[1])) is not None and words[0][-1].isalnum():
        arguments.text, count = words[0], last
    if not arguments.text:
        return code.disassemble(session.context, None, count)
    space, address = expressions.address(arguments.text, session.context)
    return code.disassemble(session.context, address, count, space)


@command(
    "list",
    "look",
    "source text around pc, a place or a line",
    "list [PLACE]",
    ("list", "around pc"),
    ("list main", "where main begins"),
    ("l main.c:42", "around a line"),
    short=("l",),
    kinds=("place",),
)
def list_(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import code

    if not arguments.text:
        return code.source(session.context)
    file, colon, line = arguments.text.rpartition(":")
    if colon and line.isdecimal() and "." in file and len(line) < 9:
        return code.source(session.context, file=file, line=int(line))
    return code.source(session.context, expressions.evaluate(arguments.text, session.context))


@command(
    "registers",
    "look",
    "the registers; what changed since the last stop stands out",
    "registers [NAME... | f]",
    ("registers", "the integer registers and pc"),
    ("registers a0 sp", "two of them, in all the ways that a number can be read"),
    ("registers f", "the floating-point registers"),
    short=("reg", "regs"),
    kinds=("register",),
)
def registers(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.commands.several import Several
    from rvhv.debug.look import registers as look

    context, before = session.context, session.before()
    names = [name.removeprefix("$") for name in arguments.words]
    if not names:
        return look.registers(context, before)
    if names == ["f"]:
        return look.floats(context, before)
    return Several(tuple(look.one(context, name, before) for name in names))


@command(
    "csr",
    "look",
    "CSRs, decoded field by field with the specification's names",
    "csr [NAME | PATTERN | m | s | vs | h]...",
    ("csr", "those that matter in this mode"),
    ("csr vsstatus", "one of them at length"),
    ("csr h*", "a pattern"),
    ("csr vs", "all of a group"),
    short=("csrs",),
    kinds=("csr",),
)
def csr(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.csrs import csrs

    return csrs(session.context, arguments.text, session.before())


@command(
    "set",
    "look",
    "write a register, a CSR, a field of one, or memory",
    "set REGISTER | CSR[.FIELD] | u8..u64[ADDRESS] | *ADDRESS = EXPRESSION",
    ("set a0 = 5", "a register"),
    ("set vsstatus.SIE = 1", "a field, by the rules of its CSR"),
    ("set u32[g:0x80200000] = 0x13", "32 bits of memory, whatever rights the tables give"),
    ("set *sp = a0 + 1", "64 bits"),
    kinds=("expression",),
    details="It is an input from outside: in the past it makes another future, and what came after is forgotten.",
)
def set_(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.commands.writing import write

    text = arguments.some("what to set")
    if text.startswith("var "):
        text = text.removeprefix("var ").strip()  # as gdb users write
    where, equals, value = _assignment(text)
    if not equals or not where or not value:
        raise arguments.wrong("there is no = with something on both sides")
    return write(session, where, value)


def _assignment(text: str) -> tuple[str, str, str]:
    """What is on both sides of the = that is no part of another operator."""
    match = re.search(r"(?<![=!<>])=(?!=)", text)
    return (text, "", "") if match is None else (text[: match.start()].strip(), "=", text[match.end() :].strip())


@command(
    "backtrace",
    "look",
    "the calls that lead here",
    "backtrace [MOST]",
    ("backtrace", "innermost first"),
    ("bt 3", "three of them"),
    short=("bt", "where"),
)
def backtrace(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.backtrace import backtrace as look

    return look(session.context, arguments.count(MOST_LINES))


@command(
    "walk",
    "look",
    "how an address is translated, access by access, in both stages",
    "walk ADDRESS [load | store | fetch | hlvx]",
    ("walk sp", "a load from the stack"),
    ("walk 0x10001000 store", "would a store get there?"),
    ("walk g:0x80200000", "the G-stage alone"),
    kinds=("expression", ACCESSES),
)
def walk(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.translation import walk as look

    text = arguments.some("ADDRESS")
    words = text.rsplit(maxsplit=1)
    access = "load"
    if words[-1] in ACCESSES and len(words) == 2:
        text, access = words
    space, address = expressions.address(text, session.context)
    return look(session.context, address, access, space)


@command(
    "map",
    "look",
    "the address space in ranges, with the rights of both stages",
    "map",
    ("map", "of the VM or hart that is looked at"),
)
def map_(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.translation import address_map

    arguments.done()
    return address_map(session.context)


@command(
    "find",
    "look",
    "where some bytes are in memory",
    'find ADDRESS, LENGTH, VALUE | "TEXT"',
    ('find g:0x80000000, 32M, "hello"', "a text in guest physical memory"),
    ("find v:sp, 4K, 0xdeadbeef", "a number of as many bytes as it is written with"),
    kinds=("expression",),
)
def find(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import memory

    parts = [part.strip() for part in arguments.some("ADDRESS").split(",", 2)]
    if len(parts) != 3 or not all(parts):
        raise arguments.wrong("ADDRESS, LENGTH and what to look for, with commas between them")
    space, address = expressions.address(parts[0], session.context)
    length = expressions.evaluate(parts[1], session.context)
    return memory.find(session.context, space, address, length, _bytes(session, parts[2]))


def _bytes(session: Session, text: str) -> bytes:
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1].encode()
    value = expressions.evaluate(text, session.context)
    digits = len(text) - 2 if text[:2] == "0x" else 0
    return value.to_bytes(max((digits + 1) // 2, (value.bit_length() + 7) // 8, 1), "little")


@command(
    "page",
    "look",
    "whose a page of host memory is",
    "page ADDRESS",
    ("page h:0x80123000", "of a host physical address"),
    ("page sp", "of the page behind a virtual one"),
    kinds=("expression",),
)
def page(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look import addresses, memory

    space, address = expressions.address(arguments.some("ADDRESS"), session.context)
    return memory.owner(session.target, address if space == "h" else addresses.place(session.context, space, address))


@command("vms", "look", "the VMs: what they are doing, how far they are, what they use", "vms", ("vms", "a line each"))
def vms(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.machines import vms as look

    arguments.done()
    return look(session.target)


@command("vcpus", "look", "the guest harts: pc, mode, what they wait for", "vcpus", ("vcpus", "a line each"), short=("harts",))
def vcpus(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.machines import vcpus as look

    arguments.done()
    return look(session.target)


@command(
    "devices",
    "look",
    "the devices: addresses, interrupt lines, what they are about",
    "devices",
    ("devices", "of the VM or machine"),
)
def devices(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.machines import devices as look

    arguments.done()
    return look(session.context)


@command(
    "irq",
    "look",
    "interrupts: pending, enabled, delegated, and why one is not taken",
    "irq",
    ("irq", "each that could come, and the sources of the PLIC"),
    short=("interrupts",),
)
def irq(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.interrupts import interrupts

    arguments.done()
    return interrupts(session.context)


@command(
    "queues",
    "look",
    "virtqueues with their rings, and the rules that a driver broke",
    "queues [DEVICE]",
    ("queues", "of all virtio devices"),
    ("queues blk", "of those whose name contains blk"),
    short=("virtq",),
    kinds=("text",),
)
def queues(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.queues import queues as look

    return look(session.context, arguments.word("DEVICE") if arguments.text else "")


@command(
    "frames",
    "look",
    "host memory, a character a page, coloured by owner",
    "frames",
    ("frames", "code, page tables, what was written since the last snapshot"),
)
def frames(session: Session, arguments: Arguments) -> View:
    from rvhv.debug.look.frames import frames as look

    arguments.done()
    return look(session.target, session.dirty())


@command(
    "symbols",
    "look",
    "symbols whose name has a part, or the one an address belongs to",
    "symbols [PART | ADDRESS]",
    ("symbols trap", "all that contain trap"),
    ("symbols 0x80200158", "what is there"),
    short=("sym",),
    kinds=("expression",),
)
def symbols(session: Session, arguments: Arguments) -> View:
    text = arguments.text
    if text[:1].isdigit() or text.startswith(("$", "*", "v:")):
        at = expressions.evaluate(text, session.context)
        near = session.context.symbols.nearest(at)
        if near is None:
            raise DebugError(f"no symbol is at {at:#x} or near before it")
        return Symbols(((near[1], near[0], at - near[0]),))
    return Symbols.containing(session.context, text)
