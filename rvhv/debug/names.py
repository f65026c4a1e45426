"""Exits, causes of traps and SBI functions as a person names them; the names are those of the rows and of the exits' classes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache

from rvhv.boot.firmware import MACHINE_SBI
from rvhv.core.registry import ISA
from rvhv.core.stop_table import INTERRUPT
from rvhv.errors import DebugError
from rvhv.hv.exits import VmExit
from rvhv.hv.sbi import GUEST_SBI


def near(word: str, known: Iterable[str]) -> str:
    """`: did you mean this?`, or all there are where they are few."""
    names = list(known)
    found = get_close_matches(word, names, n=1)
    if found:
        return f": did you mean {found[0]}?"
    return f": there are {', '.join(sorted(names))}" if len(names) <= 12 else ""


def plain(name: str) -> str:
    return name.lower().replace("-", "_")


@cache
def exit_kinds() -> Mapping[str, type[VmExit]]:
    """The kinds of exits to the hypervisor: "sbi", "guest-page-fault", "mmio", "virtual-instruction", "wfi"."""
    found: dict[str, type[VmExit]] = {}
    kinds = list(VmExit.__subclasses__())
    for kind in kinds:
        kinds += kind.__subclasses__()
        name = kind.__name__.removesuffix("Exit")
        found["-".join(re.findall("[A-Z][a-z]*", name)).lower()] = kind
    return found


def exit_kind(word: str) -> type[VmExit] | None:
    """None where the word is no kind: it may be a cause's name."""
    return {plain(name): kind for name, kind in exit_kinds().items()}.get(plain(word))


def causes(word: str, *, interrupts: bool) -> tuple[int, ...]:
    """What a cause's name or number stands for, as a cause register has it: all whose names end with it ("page-fault", "ecall",
    "timer"). Raises DebugError."""
    flag = INTERRUPT if interrupts else 0
    rows = [row for row in ISA.causes.values() if row.interrupt == interrupts]
    wanted = plain(word)
    try:
        number = int(wanted, 0) & ~INTERRUPT
    except ValueError:
        number = -1
    parts = f"_{wanted}_"
    found = [row.code for row in rows if row.code == number or plain(row.name) == wanted]
    if not found:
        found = [row.code for row in rows if parts in f"_{plain(row.name)}_"]
    if not found:
        what = "interrupt" if interrupts else "exception"
        raise DebugError(f"{word} is no cause of an {what}" + near(wanted, (row.name for row in rows)))
    return tuple(flag | code for code in found)


def sbi_calls(word: str) -> tuple[tuple[int, int | None], ...]:
    """What an extension's or a function's name or an EID stands for: (EID, FID or None for any). Raises DebugError."""
    wanted = plain(word)
    try:
        return ((int(wanted, 0), None),)
    except ValueError:
        pass
    found: dict[tuple[int, int | None], None] = {}
    known = []
    for sbi in (GUEST_SBI, MACHINE_SBI):
        for eid, extension in sbi.extensions.items():
            known.append(extension.name)
            if plain(extension.name) == wanted:
                found[eid, None] = None
            for fid, function in extension.functions.items():
                known.append(function.__name__)
                if plain(function.__name__) == wanted:
                    found[eid, fid] = None
    if not found:
        raise DebugError(f"{word} is neither an SBI extension nor a function of one" + near(word, dict.fromkeys(known)))
    return tuple(found)
