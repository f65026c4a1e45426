"""An address map as a table of at most 80 columns."""

from __future__ import annotations

from rvhv.hext.walks.address_map import AddressMap, MapRange
from rvhv.hext.walks.table import ADDRESS, size_text, wrapped


def table(found: AddressMap) -> str:
    lines = [f"address space of {found.mode}-mode"]
    for scheme in found.schemes:
        lines += wrapped(scheme, "  ", "    ")
    guest = any(one.gpa is not None for one in found.ranges)
    if found.ranges:
        lines.append(_columns("address", "size", "guest", "host", *(("VS", "G") if guest else ("may", "")), "pieces", guest))
    lines += [_row(one, guest) for one in found.ranges]
    if not found.ranges:
        lines.append("nothing is mapped" if any("root" in scheme for scheme in found.schemes) else "nothing is translated")
    if not found.complete:
        lines.append("and more: there are more tables than a map reads")
    return "\n".join(lines)


def _row(one: MapRange, guest: bool) -> str:
    gpa = "" if one.gpa is None else f"g:{one.gpa:x}"
    spa = "nothing" if one.spa is None else f"h:{one.spa:x}"
    pieces = "" if one.spa is None or one.pieces == 1 else str(one.pieces)
    return _columns(f"{one.va:x}", size_text(one.size), gpa, spa, one.first, one.second, pieces, guest)


def _columns(va: str, size: str, gpa: str, spa: str, first: str, second: str, pieces: str, guest: bool) -> str:
    middle, g_rights = (f"{gpa:{ADDRESS}} ", f"{second:4} ") if guest else ("", "")
    return f"{va:>16} {size:>9} {middle}{spa:{ADDRESS}} {first:4} {g_rights}{pieces}".rstrip()
