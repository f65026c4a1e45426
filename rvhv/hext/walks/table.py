"""A recorded walk in words: one sentence, or a table of at most 80 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from rvhv.cpu import pte as p
from rvhv.hext.walks.record import Fault, PteAccess, Reached, Walk

WIDTH = 80
ADDRESS = 16  # columns: a space's letter, a colon, and the 14 digits of 56 bits
UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def size_text(size: int, short: bool = False) -> str:
    """A number of bytes in the largest unit that divides it: "4 KiB", or short "4K"."""
    unit = 0
    while size % 1024 == 0 and size and unit < len(UNITS) - 1:
        size >>= 10
        unit += 1
    return f"{size}{UNITS[unit][:1]}" if short else f"{size} {UNITS[unit]}"


def wrapped(text: str, indent: str = "", hanging: str = "") -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=indent, subsequent_indent=hanging or indent, break_on_hyphens=False)


def heading(walk: Walk) -> str:
    """What is translated: "load of gva 0x1000 as VS-mode"."""
    what = f"{walk.access} of {walk.space} {walk.address:#x}"
    return f"{what} through the G-stage" if walk.space == "gpa" else f"{what} as {walk.mode}-mode"


def sentence(walk: Walk) -> str:
    reached, fault = walk.reached, walk.fault
    if reached is not None:
        page = f", in a page of {size_text(reached.page_size)}" if reached.page_size < 1 << 64 else ""
        through = f" through gpa {reached.gpa:#x}" if reached.gpa is not None and walk.space == "gva" else ""
        return f"The {heading(walk)} reaches spa {reached.spa:#x} ({reached.memory}){through}{page}, rights {reached.rights}."
    assert fault is not None
    article = "an" if fault.name[0] in "aeiou" else "a"
    return f"The {heading(walk)} raises {article} {fault.name} (cause {fault.cause}): {_where(fault)}{walk.refused}."


def _where(fault: Fault) -> str:
    if fault.stage is None:
        return "it is translated, but "
    name = "translation" if fault.stage == "S" else f"the {fault.stage}-stage"
    if fault.gpa is None:
        return f"{name} refuses it: "
    what = "an implicit access to a VS-stage table" if fault.implicit else "the access"
    return f"{name} refuses {what} at gpa {fault.gpa:#x}: "


def table(walk: Walk) -> str:
    guest = any(a.pte_gpa is not None for a in walk.accesses)
    lines = [*wrapped(heading(walk), "", "  ")]
    for scheme in walk.schemes:
        lines += wrapped(scheme, "  ", "    ")
    if walk.accesses:
        lines.append(_columns("#", "st", "l", "guest address", "host address", "PTE", "DAGUXWRV", "", guest))
    purpose: tuple[str, int] | None = None
    for n, access in enumerate(walk.accesses, 1):
        if access.stage == "G" and (access.purpose, access.translates) != purpose:
            lines += wrapped(f"G-stage of g:{access.translates:x}, for {access.purpose}", "  ", "    ")
        purpose = (access.purpose, access.translates) if access.stage == "G" else None
        lines += _rows(n, access, guest)
    lines += _reached(walk.reached) if walk.reached is not None else []
    if walk.fault is not None:
        said = bool(walk.accesses) and walk.accesses[-1].verdict == "refused"
        lines += _fault(walk.fault, said)
    return "\n".join(lines)


def _columns(n: str, stage: str, level: str, gpa: str, spa: str, pte: str, bits: str, verdict: str, guest: bool) -> str:
    middle = f"{gpa:{ADDRESS}} " if guest else ""
    return f"{n:>2} {stage:2} {level:1} {middle}{spa:{ADDRESS}} {pte:16} {bits:8} {verdict}".rstrip()


def _rows(n: int, a: PteAccess, guest: bool) -> Iterator[str]:
    gpa = "" if a.pte_gpa is None else f"g:{a.pte_gpa:x}"
    pte, bits = ("", "") if a.pte is None else (f"{a.pte:016x}", p.picture(a.pte))
    verdict = a.verdict
    if verdict == "leaf" and a.pte is not None:
        verdict = f"leaf {size_text(p.page_size(a.pte, a.level), short=True)}"
    elif verdict == "updated":
        verdict = "sets A, D" if a.pte is not None and a.pte & p.D else "sets A"
    yield _columns(str(n), a.stage, str(a.level), gpa, f"h:{a.pte_spa:x}", pte, bits, verdict, guest)
    special = [name for name in a.bits if name not in p.FLAGS]
    if special:
        yield from wrapped(f"with {', '.join(special)}", "     ", "       ")
    if a.verdict == "refused":
        yield from wrapped(a.text, "     ", "       ")
    for text in a.also:
        yield from wrapped(f"and {text}", "     ", "       ")


def _reached(r: Reached) -> Iterator[str]:
    through = "" if r.gpa is None else f" through g:{r.gpa:x}"
    page = f", a page of {size_text(r.page_size)}" if r.page_size < 1 << 64 else ""
    yield from wrapped(f"=> h:{r.spa:x}{through}{page}, {r.memory}", "", "   ")
    parts = [f"{name} {rights}" for name, rights in r.stage_rights.items()]
    yield from wrapped(f"rights {r.rights}: {', '.join([*parts, f'PMP {r.pmp_rights}'])}", "   ")
    yield from wrapped(r.pmp, "   ", "     ")


def _fault(f: Fault, said: bool) -> Iterator[str]:
    """`said`: the table's last row has the text already."""
    yield from wrapped(f"=> {f.name} (cause {f.cause}), at step {f.step} of the translation algorithm", "", "   ")
    if not said:
        yield from wrapped(f.text, "   ", "     ")
    yield from wrapped(f"see {f.source}", "   ", "     ")
    htinst = "the transformed instruction" if f.htinst is None else f"{f.htinst:#x}"
    stval = "" if f.stval is None else f"stval {f.stval:#x}, "
    yield from wrapped(f"{stval}htval {f.htval:#x}, htinst {htinst}, GVA {int(f.gva)}", "   ", "     ")
